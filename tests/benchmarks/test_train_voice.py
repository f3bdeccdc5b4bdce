"""benchmarks/train_voice.py: what is held out, what is measured, and the table; the training is a stand-in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import stand_in_training
from helpers.own_voice import Recogniser, write_recordings
from helpers.scoring import script, words

pytestmark = words
bench = script("train_voice")


class Speaker:
    """A model that says every text with the voice's own recording."""

    def speak(self, text: str, voice: Any, seed: int) -> Any:
        return SimpleNamespace(samples=voice.samples, sample_rate=24_000)


class Encoder:
    """Stands for a speaker encoder: the shape of the mean spectrum."""

    def embed(self, samples: Any, sample_rate: int) -> np.ndarray:
        wave = np.asarray(samples)[: len(samples) // 512 * 512].reshape(-1, 512)
        bands = np.log(np.abs(np.fft.rfft(wave)).mean(axis=0)[:256].reshape(32, 8).mean(axis=1) + 1e-6)
        return ((bands - bands.mean()) / np.linalg.norm(bands - bands.mean())).astype(np.float32)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, root: Path) -> Any:
    """Return a function that runs the script on eight recordings of one person in the folder `ann`."""
    write_recordings(root, tmp_path / "ann")
    monkeypatch.setattr(bench, "COMMAND", (sys.executable, stand_in_training.__file__))
    monkeypatch.setattr(bench, "load", Speaker)
    monkeypatch.setattr(bench, "GE2E", Encoder)
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(bench, "recognizer", lambda name: Recogniser())
    (tmp_path / "runs" / "ann").mkdir(parents=True)
    (tmp_path / "runs" / "ann" / "GO").touch()

    def measure(*more: str) -> int:
        arguments = [str(tmp_path / "ann"), "--out", str(tmp_path / "runs"), "--limit", "3", *more]
        monkeypatch.setattr(sys, "argv", ["train_voice.py", *arguments])
        status: int = bench.main()
        return status

    return measure


def test_a_person_is_trained_measured_and_not_measured_twice(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--json", str(tmp_path / "figures.json")) == 0
    (row,) = json.loads((tmp_path / "figures.json").read_text())["speakers"]
    assert row["speaker"] == "ann" and row["held_out"] == 2 and row["others_unchanged"]
    assert len(list((tmp_path / "runs" / "ann" / "learn").glob("*.wav"))) == 6
    likeness = row["GE2E"]
    assert likeness["own"] > likeness["trained"]  # the stand-in's voice is nash's recording
    assert likeness["cloned"] > likeness["trained"]  # the clone's is the person's
    assert likeness["nearest"] == pytest.approx(likeness["trained"], abs=0.2)
    assert likeness["way"] == pytest.approx(
        (likeness["trained"] - likeness["nearest"]) / max(0.05, likeness["own"] - likeness["nearest"])
    )
    assert row["wer_trained"] == row["wer_cloned"] == row["wer_builtin"] > 0  # the recogniser always hears SAID
    table = capfd.readouterr().out
    assert "ann" in table and "GE2E way %" in table and "yes" in table

    monkeypatch.setattr(bench, "COMMAND", ("false",))  # neither trained nor measured again
    monkeypatch.setattr(bench, "load", lambda: pytest.fail("measured again"))
    assert run() == 0


def test_an_interrupted_training_is_told_and_goes_on(run: Any, tmp_path: Path, capfd: Any) -> None:
    (tmp_path / "runs" / "ann" / "GO").unlink()
    (tmp_path / "runs" / "ann" / "FAIL").touch()
    assert run() == 2 and "the same command goes on" in capfd.readouterr().err
    (tmp_path / "runs" / "ann" / "FAIL").unlink()
    (tmp_path / "runs" / "ann" / "GO").touch()
    assert run() == 0


def test_every_eighth_recording_is_held_out_and_two_at_least(tmp_path: Path) -> None:
    for count, held in ((10, 2), (32, 4), (130, 16)):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            soundfile.write(folder / f"{number:03d}.wav", np.zeros(10, np.float32), 8000)
        learned, out = bench.divide(folder)
        assert len(out) == held and len(learned) == count - held
        assert not {s.key for s in learned} & {s.key for s in out}
    with pytest.raises(ValueError, match="3 recordings; 4 at least"):
        few = tmp_path / "few"
        few.mkdir()
        for number in range(3):
            soundfile.write(few / f"{number}.wav", np.zeros(10, np.float32), 8000)
        bench.divide(few)


def test_the_table_has_a_row_for_the_mean() -> None:
    encoder = {"nearest": 0.5, "cloned": 0.6, "trained": 0.8, "own": 0.9, "way": 0.75}
    row = {
        "speaker": "a", "minutes": 40.0, "minutes_of_recordings": 1.0, "held_out": 2, "wer_builtin": 0.05,
        "wer_cloned": 0.06, "wer_trained": 0.07, "others_unchanged": True, "way_cloned": 0.2, "way": 0.75,
        "GE2E": encoder,
    }  # fmt: skip
    other = {**row, "speaker": "b", "way": 0.25, "others_unchanged": False}
    mean = bench.mean([row, other])
    assert mean["way"] == 0.5 and mean["GE2E"] == pytest.approx(encoder) and not mean["others_unchanged"]
    assert bench.table([row, other]).row_count == 3
