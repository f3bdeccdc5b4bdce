"""The nanospeech system in PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vivavoce.checkpoints import weights_torch
from vivavoce.checkpoints.resolve import ModelFiles
from vivavoce.checkpoints.weights import NanospeechParts
from vivavoce.checkpoints.weights_torch import Placement, placement
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.models.nanospeech_torch import CharacterDurations, DurationTransformer, Nanospeech
from vivavoce.models.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.systems.codes import SpeaksCodes
from vivavoce.systems.interface import LoadOptions

S = TypeVar("S", bound="NanospeechSystem")


class NanospeechSystem(SpeaksCodes):
    """Text and voice → waveform, in PyTorch."""

    def __init__(
        self,
        model: Nanospeech,
        duration: CharacterDurations | DurationTransformer | None,
        vocoder: Vocoder,
        characters: Iterable[str],
        sampling: SamplingConfig,
        where: Placement,
        compile: bool = False,
    ) -> None:
        super().__init__(model, duration, vocoder, characters, sampling)
        self.where, self.compile = where, compile
        vocoder.to(where.device)
        self._place_networks()
        self.log_mel = LogMel(model.config.mel).to(where.device)
        self.vocoder_mel = LogMel(vocoder.config.mel).to(where.device)

    def _place_networks(self) -> None:
        self.model.to(self.where.device, self.where.dtype)
        # The others stay in float32. Durations are a sum, and small; the vocoder's phases lose precision in half.
        if self.duration is not None:
            self.duration.to(self.where.device)
        if self.compile:
            self.model.transformer.forward = torch.compile(self.model.transformer.forward, dynamic=True)

    def _running(self) -> AbstractContextManager[Any]:
        return torch.inference_mode()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.where.device)

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.where.dtype)

    def _float(self, tensor: Tensor) -> Tensor:
        return tensor.float()

    def _numpy(self, tensor: Tensor) -> np.ndarray:
        return tensor.float().cpu().numpy()

    def _padded(self, items: Sequence[Tensor], filler: float = 0) -> Tensor:
        return pad_sequence(list(items), True, filler)

    def _load_speaker_encoder(self) -> SpeakerEncoder:
        return load_speaker_encoder(device=str(self.where.device))


def load(files: ModelFiles, options: LoadOptions) -> NanospeechSystem:
    """Load a nanospeech model folder, our own or a published one. Raises ValueError for files that do not fit."""
    where = placement(options.device, options.dtype)
    system = assemble(NanospeechSystem, weights_torch.load_nanospeech(files.folder), files, options, where)
    system.reload = functools.partial(weights_torch.load_nanospeech, files.folder)
    return system


def assemble(kind: type[S], parts: NanospeechParts, files: ModelFiles, options: LoadOptions, where: Placement) -> S:
    """Return a system of a `kind` from its parts, with its vocoder. Raises ValueError for files that do not fit."""
    vocoder = weights_torch.load_vocoder(options.vocoder or parts.vocoder, files.folder)
    system = kind(
        parts.model, parts.duration, vocoder, parts.characters, parts.sampling, where, compile=options.compile
    )
    system.tokens = parts.tokens
    return system
