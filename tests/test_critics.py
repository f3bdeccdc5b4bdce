"""The vocoder's critics: they learn to tell, they push the right way, and they see every sample."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_data import write_corpus
from test_train import newest, recipe, same
from torch import Tensor

from vivavoce.config import MelConfig
from vivavoce.train.critics import BandCritics, Critics
from vivavoce.train.export import export
from vivavoce.train.loop import Run
from vivavoce.train.losses import LOW_WINDOWS, LowBand, SpectralLosses
from vivavoce.train.tasks import load_task

torch.set_num_threads(1)


def small() -> Critics:
    torch.manual_seed(0)
    return Critics(sizes=(256, 128, 64), period_channels=4, spectrum_channels=4)


def tones(count: int = 4) -> Tensor:
    time = torch.arange(4096) / 24000
    return torch.stack([0.3 * torch.sin(2 * math.pi * 220 * (i + 1) * time) for i in range(count)])


def test_critics_learn_to_tell_noise_from_tones_and_the_maker_hears_of_it() -> None:
    critics = small()
    optimizer = torch.optim.AdamW(critics.parameters(), 1e-2)
    noise = 0.1 * torch.randn(4, 4096)
    before = critics(noise, tones()).item()
    for _ in range(30):
        loss = critics(noise, tones())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * before
    critics.asked = lambda: [*critics.periods, *critics.spectra]  # type: ignore[method-assign]
    with torch.no_grad():
        assert critics.judge(noise, tones())[0] > critics.judge(tones(), tones())[0]


def test_nothing_is_left_to_match_in_the_recording_itself() -> None:
    _, matching = small().judge(tones(), tones())
    assert matching.item() == 0
    _, matching = small().judge(0.5 * tones(), tones())
    assert matching.item() > 0.05


@pytest.mark.parametrize("length", [4096, 4095, 4097, 4321])
def test_any_length_will_do_and_gradients_reach_every_sample(length: int) -> None:
    critics = small()
    critics.asked = lambda: [*critics.periods, *critics.spectra]  # type: ignore[method-assign]
    made = (0.1 * torch.randn(1, length)).requires_grad_()
    found, matching = critics.judge(made, torch.randn(1, length))
    (found + matching).backward()
    assert made.grad is not None and bool((made.grad != 0).all())


def test_a_step_asks_some_and_over_time_all() -> None:
    critics, asked = small(), set()
    for _ in range(50):
        some = critics.asked()
        assert len(some) == 3
        asked |= set(some)
    assert asked == {*critics.periods, *critics.spectra}


def tone(hertz: float, phase: float = 0.0) -> Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(24_000) / 24_000 + phase)[None]


def test_the_low_band_has_the_first_harmonics_and_nothing_else() -> None:
    band = LowBand()
    inside = slice(100, -100)  # away from the ends
    for hertz in 80, 400, 1000:
        torch.testing.assert_close(band(tone(hertz))[0, inside], tone(hertz)[0, ::8][inside], rtol=0, atol=2e-3)
    for hertz in 2000, 3000, 7000:
        assert band(tone(hertz))[0, inside].abs().max() < 2e-3


def test_low_losses_hear_a_harmonic_that_jumps_and_not_one_that_is_late() -> None:
    band, losses = LowBand(), SpectralLosses(MelConfig(), 0.0, 1.0, 1.0, LOW_WINDOWS)
    steady = tone(220)
    late = tone(220, phase=1.5)
    jumps = torch.cat([tone(220, phase=1.5 * (i % 3))[:, i * 2400 : (i + 1) * 2400] for i in range(10)], dim=1)
    assert losses(band(late), band(steady)) < 0.4 * losses(band(jumps), band(steady))
    high = steady + 0.3 * tone(5000)
    assert losses(band(high), band(steady)) < 0.2 * losses(band(jumps), band(steady))


def test_critics_of_the_low_band_do_not_hear_the_high_one() -> None:
    torch.manual_seed(0)
    critics = BandCritics(Critics(sizes=(256,), one=True), Critics(sizes=(128, 64)))
    critics.whole.judge = lambda made, recorded: (torch.zeros(()), torch.zeros(()))  # type: ignore[method-assign]
    recorded = 0.3 * tone(220)
    with torch.no_grad():
        assert critics.judge(recorded + 0.1 * tone(5000), recorded)[1] < 0.05
        assert critics.judge(recorded + 0.1 * tone(500), recorded)[1] > 0.1


@pytest.mark.parametrize("low_weight, crop", [(0.0, 8), (1.0, 20)])
def test_a_run_with_critics_goes_on_where_it_stopped(tmp_path: Path, low_weight: float, crop: int) -> None:
    shards = write_corpus(tmp_path / "corpus", 6, 1)
    states = []
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            values = recipe("vocoder", max_steps=stop, frames_per_batch=3 * (crop + 1)) | {"crop": crop}
            values |= {"adversarial_weight": 0.1, "matching_weight": 0.1, "low_weight": low_weight}
            Run(load_task("vocoder", values), shards, [], tmp_path / name).go(None)
        states.append(newest(tmp_path / name))
    same(*states)
    whole, parts = states
    for name, tensor in whole["critics"].items():
        torch.testing.assert_close(tensor, parts["critics"][name], rtol=0, atol=1e-6)
    export(tmp_path / "parts", tmp_path / "model")
    assert not any("critic" in name for name in load_file(tmp_path / "model" / "model.safetensors"))
