"""What the tests of systems share."""

from __future__ import annotations

from typing import Any

from vivavoce.config import SpeakOptions
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.systems.whisperspeech_torch import WhisperspeechSystem
from vivavoce.text.pieces import Piece
from vivavoce.voices import get

TEXT = "Hello there, you."


def job(text: str = TEXT, seed: int = 1, memory: Any = None, voice: str = "nash", **options: Any) -> SynthesisRequest:
    languages = options.pop("languages", ())
    return SynthesisRequest(Piece(text, 0.0, languages), get(voice), SpeakOptions(**options), seed, memory)


def speak(system: WhisperspeechSystem, *args: Any, **kwargs: Any) -> SynthesisResult:
    return system.synthesize([job(*args, **kwargs)])[0]
