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
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.models.vocoder import CYCLE_PARTS, MAX_MAGNITUDE, OCTAVES, PITCH, VocoderConfig


class AdaLayerNorm(nn.Module):
    """Layer norm whose scale and shift depend on the bandwidth: one row for each of EnCodec's bit rates."""

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
    """Depthwise convolution over time and a pointwise MLP, with a learned gain on the residual branch."""

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
    """Map features [B, N, C] to hidden frames [B, N, D] at the same rate."""

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
    """Map hidden frames [B, N, D] to a waveform of (N - 1) * hop samples with "center" padding, N * hop with "same"."""

    window: Tensor

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.n_fft, self.hop, self.padding = config.n_fft, config.hop, config.padding
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def spectrum(self, x: Tensor) -> Tensor:
        """Return the complex STFT [B, N, n_fft // 2 + 1] of hidden frames [B, N, D], computed in float32."""
        log_magnitude, phase = self.out(x).float().chunk(2, dim=-1)
        magnitude = log_magnitude.exp().clamp(max=MAX_MAGNITUDE)
        return torch.polar(magnitude, phase)

    def inverse(self, spectrum: Tensor) -> Tensor:
        return inverse_stft(spectrum, self.window, self.hop, self.padding)


def inverse_stft(spectrum: Tensor, window: Tensor, hop: int, padding: str) -> Tensor:
    """Return the waveform [B, S] of a complex STFT [B, N, n_fft // 2 + 1], by overlap-add with its window [n_fft].

    Used because torch.istft rejects the "same" padding, whose first and last samples have no full overlap.
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

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        octaves, log_magnitude, phase = self.out(self.backbone(features)).float().split((1, self.bins, self.bins), -1)
        rate = self.middle * octaves[..., 0].clamp(*OCTAVES).exp2()
        return rate, log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase


def cycles_passed(rate: Tensor) -> Tensor:
    """Return the fractional part of the cycles that have passed at each frame's centre [B, N], 0 at the first.

    The argument is in cycles per hop [B, N]. The sum is over integer fractions of a cycle: float32 errors would become
    audible in the higher harmonics within a minute.
    """
    steps = F.pad(CYCLE_PARTS * (rate[:, 1:] + rate[:, :-1]) / 2, (1, 0)).round().long()
    return (steps.cumsum(1) % CYCLE_PARTS).float() / CYCLE_PARTS


def harmonic_phase(rate: Tensor, cycles: Tensor, bins: int, n_fft: int, hop: int) -> Tensor:
    """Return the phase [B, N, bins], in radians, of the harmonic nearest to each bin, in each frame's transform.

    The rate (cycles per hop) and the cycles passed are [B, N]. Harmonics are cosines; a frame's phase refers to its
    first sample, half a transform before its centre.
    """
    place = torch.arange(bins, device=rate.device)
    number = (place * (hop / n_fft) / rate[..., None]).round()
    return 2 * math.pi * (number * cycles[..., None]) - math.pi * place


class Vocoder(nn.Module):
    """Vocos for mel frames, or for EnCodec's codebook indices if `config.input` is "codes"."""

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
        self,
        features: Tensor,
        row: Tensor | None = None,
        course: tuple[Tensor, Tensor] | None = None,
        whole: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the waveform [B, S], about -1 to 1, of log-mel frames or summed codebook vectors [B, N, C].

        With a `course`, in training, it returns `low_spectrum` or, if `whole`, `spectrum` instead, because wrappers for
        distributed training only hook this method.
        """
        if course is not None:
            return self.spectrum(features, row, course) if whole else self.low_spectrum(features, course)
        return self.head.inverse(self.spectrum(features, row)[0])

    def spectrum(
        self, features: Tensor, row: Tensor | None = None, course: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the complex STFT [B, N, n_fft // 2 + 1] and the estimated rate [B, N] of features [B, N, C].

        The rate, in cycles per hop, is 0 without harmonic bins. `course` is as in `low_spectrum`.
        """
        spectrum = self.head.spectrum(self.backbone(features, row))
        if not (bins := self.config.harmonic_bins):
            return spectrum, spectrum.real.new_zeros(spectrum.shape[:2])
        low, rate = self.low_spectrum(features, course)
        return torch.cat((low, spectrum[..., bins:]), dim=-1), rate

    def low_spectrum(self, features: Tensor, course: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the lowest bins, complex [B, N, harmonic_bins], and the estimated rate [B, N], of log-mels [B, N, M].

        `course` is that of the recorded voice, for training: its rate and the cycles passed, each [B, N].
        """
        heard, magnitude, phase = self.harmonics(features)
        rate, cycles = (heard, cycles_passed(heard)) if course is None else course
        known = harmonic_phase(rate, cycles, self.config.harmonic_bins, self.config.n_fft, self.config.hop)
        return torch.polar(magnitude, phase + known), heard

    def decode_codes(self, codes: Tensor, bandwidth: float) -> Tensor:
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
        offsets = torch.arange(codes.shape[1], device=codes.device) * config.codebook_size
        features = F.embedding(codes + offsets[:, None], self.codebook_weights).sum(1)  # [B, T, C]
        row = torch.tensor([config.bandwidths.index(bandwidth)], device=codes.device)
        return self(features, row)
