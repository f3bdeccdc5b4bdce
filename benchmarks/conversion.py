"""Measure voice conversion: recordings from shards, each spoken by the built-in voices.

    python benchmarks/conversion.py benchmarks/recordings/validation.tar --model models/whisperspeech

Word errors of the recording and of its conversions, how often the target voice is the nearest of the built-in ones, and
how far words have moved, by Whisper's word times. benchmarks/README.md defines the columns.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import exit_status, parser, write_json
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vivavoce
from vivavoce.audio import Samples, resample
from vivavoce.evaluate.clips import Recording, read_shard
from vivavoce.metrics.asr import SAMPLE_RATE, WhisperRecognizer
from vivavoce.metrics.similarity import GE2E
from vivavoce.metrics.words import word_errors
from vivavoce.synthesis.verify import DEFAULT_ASR
from vivavoce.voices import builtin_voices

ORIGINAL = "recording"


@dataclass(frozen=True)
class Read:
    """The scores of a recording, or of its conversion to a voice."""

    voice: str  # ORIGINAL, or the target
    key: str
    lang: str
    heard: str
    wer: float
    similarity: float | None = None  # to the target voice
    nearest: bool | None = None  # whether the target is the nearest built-in voice
    moved: float | None = None  # ms: median distance of the words' times from those in the recording


class Listener(WhisperRecognizer):
    """Whisper with word times."""

    def words(self, samples: Samples, rate: int, language: str) -> tuple[str, list[tuple[str, float]]]:
        """Return the transcript, and each word's middle in seconds."""
        segments, _ = self.model.transcribe(
            resample(samples, rate, SAMPLE_RATE), language=language, beam_size=1, best_of=1, temperature=0.0,
            condition_on_previous_text=False, vad_filter=False, word_timestamps=True,
        )  # fmt: skip
        found = list(segments)
        words = [(w.word.strip().lower(), (w.start + w.end) / 2) for s in found for w in s.words or ()]
        return "".join(segment.text for segment in found).strip(), words


def moved(first: Sequence[tuple[str, float]], second: Sequence[tuple[str, float]]) -> float | None:
    """Return the median distance in ms of the words that both lists have at the same place; None if there are none."""
    apart = [abs(a[1] - b[1]) for a, b in zip(first, second, strict=False) if a[0] == b[0]]
    return 1000 * float(np.median(apart)) if apart else None


def measure(recordings: Sequence[Recording], args: argparse.Namespace) -> Iterator[Read]:
    """Yield the scores of each recording, then of its conversions to the chosen voices."""
    tts = vivavoce.load(args.model, backend=args.backend)
    ears, likeness = Listener(args.asr, threads=1), GE2E()
    targets = {voice.name: likeness.embed(voice.samples, voice.sample_rate) for voice in builtin_voices()}
    chosen = args.voices.split(",") if args.voices else list(targets)
    console = Console(stderr=True)
    for number, recording in enumerate(
        track(recordings, "converting", console=console, disable=not console.is_terminal, transient=True)
    ):
        samples, rate = recording.wave()
        text, (lang,) = recording.transcript.text, recording.transcript.languages
        heard, times = ears.words(samples, rate, lang)
        yield Read(ORIGINAL, recording.key, lang, heard, word_errors(text, heard, lang).wer)
        others = [name for name in chosen if name != recording.voice] or chosen
        for name in others if args.all else [others[number % len(others)]]:
            made = tts.convert((samples, rate), name, seed=number, whisper=args.whisper, semantic=args.semantic)
            heard, now = ears.words(made.samples, made.sample_rate, lang)
            vector = likeness.embed(made.samples, made.sample_rate)
            near = {target: float(vector @ other) for target, other in targets.items()}
            best = max(near, key=lambda target: near[target]) == name
            wer = word_errors(text, heard, lang).wer
            yield Read(name, recording.key, lang, heard, wer, near[name], best, moved(times, now))


def table(found: Sequence[Read]) -> Table:
    """Return a row for the recordings and for each voice, and one for all conversions."""
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("voice", "n", "WER %", "similarity", "nearest %", "words moved ms"):
        shown.add_column(head, justify="left" if head == "voice" else "right", no_wrap=True)
    names = list(dict.fromkeys(read.voice for read in found))
    for name in [*names, "all conversions"]:
        reads = [read for read in found if name in (read.voice, "all conversions" if read.voice != ORIGINAL else "")]
        if reads:
            figures = (mean(reads, "wer", 100, 1), mean(reads, "similarity", 1, 3), mean(reads, "nearest", 100, 0))
            shown.add_row(name, str(len(reads)), *figures, mean(reads, "moved", 1, 0))
    return shown


def mean(reads: Sequence[Read], name: str, factor: int, digits: int) -> str:
    known = [min(1.0, read.wer) if name == "wer" else getattr(read, name) for read in reads]
    known = [value for value in known if value is not None]
    return f"{factor * float(np.mean(known)):.{digits}f}" if known else "–"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parse = parser(__doc__)
    add = parse.add_argument
    add("shards", nargs="+", type=Path, metavar="SHARD", help=".tar of recordings")
    add("--model", required=True, help="a model folder with a channel of semantic codes")
    add("--backend", default="auto", help="(%(default)s)")
    add("--voices", metavar="A,B", help="target voices (all built-in ones)")
    add("--all", action="store_true", help="convert each recording to every voice, not to one in turn")
    add("--whisper", metavar="PATH", help="Whisper base for the codes (extra convert)")
    add("--semantic", default="bundled", metavar="DIR", help="semantic model (%(default)s)")
    asr = os.environ.get("VIVAVOCE_ASR") or DEFAULT_ASR
    add("--asr", default=asr, help="recogniser: a CTranslate2 folder, or a size to download (%(default)s)")
    add("--limit", type=int, metavar="N", help="only the first N recordings of each shard")
    add("--json", type=Path, metavar="FILE", help="write the scores and transcript of every recording to FILE")
    return parse.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0, 2 for invalid input (one line on stderr), or 130 if interrupted, with the results so far."""
    args = arguments(argv)
    found: list[Read] = []

    def collect() -> None:
        recordings: list[Any] = [r for shard in args.shards for r in read_shard(shard, limit=args.limit)]
        for read in measure(recordings, args):
            found.append(read)

    status = exit_status(collect, "interrupted; results so far:")
    if found:
        Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table(found))
        print(f"Whisper {args.asr}, greedy, float32; word errors of a recording count 100 % at most.\n")
    write_json(args.json, [asdict(read) for read in found])
    return status


if __name__ == "__main__":
    sys.exit(main())
