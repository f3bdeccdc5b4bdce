"""The pitch of recorded voices."""

from __future__ import annotations

import numpy as np
import pytest

from vivavoce.audio.pitch import frequencies, track

RATE, HOP = 24_000, 256


def voice(low: float, high: float, seconds: float = 1.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A glide with harmonics up to 4 kHz in odd phases and a little noise → its samples, and its cycles at each."""
    order = np.random.default_rng(seed)
    hertz = np.geomspace(low, high, int(seconds * RATE))
    cycles = np.cumsum(hertz) / RATE
    wave = np.zeros(len(cycles))
    for k in range(1, int(4000 / high) + 1):
        offset = 0.0 if k == 1 else order.uniform()  # so that the first harmonic is a cosine of the cycles
        wave += np.cos(2 * np.pi * (k * cycles + offset)) / k
    return (0.1 * wave + 1e-3 * order.normal(size=len(wave))).astype(np.float32), cycles


@pytest.mark.parametrize(("low", "high"), [(80.0, 110.0), (120.0, 190.0), (330.0, 250.0)])
def test_the_cycles_of_a_glide_are_counted(low: float, high: float) -> None:
    wave, truth = voice(low, high)
    cycles, voiced = track(wave, RATE, HOP)
    assert len(cycles) == len(voiced) == len(wave) // HOP + 1
    inner = slice(5, -5)
    assert voiced[inner].mean() > 0.95
    off = (cycles - truth[np.minimum(np.arange(len(cycles)) * HOP, len(truth) - 1)])[inner]
    assert np.abs(off - np.round(off[0])).max() < 0.05  # whole cycles more or less are no difference


def test_the_frequency_of_a_glide_is_found_and_pauses_have_none() -> None:
    wave, truth = voice(120, 190)
    hertz = frequencies(np.concatenate((wave, np.zeros(9_600, np.float32))), RATE, HOP)
    inner = slice(5, len(wave) // HOP - 5)
    right = np.gradient(truth)[: len(wave) : HOP] * RATE
    assert np.abs(12 * np.log2(hertz[inner] / right[inner])).max() < 0.2  # semitones
    assert not hertz[len(wave) // HOP + 5 :].any()


def test_silence_and_noise_have_no_pitch_and_a_pause_is_bridged() -> None:
    for still in np.zeros(9_600), 0.1 * np.random.default_rng(0).normal(size=9_600):
        cycles, voiced = track(still.astype(np.float32), RATE, HOP)
        assert voiced.mean() < 0.1 and np.isfinite(cycles).all()
    before, after = voice(120, 130, 0.5)[0], voice(180, 170, 0.5)[0]
    cycles, voiced = track(np.concatenate((before, np.zeros(7_200, np.float32), after)), RATE, HOP)
    pause = slice(len(before) // HOP + 4, (len(before) + 7_200) // HOP - 4)
    assert not voiced[pause].any()
    hertz = np.diff(cycles)[pause] * RATE / HOP
    assert hertz.min() > 110 and hertz.max() < 200


@pytest.mark.parametrize("samples", [HOP * 17, HOP * 40, HOP * 40 + 1, HOP * 40 + 255])
def test_any_length_gives_a_frame_more_than_it_has_hops(samples: int) -> None:
    cycles, voiced = track(voice(150, 150)[0][:samples], RATE, HOP)
    assert len(cycles) == len(voiced) == samples // HOP + 1
