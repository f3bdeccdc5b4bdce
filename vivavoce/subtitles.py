"""Words and their times → subtitles, SRT and WebVTT; and SRT → `Cue`s, for a text that is to be spoken in time.

Lines and times keep to what subtitlers agree on: two lines of 42 characters, up to 7 s, cut where a sentence or a
clause ends, and shown a moment longer than heard where nothing follows at once.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vivavoce import audio
from vivavoce.pieces import Word
from vivavoce.speech import Speech

FORMATS = ("srt", "vtt")

LINE = 42  # characters
LINES = 2
LONGEST, SHORTEST = 7.0, 1.2  # seconds that a cue is seen
PAUSE = 0.6  # seconds of silence that end a cue
LINGER = 0.5  # seconds that a cue stays after its last word, where there is time
GAP = 0.04  # seconds between cues, so that the change is seen

ESTIMATED = "this model cannot tell when it says each word; the times of the subtitles are estimates"


@dataclass(frozen=True)
class Cue:
    """A text, and when it is seen or said: seconds from the start."""

    start: float
    end: float
    text: str


def srt(words: Sequence[Word]) -> str:
    """The words as a SubRip file: numbered cues, in order of time. No words: an empty file."""
    blocks = (
        f"{number}\n{_stamp(cue.start, ',')} --> {_stamp(cue.end, ',')}\n{cue.text.replace('-->', '→')}\n"
        for number, cue in enumerate(cues(words), 1)
    )
    return "\n".join(blocks)


def vtt(words: Sequence[Word]) -> str:
    """The words as a WebVTT file."""
    blocks = (
        f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')}\n{html.escape(cue.text, quote=False)}\n"
        for cue in cues(words)
    )
    return "\n".join(["WEBVTT\n", *blocks])


def cues(words: Sequence[Word]) -> list[Cue]:
    """Words as cues of one or two lines, parted by a line break. No cue begins before the one before it ends."""
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
    shown = []
    for cue, after in itertools.zip_longest(found, found[1:]):
        end = max(cue.end + LINGER, cue.start + SHORTEST)
        if after is not None:
            end = min(end, max(after.start - GAP, (cue.start + after.start) / 2))
        shown.append(replace(cue, end=end))
    return shown


def timed(speech: Speech) -> Speech:
    """A piece of speech with words whose times, where the model cannot tell them, go by the number of letters."""
    words, heard = speech.text.split(), np.flatnonzero(speech.samples)
    if speech.words or not words or not len(heard):
        return speech
    start, end = heard[0] / speech.sample_rate, (heard[-1] + 1) / speech.sample_rate
    ends = np.cumsum([len(word) + 1 for word in words])
    times = start + (end - start) * np.concatenate(([0], ends)) / ends[-1]
    found = (Word(w, float(a), float(b)) for w, a, b in zip(words, times[:-1], times[1:], strict=True))
    return replace(speech, words=tuple(found))


def check(path: Path) -> None:
    """Raise ValueError where subtitles cannot be written to `path`."""
    if path.suffix[1:].lower() not in FORMATS:
        raise ValueError(f"{path}: unknown extension {path.suffix!r} for subtitles; known are {', '.join(FORMATS)}")
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; a file name is needed")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")


def write(path: Path, words: Sequence[Word]) -> None:
    """Write the words as .srt or .vtt, by the extension. Raises ValueError as `check`, and OSError."""
    check(path)
    audio.write_whole(path, (srt if path.suffix.lower() == ".srt" else vtt)(words).encode())


def read_srt(text: str, name: str = "the subtitles") -> list[Cue]:
    """The cues of a SubRip file in order of time, without markup (<i>, {\\an8}) and the dashes of a dialogue.

    Cues without text are left out. Raises ValueError, naming `name` and the line, for what is no SubRip.
    """
    found: list[Cue] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    times = [(i, m.groups()) for i, line in enumerate(lines) if (m := _TIMES.match(line))]
    for number, line in enumerate(lines, 1):
        if "-->" in line and not _TIMES.match(line):
            raise ValueError(f"{name}: line {number}, {line[:60]!r}: must be 00:00:01,000 --> 00:00:02,500")
    if not times:
        raise ValueError(f"{name} has no times, such as 00:00:01,000 --> 00:00:02,500; it is no SubRip file")
    numbered = times[0][0] > 0 and lines[times[0][0] - 1].strip().isdecimal()
    places = [at for at, _ in times]
    for (at, written), following in zip(times, [*places[1:], len(lines) + 1], strict=True):
        start, end = map(_seconds, written)
        if end < start:
            raise ValueError(f"{name}: line {at + 1}, {lines[at][:60]!r}: the cue ends before it begins")
        said = lines[at + 1 : following]
        if numbered and following < len(lines) and said and said[-1].strip().isdecimal():
            said.pop()  # the number of the next cue
        words = " ".join(" ".join(_DASH.sub("", _MARKUP.sub("", line)) for line in said).split())
        if words:
            found.append(Cue(start, end, html.unescape(words)))
    return sorted(found, key=lambda cue: cue.start)


_TIME = r"(\d{1,3}:\d{1,2}:\d{1,2}(?:[,.]\d{1,3})?)"
_TIMES = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$", re.ASCII)
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
_DASH = re.compile(r"^\s*[-–—]\s*(?=\S)")


def _seconds(written: str) -> float:
    hours, minutes, seconds = written.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _stamp(seconds: float, point: str) -> str:
    ms = round(1000 * seconds)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"


def _fits(words: Sequence[Word]) -> bool:
    return words[-1].end - words[0].start <= LONGEST and len(_lines(words)) <= LINES


def _rank(word: Word) -> int:
    """2: a sentence ends with this word; 1: a clause; 0: neither."""
    mark = word.text.rstrip("\"')]”’»」』")[-1:]
    return 2 if mark and mark in ".!?…。！？" else 1 if mark and mark in ",;:—–" else 0


def _cut(words: Sequence[Word]) -> int:
    """After how many words a cue that is full had best end: at the last clause of its second half, else where it is."""
    clauses = [i for i in range(len(words) // 2, len(words)) if _rank(words[i])]
    return clauses[-1] + 1 if clauses else len(words)


def _lines(words: Sequence[Word]) -> list[str]:
    """As few lines as hold the words; two of them about as long as each other."""
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
