"""The sentences that models are judged by, and those that resemble them: neither are trained on."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from difflib import SequenceMatcher
from pathlib import Path

JUDGED = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "sentences"
ALIKE = 0.75  # share of two sentences' words that are in the same order, from which they resemble each other


def words(text: str) -> list[str]:
    """Return the words of a sentence, without case, punctuation and language tags such as "[fr]"."""
    return re.findall(r"\w+(?:['’]\w+)*", re.sub(r"\[[a-z]{2}\]", " ", text).casefold().replace("’", "'"))


class Judged:
    """The sentences that models are judged by, indexed for fast comparison."""

    def __init__(self, sentences: Iterable[str]):
        self._lines: list[tuple[str, list[str]]] = []
        self._places: dict[str, list[int]] = defaultdict(list)  # of the lines that have a word
        for line in sentences:
            for word in set(words(line)):
                self._places[word].append(len(self._lines))
            self._lines.append((line, words(line)))

    @classmethod
    def load(cls, folder: Path = JUDGED) -> Judged:
        """Read every line of every list in a folder. Raises ValueError if there is none."""
        files = sorted(folder.glob("*.txt"))
        if not files:
            raise ValueError(f"{folder}: there is no list of sentences (*.txt) in it")
        return cls(line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip())

    def like(self, text: str) -> str | None:
        """Return the sentence that `text` equals or resembles; None if there is none."""
        mine = words(text)
        shared = Counter(place for word in set(mine) for place in self._places.get(word, ()))
        for place, count in shared.items():
            line, theirs = self._lines[place]
            # at most the shared words can match, repeated ones counted
            if 2 * (count + len(theirs) - len(set(theirs))) < ALIKE * (len(mine) + len(theirs)):
                continue
            if SequenceMatcher(None, mine, theirs, autojunk=False).ratio() >= ALIKE:
                return line
        return None
