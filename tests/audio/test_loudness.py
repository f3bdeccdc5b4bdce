"""Loudness by BS.1770, and the gain that reaches it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vivavoce.audio.loudness import PEAK, LevellingWriter, Meter, check_loudness, levelled

RATE = 24_000


def sine(frequency: float, db: float, seconds: float = 3.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (10 ** (db / 20) * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def loudness(*parts: np.ndarray, rate: int = RATE) -> float:
    meter = Meter(rate)
    for part in parts:
        for start in range(0, len(part), 5_000):
            meter.add(part[start : start + 5_000])
    return meter.loudness()


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_the_sine_of_the_recommendation(rate: int) -> None:
    time = np.arange(3 * rate) / rate
    assert loudness(np.sin(2 * np.pi * 997 * time).astype(np.float32), rate=rate) == pytest.approx(-3.01, abs=0.05)


def test_low_tones_count_less_and_high_ones_more() -> None:
    low, middle, high = (loudness(sine(frequency, -20)) for frequency in (50, 1000, 6000))
    assert low < middle - 1 and high == pytest.approx(middle + 3.3, abs=0.5)


def test_pauses_do_not_count() -> None:
    speech = sine(500, -20)
    with_pauses = loudness(speech, np.zeros(5 * RATE, np.float32), speech, sine(500, -60, 5))
    assert with_pauses == pytest.approx(loudness(speech), abs=0.5)
    assert loudness(np.zeros(RATE, np.float32)) == -math.inf == loudness(sine(500, -20, 0.1))


def test_a_gain_moves_the_loudness_and_peaks_stay_below_the_limit() -> None:
    sound = sine(500, -30, 4)
    sound[RATE : RATE + 50] = 0.9  # a click
    parts = [sound[start : start + 7_000] for start in range(0, len(sound), 7_000)]
    louder = np.concatenate(list(levelled(iter(parts), 10.0, RATE)))
    assert len(louder) == len(sound)
    assert np.abs(louder).max() <= 10 ** (PEAK / 20) + 1e-6
    quiet = slice(2 * RATE, None)  # away from the click the gain is exact
    assert np.allclose(louder[quiet], sound[quiet] * 10**0.5, atol=1e-5)


def test_a_loudness_out_of_range() -> None:
    with pytest.raises(ValueError, match="loudness is 3; it must be between -40 and -5 LUFS"):
        check_loudness(3)


@pytest.mark.parametrize("target", [-18.0, -30.0, -12.0])
def test_a_file_has_the_loudness(target: float, tmp_path: Path) -> None:
    time = np.arange(6 * RATE) / RATE
    sound = sine(300, -20, 6) * (0.6 + 0.4 * np.sin(5 * time)).astype(np.float32)
    sound[3 * RATE : 3 * RATE + 200] *= 4
    with LevellingWriter(tmp_path / "a.flac", RATE, loudness=target) as file:
        for start in range(0, len(sound), 10_000):
            file.add(sound[start : start + 10_000])
    made, _ = soundfile.read(tmp_path / "a.flac", dtype="float32")
    assert len(made) == len(sound) and loudness(made) == pytest.approx(target, abs=0.3)
    assert np.abs(made).max() <= 10 ** (PEAK / 20) + 1e-4
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


def test_silence_stays_silent(tmp_path: Path) -> None:
    with LevellingWriter(tmp_path / "a.wav", RATE, loudness=-18.0) as file:
        file.add(np.zeros(RATE, np.float32))
    assert not soundfile.read(tmp_path / "a.wav")[0].any()
