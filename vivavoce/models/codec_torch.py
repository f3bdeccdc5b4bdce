"""Acoustic tokens in PyTorch: waveform → stacked codebooks → waveform.

Two codecs share one interface. `MelCodec`, the bundled one, stacks neighbouring log-mel frames, reduces them to their
principal components and quantises these with residual codebooks; fitting takes minutes, and a mel vocoder decodes.
`EncodecCodec` is EnCodec (arXiv:2210.13438) at 24 kHz; the package transformers provides its network and weights.

Shapes: B batch, S samples, N mel frames, M mel bins, T acoustic frames, Q codebooks, C codes, P principal components.
Knows nothing about files; the caller supplies the vocoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vivavoce.models.codec import CodecConfig
from vivavoce.models.mel_torch import LogMel

CHUNK = 8192  # points whose distances to all codes are computed at once


class Codec(Protocol):
    """Interface of the codecs."""

    sample_rate: int  # Hz
    frame_rate: float  # acoustic frames per second
    quantizers: int

    def encode(self, wave: Tensor) -> Tensor:
        """Encode a waveform [B, S], -1 to 1, as codes [B, Q, T]."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, T] to a waveform [B, S]; its length differs from the encoded one by less than a frame."""
        ...


# ---- the bundled codec ----------------------------------------------------------------------------------------------


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """Return the index [...] of the codebook row [C, P] nearest to each point [..., P], by Euclidean distance."""
    half = codebook.square().sum(-1) / 2
    flat = points.reshape(-1, points.shape[-1])
    found = [(part @ codebook.T - half).argmax(-1) for part in flat.split(CHUNK)]
    return torch.cat(found).view(points.shape[:-1])


class MelQuantizer(nn.Module):
    """Quantise log-mel frames [B, N, M] as codes [B, Q, T], T = ceil(N / stack). It has no gradients; see `fit`."""

    mean: Tensor
    components: Tensor
    codebooks: Tensor

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        width = config.stack * config.mel.n_mels
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("components", torch.zeros(config.components, width))  # orthonormal rows
        self.register_buffer("codebooks", torch.zeros(config.quantizers, config.codes, config.components))

    def stacked(self, mel: Tensor) -> Tensor:
        """Stack log-mels [B, N, M] to [B, T, stack * M] minus the mean, repeating the last frame as padding."""
        missing = -mel.shape[1] % self.config.stack
        if missing:
            mel = torch.cat((mel, mel[:, -1:].expand(-1, missing, -1)), dim=1)
        return mel.unflatten(1, (-1, self.config.stack)).flatten(2) - self.mean

    def encode(self, mel: Tensor) -> Tensor:
        """Encode log-mels [B, N, M] as codes [B, Q, T]."""
        rest = self.stacked(mel.float()) @ self.components.T
        codes = []
        for codebook in self.codebooks:
            code = nearest(rest, codebook)
            rest = rest - codebook[code]
            codes.append(code)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, T] to log-mels [B, stack * T, M]; fewer codebooks give a coarser sound.

        Raises ValueError for too many codebooks, or a code that is out of range.
        """
        config = self.config
        if codes.ndim != 3 or not 1 <= codes.shape[1] <= config.quantizers:
            raise ValueError(f"codes of shape {tuple(codes.shape)}; they must be [batch, ≤ {config.quantizers}, time]")
        low, high = (int(codes.min()), int(codes.max())) if codes.numel() else (0, 0)
        if low < 0 or high >= config.codes:
            raise ValueError(f"codes from {low} to {high}; they must be 0 to {config.codes - 1}")
        parts = torch.stack([self.codebooks[q][codes[:, q]] for q in range(codes.shape[1])])
        mel = parts.sum(0) @ self.components + self.mean
        return mel.unflatten(-1, (config.stack, -1)).flatten(1, 2)

    def unexplained(self, mel: Tensor) -> Tensor:
        """Return the share of the variance of log-mels [B, N, M] that is lost with 1, 2, … Q codebooks: [Q]."""
        frames = self.stacked(mel.float())
        codes = self.encode(mel)
        lost = []
        for count in range(1, self.config.quantizers + 1):
            again = self.stacked(self.decode(codes[:, :count]))
            lost.append((frames - again).square().sum() / (frames - frames.mean((0, 1))).square().sum())
        return torch.stack(lost)


@torch.no_grad()
def fit(
    config: CodecConfig,
    mels: Sequence[Tensor],
    *,
    rounds: int = 25,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MelQuantizer:
    """Fit a quantizer to log-mels [N, M]: principal components, then k-means for one codebook after another.

    This takes minutes on a CPU: 190 s on two busy cores for 60 000 stacked frames, 8 codebooks of 1024 and 15 rounds.
    `progress` is called with the finished rounds of k-means and their total. Raises ValueError if there are fewer
    stacked frames than codes.
    """
    model = MelQuantizer(config).to(mels[0].device if mels else None)
    frames = torch.cat([model.stacked(mel[None].float())[0] for mel in mels]) if mels else torch.empty(0, 1)
    if len(frames) < config.codes:
        raise ValueError(f"{len(frames)} stacked frames for {config.codes} codes; there must be at least as many")
    model.mean.copy_(frames.mean(0))
    frames = frames - model.mean
    _, directions = torch.linalg.eigh(frames.T @ frames)  # in ascending order of variance
    model.components.copy_(directions.T.flip(0)[: config.components])
    rest = frames @ model.components.T
    for number in range(config.quantizers):

        def report(done: int, number: int = number) -> None:
            if progress is not None:
                progress(number * rounds + done, config.quantizers * rounds)

        centres = k_means(rest, config.codes, rounds, generator, report)
        model.codebooks[number] = centres
        rest = rest - centres[nearest(rest, centres)]
    return model.eval()


def k_means(
    points: Tensor, count: int, rounds: int, generator: torch.Generator | None, progress: Callable[[int], None]
) -> Tensor:
    """Cluster points [K, P] and return centres [count, P] (Lloyd); an empty cluster restarts at a random point."""

    def some(number: int) -> Tensor:
        return points[torch.randperm(len(points), generator=generator)[:number].to(points.device)]

    centres = some(count)
    for done in range(rounds):
        codes = nearest(points, centres)
        members = torch.bincount(codes, minlength=count)
        total = torch.zeros_like(centres).index_add_(0, codes, points)
        centres = torch.where(members[:, None] > 0, total / members.clamp(min=1)[:, None], some(count))
        progress(done + 1)
    return centres


class MelCodec:
    """The bundled codec: a fitted quantizer, and a vocoder from log-mels [B, N, M] to a waveform [B, S]."""

    def __init__(self, quantizer: MelQuantizer, vocoder: Callable[[Tensor], Tensor]):
        self.quantizer, self.vocoder = quantizer, vocoder
        self.mel = LogMel(quantizer.config.mel).to(quantizer.mean.device)
        self.sample_rate = quantizer.config.mel.sample_rate
        self.frame_rate = quantizer.config.frame_rate
        self.quantizers = quantizer.config.quantizers

    @torch.inference_mode()
    def encode(self, wave: Tensor) -> Tensor:
        """Encode a waveform [B, S], -1 to 1, as codes [B, Q, T], T = ceil((S // hop + 1) / stack)."""
        return self.quantizer.encode(self.mel(wave))

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, T] to a waveform [B, S]. Raises ValueError for codes out of range."""
        return self.vocoder(self.quantizer.decode(codes))


# ---- EnCodec --------------------------------------------------------------------------------------------------------

ENCODEC_BANDWIDTHS = {1.5: 2, 3.0: 4, 6.0: 8}  # kbit/s → codebooks of 1024, at 75 frames per second


class EncodecCodec:
    """EnCodec at 24 kHz. model: an EncodecModel of transformers. vocoder: Vocos' EnCodec variant, to decode instead."""

    sample_rate = 24_000
    frame_rate = 75.0

    def __init__(self, model: Any, bandwidth: float = 3.0, vocoder: Callable[[Tensor, float], Tensor] | None = None):
        if bandwidth not in ENCODEC_BANDWIDTHS:
            known = ", ".join(map(str, ENCODEC_BANDWIDTHS))
            raise ValueError(f"bandwidth {bandwidth} kbit/s; it must be one of {known}")
        self.model, self.bandwidth, self.vocoder = model.eval(), bandwidth, vocoder
        self.quantizers = ENCODEC_BANDWIDTHS[bandwidth]

    @torch.inference_mode()
    def encode(self, wave: Tensor) -> Tensor:
        """Encode a waveform [B, S], -1 to 1, as codes [B, Q, T], T = ceil(S / 320)."""
        if wave.ndim != 2 or not wave.shape[1]:
            raise ValueError(f"waveform of shape {tuple(wave.shape)}; it must be [batch, samples]")
        return self.model.encode(wave[:, None], bandwidth=self.bandwidth).audio_codes[0]

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, T] to a waveform [B, S], with the vocoder's `decode_codes` if there is one."""
        if codes.ndim != 3 or codes.shape[1] != self.quantizers:
            raise ValueError(f"codes of shape {tuple(codes.shape)}; they must be [batch, {self.quantizers}, time]")
        if self.vocoder is not None:
            return self.vocoder(codes, self.bandwidth)
        return self.model.decode(codes[None], [None]).audio_values[:, 0]


def load_encodec(
    bandwidth: float = 3.0,
    vocoder: Callable[[Tensor, float], Tensor] | None = None,
    model: str = "facebook/encodec_24khz",
) -> EncodecCodec:
    """Load EnCodec with its published weights, from the hub or a folder. Raises ValueError if they are unavailable."""
    try:
        from transformers import EncodecModel
    except ImportError:
        raise ValueError(
            "EnCodec needs Python 3.11 and the package transformers: pip install 'vivavoce[encodec]'"
        ) from None
    try:
        network = EncodecModel.from_pretrained(model)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"no EnCodec weights at {model!r} ({reason})") from None
    return EncodecCodec(network, bandwidth, vocoder)
