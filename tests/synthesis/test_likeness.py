"""What is said of a cloned voice: how much its speech sounds like the recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.command_line import vivavoce

from vivavoce.synthesis.likeness import describe, likeness
from vivavoce.synthesis.tts import load
from vivavoce.voices import get


def test_a_voice_is_most_like_itself() -> None:
    system, nash, luna = load(backend="onnx").system, get("nash"), get("luna")
    own, other = (likeness(system, nash, voice.samples, voice.sample_rate) for voice in (nash, luna))
    assert own is not None and other is not None and own > 0.99 > 0.8 > other
    assert likeness(system, nash, np.zeros(24_000, np.float32), 24_000) is None  # too short to compare


def test_a_low_likeness_is_told_with_what_helps() -> None:
    assert "0.61" in describe(0.61) and "train-voice" in describe(0.61)
    assert "train-voice" not in describe(0.84)


def test_speaking_with_a_recording_tells_the_likeness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orion = get("orion")
    soundfile.write(tmp_path / "me.wav", orion.samples, orion.sample_rate)
    text, out = "The quick brown fox jumps over the lazy dog.", str(tmp_path / "a.wav")
    assert vivavoce(text, "--ref-audio", str(tmp_path / "me.wav"), "-o", out, "--seed", "1") == 0
    assert "likeness to the recording: 0." in capsys.readouterr().err
    assert vivavoce(text, "--voice", "orion", "-o", out) == 0
    assert "likeness" not in capsys.readouterr().err
