"""Measure what the tokens of whisperspeech keep of speech.

    python benchmarks/tokens.py benchmarks/recordings/validation.tar --whisper base.pt

Semantic tokens: the Whisper they were trained with transcribes recordings from their sound and from their codes, in
full windows of 30 s. In a mostly empty window, Whisper repeats itself, whatever the codes are.
Acoustic tokens: a recogniser transcribes each recording, its copy by the vocoder alone, and its copy by codec and
vocoder; the similarity of the voices is measured, too. benchmarks/README.md defines the columns.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from common import exit_status, parser, write_json
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.checkpoints.whisperspeech_torch import load_part, load_whisper
from vivavoce.evaluate.clips import Recording, read_shard
from vivavoce.metrics.asr import WhisperRecognizer
from vivavoce.metrics.similarity import GE2E
from vivavoce.metrics.words import word_errors
from vivavoce.models.codec_torch import MelCodec, MelQuantizer
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.semantic_torch import HOP, PADDING, PAUSE, SAMPLE_RATE, Semantic, joined, pack
from vivavoce.prepare.tokens_torch import folder_of
from vivavoce.synthesis.verify import DEFAULT_ASR
from vivavoce.voices import builtin_voices

T = TypeVar("T")

FULL = 0.7  # of a window must be sound
TOKENS = 220  # of text in a window, more than anyone says in 30 s
SOUND, CODES = "sound", "semantic codes"
ORIGINAL, VOCODER, COPY = "recording", "vocoder alone", "codec and vocoder"


@dataclass(frozen=True)
class Read:
    """The transcript of one recording, or of several in a window, in one of the ways, and its scores."""

    way: str
    key: str  # keys of a window, separated by spaces
    voice: str
    lang: str
    text: str
    heard: str
    wer: float
    cer: float
    own: float | None = None  # similarity to the original recording
    reference: float | None = None  # similarity to the voice's reference, if the voice is built in


def score(way: str, recording: Recording, heard: str, **likeness: float | None) -> Read:
    """Return the scores of a transcript of a recording."""
    text = recording.transcript.text
    (lang,) = recording.transcript.languages
    errors = word_errors(text, heard, lang)
    return Read(way, recording.key, recording.voice, lang, text, heard, errors.wer, errors.cer, **likeness)


# --- semantic tokens -------------------------------------------------------------------------------------------------


def semantic(recordings: Sequence[Recording], args: argparse.Namespace) -> Iterator[Read]:
    """Yield full windows as Whisper transcribes them, greedily, from its encoder's frames and from their codes."""
    decode = text_of(args.tokenizer)
    whisper = load_whisper(args.whisper)
    model = load_part(folder_of(args.semantic, "semantic"), "semantic")
    assert isinstance(model, Semantic)
    if model.config.whisper != whisper.config:
        raise ValueError(f"--whisper {args.whisper}: the semantic model was trained with another Whisper")
    grid = HOP * 2 * model.config.downsample
    for window in shown(full_windows(recordings, whisper.window, grid), "semantic tokens"):
        with torch.inference_mode():
            frames, sounds = whisper.frames([joined(window.waves, window.starts)])
            codes, inside = model.codes(frames, sounds)
            through = model.dequantise(codes.masked_fill(~inside, PADDING))
        for way, given in ((SOUND, frames), (CODES, through)):
            yield window.score(way, decode(whisper.transcribe(given, window.lang, limit=TOKENS)[0]))


@dataclass(frozen=True)
class Window:
    """Recordings of one language that share a window of Whisper's."""

    recordings: list[Recording]
    waves: list[torch.Tensor]  # at Whisper's rate
    starts: list[int]  # samples

    @property
    def lang(self) -> str:
        return self.recordings[0].transcript.languages[0]

    def score(self, way: str, heard: str) -> Read:
        """Return the scores of its transcript."""
        keys, texts = [r.key for r in self.recordings], [r.transcript.text for r in self.recordings]
        voices = " ".join(dict.fromkeys(r.voice for r in self.recordings))
        text = " ".join(texts)
        errors = word_errors(text, heard, self.lang)
        return Read(way, " ".join(keys), voices, self.lang, text, heard, errors.wer, errors.cer)


def full_windows(recordings: Sequence[Recording], room: int, grid: int) -> list[Window]:
    """Pack recordings into windows of `room` samples, each of one language, and report which are left out.

    What is left of a language is filled up with recordings that other windows have, too. A window of which less than
    FULL is sound stays out, and so does a recording that is longer than a window.
    """
    windows, out = [], 0
    for lang in dict.fromkeys(r.transcript.languages[0] for r in recordings):
        own = [r for r in recordings if r.transcript.languages[0] == lang]
        waves = [torch.from_numpy(audio.resample(*r.wave(), SAMPLE_RATE)) for r in own]
        sizes = [len(wave) for wave in waves]
        packed = pack(sizes, room, grid, PAUSE)
        out += len(own) - sum(map(len, packed))
        for places in packed:
            end = places[-1][1] + sizes[places[-1][0]]
            for index in range(len(own)):
                start = -(-(end + PAUSE) // grid) * grid
                if start + sizes[index] <= room and index not in dict(places):
                    places, end = [*places, (index, start)], start + sizes[index]
            if sum(sizes[index] for index, _ in places) < FULL * room:
                out += len(places)
                continue
            chosen, starts = [index for index, _ in places], [start for _, start in places]
            windows.append(Window([own[i] for i in chosen], [waves[i] for i in chosen], starts))
    if out:
        print(f"{out} recordings are left out: they do not fill a window of {room / SAMPLE_RATE:g} s", file=sys.stderr)
    return windows


def text_of(path: Path) -> Callable[[list[int]], str]:
    """Return the function that decodes Whisper's text tokens."""
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise ValueError("the package tokenizers is missing: pip install 'vivavoce[train]'") from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exceptions
        raise ValueError(f"--tokenizer {path}: not a tokenizer.json ({error})") from None
    return lambda ids: str(tokenizer.decode(ids)).strip()


# --- acoustic tokens -------------------------------------------------------------------------------------------------


def acoustic(recordings: Sequence[Recording], args: argparse.Namespace) -> Iterator[Read]:
    """Yield the scores of each recording, of the vocoder's copy and of the codec's copy."""
    quantizer = load_part(folder_of(args.codec, "codec"), "codec")
    assert isinstance(quantizer, MelQuantizer)
    vocoder = load_vocoder(args.vocoder)
    mel, codec = LogMel(quantizer.config.mel), MelCodec(quantizer, vocoder)
    rate = codec.sample_rate
    ears, likeness = WhisperRecognizer(args.asr, threads=1), GE2E()
    references = {voice.name: likeness.embed(voice.samples, voice.sample_rate) for voice in builtin_voices()}
    for recording in shown(recordings, "acoustic tokens"):
        samples = audio.resample(*recording.wave(), rate)
        wave = torch.from_numpy(samples)[None]
        own = likeness.embed(samples, rate)
        reference = references.get(recording.voice)
        with torch.inference_mode():
            ways: dict[str, Samples] = {
                ORIGINAL: samples,
                VOCODER: vocoder(mel(wave))[0].numpy(),
                COPY: codec.decode(codec.encode(wave))[0].numpy(),
            }
        for way, sound in ways.items():
            vector = likeness.embed(sound, rate)
            heard = ears.transcribe(sound, rate, recording.transcript.languages[0])
            alike = None if reference is None else float(vector @ reference)
            yield score(way, recording, heard, own=float(vector @ own), reference=alike)


# --- output -------------------------------------------------------------------------------------------------


def shown(items: Sequence[T], name: str) -> Iterator[T]:
    console = Console(stderr=True)
    return iter(track(items, name, console=console, disable=not console.is_terminal, transient=True))


def table(found: Sequence[Read]) -> Table:
    """Return a row for each language and way with the means of its recordings, and for all languages if several."""
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("language", "of", "n", "WER %", "CER %", "similarity to the recording", "to the voice"):
        shown.add_column(head, justify="left" if head in ("language", "of") else "right", no_wrap=True)
    langs = list(dict.fromkeys(read.lang for read in found))
    for lang in [*langs, "all"] if len(langs) > 1 else langs:
        for way in dict.fromkeys(read.way for read in found):
            reads = [read for read in found if read.way == way and lang in (read.lang, "all")]
            figures = (mean(reads, "wer", 100, 2), mean(reads, "cer", 100, 2), mean(reads, "own", 1, 3))
            shown.add_row(lang, way, str(len(reads)), *figures, mean(reads, "reference", 1, 3))
    return shown


def mean(reads: Sequence[Read], name: str, factor: int, digits: int) -> str:
    known = [getattr(read, name) for read in reads if getattr(read, name) is not None]
    return f"{factor * float(np.mean(known)):.{digits}f}" if known else "–"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    asr = os.environ.get("VIVAVOCE_ASR") or DEFAULT_ASR
    parse = parser(__doc__)
    add = parse.add_argument
    add("shards", nargs="+", type=Path, metavar="SHARD", help=".tar of recordings")
    add("--only", choices=("semantic", "acoustic"), help="(both)")
    add("--semantic", default="bundled", metavar="MODEL", help="semantic model, a folder (bundled)")
    add("--whisper", type=Path, metavar="FILE", help="the semantic model's Whisper, an openai-whisper checkpoint")
    add(
        "--tokenizer",
        type=Path,
        default=Path(asr, "tokenizer.json"),
        metavar="FILE",
        help=f"its tokenizer ({asr}'s)",
    )
    add("--codec", default="bundled", metavar="MODEL", help="codec, a folder (bundled)")
    add("--vocoder", default="bundled", help="a folder or a hub name (bundled)")
    add("--asr", default=asr, help="recogniser: a CTranslate2 folder, or a size to download (%(default)s)")
    add("--limit", type=int, metavar="N", help="only the first N recordings of each shard")
    add("--json", type=Path, metavar="FILE", help="write the scores and transcript of every recording to FILE")
    args = parse.parse_args(argv)
    if args.limit is not None and args.limit < 1:
        parse.error(f"--limit is {args.limit}; it must be at least 1")
    if args.only != "acoustic" and args.whisper is None:
        parse.error("semantic tokens need --whisper FILE; without it, use --only acoustic")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0, 2 for invalid input (one line on stderr), or 130 if interrupted, with the results so far."""
    args = arguments(argv)
    parts: dict[str, Any] = {"semantic": semantic, "acoustic": acoustic}
    made: dict[str, list[Read]] = {name: [] for name in parts if args.only in (None, name)}

    def collect() -> None:
        recordings = [recording for shard in args.shards for recording in read_shard(shard, limit=args.limit)]
        for name, found in made.items():
            for read in parts[name](recordings, args):
                found.append(read)

    status = exit_status(collect, "interrupted; results so far:")
    for name, found in made.items():
        if found:
            Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table(found))
            judge = f"Whisper {args.whisper}, greedy" if name == "semantic" else f"Whisper {args.asr}, greedy, float32"
            print(f"{judge}; mean of the recordings.\n")
    write_json(args.json, {name: [asdict(read) for read in found] for name, found in made.items()})
    return status


if __name__ == "__main__":
    sys.exit(main())
