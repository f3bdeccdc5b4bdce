"""Word processors' files: docx and odt, which are XML in a zip archive."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vivavoce.books.archive import MAX_TEXT_ELEMENTS, Archive, local_name, named
from vivavoce.books.book import Block, Book, escape, left_out, only_heading, to_chapters


def read_docx(path: Path, name: str) -> Book:
    """Return the chapters of a Word document. Deleted text, notes and pictures are left out."""
    with Archive(path, name, "docx") as archive:
        if "word/document.xml" not in archive:
            raise ValueError(f"{name} is not a docx: word/document.xml is missing")
        body = archive.xml("word/document.xml", MAX_TEXT_ELEMENTS)
        levels = _docx_levels(archive.xml("word/styles.xml")) if "word/styles.xml" in archive else {}
        title = _title(archive.xml("docProps/core.xml")) if "docProps/core.xml" in archive else ""
    counts: Counter[str] = Counter()
    blocks = []
    for paragraph in named(body, "p"):
        style = next((_attribute(e, "val") for e in named(paragraph, "pStyle")), "")
        text = escape("".join(_docx_text(paragraph, counts)))
        blocks += _blocks(text, levels.get(style, 0))
    return Book(title or only_heading(blocks), to_chapters(blocks), (), left_out(counts))


def _docx_levels(styles: Any) -> dict[str, int]:
    """Return the levels of the heading styles by their ids, which depend on the language of Word."""
    levels = {}
    for style in named(styles, "style"):
        label = next((_attribute(e, "val") for e in named(style, "name")), "")
        if m := re.fullmatch(r"heading ([1-6])", label.lower()):
            levels[_attribute(style, "styleId")] = int(m[1])
        elif label.lower() == "title":
            levels[_attribute(style, "styleId")] = 1
    return levels


def _docx_text(paragraph: Any, counts: Counter[str]) -> Iterator[str]:
    waiting = [paragraph]
    while waiting:
        element = waiting.pop()
        kind = local_name(element)
        if kind == "t":
            yield element.text or ""
        elif kind in ("tab", "br", "cr"):
            yield " " if kind == "tab" else "\n"
        elif kind in ("footnoteReference", "endnoteReference"):
            counts["footnote"] += 1
        elif kind in ("drawing", "pict"):
            counts["picture"] += 1
        elif kind not in ("del", "instrText", "pPr", "rPr") and not (kind == "p" and element is not paragraph):
            waiting += reversed(element)


def read_odt(path: Path, name: str) -> Book:
    """Return the chapters of an OpenDocument text. Notes and pictures are left out."""
    with Archive(path, name, "odt") as archive:
        if "content.xml" not in archive:
            raise ValueError(f"{name} is not an odt: content.xml is missing")
        if "META-INF/manifest.xml" in archive and any(named(archive.xml("META-INF/manifest.xml"), "encryption-data")):
            raise ValueError(f"{name} is protected by a password; it cannot be read")
        body = next(named(archive.xml("content.xml", MAX_TEXT_ELEMENTS), "text"), ())
        title = _title(archive.xml("meta.xml")) if "meta.xml" in archive else ""
    counts: Counter[str] = Counter()
    blocks = []
    for paragraph in _odt_paragraphs(body):
        level = _attribute(paragraph, "outline-level") if local_name(paragraph) == "h" else "0"
        blocks += _blocks(escape("".join(_odt_text(paragraph, counts))), min(6, int(level)) if level.isdecimal() else 0)
    return Book(title or only_heading(blocks), to_chapters(blocks), (), left_out(counts))


def _odt_paragraphs(body: Any) -> Iterator[Any]:
    waiting = list(reversed(list(body)))
    while waiting:
        element = waiting.pop()
        kind = local_name(element)
        if kind in ("p", "h"):
            yield element
        elif kind not in ("tracked-changes", "table-of-content", "alphabetical-index", "sequence-decls", "forms"):
            waiting += reversed(element)


def _odt_text(element: Any, counts: Counter[str]) -> Iterator[str]:
    waiting: list[Any] = [element]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
            continue
        kind = local_name(part)
        if kind == "note":
            counts["footnote"] += 1
        elif kind == "frame":
            counts["picture"] += 1
        elif kind in ("annotation", "bookmark"):
            pass
        else:
            yield " " if kind in ("s", "tab") else "\n" if kind == "line-break" else ""
            yield part.text or ""
            for child in reversed(part):
                waiting += [child.tail or "", child]


def _blocks(text: str, level: int) -> list[Block]:
    parts = (re.sub(r"[^\S\n]+", " ", part).strip() for part in re.split(r"\n\s*\n", text))
    return [Block(part, level) for part in parts if any(map(str.isalnum, part))]


def _title(properties: Any) -> str:
    return next((" ".join((e.text or "").split()) for e in named(properties, "title")), "")


def _attribute(element: Any, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")
