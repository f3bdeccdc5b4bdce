"""Prosody as numbers: how a stretch of speech differs from the voice's own reading.

Everything is relative to what the voice would do by itself, so the same numbers mean the same for a deep voice and a
high one, and the neutral ones change nothing. Knows nothing about models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# What a network reads for each character. Each number is about -1 to 1, and 0 is neutral.
CHANNELS = ("pitch", "range", "energy", "pace", "stress", "hidden")
# The limits that models are trained in, where a number is 1
PITCH = 3.0  # semitones
RANGE = 1.5
ENERGY = 6.0  # dB
PACE = 1.25


@dataclass(frozen=True)
class Prosody:
    """How a stretch of speech differs from the voice's own reading; the defaults are neutral."""

    pitch: float = 0.0  # semitones
    range: float = 1.0  # factor on the distance of the pitch from its mean, in semitones
    energy: float = 0.0  # dB
    pace: float = 1.0  # factor on the speed
    stress: float = 0.0  # 1: an emphasised word

    def __post_init__(self) -> None:
        for name, low, high, unit in LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must be from {low:g} to {high:g}{unit}")

    @property
    def neutral(self) -> bool:
        return self == Prosody()

    def numbers(self) -> tuple[float, ...]:
        """Return the channels of a character."""
        return (
            self.pitch / PITCH,
            math.log(self.range) / math.log(RANGE),
            self.energy / ENERGY,
            math.log(self.pace) / math.log(PACE),
            self.stress,
            0.0,
        )


LIMITS = (
    ("pitch", -6.0, 6.0, " semitones"),
    ("range", 0.3, 2.0, ""),
    ("energy", -12.0, 12.0, " dB"),
    ("pace", 0.5, 2.0, ""),
    ("stress", -1.0, 1.0, ""),
)
HIDDEN = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # of a character whose prosody is not told, in training alone


def channels(characters: Iterable[Prosody]) -> np.ndarray:
    """Return what a network reads for the prosody of each character: float32 [T, 6]."""
    known: dict[Prosody, tuple[float, ...]] = {}
    rows = []
    for prosody in characters:
        if prosody not in known:
            known[prosody] = prosody.numbers()
        rows.append(known[prosody])
    return np.array(rows, np.float32).reshape(-1, len(CHANNELS))
