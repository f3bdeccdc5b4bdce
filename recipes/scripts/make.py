"""Choose the sentences of `vivavoce record`: vivavoce/assets/scripts/en.txt, 500 of them, the most varied ones first.

    python recipes/scripts/make.py vivavoce/assets/scripts/en.txt

From the corpus of the bundled models (public-domain texts and templates of this project), short sentences of words that
are in the pronunciation dictionary. Each next sentence is the one that adds most pairs of neighbouring phones that are
rare among those chosen so far, for its length; so the first 50 and the first 200 cover about as much as that many
sentences can. One in ten is a question.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import re
from collections import Counter
from pathlib import Path

from vivavoce.audio.files import atomic_write
from vivavoce.text.pronunciation import STRESS, split_phones

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("ljspeech-transcripts", "templates")  # in the public domain, or of this project
COUNT, QUESTIONS = 500, 10  # sentences; one in so many is a question
WORDS = (4, 14)
USUAL = {"a": "ə", "the": "ðə", "to": "tə", "i": "ˈI", "in": "ɪn", "an": "ən", "or": "ɔɹ", "as": "æz", "by": "bI"}


def pronunciations() -> dict[str, list[str]]:
    """Return the phones of each word, without stress marks."""
    with gzip.open(ROOT / "vivavoce/assets/phones/en.tsv.gz", "rt", encoding="utf-8") as file:
        table = dict(line.rstrip("\n").split("\t") for line in file)
    return {word: [p.strip(STRESS) for p in split_phones(text)] for word, text in (table | USUAL).items()}


def pairs(sentence: str, known: dict[str, list[str]]) -> Counter[tuple[str, str]] | None:
    """Count the pairs of neighbouring phones; None if a word is unknown."""
    phones = ["#"]
    for word in re.findall(r"[a-z']+", sentence.lower()):
        if word not in known:
            return None
        phones += known[word]
    phones.append("#")
    return Counter(itertools.pairwise(phones))


def suitable(sentence: str) -> bool:
    """Return whether a sentence is easy to read aloud."""
    plain = re.fullmatch(r"[A-Z][A-Za-z' ,]+[.?!]", sentence) is not None
    capitals = len(re.findall(r" [A-Z]", sentence.replace(" I ", " i ")))
    return plain and not capitals and WORDS[0] <= len(sentence.split()) <= WORDS[1]


def choose(sentences: dict[str, Counter[tuple[str, str]]], count: int) -> list[str]:
    """Return `count` sentences, each with the most that is new for its length."""
    heard: Counter[tuple[str, str]] = Counter()
    left, chosen = dict(sentences), list[str]()
    while len(chosen) < count and left:
        question = len(chosen) % QUESTIONS == QUESTIONS - 1
        allowed = [s for s in left if s.endswith("?") == question] or list(left)

        def gain(sentence: str) -> float:
            found = left[sentence]
            return sum(0.5 ** heard[pair] for pair in found) / (len(sentence) + 20) ** 0.7

        best = max(allowed, key=lambda s: (gain(s), s))
        heard.update(left.pop(best).keys())
        chosen.append(best)
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    known = pronunciations()
    found = {}
    with gzip.open(ROOT / "recipes/corpus/sentences.tsv.gz", "rt", encoding="utf-8") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row[1] in SOURCES and suitable(row[0]) and (counted := pairs(row[0], known)) is not None:
                found[row[0]] = counted
    chosen = choose(found, COUNT)
    atomic_write(args.out, ("\n".join(chosen) + "\n").encode())
    every = set().union(*found.values())
    for size in (50, 200, 500):
        covered = set().union(*(found[s] for s in chosen[:size]))
        print(f"{size} sentences: {len(covered)} of {len(every)} pairs of phones")


if __name__ == "__main__":
    main()
