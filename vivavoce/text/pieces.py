"""A piece of text: the unit that a model speaks at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from vivavoce.text.prosody import Prosody

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """Text for one model call, and the silence after it in seconds.

    languages: runs (code, number of characters) that cover `text`; (): all of it is in the system's first language.
    phones: pronunciations that were given for words, as (start, end, phones); a model without phones ignores them.
    prosody: runs (prosody, number of characters) that cover `text`; (): neutral.
    seconds: the lengths of the silence before the text, of its characters and of the silence after it, for a text
    without white space at its ends; (): as predicted.
    """

    text: str
    pause: float
    languages: tuple[tuple[str, int], ...] = ()
    phones: tuple[tuple[int, int, str], ...] = ()
    seconds: tuple[float, ...] = ()
    prosody: tuple[tuple[Prosody, int], ...] = ()


def joined_runs(runs: Iterable[tuple[T, int]]) -> tuple[tuple[T, int], ...]:
    """Join neighbouring runs (value, number of characters) of the same value; drop empty ones."""
    joined: list[tuple[T, int]] = []
    for value, count in runs:
        if count and joined and joined[-1][0] == value:
            joined[-1] = (value, joined[-1][1] + count)
        elif count:
            joined.append((value, count))
    return tuple(joined)


def between_spaces(text: str, runs: Sequence[tuple[Any, int]], usual: Any) -> list[Any]:
    """Return what runs (value, number of characters) of a text say of each character of it between two spaces."""
    values = [value for value, count in runs for _ in range(count)] or [usual] * len(text)
    first = len(text) - len(text.lstrip())
    values = values[first : first + len(text.strip())] or [usual]
    return [values[0], *values[: len(text.strip())], values[-1]]
