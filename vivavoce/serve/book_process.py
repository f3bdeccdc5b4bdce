"""Read a book or subtitles as chapters, cut into parts that fit into one request for speech.

`books` starts it as a separate process, under the limits of `sandbox`.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from vivavoce.books.book import Book, escape
from vivavoce.books.readers import read
from vivavoce.serve import sandbox
from vivavoce.text.split import sentences


def parts(text: str, limit: int) -> list[str]:
    """Cut a text into parts of at most `limit` characters, between paragraphs, else sentences, words or characters."""
    found: list[str] = []
    for paragraph in text.split("\n\n"):
        glue = "\n\n"
        for piece in _pieces(paragraph, limit):
            if found and len(found[-1]) + len(glue) + len(piece) <= limit:
                found[-1] += glue + piece
            else:
                found.append(piece)
            glue = " "
    return [part for part in found if any(map(str.isalnum, part))]


def _pieces(paragraph: str, limit: int) -> Iterator[str]:
    """Yield a paragraph whole if it fits, else its sentences, and of those that do not fit, words or characters."""
    if len(paragraph) <= limit:
        yield paragraph
        return
    for sentence in sentences(" ".join(paragraph.split())):
        for word in [sentence] if len(sentence) <= limit else sentence.split():
            yield from (word[start : start + limit] for start in range(0, len(word), limit))


def describe(book: Book, max_chars: int) -> dict[str, Any]:
    """Return a book as JSON. Subtitles are one chapter, without their times."""
    chapters = [(chapter.title, chapter.text) for chapter in book.chapters]
    if book.cues:
        chapters.append(("", " ".join(escape(cue.text) for cue in book.cues)))
    listed = [{"title": title, "parts": parts(text, max_chars)} for title, text in chapters]
    return {
        "title": book.title,
        "chapters": [chapter for chapter in listed if chapter["parts"]],
        "notices": list(book.notices),
    }


def main() -> None:
    """Read the file that standard input names, under the limits given as arguments."""
    sandbox.limit(*map(int, sys.argv[1:]))
    asked = json.loads(sys.stdin.buffer.read())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = describe(read(asked["path"]), asked["max_chars"])
        except (ValueError, OSError) as error:
            answer = {"error": str(error)}
    sys.stdout.buffer.write(json.dumps(answer).encode())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
