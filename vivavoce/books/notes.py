"""Footnotes: read them at the end of their chapter, after the paragraph that refers to them, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vivavoce.books.archive import resolve
from vivavoce.books.book import Block

if TYPE_CHECKING:
    from vivavoce.books.html import Page

FOOTNOTES = ("chapter-end", "inline", "skip")
_WORDS = {"de": "Fußnote", "es": "Nota", "fr": "Note", "it": "Nota", "pt": "Nota", "nl": "Voetnoot"}

Key = tuple[str, int]  # the path of a page, and the number of a note on it


def place_notes(pages: Mapping[str, Page], mode: str, counts: Counter[str], language: str) -> list[Block]:
    """Return the blocks of all pages in order, with the notes where `mode` puts them, one of FOOTNOTES.

    pages: by their paths. Notes that nothing refers to stay where they are. counts: notes that are skipped are counted
    here. language: of the word "footnote" that introduces a note.
    """
    notes: dict[Key, list[Block]] = {}
    for path, page in pages.items():
        for block in page.blocks:
            if block.note:
                notes.setdefault((path, block.note), []).append(block)
    references = (key for path, page in pages.items() for block in page.blocks for key in _keys(pages, path, block))
    referred = {key for key in references if key in notes}
    if mode == "skip":
        if notes:
            counts["footnote"] += len(notes)
        return [block for _, block, stays in _blocks(pages, referred) if stays and not block.note]
    word = _WORDS.get(language[:2].lower(), "Footnote")
    placed: list[Block] = []
    waiting: list[Key] = []
    done: set[Key] = set()

    def put(keys: list[Key]) -> None:
        for key in keys:
            if key not in done:
                done.add(key)
                first, *rest = notes[key]
                placed.extend([replace(first, text=f"{word}: {first.text}", level=0), *rest])

    for path, block, stays in _blocks(pages, referred):
        if block.starts is not None or block.level in (1, 2):
            put(waiting)
            waiting = []
        if stays:
            placed.append(block)
            keys = [key for key in _keys(pages, path, block) if key in notes]
            if mode == "inline":
                put(keys)
            else:
                waiting += keys
    put(waiting)
    return placed


def _blocks(pages: Mapping[str, Page], referred: set[Key]) -> Iterator[tuple[str, Block, bool]]:
    """Yield each block with the path of its page, and whether it stays where it is.

    Notes that are referred to move. If all the notes of a page do, so does what stands between them, such as their
    heading.
    """
    for path, page in pages.items():
        unreferred = {block.note for block in page.blocks if block.note and (path, block.note) not in referred}
        for block in page.blocks:
            if block.note == 0:
                yield path, block, bool(unreferred) or not referred
            else:
                yield path, block, not block.note or (path, block.note) not in referred


def _keys(pages: Mapping[str, Page], path: str, block: Block) -> list[Key]:
    """Return the notes that a block refers to."""
    keys = []
    for reference in block.refs:
        target, anchor = resolve(path, reference)
        page = pages.get(target)
        if page is not None and anchor in page.notes:
            keys.append((target, page.notes[anchor]))
    return keys
