"""Stand-ins for models with more abilities than the bundled one: prosody conditions, and voice conversion."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from helpers.serving import Spoken
from helpers.tones import RATE
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.tts import TTS
from vivavoce.voices import Voice


class Lively(Spoken):
    """Has prosody conditions, and channels for both kinds of voice conversion."""

    prosody = True
    by_letters = True
    code_rate = 25.0


class Letters(Spoken):
    """Can take the timing of a recording whose words are known, and nothing else."""

    by_letters = True


class Backwards(TTS):
    """Converts a recording by playing it backwards, in two pieces; with its text, plays its beginning."""

    def convert_stream(
        self, audio: Any, voice: Any = None, *, text: Any = None, seed: int | None = None, **_: Any
    ) -> Iterator[Speech]:
        samples, rate = audio
        if text is not None:  # what was asked for, as a count of samples
            warnings.warn("pauses in the text have no effect", stacklevel=2)
            return iter([Speech(samples[: 1000 * len(text)], rate, seed=seed)])
        assert rate == RATE and isinstance(voice, Voice) and voice.embedding is not None
        if seed == 13:
            raise ValueError("the recording is silent")
        half = len(samples) // 2
        return (Speech(part[::-1].copy(), rate, seed=seed) for part in (samples[:half], samples[half:]))


def able() -> dict[str, TTS]:
    """Return the models of a worker: one that can nothing special, and others."""
    return {"nanospeech": TTS(Spoken()), "lively": Backwards(Lively()), "letters": Backwards(Letters())}


MODELS = ("nanospeech", "lively", "letters")
