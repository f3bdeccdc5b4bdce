"""Does long speech stay level, and does it stay small in memory? Ten minutes of it, unless told otherwise.

    python benchmarks/long.py

speaks sentences of corpus-60 with the same passage, some two minutes, at the beginning and at the end. What differs
between the two is drift: of the loudness while somebody speaks, in dB, and of the words a minute, in %. The memory of
the process is read after each piece; a line through it after the first quarter is the slope, and what three hours would
take is the peak plus that slope. `--by stream` measures `TTS.stream`, `--by file` what `vivavoce speak --file` does.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import vivavoce
from vivavoce import audio
from vivavoce.books import Book, Chapter
from vivavoce.narrate import Narration

SENTENCES = Path(__file__).parent / "sentences" / "corpus-60.txt"
PASSAGE = 24  # sentences that are spoken at both ends
PARAGRAPH = 4  # sentences
WORDS_A_SECOND = 2.6  # to make a text of about so many minutes
BOOK_MINUTES = 180
SPEECH_DB = -30.0  # below the loudest 10 ms of a piece: what is quieter is a pause


@dataclass(frozen=True)
class Stretch:
    """The passage, as spoken once."""

    seconds: float
    words_a_minute: float
    loudness_db: float


@dataclass(frozen=True)
class Result:
    minutes: float  # of speech
    speed: float  # times faster than real time
    first: Stretch
    last: Stretch
    drift_db: float
    drift_pace_percent: float
    peak_mb: float
    slope_mb_per_minute: float
    book_mb: float  # what BOOK_MINUTES would take


def texts(minutes: float) -> tuple[str, str]:
    """The passage, and a text of about so many minutes that begins and ends with it."""
    sentences = SENTENCES.read_text(encoding="utf-8").split("\n")
    sentences = [sentence for sentence in sentences if sentence.strip()]
    few = max(2, min(PASSAGE, int(PASSAGE * minutes / 10)))  # in a shorter text the passage is shorter, too
    passage, rest = sentences[:few], sentences[few:]
    words = minutes * 60 * WORDS_A_SECOND - 2 * len(" ".join(passage).split())
    between: list[str] = []
    while len(" ".join(between).split()) < words:
        between.append(rest[len(between) % len(rest)])
    return paragraphs(passage), "\n\n".join(paragraphs(part) for part in (passage, between, passage) if part)


def paragraphs(sentences: Sequence[str]) -> str:
    return "\n\n".join(" ".join(sentences[i : i + PARAGRAPH]) for i in range(0, len(sentences), PARAGRAPH))


def spoken(tts: vivavoce.TTS, text: str, args: argparse.Namespace, show: Progress) -> Iterator[vivavoce.Speech]:
    task = show.add_task("speaking", total=1.0)
    options = {"voice": args.voice, "seed": args.seed}
    if args.by == "stream":
        yield from tts.stream(text, progress=lambda done: show.update(task, completed=done), **options)
        return
    with tempfile.TemporaryDirectory() as folder:
        book = Book("Ten minutes", (Chapter("", text),))
        narration = Narration(tts, book, Path(folder, "long.mp3"), captions=Path(folder, "long.srt"), **options)
        yield from narration.speak(lambda what, done: show.update(task, completed=done))


def memory_mb() -> tuple[float, float]:
    """What the process has now, where the system tells, and what it had at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmRSS:")[1].split()[0]) / 2**10, peak
    except (OSError, IndexError):
        return peak, peak


@dataclass(frozen=True)
class Spoken:
    """A piece."""

    words: int
    seconds: float
    pause: float  # of these seconds, at its end
    power: float  # of all 10 ms with speech in them
    frames: int  # how many these are


def stretch(pieces: Sequence[Spoken]) -> Stretch:
    words, power, frames = (sum(getattr(p, name) for p in pieces) for name in ("words", "power", "frames"))
    seconds = sum(p.seconds for p in pieces) - pieces[-1].pause  # there is none where the text ends
    return Stretch(seconds, 60 * words / seconds, float(10 * np.log10(power / frames)))


def measure(tts: vivavoce.TTS, args: argparse.Namespace) -> Result:
    passage, text = texts(args.minutes)
    size = sum(len(planned.written.split()) for planned in tts.preview(passage, args.voice).pieces)
    pieces: list[Spoken] = []
    memory: list[tuple[float, float]] = []  # minutes, MB
    begun, minutes, peak = time.perf_counter(), 0.0, 0.0
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as show:
        for speech in spoken(tts, text, args, show):
            levels = audio.frame_db(speech.samples, speech.sample_rate)
            levels = levels[levels > levels.max() + SPEECH_DB]
            words = len(speech.words) or len(speech.text.split())
            pause = sum(piece.pause for piece in speech.pieces)
            pieces.append(Spoken(words, speech.duration, pause, float(np.sum(10 ** (levels / 10))), len(levels)))
            minutes += speech.duration / 60
            now, peak = memory_mb()
            memory.append((minutes, now))
    taken = time.perf_counter() - begun
    count = np.cumsum([piece.words for piece in pieces])
    first = stretch([piece for piece, total in zip(pieces, count, strict=True) if total <= size])
    last = stretch([piece for piece, total in zip(pieces, count, strict=True) if total > count[-1] - size])
    settled = np.array([point for point in memory if point[0] >= minutes / 4])
    slope = float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])
    return Result(
        minutes=minutes,
        speed=60 * minutes / taken,
        first=first,
        last=last,
        drift_db=last.loudness_db - first.loudness_db,
        drift_pace_percent=100 * (last.words_a_minute / first.words_a_minute - 1),
        peak_mb=peak,
        slope_mb_per_minute=slope,
        book_mb=peak + max(0.0, slope) * max(0.0, BOOK_MINUTES - minutes),
    )


def table(result: Result) -> Table:
    shown = Table("", "first", "last", "drift", box=None)
    first, last = result.first, result.last
    shown.add_row(
        "loudness, dB", f"{first.loudness_db:.2f}", f"{last.loudness_db:.2f}", f"{result.drift_db:+.2f} (under 1)"
    )
    paces = (f"{each.words_a_minute:.1f}" for each in (first, last))
    shown.add_row("words a minute", *paces, f"{result.drift_pace_percent:+.1f} % (under 5)")
    return shown


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speak for minutes; measure drift and memory.")
    parser.add_argument("--model", default="bundled", help="bundled, whisperspeech, a folder or a hub name (bundled)")
    parser.add_argument("--voice", default="celeste", help="default: celeste")
    parser.add_argument("--minutes", type=float, default=10.0, help="of speech, about (10)")
    parser.add_argument("--by", choices=("stream", "file"), default="file", help="TTS.stream, or speak --file (file)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure")
    args = parser.parse_args(argv)
    if not args.minutes > 0:
        parser.error(f"--minutes is {args.minutes:g}; it must be above 0")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    tts = vivavoce.load(args.model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measure(tts, args)
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{args.model}, {args.voice}, by {args.by}: {result.minutes:.1f} minutes of speech,", end=" ")
    out.print(f"{result.speed:.1f} times faster than real time; {len(caught)} notices")
    out.print(table(result))
    out.print(f"memory: peak {result.peak_mb:.0f} MB, slope {result.slope_mb_per_minute:+.2f} MB a minute;", end=" ")
    out.print(f"{BOOK_MINUTES // 60} hours would take {result.book_mb:.0f} MB")
    if args.json:
        args.json.write_text(json.dumps({**vars(args), **asdict(result)}, indent=1, default=str), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
