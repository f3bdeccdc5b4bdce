"""Model folders → graphs of ONNX Runtime, filled with the tensors of the folder's own model.safetensors.

The graphs hold no weights (`onnx_torch.export_structure` writes them). They are in a folder `onnx` of the model folder,
of the folder above, or of the bundled models, and fit every model of the same config. Needs neither PyTorch nor MLX.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from vivavoce.checkpoints import weights
from vivavoce.checkpoints.difference import Tensors, WeightDifference, add
from vivavoce.checkpoints.resolve import FORMAT, NeedsTorch
from vivavoce.config import ASSETS, Config
from vivavoce.models.masked_t2s_onnx import OnnxMaskedT2S
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.nanospeech_onnx import (
    Graph,
    NumpySpeakerEncoder,
    OnnxDurations,
    OnnxNanospeech,
    OnnxVocoder,
)
from vivavoce.models.speaker import SpeakerConfig
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.whisperspeech import MaskedT2SConfig

FOLDER = "onnx"  # of the graphs, beside a model's files
BUNDLED = (ASSETS / FOLDER, ASSETS / "whisperspeech" / FOLDER)  # the two engines' networks differ in their inputs
INT8 = ".int8"  # ends the name of a graph with 8-bit weights
NEUTRAL = ("mel", "mel_mean", "mel_scale", "dropout", "characters", "languages", "phones", "vocab_size")
CODES = ("codes", "code_width", "code_rate", "code_layers")  # only the graph `codes` depends on them
STEPS = 64  # quantised weights are -64 to 64, seven bits: see `onnx_torch`


def arranged(tensor: np.ndarray, way: str) -> np.ndarray:
    """Return the values of an initialiser that takes a tensor "plain", "transposed", as "int8" or as their "scale".

    int8 is the transposed matrix with a scale for each column, symmetric, as ONNX Runtime's quantiser makes it. The
    tensor may be of any floating type; the values of "plain" and "transposed" are float32.
    """
    if way == "plain":
        return tensor.astype(np.float32, copy=False)
    if way == "transposed":
        return np.ascontiguousarray(tensor.T).astype(np.float32, copy=False)
    matrix = tensor.T.astype(np.float32, copy=False)
    largest = np.maximum(np.abs(matrix).max(axis=0), np.float32(1e-12))
    scale = largest / np.float32(STEPS)
    if way == "scale":
        return scale
    assert way == "int8", way
    return np.ascontiguousarray(np.clip(np.rint(matrix / scale), -STEPS, STEPS).astype(np.int8))


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a .safetensors file as they are. Raises ValueError, naming the file, if it cannot."""
    try:
        with weights.reading(path):
            return load_file(path)
    except (KeyError, TypeError, AttributeError):  # a type that numpy does not have
        raise NeedsTorch(f"{path}: bfloat16 weights, which need PyTorch: pip install vivavoce[torch]") from None


class _Outline:
    """A network whose graphs are not open yet."""

    def __init__(self, config: Any, make: Callable[..., Any], **graphs: tuple[str, ...]) -> None:
        """graphs: the names of those that `make` takes, by the kinds that describe them, in order."""
        self.config, self.make, self.graphs = config, make, graphs

    def filled(self, path: Path, changes: Tensors | None = None) -> Any:
        """Return the network with the weights of a file, to which a difference may be added.

        Raises NeedsTorch if there are no graphs for its config.
        """
        found = {kind: self._find(path, kind, names) for kind, names in self.graphs.items()}
        tensors = read_weights(path)
        if changes is not None:
            tensors = {**add(tensors, changes, str(path))}
        opened = []
        for kind, (folder, about) in found.items():
            for name in self.graphs[kind]:
                values = _values(about["graphs"][name], tensors, path)
                opened.append(Graph(folder / f"{name}.onnx", values, quantised=name.endswith(INT8)))
        return self.make(self.config, *opened)

    def _find(self, path: Path, kind: str, names: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
        for folder in (path.parent / FOLDER, path.parent.parent / FOLDER, *BUNDLED):
            file = folder / f"{kind}.json"
            if not file.is_file():
                continue
            try:
                about = json.loads(file.read_text(encoding="utf-8"))
                ours, theirs = structure(kind, self.config.to_dict()), structure(kind, about["config"])
                if about["format"] == FORMAT and ours == theirs and all(name in about["graphs"] for name in names):
                    return folder, about
            except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
                raise ValueError(f"{file}: not a description of graphs ({error!r})") from None
        raise NeedsTorch(
            f"{path.parent} has no ONNX graphs of its sizes, and PyTorch is needed to run it or to write them: "
            "pip install vivavoce[onnx-export]; vivavoce export MODEL MODEL/onnx --format onnx --no-weights"
        )


def _values(sources: Mapping[str, Any], tensors: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Return the values of a graph's initialisers. Raises ValueError, naming the file, for tensors that do not fit."""
    values = {}
    for initializer, source in sources.items():
        tensor = tensors.get(source["tensor"])
        if tensor is None:
            raise ValueError(f"{path}: the weights do not fit the config: missing {source['tensor']}")
        value = arranged(tensor, source["as"])
        if value.size != int(np.prod(source["shape"])):
            raise ValueError(f"{path}: the weights do not fit the config: {source['tensor']} is {list(tensor.shape)}")
        values[initializer] = value.reshape(source["shape"])
    return values


def structure(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the graphs of a kind depend on, as JSON has it. Languages and phones only count."""
    if kind == "codes":
        return {name: config.get(name) for name in ("codes", "code_width", "code_layers", "text_dim")}
    channels: dict[str, Any] = {name: len(config.get(name, ())) for name in ("languages", "phones")}
    channels["prosody"] = bool(config.get("prosody"))  # older graphs do not state it
    sizes = {"vocab_size": config.get("vocab_size"), "n_mels": config["mel"]["n_mels"]}
    neutral = (*NEUTRAL, *CODES) if kind == "nanospeech" else NEUTRAL
    kept = {name: value for name, value in config.items() if name not in neutral}
    return dict(json.loads(json.dumps(kept | channels | sizes)))


def backend(int8: bool = False) -> weights.Backend:
    """Return the description of this backend. int8: the graphs with 8-bit weights, where there are any."""
    suffix = INT8 if int8 else ""

    def load(network: Callable[[Any], _Outline], config: Config, path: Path, changes: Tensors | None = None) -> Any:
        return network(config).filled(path, changes)

    def nanospeech(config: NanospeechConfig) -> _Outline:
        of_codes: dict[str, tuple[str, ...]] = {"codes": ("codes",)} if config.codes else {}
        return _Outline(config, OnnxNanospeech, nanospeech=("text", f"flow{suffix}"), **of_codes)

    def duration(config: DurationConfig) -> _Outline:
        return _Outline(config, OnnxDurations, duration=("durations",))

    def vocoder(config: VocoderConfig) -> _Outline:
        return _Outline(config, OnnxVocoder, vocoder=(f"vocoder{suffix}",))

    return weights.Backend(_published, _published, load, nanospeech, duration, vocoder)


def t2s(config: MaskedT2SConfig) -> Any:
    """Return whisperspeech's T2S in step with the text, whose graphs are not open yet."""
    return _Outline(config, OnnxMaskedT2S, t2s=("t2s-text", "t2s"))


def _published(*args: Any) -> Any:
    where = args[-1]
    raise NeedsTorch(f"{where}: a published checkpoint, which needs PyTorch: pip install vivavoce[torch]")


def load_nanospeech(
    folder: Path, int8: bool = False, difference: WeightDifference | None = None
) -> weights.NanospeechParts:
    """Load a nanospeech folder, as `weights.load_nanospeech`. Raises NeedsTorch if only PyTorch can run it."""
    return weights.load_nanospeech(folder, backend(int8), difference=difference)


def load_vocoder(name: str, beside: Path | None = None, int8: bool = False) -> Any:
    """Load a vocoder, as `weights.load_vocoder`. Raises NeedsTorch if only PyTorch can run it."""
    return weights.load_vocoder(name, beside, backend(int8))


def load_speaker_encoder() -> NumpySpeakerEncoder:
    """Load the bundled speaker encoder."""
    folder = ASSETS / "speaker"
    config = SpeakerConfig.from_dict(json.loads((folder / "config.json").read_text(encoding="utf-8")), str(folder))
    tensors = read_weights(folder / "model.safetensors")
    return NumpySpeakerEncoder(config, {name: value.astype(np.float32) for name, value in tensors.items()})
