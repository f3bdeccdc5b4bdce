"""PDF: the text of the pages without running heads and page numbers, with words and paragraphs put together again."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

from vivavoce.books.book import MAX_BYTES, Block, Book, escape, left_out, to_chapters

MARGIN_LINES = 2  # at the top and the bottom of a page: where running heads and page numbers stand
REPEATED = 3  # pages that have the same line there make it a running head
_SENTENCE_END = re.compile(r"[.!?…:][\"'”’»)\]]*$")
_PAGE_NUMBER = re.compile(r"\W*(?:page\s+)?(?:\d{1,4}|[ivxlc]{1,7})(?:\s*(?:/|of)\s*\d{1,4})?\W*", re.IGNORECASE)


def read_pdf(path: Path, name: str) -> Book:
    """Return the chapters of a PDF, by its outline. Raises ValueError if it is protected or holds no text."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError:
        raise ValueError(f'{name}: reading PDF needs pypdf: pip install "vivavoce[documents]"') from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it comments on everything that it repairs
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError(f"{name} is protected by a password; it cannot be read")
        pages, size = list[list[str]](), 0
        for page in reader.pages:
            lines = [" ".join(line.split()) for line in page.extract_text().splitlines()]
            size += sum(map(len, lines))
            if size > MAX_BYTES:
                raise ValueError(f"{name} has more than {MAX_BYTES / 1e6:g} MB of text in it; it is not read")
            pages.append([line for line in lines if line])
        chapters = _outline(reader)
        title = str((reader.metadata.title if reader.metadata else None) or "")
    except (PyPdfError, OSError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise ValueError(f"{name} cannot be read as PDF ({str(error)[:100] or type(error).__name__})") from None
    if not any(map(str.isalnum, "".join(line for lines in pages for line in lines))):
        raise ValueError(f"{name} holds no text, only pictures of {len(pages)} pages; recognise its text (OCR) first")
    counts: Counter[str] = Counter()
    blocks = _paragraphs(_without_margins(pages, counts), chapters)
    return Book(" ".join(title.split()), to_chapters(blocks), (), left_out(counts))


def _outline(reader: Any) -> dict[int, str]:
    """Return the titles of the highest level of the outline by the pages at which they start."""
    found: dict[int, str] = {}
    for entry in reader.outline:
        if not isinstance(entry, list):
            page = reader.get_destination_page_number(entry)
            if page is not None and page >= 0:
                found.setdefault(page, " ".join(str(entry.title).split()))
    return found


def _without_margins(pages: list[list[str]], counts: Counter[str]) -> list[list[str]]:
    """Remove page numbers, and lines that stand at the top or the bottom of several pages."""
    margins = Counter(_shape(line) for lines in pages for line in {*lines[:MARGIN_LINES], *lines[-MARGIN_LINES:]})
    kept = []
    for lines in pages:
        last = len(lines) - MARGIN_LINES
        rest = []
        for i, line in enumerate(lines):
            at_margin = i < MARGIN_LINES or i >= last
            if at_margin and _PAGE_NUMBER.fullmatch(line):
                counts["page number"] += 1
            elif at_margin and len(pages) >= REPEATED and margins[_shape(line)] >= max(REPEATED, len(pages) // 10):
                counts["running head"] += 1
            else:
                rest.append(line)
        kept.append(rest)
    return kept


def _shape(line: str) -> str:
    return re.sub(r"\d+", "0", line).lower()


def _paragraphs(pages: list[list[str]], chapters: dict[int, str]) -> list[Block]:
    """Join lines into paragraphs, and words that are divided at the end of a line."""
    widths = sorted(len(line) for lines in pages for line in lines)
    wide = 0.8 * widths[int(0.8 * len(widths))] if widths else 0.0
    blocks: list[Block] = []
    text, starts = "", None

    def finish() -> None:
        nonlocal text, starts
        if any(map(str.isalnum, text)):
            blocks.append(Block(escape(text), starts=starts))
            starts = None
        text = ""

    for number, lines in enumerate(pages):
        if number in chapters:
            finish()
            starts = chapters[number]
        for line in lines:
            if re.search(r"[^\W\d_]-$", text) and line[:1].islower():
                text = text[:-1] + line
            else:
                text = f"{text} {line}".strip()
            if len(line) < wide and _SENTENCE_END.search(line):
                finish()
    finish()
    return blocks
