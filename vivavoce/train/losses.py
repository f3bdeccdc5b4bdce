"""Spectral losses between waveforms: all that a vocoder learns from, if it has no discriminators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.audio.mel import mel_filterbank
from vivavoce.config import MelConfig

# Window sizes in samples, and the mel bands at each. Waveforms must be longer than half a window, which is mirrored.
WINDOWS = {512: 50, 1024: 100, 2048: 160}
LOW_WINDOWS = (128, 256, 512, 1024)  # of the low band: 43 to 341 ms, long enough to resolve harmonics
LOW_BAND = 8  # the low band is what an eighth of the sample rate carries, 1.5 kHz of 12


def stft(wave: Tensor, window: Tensor, hop: int) -> Tensor:
    """Return the spectrum [B, S // hop + 1, n_fft // 2 + 1] of a waveform [B, S] with a window [n_fft]; complex.

    Frames are centred; the ends of the waveform are mirrored.
    """
    spectrum = torch.stft(wave, len(window), hop, window=window, pad_mode="reflect", return_complex=True)
    return spectrum.transpose(1, 2)


class LowBand(nn.Module):
    """Low-pass and decimate: waveform [B, S] → its low band [B, ⌈S / 8⌉], at an eighth of the sample rate."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reach = 12 * LOW_BAND
        place = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64)
        window = torch.kaiser_window(2 * self.reach + 1, periodic=False, beta=8.0, dtype=torch.float64)
        taps = torch.sinc(0.9 * place / LOW_BAND) * window
        self.register_buffer("taps", (taps / taps.sum()).float(), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        return F.pad(wave, (self.reach, self.reach)).unfold(-1, len(self.taps), LOW_BAND) @ self.taps


class SpectralLosses(nn.Module):
    """Weighted sum of mel, STFT and phase distances between generated and real waveforms [B, S], a scalar.

    Log-mel L1 at several resolutions as in DAC (arXiv:2306.06546); spectral convergence and log magnitude as in
    Parallel WaveGAN (arXiv:1910.11480); differences of phase along frequency (group delay) and along time
    (instantaneous frequency) as in APNet (arXiv:2305.07952), here weighted by magnitude so that silence counts for
    nothing.
    """

    def __init__(
        self,
        mel: MelConfig,
        mel_weight: float,
        stft_weight: float,
        phase_weight: float,
        sizes: Sequence[int] = tuple(WINDOWS),
    ):
        super().__init__()
        self.mel_weight, self.stft_weight, self.phase_weight = mel_weight, stft_weight, phase_weight
        self.sizes = sizes
        for size in sizes:
            self.register_buffer(f"window{size}", torch.hann_window(size), persistent=False)
            if mel_weight:
                bank = torch.from_numpy(mel_filterbank(mel.sample_rate, size, WINDOWS[size]))
                self.register_buffer(f"bank{size}", bank, persistent=False)
        self.floor = mel.floor

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        total = generated.new_zeros(())
        for size in self.sizes:
            window = getattr(self, f"window{size}")
            ours, theirs = (stft(wave, window, size // 4) for wave in (generated, real))
            # not abs(): its gradient is undefined at 0, where an untrained vocoder starts
            a = (ours.real.square() + ours.imag.square() + 1e-9).sqrt()
            b = theirs.abs()
            if self.mel_weight:
                bank = getattr(self, f"bank{size}")
                total = total + self.mel_weight * F.l1_loss(self._log(a @ bank), self._log(b @ bank))
            if self.stft_weight:
                convergence = (a - b).norm(dim=(1, 2)) / b.norm(dim=(1, 2)).clamp(min=1e-3)
                total = total + self.stft_weight * (convergence.mean() + F.l1_loss(self._log(a), self._log(b)))
            if self.phase_weight:
                total = total + self.phase_weight * self._phase(ours, theirs, b)
        return total / len(self.sizes)

    def _log(self, magnitude: Tensor) -> Tensor:
        return magnitude.clamp(min=self.floor).log()

    def _phase(self, ours: Tensor, theirs: Tensor, magnitude: Tensor) -> Tensor:
        """Return 1 - cos of the error in phase differences: smooth, and invariant to whole turns."""
        loss = ours.new_zeros((), dtype=torch.float32)
        for axis in (1, 2):
            n = ours.shape[axis] - 1
            step = [t.narrow(axis, 1, n) * t.narrow(axis, 0, n).conj() for t in (ours, theirs)]
            weight = magnitude.narrow(axis, 1, n).minimum(magnitude.narrow(axis, 0, n)).sqrt()
            product = step[0] * step[1].conj()
            cosine = product.real / (product.real.square() + product.imag.square() + 1e-12).sqrt()
            loss = loss + ((1 - cosine) * weight).sum() / weight.sum().clamp(min=1e-3)
        return loss / math.pi
