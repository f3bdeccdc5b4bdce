r"""Parse SubRip (.srt) and WebVTT (.vtt) subtitles into cues to be spoken at their times.

What is not spoken is removed: markup (<i>, {\an8}), the dashes of a dialogue, sound notes in brackets ([door slams],
♪), and the names of speakers ("JOHN: ").
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from vivavoce.books.book import Cue, count_things

_TIME = r"((?:\d{1,3}:)?\d{1,2}:\d{1,2}(?:[,.]\d{1,3})?)"
_TIMES = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$", re.ASCII)
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_DASH = re.compile(r"^\s*[-–—]\s*(?=\S)")
_SOUND = re.compile(r"\[[^\[\]]*\]|[♪♫]+")
_SOUND_LINE = re.compile(r"\s*\([^()]*\)\s*")  # round brackets are a sound note only if the line has nothing else
_VOICE_TAG = re.compile(r"<v(?:\.[\w.-]+)?\s+([^<>]+)>")
_SPEAKER = re.compile(r"^\s*[A-Z][A-Z0-9 .'’-]{1,30}:\s+(?=\S)")


@dataclass(frozen=True)
class ParsedCues:
    """cues: in order of time. notices: one line each about what was removed or repaired."""

    cues: tuple[Cue, ...]
    notices: tuple[str, ...] = ()


def parse_cues(text: str, name: str = "the subtitles") -> ParsedCues:
    """Parse the cues of a SubRip or WebVTT file. Cues without words are left out.

    A cue that ends before it begins keeps its start. Raises ValueError, naming `name` and the line, for a wrong time,
    and for a text without times.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and re.match(r"\ufeff?WEBVTT(?:\s|$)", lines[0]):
        lines = _without_vtt_blocks(lines)
    times = [(i, m.groups()) for i, line in enumerate(lines) if (m := _TIMES.match(line))]
    for number, line in enumerate(lines, 1):
        if "-->" in line and not _TIMES.match(line):
            raise ValueError(f"{name}: line {number}, {line[:60]!r}: must be 00:00:01,000 --> 00:00:02,500")
    if not times:
        raise ValueError(f"{name} has no times, such as 00:00:01,000 --> 00:00:02,500; it is not a subtitle file")
    numbered = times[0][0] > 0 and lines[times[0][0] - 1].strip().isdecimal()
    places = [at for at, _ in times]
    found: list[Cue] = []
    removed: dict[str, int] = {}
    reversed_times = 0
    for (at, written), following in zip(times, [*places[1:], len(lines) + 1], strict=True):
        start, end = map(_seconds, written)
        if end < start:
            reversed_times, end = reversed_times + 1, start
        said = lines[at + 1 : following]
        if numbered and following < len(lines) and said and said[-1].strip().isdecimal():
            said.pop()  # the number of the next cue
        words = " ".join(filter(None, (_spoken(line, removed) for line in said)))
        if words:
            found.append(Cue(start, end, words, _speaker(said)))
    notices = [f"left out of the subtitles: {count_things(removed)}"] if removed else []
    if reversed_times:
        notices.append(f"{name}: {reversed_times} of {len(times)} cues end before they begin; only their start counts")
    if places != [at for at, _ in sorted(times, key=lambda each: _seconds(each[1][0]))]:
        notices.append(f"{name}: the cues are not in order of time; they are sorted")
    return ParsedCues(tuple(sorted(found, key=lambda cue: cue.start)), tuple(notices))


def _without_vtt_blocks(lines: list[str]) -> list[str]:
    """Blank the header, the NOTE, STYLE and REGION blocks and the names of cues, so that line numbers stay."""
    kept = list(lines)
    block: list[int] = []
    for i, line in enumerate([*lines, ""]):
        if line.strip():
            block.append(i)
            continue
        comment = block and re.match(r"(?:NOTE|STYLE|REGION)(?:\s|$)", lines[block[0]])
        timed = None if comment else next((j for j in block if "-->" in lines[j]), None)
        for j in block:
            if timed is None or j < timed:
                kept[j] = ""
        block = []
    return kept


def _spoken(line: str, removed: dict[str, int]) -> str:
    """Return the words of a line that are spoken. Count what is removed in `removed`."""
    line = html.unescape(_DASH.sub("", _MARKUP.sub("", line)))
    words = _SOUND.sub(" ", line)
    if _SOUND_LINE.fullmatch(words):
        words = ""
    if words.split() != line.split():
        removed["sound note"] = removed.get("sound note", 0) + 1
    spoken = _SPEAKER.sub("", words)
    if spoken != words:
        removed["name of a speaker"] = removed.get("name of a speaker", 0) + 1
    spoken = re.sub(r"\s+([.,;:!?])", r"\1", " ".join(spoken.split()))
    return spoken if any(map(str.isalnum, spoken)) else ""


def _speaker(lines: list[str]) -> str:
    """Return the speaker of a cue, if one is named: by <v NAME> or NAME: at the start of a line."""
    for line in lines:
        if m := _VOICE_TAG.search(line):
            return " ".join(m[1].split())
        if m := _SPEAKER.match(_SOUND.sub(" ", _DASH.sub("", _MARKUP.sub("", line)))):
            return m[0].strip().removesuffix(":").title()
    return ""


def _seconds(written: str) -> float:
    seconds = 0.0
    for part in written.replace(",", ".").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
