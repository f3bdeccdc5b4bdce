"""Tokenizers: characters or bytes to ids and back."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vivavoce.audio.files import atomic_write
from vivavoce.text.characters import TYPOGRAPHY, Change


def read_vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """Read vocab.txt: UTF-8, one entry per line; the id of an entry is its line, from 0.

    A line break after the last entry adds no entry. An empty line is an error: it is most likely a space that an editor
    trimmed, and skipping it would shift every id after it. Raises ValueError naming the file and the line, and OSError
    if the file cannot be read.
    """
    try:
        content = Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; a vocabulary has one character per line") from None
    if not content:
        raise ValueError(f"{path}: is empty; a vocabulary has one character per line")
    lines = content.removesuffix("\n").split("\n")
    seen: dict[str, int] = {}
    for i, line in enumerate(lines, 1):
        if not line or "\r" in line:
            raise ValueError(f"{path}: line {i} is {'empty' if not line else repr(line)}; it must be one character")
        if line in seen:
            raise ValueError(f"{path}: line {i} is {line!r}, a duplicate of line {seen[line]}")
        seen[line] = i
    return lines


class CharTokenizer:
    """Map characters to their positions in a vocabulary.

    characters: the vocabulary, in the order of ids. An entry of several characters, which some published vocabularies
    have, keeps its id but is never produced. Raises ValueError for an empty vocabulary, a duplicate, an empty entry or
    a line break.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters: tuple[str, ...] = tuple(characters)
        self._ids: dict[str, int] = {}
        self._mapped: dict[str, str] = {}  # what `fit` makes of the characters it has seen
        for i, c in enumerate(self.characters):
            if not c or "\n" in c or "\r" in c:
                raise ValueError(f"vocabulary entry {i} is {c!r}; it must be a character other than a line break")
            if c in self._ids:
                raise ValueError(f"vocabulary entry {i} is {c!r}, a duplicate of entry {self._ids[c]}")
            self._ids[c] = i
        if not self._ids:
            raise ValueError("the vocabulary is empty; it must have at least one character")

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def cased(self) -> bool:
        """Whether the vocabulary has both upper and lower case."""
        return "A" in self._ids and "a" in self._ids

    def encode(self, text: str) -> list[int]:
        """Return the id of each character. Raises ValueError naming every character that is not in the vocabulary."""
        unknown = sorted(set(text) - self._ids.keys())
        if unknown:
            named = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown)
            raise ValueError(f"the vocabulary lacks {named}; use fit() to map or drop unknown characters")
        return [self._ids[c] for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids. Raises ValueError for an id outside the vocabulary."""
        for i in ids:
            if not 0 <= i < len(self.characters):
                raise ValueError(
                    f"id {i} is not in the vocabulary; it must be between 0 and {len(self.characters) - 1}"
                )
        return "".join(self.characters[i] for i in ids)

    def fit(self, text: str) -> tuple[str, list[Change]]:
        """Return `text` in characters of the vocabulary, and each distinct mapping or loss once, in order.

        An unknown character becomes the first of these that the vocabulary has: its typographic or compatibility form,
        that form without accents, the other case. Brackets and ellipses become commas or full stops, a dash "--". Any
        other character is dropped. A line break counts as a space, so call this on pieces, after `split`.
        """
        changes: dict[Change, None] = {}
        text = self._fit_pauses(unicodedata.normalize("NFC", text), changes)
        fitted = []
        for c in text:
            known = c if c in self._ids else self._nearest(c)
            if known != c:
                changes[Change("fit", c, known)] = None
            fitted.append(known)
        result = "".join(fitted)
        if result != text and " " in self._ids:
            # remove the spaces that dropped characters left behind
            result = re.sub(r" +(?=[,.;:!?]|$)|(?<= ) +|^ +", "", result)
        return result, list(changes)

    def _fit_pauses(self, text: str, changes: dict[Change, None]) -> str:
        """Replace brackets and ellipses that are not in the vocabulary with commas or full stops."""

        def pause(m: re.Match[str]) -> str:
            mark = m[0].strip()
            before, behind = m.string[max(0, m.start() - 8) : m.start()], m.string[m.end() : m.end() + 8]
            first = m.start() <= 8 and not before.strip("\"' ")
            last = m.end() + 8 >= len(m.string) and not behind.strip("\"' ")
            following = behind.lstrip("\"' ")[:1]
            preceded = before.rstrip("\"' ")[-1:] in {*",.;:!?"}
            if mark == "…" and (last or following.isupper()):
                after = "" if preceded else ". "
            elif following and following in ",.;:!?)…":
                after = ""
            elif first or last or preceded or following == "—":
                after = " "
            else:
                after = ", "
            changes[Change("fit", mark, after.strip())] = None
            return after.rstrip() if last else "" if first else after

        for mark in "()…":
            if mark not in self._ids and mark in text and {",", ".", " "} <= self._ids.keys():
                text = re.sub(rf"\s*{re.escape(mark)}\s*", pause, text)
        return text

    def _nearest(self, c: str) -> str:
        if c not in self._mapped:
            self._mapped[c] = self._find_nearest(c)
        return self._mapped[c]

    def _find_nearest(self, c: str) -> str:
        plain = unicodedata.normalize("NFKC", c)
        bare = "".join(p for p in unicodedata.normalize("NFKD", c) if not unicodedata.combining(p))
        latin = {
            "ß": "ss",
            "ø": "o",
            "Ø": "O",
            "ł": "l",
            "Ł": "L",
            "æ": "ae",
            "Æ": "Ae",
            "œ": "oe",
            "Œ": "Oe",
            "đ": "d",
        }
        tries = [TYPOGRAPHY.get(c, ""), {"–": "-", "—": "--", "…": "..."}.get(c, ""), plain, bare, latin.get(c, "")]
        tries += [" "] if c.isspace() else []
        tries += [t.swapcase() for t in (c, plain, bare)]
        return next((t for t in tries if t and all(p in self._ids for p in t)), "")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write vocab.txt: UTF-8, one entry per line, a line break after each. The write is atomic."""
        atomic_write(path, "".join(f"{c}\n" for c in self.characters).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharTokenizer:
        """Return the tokenizer of a vocab.txt; see `read_vocabulary`."""
        return cls(read_vocabulary(path))


class ByteTokenizer:
    """UTF-8 bytes as ids 0 to 255. Covers every language; only lone surrogates are unknown."""

    cased = True

    def __len__(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        """Return the bytes of `text`. Raises ValueError naming lone surrogates, which UTF-8 cannot encode."""
        try:
            return list(text.encode())
        except UnicodeEncodeError:
            lone = sorted({f"U+{ord(c):04X}" for c in text if 0xD800 <= ord(c) < 0xE000})
            raise ValueError(
                f"the text has {', '.join(lone)}, which UTF-8 cannot encode; use fit() to drop them"
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of bytes; an invalid sequence is U+FFFD. Raises ValueError for an id outside 0 to 255."""
        for i in ids:
            if not 0 <= i < 256:
                raise ValueError(f"id {i} is not a byte; it must be between 0 and 255")
        return bytes(ids).decode(errors="replace")

    def fit(self, text: str) -> tuple[str, list[Change]]:
        """Return `text` without lone surrogates, and each distinct surrogate as a `Change`."""
        lone = dict.fromkeys(c for c in text if 0xD800 <= ord(c) < 0xE000)
        return "".join(c for c in text if c not in lone), [Change("fit", c, "") for c in lone]


def evenly_in_words(text: str, frames: np.ndarray) -> np.ndarray:
    """Return character durations with the total of each word spread evenly over its characters.

    frames: frames per character, [T], one for each character of `text`. A model trained on word times has seen
    durations in this form, because word times say nothing about single letters.
    """
    spread = frames.astype(np.float32).copy()
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or (text[i] == " ") != (text[start] == " "):
            spread[start:i] = spread[start:i].mean()
            start = i
    return spread
