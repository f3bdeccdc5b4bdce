"""Vocos: log-mel frames or EnCodec codes → waveform, by one inverse Fourier transform.

Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders" (arXiv:2306.00814). A ConvNeXt
backbone keeps the frame rate; a linear head gives log magnitude and phase of every bin; the inverse STFT does the rest.
Parameter names are those of the published checkpoints. Knows nothing about where its frames come from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from vivavoce.config import VocoderConfig


class AdaLayerNorm(nn.Module):
    """Layer norm whose scale and shift are looked up by bandwidth: one row for each of EnCodec's bit rates."""

    def __init__(self, rows: int, dim: int):
        super().__init__()
        self.scale = nn.Embedding(rows, dim)
        self.shift = nn.Embedding(rows, dim)
        self.scale.weight = mx.ones((rows, dim))
        self.shift.weight = mx.zeros((rows, dim))

    def __call__(self, x: mx.array, row: mx.array) -> mx.array:  # [B, N, D], [1] or [B]
        scale, shift = self.scale(row)[:, None], self.shift(row)[:, None]
        return mx.fast.layer_norm(x, None, None, 1e-6) * scale + shift


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise MLP, with a learned gain on the residual branch."""

    def __init__(self, dim: int, intermediate_dim: int, gain: float, rows: int):
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm: Callable[..., mx.array] = AdaLayerNorm(rows, dim) if rows else nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, intermediate_dim)
        self.pwconv2 = nn.Linear(intermediate_dim, dim)
        self.gamma = mx.full((dim,), gain)

    def __call__(self, x: mx.array, row: mx.array | None) -> mx.array:  # [B, N, D]
        y = self.dwconv(x)
        y = self.norm(y) if row is None else self.norm(y, row)
        y = self.pwconv2(nn.gelu(self.pwconv1(y)))
        return x + self.gamma * y


class Backbone(nn.Module):
    """Features [B, N, C] → hidden frames [B, N, D] at the same rate."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        rows = len(config.bandwidths)
        self.embed = nn.Conv1d(config.input_channels, config.dim, kernel_size=7, padding=3)
        self.norm: Callable[..., mx.array] = (
            AdaLayerNorm(rows, config.dim) if rows else nn.LayerNorm(config.dim, eps=1e-6)
        )
        self.convnext = [
            ConvNeXtBlock(config.dim, config.intermediate_dim, 1 / config.num_layers, rows)
            for _ in range(config.num_layers)
        ]
        self.final_layer_norm = nn.LayerNorm(config.dim, eps=1e-6)

    def __call__(self, features: mx.array, row: mx.array | None = None) -> mx.array:
        x = self.embed(features)
        x = self.norm(x) if row is None else self.norm(x, row)
        for block in self.convnext:
            x = block(x, row)
        return self.final_layer_norm(x)


class ISTFTHead(nn.Module):
    """Hidden frames [B, N, D] → waveform [B, S]: "center" gives (N - 1) * hop samples, "same" N * hop."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.n_fft, self.hop, self.padding = config.n_fft, config.hop, config.padding
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self._window = mx.hanning(config.n_fft + 1)[:-1]  # an underscore keeps what is no weight out of the parameters

    def spectrum(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Magnitude and phase (radians, unwrapped or not), each [B, N, n_fft // 2 + 1], float32."""
        log_magnitude, phase = mx.split(self.out(x).astype(mx.float32), 2, axis=-1)
        return mx.minimum(mx.exp(log_magnitude), 1e2), phase  # the clamp keeps an untrained head from overflowing

    def __call__(self, x: mx.array) -> mx.array:
        magnitude, phase = self.spectrum(x)
        return self.inverse(magnitude * mx.exp(1j * phase))

    def inverse(self, spectrum: mx.array) -> mx.array:
        """Complex STFT [B, N, n_fft // 2 + 1] → waveform [B, S] by windowed overlap-add.

        Written out because MLX has no inverse STFT.
        """
        frames = mx.fft.irfft(spectrum, self.n_fft, axis=-1) * self._window  # [B, N, n_fft]
        count = frames.shape[1]
        length = (count - 1) * self.hop + self.n_fft
        wave = self._overlap_add(frames, length)
        weight = self._overlap_add(mx.broadcast_to(mx.square(self._window), (1, count, self.n_fft)), length)
        trim = self.n_fft // 2 if self.padding == "center" else (self.n_fft - self.hop) // 2
        wave, weight = wave[:, trim : length - trim], weight[:, trim : length - trim]
        return wave / mx.maximum(weight, 1e-11)

    def _overlap_add(self, frames: mx.array, length: int) -> mx.array:  # [B, N, n_fft] → [B, length]
        # Each frame cut into pieces of a hop, the last one filled up: then piece p of frame n belongs to hop n + p.
        pieces = -(-self.n_fft // self.hop)
        frames = mx.pad(frames, [(0, 0), (0, 0), (0, pieces * self.hop - self.n_fft)])
        frames = mx.unflatten(frames, -1, (pieces, self.hop))
        shifted = (mx.pad(frames[:, :, p], [(0, 0), (p, pieces - 1 - p), (0, 0)]) for p in range(pieces))
        return functools.reduce(mx.add, shifted).flatten(1)[:, :length]


class Vocoder(nn.Module):
    """Vocos for mel frames or, with `config.input == "codes"`, for EnCodec's codebook indices."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.config = config
        if config.input == "codes":
            table = mx.zeros((config.codebooks * config.codebook_size, config.codebook_dim))
            self.codebook_weights = table
        self.backbone = Backbone(config)
        self.head = ISTFTHead(config)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                module.weight = 0.02 * mx.random.normal(module.weight.shape)
                module.bias = mx.zeros_like(module.bias)

    def __call__(self, features: mx.array, row: mx.array | None = None) -> mx.array:
        """Log-mel frames (or summed codebook vectors) [B, N, C] → waveform [B, S] in about [-1, 1]."""
        return self.head(self.backbone(features, row))

    def decode_codes(self, codes: mx.array, bandwidth: float) -> mx.array:
        """Codes [B, Q, T], each below codebook_size, → waveform [B, S].

        `bandwidth` in kbit/s picks the normalisation that was trained for it. Raises ValueError for one that was not.
        """
        config = self.config
        if config.input != "codes":
            raise ValueError("this vocoder decodes mel frames, not codes")
        if bandwidth not in config.bandwidths:
            raise ValueError(
                f"bandwidth {bandwidth} kbit/s; this vocoder knows {', '.join(map(str, config.bandwidths))}"
            )
        if codes.ndim != 3 or codes.shape[1] > config.codebooks:
            raise ValueError(f"codes of shape {tuple(codes.shape)}; they must be [batch, ≤ {config.codebooks}, time]")
        offsets = mx.arange(codes.shape[1]) * config.codebook_size
        features = self.codebook_weights[codes + offsets[:, None]].sum(1)  # [B, T, C]
        row = mx.array([config.bandwidths.index(bandwidth)])
        return self(features, row)
