"""Alignment of texts and recordings: words by their times, and characters within words by an aligner.

`align` turns word times into spans of characters of known length. An `Aligner` then finds the frames of each character
in its span. It is a small network that predicts the mean mel frame of each character from the text and the voice. The
frames of a span are assigned to its characters in order, so that the distance to their predictions is minimal
(monotonic alignment search, Glow-TTS, arXiv:2005.11129), and each prediction is trained on its assigned frames.
"""

from __future__ import annotations

import difflib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.checkpoints.resolve import read_config
from vivavoce.checkpoints.weights_torch import load_model
from vivavoce.config import ASSETS, Config, MelConfig
from vivavoce.models.nanospeech_torch import TextEncoder, character_index

# ---- words ----------------------------------------------------------------------------------------------------------


def align(
    words: Sequence[str], times: Sequence[tuple[str, float, float]], total: float
) -> tuple[list[int], list[float]]:
    """Return the span number of each character, and the seconds of each span.

    words: the words of the text. The aligned text is " " + " ".join(words) + " ", so the silences at both ends have a
    character too. times: (word, start, end) in seconds, for some or all of the words, in order. total: seconds of the
    recording. Spans are words and the pauses between them if both are known, longer stretches if words are missing,
    and one span of `total` seconds without times.
    """
    spans: list[int] = []
    seconds: list[float] = []
    pending, clock = 1, 0.0  # characters before the next known time, at first the leading space

    def close(characters: int, until: float) -> None:
        nonlocal clock
        spans.extend([len(seconds)] * characters)
        seconds.append(max(0.0, until - clock))
        clock = max(clock, until)

    places = _matching(words, [time[0] for time in times])
    for number, word in enumerate(words):
        if number in places:
            _, start, end = times[places[number]]
            close(pending, min(start, total))
            close(len(word), min(end, total))
            pending = 1
        else:
            pending += len(word) + 1
    close(pending, total)
    return spans, seconds


def _matching(words: Sequence[str], timed: Sequence[str]) -> dict[int, int]:
    """Match the words with the timed words, in order: {index in words: index in timed}."""
    places: dict[int, int] = {}
    for number, word in enumerate(words):
        if len(places) < len(timed) and timed[len(places)] == word:
            places[number] = len(places)
    if len(places) == len(timed):
        return places
    # a timed word is missing in the text; the words around it still match
    blocks = difflib.SequenceMatcher(None, words, timed, autojunk=False).get_matching_blocks()
    return {block.a + i: block.b + i for block in blocks for i in range(block.size)}


# ---- characters -----------------------------------------------------------------------------------------------------


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
                apart = wanted[own][:, None] - observed[None, start:end]
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


def load_aligner(
    name: str, characters: str, mel: MelConfig, speaker_dim: int, languages: Sequence[str] = ()
) -> Aligner:
    """Load an exported aligner, "bundled" or a folder, for these characters, mels, speaker vectors and languages.

    Raises ValueError if there is none, or it was trained on others.
    """
    folder = ASSETS / "aligner" if name == "bundled" else Path(name)
    values = read_config(folder, "aligner", ("model", "characters"))
    where = str(folder / "config.json")
    config = AlignerConfig.from_dict(values.get("model", {}), where)
    if list(values.get("characters", "")) != list(characters):
        raise ValueError(
            f"{where}: its characters differ from the recipe's, {characters!r}; "
            "train one with `vivavoce train aligner --from bundled`"
        )
    if config.mel != mel:
        raise ValueError(f"{where}: its mels differ from the recipe's, {json.dumps(mel.to_dict())}")
    if config.speaker_dim not in (0, speaker_dim):
        raise ValueError(f"{where}: its speaker_dim is {config.speaker_dim}, the recipe's is {speaker_dim}")
    if tuple(config.languages) not in ((), tuple(languages)):
        raise ValueError(f"{where}: its languages are {config.languages}, the recipe's are {tuple(languages)}")
    return load_model(Aligner, config, folder / "model.safetensors")
