"""Speaker vectors for published WhisperSpeech models: waveform [S] → vector [192], not normalised.

The network is ECAPA-TDNN (Desplanques et al., 2020, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and
Aggregation in TDNN Based Speaker Verification", arXiv:2005.07143) as implemented in SpeechBrain, with the front end of
its weights speechbrain/spkrec-ecapa-voxceleb (Apache-2.0). Parameter names are those of that checkpoint, without its
wrappers of single layers. Reads no files.

Shapes: B batch, S samples, F bins of the spectrum, N frames of 10 ms, M mel bins, C channels, V speaker vector.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce import audio
from vivavoce.models.speaker import EcapaConfig

MAX_SECONDS = 30  # of a recording, as in WhisperSpeech
FLOOR = 1e-10  # of a mel bin's power
RANGE_DB = 80.0  # mel bins are clamped to this distance below the loudest


class TDNN(nn.Module):
    """Convolution over time, ReLU, then batch norm. The ends are padded by reflection."""

    def __init__(self, inside: int, outside: int, kernel: int = 1, dilation: int = 1):
        super().__init__()
        self.conv = nn.Conv1d(inside, outside, kernel, dilation=dilation, padding="same", padding_mode="reflect")
        self.norm = nn.BatchNorm1d(outside)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, N] → [B, C', N]
        return self.norm(F.relu(self.conv(x)))


class Res2Net(nn.Module):
    """Convolve groups of channels, each together with the result of the previous group.

    Later groups thus have a wider receptive field. The first group is unchanged; the second has no sum.
    """

    def __init__(self, channels: int, scale: int, dilation: int):
        super().__init__()
        width = channels // scale
        self.blocks = nn.ModuleList(TDNN(width, width, 3, dilation) for _ in range(scale - 1))

    def forward(self, x: Tensor) -> Tensor:  # [B, C, N]
        first, *rest = x.chunk(len(self.blocks) + 1, dim=1)
        made = [first]
        for i, (block, group) in enumerate(zip(self.blocks, rest, strict=True)):
            made.append(block(group + made[-1] if i else group))
        return torch.cat(made, dim=1)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gain, 0 to 1, computed from the mean over time of all channels."""

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, inner, 1)
        self.conv2 = nn.Conv1d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, N]
        return x * torch.sigmoid(self.conv2(F.relu(self.conv1(x.mean(dim=2, keepdim=True)))))


class Block(nn.Module):
    """The SE-Res2Net block of the paper, with a residual connection."""

    def __init__(self, config: EcapaConfig, dilation: int):
        super().__init__()
        self.tdnn1 = TDNN(config.channels, config.channels)
        self.res2net_block = Res2Net(config.channels, config.scale, dilation)
        self.tdnn2 = TDNN(config.channels, config.channels)
        self.se_block = SqueezeExcitation(config.channels, config.se_channels)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, N]
        return x + self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x))))


class AttentivePooling(nn.Module):
    """Pool frames to the weighted mean and standard deviation of each channel.

    The weights are per channel, computed from the frame and the plain mean and deviation of the whole recording.
    """

    def __init__(self, channels: int, inner: int):
        super().__init__()
        self.tdnn = TDNN(3 * channels, inner)
        self.conv = nn.Conv1d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, C, N] → [B, 2C, 1]
        everywhere = [part.expand_as(x) for part in _statistics(x, torch.full_like(x, 1 / x.shape[2]))]
        scores = self.conv(torch.tanh(self.tdnn(torch.cat((x, *everywhere), dim=1))))
        return torch.cat(_statistics(x, scores.softmax(dim=2)), dim=1)


def _statistics(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation over time [B, C, 1], for `weights` [B, C, N] that sum to 1 over time."""
    mean = (weights * x).sum(dim=2, keepdim=True)
    variance = (weights * (x - mean).square()).sum(dim=2, keepdim=True)
    return mean, variance.clamp(min=1e-12).sqrt()


class EcapaEncoder(nn.Module):
    """ECAPA-TDNN with its front end; `embed` computes the speaker vector of a recording."""

    window: Tensor
    mel_bank: Tensor

    def __init__(self, config: EcapaConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or EcapaConfig()
        blocks = [Block(c, dilation) for dilation in range(2, c.depth + 2)]
        self.blocks = nn.ModuleList([TDNN(c.n_mels, c.channels, 5), *blocks])
        self.mfa = TDNN(c.depth * c.channels, c.pooled_channels)
        self.asp = AttentivePooling(c.pooled_channels, c.attention_channels)
        self.asp_bn = nn.BatchNorm1d(2 * c.pooled_channels)
        self.fc = nn.Conv1d(2 * c.pooled_channels, c.speaker_dim, 1)
        self.register_buffer("window", torch.hamming_window(c.n_fft), persistent=False)
        self.register_buffer("mel_bank", mel_bank(c), persistent=False)  # [F, M]

    def forward(self, mels: Tensor) -> Tensor:
        """Return speaker vectors [B, V] for frames [B, N, M] from `mel`."""
        x = self.blocks[0](mels.transpose(1, 2))
        seen = []
        for block in self.blocks[1:]:
            x = block(x)
            seen.append(x)
        return self.fc(self.asp_bn(self.asp(self.mfa(torch.cat(seen, dim=1)))))[:, :, 0]

    def mel(self, samples: Tensor) -> Tensor:
        """Return frames [B, 1 + S // hop, M], in dB above each bin's mean, for samples [B, S], -1 to 1.

        Samples are at the config's rate. Frame n is centred on sample n * hop. Loudness has no influence.
        """
        c = self.config
        spectrum = torch.stft(
            samples, c.n_fft, c.hop, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(dim=-1)  # [B, F, N]
        decibels = 10 * (power.transpose(1, 2) @ self.mel_bank).clamp(min=FLOOR).log10()
        decibels = decibels.maximum(decibels.amax(dim=(1, 2), keepdim=True) - RANGE_DB)
        return decibels - decibels.mean(dim=1, keepdim=True)

    @torch.inference_mode()
    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> npt.NDArray[np.float32]:
        """Return the speaker vector of a recording, float32 [V], from its first 30 s.

        samples: [S], -1 to 1, of one speaker. sample_rate: Hz. The vector is not normalised; its readers do that.
        Raises ValueError if samples are too few, silent, not finite or not mono.
        """
        c = self.config
        wave = audio.resample(samples, sample_rate, c.sample_rate)[: MAX_SECONDS * c.sample_rate]
        if not np.isfinite(audio.rms_db(wave)):
            raise ValueError(f"a speaker vector needs sound; these {len(wave)} samples are silent")
        if len(wave) < (c.depth + 1) * c.hop:  # the widest convolution reflects depth + 1 frames at each end
            needed = (c.depth + 1) * c.hop / c.sample_rate
            raise ValueError(f"a speaker vector needs {needed} s of sound; these are {len(wave) / c.sample_rate:.3f} s")
        return self(self.mel(torch.from_numpy(wave)[None].to(self.window.device)))[0].float().cpu().numpy()


def mel_bank(config: EcapaConfig) -> Tensor:
    """Return triangular filters [F, M] of height 1, evenly spaced in mels (O'Shaughnessy's formula).

    Unlike in `audio.mel_filterbank`, each filter falls as steeply as it rises, as in the training of the weights.
    """
    top = config.sample_rate / 2  # Hz
    mels = torch.linspace(0, 2595 * math.log10(1 + top / 700), config.n_mels + 2)
    hertz = 700 * (10 ** (mels / 2595) - 1)
    centre, width = hertz[1:-1], hertz[1:-1] - hertz[:-2]
    bins = torch.linspace(0, top, config.n_fft // 2 + 1)
    return (1 - ((bins[:, None] - centre) / width).abs()).clamp(min=0)
