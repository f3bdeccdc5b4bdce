"""What is gained by checking each piece of speech and making it again where it went wrong?

    python benchmarks/repair.py

speaks all sentence lists in three ways: each piece made once; made again, at most twice, where its sound has a fault
(`vivavoce speak` does so); and where Whisper does not hear all of its words, either (`--verify asr`). It prints word
errors, faulty pieces and what it cost.

    python benchmarks/repair.py --lists short-20 --seeds 20 --ways retries

is one and two words in twenty readings each: is one cut off, or empty? benchmarks/README.md explains the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import vivavoce
from vivavoce import verify
from vivavoce.checks import Fault
from vivavoce.config import BUILTIN_VOICES
from vivavoce.evaluation import WordErrors, word_errors

HERE = Path(__file__).parent
LISTS = ("corpus-60", "harvard-40", "short-20", "hard-30")
HARD = HERE.parent / "tests" / "data" / "hard-30.tsv"  # how the lines of hard-30 are to be said
WAYS: dict[str, dict[str, Any]] = {
    "once": {"retries": 0},
    "retries": {"retries": 2},
    "retries, asr": {"retries": 2, "verify": "asr"},
}


@dataclass(frozen=True)
class Clip:
    """A sentence, spoken in one of the ways."""

    list: str
    way: str
    voice: str
    seed: int
    text: str
    heard: str
    errors: WordErrors
    pieces: tuple[tuple[str, ...], ...]  # the names of the faults of each, by its sound
    words: tuple[str, ...]  # the same by the words that are heard in the whole
    tries: int  # of all pieces together
    seconds: float  # of speech
    taken: float  # to make it

    @property
    def empty(self) -> bool:
        return not self.heard or not self.seconds


def sentences(name: str, limit: int | None) -> list[tuple[str, str]]:
    """What is written and what is to be said."""
    lines = (HERE / "sentences" / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    written = [line for line in lines if line.strip()]
    said = written
    if name == "hard-30":
        rows = [line.split("\t") for line in HARD.read_text(encoding="utf-8").split("\n")[1:] if line]
        spoken = {row[0]: row[1] for row in rows}
        said = [spoken[line] for line in written]
    return list(zip(written, said, strict=True))[:limit]


class Bench:
    """Speaks and listens. What has been heard before is not listened to again: most pieces are alike in all ways."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.tts = vivavoce.load(args.model, args.backend, args.device)
        self.ear = verify.recogniser()
        self.heard: dict[bytes, str] = {}

    def clip(self, name: str, way: str, voice: str, seed: int, written: str, said: str) -> Clip:
        options = dict(WAYS[way])
        if "verify" in options:
            options["verify"] = self.ear
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
            self.heard[key] = self.ear.transcribe(speech.samples, speech.sample_rate, "en")
        heard = self.heard[key]
        pieces = tuple(by_sound(check.faults) for check in speech.checks)
        words = tuple(fault.name for fault in verify.faults(said, heard, "en"))
        tries = sum(check.tries for check in speech.checks)
        errors = word_errors(said, heard)
        return Clip(name, way, voice, seed, said, heard, errors, pieces, words, tries, speech.duration, taken)

    def forget(self) -> None:
        self.heard.clear()


def by_sound(faults: Sequence[Fault]) -> tuple[str, ...]:
    return tuple(fault.name for fault in faults if fault.name not in ("dropped", "repeated", "misheard"))


def measure(args: argparse.Namespace, show: Callable[[float], None]) -> Iterator[Clip]:
    """All ways of a sentence one after another."""
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
    """Means over the clips of each voice, then over the voices; of rare things, how many there are."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--lists", nargs="+", choices=LISTS, default=list(LISTS))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--voices", nargs="+", default=list(BUILTIN_VOICES))
    parser.add_argument("--seeds", type=int, default=1, help="readings of each line (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the first reading of the first line (0)")
    parser.add_argument("--limit", type=int, help="only so many lines of each list")
    parser.add_argument("--json", type=Path, help="write every clip, with what was heard, to this file")
    args = parser.parse_args(arguments)
    if args.seeds < 1 or (args.limit is not None and args.limit < 1):
        parser.error("--seeds and --limit must be at least 1")
    clips: list[Clip] = []
    status = 0
    try:
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("speaking and listening", total=1.0)
            for clip in measure(args, lambda done: bar.update(task, completed=done)):
                clips.append(clip)
    except KeyboardInterrupt:
        print("interrupted: what there is until here", file=sys.stderr)
        status = 130
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        if args.json is not None:
            args.json.write_text(json.dumps([dataclasses.asdict(clip) for clip in clips], indent=1, ensure_ascii=False))
    Console(width=130 if not sys.stdout.isatty() else None, highlight=False).print(table(clips, args))
    print(f"{args.model}; Whisper {os.environ.get('VIVAVOCE_ASR') or verify.DEFAULT_ASR}, which also is who verifies")
    return status


if __name__ == "__main__":
    sys.exit(main())
