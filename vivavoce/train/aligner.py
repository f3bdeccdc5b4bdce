"""`vivavoce train aligner`: which frames of a recording each character has, learned from recordings and texts alone.

A small network guesses from the text and the voice the mean mel frame of each character; in each word (or stretch of
text whose place in the recording is known) the frames go to its characters in order, each to the one whose guess is
nearest, which is monotonic alignment search (Glow-TTS, arXiv:2005.11129); and the guesses learn from the frames that
they got. It begins with equal shares. A silent letter ends with hardly a frame, a long vowel with most of its word.

What learns from it, nanospeech and its duration model, is spared finding out by itself where in a word a sound is: the
longer a word, the less an equal share says of it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.checkpoints import ASSETS, read_config
from vivavoce.checkpoints_torch import fill, read_weights
from vivavoce.config import Config, MelConfig, TrainConfig
from vivavoce.engines.nanospeech_torch import TextEncoder, character_index


@dataclass(frozen=True)
class AlignerConfig(Config):
    """ConvNeXt over the characters → a mel frame for each."""

    mel: MelConfig = field(default_factory=MelConfig)
    vocab_size: int = 256
    dim: int = 192
    depth: int = 4
    speaker_dim: int = 256  # 0: no speaker vector
    mel_mean: float = -1.25  # distances are between (mel - mel_mean) * mel_scale
    mel_scale: float = 0.225

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "depth", "mel_scale"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.dim % 2 == 0, "dim", "even, for the position embedding comes in pairs")
        self.require(self.speaker_dim >= 0, "speaker_dim", "0 or more")


def shares(distances: np.ndarray) -> np.ndarray:
    """How many frames each character gets [T], at least one, where `distances` [T, N] to it are least in all.

    Characters and frames are both in order. Fewer frames than characters: equal shares, which are fractions.
    """
    characters, frames = distances.shape
    if frames <= characters:
        return np.full(characters, frames / characters)
    best = np.full(characters, np.inf)  # of the ways to this frame that end in each character
    best[0] = distances[0, 0]
    stepped = np.zeros((frames, characters), bool)  # whether such a way came from the character before
    for frame in range(1, frames):
        before = np.concatenate(([np.inf], best[:-1]))
        stepped[frame] = before < best
        best = np.minimum(before, best) + distances[:, frame]
    counts = np.zeros(characters)
    character = characters - 1
    for frame in range(frames - 1, -1, -1):
        counts[character] += 1
        character -= int(stepped[frame, character])
    return counts


def equal_shares(spans: Tensor, frames: Tensor) -> Tensor:
    """Frames of each character [T]: those of a span, by its number in `spans` [T], share its `frames` [S] equally."""
    return (frames / spans.bincount(minlength=len(frames)).clamp(min=1))[spans]


class Aligner(nn.Module):
    """Guesses of each character's mel frame, and the alignment that they make."""

    def __init__(self, config: AlignerConfig):
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(config.vocab_size, config.dim, config.depth, "pad")
        self.speaker_embed = nn.Linear(config.speaker_dim, config.dim) if config.speaker_dim else None
        self.norm = nn.LayerNorm(config.dim)
        self.expand = nn.Linear(config.dim, 2 * config.dim)
        self.out = nn.Linear(2 * config.dim, config.mel.n_mels)

    def guess(self, text: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Ids [B, T], padded with -1, and speaker vectors [B, V] → scaled mel frames [B, T, M]."""
        x = self.text_encoder.characters(text)
        if self.speaker_embed is not None and speaker is not None:
            x = x + self.speaker_embed(speaker.to(x.dtype))[:, None]
        return self.out(F.silu(self.expand(self.norm(x))))

    @torch.inference_mode()
    def place(self, text: Tensor, mel: Tensor, spans: Tensor, frames: Tensor, speaker: Tensor) -> Tensor:
        """Frames of each character [T] of one item; arguments as of `durations`, with ids `text` [T]."""
        guess = self.guess(text.long()[None], speaker[None] if self.speaker_embed is not None else None)[0]
        return self.durations(guess, mel, spans.long(), frames)

    def durations(self, guess: Tensor, mel: Tensor, spans: Tensor, frames: Tensor) -> Tensor:
        """Frames of each character [T] of one item: its `guess` [T, M] and log-mel [N, M].

        `spans` [T] says which span each character belongs to, `frames` [S] how long that span is; none is left without
        its share, and all sum to N.
        """
        heard = self._scaled(mel.float()).cpu().numpy()
        wanted, number = guess.detach().float().cpu().numpy(), spans.cpu().numpy()
        ends = frames.double().cpu().numpy().cumsum()
        ends = np.round(ends * (len(heard) / max(ends[-1], 1e-6))).astype(int)
        counts = np.zeros(len(number), np.float32)
        start = 0
        for span, end in enumerate(ends):
            own = np.flatnonzero(number == span)
            if len(own):
                apart = wanted[own][:, None] - heard[None, start:end]
                counts[own] = shares(np.square(apart).sum(-1))
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
        evenly: bool = False,
    ) -> Tensor:
        """Mean squared distance of the frames to the guesses that they were given to, or with `evenly` to equal shares.

        `mel` log-mel [B, N, M], `text` ids [B, T], frames `lengths` [B], `spans` [B, T], `frames` [B, S] (-1: no span).
        """
        guess = self.guess(text, speaker)
        rows, found = [], []
        for item in range(len(text)):
            inside, known = text[item] >= 0, frames[item] >= 0
            own, heard, parts = guess[item][inside], mel[item, : lengths[item]], spans[item][inside]
            if evenly:
                counts = equal_shares(parts, frames[item][known])
            else:
                counts = self.durations(own, heard, parts, frames[item][known]).to(own.device)
            index, _ = character_index(counts[None], lengths[item : item + 1], len(heard))
            rows.append(own[index[0]])
            found.append(self._scaled(heard.float()))
        return F.mse_loss(torch.cat(rows).float(), torch.cat(found))

    def fingerprint(self) -> str:
        """Changes with the weights."""
        return f"{zlib.crc32(b''.join(p.detach().cpu().numpy().tobytes() for p in self.parameters())):08x}"

    def _scaled(self, mel: Tensor) -> Tensor:
        return (mel - self.config.mel_mean) * self.config.mel_scale


@dataclass(frozen=True)
class AlignerRecipe(Config):
    """How `vivavoce train aligner` trains."""

    model: AlignerConfig = field(default_factory=AlignerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    characters: str = ""
    even_steps: int = 100  # at the beginning, with equal shares

    def __post_init__(self) -> None:
        self.require(self.even_steps >= 0, "even_steps", "0 or more")


def load_aligner(name: str, characters: str, mel: MelConfig, speaker_dim: int) -> Aligner:
    """An exported aligner, "bundled" or a folder, for these characters, mels and speaker vectors.

    Raises ValueError where there is none, or it was trained on others.
    """
    folder = ASSETS / "aligner" if name == "bundled" else Path(name)
    values = read_config(folder, "aligner", ("model", "characters"))
    where = str(folder / "config.json")
    config = AlignerConfig.from_dict(values.get("model", {}), where)
    if list(values.get("characters", "")) != list(characters):
        raise ValueError(
            f"{where}: its characters differ from the recipe's, {characters!r}; "
            "`vivavoce train aligner --from bundled` teaches it others"
        )
    if config.mel != mel:
        raise ValueError(f"{where}: its mels differ from the recipe's, {json.dumps(mel.to_dict())}")
    if config.speaker_dim not in (0, speaker_dim):
        raise ValueError(f"{where}: its speaker_dim is {config.speaker_dim}, the recipe's is {speaker_dim}")
    path = folder / "model.safetensors"
    return fill(Aligner(config), read_weights(path), path)
