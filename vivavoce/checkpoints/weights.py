"""Model folders → networks of either backend: what the backends have in common.

Each backend describes itself as a `Backend`; `weights_torch` and `weights_mlx` do so.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from vivavoce.checkpoints import published
from vivavoce.checkpoints.difference import WeightDifference, changes_for
from vivavoce.checkpoints.published import check_rows
from vivavoce.checkpoints.resolve import find, read_config
from vivavoce.config import ASSETS, DEVICES, FLOATS, Config, MelConfig, require_choice
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig, SamplingConfig
from vivavoce.models.vocoder import VocoderConfig
from vivavoce.text.tokenizer import read_vocabulary

# Numbers up to these are allowed in any config: some are not sizes or counts of tensors, such as a text's length.
LEAST_SIZE, LEAST_COUNT = 1 << 16, 256
# Of a nanospeech folder's config.json
NANOSPEECH_SETTINGS = ("model", "characters", "sampling", "duration", "vocoder", "tokens", "onnx_dtype")
Weights = Mapping[str, Any]  # tensors of the backend, by name
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Backend:
    """How a backend reads tensors and builds networks."""

    read_weights: Callable[[Path], Weights]
    # Checks that a class, given its config, makes a network for these weights, then builds and fills it. The path is
    # for messages.
    build: Callable[[Callable[[Any], Any], Config, Weights, Path], Any]
    # The same for a safetensors file, whose header is checked before its tensors are read. A fourth argument is a
    # difference that is added to them (`difference.add`).
    load: Callable[..., Any]
    nanospeech: Callable[[NanospeechConfig], Any]
    duration: Callable[[DurationConfig], Any]
    vocoder: Callable[[VocoderConfig], Any]


@dataclass
class NanospeechParts:
    """The contents of a nanospeech model folder."""

    model: Any
    duration: Any  # None: the length is estimated from the reference's pace
    vocoder: str  # name, as `load_vocoder` takes it
    characters: list[str]
    sampling: SamplingConfig
    tokens: dict[str, Any] = field(default_factory=dict)  # describes the semantic codes that it reads, if any


def load_nanospeech(
    folder: Path, backend: Backend, duration: Path | None = None, difference: WeightDifference | None = None
) -> NanospeechParts:
    """Load a folder in our format or in the published one. Raises ValueError for files that do not fit.

    duration: the duration model's folder, for a folder in our format; None: the one that its config.json names.
    difference: the trained weights of a voice, for a folder in our format.
    """
    if (folder / "config.json").exists():
        return _own_nanospeech(folder, backend, duration, difference)
    if difference is not None:
        raise ValueError(f"voice {difference.voice!r} was trained from another model than {folder}")
    if (folder / "vocab.txt").exists() and (folder / "model.safetensors").exists():
        return _published_nanospeech(folder, backend)
    raise ValueError(f"{folder}: neither config.json nor a published model.safetensors with vocab.txt is there")


def duration_folder(folder: Path) -> Path:
    """Return the folder of the duration model that a nanospeech folder names. Raises ValueError as `read_config`."""
    name = read_config(folder, "nanospeech", NANOSPEECH_SETTINGS).get("duration", "bundled")
    return ASSETS / "duration" if name == "bundled" else folder / name


def _own_nanospeech(
    folder: Path, backend: Backend, other: Path | None, difference: WeightDifference | None
) -> NanospeechParts:
    values = read_config(folder, "nanospeech", NANOSPEECH_SETTINGS)
    where = folder / "config.json"
    config = NanospeechConfig.from_dict(values.get("model", {}), str(where))
    characters = list(values.get("characters", ""))
    _check_vocabulary(where, config.vocab_size, characters)
    path = folder / "model.safetensors"
    model = backend.load(backend.nanospeech, config, path, changes_for(difference, "nanospeech", path))

    other = other or duration_folder(folder)
    theirs = read_config(other, "duration", ("model", "characters"))
    if list(theirs.get("characters", "")) != characters:
        raise ValueError(f"{other / 'config.json'}: its characters differ from those of {where}")
    duration_config = DurationConfig.from_dict(theirs.get("model", {}), str(other / "config.json"))
    _check_vocabulary(other / "config.json", duration_config.vocab_size, characters)
    path = other / "model.safetensors"
    duration = backend.load(backend.duration, duration_config, path, changes_for(difference, "duration", path))
    sampling = SamplingConfig.from_dict(values.get("sampling", {}), str(where))
    tokens = values.get("tokens", {})
    if not isinstance(tokens, dict):
        raise ValueError(f"{where}: tokens is {tokens!r}; it must be an object")
    return NanospeechParts(model, duration, values.get("vocoder", "bundled"), characters, sampling, tokens)


def _check_vocabulary(where: Path, size: int, characters: list[str]) -> None:
    if len(characters) != size:
        raise ValueError(f"{where}: vocab_size is {size}, but characters has {len(characters)}")


def _published_nanospeech(folder: Path, backend: Backend) -> NanospeechParts:
    vocabulary = folder / "vocab.txt"
    characters = read_vocabulary(vocabulary)
    path = folder / "model.safetensors"
    config, weights = published.import_nanospeech(backend.read_weights(path), str(path))
    check_rows(vocabulary, characters, config.vocab_size, path.name)
    model = backend.build(backend.nanospeech, config, weights, path)
    duration = None
    path = folder / "duration.safetensors"
    if path.exists():
        duration_config, weights = published.import_duration(backend.read_weights(path), str(path))
        check_rows(vocabulary, characters, duration_config.vocab_size, path.name)
        duration = backend.build(backend.duration, duration_config, weights, path)
    return NanospeechParts(model, duration, published.VOCODER, characters, SamplingConfig())


def load_vocoder(name: str, beside: Path | None, backend: Backend) -> Any:
    """Load a vocoder: "bundled", a folder (also relative to `beside`) in our format or in Vocos', or a hub name."""
    if name == "bundled":
        folder = ASSETS / "vocoder"
    elif beside is not None and (beside / name).is_dir():
        folder = beside / name
    else:
        folder = find(name, ("config.json", "model.safetensors", "config.yaml", "pytorch_model.bin"))
    if (folder / "config.yaml").exists():
        path = folder / "pytorch_model.bin"
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        config, weights = published.import_vocos(text, backend.read_weights(path), str(folder))
        return backend.build(backend.vocoder, config, weights, path)
    values = read_config(folder, "vocoder", ("model",))
    config = VocoderConfig.from_dict(values.get("model", {}), str(folder / "config.json"))
    return backend.load(backend.vocoder, config, folder / "model.safetensors")


def read_shapes(path: Path) -> dict[str, Shape]:
    """Return the shapes of a safetensors file's tensors from its header, without reading them.

    Raises ValueError, naming the file, if it is missing, truncated or damaged.
    """
    with reading(path), safe_open(path, framework="numpy") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong when safetensors reads a file into ValueError, naming the file."""
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    try:
        yield
    except (SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: unreadable weights, truncated or damaged ({reason})") from None


def read_pickled(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch .bin or .pt as float32 arrays, for another backend. Loads PyTorch.

    Raises ValueError, naming the file, if it cannot be read, holds other things, or PyTorch is missing.
    """
    try:
        from vivavoce.checkpoints.pickle_torch import read_pickle
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: only PyTorch reads this file, and the package {error.name} is missing") from None
    found = read_pickle(path)
    if wrong := [name for name, value in found.items() if not hasattr(value, "numpy")]:
        raise ValueError(f"{path}: {wrong[0]} is a {type(found[wrong[0]]).__name__}, not a tensor")
    return {name: tensor.float().numpy() for name, tensor in found.items()}


def check_sizes(config: Config, given: Mapping[str, Shape], where: Path) -> None:
    """Raise ValueError for a config that asks for far more than the file's tensors hold, before anything is built."""
    largest = max((size for shape in given.values() for size in shape), default=0)
    for name, size in _sizes(config):
        counts = re.search(r"depth|layer|quantizers|codebooks$", name)  # of modules; the others are sizes of tensors
        limit = max(len(given), LEAST_COUNT) if counts else max(largest, LEAST_SIZE)
        if size > limit:
            raise ValueError(f"{where}: the weights do not fit the config: {name} is {size}, too large for this file")


def _sizes(config: Config) -> Iterator[tuple[str, int]]:
    for name, value in vars(config).items():
        if isinstance(value, Config) and not isinstance(value, MelConfig):  # which has its own limits
            yield from _sizes(value)
        elif isinstance(value, int):
            yield name, value


def check_shapes(ours: Mapping[str, Shape], given: Mapping[str, Shape], where: Path) -> None:
    """Raise ValueError, naming the first few, if the network's tensors and the file's differ in names or shapes."""
    wrong = [f"missing {n}" for n in ours if n not in given] + [f"unknown {n}" for n in given if n not in ours]
    wrong += [f"{n} is {list(given[n])}, should be {list(ours[n])}" for n in ours if n in given and given[n] != ours[n]]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"{where}: the weights do not fit the config: {'; '.join(wrong[:3])}{more}")


def choose_device(device: str, dtype: str, cuda: bool, mps: bool, library: str) -> str:
    """Return the device to use; "auto" takes CUDA, then Apple's MPS, then the CPU.

    cuda, mps: whether the library has such devices here. Raises ValueError, naming what it has, for another device, and
    for a precision that no backend has.
    """
    here = [kind for kind, present in (("cuda", cuda), ("mps", mps), ("cpu", True)) if present]
    kind = here[0] if device == "auto" else device.split(":")[0]
    require_choice("device", device if kind not in DEVICES else kind, DEVICES)
    require_choice("dtype", dtype, FLOATS)
    if kind not in here:
        right = f"{', '.join(['auto', *here[:-1]])} or {here[-1]}"
        raise ValueError(f"device is {device!r}, and this {library} finds none here; it must be {right}")
    return kind if device == "auto" else device
