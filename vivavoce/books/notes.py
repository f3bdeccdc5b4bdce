"""Footnotes: read them at the end of their chapter, after the paragraph that refers to them, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
    word = _WORDS.get(language[:2].lower(), "Footnote")
    notes: dict[Key, list[Block]] = {}
    for path, page in pages.items():
        for block in page.blocks:
            if block.note:
                notes.setdefault((path, block.note), []).append(block)
    referred = {
        key
        for path, page in pages.items()
        for block in page.blocks
        for key in _keys(pages, path, block)
        if key in notes
    }
    placed: list[Block] = []
    waiting: list[Key] = []
    done: set[Key] = set()

    def put(keys: list[Key]) -> None:
        for key in keys:
            if key in done:
                continue
            done.add(key)
            first, *rest = notes[key]
            placed.extend([replace(first, text=f"{word}: {first.text}", level=0), *rest])

    for path, page in pages.items():
        unreferred = {block.note for block in page.blocks if block.note and (path, block.note) not in referred}
        for block in page.blocks:
            if block.starts is not None or block.level in (1, 2):
                put(waiting)
                waiting = []
            if block.note == 0 and not unreferred and referred:
                continue  # a heading such as "Notes", whose notes are elsewhere now
            if block.note and (path, block.note) in referred:
                continue
            placed.append(block)
            keys = [key for key in _keys(pages, path, block) if key in notes]
            if mode == "inline":
                put(keys)
            elif mode == "chapter-end":
                waiting += keys
    put(waiting)
    if mode == "skip":
        skipped = {key for key in referred if key not in done}
        counts["footnote"] += len(skipped)
        placed = [block for block in placed if not block.note]
        counts["footnote"] += len({key for key in notes if key not in referred})
        if not counts["footnote"]:
            del counts["footnote"]
    return placed


def _keys(pages: Mapping[str, Page], path: str, block: Block) -> list[Key]:
    """Return the notes that a block refers to."""
    keys = []
    for reference in block.refs:
        target, anchor = resolve(path, reference)
        page = pages.get(target)
        if page is not None and anchor in page.notes:
            keys.append((target, page.notes[anchor]))
    return keys
