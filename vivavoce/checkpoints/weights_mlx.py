"""Model folders → MLX modules: reads the tensors, builds each network from its config and fills it strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from safetensors.mlx import load_file, save

from vivavoce.audio.files import atomic_write
from vivavoce.checkpoints import weights
from vivavoce.checkpoints.difference import Tensors, WeightDifference, add
from vivavoce.checkpoints.weights import NanospeechParts, check_shapes, check_sizes, choose_device
from vivavoce.config import Config
from vivavoce.models.nanospeech_mlx import Nanospeech, duration_model
from vivavoce.models.vocoder_mlx import Vocoder

Model = TypeVar("Model", bound=nn.Module)
C = TypeVar("C", bound=Config)

GROUP = 64  # quantised weights that share a scale


@dataclass(frozen=True)
class Placement:
    """Where and in which precision a model runs."""

    device: mx.Device
    dtype: mx.Dtype


def placement(device: str, dtype: str) -> Placement:
    """Choose a device; "auto" takes CUDA, then Apple's MPS, then the CPU. Raises ValueError if it is not available."""
    device = choose_device(device, dtype, mx.cuda.is_available(), mx.metal.is_available(), "build of MLX")
    kind = device.split(":")[0]
    number = device.removeprefix(kind).removeprefix(":") or "0"
    count = mx.device_count(mx.cpu if kind == "cpu" else mx.gpu)
    if not number.isdecimal() or int(number) >= count:
        raise ValueError(f"device is {device!r}; there are {count} of that kind, counted from 0")
    return Placement(mx.Device(mx.cpu if kind == "cpu" else mx.gpu, int(number)), getattr(mx, dtype))


def read_weights(path: Path) -> dict[str, mx.array]:
    """Read the tensors of a .safetensors file or of a pickled .bin or .pt, which only PyTorch can read.

    Raises ValueError, naming the file, if it is missing, truncated, or a pickle of more than tensors.
    """
    if path.exists() and path.suffix != ".safetensors":
        return {name: mx.array(array) for name, array in weights.read_pickled(path).items()}
    with weights.reading(path):
        return load_file(path)


def swap_layout(weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Convert weights between PyTorch's layout, which files have, and MLX's.

    They differ in the kernels of convolutions, the only tensors with three axes: [out, in / groups, size] in PyTorch,
    [out, size, in / groups] in MLX.
    """
    return {name: w.swapaxes(1, 2) if w.ndim == 3 else w for name, w in weights.items()}


def build(network: Callable[[C], Model], config: C, weights: Mapping[str, mx.array], where: Path) -> Model:
    """Build a network and fill it. Raises ValueError, before it takes any memory, if config and weights do not fit."""
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return fill(_checked(network, config, shapes, where), weights, where)


def load_model(network: Callable[[C], Model], config: C, path: Path, changes: Tensors | None = None) -> Model:
    """Build a network and fill it from a safetensors file, whose header is checked before its tensors are read.

    changes: a difference that is added to the weights. Raises ValueError, naming the file, if it is missing,
    damaged or does not fit the config.
    """
    model = _checked(network, config, weights.read_shapes(path), path)
    tensors = read_weights(path)
    if changes is not None:
        arrays = {name: np.array(tensor.astype(mx.float32)) for name, tensor in tensors.items()}
        tensors = {name: mx.array(array) for name, array in add(arrays, changes, str(path)).items()}
    return fill(model, tensors, path)


def _checked(network: Callable[[C], Model], config: C, given: Mapping[str, weights.Shape], where: Path) -> Model:
    """Return the network, whose weights are lazy: they take no memory until they are computed."""
    check_sizes(config, given, where)
    model = network(config)
    ours = {name: tuple(tensor.shape) for name, tensor in dict(tree_flatten(model.parameters())).items()}
    swapped = {name: (shape[0], shape[2], shape[1]) if len(shape) == 3 else shape for name, shape in ours.items()}
    check_shapes(swapped, given, where)
    return model


def fill(model: Model, weights: Mapping[str, mx.array], where: Path) -> Model:
    """Load `weights` strictly, in float32, and set the network to inference. ValueError names what does not fit."""
    for name, tensor in weights.items():
        if not mx.issubdtype(tensor.dtype, mx.floating):
            kind = str(tensor.dtype).removeprefix("mlx.core.")
            raise ValueError(f"{where}: {name} is of type {kind}; weights must be float32, bfloat16 or float16")
    weights = swap_layout(weights)
    model.load_weights([(name, tensor.astype(mx.float32)) for name, tensor in weights.items()])
    model.eval()
    model.freeze()
    return model


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a network atomically as float16 safetensors in PyTorch's layout: both backends load it.

    Raises ValueError for weights that float16 cannot hold, and as `atomic_write`.
    """
    half = {n: w.astype(mx.float16) for n, w in swap_layout(dict(tree_flatten(model.parameters()))).items()}
    if wrong := [name for name, w in half.items() if not mx.isfinite(w).all().item()]:
        raise ValueError(f"{wrong[0]} does not fit into float16; the model has gone wrong in training")
    atomic_write(path, save(half))


def quantise(model: Nanospeech, bits: int) -> None:
    """Hold the weights of the wide linear layers in 4 or 8 bits, with a scale and an offset for each 64 of a row."""

    def fits(name: str, module: nn.Module) -> bool:
        return isinstance(module, nn.Linear) and module.weight.shape[1] % GROUP == 0

    nn.quantize(model, GROUP, bits, class_predicate=fits)


BACKEND = weights.Backend(read_weights, build, load_model, Nanospeech, duration_model, Vocoder)


def load_nanospeech(folder: Path, difference: WeightDifference | None = None) -> NanospeechParts:
    """Load a nanospeech folder, as `weights.load_nanospeech`."""
    return weights.load_nanospeech(folder, BACKEND, difference=difference)


def load_vocoder(name: str, beside: Path | None = None) -> Vocoder:
    """Load a vocoder, as `weights.load_vocoder`."""
    return cast(Vocoder, weights.load_vocoder(name, beside, BACKEND))
