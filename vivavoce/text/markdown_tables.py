"""Read the tables of Markdown row by row, each cell after the heading of its column."""

from __future__ import annotations

import re

_ENDS = ".!?…:;"


def row_text(line: str) -> list[str]:
    """Return the cells of a row."""
    inner = re.sub(r"^\s*\||(?<!\\)\|\s*$", "", line.rstrip())
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def is_delimiter(line: str) -> bool:
    """Return whether a line is the one between headings and rows, such as |---|:--:|."""
    return "-" in line and set(line.strip()) <= set("|-: \t")


def is_bare_delimiter(line: str) -> bool:
    """Return whether a line is such a one without pipes at its ends, as in --- | ---."""
    return re.fullmatch(r"\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)+", line) is not None


class Table:
    """The rows of one table. `add` and `end` return sentences as soon as they are certain.

    headings: those of the columns, if they have been read already.
    """

    def __init__(self, headings: list[str] | None = None) -> None:
        self._waiting: list[str] | None = None  # the first row, which may be the headings
        self._headings = headings or []
        self._unread = headings is None  # whether a table without rows reads its headings
        self._rows = 0

    def confirm(self) -> None:
        """Take the first row for headings: the delimiter follows it."""
        if self._rows == 0 and self._waiting is not None:
            self._headings, self._waiting = self._waiting, None

    def add(self, cells: list[str]) -> list[str]:
        """Return the sentences of a row, and of the first row if it turned out to be none of headings."""
        if self._rows == 0 and self._waiting is None and not self._headings:
            self._waiting = cells
            return []
        sentences = self._flush()
        self._rows += 1
        return [*sentences, *self._sentence(cells)]

    def end(self) -> list[str]:
        """Return the sentences that remain: a table may have a single row."""
        sentences = self._flush()
        if self._headings and self._rows == 0 and self._unread:
            headings, self._headings = self._headings, []
            sentences += self._sentence(headings)
        return sentences

    def _flush(self) -> list[str]:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return []
        self._rows += 1
        return self._sentence(waiting)

    def _sentence(self, cells: list[str]) -> list[str]:
        parts = []
        for i, cell in enumerate(cells):
            heading = self._headings[i].rstrip(_ENDS) if i < len(self._headings) else ""
            if cell:
                parts.append(f"{heading}: {cell.rstrip('.')}" if heading else cell.rstrip("."))
        sentence = ", ".join(parts)
        return [sentence if sentence[-1:] in _ENDS else f"{sentence}."] if sentence else []
