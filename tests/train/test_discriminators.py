"""The vocoder's discriminators: they learn, their gradients have the right sign, and they see every sample."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, same
from safetensors.torch import load_file
from torch import Tensor

from vivavoce.config import MelConfig
from vivavoce.train.discriminators import BandDiscriminators, Discriminators
from vivavoce.train.export import export
from vivavoce.train.losses import LOW_WINDOWS, LowBand, SpectralLosses
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer

torch.set_num_threads(1)


def small() -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(sizes=(256, 128, 64), period_channels=4, spectrum_channels=4)


def tones(count: int = 4) -> Tensor:
    time = torch.arange(4096) / 24000
    return torch.stack([0.3 * torch.sin(2 * math.pi * 220 * (i + 1) * time) for i in range(count)])


def test_discriminators_learn_to_separate_noise_from_tones() -> None:
    discriminators = small()
    optimizer = torch.optim.AdamW(discriminators.parameters(), 1e-2)
    noise = 0.1 * torch.randn(4, 4096)
    before = discriminators(noise, tones()).item()
    for _ in range(30):
        loss = discriminators(noise, tones())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * before
    discriminators.draw = lambda: [*discriminators.periods, *discriminators.spectra]  # type: ignore[method-assign]
    with torch.no_grad():
        assert discriminators.generator_losses(noise, tones())[0] > discriminators.generator_losses(tones(), tones())[0]


def test_a_perfect_copy_has_no_feature_matching_loss() -> None:
    _, matching = small().generator_losses(tones(), tones())
    assert matching.item() == 0
    _, matching = small().generator_losses(0.5 * tones(), tones())
    assert matching.item() > 0.05


@pytest.mark.parametrize("length", [4096, 4095, 4097, 4321])
def test_gradients_reach_every_sample_at_any_length(length: int) -> None:
    discriminators = small()
    discriminators.draw = lambda: [*discriminators.periods, *discriminators.spectra]  # type: ignore[method-assign]
    made = (0.1 * torch.randn(1, length)).requires_grad_()
    found, matching = discriminators.generator_losses(made, torch.randn(1, length))
    (found + matching).backward()
    assert made.grad is not None and bool((made.grad != 0).all())


def test_a_step_draws_some_discriminators_and_over_time_all() -> None:
    discriminators, drawn = small(), set()
    for _ in range(50):
        some = discriminators.draw()
        assert len(some) == 3
        drawn |= set(some)
    assert drawn == {*discriminators.periods, *discriminators.spectra}


def tone(hertz: float, phase: float = 0.0) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(24_000) / 24_000 + phase)[None]


def test_the_low_band_has_the_first_harmonics_and_nothing_else() -> None:
    band = LowBand()
    inside = slice(100, -100)  # away from the ends
    for hertz in 80, 400, 1000:
        torch.testing.assert_close(band(tone(hertz))[0, inside], tone(hertz)[0, ::8][inside], rtol=0, atol=2e-3)
    for hertz in 2000, 3000, 7000:
        assert band(tone(hertz))[0, inside].abs().max() < 2e-3


def test_low_band_losses_punish_phase_jumps_not_a_constant_delay() -> None:
    band, losses = LowBand(), SpectralLosses(MelConfig(), 0.0, 1.0, 1.0, LOW_WINDOWS)
    steady = tone(220)
    late = tone(220, phase=1.5)
    jumps = torch.cat([tone(220, phase=1.5 * (i % 3))[:, i * 2400 : (i + 1) * 2400] for i in range(10)], dim=1)
    assert losses(band(late), band(steady)) < 0.4 * losses(band(jumps), band(steady))
    high = steady + 0.3 * tone(5000)
    assert losses(band(high), band(steady)) < 0.2 * losses(band(jumps), band(steady))


def test_low_band_discriminators_ignore_the_high_band() -> None:
    torch.manual_seed(0)
    discriminators = BandDiscriminators(Discriminators(sizes=(256,), single=True), Discriminators(sizes=(128, 64)))
    discriminators.whole.generator_losses = lambda generated, real: (torch.zeros(()), torch.zeros(()))  # type: ignore[method-assign]
    recorded = 0.3 * tone(220)
    with torch.no_grad():
        assert discriminators.generator_losses(recorded + 0.1 * tone(5000), recorded)[1] < 0.05
        assert discriminators.generator_losses(recorded + 0.1 * tone(500), recorded)[1] > 0.1


@pytest.mark.parametrize("low_weight, crop", [(0.0, 8), (1.0, 20)])
def test_an_adversarial_run_resumes_exactly(tmp_path: Path, low_weight: float, crop: int) -> None:
    shards = write_corpus(tmp_path / "corpus", 6, 1)
    states = []
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            values = recipe("vocoder", max_steps=stop, frames_per_batch=3 * (crop + 1)) | {"crop": crop}
            values |= {"adversarial_weight": 0.1, "matching_weight": 0.1, "low_weight": low_weight}
            Trainer(load_task("vocoder", values), shards, [], tmp_path / name).run(None)
        states.append(newest(tmp_path / name))
    same(*states)
    whole, parts = states
    for name, tensor in whole["critics"].items():
        torch.testing.assert_close(tensor, parts["critics"][name], rtol=0, atol=1e-6)
    export(tmp_path / "parts", tmp_path / "model")
    assert not any("critic" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
