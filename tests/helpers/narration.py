"""What the tests of books share."""

from __future__ import annotations

import itertools
from typing import Any

from helpers.tones import LONG, Tones
from vivavoce.books.book import Book, Chapter
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult

PARAGRAPHS = "\n\n".join(f"{LONG} This is paragraph {word}." for word in "one two three".split())
BOOK = Book("The Book", tuple(Chapter(f"Chapter {n}", f"Chapter {n}\n\n{PARAGRAPHS}") for n in ("one", "two")))


def stop_after(system: Tones, pieces: int, error: BaseException) -> None:
    """Let the system fail once, after so many more pieces."""
    count, synthesize = itertools.count(1), Tones.synthesize

    def failing(jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        if next(count) > pieces:
            del system.synthesize  # type: ignore[attr-defined]
            raise error
        return synthesize(system, jobs, progress)

    system.synthesize = failing  # type: ignore[method-assign]
