"""Vocoders whose lowest bins follow the voice's harmonics: their sound and their training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, rows, same, steps
from helpers.vocoders import SMALL, vocoder
from safetensors.torch import load_file

from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.models.vocoder_torch import cycles_passed, harmonic_phase
from vivavoce.train.export import export
from vivavoce.train.harmonics import LowSound, magnitude_distance, phase_distance, pitch_error
from vivavoce.train.init_from import initialise
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer

torch.set_num_threads(1)

CONFIG = SMALL.replace(harmonic_bins=64, harmonic_dim=16, harmonic_layers=1)
HARMONICS = {"harmonic_bins": 64, "harmonic_dim": 8, "harmonic_layers": 1}


@pytest.mark.parametrize("hertz", [100.0, 160.0, 213.0])
def test_a_steady_vowel_keeps_its_pitch(hertz: float) -> None:
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


def test_distances_measure_what_they_are_named_after() -> None:
    torch.manual_seed(0)
    rate = torch.full((1, 30), 1.6)
    bins = torch.polar(torch.rand(1, 30, 64), harmonic_phase(rate, cycles_passed(rate), 64, 1024, 256))
    voiced = torch.ones(1, 30)
    turned = bins * torch.polar(torch.ones(()), torch.tensor(1.0))
    assert magnitude_distance(bins, bins) == 0 == magnitude_distance(turned, bins).round(decimals=5)
    assert phase_distance(2 * bins, bins, voiced) < 1e-3 < 0.4 < phase_distance(turned, bins, voiced)
    assert phase_distance(turned, bins, 0 * voiced) == 0 < 0.3 < magnitude_distance(2 * bins, bins)
    assert pitch_error(2 * rate, rate, voiced) == 1


# ---- training -------------------------------------------------------------------------------------------------------


def values(stop: int = 4, **settings: Any) -> dict[str, Any]:
    made = recipe("vocoder", max_steps=stop, frames_per_batch=3 * 21, validate_every=2)
    return made | {"model": {**made["model"], **HARMONICS}, "crop": 20, "adversarial_weight": 0.1, **settings}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A vocoder without harmonics, and shards."""
    folder = tmp_path_factory.mktemp("plain")
    shards = write_corpus(folder / "corpus", 6, 1)
    Trainer(load_task("vocoder", recipe("vocoder", max_steps=1)), shards, [], folder / "run").run(None)
    export(folder / "run", folder / "model")
    return folder / "model", shards


def test_only_the_harmonic_network_learns_and_a_run_resumes_exactly(
    tmp_path: Path, plain: tuple[Path, list[str]]
) -> None:
    start, shards = plain
    model = load_task("vocoder", values()).build()
    assert initialise(str(start), load_task("vocoder", values()), model)[1:] == ["the harmonics start untrained"]
    states = []
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            task = load_task("vocoder", values(stop))
            Trainer(task, shards, shards[:1], tmp_path / name, str(start)).run(None)
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


def test_a_vocoder_with_harmonics_can_be_fine_tuned_without_them(
    tmp_path: Path, plain: tuple[Path, list[str]], capsys: Any
) -> None:
    start, shards = plain
    Trainer(load_task("vocoder", values(1)), shards, [], tmp_path / "harmonics", str(start)).run(None)
    Trainer(load_task("vocoder", recipe("vocoder", max_steps=1)), shards, [], tmp_path / "plain",
        str(tmp_path / "harmonics")).run(None)  # fmt: skip
    assert not any(name.startswith("harmonics.") for name in newest(tmp_path / "plain")["model"])
    assert "the harmonics are dropped: the recipe has none" in capsys.readouterr().err


def test_harmonics_need_a_vocoder_to_start_from(tmp_path: Path, plain: tuple[Path, list[str]]) -> None:
    with pytest.raises(ValueError, match="harmonic_bins is 64, .*--from must name the vocoder"):
        Trainer(load_task("vocoder", values()), plain[1], [], tmp_path / "run")
    assert not (tmp_path / "run/features").exists()  # reported before the corpus is read


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"harmonic_bins": 600}}, "harmonic_bins is 600; it must be from 0 to 513 with input 'mel'"),
        ({"model": {"harmonic_bins": 60}}, "harmonic_bins is 60; it must divide half of n_fft .512."),
        ({"model": {"harmonic_bins": 64}, "crop": 12}, "crop is 12; it must be at least 17"),
        ({"harmonic_weight": -1.0}, "harmonic_weight is -1.0; it must be 0 or more"),
        ({"model": {"harmonic_bins": 64, "harmonic_layers": 0}}, "harmonic_layers is 0; it must be positive"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task("vocoder", {**recipe("vocoder"), **change})
