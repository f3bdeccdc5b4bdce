"""`vivavoce convert-voice`: a recording in another voice."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from vivavoce.cli.inputs import check_output, chosen_voice
from vivavoce.cli.options import WHOLE, Flags, FlowFlags, ModelFlags, VoiceFlags, takes
from vivavoce.cli.terminal import progress_bar


@dataclass(frozen=True)
class ConversionFlags(Flags):
    """Which recording is converted, and where the result goes."""

    recording: Annotated[
        str, typer.Argument(metavar="RECORDING", show_default=False, help="Speech of one person who consents.")
    ]
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="PATH", help="Sound file to write; - writes WAV to stdout.")
    ]
    text: Annotated[
        str | None,
        typer.Option(
            help="The words of the recording, of at most two minutes: the text is then spoken with the recording's "
            "timing, by any model that predicts the length of letters, such as nanospeech."
        ),
    ] = None
    lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of --text (default: en).")] = None
    seed: Annotated[int | None, typer.Option(**WHOLE, help="The same seed gives the same samples.")] = None
    whisper: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Whisper base: an openai-whisper .pt file, or a CTranslate2 model.bin (default: that of the extra "
            "convert).",
        ),
    ] = None
    semantic: Annotated[
        str | None, typer.Option(metavar="DIR", help="Semantic model whose codes the model reads (default: bundled).")
    ] = None


@dataclass(frozen=True)
class ConverterFlags(ModelFlags):
    """Which model converts."""

    model: Annotated[
        str | None,
        typer.Option(
            help="nanospeech, whisperspeech, a model folder or a Hugging Face name (default: whisperspeech; with "
            "--text, nanospeech)."
        ),
    ] = None


@takes(ConversionFlags, VoiceFlags, FlowFlags, ConverterFlags)
def convert_voice(flags: ConversionFlags, voice: VoiceFlags, sampling: FlowFlags, model: ConverterFlags) -> None:
    """Speak the words of a recording, at their times, in another voice. Do so only with the speakers' consent."""
    from vivavoce.synthesis.tts import load

    check_output(flags.output)
    if flags.lang is not None and flags.text is None:
        raise ValueError("--lang is for --text")
    for name in ("whisper", "semantic"):
        if flags.text is not None and name in flags.given():
            raise ValueError(f"--{name} finds the words of a recording without --text; leave one of the two out")
    speaker = chosen_voice(voice)
    if flags.text is None:  # nanospeech reads texts only
        chosen = {"model": "whisperspeech", **model.given()}
    else:
        chosen = model.given()
    given = {name: value for name, value in flags.given().items() if name not in ("recording", "output")}
    with progress_bar("loading the model") as show:
        tts = load(**chosen)
        speech = tts.convert(
            flags.recording, speaker, **given, **sampling.given(), progress=lambda done: show("converting", done)
        )
    if flags.output == "-":
        sys.stdout.buffer.write(speech.wav())
    else:
        speech.save(flags.output)
