"""A piece of text: the unit that a model speaks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vivavoce.text.prosody import Prosody


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


def between_spaces(text: str, runs: Sequence[tuple[Any, int]], usual: Any) -> list[Any]:
    """Return what runs (value, number of characters) of a text say of each character of it between two spaces."""
    values = [value for value, count in runs for _ in range(count)] or [usual] * len(text)
    first = len(text) - len(text.lstrip())
    values = values[first : first + len(text.strip())] or [usual]
    return [values[0], *values[: len(text.strip())], values[-1]]
