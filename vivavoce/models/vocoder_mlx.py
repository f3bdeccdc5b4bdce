"""Vocos: generate a waveform from log-mel frames or EnCodec codes with one inverse Fourier transform.

Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders" (arXiv:2306.00814). A ConvNeXt
backbone keeps the frame rate, a linear head predicts log magnitude and phase of every bin, and the inverse STFT returns
the waveform. Parameter names are those of the published checkpoints. Knows nothing about the origin of its frames.

Mel frames determine the frequencies of a voice's harmonics, but not their phases, and a convolution gives equal phases
for equal frames: it cannot count the cycles of a steady vowel. With `harmonic_bins`, a second backbone estimates the
pitch, its cycles are summed, and the phases of the lowest bins are predicted relative to them, as neural source-filter
models shape a source of known pitch (Wang, Takaki and Yamagishi, arXiv:1904.12088).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from vivavoce.models.vocoder import CYCLE_PARTS, MAX_MAGNITUDE, OCTAVES, PITCH, VocoderConfig


class AdaLayerNorm(nn.Module):
    """Layer norm whose scale and shift depend on the bandwidth: one row for each of EnCodec's bit rates."""

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
    """Depthwise convolution over time and a pointwise MLP, with a learned gain on the residual branch."""

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
    """Map features [B, N, C] to hidden frames [B, N, D] at the same rate."""

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
    """Map hidden frames [B, N, D] to a waveform of (N - 1) * hop samples with "center" padding, N * hop with "same"."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.n_fft, self.hop, self.padding = config.n_fft, config.hop, config.padding
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self._window = mx.hanning(config.n_fft + 1)[:-1]  # the underscore keeps it out of the parameters

    def spectrum(self, x: mx.array) -> mx.array:
        """Return the complex STFT [B, N, n_fft // 2 + 1] of hidden frames [B, N, D], computed in float32."""
        log_magnitude, phase = mx.split(self.out(x).astype(mx.float32), 2, axis=-1)
        magnitude = mx.minimum(mx.exp(log_magnitude), MAX_MAGNITUDE)
        return magnitude * mx.exp(1j * phase)

    def inverse(self, spectrum: mx.array) -> mx.array:
        return inverse_stft(spectrum, self._window, self.hop, self.padding)


def inverse_stft(spectrum: mx.array, window: mx.array, hop: int, padding: str) -> mx.array:
    """Return the waveform [B, S] of a complex STFT [B, N, n_fft // 2 + 1], by overlap-add with its window [n_fft].

    Used because MLX has no inverse STFT.
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
    # Split each frame into pieces of a hop, the last one padded: piece p of frame n belongs to hop n + p.
    n_fft = frames.shape[-1]
    pieces = -(-n_fft // hop)
    frames = mx.pad(frames, [(0, 0), (0, 0), (0, pieces * hop - n_fft)])
    frames = mx.unflatten(frames, -1, (pieces, hop))
    shifted = (mx.pad(frames[:, :, p], [(0, 0), (p, pieces - 1 - p), (0, 0)]) for p in range(pieces))
    return functools.reduce(mx.add, shifted).flatten(1)[:, :length]


class Harmonics(nn.Module):
    """Predict the pitch rate [B, N], and magnitude and phase of the lowest bins [B, N, bins], from mels [B, N, M].

    The rate is in cycles of the fundamental per hop, and undefined in unvoiced frames. Phases, in radians, are relative
    to the harmonic nearest to the bin.
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
        return rate, mx.minimum(mx.exp(log_magnitude), MAX_MAGNITUDE), phase


def cycles_passed(rate: mx.array) -> mx.array:
    """Return the fractional part of the cycles that have passed at each frame's centre [B, N], 0 at the first.

    The argument is in cycles per hop [B, N]. The sum is over integer fractions of a cycle: float32 errors would become
    audible in the higher harmonics within a minute.
    """
    steps = mx.pad(mx.round(CYCLE_PARTS * (rate[:, 1:] + rate[:, :-1]) / 2), [(0, 0), (1, 0)]).astype(mx.int64)
    return (mx.cumsum(steps, 1) % CYCLE_PARTS).astype(mx.float32) / CYCLE_PARTS


def harmonic_phase(rate: mx.array, cycles: mx.array, bins: int, n_fft: int, hop: int) -> mx.array:
    """Return the phase [B, N, bins], in radians, of the harmonic nearest to each bin, in each frame's transform.

    The rate (cycles per hop) and the cycles passed are [B, N]. Harmonics are cosines; a frame's phase refers to its
    first sample, half a transform before its centre.
    """
    place = mx.arange(bins)
    number = mx.round(place * (hop / n_fft) / rate[..., None])
    return 2 * math.pi * (number * cycles[..., None]) - math.pi * place


class Vocoder(nn.Module):
    """Vocos for mel frames, or for EnCodec's codebook indices if `config.input` is "codes"."""

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
        """Return the waveform [B, S], about -1 to 1, of log-mel frames or summed codebook vectors [B, N, C]."""
        return self.head.inverse(self.spectrum(features, row))

    def spectrum(self, features: mx.array, row: mx.array | None = None) -> mx.array:
        """Return the complex STFT [B, N, n_fft // 2 + 1] of features [B, N, C]."""
        spectrum = self.head.spectrum(self.backbone(features, row))
        if bins := self.config.harmonic_bins:
            spectrum = mx.concatenate([self.low_spectrum(features), spectrum[..., bins:]], axis=-1)
        return spectrum

    def low_spectrum(self, features: mx.array) -> mx.array:
        """Return the lowest bins, complex [B, N, harmonic_bins], of log-mels [B, N, M]."""
        rate, magnitude, phase = self.harmonics(features)
        known = harmonic_phase(rate, cycles_passed(rate), self.config.harmonic_bins, self.config.n_fft, self.config.hop)
        return magnitude * mx.exp(1j * (phase + known))

    def decode_codes(self, codes: mx.array, bandwidth: float) -> mx.array:
        """Decode codes [B, Q, T], each below codebook_size, to a waveform [B, S].

        `bandwidth`, in kbit/s, selects the normalisation. Raises ValueError for a bandwidth that was not trained.
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
