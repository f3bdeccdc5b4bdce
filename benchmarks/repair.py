"""Measure what checks and retries improve in generated speech.

    python benchmarks/repair.py

All sentence lists are spoken in three ways: each chunk once; with up to two retries if its sound has a fault (the
default of `vivavoce speak`); and with retries also if Whisper does not hear all of its words (`--verify asr`). The
table has word errors, faulty chunks and the cost.

    python benchmarks/repair.py --lists short-20 --seeds 20 --ways retries

reads each one- or two-word text twenty times, to find readings that are cut off or empty. benchmarks/README.md defines
the columns.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import exit_status, parser, read_lines, write_json
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import vivavoce
from vivavoce.config import BUILTIN_VOICES
from vivavoce.metrics.words import WordErrors, word_errors
from vivavoce.synthesis import verify
from vivavoce.synthesis.checks import Fault

LISTS = ("corpus-60", "harvard-40", "short-20", "hard-30")
HARD = Path(__file__).parents[1] / "tests" / "data" / "hard-30.tsv"  # the spoken form of the lines of hard-30
WAYS: dict[str, dict[str, Any]] = {
    "once": {"retries": 0},
    "retries": {"retries": 2},
    "retries, asr": {"retries": 2, "verify": "asr"},
}


@dataclass(frozen=True)
class Clip:
    """One sentence, spoken in one of the ways."""

    list: str
    way: str
    voice: str
    seed: int
    text: str
    heard: str
    errors: WordErrors
    pieces: tuple[tuple[str, ...], ...]  # names of the faults of each chunk, by its sound
    words: tuple[str, ...]  # the same for the whole clip, by its transcript
    tries: int  # of all chunks together
    seconds: float  # of speech
    taken: float  # seconds of computation

    @property
    def empty(self) -> bool:
        return not self.heard or not self.seconds


def sentences(name: str, limit: int | None) -> list[tuple[str, str]]:
    """Return each line of a list as written and as it should be spoken."""
    written = read_lines(name)
    said = written
    if name == "hard-30":
        rows = [line.split("\t") for line in HARD.read_text(encoding="utf-8").split("\n")[1:] if line]
        spoken = {row[0]: row[1] for row in rows}
        said = [spoken[line] for line in written]
    return list(zip(written, said, strict=True))[:limit]


class Bench:
    """Speaks and transcribes. Identical samples are transcribed once: most clips are the same in all ways."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.tts = vivavoce.load(args.model, args.backend, args.device)
        self.recognizer = verify.load_recognizer()
        self.heard: dict[bytes, str] = {}

    def clip(self, name: str, way: str, voice: str, seed: int, written: str, said: str) -> Clip:
        options = dict(WAYS[way])
        if "verify" in options:
            options["verify"] = self.recognizer
        begun = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                speech = self.tts.speak(written, voice, seed=seed, **options)
        except vivavoce.SynthesisError:
            lost, tries = WordErrors(1.0, 1.0, 1.0, 0.0), 1 + options["retries"]
            return Clip(name, way, voice, seed, said, "", lost, (("silence",),), ("misheard",), tries, 0.0, 0.0)
        taken = time.perf_counter() - begun
        key = speech.samples.tobytes()
        if key not in self.heard:
            self.heard[key] = self.recognizer.transcribe(speech.samples, speech.sample_rate, "en")
        heard = self.heard[key]
        pieces = tuple(by_sound(check.faults) for check in speech.checks)
        words = tuple(fault.name for fault in verify.find_faults(said, heard, "en"))
        tries = sum(check.tries for check in speech.checks)
        errors = word_errors(said, heard)
        return Clip(name, way, voice, seed, said, heard, errors, pieces, words, tries, speech.duration, taken)

    def forget(self) -> None:
        """Drop the transcripts of the previous sentence."""
        self.heard.clear()


def by_sound(faults: Sequence[Fault]) -> tuple[str, ...]:
    """Return the names of the faults that the sound shows, without those of the transcript."""
    return tuple(fault.name for fault in faults if fault.name not in ("dropped", "repeated", "misheard"))


def measure(args: argparse.Namespace, show: Callable[[float], None]) -> Iterator[Clip]:
    """Yield the clips, all ways of a sentence one after another."""
    bench = Bench(args)
    work = [
        (name, voice, seed, *sentence)
        for name in args.lists
        for i, sentence in enumerate(sentences(name, args.limit))
        for seed in range(args.seed + i, args.seed + i + args.seeds * 1000, 1000)
        for voice in args.voices
    ]
    for i, (name, voice, seed, written, said) in enumerate(work):
        for way in args.ways:
            yield bench.clip(name, way, voice, seed, written, said)
        bench.forget()
        show((i + 1) / len(work))


def row(clips: Sequence[Clip]) -> list[str]:
    """Return the cells: means over the clips of each voice, then over the voices; counts of rare events."""
    voices = {clip.voice: [c for c in clips if c.voice == clip.voice] for clip in clips}

    def percent(value: Callable[[Clip], float]) -> str:
        return f"{100 * statistics.mean(statistics.mean(map(value, mine)) for mine in voices.values()):.1f}"

    pieces = [faults for clip in clips for faults in clip.pieces]
    cut = sum(any(name.startswith("cut") for name in faults) for faults in pieces)
    others = sum(any(not name.startswith("cut") for name in faults) for faults in pieces)
    taken = sum(clip.taken for clip in clips)
    return [
        str(len(clips)),
        *(percent(lambda clip, name=name: getattr(clip.errors, name)) for name in ("wer", "skipped", "repeated")),  # type: ignore[misc]
        percent(lambda clip: bool(clip.words)),
        str(sum(clip.empty for clip in clips)),
        f"{100 * sum(map(bool, pieces)) / len(pieces):.1f}",
        str(cut),
        str(others),
        f"{sum(clip.tries for clip in clips) / len(pieces):.2f}",
        f"{sum(clip.seconds for clip in clips) / taken:.1f}" if taken else "–",
    ]


HEAD = ("n", "WER %", "skip %", "rep %", "bad %", "empty", "faulty %", "cut", "other", "tries", "x real time")


def table(clips: Sequence[Clip], args: argparse.Namespace) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("list", "way"):
        shown.add_column(head, no_wrap=True)
    for head in HEAD:
        shown.add_column(head, justify="right", no_wrap=True)
    for name in args.lists:
        for way in args.ways:
            if found := [clip for clip in clips if (clip.list, clip.way) == (name, way)]:
                shown.add_row(name, way, *row(found))
    return shown


def report(args: argparse.Namespace) -> int:
    """Measure and print. Ctrl-C prints the table so far. Returns the exit status."""
    clips: list[Clip] = []
    status = 0
    try:
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("speaking and transcribing", total=1.0)
            for clip in measure(args, lambda done: bar.update(task, completed=done)):
                clips.append(clip)
    except KeyboardInterrupt:
        print("interrupted; results so far:", file=sys.stderr)
        status = 130
    finally:
        write_json(args.json, [dataclasses.asdict(clip) for clip in clips])
    Console(width=130 if not sys.stdout.isatty() else None, highlight=False).print(table(clips, args))
    asr = os.environ.get("VIVAVOCE_ASR") or verify.DEFAULT_ASR
    print(f"{args.model}; Whisper {asr} judges, and verifies in the way with asr")
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("--model", default="nanospeech", help="nanospeech, whisperspeech, a folder or a hub name")
    parse.add_argument("--backend", default="auto", help="(auto)")
    parse.add_argument("--device", default="auto", help="(auto)")
    parse.add_argument("--lists", nargs="+", choices=LISTS, default=list(LISTS), help="(all)")
    parse.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), help="(all)")
    parse.add_argument("--voices", nargs="+", default=list(BUILTIN_VOICES), help="(the built-in voices)")
    parse.add_argument("--seeds", type=int, default=1, help="readings of each line (1)")
    parse.add_argument("--seed", type=int, default=0, help="seed of the first reading of the first line (0)")
    parse.add_argument("--limit", type=int, help="only the first N lines of each list")
    parse.add_argument("--json", type=Path, metavar="FILE", help="write every clip and its transcript to FILE")
    args = parse.parse_args(arguments)
    for name in ("seeds", "limit"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parse.error(f"--{name} is {value}; it must be at least 1")
    return exit_status(lambda: report(args))


if __name__ == "__main__":
    sys.exit(main())
