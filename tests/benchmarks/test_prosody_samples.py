"""benchmarks/prosody_samples.py: sound, a contour and a row for each sample."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Out
from helpers.published import DURATION, MODEL, write_own
from helpers.scoring import script

from vivavoce import audio

samples = script("prosody_samples")
RATE = 24_000

pytestmark = pytest.mark.filterwarnings("ignore:.*may be faulty")  # of random weights


def tone(hertz: float) -> np.ndarray:
    return (0.1 * np.sign(np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE))).astype(np.float32)


def test_a_higher_sample_is_drawn_higher(tmp_path: Path) -> None:
    path = tmp_path / "pitch.svg"
    samples.draw(path, tone(150), tone(200), RATE, "pitch")
    plain, changed = (
        [float(y) for y in re.findall(r" ([\d.]+)[L\"M]", drawn)]
        for drawn in re.findall(r'd="([^"]*")', path.read_text(encoding="utf-8"))
    )
    assert np.median(plain) == pytest.approx(30, abs=0.5)  # of 60
    assert np.median(plain) - np.median(changed) == pytest.approx(60 * 12 * np.log2(4 / 3) / 20, abs=0.5)
    assert path.stat().st_size < 6000


def test_the_samples_of_a_model_with_prosody(tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_own(model, MODEL.replace(speaker_dim=256, prosody=True), DURATION.replace(speaker_dim=256, prosody=True))
    line = ["--model", str(model), "--backend", "torch", "--page", str(tmp_path / "samples.md")]
    assert samples.main([*line, "--only", "plain", "emphasis"]) == 0
    found = sorted(path.name for path in (tmp_path / "samples").iterdir())
    stems = [f"prosody-{voice}-{name}" for voice in ("celeste", "nash") for name in ("emphasis", "plain")]
    assert found == [f"{stem}.{ending}" for stem in stems for ending in ("mp3", "svg")]
    assert len(audio.read(tmp_path / "samples" / "prosody-celeste-plain.mp3")) > RATE
    assert not (tmp_path / "samples.md").exists()


def test_the_tables_replace_those_of_before_and_leave_the_rest_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "samples.md"
    page.write_text("# Samples\n\nBefore.\n", encoding="utf-8")
    samples.place(page, ["| a |"])
    samples.place(page, ["| b |"])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Samples\n\nBefore.\n\n## Prosody\n") and "| b |" in text and "| a |" not in text


def test_a_model_without_prosody_is_refused(capsys: Out) -> None:
    assert samples.main(["--model", "whisperspeech"]) == 2
    assert "model 'whisperspeech' has no prosody conditions" in capsys.readouterr().err
