"""Waveform → log-mel frames in PyTorch, equal to torchaudio's MelSpectrogram with Vocos' settings.

The magnitude, not the power, of a Hann-windowed, centred short-time Fourier transform on an HTK mel scale.
Knows nothing about models or files.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.audio.mel import mel_filterbank
from vivavoce.config import MelConfig


class LogMel(nn.Module):
    """Compute natural-log mel magnitudes [B, N, M], N = S // hop + 1, of a waveform [B, S]."""

    window: Tensor
    filterbank: Tensor

    def __init__(self, config: MelConfig):
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        bank = torch.from_numpy(mel_filterbank(config.sample_rate, config.n_fft, config.n_mels))
        self.register_buffer("filterbank", bank, persistent=False)  # [n_fft // 2 + 1, M]

    def forward(self, wave: Tensor) -> Tensor:
        """Return log-mels of `wave`, -1 to 1. Raises ValueError for less than half a window of samples."""
        if wave.ndim != 2 or wave.shape[-1] <= self.config.n_fft // 2:
            raise ValueError(
                f"waveform of shape {tuple(wave.shape)}; it must be [batch, samples] "
                f"with more than {self.config.n_fft // 2} samples"
            )
        padded = F.pad(wave[:, None].float(), (self.config.n_fft // 2,) * 2, mode="reflect")[:, 0]
        frames = padded.unfold(-1, self.config.n_fft, self.config.hop) * self.window  # [B, N, n_fft]
        magnitude = torch.fft.rfft(frames).abs()  # [B, N, n_fft // 2 + 1]
        return (magnitude @ self.filterbank).clamp(min=self.config.floor).log()
