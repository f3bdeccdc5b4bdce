"""Compare how English text is read with the public test tables of NeMo-text-processing.

    git clone --depth 1 https://github.com/NVIDIA/NeMo-text-processing
    python benchmarks/nemo_tables.py NeMo-text-processing

The tables (Apache-2.0) are read in place; vivavoce contains no part of them. The script prints the share of
cases that are read with the same words, by table. Case, punctuation and hyphens are ignored. The last column also
ignores differences of style: "and" in numbers, "oh" for "zero", the article of dates, plurals of decades, a.m. and p.m.
as letters. `--verbose` prints the cases that differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from common import exit_status, parser
from rich import box
from rich.console import Console
from rich.table import Table

from vivavoce.text import normalise

FOLDER = Path("tests", "nemo_text_processing", "en", "data_text_normalization")
PREFIX = "test_cases_"
LEFT_OUT = ("normalize_with_audio", "punctuation_match_input")  # several readings of a case; not a reading


def cases(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (table, written, spoken)."""
    files = sorted((folder / FOLDER).glob(f"{PREFIX}*.txt"))
    if not files:
        raise ValueError(f"{folder}: no {FOLDER}/{PREFIX}*.txt; give a clone of NVIDIA/NeMo-text-processing")
    for path in files:
        table = path.stem.removeprefix(PREFIX)
        if table in LEFT_OUT:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            written, sign, spoken = line.partition("~")
            if sign and written.strip() and spoken.strip():
                yield table, written.strip(), spoken.strip()


def words(text: str) -> str:
    """Return the words of a reading without case and punctuation. Letters that are spelled stand apart."""
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1 m", text.lower())
    text = re.sub(r"(?<=\b[a-z])\.(?=[a-z]\b)", " ", text)
    return " ".join(re.sub(r"[^\w']", " ", text).split())


STYLE = (
    (r"\b(?:and|the|a)\b", " "),
    (r"\b(?:oh|o)\b", "zero"),
    (r"\b(\w+ie)s\b", r"\1s"),
    (r"\bo'clock\b|\bhundred hours\b", " "),
    (r"\bcounting\b", " "),
    (r"\bminus\b", "negative"),
    (r"\b(?:dash|hyphen)\b", "dash"),
    (r"\b(?:slash|forward slash)\b", "slash"),
    (r"\b(kilo|centi|milli|)(met|lit)res?\b", r"\1\2er"),
    (r"\b(\w{3,}?)e?s\b", r"\1"),
)


def plain_words(text: str) -> str:
    """Return the words of a reading without differences of style."""
    text = re.sub(r"(?<=\b\w) (?=\w\b)", "", words(text))  # spelled letters
    text = re.sub(r"\bhttps? colon slash slash ", "", text)
    for pattern, replacement in STYLE:
        text = re.sub(pattern, replacement, text)
    return " ".join(text.split())


def report(folder: Path, verbose: bool) -> None:
    counts: dict[str, list[int]] = {}
    for table, written, spoken in cases(folder):
        read = normalise(written)[0]
        same = words(read) == words(spoken)
        alike = same or plain_words(read) == plain_words(spoken)
        found = counts.setdefault(table, [0, 0, 0])
        for place, value in enumerate((True, same, alike)):
            found[place] += value
        if verbose and not alike:
            print(f"{table}\t{written}\t{spoken}\t{read}")
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for head in ("table", "cases", "same words", "same but for style"):
        shown.add_column(head, justify="left" if head == "table" else "right", no_wrap=True)
    counts["all"] = [sum(found[place] for found in counts.values()) for place in range(3)]
    for table, found in counts.items():
        shown.add_row(table, *map(str, found))
    Console(highlight=False).print(shown)


def main(arguments: Sequence[str] | None = None) -> int:
    parse = parser(__doc__)
    parse.add_argument("folder", type=Path, help="clone of NVIDIA/NeMo-text-processing")
    parse.add_argument("--verbose", action="store_true", help="print the cases that differ")
    args = parse.parse_args(arguments)
    return exit_status(lambda: report(args.folder, args.verbose))


if __name__ == "__main__":
    sys.exit(main())
