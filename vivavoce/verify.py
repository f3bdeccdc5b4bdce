"""Reads speech back with a speech recogniser: were words dropped, said twice, or not to be understood?

Needs the extra `eval`, or a recogniser of one's own. Knows nothing about models and how speech is made.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy.typing as npt

from vivavoce import evaluation
from vivavoce.audio import Samples
from vivavoce.checks import Fault
from vivavoce.pieces import Piece

MISHEARD = 0.5  # of the words: more is no slip of the recogniser
DEFAULT_ASR = "base"


class Hears(Protocol):
    """A recogniser, as `evaluation.Recogniser` is one."""

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
        """What is heard in samples [S], -1 to 1; "": nothing. language: the code of what is spoken."""


def recogniser() -> Hears:
    """Whisper base, or the one that the environment variable VIVAVOCE_ASR names by its folder or size.

    Raises ValueError where the extra `eval` is missing or there is no such model.
    """
    try:
        evaluation.word_errors("one", "one")  # needs packages of its own: better missed now than after the first piece
        return evaluation.Recogniser(os.environ.get("VIVAVOCE_ASR") or DEFAULT_ASR)
    except ValueError as error:
        raise ValueError(f"verify asr: {error}") from None


class Reader:
    """Listens to pieces. language: the code of those that do not say what they are in."""

    def __init__(self, hears: Hears, language: str) -> None:
        self.hears = hears
        self.language = language

    def read(self, samples: Samples, sample_rate: int, piece: Piece, text: str) -> tuple[str | None, list[Fault]]:
        """What is heard in a piece [S] that says `text`, and what is wrong with it. None: not listened to, for it is in
        more than one language, and a recogniser hears one."""
        languages = {code for code, _ in piece.languages} or {self.language}
        if len(languages) > 1:
            return None, []
        (language,) = languages
        heard = self.hears.transcribe(samples, sample_rate, language)
        return heard, faults(text, heard, language)


def faults(text: str, heard: str, language: str) -> list[Fault]:
    """What is wrong with speech that should say `text` and is heard as `heard`.

    A word that is heard as another is nothing: more often than not it is the recogniser that errs. Where most are, the
    speech is at fault.
    """
    found = evaluation.align(text, heard, language)
    if found.errors.wer - found.errors.skipped - found.errors.repeated > MISHEARD or not heard:
        what = f"speech that is heard as {heard[:80]!r}" if heard else "speech in which nothing is heard"
        return [Fault("misheard", what, weight=1 + 10 * found.errors.wer)]
    made = []
    for name, words, what in (("dropped", found.skipped, "left out"), ("repeated", found.repeated, "said again")):
        if words:
            made.append(Fault(name, f"{' '.join(words)!r} {what}", weight=len(words)))
    return made
