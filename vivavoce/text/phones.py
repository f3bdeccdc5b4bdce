"""Phones beside letters: how each letter of a word sounds, according to a pronunciation dictionary.

A dictionary lists the phones of each word. A table of costs, which `recipes/phones/make.py` learns from the dictionary
itself (expectation maximisation over many-to-one alignments; Jiampojamarn et al., 2007), determines which letter each
phone belongs to. A letter has no phone, one or two: in "box", b is b, o is ˈɑ and x is k s. Phones are placed on
demand, so a pronunciation that a user supplies is placed in the same way.

A model with phones has an inventory of symbols in its config; `PhoneChannel` turns text into ids of that inventory.
There is no grapheme-to-phoneme conversion: letters of a word that is not in the dictionary have no phones.
Knows nothing about models.
"""

from __future__ import annotations

import functools
import gzip
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vivavoce.config import ASSETS
from vivavoce.text.letter_names import PHONES
from vivavoce.text.pronunciation import INFLECTIONS, STRESS, WORD, inflection, split_phones

Placed = tuple[tuple[str, ...], ...]  # phones of each letter, at most two

UNKNOWN, SILENT, FIRST_PHONE = 0, 1, 2  # ids: no information, a letter without a phone, the inventory's first symbol
SLOTS = 2  # phones that one letter may have, as the x of "box"
LONGEST = 60  # letters of a word; longer ones are not looked up
UNSEEN = 12.0  # cost per phone of a pair of letter and phones that is not in the table


class PhoneDictionary:
    """Words and their phones, and the costs that place phones in letters.

    Entries stay in one sorted block of bytes that is searched by bisection, so loading takes no time and little memory.
    """

    def __init__(self, lines: bytes, costs: Mapping[str, Mapping[str, float]], inflected: bool = False):
        """lines: WORD, tab, phones, newline, sorted by the bytes of the word. costs: by letter, then by its phones.

        inflected: whether to derive English plurals, possessives and past tenses, and to know the names of letters.
        """
        self._lines, self._inflected = lines, inflected
        self._costs = {
            letter: {split_phones(phones): cost for phones, cost in row.items()} for letter, row in costs.items()
        }

    @classmethod
    @functools.lru_cache(8)
    def load(cls, lang: str, folder: Path = ASSETS / "phones") -> PhoneDictionary | None:
        """Load the bundled dictionary of a language, or None. Raises ValueError for unreadable files."""
        path = folder / f"{lang}.tsv.gz"
        if not path.exists():
            return None
        try:
            lines = gzip.decompress(path.read_bytes())
            costs = json.loads((folder / f"{lang}.json").read_text(encoding="utf-8"))
        except (OSError, EOFError, ValueError) as error:
            raise ValueError(f"{path}: not a readable pronunciation dictionary ({error})") from None
        return cls(lines, costs, lang == "en")

    def find(self, word: str) -> tuple[str, ...] | None:
        """Return the phones of a lower-case word, or None if it is unknown."""
        phones = self._find(word)
        if phones is None and self._inflected and word in PHONES:
            return PHONES[word]
        if phones is None and self._inflected:
            for ending, stems, voiced, voiceless, syllable in INFLECTIONS:
                if not word.endswith(ending) or word.endswith("ss"):
                    continue
                for stem in stems:
                    base = self._find(stemmed := word.removesuffix(ending) + stem) or PHONES.get(stemmed)
                    if base:
                        return (*base, *inflection(base[-1], voiced, voiceless, syllable))
        return phones

    def _find(self, word: str) -> tuple[str, ...] | None:
        wanted, lines = word.encode(), self._lines
        low, high = 0, len(lines)
        while low < high:
            start = lines.rfind(b"\n", 0, (low + high) // 2) + 1
            end = lines.find(b"\n", start)
            found, _, phones = lines[start:end].partition(b"\t")
            if found == wanted:
                return split_phones(phones.decode())
            if found < wanted:
                low = end + 1
            else:
                high = start
        return None

    def place(self, word: str, phones: Sequence[str]) -> Placed | None:
        """Return the phones of each letter; None if the word is too short for them or has no letter."""
        return place(word, phones, self._costs)

    def fingerprint(self) -> str:
        """Return a checksum of the entries."""
        return f"{zlib.crc32(self._lines):08x}"


def place(word: str, phones: Sequence[str], costs: Mapping[str, Mapping[tuple[str, ...], float]]) -> Placed | None:
    """Assign all `phones`, in order, to the letters of `word`, at most two to each, at the lowest cost.

    Costs ignore stress. Characters that are not letters, such as apostrophes, get no phone.
    """
    bare = tuple(phone.lstrip(STRESS) for phone in phones)
    count = len(bare)
    best: list[float] = [0.0] + [math.inf] * count  # cost of the letters so far, by the number of phones assigned
    taken: list[list[int]] = []  # number of phones of each letter on that path
    for letter in word:
        row, after, choice = costs.get(letter, {}), [math.inf] * (count + 1), [0] * (count + 1)
        for done, cost in enumerate(best):
            if cost == math.inf:
                continue
            for size in range(min(SLOTS, count - done) + 1 if letter.isalpha() else 1):
                extra = row.get(bare[done : done + size], UNSEEN * max(size, 0.5)) if letter.isalpha() else 0.0
                if cost + extra < after[done + size]:
                    after[done + size], choice[done + size] = cost + extra, size
        best = after
        taken.append(choice)
    if best[count] == math.inf or not any(map(str.isalpha, word)):
        return None
    placed: list[tuple[str, ...]] = []
    done = count
    for choice in reversed(taken):
        size = choice[done]
        placed.append(tuple(phones[done - size : done]))
        done -= size
    return tuple(reversed(placed))


def learn_costs(entries: Sequence[tuple[str, Sequence[str]]], rounds: int = 5) -> dict[str, dict[str, float]]:
    """Return the cost, -log probability, of each letter's phones, learned from words and their phones.

    Viterbi training starts from how often a letter and a phone have similar positions in a word.
    """
    together: dict[str, dict[tuple[str, ...], float]] = {}
    for word, phones in entries:
        for i, letter in enumerate(word):
            for j, phone in enumerate(phones):
                near = math.exp(-8 * abs((i + 0.5) / len(word) - (j + 0.5) / len(phones)))
                key = (phone.lstrip(STRESS),)
                row = together.setdefault(letter, {})
                row[key] = row.get(key, 0.0) + near
    totals: dict[tuple[str, ...], float] = {}
    for row in together.values():
        for alone, count in row.items():
            totals[alone] = totals.get(alone, 0.0) + count
    everything = sum(totals.values())
    costs: dict[str, dict[tuple[str, ...], float]] = {}
    for letter, row in together.items():
        whole = sum(row.values())
        # pointwise mutual information, as a cost
        costs[letter] = {key: 3 - math.log(count * everything / (whole * totals[key])) for key, count in row.items()}
        costs[letter][()] = 4.0
    for _ in range(rounds):
        counts: dict[str, dict[tuple[str, ...], float]] = {}
        for word, phones in entries:
            for letter, own in zip(word, place(word, phones, costs) or (), strict=False):
                row, placed = counts.setdefault(letter, {}), tuple(phone.lstrip(STRESS) for phone in own)
                row[placed] = row.get(placed, 0.0) + 1
        costs = {}
        for letter, row in counts.items():
            whole = sum(row.values())
            costs[letter] = {key: -math.log(count / whole) for key, count in row.items()}
    kept = {letter: {key: cost for key, cost in row.items() if cost < UNSEEN} for letter, row in costs.items()}
    return {
        letter: {"".join(key): round(cost, 2) for key, cost in sorted(row.items(), key=lambda entry: entry[1])}
        for letter, row in sorted(kept.items())
        if letter.isalpha()
    }


class PhoneChannel:
    """Converts text to ids of the phones of its letters, for a model with this inventory."""

    def __init__(self, inventory: Sequence[str], dictionaries: Mapping[str, PhoneDictionary] | None = None):
        """dictionaries: by language; None: the bundled ones."""
        self._numbers = {phone: number for number, phone in enumerate(inventory, FIRST_PHONE)}
        self._dictionaries = dictionaries
        self._cache = functools.lru_cache(20_000)(self._word)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_cache"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._cache = functools.lru_cache(20_000)(self._word)

    def ids(self, text: str, languages: Sequence[str], given: Iterable[tuple[int, int, str]] = ()) -> np.ndarray:
        """Return ids [T, 2] for text [T] with the language of each character [T].

        given: pronunciations that override the dictionary, as (start, end, phones) of words in the text.
        """
        made = np.zeros((len(text), SLOTS), np.int16)
        written = {(start, end): split_phones(phones) for start, end, phones in given}
        spans = {m.span(): None for m in WORD.finditer(text)}
        for start, end in written:
            spans = {(a, b): None for a, b in spans if b <= start or a >= end}
        for start, end in [*spans, *written]:
            if end - start <= LONGEST:
                made[start:end] = self._cache(text[start:end].lower(), languages[start], written.get((start, end)))
        return made

    def _word(self, word: str, lang: str, phones: tuple[str, ...] | None) -> np.ndarray:
        """Return ids [T, 2] of a word; zeros if it is unknown, or the model lacks one of its phones."""
        made = np.zeros((len(word), SLOTS), np.int16)
        dictionary = self._dictionary(lang)
        if dictionary is not None and phones is None:
            phones = dictionary.find(word)
        if dictionary is None or phones is None or not all(phone in self._numbers for phone in phones):
            return made
        placed = dictionary.place(word, phones)
        if placed is None:
            return made
        made[:, 0] = SILENT
        for row, own in zip(made, placed, strict=True):
            row[: len(own)] = [self._numbers[phone] for phone in own]
        return made

    def _dictionary(self, lang: str) -> PhoneDictionary | None:
        return PhoneDictionary.load(lang) if self._dictionaries is None else self._dictionaries.get(lang)

    def fingerprint(self, languages: Iterable[str]) -> str:
        """Return the checksums of the dictionaries of these languages."""
        found = [(lang, self._dictionary(lang)) for lang in languages]
        return " ".join(f"{lang} {dictionary.fingerprint()}" for lang, dictionary in found if dictionary is not None)
