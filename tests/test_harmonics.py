"""Vocoders whose lowest bins follow the voice's harmonics: what they sound like, and how they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_data import write_corpus
from test_train import newest, recipe, rows, same, steps
from test_vocoder import SMALL, vocoder

from vivavoce.checkpoints_torch import load_vocoder
from vivavoce.train.export import export
from vivavoce.train.harmonics import LowSound, magnitude_distance, octaves_off, phase_distance
from vivavoce.train.loop import Run
from vivavoce.train.start import begin
from vivavoce.train.tasks import load_task
from vivavoce.vocoder_torch import cycles_passed, harmonic_phase

torch.set_num_threads(1)

CONFIG = SMALL.replace(harmonic_bins=64, harmonic_dim=16, harmonic_layers=1)
HARMONICS = {"harmonic_bins": 64, "harmonic_dim": 8, "harmonic_layers": 1}


@pytest.mark.parametrize("hertz", [100.0, 160.0, 213.0])
def test_a_vowel_that_does_not_change_keeps_its_pitch(hertz: float) -> None:
    """Frames that are all alike tell a plain vocoder nothing but multiples of the frame rate, 93.75 Hz."""
    model = vocoder(CONFIG)
    with torch.no_grad():
        for parameter in (model.harmonics.out.weight, model.head.out.weight):
            parameter.zero_()
        model.head.out.bias.fill_(-20)  # the high band is silent
        model.harmonics.out.bias.zero_()
        model.harmonics.out.bias[0] = np.log2(hertz / 150)
        apart = torch.arange(64) * (24_000 / 1024) / hertz  # in harmonics
        model.harmonics.out.bias[1:65] = -((1.2 * (apart - apart.round()) * hertz / (24_000 / 1024)) ** 2)
        wave = model(torch.zeros(1, 200, 100))[0, 8_000:40_000].numpy()
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    step = 24_000 / len(wave)
    loud = np.flatnonzero(spectrum > 0.1 * spectrum.max()) * step
    assert len(loud) and np.abs(loud / hertz - np.round(loud / hertz)).max() * hertz < 2 * step
    assert {1, 2, 3} <= set(np.round(loud / hertz).astype(int))


def test_an_hour_of_cycles_is_counted_without_drift() -> None:
    rate = torch.full((1, 337_500), 1.23456)
    truth = np.arange(337_500) * float(np.float32(1.23456))
    off = cycles_passed(rate)[0].numpy() - truth % 1
    assert np.abs(off - np.round(off)).max() < 1e-4


def test_the_low_sound_is_the_low_band_of_the_sound() -> None:
    time = torch.arange(24_576) / 24_000
    low, high = torch.cos(2 * np.pi * 300 * time), torch.cos(2 * np.pi * 5_000 * time)
    sound = LowSound(CONFIG)
    made = sound.wave(sound.spectrum((low + high)[None]))[0]
    torch.testing.assert_close(made[100:-100], low[::8][: len(made)][100:-100], rtol=0, atol=0.01)


def test_distances_hear_what_they_are_for() -> None:
    torch.manual_seed(0)
    rate = torch.full((1, 30), 1.6)
    bins = torch.polar(torch.rand(1, 30, 64), harmonic_phase(rate, cycles_passed(rate), 64, 1024, 256))
    voiced = torch.ones(1, 30)
    turned = bins * torch.polar(torch.ones(()), torch.tensor(1.0))
    assert magnitude_distance(bins, bins) == 0 == magnitude_distance(turned, bins).round(decimals=5)
    assert phase_distance(2 * bins, bins, voiced) < 1e-3 < 0.4 < phase_distance(turned, bins, voiced)
    assert phase_distance(turned, bins, 0 * voiced) == 0 < 0.3 < magnitude_distance(2 * bins, bins)
    assert octaves_off(2 * rate, rate, voiced) == 1


# ---- training -------------------------------------------------------------------------------------------------------


def values(stop: int = 4, **settings: Any) -> dict[str, Any]:
    made = recipe("vocoder", max_steps=stop, frames_per_batch=3 * 21, validate_every=2)
    return made | {"model": {**made["model"], **HARMONICS}, "crop": 20, "adversarial_weight": 0.1, **settings}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A vocoder without harmonics, and shards."""
    folder = tmp_path_factory.mktemp("plain")
    shards = write_corpus(folder / "corpus", 6, 1)
    Run(load_task("vocoder", recipe("vocoder", max_steps=1)), shards, [], folder / "run").go(None)
    export(folder / "run", folder / "model")
    return folder / "model", shards


def test_only_the_harmonics_learn_and_a_run_goes_on_where_it_stopped(
    tmp_path: Path, plain: tuple[Path, list[str]]
) -> None:
    start, shards = plain
    model = load_task("vocoder", values()).build()
    assert begin(str(start), load_task("vocoder", values()), model)[1:] == ["harmonics that begin with random weights"]
    states = []
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            task = load_task("vocoder", values(stop))
            Run(task, shards, shards[:1], tmp_path / name, str(start)).go(None)
        states.append(newest(tmp_path / name))
    same(*states)
    assert steps(tmp_path / "parts") == [2, 4]
    assert all(np.isfinite(row["valid_loss"]) for row in rows(tmp_path / "parts") if "valid_loss" in row)
    export(tmp_path / "parts", tmp_path / "model")
    before, after = (load_file(folder / "model.safetensors") for folder in (start, tmp_path / "model"))
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert set(after) - set(before) == {name for name in after if name.startswith("harmonics.")} != set()
    mel = torch.randn(1, 20, 100)
    assert not torch.allclose(load_vocoder(str(start))(mel), load_vocoder(str(tmp_path / "model"))(mel))


def test_a_vocoder_with_harmonics_can_be_trained_on_as_a_whole_without_them(
    tmp_path: Path, plain: tuple[Path, list[str]], capsys: Any
) -> None:
    start, shards = plain
    Run(load_task("vocoder", values(1)), shards, [], tmp_path / "harmonics", str(start)).go(None)
    Run(load_task("vocoder", recipe("vocoder", max_steps=1)), shards, [], tmp_path / "plain",
        str(tmp_path / "harmonics")).go(None)  # fmt: skip
    assert not any(name.startswith("harmonics.") for name in newest(tmp_path / "plain")["model"])
    assert "harmonics that the recipe lacks, and that are lost" in capsys.readouterr().err


def test_harmonics_alone_are_no_vocoder(tmp_path: Path, plain: tuple[Path, list[str]]) -> None:
    with pytest.raises(ValueError, match="harmonic_bins is 64, .*--from must name the vocoder"):
        Run(load_task("vocoder", values()), plain[1], [], tmp_path / "run")
    assert not (tmp_path / "run/features").exists()  # told before the corpus is read


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"harmonic_bins": 600}}, "harmonic_bins is 600; it must be from 0 to 513 with input 'mel'"),
        ({"model": {"harmonic_bins": 60}}, "harmonic_bins is 60; it must go into half of n_fft .512."),
        ({"model": {"harmonic_bins": 64}, "crop": 12}, "crop is 12; it must be at least 17"),
        ({"harmonic_weight": -1.0}, "harmonic_weight is -1.0; it must be 0 or more"),
        ({"model": {"harmonic_bins": 64, "harmonic_layers": 0}}, "harmonic_layers is 0; it must be positive"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task("vocoder", {**recipe("vocoder"), **change})
