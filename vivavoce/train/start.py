"""`--from`: a new run begins with the weights of another model, and with the characters that it knew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vivavoce import checkpoints
from vivavoce.checkpoints_torch import fill, read_weights
from vivavoce.config import Config
from vivavoce.text import read_vocabulary
from vivavoce.train.state import Checkpoints, differences

if TYPE_CHECKING:
    from vivavoce.train.tasks import Task  # which may begin with a model itself

# Model settings in which a run may differ from what it begins with; any other changes what the weights mean
FREE = ("vocab_size", "dropout", "text_align", "letters", "harmonic_bins", "harmonic_dim", "harmonic_layers")
EMBEDDING = "text_encoder.embed.weight"  # the end of its name; row 0 is the filler, row i + 1 character i


@dataclass
class Found:
    """A model to begin with."""

    where: Path  # the file that its weights come from
    config: Config
    weights: dict[str, Tensor]
    characters: Sequence[str]  # empty where the model reads none, or bytes
    tokens: dict[str, Any] | None = None  # what it was trained on, where those are tokens and it says so


def begin(name: str, task: Task, model: nn.Module) -> list[str]:
    """Fill a freshly built model with the weights of `name`, and return what is to be said of it.

    `name`: "bundled", a folder (an exported model, a training run, whose averaged weights are taken, or a published
    nanospeech or Vocos) or a Hugging Face name. Characters are matched by themselves, wherever they stand in the two
    vocabularies: known ones keep their vectors, new ones begin with the mean of the known, lost ones are left out.
    Raises ValueError where there is no such model, or where it differs in more than its characters.
    """
    found = _find(name, task)
    ours: Config = task.recipe.model
    wrong = [s for s in differences(found.config.to_dict(), ours.to_dict()) if s not in FREE]
    if wrong:
        pairs = [f"its {s} is {_setting(found.config, s)!r}, the recipe's is {_setting(ours, s)!r}" for s in wrong]
        raise ValueError(f"{found.where}: {'; '.join(pairs)}")
    if found.tokens and found.tokens != task.about_data().get("tokens"):
        raise ValueError(f"{found.where} was trained on tokens of another semantic model, codec or speaker encoder")
    said = [f"starting with the weights of {found.where}"]
    weights = {name: value for name, value in found.weights.items() if not name.startswith(task.training_only)}
    for name, value in model.state_dict().items():
        if name.startswith(task.training_only):  # theirs where they have the same
            other = found.weights.get(name)
            weights[name] = value if other is None or other.shape != value.shape else other
    for part in task.addable:
        own, theirs = ({n: w for n, w in some.items() if n.startswith(part)} for some in (model.state_dict(), weights))
        if {n: w.shape for n, w in own.items()} != {n: w.shape for n, w in theirs.items()}:
            weights = {n: w for n, w in weights.items() if n not in theirs} | own
            fate = "begin with random weights" if own else "the recipe lacks, and that are lost"
            said.append(f"{part[:-1]} that {fate}")
    for embedding in [n for n in weights if n.endswith(EMBEDDING)]:
        weights[embedding], changes = _match(weights[embedding], found, task.recipe.characters)
        said += changes
    trained = [parameter.requires_grad for parameter in model.parameters()]
    fill(model, weights, found.where)
    for parameter, wanted in zip(model.parameters(), trained, strict=True):
        parameter.requires_grad_(wanted)
    return said


def _match(rows: Tensor, found: Found, characters: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Their embedding [1 + theirs, D] → ours [1 + ours, D], and what is to be said of the difference."""
    places = {c: i for i, c in enumerate(found.characters, 1)}
    if len(rows) <= len(places):
        raise ValueError(f"{found.where}: {len(places)} characters, but {len(rows)} rows in the embedding")
    kept = [places[c] for c in characters if c in places]
    if not kept:
        raise ValueError(f"{found.where}: none of its characters is in the recipe's, {''.join(characters)!r}")
    rows = rows.float()  # for a half-precision mean would be coarse
    mean = rows[kept].mean(0)
    matched = rows.new_empty(1 + len(characters), rows.shape[1])
    matched[0] = rows[0]
    for i, c in enumerate(characters, 1):
        matched[i] = rows[places[c]] if c in places else mean
    said = []
    new, lost = [c for c in characters if c not in places], [c for c in found.characters if c not in characters]
    if new:
        said.append(f"new characters, which begin with the mean of the known ones: {' '.join(map(repr, new))}")
    if lost:
        said.append(f"characters that the recipe lacks, and that are lost: {' '.join(map(repr, lost))}")
    return matched, said


def _find(name: str, task: Task) -> Found:
    if name == "bundled":
        folder = checkpoints.ASSETS / task.name
    else:
        files = ("*.json", "*.safetensors", "vocab.txt")
        folder = checkpoints.find(
            name, (*files, "config.yaml", "pytorch_model.bin") if task.name == "vocoder" else files
        )
    if (folder / "recipe.json").exists():
        return _run(folder, task)
    if (folder / "config.json").exists():
        return _exported(folder, task)
    if task.name == "vocoder" and (folder / "config.yaml").exists():
        path = folder / "pytorch_model.bin"
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        config, weights = checkpoints.import_vocos(text, read_weights(path), str(folder))
        return Found(path, config, weights, "")
    if task.name != "vocoder" and (folder / "vocab.txt").exists():
        return _published(folder, task)
    raise ValueError(
        f"{folder} holds no {task.name} model: neither an exported one (config.json), nor a training run "
        "(recipe.json), nor a published one"
    )


def _run(folder: Path, task: Task) -> Found:
    path = folder / "recipe.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = values.pop("task")
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise ValueError(f"{path}: unreadable, or it does not name its task") from None
    if kind != task.name:
        raise ValueError(f"{path}: a run of {kind!r}, where a {task.name} model is needed")
    recipe = type(task.recipe).from_dict(values, str(path))
    found = Checkpoints(folder, keep=1).all()
    if not found:
        raise ValueError(f"{folder} holds no checkpoint yet (checkpoints/step-*.pt)")
    state: dict[str, Any] = read_weights(found[-1])
    if not isinstance(state.get("average"), dict):
        raise ValueError(f"{found[-1]}: a checkpoint without averaged weights")
    tokens = state.get("about_data", {}).get("tokens")
    return Found(found[-1], recipe.model, state["average"], getattr(recipe, "characters", ""), tokens)


def _exported(folder: Path, task: Task) -> Found:
    known = ("model", "characters", "sampling", "duration", "vocoder", "tokens")
    values = checkpoints.read_config(folder, task.name, known)
    kind = type(task.recipe.model)
    config = kind.from_dict(values.get("model", {}), str(folder / "config.json"))
    path = folder / "model.safetensors"
    return Found(path, config, read_weights(path), values.get("characters", ""), values.get("tokens"))


def _published(folder: Path, task: Task) -> Found:
    path = folder / ("model.safetensors" if task.name == "nanospeech" else "duration.safetensors")
    read = checkpoints.import_nanospeech if task.name == "nanospeech" else checkpoints.import_duration
    config, weights = read(read_weights(path), str(path))
    characters = read_vocabulary(folder / "vocab.txt")
    checkpoints.check_rows(folder / "vocab.txt", characters, config.vocab_size, path.name)
    return Found(path, config, weights, characters)


def _setting(config: Config, name: str) -> object:
    """The value of a setting by its dotted name."""
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value
