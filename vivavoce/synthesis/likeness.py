"""How similar speech sounds to the recording that its voice was cloned from: what a user can expect of a clone."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from vivavoce.systems.interface import System
from vivavoce.voices import Voice

# By the bundled speaker encoder (GE2E), for ten readers of LibriSpeech: recordings of the same person 0.90,
# the nearest of the five built-in voices 0.57
SAME_PERSON, FAR = 0.9, 0.75
SHORTEST = 1.6  # seconds of speech that can be compared


def likeness(system: System, voice: Voice, samples: npt.ArrayLike, sample_rate: int) -> float | None:
    """Return the likeness of speech [S] to the recording of a voice, about 0 to 1; None if it cannot be measured.

    It is the product of their speaker vectors, by the encoder of the system. None for a system without one, and for
    less than SHORTEST seconds.
    """
    wave = np.asarray(samples, np.float32)
    if len(wave) < SHORTEST * sample_rate or sample_rate != voice.sample_rate:
        return None
    bare = dataclasses.replace(voice, embedding=None, weights=None)
    spoken = system.embedded(dataclasses.replace(bare, samples=wave)).embedding
    recorded = system.embedded(bare).embedding
    if spoken is None or recorded is None:
        return None
    return float(spoken @ recorded / (np.linalg.norm(spoken) * np.linalg.norm(recorded)))


def describe(value: float) -> str:
    """Return a line about a likeness, and what to do if it is low."""
    line = f"likeness to the recording: {value:.2f} (the same person: about {SAME_PERSON})"
    if value >= FAR:
        return line
    return f"{line}; this voice is far from what the model knows, and training helps: vivavoce train-voice"
