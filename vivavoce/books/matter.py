"""Front matter: covers, copyright pages, printed tables of contents, and notices of Project Gutenberg.

Listeners do not want it, so it is skipped unless requested, with a notice that names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from vivavoce.books.book import Block, count_things, count_words, unescape

_CONTENTS = re.compile(
    r"(?:table of )?contents\W*|inhalt(?:sverzeichnis)?\W*|table des mati[èe]res\W*|sommaire\W*|[íi]ndice\W*|"
    r"sommario\W*|sum[áa]rio\W*|contenido\W*|illustrations\W*|list of illustrations\W*",
    re.IGNORECASE,
)
_RIGHTS = re.compile(
    r"\bISBN\b|all rights reserved|tous droits réservés|alle rechte vorbehalten|todos los derechos reservados|"
    r"tutti i diritti riservati|todos os direitos reservados|library of congress|dépôt légal",
    re.IGNORECASE,
)
_START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG", re.IGNORECASE)
_END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|^End of (?:the )?Project Gutenberg", re.IGNORECASE)
_CREDITS = re.compile(r"(?:(?:this )?e-?text (?:was )?)?(?:produced|prepared|transcribed|scanned) by\b", re.IGNORECASE)
GUTENBERG = "notice of Project Gutenberg"
MIN_CONTENTS = 5  # links in a row that make a table of contents
SHORT_PAGE = 500  # words of a page that may be a copyright page
COVER = 12  # words of a page that may be a cover


def mark_front_matter(blocks: Sequence[Block]) -> list[Block]:
    """Mark the tables of contents and the notices of Project Gutenberg among the blocks of a book."""
    marked = list(blocks)
    run: list[int] = []
    for i, block in enumerate([*blocks, Block("")]):
        after_heading = run or (i and _CONTENTS.fullmatch(unescape(blocks[i - 1].text)))
        if not block.matter and (block.linked or (block.links and after_heading)):
            run.append(i)
            continue
        if sum(blocks[j].links for j in run) >= MIN_CONTENTS:
            if run[0] and _CONTENTS.fullmatch(unescape(blocks[run[0] - 1].text)):
                run.insert(0, run[0] - 1)
            for j in run:
                marked[j] = replace(marked[j], matter="table of contents")
        run = []
    start = next((i for i, block in enumerate(blocks) if _START.search(block.text)), None)
    if start is not None:
        end = next((i for i in range(start + 1, len(blocks)) if _END.search(blocks[i].text)), len(blocks))
        credits = [i for i in range(start + 1, min(start + 4, end)) if _CREDITS.match(blocks[i].text)]
        for i in [*range(start + 1), *credits, *range(end, len(blocks))]:
            marked[i] = replace(marked[i], matter=GUTENBERG)
    return marked


def mark_page(blocks: Sequence[Block], kind: str = "") -> list[Block]:
    """Mark a page of an epub that is front matter as a whole. kind: its kind according to the epub."""
    text = " ".join(block.text for block in blocks)
    words = count_words(text)
    if not kind and words <= SHORT_PAGE and _RIGHTS.search(text):
        kind = "copyright page"
    elif not kind and blocks and words <= COVER and all(block.image for block in blocks):
        kind = "cover"
    return [replace(block, matter=block.matter or kind) for block in blocks]


def report_front_matter(blocks: Sequence[Block], keep: bool) -> tuple[list[Block], tuple[str, ...]]:
    """Return the blocks that are read, and a notice about the front matter that is left out."""
    if keep or not any(block.matter for block in blocks):
        return list(blocks), ()
    kept = [block for block in blocks if not block.matter]
    counts: Counter[str] = Counter()
    last = ""
    for block in blocks:
        if block.matter:
            counts[block.matter] += block.matter != last
        last = block.matter
    return kept, (f"front matter is left out: {count_things(counts)}; --include front-matter reads it",)
