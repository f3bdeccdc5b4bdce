"""The lists of sentences: what is in them, and how they were made.

    python recipes/corpus/lists.py check
    python recipes/corpus/lists.py coverage frequency_dictionary_en_82_765.txt
    python recipes/corpus/lists.py build sentences-fr.tsv.gz prompts.tsv novels.tsv
    python recipes/corpus/lists.py letters sentences-letters.tsv.gz

`check` counts the lines that resemble those of benchmarks/sentences, which make.py skips. `coverage` counts how often
the most frequent English words occur in the other lines. `build` makes a list from files of sentences, each line a
sentence, a tab and its source. It leaves out repetitions and the lines that `check` would find, and puts lines with
many new letter sequences first, because a corpus is rarely read to the end. The lines of a file precede those of the
next. `letters` makes a list of single letters and of initialisms, spelled as the text front end gives them to the
model.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from judged import Judged, words
from make import LISTS, SENTENCES, VOICES, read_sentences

from vivavoce.audio.files import atomic_write
from vivavoce.text.letter_names import NAMES

WIDTH = 40  # candidates among which the next line is chosen
ENOUGH = 3  # occurrences that each word needs
INITIALISMS = 70  # in the list of letters


def unjudged(lines: Iterable[str], judged: Judged) -> list[str]:
    """Return the lines (sentence, tab, source) without repetitions and without those that models are judged by."""
    seen: set[str] = set()
    kept = []
    for line in lines:
        text = line.split("\t")[0]
        key = " ".join(words(text))
        if key and key not in seen and judged.like(text) is None:
            seen.add(key)
            kept.append(line)
    return kept


def varied(lines: list[str], known: set[str] | None = None) -> list[str]:
    """Return the lines in an order in which the first ones each add many letter sequences that those before lack.

    known: sequences of three letters that are covered already; those of the lines are added to it.
    """
    known = set() if known is None else known
    waiting = sorted(lines)
    random.Random(1).shuffle(waiting)

    def gain(line: str) -> float:
        text = f" {line.split(chr(9))[0].casefold()} "
        return len({text[i : i + 3] for i in range(len(text) - 2)} - known) / (10 + len(text))

    ordered = []
    while waiting:
        best = max(range(min(WIDTH, len(waiting))), key=lambda i: gain(waiting[i]))
        line = waiting[best]
        waiting[best] = waiting[-1]
        waiting.pop()
        text = f" {line.split(chr(9))[0].casefold()} "
        known.update(text[i : i + 3] for i in range(len(text) - 2))
        ordered.append(line)
    return ordered


def build(files: list[Path], judged: Judged) -> list[str]:
    """Return a list of the lines of the files, file after file. Raises ValueError for a line without a source."""
    known: set[str] = set()
    made: list[str] = []
    lines: set[str] = set()
    for file in files:
        read = read_sentences(file)
        for number, line in enumerate(read, 1):
            if line.count("\t") != 1:
                raise ValueError(f"{file}: line {number} must be a sentence, a tab and its source: {line!r}")
        fresh = [line for line in unjudged(read, judged) if " ".join(words(line.split("\t")[0])) not in lines]
        lines.update(" ".join(words(line.split("\t")[0])) for line in fresh)
        made += varied(fresh, known)
    return made


def letters() -> list[str]:
    """Utterances of one to four letters, each in as many lines in a row as there are built-in voices.

    Letters make up a closed set, so those that models are judged by cannot be left out.
    """
    order, alphabet = random.Random(2), sorted(NAMES)
    alone = [NAMES[letter] + mark for mark in ("", ".", "?") for letter in alphabet]
    several = [
        "-".join(NAMES[c] for c in order.sample(alphabet, order.choice((2, 3, 3, 4)))) for _ in range(INITIALISMS)
    ]
    texts = alone + [text + order.choice(("", ".")) for text in several]
    return [f"{text}\twritten" for text in texts for _ in VOICES]


def check(judged: Judged) -> dict[str, int]:
    """Return how many lines of each list resemble a line that models are judged by."""
    return {
        name: sum(judged.like(line.split("\t")[0]) is not None for line in read_sentences(path)[: LISTS[name].lines])
        for name, path in SENTENCES.items()
    }


def heard(lists: Iterable[str], judged: Judged) -> Counter[str]:
    """Return how often each word occurs in the English lists, without the lines that models are judged by."""
    counts: Counter[str] = Counter()
    for name in lists:
        if LISTS[name].lang == "en":
            for line in read_sentences(SENTENCES[name])[: LISTS[name].lines]:
                text = line.split("\t")[0]
                if judged.like(text) is None:
                    counts.update(words(text))
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True, metavar="check|coverage|build|letters")
    what.add_parser("check", help="lines that models are judged by the like of")
    coverage = what.add_parser("coverage", help="how often the lists have the most frequent English words")
    coverage.add_argument("dictionary", type=Path, metavar="FILE", help="words and counts, from symspellpy")
    make = what.add_parser("build", help="a list from files of sentences")
    make.add_argument("out", type=Path, metavar="OUT.tsv.gz")
    make.add_argument("files", type=Path, nargs="+", metavar="FILE.tsv")
    spelled = what.add_parser("letters", help="a list of letters and initialisms")
    spelled.add_argument("out", type=Path, metavar="OUT.tsv.gz")
    args = parser.parse_args()
    try:
        if args.what == "check":
            for name, count in check(Judged.load()).items():
                print(f"{name}: {LISTS[name].lines} lines; {count} are left out: models are judged by the like of them")
            return 0
        if args.what == "coverage":
            from words import most_frequent

            wanted = most_frequent(args.dictionary)
            counts = heard(SENTENCES, Judged.load())
            rare = [word for word in wanted if counts[word] < ENOUGH]
            print(
                f"{len(wanted) - len(rare)} of {len(wanted)} words are heard {ENOUGH} times and more"
                + (f"; not so: {', '.join(rare[:20])}{' …' if len(rare) > 20 else ''}" if rare else "")
            )
            return 1 if rare else 0
        made = letters() if args.what == "letters" else build(args.files, Judged.load())
        atomic_write(args.out, gzip.compress("".join(f"{line}\n" for line in made).encode(), mtime=0))
        print(f"{args.out}: {len(made)} lines")
    except (ValueError, OSError) as error:
        print(f"lists.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
