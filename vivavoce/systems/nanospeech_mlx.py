"""The nanospeech system in MLX."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np

from vivavoce.checkpoints import weights_mlx
from vivavoce.checkpoints.resolve import ModelFiles
from vivavoce.checkpoints.weights import NanospeechParts
from vivavoce.checkpoints.weights_mlx import Placement, placement
from vivavoce.models.mel_mlx import LogMel
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.models.nanospeech_mlx import CharacterDurations, DurationTransformer, Nanospeech
from vivavoce.models.speaker_mlx import SpeakerEncoder, load_speaker_encoder
from vivavoce.models.vocoder_mlx import Vocoder
from vivavoce.systems.codes import SpeaksCodes
from vivavoce.systems.interface import LoadOptions


def pad_sequence(items: Sequence[np.ndarray | mx.array], filler: float = 0) -> mx.array:
    """Pad items [T, ...] of unequal length at their ends and stack them: [B, max T, ...]."""
    size = max(map(len, items))
    rest = [(0, 0)] * (items[0].ndim - 1)
    return mx.stack([mx.pad(mx.array(i), [(0, size - len(i)), *rest], constant_values=filler) for i in items])


S = TypeVar("S", bound="NanospeechSystem")


class NanospeechSystem(SpeaksCodes):
    """Text and voice → waveform, in MLX."""

    def __init__(
        self,
        model: Nanospeech,
        duration: CharacterDurations | DurationTransformer | None,
        vocoder: Vocoder,
        characters: Iterable[str],
        sampling: SamplingConfig,
        where: Placement,
        compile: bool = False,
        bits: int | None = None,
    ) -> None:
        super().__init__(model, duration, vocoder, characters, sampling)
        self.where, self.compile, self.bits = where, compile, bits
        self.log_mel = LogMel(model.config.mel)
        self.vocoder_mel = LogMel(vocoder.config.mel)
        # Lazy weights belong to the thread that loads them; computed, they serve all threads.
        mx.eval([part.state for part in (vocoder, self.log_mel, self.vocoder_mel)])
        self._place_networks()

    def _place_networks(self) -> None:
        if self.bits is not None:
            weights_mlx.quantise(self.model, self.bits)
        # The others stay in float32. Durations are a sum, and small; the vocoder's phases lose precision in half.
        self.model.set_dtype(self.where.dtype)
        mx.eval([part.state for part in (self.model, self.duration) if part is not None])
        if self.compile:
            self.model.transformer = mx.compile(self.model.transformer)

    def _running(self) -> AbstractContextManager[Any]:
        return mx.stream(self.where.device)  # arrays of MLX have no device, operations do

    def _tensor(self, array: np.ndarray) -> mx.array:
        return mx.array(array.astype(np.int32) if array.dtype == np.int64 else array)

    def _cast(self, tensor: mx.array) -> mx.array:
        return tensor.astype(self.where.dtype)

    def _float(self, tensor: mx.array) -> mx.array:
        return tensor.astype(mx.float32)

    def _numpy(self, tensor: mx.array) -> np.ndarray:
        return np.array(tensor.astype(mx.float32))

    def _padded(self, items: Sequence[mx.array], filler: float = 0) -> mx.array:
        return pad_sequence(items, filler)

    def _load_speaker_encoder(self) -> SpeakerEncoder:
        return load_speaker_encoder()


def load(files: ModelFiles, options: LoadOptions) -> NanospeechSystem:
    """Load a nanospeech model folder, our own or a published one. Raises ValueError for files that do not fit."""
    where = placement(options.device, options.dtype)
    system = assemble(NanospeechSystem, weights_mlx.load_nanospeech(files.folder), files, options, where)
    system.reload = functools.partial(weights_mlx.load_nanospeech, files.folder)
    return system


def assemble(kind: type[S], parts: NanospeechParts, files: ModelFiles, options: LoadOptions, where: Placement) -> S:
    """Return a system of a `kind` from its parts, with its vocoder. Raises ValueError for files that do not fit."""
    vocoder = weights_mlx.load_vocoder(options.vocoder or parts.vocoder, files.folder)
    system = kind(
        parts.model, parts.duration, vocoder, parts.characters, parts.sampling, where, options.compile, options.bits
    )
    system.tokens = parts.tokens
    return system
