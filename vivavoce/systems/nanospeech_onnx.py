"""The nanospeech system in ONNX Runtime: speaking needs neither torch nor MLX."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce.checkpoints import weights_onnx
from vivavoce.checkpoints.resolve import FORMAT, ModelFiles, setting_of
from vivavoce.checkpoints.weights import NanospeechParts
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig, SamplingConfig
from vivavoce.models.nanospeech_onnx import (
    Graph,
    NumpyLogMel,
    NumpySpeakerEncoder,
    OnnxDurations,
    OnnxNanospeech,
    OnnxVocoder,
)
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.systems.codes import SpeaksCodes
from vivavoce.systems.interface import LoadOptions

ABOUT = "onnx.json"  # in a folder of graphs that hold their weights
SETTINGS = ("format", "model", "duration", "vocoder", "characters", "sampling", "int8")


class NanospeechSystem(SpeaksCodes):
    """Text and voice → waveform, in ONNX Runtime and numpy."""

    def __init__(self, parts: NanospeechParts, vocoder: OnnxVocoder) -> None:
        super().__init__(parts.model, parts.duration, vocoder, parts.characters, parts.sampling)
        self.log_mel = NumpyLogMel(parts.model.config.mel)
        self.vocoder_mel = NumpyLogMel(vocoder.config.mel)
        self.tokens = parts.tokens

    def _running(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def _tensor(self, array: np.ndarray) -> np.ndarray:
        return array

    def _cast(self, tensor: np.ndarray) -> np.ndarray:
        return tensor.astype(np.float32, copy=False)

    def _float(self, tensor: np.ndarray) -> np.ndarray:
        return tensor.astype(np.float32, copy=False)

    def _numpy(self, tensor: np.ndarray) -> np.ndarray:
        return tensor.astype(np.float32, copy=False)

    def _padded(self, items: Sequence[np.ndarray], filler: float = 0) -> np.ndarray:
        size = max(len(item) for item in items)
        padded = np.full((len(items), size, *items[0].shape[1:]), filler, items[0].dtype)
        for row, item in zip(padded, items, strict=True):
            row[: len(item)] = item
        return padded

    def _load_speaker_encoder(self) -> NumpySpeakerEncoder:
        return weights_onnx.load_speaker_encoder()


def _exported(folder: Path) -> NanospeechSystem:
    """Open a folder of graphs with their weights. Raises ValueError for files that are missing or do not fit."""
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({error})") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{path}: not in format {FORMAT}, which this version of vivavoce reads")
    if missing := [name for name in SETTINGS if name not in about]:
        raise ValueError(f"{path}: {missing[0]} is missing; export the model again")

    def graph(name: str) -> Graph:
        return Graph(folder / f"{name}.onnx", quantised=about["int8"])

    where = str(path)
    model = OnnxNanospeech(NanospeechConfig.from_dict(about["model"], where), graph("text"), graph("flow"))
    duration = OnnxDurations(DurationConfig.from_dict(about["duration"], where), graph("durations"))
    sampling = SamplingConfig.from_dict(about["sampling"], where)
    vocoder = OnnxVocoder(VocoderConfig.from_dict(about["vocoder"], where), graph("vocoder"))
    return NanospeechSystem(NanospeechParts(model, duration, "", list(about["characters"]), sampling), vocoder)


def check_options(options: LoadOptions, folder: Path) -> bool:
    """Return whether a model in `folder` computes with 8-bit weights. Raises ValueError for what ONNX Runtime lacks.

    With dtype "auto", the model's config.json decides: "onnx_dtype" is "int8" if its speech was judged to be as good.
    """
    if options.device not in ("auto", "cpu"):
        raise ValueError(f"device is {options.device!r}; the backend onnx runs on the cpu")
    if options.dtype not in ("auto", "float32", "int8"):
        raise ValueError(f"dtype is {options.dtype!r}; the backend onnx computes in float32 or int8")
    if options.compile:
        raise ValueError("compile is True; only the backends torch and mlx compile")
    if options.dtype != "auto":
        return options.dtype == "int8"
    dtype = setting_of(folder, "onnx_dtype")
    if dtype not in ("", "float32", "int8"):
        raise ValueError(f"{folder / 'config.json'}: onnx_dtype is {dtype!r}; it must be float32 or int8")
    return dtype == "int8"


def load(files: ModelFiles, options: LoadOptions) -> NanospeechSystem:
    """Load a model folder with its own weights, or a folder of exported graphs.

    Raises NeedsTorch, which is a ValueError, if only PyTorch can run the model, and ValueError for options that ONNX
    Runtime does not have.
    """
    int8 = check_options(options, files.folder)
    if not (files.folder / ABOUT).exists():
        parts = weights_onnx.load_nanospeech(files.folder, int8)
        vocoder = weights_onnx.load_vocoder(options.vocoder or parts.vocoder, files.folder, int8)
        system = NanospeechSystem(parts, vocoder)
        system.reload = functools.partial(weights_onnx.load_nanospeech, files.folder, int8)
        return system
    if options.vocoder is not None:
        raise ValueError(f"vocoder is {options.vocoder!r}; in {files.folder.name} it is part of the exported graphs")
    if int8:
        raise ValueError(f"dtype is 'int8'; export {files.folder.name} again with --int8")
    return _exported(files.folder)
