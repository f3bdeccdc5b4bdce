"""The aligner's settings, and what needs no tensors: the monotonic alignment of characters and frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vivavoce.config import Config, MelConfig

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AlignerConfig(Config):
    """A ConvNeXt that predicts a mel frame for each character."""

    mel: MelConfig = field(default_factory=MelConfig)
    vocab_size: int = 256
    dim: int = 192
    depth: int = 4
    speaker_dim: int = 256  # 0: no speaker vector
    mel_mean: float = -1.25  # distances are between (mel - mel_mean) * mel_scale
    mel_scale: float = 0.225
    languages: tuple[str, ...] = ()  # as in NanospeechConfig

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "depth", "mel_scale"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.dim % 2 == 0, "dim", "even, because the position embedding consists of pairs")
        self.require(self.speaker_dim >= 0, "speaker_dim", "0 or more")


def shares(distances: np.ndarray) -> np.ndarray:
    """Return the number of frames of each character [T], at least one, that minimise the sum of `distances` [T, N].

    Characters and frames keep their order. With fewer frames than characters, each gets an equal, fractional share.
    """
    characters, frames = distances.shape
    if frames <= characters:
        return np.full(characters, frames / characters)
    best = np.full(characters, np.inf)  # minimal cost of the paths to this frame, by their last character
    best[0] = distances[0, 0]
    stepped = np.zeros((frames, characters), bool)  # whether such a path came from the previous character
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


def distances(predicted: Floats, observed: Floats) -> Floats:
    """Return the squared distance of each predicted frame [T, M] to each observed one [N, M]: [T, N]."""
    lengths = np.square(predicted).sum(1)[:, None] + np.square(observed).sum(1)
    return np.maximum(lengths - 2 * predicted @ observed.T, 0)
