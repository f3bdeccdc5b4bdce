"""A planned piece: what the planner hands to the synthesizer, and small helpers for texts that both use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivavoce.config import SpeakOptions
    from vivavoce.text.pieces import Piece
    from vivavoce.voices import Voice


@dataclass(frozen=True)
class PlannedPiece:
    """A piece, and every decision about it that is made before it is spoken."""

    piece: Piece
    written: str  # the normalised piece, before it was fitted to the model's characters
    voice: Voice
    options: SpeakOptions  # every field that the system uses is set
    seconds: float  # predicted
    before: float = 0.0  # seconds of silence before the piece
    share: float = 0.0  # of the whole text, 0 to 1; 0 for a text stream, whose length is unknown

    @property
    def total_seconds(self) -> float:
        """The predicted duration with the silence before and after the piece."""
        return self.before + self.seconds + self.piece.pause


def has_words(text: str) -> bool:
    """Return whether the text has a letter or a digit."""
    return any(map(str.isalnum, text))


def shorten(text: str, length: int = 60) -> str:
    """Return the text, cut to `length` characters for use in a message."""
    return text if len(text) <= length else text[: length - 1] + "…"
