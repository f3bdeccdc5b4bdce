"""Predicted opinion scores from DistillMOS in PyTorch, with the weights of the package distillmos.

DistillMOS (Stahl and Gamper 2025, arXiv:2502.05356) is a small network that was distilled from a large self-supervised
one. The package's own code imports torchaudio, so the network is rebuilt here from the published description and the
shapes of its weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.audio.dsp import resample
from vivavoce.metrics.mos import SAMPLE_RATE
from vivavoce.metrics.packages import data_file

WINDOW = 122_880  # samples: 7.68 s, the network's input
MAX_STEP = 16_000  # samples between the starts of two windows of a longer clip
N_FFT, HOP = 320, 160  # samples: 20 and 10 ms
COMPRESSION = 0.3  # of the spectrum's magnitude
HEADS = 8


class _Features(nn.Module):
    """Waveform [B, S] -> features [B, N, C] of six convolutions over the compressed complex spectrum."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        shapes = [state[f"cnn.cnn.{2 * i}.weight"].shape for i in range(6)]  # [out, in, 3, 3]
        for i, shape in enumerate(shapes):
            stride = (2 if i else 1, 2 if i == len(shapes) - 1 else 1)  # frequency, time
            layers += [nn.Conv2d(shape[1], shape[0], 3, stride=stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
        self.cnn = nn.Sequential(*layers)

    def forward(self, wave: Tensor) -> Tensor:
        margin = (N_FFT - HOP) // 2
        wave = F.pad(wave, (margin, margin), mode="reflect")
        window = torch.hann_window(N_FFT, device=wave.device)
        spectrum = torch.stft(wave, N_FFT, HOP, window=window, center=False, return_complex=True)
        magnitude = spectrum.abs().clamp_min(1e-12)
        x = torch.view_as_real(spectrum / magnitude * magnitude**COMPRESSION)  # [B, F, N, 2]
        return self.cnn(x.permute(0, 3, 1, 2)).flatten(1, 2).transpose(1, 2)


class _Pool(nn.Module):
    """Attention pooling over time: [B, N, D] -> [B, 1]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear1, self.linear2, self.linear3 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, 1), nn.Linear(dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear2(self.linear1(x).relu()).softmax(dim=1)  # [B, N, 1]
        return self.linear3((weights * x).sum(dim=1))


class _Encoder(nn.Module):
    """Batch norm, projection, fixed positions and a post-norm transformer: [B, N, C] -> [B, N, D]."""

    def __init__(self, channels: int, dim: int, hidden: int, layers: int, positions: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.position_encoding = nn.Module()
        self.position_encoding.register_buffer("pe", torch.zeros(1, positions, dim))
        self.linear_proj = nn.Linear(channels, dim)
        layer = nn.TransformerEncoderLayer(dim, HEADS, hidden, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.transformer_encoder(self.linear_proj(x) + self.position_encoding.pe)


class _Head(nn.Module):
    """[B, N, C] -> score in 0 to 1, [B]."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        prefix = "transformer_pool_attn.transformer."
        dim, channels = state[f"{prefix}linear_proj.weight"].shape
        hidden = len(state[f"{prefix}transformer_encoder.layers.0.linear1.weight"])
        layers = sum(name.endswith("self_attn.in_proj_bias") for name in state)
        self.norm_input = nn.BatchNorm1d(channels)
        self.transformer = _Encoder(channels, dim, hidden, layers, state[f"{prefix}position_encoding.pe"].shape[1])
        self.norm_trans = nn.BatchNorm1d(dim)
        self.pool = _Pool(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transformer(self.norm_input(x.transpose(1, 2)).transpose(1, 2))
        return self.pool(self.norm_trans(x.transpose(1, 2)).transpose(1, 2)).sigmoid()[:, 0]


class _Network(nn.Module):
    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.cnn = _Features(state)
        self.transformer_pool_attn = _Head(state)
        self.load_state_dict(state)

    def forward(self, wave: Tensor) -> Tensor:
        """wave: [B, WINDOW] -> mean opinion score [B], 1 to 5."""
        wave = wave / (wave.abs().amax(dim=1, keepdim=True) + 1e-8)
        return 1 + 4 * self.transformer_pool_attn(self.cnn(wave))


class DistillMos:
    """DistillMOS, variant 7: one predicted mean opinion score for a clip of any length."""

    INSTALL = "--no-deps distillmos"  # its dependencies are those of its code

    def __init__(self) -> None:
        """Raises ValueError if the package is missing."""
        path = data_file("distillmos", "weights", "distill_mos_v7.pt", install=self.INSTALL)
        state = torch.load(path, map_location="cpu", weights_only=True)["model"]
        self.network = _Network(state).eval()

    @torch.inference_mode()
    def score(self, samples: npt.ArrayLike, sample_rate: int) -> float:
        """samples: [S], -1 to 1; sample_rate: Hz -> 1 (bad) to 5 (excellent). Raises ValueError for S = 0."""
        wave = torch.from_numpy(np.ascontiguousarray(resample(samples, sample_rate, SAMPLE_RATE), np.float32))
        if not len(wave):
            raise ValueError("a clip without samples cannot be scored")
        # As published: a short clip is padded with silence, a long one is cut into evenly spaced windows.
        wave = F.pad(wave, (0, max(0, WINDOW - len(wave))))
        spare = len(wave) - WINDOW
        count = -(-spare // MAX_STEP) + 1
        starts = [int(place * spare) for place in np.linspace(0, 1, count)]
        return float(self.network(torch.stack([wave[s : s + WINDOW] for s in starts])).mean())
