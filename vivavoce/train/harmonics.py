"""Losses for a vocoder's harmonic network: the lowest bins of recordings whose pitch is known.

Given the recording's own pitch cycles, the phases of its low spectrum are determined, so the network can be trained on
it bin by bin. Perceptual quality is left to spectral losses and discriminators of the low band, on waveforms at the
rate that these bins need.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import inverse_stft
from vivavoce.train.losses import LOW_WINDOWS, SpectralLosses, stft


class LowSound(nn.Module):
    """Converts between waveforms and their lowest bins."""

    window: Tensor

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.bins, self.hop = config.harmonic_bins, config.hop
        self.factor = config.n_fft // (2 * config.harmonic_bins)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def spectrum(self, wave: Tensor) -> Tensor:
        """Return the lowest bins [B, S // hop + 1, bins] of a waveform [B, S], as `Vocoder.low_spectrum`; complex."""
        return stft(wave, self.window, self.hop)[..., : self.bins]

    def wave(self, spectrum: Tensor) -> Tensor:
        """Return the waveform [B, (N - 1) * hop / factor] of lowest bins [B, N, bins], decimated by `factor`."""
        window = self.window[:: self.factor]
        return inverse_stft(F.pad(spectrum, (0, 1)), window, self.hop // self.factor, "center") / self.factor


class HarmonicLosses(nn.Module):
    """Weighted sum of the distances of the bins, spectral distances of the low band, and the pitch error."""

    def __init__(self, config: VocoderConfig, harmonic_weight: float, low_weight: float, pitch_weight: float):
        super().__init__()
        self.harmonic_weight, self.low_weight, self.pitch_weight = harmonic_weight, low_weight, pitch_weight
        self.sound = LowSound(config)
        self.spectra = SpectralLosses(config.mel, 0.0, 1.0, 1.0, LOW_WINDOWS)

    def forward(self, low: Tensor, predicted: Tensor, real: Tensor, rate: Tensor, voiced: Tensor) -> Tensor:
        """Return the loss, a scalar.

        low, real: lowest bins [B, N, bins], generated and of the recording; predicted, rate: pitch [B, N] in cycles a
        hop, predicted and true; voiced: 1 or 0 [B, N].
        """
        bins = magnitude_distance(low, real) + phase_distance(low, real, voiced)
        spectra = self.spectra(self.sound.wave(low), self.sound.wave(real))
        pitch = pitch_error(predicted, rate, voiced)
        return self.harmonic_weight * bins + self.low_weight * spectra + self.pitch_weight * pitch


def magnitude_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Return the relative L1 distance of the root magnitudes of complex bins [B, N, F], a scalar."""
    ours, theirs = ((s.real.square() + s.imag.square() + 1e-8).pow(0.25) for s in (generated, real))
    return (ours - theirs).abs().sum() / theirs.sum()


def phase_distance(generated: Tensor, real: Tensor, voiced: Tensor) -> Tensor:
    """Return 1 - cos of the phase error of complex bins [B, N, F] in voiced frames [B, N], weighted by loudness."""
    product = generated * real.conj()
    cosine = product.real / (product.real.square() + product.imag.square() + 1e-12).sqrt()
    weight = real.abs().sqrt() * voiced[..., None]
    return ((1 - cosine) * weight).sum() / weight.sum().clamp(min=1e-3)


def pitch_error(predicted: Tensor, rate: Tensor, voiced: Tensor) -> Tensor:
    """Return the mean error of a pitch [B, N] in octaves over the voiced frames [B, N], a scalar."""
    return ((predicted / rate).log2().abs() * voiced).sum() / voiced.sum().clamp(min=1)
