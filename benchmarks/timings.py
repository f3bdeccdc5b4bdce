"""Are the words where `Speech.words` says? Compared with the word times that Whisper's cross-attention gives.

    python benchmarks/timings.py

speaks each sentence in one of the built-in voices, the voices in turn, and has Whisper (extra `eval`) say when it hears
each word. Words that both have are compared. Whisper's own times are multiples of 20 ms and not exact: its word starts
take in part of the silence before. So the figure is how far two imperfect clocks differ, not an error of one of them.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vivavoce
from vivavoce import audio
from vivavoce.evaluation import SAMPLE_RATE, Recogniser
from vivavoce.pieces import Word

SENTENCES = Path(__file__).parent / "sentences" / "corpus-60.txt"


@dataclass(frozen=True)
class Result:
    words: int  # compared
    of: int  # spoken
    start_ms: float  # median of how far the starts are apart
    end_ms: float
    start_within_80: float  # share of the words, 0 to 1
    shift_ms: float  # median of ours less Whisper's: which clock is late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled", help="as of vivavoce speak")
    parser.add_argument("--sentences", type=Path, default=SENTENCES, help="one a line (default: corpus-60)")
    parser.add_argument("--limit", type=int, help="only the first so many")
    parser.add_argument("--asr", default="base", help="Whisper: a size to download or a CTranslate2 folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    given = parser.parse_args()
    try:
        tts, ears = vivavoce.load(given.model), Recogniser(given.asr)
        lines = given.sentences.read_text(encoding="utf-8").splitlines()[: given.limit]
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    names = [voice.name for voice in tts.voices]
    starts, ends, spoken = list[float](), list[float](), 0
    console = Console(stderr=True)
    for number, line in enumerate(track(lines, "sentences", console=console, disable=not console.is_terminal)):
        speech = tts.speak(line, names[number % len(names)], seed=given.seed + number)
        if not speech.words:
            sys.exit(f"error: the model {given.model} does not say when its words are spoken")
        heard = list(listen(ears, speech))
        spoken += len(speech.words)
        for ours, theirs in common(speech.words, heard):
            starts.append(ours.start - theirs.start)
            ends.append(ours.end - theirs.end)
    if not starts:
        sys.exit("error: Whisper heard none of the words")
    apart = np.abs(starts)
    result = Result(
        len(starts), spoken, 1000 * float(np.median(apart)), 1000 * float(np.median(np.abs(ends))),
        float(np.mean(apart <= 0.08)), 1000 * float(np.median(starts)),
    )  # fmt: skip
    table = Table("words", "of", "starts apart, median ms", "ends apart", "starts within 80 ms", "ours later by")
    table.add_row(
        str(result.words), str(result.of), f"{result.start_ms:.0f}", f"{result.end_ms:.0f}",
        f"{100 * result.start_within_80:.0f} %", f"{result.shift_ms:.0f} ms",
    )  # fmt: skip
    Console().print(table)
    if given.json is not None:
        audio.write_whole(given.json, json.dumps(asdict(result), indent=1).encode())


def listen(ears: Recogniser, speech: vivavoce.Speech) -> Iterator[Word]:
    """The words that Whisper hears, and when."""
    wave = audio.resample(speech.samples, speech.sample_rate, SAMPLE_RATE)
    segments, _ = ears.model.transcribe(
        wave, language="en", beam_size=1, temperature=0.0, condition_on_previous_text=False, word_timestamps=True
    )
    for segment in segments:
        for word in segment.words or ():
            yield Word(word.word.strip(), word.start, word.end)


def common(ours: tuple[Word, ...], theirs: list[Word]) -> Iterator[tuple[Word, Word]]:
    """The words that both have, in order."""
    matcher = difflib.SequenceMatcher(None, [bare(w) for w in ours], [bare(w) for w in theirs], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        yield from zip(ours[a : a + size], theirs[b : b + size], strict=True)


def bare(word: Word) -> str:
    return "".join(c for c in word.text.lower() if c.isalnum())


if __name__ == "__main__":
    main()
