"""Whisperspeech in step with the text, in ONNX Runtime."""

from __future__ import annotations

from vivavoce.checkpoints import weights_onnx
from vivavoce.checkpoints.frames import load_frames
from vivavoce.checkpoints.resolve import ModelFiles
from vivavoce.systems.codes import FramesSystem
from vivavoce.systems.interface import LoadOptions
from vivavoce.systems.nanospeech_onnx import NanospeechSystem, check_options


class WhisperspeechFrames(FramesSystem, NanospeechSystem):
    """Text and voice → semantic codes → waveform, in ONNX Runtime and numpy."""


def load(files: ModelFiles, options: LoadOptions) -> WhisperspeechFrames:
    """Load a system's folder. Raises ValueError and NeedsTorch as `nanospeech_onnx.load`."""
    int8 = check_options(options, files.folder)
    found = load_frames(files.folder, weights_onnx.backend(int8), weights_onnx.t2s)
    vocoder = weights_onnx.load_vocoder(options.vocoder or found.acoustic.vocoder, files.folder, int8)
    system = WhisperspeechFrames(found.acoustic, vocoder)
    system.add_t2s(found.t2s, found.t2s_sampling)
    return system
