"""Fixtures for the tests of checkpoints: a voice, and systems of every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.published import MODEL, speaking, speaking_published, write_own, write_published, write_vocos

from vivavoce.models.nanospeech_torch import DurationTransformer
from vivavoce.systems.nanospeech_torch import NanospeechSystem
from vivavoce.voices import Voice


@pytest.fixture(scope="module")
def voice() -> Voice:
    time = np.arange(24_000) / 24_000
    wave = 0.3 * np.sin(2 * np.pi * (180 + 40 * np.sin(6 * time)) * time)
    vector = np.ones(8, np.float32) / 8**0.5
    return Voice("tester", wave.astype(np.float32), "some call me nature", vector)


@pytest.fixture(params=["own", "own, prompted", "published", "published without durations"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> NanospeechSystem:
    if request.param == "own":
        return speaking(write_own(tmp_path / "own"))
    if request.param == "own, prompted":
        return speaking(write_own(tmp_path / "own", MODEL.replace(audio_prompt=True)))
    write_vocos(tmp_path / "vocos")
    made = speaking_published(write_published(tmp_path / "published", duration=request.param == "published"))
    if request.param == "published":
        assert isinstance(made.duration, DurationTransformer)
        words = len("some call me nature ")  # random weights say any length: here 80 ms a character
        made.duration.predict = lambda mel, text, lengths: lengths / 93.75 + 0.08 * (text.shape[1] - words)  # type: ignore[method-assign]
    return made
