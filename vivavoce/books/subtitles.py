"""Write the words of a speech and their times as subtitles, SubRip (.srt) or WebVTT (.vtt).

The layout follows subtitling practice: at most two lines of 42 characters and 7 seconds, cut where a sentence or a
clause ends, and shown a moment longer than the speech if nothing follows at once. Or a cue is a single word.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vivavoce.audio.files import atomic_write
from vivavoce.books.book import Cue
from vivavoce.systems.interface import Word

if TYPE_CHECKING:
    from vivavoce.synthesis.speech import Speech

FORMATS = ("srt", "vtt")
CUES = ("phrase", "word")

LINE = 42  # characters
LINES = 2
LONGEST, SHORTEST = 7.0, 1.2  # seconds that a cue is shown
PAUSE = 0.6  # seconds; a longer silence ends a cue
LINGER = 0.5  # seconds that a cue stays after its last word if there is time
GAP = 0.04  # seconds between cues, so that viewers notice the change

ESTIMATED = "this model gives no word times; the times of the subtitles are estimates"


def srt(words: Sequence[Word], cue: str = CUES[0], end: float | None = None) -> str:
    """Return the words as a SubRip file: numbered cues in order of time. Without words the file is empty.

    cue: one of CUES. end: the length of the sound in seconds, with which the last cue ends.
    """
    blocks = (
        f"{number}\n{_stamp(cue.start, ',')} --> {_stamp(cue.end, ',')}\n{cue.text.replace('-->', '→')}\n"
        for number, cue in enumerate(cues(words, cue, end), 1)
    )
    return "\n".join(blocks)


def vtt(words: Sequence[Word], cue: str = CUES[0], end: float | None = None) -> str:
    """Return the words as a WebVTT file. Arguments as for `srt`."""
    blocks = (
        f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')}\n{html.escape(cue.text, quote=False)}\n"
        for cue in cues(words, cue, end)
    )
    return "\n".join(["WEBVTT\n", *blocks])


def cues(words: Sequence[Word], cue: str = CUES[0], end: float | None = None) -> list[Cue]:
    """Return cues that do not overlap: words, or phrases in one or two lines, separated by a line break.

    Arguments as for `srt`.
    """
    shown = _single_words(words) if cue == "word" else _linger(_phrases(words))
    if shown and end is not None:
        shown[-1] = replace(shown[-1], end=max(end, shown[-1].start))
    return shown


def _single_words(words: Sequence[Word]) -> list[Cue]:
    """Return a cue for each word, to the start of the next if no pause lies between them."""
    found = []
    for word, following in itertools.zip_longest(words, words[1:]):
        end = word.end if following is None or following.start - word.end >= PAUSE else following.start
        found.append(Cue(word.start, max(end, word.start), word.text))
    return found


def _phrases(words: Sequence[Word]) -> list[Cue]:
    found: list[Cue] = []
    waiting: list[Word] = []
    for word, following in itertools.zip_longest(words, words[1:]):
        while waiting and not _fits([*waiting, word]):
            cut = _cut(waiting)
            found.append(_cue(waiting[:cut]))
            waiting = waiting[cut:]
        waiting.append(word)
        ends = _rank(word) == 2 and waiting[-1].end - waiting[0].start >= SHORTEST
        if following is None or following.start - word.end >= PAUSE or ends:
            found.append(_cue(waiting))
            waiting = []
    return found


def _linger(found: Sequence[Cue]) -> list[Cue]:
    """Show each cue a little longer than it is spoken."""
    shown = []
    for cue, after in itertools.zip_longest(found, found[1:]):
        end = max(cue.end + LINGER, cue.start + SHORTEST)
        if after is not None:
            end = min(end, max(after.start - GAP, (cue.start + after.start) / 2))
        shown.append(replace(cue, end=end))
    return shown


def timed(speech: Speech) -> Speech:
    """Return the speech with word times. Without times from the model they are estimated from the number of letters."""
    words, sounding = speech.text.split(), np.flatnonzero(speech.samples)
    if speech.words or not words or not len(sounding):
        return speech
    start, end = sounding[0] / speech.sample_rate, (sounding[-1] + 1) / speech.sample_rate
    ends = np.cumsum([len(word) + 1 for word in words])
    times = start + (end - start) * np.concatenate(([0], ends)) / ends[-1]
    found = (Word(w, float(a), float(b)) for w, a, b in zip(words, times[:-1], times[1:], strict=True))
    return replace(speech, words=tuple(found))


def check(path: Path) -> None:
    """Raise ValueError if subtitles cannot be written to `path`."""
    if path.suffix[1:].lower() not in FORMATS:
        raise ValueError(f"{path}: unknown extension {path.suffix!r} for subtitles; known are {', '.join(FORMATS)}")
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; a file name is needed")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")


def write(path: Path, words: Sequence[Word], cue: str = CUES[0], end: float | None = None) -> None:
    """Write the words as .srt or .vtt, depending on the extension. Other arguments as for `srt`.

    Raises ValueError as `check` does, and OSError.
    """
    check(path)
    atomic_write(path, (srt if path.suffix.lower() == ".srt" else vtt)(words, cue, end).encode())


def _stamp(seconds: float, point: str) -> str:
    ms = round(1000 * seconds)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"


def _fits(words: Sequence[Word]) -> bool:
    return words[-1].end - words[0].start <= LONGEST and len(_lines(words)) <= LINES


def _rank(word: Word) -> int:
    """Return 2 if a sentence ends with this word, 1 if a clause does, else 0."""
    mark = word.text.rstrip("\"')]”’»」』")[-1:]
    return 2 if mark and mark in ".!?…。！？" else 1 if mark and mark in ",;:—–" else 0


def _cut(words: Sequence[Word]) -> int:
    """Return the number of words of a full cue to keep: up to the last clause in its second half, or all."""
    clauses = [i for i in range(len(words) // 2, len(words)) if _rank(words[i])]
    return clauses[-1] + 1 if clauses else len(words)


def _lines(words: Sequence[Word]) -> list[str]:
    """Return as few lines as hold the words. Two lines are about equally long."""
    lines = [words[0].text]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word.text) <= LINE:
            lines[-1] += f" {word.text}"
        else:
            lines.append(word.text)
    if len(lines) != 2:
        return lines
    texts = [word.text for word in words]
    halves = [(" ".join(texts[:i]), " ".join(texts[i:])) for i in range(1, len(texts))]
    fitting = [pair for pair in halves if max(map(len, pair)) <= LINE]
    return list(min(fitting, key=lambda pair: abs(len(pair[0]) - len(pair[1])), default=lines))


def _cue(words: Sequence[Word]) -> Cue:
    return Cue(words[0].start, words[-1].end, "\n".join(_lines(words)))
