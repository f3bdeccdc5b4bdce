"""The speaking rate."""

from __future__ import annotations

import numpy as np
import pytest

from vivavoce.metrics.dsp import speaking_rate, spoken_letters

RATE = 24_000


def test_the_speaking_rate_counts_letters_between_the_first_and_the_last_sound() -> None:
    assert spoken_letters("I paid $3.") == len("Ipaidthreedollars")
    quiet, sound = np.zeros(RATE, np.float32), np.full(RATE, 0.3, np.float32)
    assert speaking_rate(10, np.concatenate([quiet, sound, quiet, sound, quiet]), RATE) == pytest.approx(10 / 3)
    assert speaking_rate(10, quiet, RATE) is None and speaking_rate(0, sound, RATE) is None
