"""The aligner, which finds the frames of each character of a text in a recording of it, in PyTorch.

A small network predicts the mean mel frame of each character from the text and the voice. The frames of a span of
characters are assigned to them in order, so that the distance to their predictions is minimal (monotonic alignment
search, Glow-TTS, arXiv:2005.11129), and each prediction is trained on its assigned frames.

Shapes: B batch, T characters, N mel frames, M mel bins, S spans, V speaker vector.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.models.aligner import AlignerConfig, distances, shares
from vivavoce.models.nanospeech_torch import TextEncoder, character_index


def equal_shares(spans: Tensor, frames: Tensor) -> Tensor:
    """Return the frames of each character [T]: the characters of a span [T] share its `frames` [S] equally."""
    return (frames / spans.bincount(minlength=len(frames)).clamp(min=1))[spans]


class Aligner(nn.Module):
    """A prediction of each character's mel frame, and the alignment that follows from it."""

    def __init__(self, config: AlignerConfig):
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(
            config.vocab_size, config.dim, config.depth, "pad", languages=len(config.languages)
        )
        self.speaker_embed = nn.Linear(config.speaker_dim, config.dim) if config.speaker_dim else None
        self.norm = nn.LayerNorm(config.dim)
        self.expand = nn.Linear(config.dim, 2 * config.dim)
        self.out = nn.Linear(2 * config.dim, config.mel.n_mels)

    def predict(self, text: Tensor, speaker: Tensor | None = None, languages: Tensor | None = None) -> Tensor:
        """Predict scaled mel frames [B, T, M] from ids [B, T], speaker vectors [B, V] and languages [B, T]."""
        x = self.text_encoder.characters(text, languages)
        if self.speaker_embed is not None and speaker is not None:
            x = x + self.speaker_embed(speaker.to(x.dtype))[:, None]
        return self.out(F.silu(self.expand(self.norm(x))))

    @torch.inference_mode()
    def place(
        self,
        text: Tensor,
        mel: Tensor,
        spans: Tensor,
        frames: Tensor,
        speaker: Tensor,
        languages: Tensor | None = None,
    ) -> Tensor:
        """Return the frames of each character [T] of one item; arguments as for `durations`, ids and languages [T]."""
        predicted = self.predict(
            text.long()[None],
            speaker[None] if self.speaker_embed is not None else None,
            None if languages is None else languages.long()[None],
        )[0]
        return self.durations(predicted, mel, spans.long(), frames)

    def durations(self, predicted: Tensor, mel: Tensor, spans: Tensor, frames: Tensor) -> Tensor:
        """Return the frames of each character [T] of one item, which sum to N.

        predicted: mel frames [T, M] from `predict`. mel: log-mel frames [N, M]. spans: the span of each character [T].
        frames: the length of each span [S].
        """
        observed = self._scaled(mel.float()).cpu().numpy()
        wanted, number = predicted.detach().float().cpu().numpy(), spans.cpu().numpy()
        ends = frames.double().cpu().numpy().cumsum()
        ends = np.round(ends * (len(observed) / max(ends[-1], 1e-6))).astype(int)
        counts = np.zeros(len(number), np.float32)
        start = 0
        for span, end in enumerate(ends):
            own = np.flatnonzero(number == span)
            if len(own):
                counts[own] = shares(distances(wanted[own], observed[start:end]))
            start = end
        return torch.from_numpy(counts)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.loss(*args, **kwargs)

    def loss(
        self,
        mel: Tensor,
        text: Tensor,
        lengths: Tensor,
        spans: Tensor,
        frames: Tensor,
        *,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        evenly: bool = False,
    ) -> Tensor:
        """Return the mean squared distance of the frames to the predictions of their characters.

        mel: log-mel frames [B, N, M]. text: ids [B, T]. lengths: frames of each item [B]. spans: the span of each
        character [B, T]. frames: the length of each span [B, S], or -1 for padding. evenly: assign equal shares.
        """
        predicted = self.predict(text, speaker, languages)
        rows, found = [], []
        for item in range(len(text)):
            inside, known = text[item] >= 0, frames[item] >= 0
            own, observed, parts = predicted[item][inside], mel[item, : lengths[item]], spans[item][inside]
            if evenly:
                counts = equal_shares(parts, frames[item][known])
            else:
                counts = self.durations(own, observed, parts, frames[item][known]).to(own.device)
            index, _ = character_index(counts[None], lengths[item : item + 1], len(observed))
            rows.append(own[index[0]])
            found.append(self._scaled(observed.float()))
        return F.mse_loss(torch.cat(rows).float(), torch.cat(found))

    def fingerprint(self) -> str:
        """Return a checksum of the weights."""
        return f"{zlib.crc32(b''.join(p.detach().cpu().numpy().tobytes() for p in self.parameters())):08x}"

    def _scaled(self, mel: Tensor) -> Tensor:
        return (mel - self.config.mel_mean) * self.config.mel_scale
