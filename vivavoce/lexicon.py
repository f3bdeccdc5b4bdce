"""A user's own lexicon: words, and how they are to be read. (`train/lexicon.py` is a pronouncing dictionary.)

A file has one entry a line: the word or phrase, a tab, how to read it in plain words. Lines that begin with # are
comments. Applied to text before it is normalised, to whole words, the longest entry first.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from vivavoce.segments import Segment, put, read_as, reading

# What joins a word: letters, digits, accents that are characters of their own.
_WORD = r"[\w\u0300-\u036f]"
_APOSTROPHE = "['’]"
# An entry is not the beginning of "can't", but it is that of "Nguyen's".
_AFTER = rf"(?!{_WORD}|{_APOSTROPHE}(?![sS](?!{_WORD})){_WORD})"
_START = re.compile(r"\w+|[^\w\s]")
_SPACE = r"(?:[^\S\n]+|[^\S\n]*\n[^\S\n]*)"  # a line may end inside a phrase, a paragraph may not


class Lexicon:
    """How words and phrases are to be read: `Lexicon({"Nguyen": "win", "nginx": "engine ex"})`.

    An entry that is written exactly as the text goes first; one without capitals is found in any case, one with
    capitals only as it is written ("Polish", "IT"). Readings are plain words without digits: they are spoken as they
    stand. Raises ValueError naming the entry for an empty word, and for a reading that is not plain words.
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
        """Read a UTF-8 file. Raises ValueError naming file and line, OSError where it cannot be read."""
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
                    raise ValueError(f"{len(words) or 'no'} tabs; a line is a word, one tab, and how to read it")
                if _folded(word) in lines:
                    raise ValueError(f"this word has a reading already, in line {lines[_folded(word)]}")
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
            raise ValueError("this word has a reading already")
        self.entries[key] = reading(words)

    def apply(self, segment: Segment) -> list[Segment]:
        """The segment as several: a literal one with a `Change` of the rule "lexicon" for each word with an entry.

        A literal segment is returned as it is.
        """
        if segment.literal:
            return [segment]
        parts: list[Segment] = []
        done = 0
        for start, end, word in self._found(segment.text):
            put(parts, replace(segment, text=segment.text[done:start], pause=0.0))
            put(parts, read_as(segment, "lexicon", segment.text[start:end], self.entries[word]))
            done = end
        if not parts:
            return [segment]
        put(parts, replace(segment, text=segment.text[done:], pause=0.0))
        return [*parts[:-1], replace(parts[-1], pause=segment.pause)]

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, entry) of what the lexicon reads, in order."""
        done = 0
        for start in _START.finditer(text):
            candidates = self._candidates.get(start[0].lower())
            if candidates is None or start.start() < done:
                continue
            if start.start() and re.fullmatch(_WORD, text[start.start() - 1]) and start[0][0].isalnum():
                continue  # the rest of a word whose accent is a character of its own
            matches = [(m, word) for word in candidates if (m := _pattern(word).match(text, start.start()))]
            if matches:
                # The longest; of two as long as each other, the one that is written like the text.
                m, word = max(matches, key=lambda found: (found[0].end(), _folded(found[0][0]) == found[1]))
                yield *m.span(), word
                done = m.end()


def _folded(word: str) -> str:
    """An entry's word as it is kept: NFC, white space folded, the plain apostrophe."""
    return " ".join(unicodedata.normalize("NFC", word).replace("’", "'").split())


def _index(entries: Mapping[str, str]) -> dict[str, list[str]]:
    """Entries by the lower case of what they begin with, however their accents are written."""
    index: dict[str, list[str]] = {}
    for word in entries:
        for first in {_first(word), _first(unicodedata.normalize("NFD", word))}:
            index.setdefault(first.lower(), []).append(word)
    return index


def _first(word: str) -> str:
    first = _START.match(word)
    assert first is not None  # an entry is not empty and begins with no space
    return first[0]


@lru_cache(4096)
def _pattern(word: str) -> re.Pattern[str]:
    """What finds an entry: made when its first word is met, for a lexicon may be large."""
    forms = dict.fromkeys((word, unicodedata.normalize("NFD", word)))
    spaced = (_SPACE.join(re.escape(part).replace("'", _APOSTROPHE) for part in form.split(" ")) for form in forms)
    return re.compile(f"(?:{'|'.join(spaced)}){_AFTER}", re.IGNORECASE if word == word.lower() else 0)
