"""Whisperspeech in step with the text, in MLX."""

from __future__ import annotations

import mlx.core as mx

from vivavoce.checkpoints import weights_mlx
from vivavoce.checkpoints.frames import load_frames
from vivavoce.checkpoints.resolve import ModelFiles
from vivavoce.checkpoints.weights_mlx import placement
from vivavoce.models.masked_t2s_mlx import MaskedT2S
from vivavoce.systems.codes import FramesSystem
from vivavoce.systems.interface import LoadOptions
from vivavoce.systems.nanospeech_mlx import NanospeechSystem, assemble


class WhisperspeechFrames(FramesSystem, NanospeechSystem):
    """Text and voice → semantic codes → waveform, in MLX."""


def load(files: ModelFiles, options: LoadOptions) -> WhisperspeechFrames:
    """Load a system's folder. Raises ValueError for files that do not fit."""
    where = placement(options.device, options.dtype)
    found = load_frames(files.folder, weights_mlx.BACKEND, MaskedT2S)
    system = assemble(WhisperspeechFrames, found.acoustic, files, options, where)
    # float32, whatever the precision: codes are choices between near values, and it takes a small part of the time
    system.add_t2s(found.t2s, found.t2s_sampling)
    mx.eval(found.t2s.state)  # lazy weights belong to the thread that loads them
    return system
