"""Find inputs whose processing time grows faster than their length.

    python benchmarks/text_speed.py                  every input, at 25,000, 50,000 and 100,000 bytes
    python benchmarks/text_speed.py --sizes 2000 4000 --only "[" "1-"

Each input is a short string, repeated: every sign in the patterns of the rules, pairs that the rules look for, and
inputs that were slow in the past. With --rows, it is each line of tests/data/normalise.tsv, which has cases for all
rules; with --random N, it is N strings of 1 to 6 parts, drawn with --seed. The script measures the processor time of
normalising in each language, of parsing Markdown and tags, and of splitting into sentences. It prints the inputs whose
time grows by more than 2.6 when the length doubles, and those that take more than a second of processor time in one of
these. Times under 0.05 s are mostly noise and are not compared. The exit status is 1 if any input grows faster than its
length.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vivavoce.text import normalise
from vivavoce.text.blocks import chunks
from vivavoce.text.formats import parse
from vivavoce.text.normalise import ENGLISH, LAYOUT
from vivavoce.text.romance import rules_of
from vivavoce.text.split import split
from vivavoce.text.ssml import parse as parse_ssml

SIZES = (25_000, 50_000, 100_000)
GROWTH = 2.6  # a quadratic input grows by 4 where its length doubles
NOISE = 0.05  # seconds

CHARACTERS = list("7/[](){}<>.,;:!?'\"-–—…¿¡*_`~|#$€£%&+=^\\@°½٣²☃é中 \n\t\u200b\u0301\u00ad")
PAIRS = [
    *[
        "1-",
        "1.",
        "1/",
        "1:",
        "1 ",
        "1,",
        "123 ",
        "+1",
        "+1 ",
        "(0",
        "0 ",
        "00 ",
        "1,111,",
        '5"',
        "5'",
        "5x",
        "5%",
        "5k-",
        "5kg-",
    ],
    *[
        "$5",
        "$x",
        "${",
        "$$a",
        "x^",
        "€1.",
        "a@",
        "a.",
        "a_",
        "a-",
        "A",
        "I ",
        "IV ",
        "X",
        "A.",
        "Dr. ",
        "a\n",
        "ab-\n",
        "- a\n",
    ],
    *[
        "[a](",
        "![",
        "\\[",
        "\\(",
        "<a ",
        "<!--",
        "<think>",
        "http://",
        "www.",
        ":) ",
        "&amp;",
        "☃…",
        "a\u0301",
        "2025-08-17T",
    ],
    *[
        "[pause 1s]",
        "[say:a|",
        "[fr]",
        "| a |\n",
        "# a\n",
        "> ",
        "1. a\n",
        "12:30 ",
        "3/4 ",
        "Jan 5, ",
        "-$5 ",
        "\\frac{",
        "C-",
    ],
]
PROSE = [
    "The quick brown fox jumps over 12 lazy dogs on 3 May 2021. ",
    "**Bold** and `code`, a [link](https://a.b/c).\n",
]
TAILED = {"!": "a", "?": "a", "…": "a", "¿": "a", "☃": "…a"}  # these were slow with another character at the end

WORK: dict[str, Callable[[str], object]] = {
    **{f"normalise {lang}": partial(normalise, lang=lang) for lang in LAYOUT},
    "parse": lambda text: parse(text, format="auto", strict=False),
    "parse Markdown": lambda text: parse(text, format="markdown", strict=False),
    "chunks": lambda text: list(chunks([text])),
    "split": lambda text: split(text, 200, len),
    "telephone": lambda text: parse_ssml(f'<speak><say-as interpret-as="telephone">{text}</say-as></speak>'),
}


TABLE = Path(__file__).parents[1] / "tests" / "data" / "normalise.tsv"


def rule_signs() -> list[str]:
    """Return every sign in the patterns of the rules of all languages, and a digit and two letters."""
    rules = [*ENGLISH, *(rule for lang in LAYOUT for rule in LAYOUT[lang])]
    rules += [rule for lang in LAYOUT if lang != "en" for rule in rules_of(lang)]
    signs = {c for rule in rules for c in rule.pattern.pattern if not (c.isascii() and c.isalnum())}
    return [*sorted(signs), "7", "a", "A"]


PARTS = (
    "12 1,000 1.000 2020 1/2 10:30 1e5 2x 1st 3er 5º n.º a.m. p.m. Jan mar IV II US R$ USD Rs. km kg sq ft in. mil bn "
    "th Mr. St. No. p. EE. the to and de la un http:// www. .com +33 '90s ** == ~~ $$ \\( \\[ ``` | | ]( [/ [fr] "
    "[say:a|b] <b> </b> :)"
).split()
PARTS += [
    " ",
    " ",
    " ",
    " the ",
    "- ",
    "- [ ] ",
    "1. ",
    "# ",
    "> ",
    "[pause 1s]",
    "\u202f",
    "\u00a0",
    "\u20e3",
    "\ufe0f",
    "😀",
]


def random_strings(count: int, seed: int) -> list[str]:
    """Return strings of 1 to 6 parts: signs of `CHARACTERS` and of the rules, digits, letters, units, short words."""
    order = random.Random(seed)
    parts = [*CHARACTERS, *rule_signs(), *"0123456789aehmnostxAKMIVX", *PARTS]
    return ["".join(order.choices(parts, k=order.randint(1, 6))) for _ in range(count)]


def seconds(work: Callable[[str], object], text: str) -> float:
    """Return the processor time of one run. Refusals count as well."""
    started = time.process_time()
    with contextlib.suppress(ValueError):
        work(text)
    return time.process_time() - started


def grows(times: list[float]) -> list[float]:
    """Return the ratios of each time to the one before it, if that is not noise."""
    return [b / a for a, b in itertools.pairwise(times) if a > NOISE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bytes, each about twice the one before")
    parser.add_argument("--rows", action="store_true", help="the lines of tests/data/normalise.tsv")
    parser.add_argument("--random", type=int, metavar="N", help="N random strings")
    parser.add_argument("--seed", type=int, default=0, help="of the random strings (0)")
    parser.add_argument("--only", nargs="+", help="only these inputs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for lang in LAYOUT:
        normalise("Load 1 table.", lang)
    slow = []
    inputs = [*dict.fromkeys([*CHARACTERS, *rule_signs(), *PAIRS, *PROSE])]
    if options.rows:
        inputs = [line.split("\t")[1] + " " for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    if options.random:
        inputs = random_strings(options.random, options.seed)
    for pattern in options.only or inputs:
        for name, work in WORK.items():
            if name == "telephone" and pattern.strip("0123456789 +-/.()") != "":
                continue
            texts = [pattern * (n // len(pattern.encode()) + 1) + TAILED.get(pattern, "") for n in options.sizes]
            times = [seconds(work, text) for text in texts]
            growth = grows(times)
            if max(growth, default=0) > GROWTH:  # another process may have disturbed it
                times = [min(before, seconds(work, text)) for before, text in zip(times, texts, strict=True)]
                growth = grows(times)
            if growth and max(growth) > GROWTH:
                slow.append((pattern, name))
                print(f"{pattern!r}: {name} grows by {max(growth):.1f}: {', '.join(f'{t:.2f}' for t in times)} s")
            if times[-1] > 1:
                print(f"{pattern!r}: {name} takes {times[-1]:.2f} s")
    print(f"{len(slow)} inputs grow faster than their length")
    sys.exit(bool(slow))


if __name__ == "__main__":
    main()
