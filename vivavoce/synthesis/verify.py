"""Compare speech with its transcript: find words that were dropped, repeated or not intelligible.

Needs the extra `eval`, or any other recognizer. Knows nothing about models and synthesis.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vivavoce.audio.dsp import Samples
from vivavoce.metrics import asr, words
from vivavoce.metrics.asr import Recognizer
from vivavoce.synthesis.checks import Fault

if TYPE_CHECKING:
    from vivavoce.text.pieces import Piece

__all__ = ["Recognizer", "TranscriptChecker", "find_faults", "load_recognizer"]

MAX_MISHEARD = 0.5  # of the words; more than this is not a slip of the recogniser
DEFAULT_ASR = "base"


def load_recognizer() -> Recognizer:
    """Load Whisper base, or the model that the environment variable VIVAVOCE_ASR names by its folder or size.

    Raises ValueError if the extra `eval` is missing or if there is no such model.
    """
    try:
        words.word_errors("one", "one")  # checks for its packages now, not after the first piece
        return asr.WhisperRecognizer(os.environ.get("VIVAVOCE_ASR") or DEFAULT_ASR)
    except ValueError as error:
        raise ValueError(f"verify asr: {error}") from None


class TranscriptChecker:
    """Transcribes pieces and compares the transcript with the text. language: of pieces that do not name one."""

    def __init__(self, recognizer: Recognizer, language: str) -> None:
        self.recognizer = recognizer
        self.language = language

    def check(self, samples: Samples, sample_rate: int, piece: Piece, text: str) -> tuple[str | None, list[Fault]]:
        """Return the transcript of a piece [S] that says `text`, and its faults.

        A piece in several languages is not transcribed, because a recogniser expects one: (None, []).
        """
        languages = {code for code, _ in piece.languages} or {self.language}
        if len(languages) > 1:
            return None, []
        (language,) = languages
        transcript = self.recognizer.transcribe(samples, sample_rate, language)
        return transcript, find_faults(text, transcript, language)


def find_faults(text: str, transcript: str, language: str) -> list[Fault]:
    """Return the faults of speech that should say `text`.

    A single substituted word is not a fault: usually the recogniser errs. If most words differ, the speech is at fault.
    """
    alignment = words.align(text, transcript, language)
    errors = alignment.errors
    if errors.wer - errors.skipped - errors.repeated > MAX_MISHEARD or not transcript:
        what = f"speech that is heard as {transcript[:80]!r}" if transcript else "speech in which nothing is heard"
        return [Fault("misheard", what, weight=1 + 10 * errors.wer)]
    faults = []
    for name, found, what in (
        ("dropped", alignment.skipped, "left out"),
        ("repeated", alignment.repeated, "said again"),
    ):
        if found:
            faults.append(Fault(name, f"{' '.join(found)!r} {what}", weight=len(found)))
    return faults
