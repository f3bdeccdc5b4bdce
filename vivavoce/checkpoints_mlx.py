"""Model folders → MLX modules: reads the tensors, builds each model from its config and fills it strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from safetensors import SafetensorError
from safetensors.mlx import load_file, save

from vivavoce import checkpoints
from vivavoce.audio import write_whole
from vivavoce.checkpoints import ASSETS, find, read_config
from vivavoce.config import DurationConfig, NanospeechConfig, SamplingConfig, VocoderConfig
from vivavoce.engines.nanospeech_mlx import CharacterDurations, DurationTransformer, Nanospeech, duration_model
from vivavoce.system_mlx import NanospeechSystem, placement, read_characters
from vivavoce.vocoder_mlx import Vocoder

Model = TypeVar("Model", bound=nn.Module)

GROUP = 64  # weights that share a scale when quantised


def read_weights(path: Path) -> dict[str, mx.array]:
    """Tensors of a .safetensors file or of a pickled .bin or .pt, which only PyTorch can read.

    Raises ValueError, naming the file, where it is missing, truncated, or a pickle of more than tensors.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    if path.suffix != ".safetensors":
        return {name: mx.array(array) for name, array in checkpoints.read_pickled(path).items()}
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: unreadable weights, truncated or damaged ({reason})") from None


def swap_layout(weights: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Weights in PyTorch's layout, which the files have, ↔ in MLX's.

    They differ in the kernels of convolutions, the only tensors with three axes: [out, in / groups, size] there,
    [out, size, in / groups] here.
    """
    return {name: w.swapaxes(1, 2) if w.ndim == 3 else w for name, w in weights.items()}


def fill(model: Model, weights: Mapping[str, mx.array], where: Path) -> Model:
    """Load `weights` strictly, in float32, and set the model to inference. ValueError names what does not fit."""
    ours = dict(tree_flatten(model.parameters()))
    weights = swap_layout(weights)
    wrong = [f"missing {n}" for n in ours if n not in weights] + [f"unknown {n}" for n in weights if n not in ours]
    wrong += [
        f"{n} is {list(weights[n].shape)}, should be {list(ours[n].shape)}"
        for n in ours
        if n in weights and weights[n].shape != ours[n].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"{where}: the weights do not fit the config: {'; '.join(wrong[:3])}{more}")
    model.load_weights([(k, v.astype(mx.float32)) for k, v in weights.items()])
    model.eval()
    model.freeze()
    return model


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model as float16 safetensors in PyTorch's layout, whole or not at all: both backends load it.

    Raises ValueError for weights that float16 cannot hold, which have gone wrong in training, and as `write_whole`.
    """
    half = {n: w.astype(mx.float16) for n, w in swap_layout(dict(tree_flatten(model.parameters()))).items()}
    if wrong := [name for name, w in half.items() if not mx.isfinite(w).all().item()]:
        raise ValueError(f"{wrong[0]} does not fit into float16; the model has gone wrong in training")
    write_whole(path, save(half))


def quantise(model: Nanospeech, bits: int) -> None:
    """Hold the weights of the wide linear layers in 4 or 8 bits, with a scale and an offset for each 64 of a row."""

    def fits(name: str, module: nn.Module) -> bool:
        return isinstance(module, nn.Linear) and module.weight.shape[1] % GROUP == 0

    nn.quantize(model, GROUP, bits, class_predicate=fits)


@dataclass
class Parts:
    """What a nanospeech model folder asks for."""

    model: Nanospeech
    duration: CharacterDurations | DurationTransformer | None
    vocoder: str
    characters: list[str]
    sampling: SamplingConfig


def load_system(
    folder: Path, device: str, dtype: str, compile: bool, vocoder: str | None, bits: int | None
) -> NanospeechSystem:
    """As `checkpoints.load_system`, from the model's folder."""
    where = placement(device, dtype)
    if (folder / "config.json").exists():
        parts = _own_format(folder)
    elif (folder / "vocab.txt").exists() and (folder / "model.safetensors").exists():
        parts = _published_format(folder)
    else:
        raise ValueError(f"{folder}: neither config.json nor a published model.safetensors with vocab.txt is there")
    chosen = load_vocoder(vocoder or parts.vocoder, folder)
    if bits is not None:
        quantise(parts.model, bits)
    return NanospeechSystem(
        parts.model, parts.duration, chosen, parts.characters, parts.sampling, where, compile=compile
    )


def _own_format(folder: Path) -> Parts:
    values = read_config(folder, "nanospeech", ("model", "characters", "sampling", "duration", "vocoder"))
    where = str(folder / "config.json")
    config = NanospeechConfig.from_dict(values.get("model", {}), where)
    characters = list(values.get("characters", ""))
    if len(characters) != config.vocab_size:
        raise ValueError(f"{where}: vocab_size is {config.vocab_size}, but characters has {len(characters)}")
    path = folder / "model.safetensors"
    model = fill(Nanospeech(config), read_weights(path), path)

    name = values.get("duration", "bundled")
    other = ASSETS / "duration" if name == "bundled" else folder / name
    theirs = read_config(other, "duration", ("model", "characters"))
    if list(theirs.get("characters", "")) != characters:
        raise ValueError(f"{other / 'config.json'}: its characters differ from those of {where}")
    its_config = DurationConfig.from_dict(theirs.get("model", {}), str(other / "config.json"))
    if len(characters) != its_config.vocab_size:
        raise ValueError(
            f"{other / 'config.json'}: vocab_size is {its_config.vocab_size}, but characters has {len(characters)}"
        )
    duration = duration_model(its_config)
    fill(duration, read_weights(other / "model.safetensors"), other / "model.safetensors")
    sampling = SamplingConfig.from_dict(values.get("sampling", {}), where)
    return Parts(model, duration, values.get("vocoder", "bundled"), characters, sampling)


def _published_format(folder: Path) -> Parts:
    characters = read_characters(folder / "vocab.txt")
    path = folder / "model.safetensors"
    config, weights = checkpoints.import_nanospeech(read_weights(path), str(path))
    checkpoints.check_rows(folder / "vocab.txt", characters, config.vocab_size, path.name)
    model = fill(Nanospeech(config), weights, path)
    duration = None  # without its file the length is estimated from the reference's pace
    path = folder / "duration.safetensors"
    if path.exists():
        its_config, weights = checkpoints.import_duration(read_weights(path), str(path))
        checkpoints.check_rows(folder / "vocab.txt", characters, its_config.vocab_size, path.name)
        duration = fill(duration_model(its_config), weights, path)
    return Parts(model, duration, checkpoints.PUBLISHED_VOCODER, characters, SamplingConfig())


def load_vocoder(name: str, beside: Path | None = None) -> Vocoder:
    """A vocoder: "bundled", a folder (also relative to `beside`) in our format or in Vocos', or a hub name."""
    if name == "bundled":
        folder = ASSETS / "vocoder"
    elif beside is not None and (beside / name).is_dir():
        folder = beside / name
    else:
        folder = find(name, ("config.json", "model.safetensors", "config.yaml", "pytorch_model.bin"))
    if (folder / "config.yaml").exists():
        path = folder / "pytorch_model.bin"
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        config, weights = checkpoints.import_vocos(text, read_weights(path), str(folder))
        return fill(Vocoder(config), weights, path)
    values = read_config(folder, "vocoder", ("model",))
    config = VocoderConfig.from_dict(values.get("model", {}), str(folder / "config.json"))
    return fill(Vocoder(config), read_weights(folder / "model.safetensors"), folder / "model.safetensors")
