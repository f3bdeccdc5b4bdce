"""What a vocoder's network of harmonics learns from: the lowest bins of recordings, whose pitch is known.

With the recording's own cycles the phases are no longer any that would do, but these: so its low spectrum can be asked
for, bin by bin. What the ear makes of it is left to spectral losses and critics of the low band, as waveforms at the
rate that its bins need.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.config import VocoderConfig
from vivavoce.train.losses import LOW_WINDOWS, SpectralLosses, stft
from vivavoce.vocoder_torch import inverse_stft


class LowSound(nn.Module):
    """Recordings and spectra at the rate of the lowest bins."""

    window: Tensor

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.bins, self.hop = config.harmonic_bins, config.hop
        self.factor = config.n_fft // (2 * config.harmonic_bins)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def spectrum(self, wave: Tensor) -> Tensor:
        """Waveform [B, S] → its lowest bins, complex [B, S // hop + 1, bins], as `Vocoder.low_spectrum` makes them."""
        return stft(wave, self.window, self.hop)[..., : self.bins]

    def wave(self, spectrum: Tensor) -> Tensor:
        """Lowest bins [B, N, bins] → every factor-th sample of what they sound like [B, (N - 1) * hop / factor]."""
        window = self.window[:: self.factor]
        return inverse_stft(F.pad(spectrum, (0, 1)), window, self.hop // self.factor, "center") / self.factor


class HarmonicLosses(nn.Module):
    """Weighted sum of the bins' distances, the low band's spectral distances, and the error of the pitch."""

    def __init__(self, config: VocoderConfig, harmonic_weight: float, low_weight: float, pitch_weight: float):
        super().__init__()
        self.harmonic_weight, self.low_weight, self.pitch_weight = harmonic_weight, low_weight, pitch_weight
        self.sound = LowSound(config)
        self.spectra = SpectralLosses(config.mel, 0.0, 1.0, 1.0, LOW_WINDOWS)

    def forward(self, low: Tensor, heard: Tensor, recorded: Tensor, rate: Tensor, voiced: Tensor) -> Tensor:
        """Lowest bins [B, N, bins] made and recorded, pitch heard and true [B, N], voiced frames [B, N] (1 or 0)."""
        bins = magnitude_distance(low, recorded) + phase_distance(low, recorded, voiced)
        spectra = self.spectra(self.sound.wave(low), self.sound.wave(recorded))
        pitch = octaves_off(heard, rate, voiced)
        return self.harmonic_weight * bins + self.low_weight * spectra + self.pitch_weight * pitch


def magnitude_distance(made: Tensor, recorded: Tensor) -> Tensor:
    """How far the roots of the magnitudes of complex bins [B, N, F] are from the recorded, as a share of these."""
    ours, theirs = ((s.real.square() + s.imag.square() + 1e-8).pow(0.25) for s in (made, recorded))
    return (ours - theirs).abs().sum() / theirs.sum()


def phase_distance(made: Tensor, recorded: Tensor, voiced: Tensor) -> Tensor:
    """1 - cos of the error of the phases of complex bins [B, N, F] in voiced frames [B, N], loud bins first."""
    product = made * recorded.conj()
    cosine = product.real / (product.real.square() + product.imag.square() + 1e-12).sqrt()
    weight = recorded.abs().sqrt() * voiced[..., None]
    return ((1 - cosine) * weight).sum() / weight.sum().clamp(min=1e-3)


def octaves_off(heard: Tensor, rate: Tensor, voiced: Tensor) -> Tensor:
    """How far a pitch heard is from the true one: the mean over voiced frames, all [B, N]."""
    return ((heard / rate).log2().abs() * voiced).sum() / voiced.sum().clamp(min=1)
