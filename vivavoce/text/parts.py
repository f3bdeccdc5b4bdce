"""Normalise the segments of one block together, so that each is read in the context of its neighbours.

A literal segment, such as the reading of a lexicon word, must not change, yet the text around it depends on it: in
"`OpenAI`, @OpenAI" the marks beside the word are dropped or read, and a space remains. A single letter that no rule
knows therefore stands for it while the text is normalised.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from vivavoce.text.characters import Change
from vivavoce.text.normalise import normalise
from vivavoce.text.prosody import Prosody
from vivavoce.text.segments import Segment

_FIRST, _LAST = 0x28000, 0x2A6D0  # rare letters (CJK Extension B): the stand-ins


Mark = tuple[str, Prosody]  # the language and the prosody of a character


def normalise_parts(parts: Sequence[Segment], lang: str) -> tuple[str, tuple[Mark, ...], list[Change]]:
    """Return the words of segments, the mark of each character that is not white space, and the changes.

    lang: the language of segments without one. Raises ValueError for a language that cannot be normalised.
    """
    text, marks, changes = "", list[Mark](), list[Change]()
    raw_end = ""
    for mark, group in itertools.groupby(parts, lambda part: (part.lang or lang, part.prosody)):
        segments = list(group)
        words, made = _normalise_group(segments, mark[0])
        changes += made
        raw = "".join(segment.text for segment in segments)
        text += _gap(raw_end, raw[:1], text, words) + words
        marks += [mark] * len("".join(words.split()))
        raw_end = raw[-1:] or raw_end
    return text.strip(), tuple(marks), changes


def _gap(raw_end: str, raw_start: str, text: str, words: str) -> str:
    """Return the space between two stretches: where it was written, and where marks between two words were dropped."""
    if not text or not words:
        return ""
    if raw_end.isspace() or raw_start.isspace():
        return " "
    written_as_one = raw_end.isalnum() and raw_start.isalnum()
    return " " if text[-1].isalnum() and words[0].isalnum() and not written_as_one else ""


def _normalise_group(segments: Sequence[Segment], code: str) -> tuple[str, list[Change]]:
    """Return the words of segments in one language, and the changes."""
    changes = [change for segment in segments for change in segment.changes]
    stand_ins = _stand_ins("".join(segment.text for segment in segments))
    literals: dict[str, Segment] = {}
    text = ""
    for segment in segments:
        if not segment.literal:
            text += segment.text
            continue
        sign = next(stand_ins)
        literals[sign] = segment
        # two readings one after another are two words
        text += f" {sign}" if text[-1:] in literals else sign
    words, made = normalise(text, code)
    if not literals:
        return words, changes + made
    known = re.compile("[" + "".join(literals) + "]")
    if known.findall(words) != list(literals):  # a rule dropped or repeated a reading: normalise the parts on their own
        return _apart(segments, code)

    def written(m: re.Match[str]) -> str:
        segment = literals[m[0]]
        return segment.changes[-1].before if segment.changes else segment.text

    def spoken(m: re.Match[str]) -> str:
        # what was between a reading and its neighbour may have been invisible
        left = " " if m.string[m.start() - 1 : m.start()].isalnum() and m[0] not in starts_in_word else ""
        right = " " if m.string[m.end() : m.end() + 1].isalnum() and m[0] not in ends_in_word else ""
        return f"{left}{literals[m[0]].text}{right}"

    starts_in_word = set(re.findall(rf"(?<=[^\W_]){known.pattern}", text))
    ends_in_word = set(re.findall(rf"{known.pattern}(?=[^\W_])", text))
    made = [Change(c.rule, known.sub(written, c.before), known.sub(spoken, c.after)) for c in made]
    return known.sub(spoken, words), changes + made


def _stand_ins(text: str) -> Iterator[str]:
    taken = set(text)
    return (chr(code) for code in range(_FIRST, _LAST) if chr(code) not in taken)


def _apart(segments: Sequence[Segment], code: str) -> tuple[str, list[Change]]:
    text, raw_end, changes = "", "", list[Change]()
    for segment in segments:
        words, made = (segment.text, []) if segment.literal else normalise(segment.text, code)
        changes += [*segment.changes, *made]
        text += _gap(raw_end, segment.text[:1], text, words) + words
        raw_end = segment.text[-1:] or raw_end
    return text, changes
