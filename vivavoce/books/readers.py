r"""Read a file as a `Book`: chapters of text, or cues of subtitles.

    txt              books/txt.py        chapters at lines such as "Chapter 3" or "Epilogue"
    md               books/markdown.py   chapters at the headings of the highest level that occurs more than once
    html             books/html.py       the same
    epub             books/epub.py       chapters at the entries of the table of contents
    srt, vtt         books/cues.py       cues that are spoken at their times
    docx, odt        books/documents.py  chapters at the headings
    rtf              books/rtf.py        chapters at paragraphs with an outline level
    pdf              books/pdf.py        chapters at the entries of the outline; needs the extra `documents`

Plain text and Markdown may have the tags of `text.markup`. Brackets in other formats are brackets.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vivavoce.books.book import MAX_BYTES, Book, Chapter, Cue, escape, select
from vivavoce.books.cues import parse_cues
from vivavoce.books.decode import decode, decode_with_notice
from vivavoce.books.documents import read_docx, read_odt
from vivavoce.books.epub import read_epub
from vivavoce.books.html import read_html
from vivavoce.books.markdown import read_markdown
from vivavoce.books.notes import FOOTNOTES
from vivavoce.books.pdf import read_pdf
from vivavoce.books.rtf import read_rtf
from vivavoce.books.txt import read_txt

__all__ = ["FOOTNOTES", "FORMATS", "Book", "Chapter", "Cue", "decode", "escape", "read", "select"]

FORMATS = ("txt", "md", "html", "epub", "srt", "vtt", "docx", "odt", "rtf", "pdf")
_SUFFIXES = {format: format for format in FORMATS} | {"markdown": "md", "htm": "html", "xhtml": "html"}
_CONVERT = ("mobi", "azw", "azw3", "azw4", "kf8", "prc", "fb2", "lit", "pdb", "doc", "djvu")


def read(path: str | os.PathLike[str], *, front_matter: bool = False, footnotes: str = FOOTNOTES[0]) -> Book:
    """Read a file in the format of its extension or, if that is unknown, of its content.

    front_matter: also read covers, copyright pages, tables of contents and the notices of Project Gutenberg.
    footnotes: "chapter-end" reads them at the end of their chapter, "inline" after the paragraph that refers to them,
    "skip" leaves them out. Files with several chapters are divided as `FORMATS` describes.
    Raises ValueError, naming the file, if it is damaged, protected, too large or has no text; OSError if it cannot be
    opened.
    """
    if footnotes not in FOOTNOTES:
        raise ValueError(f"footnotes is {footnotes!r}; it must be one of {', '.join(FOOTNOTES)}")
    name, path = os.fspath(path), Path(path)
    _check_file(path, name)
    format = _format(path, name)
    if format == "epub":
        book = read_epub(path, name, front_matter, footnotes)
    elif format in _BINARY:
        book = _BINARY[format](path, name)
    else:
        book = _read_text(path, name, format, front_matter, footnotes)
    if not any(map(str.isalnum, book.text)):
        raise ValueError(f"{name} has no text in it; there is nothing to say")
    return book if book.title else replace(book, title=path.stem)


_BINARY: dict[str, Callable[[Path, str], Book]] = {"docx": read_docx, "odt": read_odt, "rtf": read_rtf, "pdf": read_pdf}


def _read_text(path: Path, name: str, format: str, front_matter: bool, footnotes: str) -> Book:
    data = path.read_bytes()
    text, notice = decode_with_notice(data, name, declared=format == "html")
    text = text.replace("\r\n", "\n")
    if not text.strip():
        raise ValueError(f"{name} is empty; there is nothing to say")
    if format in ("srt", "vtt"):
        parsed = parse_cues(text, name)
        book = Book("", (), parsed.cues, parsed.notices)
    elif format == "md":
        book = read_markdown(text, footnotes)
    elif format == "html":
        try:
            book = read_html(text, front_matter, footnotes)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    else:
        book = read_txt(text.replace("\r", "\n"), front_matter)
    return replace(book, notices=(notice, *book.notices)) if notice else book


def _check_file(path: Path, name: str) -> None:
    """Raise ValueError for what would be read without end, such as a pipe, and for a file that is too large."""
    about = path.stat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise ValueError(f"{name} is a device or a pipe, not a file; read it through standard input")
    if path.suffix.lower() not in (".pdf", ".epub", ".docx", ".odt") and about.st_size > MAX_BYTES:
        raise ValueError(f"{name} has {about.st_size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:g} MB of text are read")


def _format(path: Path, name: str) -> str:
    suffix = path.suffix[1:].lower()
    if suffix in _CONVERT:
        raise ValueError(f"{name}: {suffix} is not read; convert it with Calibre: ebook-convert {name} book.epub")
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"PK\x03\x04"):
        kinds = {b"epub+zip": "epub", b"opendocument.text": "odt", b"word/": "docx", b"[Content_Types]": "docx"}
        return next((kind for sign, kind in kinds.items() if sign in start), "epub")
    if start.startswith(b"{\\rtf"):
        return "rtf"
    if start.startswith(b"%PDF-"):
        return "pdf"
    if start.lstrip(b"\xef\xbb\xbf").startswith(b"WEBVTT"):
        return "vtt"
    head = start.lstrip().lower()
    return "html" if head.startswith((b"<!doctype html", b"<html")) else "txt"
