"""Compare the word times of `Speech.words` with those of Whisper's cross-attention.

    python benchmarks/timings.py

Each sentence is spoken in one of the built-in voices, one after another, and transcribed by Whisper (extra `eval`) with
word times. Words that both have are compared. Whisper's times are multiples of 20 ms, and its word starts include part
of the silence before the word. The figures are thus the distance between two imperfect clocks, not an error of one.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from common import exit_status, parser, read_lines, write_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vivavoce
from vivavoce import audio
from vivavoce.metrics.asr import SAMPLE_RATE, WhisperRecognizer
from vivavoce.systems.interface import Word


@dataclass(frozen=True)
class Result:
    """Medians over the compared words."""

    words: int  # compared
    of: int  # spoken
    start_ms: float  # distance between the starts
    end_ms: float  # distance between the ends
    start_within_80: float  # share of words whose starts are at most 80 ms apart, 0 to 1
    shift_ms: float  # start in `Speech.words` minus start by Whisper


def main() -> int:
    parse = parser(__doc__)
    parse.add_argument("--model", default="nanospeech", help="nanospeech, whisperspeech, a folder or a hub name")
    parse.add_argument("--sentences", type=Path, metavar="FILE", help="one sentence a line (default: corpus-60)")
    parse.add_argument("--limit", type=int, metavar="N", help="only the first N sentences")
    parse.add_argument("--asr", default="base", help="Whisper: a size to download or a CTranslate2 folder (base)")
    parse.add_argument("--seed", type=int, default=0, help="seed of the first sentence (0)")
    parse.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    args = parse.parse_args()
    return exit_status(lambda: measure(args))


def measure(args: argparse.Namespace) -> None:
    """Speak, transcribe, compare, and print the table. Raises ValueError if there is nothing to compare."""
    tts, recognizer = vivavoce.load(args.model), WhisperRecognizer(args.asr)
    lines = read_lines(args.sentences or "corpus-60", args.limit)
    names = [voice.name for voice in tts.voices]
    starts, ends, spoken = list[float](), list[float](), 0
    console = Console(stderr=True)
    for number, line in enumerate(track(lines, "sentences", console=console, disable=not console.is_terminal)):
        speech = tts.speak(line, names[number % len(names)], seed=args.seed + number)
        if not speech.words:
            raise ValueError(f"model {args.model!r} does not report word times")
        spoken += len(speech.words)
        for ours, theirs in common_words(speech.words, list(transcribe(recognizer, speech))):
            starts.append(ours.start - theirs.start)
            ends.append(ours.end - theirs.end)
    if not starts:
        raise ValueError("Whisper recognised none of the words")
    apart = np.abs(starts)
    result = Result(
        words=len(starts),
        of=spoken,
        start_ms=1000 * float(np.median(apart)),
        end_ms=1000 * float(np.median(np.abs(ends))),
        start_within_80=float(np.mean(apart <= 0.08)),
        shift_ms=1000 * float(np.median(starts)),
    )
    table = Table("words", "of", "starts apart, median ms", "ends apart", "starts within 80 ms", "shift")
    table.add_row(
        str(result.words),
        str(result.of),
        f"{result.start_ms:.0f}",
        f"{result.end_ms:.0f}",
        f"{100 * result.start_within_80:.0f} %",
        f"{result.shift_ms:+.0f} ms",
    )
    Console().print(table)
    write_json(args.json, asdict(result))


def transcribe(recognizer: WhisperRecognizer, speech: vivavoce.Speech) -> Iterator[Word]:
    """Yield the words of Whisper's transcript with their times."""
    wave = audio.resample(speech.samples, speech.sample_rate, SAMPLE_RATE)
    segments, _ = recognizer.model.transcribe(
        wave, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False, word_timestamps=True
    )
    for segment in segments:
        for word in segment.words or ():
            yield Word(word.word.strip(), word.start, word.end)


def common_words(ours: tuple[Word, ...], theirs: list[Word]) -> Iterator[tuple[Word, Word]]:
    """Yield the words that both have, in order."""
    matcher = difflib.SequenceMatcher(None, [bare(w) for w in ours], [bare(w) for w in theirs], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        yield from zip(ours[a : a + size], theirs[b : b + size], strict=True)


def bare(word: Word) -> str:
    return "".join(c for c in word.text.lower() if c.isalnum())


if __name__ == "__main__":
    sys.exit(main())
