"""Prosody conditions in a whole system: neutral ones change nothing, others do, and where they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Out
from helpers.command_line import vivavoce as vivavoce_command
from helpers.published import DURATION, MODEL, write_own

import vivavoce
from vivavoce.synthesis.tts import TTS
from vivavoce.text.pieces import Piece
from vivavoce.text.prosody import Prosody

TEXT = "Shall we begin?"

pytestmark = pytest.mark.filterwarnings("ignore:.*may be faulty")  # of random weights


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with prosody; its weights are random, as if it were trained."""
    folder = tmp_path_factory.mktemp("model")
    write_own(folder, MODEL.replace(speaker_dim=256, prosody=True), DURATION.replace(speaker_dim=256, prosody=True))
    return folder


@pytest.fixture(scope="module")
def tts(model: Path) -> TTS:
    return vivavoce.load(str(model), "torch")


def test_neutral_values_change_nothing(tts: TTS) -> None:
    plain = tts.speak(TEXT, seed=1, retries=0)
    neutral = tts.speak(TEXT, seed=1, retries=0, pitch=0.0, pitch_range=1.0, energy=0.0, pace=1.0)
    np.testing.assert_array_equal(plain.samples, neutral.samples)
    with_zeros = Piece("shall we begin", 0.0, prosody=((Prosody(), 14),))
    durations = [
        tts.system.predict_durations([p], tts.voices[0], 1.0)[0] for p in (Piece("shall we begin", 0.0), with_zeros)
    ]
    assert durations[0] == pytest.approx(durations[1], abs=1e-4)


@pytest.mark.parametrize("option", [{"pitch": 2.0}, {"pitch_range": 1.4}, {"energy": 5.0}, {"pace": 0.85}])
def test_each_control_reaches_the_model(tts: TTS, option: dict[str, float]) -> None:
    plain, changed = tts.speak(TEXT, seed=1, retries=0), tts.speak(TEXT, seed=1, retries=0, **option)
    assert len(plain.samples) != len(changed.samples) or np.abs(plain.samples - changed.samples).max() > 1e-3


def test_a_stressed_word_has_its_own_length(tts: TTS) -> None:
    text = "shall we begin"
    plain, stressed = (
        tts.system._durations([piece], [tts.voices[0]], [1.0], [False])[0]  # type: ignore[attr-defined]
        for piece in (
            Piece(text, 0.0),
            Piece(text, 0.0, prosody=((Prosody(), 6), (Prosody(stress=1), 2), (Prosody(), 6))),
        )
    )
    change = np.abs(plain - stressed)
    assert change[7:9].max() > 0.01  # "we", after the space at the start


def test_the_command_line_shows_the_numbers_of_a_style(model: Path, tmp_path: Path, capsys: Out) -> None:
    line = [TEXT, "--model", str(model), "--backend", "torch", "--retries", "0", "-o", str(tmp_path / "out.wav")]
    assert vivavoce_command(*line, "--style", "calm", "--pitch", "+1st") == 0
    assert "style calm: pitch +1 range 0.8 energy -2 pace 0.92" in capsys.readouterr().err
