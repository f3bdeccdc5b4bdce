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
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:  # [B, N, D], [1] or [B]
        scale, shift = self.scale(row)[:, None], self.shift(row)[:, None]
        return F.layer_norm(x, x.shape[-1:], eps=1e-6) * scale + shift


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise MLP, with a learned gain on the residual branch."""

    def __init__(self, dim: int, intermediate_dim: int, gain: float, rows: int):
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = AdaLayerNorm(rows, dim) if rows else nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, intermediate_dim)
        self.pwconv2 = nn.Linear(intermediate_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), gain))

    def forward(self, x: Tensor, row: Tensor | None) -> Tensor:  # [B, N, D]
        y = self.dwconv(x.transpose(1, 2)).transpose(1, 2)
        y = self.norm(y) if row is None else self.norm(y, row)
        y = self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + self.gamma * y


class Backbone(nn.Module):
    """Features [B, N, C] → hidden frames [B, N, D] at the same rate."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        rows = len(config.bandwidths)
        self.embed = nn.Conv1d(config.input_channels, config.dim, kernel_size=7, padding=3)
        self.norm = AdaLayerNorm(rows, config.dim) if rows else nn.LayerNorm(config.dim, eps=1e-6)
        self.convnext = nn.ModuleList(
            ConvNeXtBlock(config.dim, config.intermediate_dim, 1 / config.num_layers, rows)
            for _ in range(config.num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(config.dim, eps=1e-6)

    def forward(self, features: Tensor, row: Tensor | None = None) -> Tensor:
        x = self.embed(features.transpose(1, 2)).transpose(1, 2)
        x = self.norm(x) if row is None else self.norm(x, row)
        for block in self.convnext:
            x = block(x, row)
        return self.final_layer_norm(x)


class ISTFTHead(nn.Module):
    """Hidden frames [B, N, D] → spectrum → waveform [B, S]: "center" gives (N - 1) * hop samples, "same" N * hop."""

    window: Tensor

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.n_fft, self.hop, self.padding = config.n_fft, config.hop, config.padding
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def spectrum(self, x: Tensor) -> Tensor:
        """Hidden frames [B, N, D] → complex STFT [B, N, n_fft // 2 + 1], from float32 magnitudes and phases."""
        log_magnitude, phase = self.out(x).float().chunk(2, dim=-1)
        magnitude = log_magnitude.exp().clamp(max=1e2)  # the clamp keeps an untrained head from overflowing
        return torch.polar(magnitude, phase)

    def inverse(self, spectrum: Tensor) -> Tensor:
        return inverse_stft(spectrum, self.window, self.hop, self.padding)


def inverse_stft(spectrum: Tensor, window: Tensor, hop: int, padding: str) -> Tensor:
    """Complex STFT [B, N, n_fft // 2 + 1] and its window [n_fft] → waveform [B, S] by windowed overlap-add.

    Written out because torch.istft refuses the "same" padding, whose first and last samples have no full overlap.
    """
    n_fft, count = len(window), spectrum.shape[1]
    frames = torch.fft.irfft(spectrum, n_fft, dim=-1) * window  # [B, N, n_fft]
    length = (count - 1) * hop + n_fft
    wave = _overlap_add(frames, hop, length)
    weight = _overlap_add(window.square().expand(1, count, -1), hop, length)
    trim = n_fft // 2 if padding == "center" else (n_fft - hop) // 2
    wave, weight = wave[:, trim : length - trim], weight[:, trim : length - trim]
    return wave / weight.clamp(min=1e-11)


def _overlap_add(frames: Tensor, hop: int, length: int) -> Tensor:  # [B, N, n_fft] → [B, length]
    return F.fold(frames.transpose(1, 2), (1, length), (1, frames.shape[-1]), stride=(1, hop))[:, 0, 0]


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

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        octaves, log_magnitude, phase = self.out(self.backbone(features)).float().split((1, self.bins, self.bins), -1)
        rate = self.middle * octaves[..., 0].clamp(*OCTAVES).exp2()
        return rate, log_magnitude.exp().clamp(max=1e2), phase


def cycles_passed(rate: Tensor) -> Tensor:
    """Cycles in a hop [B, N] → the fractional part of those passed at each frame's centre [B, N], 0 at the first.

    Summed in whole parts of a cycle: in float32 the errors of a minute would be heard in the higher harmonics.
    """
    steps = F.pad(PARTS * (rate[:, 1:] + rate[:, :-1]) / 2, (1, 0)).round().long()
    return (steps.cumsum(1) % PARTS).float() / PARTS


def harmonic_phase(rate: Tensor, cycles: Tensor, bins: int, n_fft: int, hop: int) -> Tensor:
    """The phase [B, N, bins], radians, that the harmonic nearest to each bin has in a frame's transform.

    Rate (cycles in a hop) and cycles passed are [B, N]. The harmonics are cosines; a frame's phase counts from its
    first sample, its centre is half a transform later.
    """
    place = torch.arange(bins, device=rate.device)
    number = (place * (hop / n_fft) / rate[..., None]).round()
    return 2 * math.pi * (number * cycles[..., None]) - math.pi * place


class Vocoder(nn.Module):
    """Vocos for mel frames or, with `config.input == "codes"`, for EnCodec's codebook indices."""

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.config = config
        if config.input == "codes":
            table = torch.zeros(config.codebooks * config.codebook_size, config.codebook_dim)
            self.codebook_weights = nn.Parameter(table)
        self.backbone = Backbone(config)
        self.head = ISTFTHead(config)
        if config.harmonic_bins:
            self.harmonics = Harmonics(config)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(
        self, features: Tensor, row: Tensor | None = None, course: tuple[Tensor, Tensor] | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Log-mel frames (or summed codebook vectors) [B, N, C] → waveform [B, S] in about [-1, 1].

        With a `course`, which training gives, the low spectrum alone: see `low_spectrum`. It goes through here because
        what distributes training over processes minds no other method.
        """
        if course is not None:
            return self.low_spectrum(features, course)
        spectrum = self.head.spectrum(self.backbone(features, row))
        if bins := self.config.harmonic_bins:
            low, _ = self.low_spectrum(features)
            spectrum = torch.cat((low, spectrum[..., bins:]), dim=-1)
        return self.head.inverse(spectrum)

    def low_spectrum(self, features: Tensor, course: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Log-mel frames [B, N, M] → the lowest bins, complex [B, N, harmonic_bins], and the rate heard [B, N].

        `course` is that of the recorded voice, for training: its rate and the cycles passed, each [B, N].
        """
        heard, magnitude, phase = self.harmonics(features)
        rate, cycles = (heard, cycles_passed(heard)) if course is None else course
        known = harmonic_phase(rate, cycles, self.config.harmonic_bins, self.config.n_fft, self.config.hop)
        return torch.polar(magnitude, phase + known), heard

    def decode_codes(self, codes: Tensor, bandwidth: float) -> Tensor:
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
        offsets = torch.arange(codes.shape[1], device=codes.device) * config.codebook_size
        features = F.embedding(codes + offsets[:, None], self.codebook_weights).sum(1)  # [B, T, C]
        row = torch.tensor([config.bandwidths.index(bandwidth)], device=codes.device)
        return self(features, row)
