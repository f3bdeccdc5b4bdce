"""Measures that need arithmetic alone: speaking rate."""

from __future__ import annotations

import numpy.typing as npt

from vivavoce.audio.dsp import trim_silence
from vivavoce.metrics.words import spell


def spoken_letters(text: str, language: str = "en") -> int:
    """Count the letters and digits of a text after its numbers, dates and symbols are spelled out."""
    return sum(map(str.isalnum, spell(text, language)))


def speaking_rate(letters: int, samples: npt.ArrayLike, sample_rate: int) -> float | None:
    """Return letters a second between the first and the last sound, pauses between words included.

    samples: [S], -1 to 1; sample_rate: Hz. None without letters or without sound.
    """
    sound = len(trim_silence(samples, sample_rate, margin=0.0))
    return letters * sample_rate / sound if letters and sound else None
