"""A piece of text: the unit that a model speaks at once."""

from __future__ import annotations

from dataclasses import dataclass

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
