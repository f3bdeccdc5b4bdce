"""The command line `vivavoce`: a thin shell over the library, one function a command.

`vivavoce "text"` is `vivavoce speak "text"`. What is typed wrongly gets one line and exit status 2 (`generate.run`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vivavoce.generate import given_text, given_voice, number, run, speak, whole_number
from vivavoce.voices import voices as builtin_voices


class DefaultCommand(TyperGroup):
    """A first argument that is no command belongs to `speak`, and so does standard input without any argument."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            args = ["--help"] if sys.stdin is None or sys.stdin.isatty() else ["speak"]
        elif args[0] not in self.commands and args[0] not in ("--help", "--version"):
            args = ["speak", *args]
        return super().parse_args(ctx, args)


class ManyValues(TyperCommand):
    """`--data a b c` is `--data a --data b --data c`, so that the shell may expand `--data shards/*.tar`."""

    many = ("--data", "--valid", "--sentences", "--speakers", "--reference")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        option, values = "", 0
        for arg in args:
            if arg.startswith("-"):
                option, values = (arg, 0) if arg in self.many else ("", 0)
            elif option:
                values += 1
                if values > 1:
                    spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


app = typer.Typer(cls=DefaultCommand, add_completion=False, pretty_exceptions_enable=False)
app.command("speak")(speak)


def _version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"vivavoce {metadata.version('vivavoce')}")
        except metadata.PackageNotFoundError:
            print("vivavoce, not installed: no version")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Text to speech. 'vivavoce "text"' is 'vivavoce speak "text"'; 'vivavoce speak --help' shows its flags."""


@contextlib.contextmanager
def _needing(command: str, extra: str) -> Iterator[None]:
    """Imports of a command that needs an extra: ValueError, which names both, where one of its packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "vivavoce":
            raise
        raise ValueError(f"{command}: the package {error.name} is missing: pip install vivavoce[{extra}]") from None


@app.command("voices")
def voices() -> None:
    """List the built-in voices: name, description, language, licence."""
    head = ("name", "description", "language", "licence")
    rows = [(v.name, v.description, v.language, v.licence) for v in builtin_voices()]
    if not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


@app.command("preview")
def preview(
    argument: Annotated[
        str | None, typer.Argument(metavar="TEXT", show_default=False, help="The text; else standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The text, as an option.")] = None,
    file: Annotated[str | None, typer.Option(metavar="PATH", help="A UTF-8 text file.")] = None,
    voice: Annotated[str | None, typer.Option(help="As of speak.")] = None,
    ref_audio: Annotated[str | None, typer.Option(metavar="PATH", help="As of speak.")] = None,
    ref_text: Annotated[str | None, typer.Option(help="As of speak.")] = None,
    lang: Annotated[str, typer.Option(metavar="CODE", help="As of speak.")] = "en",
    ssml: Annotated[bool, typer.Option("--ssml", help="As of speak.")] = False,
    lexicon: Annotated[str | None, typer.Option(metavar="PATH", help="As of speak.")] = None,
    model: Annotated[str, typer.Option(help="As of speak.")] = "bundled",
    backend: Annotated[str, typer.Option(help="As of speak.")] = "auto",
    device: Annotated[str, typer.Option(help="As of speak.")] = "auto",
    speed: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="As of speak.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show how a text would be read, without speaking it: words, pieces, changes and their rules, seconds."""
    from json import dumps

    from vivavoce.generate import progress_bar
    from vivavoce.lexicon import Lexicon
    from vivavoce.synthesis import load

    written = given_text(argument, text, file)
    speaker = given_voice(voice, ref_audio, ref_text)
    words = None if lexicon is None else Lexicon.load(lexicon)
    options: dict[str, Any] = {} if speed is None else {"speed": speed}
    with progress_bar("loading the model"):
        shown = load(model, backend, device).preview(written, speaker, lang=lang, ssml=ssml, lexicon=words, **options)
    print(dumps(shown.as_dict(), ensure_ascii=False, indent=2) if json else shown)


@app.command("train", cls=ManyValues)
def train(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="vocoder, duration, nanospeech, aligner, semantic, codec, t2s or s2a.")
    ],
    config: Annotated[Path, typer.Option(metavar="FILE", help="The JSON config of the model and the run.")],
    data: Annotated[list[str], typer.Option(metavar="SHARD...", help="Shards: paths, globs, URLs (https, s3, hf).")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for checkpoints, logs and samples.")],
    max_minutes: Annotated[
        float | None, typer.Option(parser=number, metavar="N", help="Stop after this long, with a checkpoint.")
    ] = None,
    valid: Annotated[list[str] | None, typer.Option(metavar="SHARD...", help="Shards to validate on.")] = None,
    threads: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="N", help="CPU threads (default: torch's choice).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with the run in --out, or refuse where there is one.")
    ] = True,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="What a new run starts with: bundled, a model's or a run's folder, a Hugging Face name.",
        ),
    ] = None,
) -> None:
    """Train a model on shards; a run that was stopped goes on where it stood."""
    if not resume and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"--no-resume: {out} is not empty; give another --out, or empty it")
    with _needing("train", "train"):
        from vivavoce.train import loop
    loop.train(task, config, data, out, max_minutes, valid or [], threads, start_from)


_NUMBER: dict[str, Any] = {"parser": number, "metavar": "NUMBER"}
_WHOLE: dict[str, Any] = {"parser": whole_number, "metavar": "INTEGER"}


@app.command("prepare")
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A folder (recordings with .txt beside them, LJSpeech's or LibriTTS-R's layout, .tar shards), a glob "
            "of shards, or a Hugging Face dataset, owner/name.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="Folder for shards, vocab.txt and report.json; none with --tokens."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="folder, ljspeech, libritts, shards or huggingface (default: what IN looks like)."),
    ] = None,
    workers: Annotated[int | None, typer.Option(**_WHOLE, help="Processes (default: one a CPU).")] = None,
    format: Annotated[str | None, typer.Option(help="Of the stored sound: flac, ogg (Opus) or wav.")] = None,
    lang: Annotated[str | None, typer.Option(help="Language of recordings that do not say (default: en).")] = None,
    speaker: Annotated[str | None, typer.Option(help="Who speaks in all of them (default: what IN says).")] = None,
    min_seconds: Annotated[float | None, typer.Option(**_NUMBER, help="Drop what is shorter (0.3).")] = None,
    max_seconds: Annotated[float | None, typer.Option(**_NUMBER, help="Drop what is longer (20).")] = None,
    max_pause: Annotated[
        float | None, typer.Option(**_NUMBER, help="Drop what has a longer silence within, in seconds (3).")
    ] = None,
    max_clipping: Annotated[
        float | None, typer.Option(**_NUMBER, help="Drop what has a larger share of samples at full scale (0.001).")
    ] = None,
    min_rate: Annotated[
        float | None, typer.Option(**_NUMBER, help="Drop what has fewer characters of text a second (3).")
    ] = None,
    max_rate: Annotated[float | None, typer.Option(**_NUMBER, help="Drop what has more of them (30).")] = None,
    valid_share: Annotated[
        float | None,
        typer.Option(
            **_NUMBER, help="Share of the utterances for validation, chosen by a hash (0.01, at least a few)."
        ),
    ] = None,
    valid_speakers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Instead: all utterances of these speakers.")
    ] = None,
    valid_speaker_share: Annotated[
        float | None, typer.Option(**_NUMBER, help="Instead: all utterances of this share of the speakers.")
    ] = None,
    shard_utterances: Annotated[int | None, typer.Option(**_WHOLE, help="Utterances in a shard (1000).")] = None,
    shard_mb: Annotated[float | None, typer.Option(**_NUMBER, help="Megabytes in a shard at most (256).")] = None,
    vocab: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A vocab.txt, or a model's config.json (default: the bundled model's)."),
    ] = None,
    grow_vocab: Annotated[
        bool | None,
        typer.Option("--grow-vocab", help="Add letters that the vocabulary lacks, dropping nothing for them."),
    ] = None,
    config: Annotated[str | None, typer.Option(help="Hugging Face: the dataset's configuration.")] = None,
    split: Annotated[str | None, typer.Option(help="Hugging Face: the split (default: train).")] = None,
    audio_column: Annotated[str | None, typer.Option(help="Hugging Face: where the sound is.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Hugging Face: where the text is.")] = None,
    speaker_column: Annotated[str | None, typer.Option(help="Hugging Face: where the speaker is.")] = None,
    tokens: Annotated[
        bool,
        typer.Option(
            "--tokens", help="Make of the shards in IN what t2s and s2a train on: NAME.tokens.tar beside NAME.tar."
        ),
    ] = False,
    semantic: Annotated[
        str | None, typer.Option(metavar="MODEL", help="--tokens: semantic model, a folder (default: bundled).")
    ] = None,
    codec: Annotated[
        str | None, typer.Option(metavar="MODEL", help="--tokens: codec, a folder (default: bundled).")
    ] = None,
    whisper: Annotated[
        Path | None, typer.Option(metavar="FILE", help="--tokens: the semantic model's Whisper, openai-whisper's .pt.")
    ] = None,
) -> None:
    """Make shards for training from recordings; a run that was stopped goes on where it stood."""
    from vivavoce.generate import progress_bar
    from vivavoce.prepare.run import prepare as make_shards
    from vivavoce.prepare.run import summary
    from vivavoce.prepare.settings import PrepareConfig

    given: dict[str, Any] = {
        "kind": kind, "format": format, "lang": lang, "speaker": speaker, "min_seconds": min_seconds,
        "max_seconds": max_seconds, "max_pause": max_pause, "max_clipping": max_clipping, "min_rate": min_rate,
        "max_rate": max_rate, "valid_share": valid_share, "valid_speaker_share": valid_speaker_share,
        "shard_utterances": shard_utterances, "shard_mb": shard_mb, "grow_vocab": grow_vocab, "config": config,
        "split": split, "audio_column": audio_column, "text_column": text_column, "speaker_column": speaker_column,
        "valid_speakers": None if valid_speakers is None else tuple(n.strip() for n in valid_speakers.split(",")),
    }  # fmt: skip
    asked = {name: value for name, value in given.items() if value is not None}
    if tokens:
        if out is not None:
            raise ValueError(f"--tokens: no OUT ({out}); token shards lie beside the shards in IN")
        if asked or vocab is not None:
            flag = next(iter(asked), "vocab").replace("_", "-")
            raise ValueError(f"--tokens: --{flag} has no part in it; --semantic, --codec, --whisper and --workers have")
        _make_tokens(source, semantic or "bundled", codec or "bundled", whisper, workers)
        return
    for flag, value in (("semantic", semantic), ("codec", codec), ("whisper", whisper)):
        if value is not None:
            raise ValueError(f"--{flag} goes with --tokens")
    if out is None:
        raise ValueError("OUT is missing: a folder for the shards")
    settings = PrepareConfig(**asked)
    try:
        with progress_bar("looking at the input") as show:
            report = make_shards(source, out, settings, workers=workers, vocab=vocab, progress=show)
    except KeyboardInterrupt:
        print("stopped; finished shards stay, and the same command goes on from there", file=sys.stderr)
        raise
    print(f"{summary(report)}\n{out / 'report.json'}")


def _make_tokens(source: str, semantic: str, codec: str, whisper: Path | None, workers: int | None) -> None:
    from vivavoce.generate import progress_bar
    from vivavoce.prepare import tokens

    if whisper is None:
        raise ValueError("--tokens needs --whisper FILE: the checkpoint that the semantic model was trained for")
    try:
        with progress_bar("loading the models") as show:
            report = tokens.make_tokens(source, semantic, codec, whisper, workers=workers, progress=show)
    except KeyboardInterrupt:
        print("stopped; finished token shards stay, and the same command goes on from there", file=sys.stderr)
        raise
    print(tokens.summary(report))


@app.command("evaluate", cls=ManyValues)
def evaluate(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...",
            help="Models (bundled, a folder, a Hugging Face name), folders of sounds (VOICE/NAME.wav beside NAME.txt), "
            ".tar shards of recordings.",
        ),
    ],
    sentences: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE...", help="What the models say, one sentence a line; a table for each file."),
    ] = None,
    voices: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Built-in voices, or .safetensors files of saved ones (default: all built-in)."
        ),
    ] = None,
    speakers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="TAR...",
            help="Shards of recordings: imitate each speaker from 5 s of one, and compare with another.",
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VOICE=FILE...",
            help="What a voice of the sounds and recordings should be like, in place of the built-in ones; FILE's .txt "
            "beside it says what is said.",
        ),
    ] = None,
    copy_synthesis: Annotated[
        bool,
        typer.Option(
            "--copy-synthesis", help="Also the shards' recordings after the models' mel, codec if any, and vocoder."
        ),
    ] = False,
    lang: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="Language of sentences and sounds, such as es; tags within change it, and shards tell theirs.",
        ),
    ] = "en",
    steps: Annotated[int | None, typer.Option(parser=whole_number, metavar="INTEGER", help="As of speak.")] = None,
    method: Annotated[str | None, typer.Option(help="As of speak.")] = None,
    cfg: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="As of speak.")] = None,
    sway_coef: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="As of speak.")] = None,
    temperature: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="As of speak.")] = None,
    top_k: Annotated[int | None, typer.Option(parser=whole_number, metavar="INTEGER", help="As of speak.")] = None,
    speed: Annotated[float | None, typer.Option(parser=number, metavar="NUMBER", help="As of speak.")] = None,
    seed: Annotated[
        int, typer.Option(parser=whole_number, metavar="INTEGER", help="Line i is spoken with SEED + i, i from 0.")
    ] = 0,
    backend: Annotated[str, typer.Option(help="As of speak.")] = "auto",
    device: Annotated[str, typer.Option(help="As of speak.")] = "auto",
    vocoder: Annotated[str | None, typer.Option(help="As of speak.")] = None,
    bits: Annotated[int | None, typer.Option(parser=whole_number, metavar="INTEGER", help="As of speak.")] = None,
    asr: Annotated[
        str,
        typer.Option(
            envvar="VIVAVOCE_ASR", help="Whisper: a size that faster-whisper downloads, or a CTranslate2 folder."
        ),
    ] = "base",
    threads: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="N", help="Clips judged at once (default: one a core, at most 8)."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="N", help="Only the first N sentences, recordings and sounds."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep sounds and scores here; what is here already is not done again."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every figure and every clip's score.")
    ] = None,
) -> None:
    """Measure speech: word errors, skipped and repeated words, likeness to the voice, DNSMOS, speaking rate."""
    from vivavoce import evaluate as evaluation  # here, for it takes a moment

    given = {"steps": steps, "method": method, "cfg": cfg, "sway_coef": sway_coef, "speed": speed}
    given |= {"temperature": temperature, "top_k": top_k}
    request = evaluation.Request(
        tuple(what),
        sentences=tuple(sentences or ()),
        voices=tuple(voices.split(",")) if voices is not None else (),
        speakers=tuple(speakers or ()),
        references=tuple(reference or ()),
        copy_synthesis=copy_synthesis,
        options={name: value for name, value in given.items() if value is not None},
        lang=lang,
        seed=seed,
        backend=backend,
        device=device,
        vocoder=vocoder,
        bits=bits,
        asr=asr,
        threads=threads,
        limit=limit,
        keep=keep,
        json=json,
    )
    report = evaluation.Report(request)
    try:
        evaluation.evaluate(request, report)
    finally:  # also what was scored until Ctrl-C or an error
        report.show()
        if json is not None and report.tables:
            report.write(json)


@app.command("export")
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'vivavoce train' wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the model, which --model takes.")],
    weights: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="average: of the last steps; model: of the last step alone; best: the average that did best on the "
            "validation data.",
        ),
    ] = "average",
) -> None:
    """Write a trained model as safetensors and config.json."""
    with _needing("export", "train"):
        from vivavoce.train.export import export as write_model  # here, for it loads torch
    write_model(run_folder, out, weights)


@app.command("convert")
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...",
            help="t2s-*.model, s2a-*.model, both, or whisper-vq-stoks-*.model, as WhisperSpeech has them.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for it; of a t2s and an s2a, --model takes it.")],
    whisper: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For whisper-vq-stoks: the Whisper that it names, openai-whisper's .pt."),
    ] = None,
) -> None:
    """Write published WhisperSpeech files, which are pickles, as safetensors and config.json."""
    from vivavoce.checkpoints_whisperspeech_torch import convert as write_model  # here, for it loads torch

    print(write_model(files, out, whisper))


@app.command("serve")
def serve(
    host: Annotated[
        str | None, typer.Option(help="Where to listen (127.0.0.1); an address others can reach needs an API key.")
    ] = None,
    port: Annotated[int | None, typer.Option(**_WHOLE, help="Port (8000); 0: any free one.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="As of speak; may be given several times, and requests choose by the name."),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="As of speak.")] = None,
    device: Annotated[str | None, typer.Option(help="As of speak.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="VIVAVOCE_API_KEY", help="What clients must send as a Bearer token.")
    ] = None,
    max_chars: Annotated[int | None, typer.Option(**_WHOLE, help="Characters of one request at most (4096).")] = None,
    workers: Annotated[
        int | None, typer.Option(**_WHOLE, help="Processes that speak, each with the models in memory (1).")
    ] = None,
    queue: Annotated[
        int | None, typer.Option(**_WHOLE, help="Requests that may wait; one more is answered 429 (64).")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(**_NUMBER, help="Seconds that one request may take, waiting and all (600).")
    ] = None,
    max_upload_mb: Annotated[
        float | None, typer.Option(**_NUMBER, help="Megabytes of a recording that is sent to add a voice (10).")
    ] = None,
    voices: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where added voices are kept (default: the user's data folder).")
    ] = None,
) -> None:
    """Serve speech over HTTP, as OpenAI's API has it, with a page at the address itself."""
    with _needing("serve", "serve"):
        from vivavoce.serve import run as server
        from vivavoce.serve.settings import ServeConfig
    given: dict[str, Any] = {
        "host": host, "port": port, "models": tuple(model) if model else None, "backend": backend, "device": device,
        "api_key": api_key, "max_chars": max_chars, "workers": workers, "queue": queue, "timeout": timeout,
        "max_upload_mb": max_upload_mb, "voices": None if voices is None else str(voices),
    }  # fmt: skip
    server.serve(ServeConfig(**{name: value for name, value in given.items() if value is not None}))


def main() -> None:
    sys.exit(run(app))


if __name__ == "__main__":
    main()
