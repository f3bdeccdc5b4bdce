"""Model folders → graphs of ONNX Runtime, filled with the tensors of the folder's own model.safetensors.

The graphs hold no weights (`onnx_torch.export_structure` writes them). They lie in a folder `onnx` of the model folder,
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

FOLDER = "onnx"  # of the graphs, beside a model's files
NEUTRAL = ("mel", "mel_mean", "mel_scale", "dropout", "characters", "languages", "phones", "vocab_size")
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

    def __init__(self, kind: str, config: Any, make: Callable[..., Any], graphs: tuple[str, ...]) -> None:
        self.kind, self.config, self.make, self.graphs = kind, config, make, graphs

    def filled(self, path: Path, changes: Tensors | None = None) -> Any:
        """Return the network with the weights of a file, to which a difference may be added.

        Raises NeedsTorch if there are no graphs for its config.
        """
        folder, about = self._find(path)
        tensors = read_weights(path)
        if changes is not None:
            tensors = {**add(tensors, changes, str(path))}
        opened = []
        for name in self.graphs:
            values = {}
            for initializer, source in about["graphs"][name].items():
                tensor = tensors.get(source["tensor"])
                if tensor is None:
                    raise ValueError(f"{path}: the weights do not fit the config: missing {source['tensor']}")
                value = arranged(tensor, source["as"])
                if value.size != int(np.prod(source["shape"])):
                    raise ValueError(
                        f"{path}: the weights do not fit the config: {source['tensor']} is {list(tensor.shape)}"
                    )
                values[initializer] = value.reshape(source["shape"])
            opened.append(Graph(folder / f"{name}.onnx", values))
        return self.make(self.config, *opened)

    def _find(self, path: Path) -> tuple[Path, dict[str, Any]]:
        for folder in (path.parent / FOLDER, path.parent.parent / FOLDER, ASSETS / FOLDER):
            file = folder / f"{self.kind}.json"
            if not file.is_file():
                continue
            try:
                about = json.loads(file.read_text(encoding="utf-8"))
                same = about["format"] == FORMAT and _structure(about["config"]) == _structure(self.config.to_dict())
                if same and all(name in about["graphs"] for name in self.graphs):
                    return folder, about
            except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
                raise ValueError(f"{file}: not a description of graphs ({error!r})") from None
        raise NeedsTorch(
            f"{path.parent} has no ONNX graphs of its sizes, and PyTorch is needed to run it or to write them: "
            "pip install vivavoce[onnx-export]; vivavoce export MODEL MODEL/onnx --format onnx --no-weights"
        )


def _structure(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the graphs depend on, as JSON has it. Languages and phones only count."""
    channels = {name: len(config.get(name, ())) for name in ("languages", "phones")}
    sizes = {"vocab_size": config.get("vocab_size"), "n_mels": config["mel"]["n_mels"]}
    kept = {name: value for name, value in config.items() if name not in NEUTRAL}
    return dict(json.loads(json.dumps(kept | channels | sizes)))


def backend(int8: bool = False) -> weights.Backend:
    """Return the description of this backend. int8: the graphs with 8-bit weights, where there are any."""
    suffix = ".int8" if int8 else ""

    def load(network: Callable[[Any], _Outline], config: Config, path: Path, changes: Tensors | None = None) -> Any:
        return network(config).filled(path, changes)

    def nanospeech(config: NanospeechConfig) -> _Outline:
        return _Outline("nanospeech", config, OnnxNanospeech, ("text", f"flow{suffix}"))

    def duration(config: DurationConfig) -> _Outline:
        return _Outline("duration", config, OnnxDurations, ("durations",))

    def vocoder(config: VocoderConfig) -> _Outline:
        return _Outline("vocoder", config, OnnxVocoder, (f"vocoder{suffix}",))

    return weights.Backend(_published, _published, load, nanospeech, duration, vocoder)


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
