"""Fixtures of the synthesis tests: a stand-in for a model, and a voice."""

from __future__ import annotations

import pytest
from helpers.tones import Tones, tester

from vivavoce.synthesis.tts import TTS
from vivavoce.voices import Voice


@pytest.fixture
def system() -> Tones:
    return Tones()


@pytest.fixture
def tts(system: Tones) -> TTS:
    return TTS(system)


@pytest.fixture
def voice() -> Voice:
    return tester()
