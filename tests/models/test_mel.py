"""The log-mel front end: torchaudio's values, and properties that follow from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vivavoce.config import MelConfig
from vivavoce.models.mel_torch import LogMel

torch.set_num_threads(1)

# torchaudio 2.11's MelSpectrogram(24000, n_fft=1024, hop_length=256, n_mels=100, power=1) of `signal`, clamped to 1e-5,
# natural logarithm: some mels of the first frames, which reflect, of one within, and of the last
MELS = (0, 14, 30, 52, 77, 99)
REFERENCE = {
    0: (1.35329, 3.49833, 1.36413, 1.67718, 2.09761, 2.48558),
    1: (1.0066, 2.80842, 0.77712, 1.70279, 2.08063, 2.50089),
    11: (-0.98921, 0.91802, 0.49805, 0.85326, 1.93687, 2.4289),
    23: (1.13539, 3.39613, 0.56788, 1.59334, 2.42515, 2.91906),
}


def signal() -> torch.Tensor:
    """A tone in noise that any language can compute [1, 6000]."""
    i = np.arange(6000)
    wave = 0.3 * np.sin(2 * np.pi * 440 * i / 24_000) + 0.2 * ((7919 * i * i) % 10_007 / 10_007 - 0.5)
    return torch.from_numpy(wave.astype(np.float32))[None]


def test_the_numbers_are_torchaudios() -> None:
    mel = LogMel(MelConfig())(signal())
    assert mel.shape == (1, 24, 100) and mel.dtype == torch.float32
    for frame, values in REFERENCE.items():
        assert mel[0, frame, list(MELS)].tolist() == pytest.approx(values, abs=1e-4)
    assert (mel.mean().item(), mel.std().item()) == pytest.approx((1.399893, 1.00333), abs=1e-4)


@pytest.mark.parametrize("samples", [513, 1024, 4095, 4096, 4097, 24_000])
def test_one_frame_a_hop_and_one_more(samples: int) -> None:
    assert LogMel(MelConfig())(torch.randn(2, samples)).shape == (2, samples // 256 + 1, 100)


def test_other_settings() -> None:
    config = MelConfig(sample_rate=16_000, n_fft=400, hop=160, n_mels=40)
    assert LogMel(config)(torch.randn(1, 16_000)).shape == (1, 101, 40)


def test_silence_is_the_floor() -> None:
    mel = LogMel(MelConfig(floor=1e-7))(torch.zeros(1, 2048))
    assert mel.unique().item() == pytest.approx(math.log(1e-7), abs=1e-5)


def test_ten_times_the_amplitude_adds_log_10() -> None:
    log_mel, wave = LogMel(MelConfig()), signal()
    assert torch.allclose(log_mel(10 * wave), log_mel(wave) + math.log(10), atol=1e-4)


def test_a_higher_tone_is_in_a_higher_mel() -> None:
    time = torch.arange(8192) / 24_000
    peaks = [
        LogMel(MelConfig())(torch.sin(2 * math.pi * hz * time)[None])[0, 16].argmax().item()
        for hz in (100, 400, 1000, 3000, 8000, 11_500)
    ]
    assert peaks == sorted(set(peaks)) and peaks[-1] > 95


def test_items_of_a_batch_are_what_they_are_alone() -> None:
    waves = torch.randn(3, 3000)
    together = LogMel(MelConfig())(waves)
    for i in range(3):
        assert torch.allclose(together[i], LogMel(MelConfig())(waves[i : i + 1])[0], atol=1e-6)


def test_half_precision_sound_gives_float32_frames() -> None:
    log_mel, wave = LogMel(MelConfig()), signal()
    assert log_mel(wave.half()).dtype == torch.float32
    assert torch.allclose(log_mel(wave.half()), log_mel(wave), atol=0.05)


@pytest.mark.parametrize("shape", [(1, 512), (1, 0), (4096,), (1, 1, 4096)])
def test_what_is_no_waveform_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="more than 512 samples"):
        LogMel(MelConfig())(torch.zeros(shape))


def test_nothing_of_it_is_saved_with_a_model() -> None:
    assert LogMel(MelConfig()).state_dict() == {}
