"""Vocos: log-mel frames or EnCodec codes → waveform, by one inverse Fourier transform.

Siuzdak, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders" (arXiv:2306.00814). A ConvNeXt
backbone keeps the frame rate; a linear head gives log magnitude and phase of every bin; the inverse STFT does the rest.
Parameter names are those of the published checkpoints. Knows nothing about where its frames come from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.config import VocoderConfig


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
    """Hidden frames [B, N, D] → waveform [B, S]: "center" gives (N - 1) * hop samples, "same" N * hop."""

    window: Tensor

    def __init__(self, config: VocoderConfig):
        super().__init__()
        self.n_fft, self.hop, self.padding = config.n_fft, config.hop, config.padding
        self.out = nn.Linear(config.dim, config.n_fft + 2)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def spectrum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude and phase (radians, unwrapped or not), each [B, N, n_fft // 2 + 1], float32."""
        log_magnitude, phase = self.out(x).float().chunk(2, dim=-1)
        return log_magnitude.exp().clamp(max=1e2), phase  # the clamp keeps an untrained head from overflowing

    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = self.spectrum(x)
        return self.inverse(torch.polar(magnitude, phase))

    def inverse(self, spectrum: Tensor) -> Tensor:
        """Complex STFT [B, N, n_fft // 2 + 1] → waveform [B, S] by windowed overlap-add.

        Written out because torch.istft refuses the "same" padding, whose first and last samples have no full overlap.
        """
        frames = torch.fft.irfft(spectrum, self.n_fft, dim=-1) * self.window  # [B, N, n_fft]
        count = frames.shape[1]
        length = (count - 1) * self.hop + self.n_fft
        wave = self._overlap_add(frames, length)
        weight = self._overlap_add(self.window.square().expand(1, count, -1), length)
        trim = self.n_fft // 2 if self.padding == "center" else (self.n_fft - self.hop) // 2
        wave, weight = wave[:, trim : length - trim], weight[:, trim : length - trim]
        return wave / weight.clamp(min=1e-11)

    def _overlap_add(self, frames: Tensor, length: int) -> Tensor:  # [B, N, n_fft] → [B, length]
        summed = F.fold(frames.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop))
        return summed[:, 0, 0]


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
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor, row: Tensor | None = None) -> Tensor:
        """Log-mel frames (or summed codebook vectors) [B, N, C] → waveform [B, S] in about [-1, 1]."""
        return self.head(self.backbone(features, row))

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
