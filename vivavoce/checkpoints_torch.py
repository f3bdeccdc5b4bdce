"""Model folders → PyTorch modules: reads the tensors, builds each model from its config and fills it strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vivavoce import checkpoints
from vivavoce.checkpoints import ASSETS, find, read_config
from vivavoce.config import DurationConfig, NanospeechConfig, SamplingConfig, VocoderConfig
from vivavoce.engines.nanospeech_torch import CharacterDurations, DurationTransformer, Nanospeech, duration_model
from vivavoce.system_torch import NanospeechSystem, placement, read_characters
from vivavoce.vocoder_torch import Vocoder

Model = TypeVar("Model", bound=nn.Module)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file or, with weights only and never code, of a pickled .bin or .pt.

    Raises ValueError, naming the file, where it is missing, truncated, or a pickle of more than tensors.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: unreadable weights, truncated or damaged ({reason})") from None
    except Exception as error:  # pickle.UnpicklingError and whatever else a hostile file brings about
        raise ValueError(f"{path}: refused, it holds more than tensors ({type(error).__name__})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: holds a {type(values).__name__}, not named tensors")
    return values


def fill(model: Model, weights: Mapping[str, Tensor], where: Path) -> Model:
    """Load `weights` strictly, in float32, and set the model to inference. ValueError names what does not fit."""
    ours = model.state_dict()
    wrong = [f"missing {n}" for n in ours if n not in weights] + [f"unknown {n}" for n in weights if n not in ours]
    wrong += [
        f"{n} is {list(weights[n].shape)}, should be {list(ours[n].shape)}"
        for n in ours
        if n in weights and isinstance(weights[n], Tensor) and weights[n].shape != ours[n].shape
    ]
    wrong += [f"{n} is a {type(w).__name__}, not a tensor" for n, w in weights.items() if not isinstance(w, Tensor)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(f"{where}: the weights do not fit the config: {'; '.join(wrong[:3])}{more}")
    model.load_state_dict({k: v.float() for k, v in weights.items()})
    return model.eval().requires_grad_(False)


@dataclass
class Parts:
    """What a nanospeech model folder asks for."""

    model: Nanospeech
    duration: CharacterDurations | DurationTransformer | None
    vocoder: str
    characters: list[str]
    sampling: SamplingConfig


def load_system(folder: Path, device: str, dtype: str, compile: bool, vocoder: str | None) -> NanospeechSystem:
    """As `checkpoints.load_system`, from the model's folder."""
    where = placement(device, dtype)
    if (folder / "config.json").exists():
        parts = _own_format(folder)
    elif (folder / "vocab.txt").exists() and (folder / "model.safetensors").exists():
        parts = _published_format(folder)
    else:
        raise ValueError(f"{folder}: neither config.json nor a published model.safetensors with vocab.txt is there")
    chosen = load_vocoder(vocoder or parts.vocoder, folder)
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
