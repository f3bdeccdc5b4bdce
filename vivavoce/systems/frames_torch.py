"""Whisperspeech in step with the text, in PyTorch."""

from __future__ import annotations

from vivavoce.checkpoints import weights_torch
from vivavoce.checkpoints.frames import load_frames
from vivavoce.checkpoints.resolve import ModelFiles
from vivavoce.checkpoints.weights_torch import placement
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.systems.codes import FramesSystem
from vivavoce.systems.interface import LoadOptions
from vivavoce.systems.nanospeech_torch import NanospeechSystem, assemble


class WhisperspeechFrames(FramesSystem, NanospeechSystem):
    """Text and voice → semantic codes → waveform, in PyTorch."""


def load(files: ModelFiles, options: LoadOptions) -> WhisperspeechFrames:
    """Load a system's folder. Raises ValueError for files that do not fit."""
    where = placement(options.device, options.dtype)
    found = load_frames(files.folder, weights_torch.BACKEND, MaskedT2S)
    system = assemble(WhisperspeechFrames, found.acoustic, files, options, where)
    # float32, whatever the precision: codes are choices between near values, and it takes a small part of the time
    system.add_t2s(found.t2s.to(where.device), found.t2s_sampling)
    return system
