"""From written text to what a model reads: normalise, then split into pieces, then fit and encode each piece.

`normalise` turns plain text into speakable words by the rules of `text_rules` and `text_languages`. `split` cuts text
at sentence ends and clauses. The tokenizers give characters or bytes their numbers. Nothing is dropped or replaced
without a `Change` that says so. Knows nothing about models, voices or audio.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivavoce.pieces import Piece
from vivavoce.text_characters import PUNCTUATION, TYPOGRAPHY, Rule
from vivavoce.text_languages import GROUPING as NUMBERS_APART
from vivavoce.text_languages import LANGUAGES, rules_of
from vivavoce.text_readings import starts_sentence
from vivavoce.text_rules import AT_START, GROUPING, RULES
from vivavoce.text_tables import BEFORE_NUMBER, MONTH_OF, MONTHS, STREETS, SUFFIXES, TITLES, WORDS_TOO, name_set

__all__ = [
    "PUNCTUATION",
    "ByteTokenizer",
    "Change",
    "CharTokenizer",
    "Piece",
    "normalise",
    "read_vocabulary",
    "sentences",
    "split",
    "word_spans",
]


@dataclass(frozen=True)
class Change:
    """One replacement: the rule's name, the characters as written, what stands there now ("": dropped)."""

    rule: str
    before: str
    after: str


_BREAKS = str.maketrans({"\r": "\n", "\u2028": "\n", "\x85": "\n", "\u2029": "\n\n", "\x0c": "\n\n", "\x0b": "\n"})


def _apply(rule: Rule, text: str, changes: list[Change]) -> str:
    def replace(m: re.Match[str]) -> str:
        after = rule.speak(m)
        if after == m[0]:
            return after
        # What opens a sentence has a capital, as any first word has, unless it was written without.
        if (
            after[:1].islower()
            and not m[0][:1].islower()
            and AT_START.search(m.string[max(0, m.start() - 8) : m.start()])
        ):
            after = after[0].upper() + after[1:]
        changes.append(Change(rule.name, m[0], after))
        return after

    if rule.needs and not any(c in text for c in rule.needs):
        return text
    return rule.pattern.sub(replace, text)


def normalise(text: str, lang: str = "en") -> tuple[str, list[Change]]:
    """Text as speakable words: letters, the space and `PUNCTUATION`, paragraphs parted by a blank line.

    lang: en, or es, fr, it, pt by fewer rules; Spanish keeps its ¿ and ¡, too. Case and punctuation stay as written.
    White space is folded and a blank line ends a paragraph; that and Unicode composition (NFC) are the only things done
    without a `Change`. Any str is accepted and the result is its own normal form. Raises ValueError for another
    language.
    """
    if lang == "en":
        grouping, rules = GROUPING, RULES
    elif lang in LANGUAGES:
        grouping, rules = NUMBERS_APART, rules_of(lang)
    else:
        raise ValueError(f"lang is {lang!r}; text can be normalised for {', '.join(('en', *LANGUAGES))}")
    changes: list[Change] = []
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").translate(_BREAKS)):
        # A rule may bring together what an earlier one would have read, as when a symbol between two points goes.
        for _ in range(8):
            before = paragraph
            paragraph = unicodedata.normalize("NFC", " ".join(_apply(grouping, paragraph, changes).split()))
            for rule in rules:
                paragraph = _apply(rule, paragraph, changes)
            paragraph = unicodedata.normalize("NFC", " ".join(paragraph.split()))
            if paragraph == before:
                break
        if paragraph:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs), changes


# ------------------------------------------------------------------------------------------------------------ splitting

PAUSE_PARAGRAPH, PAUSE_SENTENCE, PAUSE_CLAUSE, PAUSE_COMMA, PAUSE_NONE = 0.7, 0.35, 0.2, 0.12, 0.05
SHORT_WORDS = 2  # a sentence of so few words is joined to a neighbour: models speak it badly alone

CONJUNCTIONS = name_set(
    """and but or nor so yet because which who whom whose that when where while if unless although though as since until
    till after before than whether without with from into through between"""
)
NUMBER_WORDS = name_set(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion
    point oh minus"""
)
_CLOSERS = "\"')]”’»"
_NEVER_END = (
    set(TITLES)
    | set(BEFORE_NUMBER) - {"no", "sec", "Sec", "Art", "p", "c", "apt", "op"}
    | set(MONTH_OF) - set(MONTHS)
    | {"vs", "cf", "Hon"}
)
_MAY_END = set(SUFFIXES) - WORDS_TOO | set(STREETS) | {"al", "Esq", "est"}


def sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph whose white space is folded."""
    sentences, start = [], 0
    for m in re.finditer(r"[.!?…]+[\"')\]”’»]*(?=\s|$)|[。！？]+[」』”’]*", paragraph):
        if m.end() < len(paragraph) and not _is_end(paragraph, m):
            continue
        sentences.append(paragraph[start : m.end()].strip())
        start = m.end()
    tail = paragraph[start:].strip()
    return [s for s in [*sentences, tail] if s]


def _is_end(paragraph: str, m: re.Match[str]) -> bool:
    if m[0][0] in "。！？":
        return True
    following = paragraph[m.end() : m.end() + 40].lstrip()
    lower = following.lstrip("\"'(“‘«—- ")[:1].islower()
    marks = m[0].rstrip(_CLOSERS)
    # '"Really?" he asked.' and 'You mean… all of it?' go on.
    if lower and (marks != m[0] or "…" in marks or marks.startswith("..")):
        return False
    if marks != ".":
        return True
    word = paragraph[max(0, m.start() - 24) : m.start()].split(" ")[-1].lstrip("\"'([“‘«—-")
    if word in _NEVER_END and not (word in STREETS and starts_sentence(following)):
        return False
    dotted = re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]{1,2}", word)
    initial = len(word) == 1 and word.isupper() and word != "I"
    if dotted or initial or word in _MAY_END:
        return starts_sentence(following) and not re.match(r"[A-Z]\.", following)
    return True


def _strength(text: str, at: int) -> int:
    """How well text may be cut before index `at`: 4 sentence end, 3 clause, 2 comma, 1 conjunction, 0 space, -1 bad."""
    before = text[max(0, at - 24) : at].rstrip()
    after = text[at : at + 24].lstrip()
    mark = before.rstrip(_CLOSERS)[-1:]
    last, first = before.split(" ")[-1], re.match(r"[\w']*", after)
    following = first[0].lower() if first else ""
    if (mark and mark in ";:—") or before.endswith("--"):
        return 3
    if mark == ",":
        return 2
    if after[:1] in "—-–" or last.rstrip(".") in TITLES or last in TITLES.values():
        return -1
    parts = {part for part in last.lower().split("-") if part}
    if (
        parts
        and parts <= NUMBER_WORDS
        and (following in NUMBER_WORDS or (following == "and" and last.lower() != "one"))
    ):
        return -1
    if last.lower() == "and" and following.split("-")[0] in NUMBER_WORDS:
        return -1
    if mark in ".!?…" and mark:
        return 0 if last.rstrip(".") in _MAY_END else 4
    return 1 if following in CONJUNCTIONS else 0


_PAUSES = {4: PAUSE_SENTENCE, 3: PAUSE_CLAUSE, 2: PAUSE_COMMA}


def _longest(places: Iterator[int], text: str, limit: float, measure: Callable[[str], float]) -> tuple[list[int], bool]:
    """The places in `text` before which it measures at most `limit`, and whether all of them do.

    Looks ahead in doubling steps, so that the cost depends on the limit and not on the length of the text.
    """
    fitting: list[int] = []
    step = 8
    while block := list(itertools.islice(places, step)):
        if measure(text[: block[-1]].rstrip()) > limit:
            low, high = 0, len(block) - 1  # block[:low] fit, block[high] does not
            while low < high:
                middle = (low + high) // 2
                if measure(text[: block[middle]].rstrip()) <= limit:
                    low = middle + 1
                else:
                    high = middle
            return fitting + block[:low], False
        fitting += block
        step *= 2
    return fitting, True


def _cut(text: str, limit: float, measure: Callable[[str], float]) -> tuple[str, str, float]:
    """(head that measures at most `limit`, rest, pause between); the rest is "" where all of `text` fits."""
    # Look no further than the limit reaches, whatever the length of the text.
    window = 1024
    while window < len(text) and measure(text[:window]) <= limit:
        window *= 2
    view = text[:window]
    words = (m.end() for m in re.finditer(r"\s+|(?:(?<=—)|(?<=--))(?=[^\s—\"')\]”’»-])|$", view))
    places, whole = _longest(words, view, limit, measure)
    if whole and len(view) == len(text):
        return text, "", 0.0
    places = [p for p in places if p < len(view)]
    if not places:
        characters, _ = _longest(iter(range(1, len(view) + 1)), view, limit, measure)
        at = characters[-1] if characters else 1
        return text[:at], text[at:].lstrip(), PAUSE_NONE
    longest = places[-1]
    left_over = len(text) - longest
    candidates = [p for p in places if p >= 0.35 * longest]
    ranked = {p: _strength(text, p) for p in candidates}
    if max(ranked.values()) < 0:  # a long number, say: better a short head than a cut in it
        candidates = places
        ranked = {p: _strength(text, p) for p in candidates}
    best = max(ranked.values())
    equal = [p for p in candidates if ranked[p] == best]
    # A short remainder would be spoken alone, so both halves are made about equal instead.
    at = min(equal, key=lambda p: abs(p - len(text) / 2)) if left_over < 0.35 * longest else equal[-1]
    return text[:at].rstrip(), text[at:].lstrip(), _PAUSES.get(best, PAUSE_NONE)


def _is_short(text: str) -> bool:
    return len(text.split(" ", SHORT_WORDS + 1)) <= SHORT_WORDS


def split(text: str, limit: float, measure: Callable[[str], float], *, first_limit: float | None = None) -> list[Piece]:
    """Cut text into pieces that each measure at most `limit`; only a single character may measure more.

    Cuts at paragraph ends (blank lines) and sentence ends, then, in sentences over the limit, at clauses, commas,
    conjunctions, spaces, and in an enormous word between characters. Neighbouring sentences of a paragraph are joined
    while they measure at most half the limit; one of two words or fewer is joined wherever the limit allows.
    `first_limit`, in the same unit, bounds the first piece, for early audio. All non-space characters of `text` are in
    the pieces, in order. `Piece.pause` is in seconds, 0 after the last.
    `measure` must not shrink when text is appended. Raises ValueError for a limit that is not above 0.
    """
    for name, value in (("limit", limit), ("first_limit", first_limit)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value!r}; it must be above 0")
    pieces: list[Piece] = []
    for paragraph in re.split(r"\n\s*\n", text):
        waiting = sentences(" ".join(paragraph.split()))[::-1]
        while waiting:
            allowed = limit if pieces or first_limit is None else min(limit, first_limit)
            head, rest, pause = _cut(waiting.pop(), allowed, measure)
            if rest:
                pieces.append(Piece(head, pause))
                waiting.append(rest)
                continue
            while waiting:
                following = waiting[-1]
                joined = f"{head} {following}"
                bound = allowed if _is_short(head) or _is_short(following) else min(allowed, limit / 2)
                if measure(joined) <= bound:
                    head = joined
                    waiting.pop()
                    continue
                if _is_short(head) and measure(following) > allowed:
                    # The next sentence is to be cut anyway: let the short one travel with its beginning.
                    waiting[-1] = joined
                    head = ""
                break
            if head:
                pieces.append(Piece(head, PAUSE_SENTENCE))
        if pieces:
            pieces[-1] = Piece(pieces[-1].text, PAUSE_PARAGRAPH)
    if pieces:
        pieces[-1] = Piece(pieces[-1].text, 0.0)
    return pieces


def word_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) index of each word, words being what white space parts; punctuation belongs to its word."""
    return [m.span() for m in re.finditer(r"\S+", text)]


# ----------------------------------------------------------------------------------------------------------- tokenizers


def read_vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """Read vocab.txt: UTF-8, one entry a line, ids by line from 0; a line with one space is the space.

    The line end after the last entry adds none. An empty line is refused: it was most likely a space that an editor
    trimmed, and to skip it would shift every id after it. Raises ValueError naming the file and the line, OSError where
    the file cannot be read.
    """
    try:
        content = Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; a vocabulary has one character a line") from None
    if not content:
        raise ValueError(f"{path}: is empty; a vocabulary has one character a line")
    lines = content.removesuffix("\n").split("\n")
    seen: dict[str, int] = {}
    for i, line in enumerate(lines, 1):
        if not line or "\r" in line:
            raise ValueError(f"{path}: line {i} is {'empty' if not line else repr(line)}; it must be one character")
        if line in seen:
            raise ValueError(f"{path}: line {i} is {line!r}, which line {seen[line]} is already")
        seen[line] = i
    return lines


class CharTokenizer:
    """Numbers characters by their place in a vocabulary.

    characters: the vocabulary, id 0 first. An entry of several characters, as some published vocabularies have, keeps
    its id but is never produced. Raises ValueError for an empty vocabulary, a duplicate, an empty entry, a line break.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters: tuple[str, ...] = tuple(characters)
        self._ids: dict[str, int] = {}
        for i, c in enumerate(self.characters):
            if not c or "\n" in c or "\r" in c:
                raise ValueError(f"vocabulary entry {i} is {c!r}; it must be a character other than a line break")
            if c in self._ids:
                raise ValueError(f"vocabulary entry {i} is {c!r}, which entry {self._ids[c]} is already")
            self._ids[c] = i
        if not self._ids:
            raise ValueError("the vocabulary is empty; it must have at least one character")

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def cased(self) -> bool:
        """Whether capitals and small letters differ."""
        return "A" in self._ids and "a" in self._ids

    def encode(self, text: str) -> list[int]:
        """The id of each character. Raises ValueError naming every character that the vocabulary lacks."""
        unknown = sorted(set(text) - self._ids.keys())
        if unknown:
            named = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown)
            raise ValueError(f"the vocabulary lacks {named}; use fit() to map or drop unknown characters")
        return [self._ids[c] for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids. Raises ValueError for an id outside the vocabulary."""
        for i in ids:
            if not 0 <= i < len(self.characters):
                raise ValueError(f"id {i} is not in the vocabulary; it must be from 0 to {len(self.characters) - 1}")
        return "".join(self.characters[i] for i in ids)

    def fit(self, text: str) -> tuple[str, list[Change]]:
        """`text` in characters of the vocabulary, and each distinct mapping or loss once, in order of appearance.

        An unknown character becomes, by the first of these that the vocabulary has: its typographic or compatibility
        form, the same without accents, the other case; brackets and ellipses become commas or full stops, a dash "--";
        else it is dropped.
        A line break counts as a space, so fit the pieces that `split` gives, not the text before it.
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
            # only what dropped characters left: never white space of the text's own that the vocabulary knows
            result = re.sub(r" +(?=[,.;:!?]|$)|(?<= ) +|^ +", "", result)
        return result, list(changes)

    def _fit_pauses(self, text: str, changes: dict[Change, None]) -> str:
        """Brackets and ellipses that the vocabulary lacks, as commas or full stops."""

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
        """Write vocab.txt: UTF-8, one entry a line, a line end after each. Whole or not at all."""
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes("".join(f"{c}\n" for c in self.characters).encode())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharTokenizer:
        """The tokenizer of a vocab.txt as `read_vocabulary` reads it."""
        return cls(read_vocabulary(path))


class ByteTokenizer:
    """UTF-8 bytes as ids 0 to 255: any language, nothing unknown but lone surrogates."""

    cased = True

    def __len__(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        """The bytes of `text`. Raises ValueError naming the lone surrogates, which UTF-8 cannot express."""
        try:
            return list(text.encode())
        except UnicodeEncodeError:
            lone = sorted({f"U+{ord(c):04X}" for c in text if 0xD800 <= ord(c) < 0xE000})
            raise ValueError(
                f"the text has {', '.join(lone)}, which UTF-8 cannot express; use fit() to drop them"
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        """The text of bytes; a broken sequence becomes U+FFFD. Raises ValueError for an id outside 0 to 255."""
        for i in ids:
            if not 0 <= i < 256:
                raise ValueError(f"id {i} is no byte; it must be from 0 to 255")
        return bytes(ids).decode(errors="replace")

    def fit(self, text: str) -> tuple[str, list[Change]]:
        """`text` without lone surrogates, and each distinct one dropped."""
        lone = dict.fromkeys(c for c in text if 0xD800 <= ord(c) < 0xE000)
        return "".join(c for c in text if c not in lone), [Change("fit", c, "") for c in lone]


def evenly_in_words(text: str, frames: np.ndarray) -> np.ndarray:
    """Character durations [T] with each word's total spread evenly over its characters.

    Word times say how long a word is, not its letters, so this is what a model that learned from them has seen.
    """
    spread = frames.astype(np.float32).copy()
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or (text[i] == " ") != (text[start] == " "):
            spread[start:i] = spread[start:i].mean()
            start = i
    return spread
