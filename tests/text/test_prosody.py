"""Prosody as numbers: what a network reads, and what is out of range."""

from __future__ import annotations

import numpy as np
import pytest

from vivavoce.models.nanospeech import PROSODY
from vivavoce.text.prosody import CHANNELS, HIDDEN, Prosody, channels


def test_neutral_is_zero_and_the_limits_of_training_are_one() -> None:
    rows = channels([Prosody(), Prosody(3, 1.5, 6, 1.25, 1), Prosody(-1.5, 1 / 1.5, -3, 0.8)])
    np.testing.assert_allclose(rows, [[0] * 6, [1, 1, 1, 1, 1, 0], [-0.5, -1, -0.5, -1, 0, 0]], atol=1e-6)
    assert rows.dtype == np.float32 and channels([]).shape == (0, PROSODY)
    assert len(CHANNELS) == len(HIDDEN) == PROSODY


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pitch": 7}, "pitch is 7; it must be from -6 to 6 semitones"),
        ({"range": 0}, "range is 0; it must be from 0.3 to 2"),
        ({"energy": float("nan")}, "energy is nan; it must be from -12 to 12 dB"),
        ({"pace": 3}, "pace is 3; it must be from 0.5 to 2"),
    ],
)
def test_a_number_out_of_range_is_named(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prosody(**wrong)
