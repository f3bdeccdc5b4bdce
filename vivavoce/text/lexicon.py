"""A user's lexicon: words and phrases, and how to read them.

A file has one entry per line: the word or phrase, a tab, and the reading in plain words, or for a single word its
pronunciation between slashes, in IPA or ARPAbet. Lines that start with # are comments. A lexicon is applied to whole
words, before the text is normalised; the longest entry wins.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from vivavoce.text.pronunciation import inflect
from vivavoce.text.segments import Segment, append_segment, literal_segment, parse_pronounced

# A character of a word: a letter, a digit, or a combining accent.
_WORD = r"[^\W_]|[\u0300-\u036f]"
_APOSTROPHE = "['’]"
# What may not follow an entry: it does not match the start of "can't", but it does match that of "Nguyen's".
# An underscore may mark emphasis ("_nginx_") or join words ("nginx_2").
_AFTER = rf"(?!{_WORD}|_+[^\W_]|{_APOSTROPHE}(?![sS](?!{_WORD}|_[^\W_]))(?:{_WORD}))"
_INSIDE = re.compile(r"(?:[^\W_]_+|[\u0300-\u036f])$")  # what stands before the rest of a word
_START = re.compile(r"[^\W_]+|[^\w\s]|_")
_SPACE = r"(?:[^\S\n]+|[^\S\n]*\n[^\S\n]*)"  # a phrase may span lines, but not paragraphs


class Lexicon:
    """Readings of words and phrases: `Lexicon({"Nguyen": "win", "nginx": "engine ex"})`.

    An entry without capitals matches in any case; one with capitals matches only as written ("Polish", "IT"). An exact
    match takes precedence. An entry also covers its plain plural: "GIF" covers "GIFs". Readings are plain words without
    digits and are spoken as they stand. Raises ValueError naming the entry for an empty word, and for a reading that is
    not plain words.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self.entries: dict[str, str] = {}
        for word, words in entries.items():
            try:
                self._add(word, words)
            except ValueError as error:
                raise ValueError(f"lexicon entry {word!r}: {error}") from None
        self._candidates = _index(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"Lexicon({len(self)} entries)"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Lexicon:
        """Load a UTF-8 file. Raises ValueError naming the file and line, and OSError if it cannot be read."""
        try:
            content = Path(path).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: byte {error.start} is not UTF-8; a lexicon is a UTF-8 text file") from None
        lexicon, lines = cls({}), dict[str, int]()
        for number, line in enumerate(content.replace("\r\n", "\n").split("\n"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            word, *words = line.split("\t")
            try:
                if len(words) != 1:
                    raise ValueError(f"{len(words) or 'no'} tabs; a line must be a word, one tab, and its reading")
                if _folded(word) in lines:
                    raise ValueError(f"the word already has a reading, in line {lines[_folded(word)]}")
                lexicon._add(word, words[0])
            except ValueError as error:
                raise ValueError(f"{path}: line {number}, {line.strip()[:60]!r}: {error}") from None
            lines[_folded(word)] = number
        lexicon._candidates = _index(lexicon.entries)
        return lexicon

    def _add(self, word: str, words: str) -> None:
        if not isinstance(word, str) or not isinstance(words, str):
            raise ValueError("a word and its reading must both be str")
        key = _folded(word)
        if not key:
            raise ValueError("the word is empty")
        if key in self.entries:
            raise ValueError("the word already has a reading")
        reading, phones = parse_pronounced(key, words)
        self.entries[key] = f"/{phones}/" if phones else reading

    def apply(self, segment: Segment) -> list[Segment]:
        """Split a segment at its words with an entry: each becomes a literal segment with a "lexicon" `Change`.

        A literal segment is returned unchanged.
        """
        if segment.literal:
            return [segment]
        parts: list[Segment] = []
        done = 0
        rest = replace(segment, pause=0.0, changes=())
        for start, end, reading in self._found(segment.text):
            append_segment(parts, replace(rest, text=segment.text[done:start]))
            written = segment.text[start:end]
            if reading.startswith("/"):
                append_segment(parts, literal_segment(rest, "lexicon", written, written, reading.strip("/")))
            else:
                append_segment(parts, literal_segment(rest, "lexicon", written, reading))
            done = end
        if not parts:
            return [segment]
        append_segment(parts, replace(rest, text=segment.text[done:]))
        parts[-1] = replace(parts[-1], pause=segment.pause)
        parts[0] = replace(parts[0], changes=segment.changes + parts[0].changes)
        return parts

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, reading) of each match, in order."""
        done = 0
        for start in _START.finditer(text):
            first = start[0].lower()
            candidates = self._candidates.get(first, ())
            if first.endswith("s"):
                candidates = [*candidates, *self._candidates.get(first[:-1], ())]
            if not candidates or start.start() < done:
                continue
            if start[0][0].isalnum() and _INSIDE.search(text, max(0, start.start() - 8), start.start()):
                continue
            matches = [(m, word) for word in candidates if (m := _pattern(word).match(text, start.start()))]
            if matches:
                # The longest match; of equal ones, the one written like the text.
                m, word = max(matches, key=lambda found: (found[0].end(), _folded(found[0][0]) == found[1]))
                reading = self.entries[word]
                yield *m.span(), _plural(reading) if m["plural"] else reading
                done = m.end()


def _folded(word: str) -> str:
    """Return the key of an entry: NFC, white space folded, plain apostrophes."""
    return " ".join(unicodedata.normalize("NFC", word).replace("’", "'").split())


def _index(entries: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the entries by their first word in lower case, with accents composed and decomposed."""
    index: dict[str, list[str]] = {}
    for word in entries:
        for first in {_first(word), _first(unicodedata.normalize("NFD", word))}:
            index.setdefault(first.lower(), []).append(word)
    return index


def _first(word: str) -> str:
    first = _START.match(word)
    assert first is not None  # an entry is not empty and does not start with a space
    return first[0]


def _has_plural(word: str) -> bool:
    """Return whether an s makes a plural of an entry: not of "it", "new", "I" or "JS"."""
    if not word[-1].isalpha() or word[-1] in "sS":
        return False
    return len(word) > 3 or (len(word) > 1 and any(map(str.isupper, word[1:])))


def _plural(reading: str) -> str:
    """Return the plural of a reading: "jif" is "jifs", "box" is "boxes"."""
    if reading.startswith("/"):
        return f"/{inflect(reading.strip('/'))}/"
    if re.search(r"(?:s|x|z|ch|sh)$", reading):
        return f"{reading}es"
    return f"{reading[:-1]}ies" if re.search(r"[^aeiou\W]y$", reading) else f"{reading}s"


@lru_cache(4096)
def _pattern(word: str) -> re.Pattern[str]:
    """Return the pattern of an entry. It is compiled on first use because a lexicon may be large."""
    forms = dict.fromkeys((word, unicodedata.normalize("NFD", word)))
    spaced = (_SPACE.join(re.escape(part).replace("'", _APOSTROPHE) for part in form.split(" ")) for form in forms)
    plural = "(?P<plural>s)?" if _has_plural(word) else "(?P<plural>$^)?"
    return re.compile(f"(?:{'|'.join(spaced)}){plural}{_AFTER}", re.IGNORECASE if word == word.lower() else 0)
