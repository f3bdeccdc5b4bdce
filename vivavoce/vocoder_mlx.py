"""Vocos: log-mel frames or EnCodec codes → waveform, by one inverse Fourier transform.

Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders" (arXiv:2306.00814). A ConvNeXt
backbone keeps the frame rate; a linear head gives log magnitude and phase of every bin; the inverse STFT does the rest.
Parameter names are those of the published checkpoints. Knows nothing about where its frames come from.

Mel frames tell where a voice's harmonics are, but not how far their waves have come, and a convolution that sees the
same frames gives the same phases: it cannot count the cycles of a steady vowel. With `harmonic_bins`, a second backbone
hears the pitch, its cycles are summed up, and the lowest bins' phases are told relative to them, as neural
source-filter models shape a source of known pitch (Wang, Takaki and Yamagishi, arXiv:1904.12088).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from vivavoce.config import VocoderConfig

PITCH = 150.0  # Hz, of a voice between men's and women's
PARTS = 1 << 24  # of a cycle, as many as float32 tells apart
OCTAVES = (-1.5, 2.0)  # how far from it a voice's pitch may be: 53 to 600 Hz


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
    """Hidden frames [B, N, D] → spectrum → waveform [B, S]: "center" gives (N - 1) * hop samples, "same" N * hop."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.n_fft, self.hop, self.padding = config.n_fft, config.hop, config.padding
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self._window = mx.hanning(config.n_fft + 1)[:-1]  # an underscore keeps what is no weight out of the parameters

    def spectrum(self, x: mx.array) -> mx.array:
        """Hidden frames [B, N, D] → complex STFT [B, N, n_fft // 2 + 1], from float32 magnitudes and phases."""
        log_magnitude, phase = mx.split(self.out(x).astype(mx.float32), 2, axis=-1)
        magnitude = mx.minimum(mx.exp(log_magnitude), 1e2)  # the clamp keeps an untrained head from overflowing
        return magnitude * mx.exp(1j * phase)

    def inverse(self, spectrum: mx.array) -> mx.array:
        return inverse_stft(spectrum, self._window, self.hop, self.padding)


def inverse_stft(spectrum: mx.array, window: mx.array, hop: int, padding: str) -> mx.array:
    """Complex STFT [B, N, n_fft // 2 + 1] and its window [n_fft] → waveform [B, S] by windowed overlap-add.

    Written out because MLX has no inverse STFT.
    """
    n_fft, count = len(window), spectrum.shape[1]
    frames = mx.fft.irfft(spectrum, n_fft, axis=-1) * window  # [B, N, n_fft]
    length = (count - 1) * hop + n_fft
    wave = _overlap_add(frames, hop, length)
    weight = _overlap_add(mx.broadcast_to(mx.square(window), (1, count, n_fft)), hop, length)
    trim = n_fft // 2 if padding == "center" else (n_fft - hop) // 2
    wave, weight = wave[:, trim : length - trim], weight[:, trim : length - trim]
    return wave / mx.maximum(weight, 1e-11)


def _overlap_add(frames: mx.array, hop: int, length: int) -> mx.array:  # [B, N, n_fft] → [B, length]
    # Each frame cut into pieces of a hop, the last one filled up: then piece p of frame n belongs to hop n + p.
    n_fft = frames.shape[-1]
    pieces = -(-n_fft // hop)
    frames = mx.pad(frames, [(0, 0), (0, 0), (0, pieces * hop - n_fft)])
    frames = mx.unflatten(frames, -1, (pieces, hop))
    shifted = (mx.pad(frames[:, :, p], [(0, 0), (p, pieces - 1 - p), (0, 0)]) for p in range(pieces))
    return functools.reduce(mx.add, shifted).flatten(1)[:, :length]


class Harmonics(nn.Module):
    """What the lowest bins are made of: mel frames [B, N, M] → rate [B, N], magnitude and phase [B, N, bins].

    The rate is the cycles of the voice's fundamental in a hop, and anything where there is no voice; a phase, in
    radians, is relative to the harmonic nearest to its bin.
    """

    def __init__(self, config: VocoderConfig):
        super().__init__()
        dim = config.harmonic_dim
        self.backbone = Backbone(
            dataclasses.replace(config, dim=dim, intermediate_dim=3 * dim, num_layers=config.harmonic_layers)
        )
        self.out = nn.Linear(dim, 1 + 2 * config.harmonic_bins)
        self.bins, self.middle = config.harmonic_bins, PITCH * config.hop / config.mel.sample_rate

    def __call__(self, features: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        out = self.out(self.backbone(features)).astype(mx.float32)
        octaves, log_magnitude, phase = mx.split(out, (1, 1 + self.bins), axis=-1)
        rate = self.middle * mx.power(2.0, mx.clip(octaves[..., 0], *OCTAVES))
        return rate, mx.minimum(mx.exp(log_magnitude), 1e2), phase


def cycles_passed(rate: mx.array) -> mx.array:
    """Cycles in a hop [B, N] → the fractional part of those passed at each frame's centre [B, N], 0 at the first.

    Summed in whole parts of a cycle: in float32 the errors of a minute would be heard in the higher harmonics.
    """
    steps = mx.pad(mx.round(PARTS * (rate[:, 1:] + rate[:, :-1]) / 2), [(0, 0), (1, 0)]).astype(mx.int64)
    return (mx.cumsum(steps, 1) % PARTS).astype(mx.float32) / PARTS


def harmonic_phase(rate: mx.array, cycles: mx.array, bins: int, n_fft: int, hop: int) -> mx.array:
    """The phase [B, N, bins], radians, that the harmonic nearest to each bin has in a frame's transform.

    Rate (cycles in a hop) and cycles passed are [B, N]. The harmonics are cosines; a frame's phase counts from its
    first sample, its centre is half a transform later.
    """
    place = mx.arange(bins)
    number = mx.round(place * (hop / n_fft) / rate[..., None])
    return 2 * math.pi * (number * cycles[..., None]) - math.pi * place


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
        if config.harmonic_bins:
            self.harmonics = Harmonics(config)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                module.weight = 0.02 * mx.random.normal(module.weight.shape)
                module.bias = mx.zeros_like(module.bias)

    def __call__(self, features: mx.array, row: mx.array | None = None) -> mx.array:
        """Log-mel frames (or summed codebook vectors) [B, N, C] → waveform [B, S] in about [-1, 1]."""
        spectrum = self.head.spectrum(self.backbone(features, row))
        if bins := self.config.harmonic_bins:
            spectrum = mx.concatenate([self.low_spectrum(features), spectrum[..., bins:]], axis=-1)
        return self.head.inverse(spectrum)

    def low_spectrum(self, features: mx.array) -> mx.array:
        """Log-mel frames [B, N, M] → the lowest bins, complex [B, N, harmonic_bins]."""
        rate, magnitude, phase = self.harmonics(features)
        known = harmonic_phase(rate, cycles_passed(rate), self.config.harmonic_bins, self.config.n_fft, self.config.hop)
        return magnitude * mx.exp(1j * (phase + known))

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
