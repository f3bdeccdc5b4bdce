"""Show a written text and its spoken form in two columns, with what changed in colour."""

from __future__ import annotations

import difflib
import itertools
import textwrap
from collections.abc import Iterator

_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"
_EXACT = 4000  # words; the alignment of longer texts is approximate, so that its time stays proportional


def side_by_side(written: str, spoken: str, *, width: int = 100, colour: bool = False) -> str:
    """Return two columns of aligned lines. width: characters of a whole line. colour: mark changes by ANSI codes.

    Without colour, lines with a change have a bar at their start.
    """
    column = max(10, (width - 5) // 2)
    lines = [f"  {'written':{column}} │ spoken"]
    for row in _rows(written.split(), spoken.split(), column):
        lines += _wrapped(row, column, colour)
    return "\n".join(line.rstrip() for line in lines)


Cell = tuple[str, str, bool]  # words as written, words as spoken, whether they differ


def _cells(written: list[str], spoken: list[str]) -> Iterator[Cell]:
    exact = len(written) + len(spoken) <= _EXACT
    matcher = difflib.SequenceMatcher(None, written, spoken, autojunk=not exact)
    for operation, i, j, k, m in matcher.get_opcodes():
        if operation == "equal":
            yield from ((word, word, False) for word in written[i:j])
        else:
            yield " ".join(written[i:j]), " ".join(spoken[k:m]), True


def _rows(written: list[str], spoken: list[str], column: int) -> Iterator[list[Cell]]:
    """Group cells into lines that fit the columns, each with at least one cell."""
    row: list[Cell] = []
    sizes = [0, 0]
    for cell in _cells(written, spoken):
        wider = [size + len(part) + 1 for size, part in zip(sizes, cell[:2], strict=True)]
        if row and max(wider) > column + 1:
            yield row
            row, wider = [], [len(part) + 1 for part in cell[:2]]
        row.append(cell)
        sizes = wider
    if row:
        yield row


def _wrapped(row: list[Cell], column: int, colour: bool) -> Iterator[str]:
    changed = any(cell[2] for cell in row)
    bar = "│ " if changed and not colour else "  "
    left, right = (" ".join(str(cell[side]) for cell in row if cell[side]) for side in (0, 1))
    if max(len(left), len(right)) <= column:
        shown = [_coloured(row, 0, _RED), _coloured(row, 1, _GREEN)] if colour else [left, right]
        yield f"{bar}{shown[0]}{' ' * (column - len(left))} │ {shown[1]}"
        return
    # a single change that is longer than the column
    halves = (textwrap.wrap(text, column) for text in (left, right))
    for one, other in itertools.zip_longest(*halves, fillvalue=""):
        shown = [f"{_RED}{one}{_PLAIN}", f"{_GREEN}{other}{_PLAIN}"] if colour else [one, other]
        yield f"{bar}{shown[0]}{' ' * (column - len(one))} │ {shown[1]}"


def _coloured(row: list[Cell], side: int, code: str) -> str:
    return " ".join(f"{code}{cell[side]}{_PLAIN}" if cell[2] else str(cell[side]) for cell in row if cell[side])
