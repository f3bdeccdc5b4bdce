"""Measure how loudness, pace and memory drift over long speech; ten minutes by default.

    python benchmarks/long.py

The text is sentences of corpus-60, with the same passage of about two minutes at the beginning and at the end. Drift is
the difference between the two readings of the passage: of the loudness during speech, in dB, and of the words a minute,
in %. The memory of the process is read after each chunk. The slope of a line through it, without the first
quarter, is extrapolated to three hours. `--by stream` measures `TTS.stream`, `--by file` measures
`vivavoce speak --file`.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from common import exit_status, parser, read_lines, write_json
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import vivavoce
from vivavoce import audio
from vivavoce.books.narrate import Narration
from vivavoce.books.readers import Book, Chapter

PASSAGE = 24  # sentences, spoken at both ends
PARAGRAPH = 4  # sentences
WORDS_A_SECOND = 2.6  # estimates the length of a text
BOOK_MINUTES = 180
SPEECH_DB = -30.0  # relative to the loudest 10 ms of a chunk; anything quieter is a pause


@dataclass(frozen=True)
class Stretch:
    """One reading of the passage."""

    seconds: float
    words_a_minute: float
    loudness_db: float


@dataclass(frozen=True)
class Result:
    """Figures of the whole run."""

    minutes: float  # of speech
    speed: float  # times faster than real time
    first: Stretch
    last: Stretch
    drift_db: float
    drift_pace_percent: float
    peak_mb: float
    slope_mb_per_minute: float
    book_mb: float  # extrapolated to BOOK_MINUTES


def texts(minutes: float) -> tuple[str, str]:
    """Return the passage, and a text of about `minutes` that begins and ends with it."""
    sentences = read_lines("corpus-60")
    few = max(2, min(PASSAGE, int(PASSAGE * minutes / 10)))  # a shorter text has a shorter passage
    passage, rest = sentences[:few], sentences[few:]
    words = minutes * 60 * WORDS_A_SECOND - 2 * len(" ".join(passage).split())
    between: list[str] = []
    while len(" ".join(between).split()) < words:
        between.append(rest[len(between) % len(rest)])
    return paragraphs(passage), "\n\n".join(paragraphs(part) for part in (passage, between, passage) if part)


def paragraphs(sentences: Sequence[str]) -> str:
    return "\n\n".join(" ".join(sentences[i : i + PARAGRAPH]) for i in range(0, len(sentences), PARAGRAPH))


def speak(tts: vivavoce.TTS, text: str, args: argparse.Namespace, show: Progress) -> Iterator[vivavoce.Speech]:
    """Yield the speech of each chunk, by `TTS.stream` or as `speak --file` writes it."""
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
    """Return the current memory of the process (the peak, if the system does not report it) and the peak."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmRSS:")[1].split()[0]) / 2**10, peak
    except (OSError, IndexError):
        return peak, peak


@dataclass(frozen=True)
class Chunk:
    """Measurements of one chunk."""

    words: int
    seconds: float  # including the pause
    pause: float  # seconds, at the end
    power: float  # summed over the 10 ms frames with speech
    frames: int  # number of those frames


def stretch(pieces: Sequence[Chunk]) -> Stretch:
    """Return the pace and loudness of consecutive chunks."""
    words, power, frames = (sum(getattr(p, name) for p in pieces) for name in ("words", "power", "frames"))
    seconds = sum(p.seconds for p in pieces) - pieces[-1].pause  # no pause follows the last word
    return Stretch(seconds, 60 * words / seconds, float(10 * np.log10(power / frames)))


def measure(tts: vivavoce.TTS, args: argparse.Namespace) -> Result:
    """Speak the text and return the figures."""
    passage, text = texts(args.minutes)
    size = sum(len(planned.written.split()) for planned in tts.preview(passage, args.voice).pieces)
    pieces: list[Chunk] = []
    memory: list[tuple[float, float]] = []  # minutes, MB
    begun, minutes, peak = time.perf_counter(), 0.0, 0.0
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as show:
        for speech in speak(tts, text, args, show):
            levels = audio.frame_db(speech.samples, speech.sample_rate)
            levels = levels[levels > levels.max() + SPEECH_DB]
            words = len(speech.words) or len(speech.text.split())
            pause = sum(piece.pause for piece in speech.pieces)
            pieces.append(Chunk(words, speech.duration, pause, float(np.sum(10 ** (levels / 10))), len(levels)))
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
    parse = parser(__doc__)
    parse.add_argument("--model", default="nanospeech", help="nanospeech, whisperspeech, a folder or a hub name")
    parse.add_argument("--voice", default="celeste", help="(celeste)")
    parse.add_argument("--minutes", type=float, default=10.0, help="approximate length of the speech (10)")
    parse.add_argument("--by", choices=("stream", "file"), default="file", help="TTS.stream or speak --file (file)")
    parse.add_argument("--seed", type=int, default=0, help="(0)")
    parse.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    args = parse.parse_args(argv)
    if not args.minutes > 0:
        parse.error(f"--minutes is {args.minutes:g}; it must be above 0")
    return args


def report(args: argparse.Namespace) -> None:
    """Measure and print."""
    tts = vivavoce.load(args.model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = measure(tts, args)
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"{args.model}, {args.voice}, by {args.by}: {result.minutes:.1f} minutes of speech,", end=" ")
    out.print(f"{result.speed:.1f} times faster than real time; {len(caught)} warnings")
    out.print(table(result))
    out.print(f"memory: peak {result.peak_mb:.0f} MB, slope {result.slope_mb_per_minute:+.2f} MB a minute;", end=" ")
    out.print(f"extrapolated to {BOOK_MINUTES // 60} hours: {result.book_mb:.0f} MB")
    write_json(args.json, {**vars(args), **asdict(result)})


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    return exit_status(lambda: report(args))


if __name__ == "__main__":
    sys.exit(main())
