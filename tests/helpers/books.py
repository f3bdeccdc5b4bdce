"""What the tests of books share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vivavoce.books import readers
from vivavoce.books.book import Book


def read(name: str, text: str, **options: Any) -> Book:
    Path(name).write_text(text, encoding="utf-8")
    return readers.read(name, **options)


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def paragraphs(book: Book) -> list[str]:
    return [part for chapter in book.chapters for part in chapter.text.split("\n\n")]
