"""Waveform → log-mel frames in MLX, equal to torchaudio's MelSpectrogram with Vocos' settings.

The magnitude, not the power, of a Hann-windowed, centred short-time Fourier transform on an HTK mel scale.
Knows nothing about models or files.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

from vivavoce.audio.mel import mel_filterbank
from vivavoce.config import MelConfig


class LogMel(nn.Module):
    """Compute natural-log mel magnitudes [B, N, M], N = S // hop + 1, of a waveform [B, S]."""

    def __init__(self, config: MelConfig):
        super().__init__()
        self.config = config
        self._window = mx.hanning(config.n_fft + 1)[:-1]  # the underscore keeps it out of the parameters
        bank = mx.array(mel_filterbank(config.sample_rate, config.n_fft, config.n_mels))
        self._filterbank = bank  # [n_fft // 2 + 1, M]

    def __call__(self, wave: mx.array) -> mx.array:
        """Return log-mels of `wave`, -1 to 1. Raises ValueError for less than half a window of samples."""
        if wave.ndim != 2 or wave.shape[-1] <= self.config.n_fft // 2:
            raise ValueError(
                f"waveform of shape {tuple(wave.shape)}; it must be [batch, samples] "
                f"with more than {self.config.n_fft // 2} samples"
            )
        size, hop = self.config.n_fft, self.config.hop
        padded = mx.pad(wave.astype(mx.float32), [(0, 0), (size // 2, size // 2)], mode="reflect")
        frames = mx.as_strided(padded, (len(wave), wave.shape[-1] // hop + 1, size), (padded.shape[-1], hop, 1))
        frames = frames * self._window  # [B, N, n_fft]
        magnitude = mx.abs(mx.fft.rfft(frames))  # [B, N, n_fft // 2 + 1]
        return mx.log(mx.maximum(magnitude @ self._filterbank, self.config.floor))
