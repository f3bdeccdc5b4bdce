"""Model folders → PyTorch modules: reads the tensors, builds each network from its config and fills it strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vivavoce.checkpoints import weights
from vivavoce.checkpoints.difference import Tensors, WeightDifference, add
from vivavoce.checkpoints.pickle_torch import read_pickle
from vivavoce.checkpoints.weights import NanospeechParts, check_shapes, check_sizes, choose_device
from vivavoce.config import Config
from vivavoce.models.nanospeech_torch import Nanospeech, duration_model
from vivavoce.models.vocoder_torch import Vocoder

Model = TypeVar("Model", bound=nn.Module)
C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Placement:
    """Where and in which precision a model runs."""

    device: torch.device
    dtype: torch.dtype


def placement(device: str, dtype: str) -> Placement:
    """Choose a device; "auto" takes CUDA, then Apple's MPS, then the CPU. Raises ValueError if it is not available."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    device = choose_device(device, dtype, cuda, mps, "build of PyTorch")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}: {str(error).splitlines()[0]}") from None
    count = torch.cuda.device_count() if chosen.type == "cuda" else 1
    if chosen.index is not None and chosen.index >= count:
        raise ValueError(f"device is {device!r}; there are {count} of that kind, counted from 0")
    return Placement(chosen, getattr(torch, dtype))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file or, as data and never as code, of a pickled .bin or .pt.

    Raises ValueError, naming the file, if it is missing, truncated, or a pickle of more than tensors.
    """
    if path.exists() and path.suffix != ".safetensors":
        return read_pickle(path)
    with weights.reading(path):
        return load_file(path)


def build(network: Callable[[C], Model], config: C, weights: Mapping[str, Tensor], where: Path) -> Model:
    """Build a network and fill it. Raises ValueError, before it takes any memory, if config and weights do not fit."""
    _check(network, config, _shapes(weights, where), where)
    return fill(network(config), weights, where)


def load_model(network: Callable[[C], Model], config: C, path: Path, changes: Tensors | None = None) -> Model:
    """Build a network and fill it from a safetensors file, whose header is checked before its tensors are read.

    changes: a difference that is added to the weights. Raises ValueError, naming the file, if it is missing,
    damaged or does not fit the config.
    """
    _check(network, config, weights.read_shapes(path), path)
    tensors = read_weights(path)
    if changes is not None:
        arrays = {name: tensor.float().numpy() for name, tensor in tensors.items()}
        tensors = {name: torch.from_numpy(array) for name, array in add(arrays, changes, str(path)).items()}
    return fill(network(config), tensors, path)


def _check(network: Callable[[C], nn.Module], config: C, given: Mapping[str, weights.Shape], where: Path) -> None:
    check_sizes(config, given, where)
    with _Outline():
        outline = network(config)
    check_shapes({name: tuple(tensor.shape) for name, tensor in outline.state_dict().items()}, given, where)


class _Outline(TorchFunctionMode):
    """In this context a network's parameters have shapes and no content.

    `torch.device("meta")` does the same, but the initialisation of its tensors imports torch's compiler: seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.empty, torch.zeros, torch.ones, torch.randn, torch.rand):
            return torch.empty(*args, dtype=kwargs.get("dtype"), device="meta")
        target = args[0] if args else kwargs.get("tensor")
        initialises = (func.__name__.endswith("_") and not func.__name__.endswith("__")) or func is F.normalize
        if initialises and isinstance(target, Tensor) and target.is_meta and func is not Tensor.requires_grad_:
            return target
        return func(*args, **kwargs)


def fill(model: Model, weights: Mapping[str, Tensor], where: Path) -> Model:
    """Load `weights` strictly, in float32, and set the network to inference. ValueError names what does not fit."""
    ours = model.state_dict()
    check_shapes({name: tuple(tensor.shape) for name, tensor in ours.items()}, _shapes(weights, where), where)
    for name, tensor in weights.items():
        if ours[name].is_floating_point() and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"{where}: {name} is of type {kind}; weights must be float32, bfloat16 or float16")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model.eval().requires_grad_(False)


def _shapes(weights: Mapping[str, Tensor], where: Path) -> dict[str, tuple[int, ...]]:
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{where}: {name} is a {type(value).__name__}, not a tensor")
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


BACKEND = weights.Backend(read_weights, build, load_model, Nanospeech, duration_model, Vocoder)


def load_nanospeech(folder: Path, difference: WeightDifference | None = None) -> NanospeechParts:
    """Load a nanospeech folder, as `weights.load_nanospeech`."""
    return weights.load_nanospeech(folder, BACKEND, difference=difference)


def load_vocoder(name: str, beside: Path | None = None) -> Vocoder:
    """Load a vocoder, as `weights.load_vocoder`."""
    return cast(Vocoder, weights.load_vocoder(name, beside, BACKEND))
