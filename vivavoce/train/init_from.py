"""`--from`: start a new run with the weights of another model, character by character."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vivavoce.checkpoints import published, resolve
from vivavoce.checkpoints.weights import NANOSPEECH_SETTINGS
from vivavoce.checkpoints.weights_torch import fill, read_weights
from vivavoce.config import Config
from vivavoce.models.nanospeech import SLOTS
from vivavoce.text.tokenizer import read_vocabulary
from vivavoce.train.checkpoint import Checkpoints, differences

if TYPE_CHECKING:
    from vivavoce.train.tasks.base import Task

# Model settings in which a run may differ from the model it starts with; any other changes what the weights mean
FREE = (
    *("vocab_size", "dropout", "text_align", "letters", "languages", "phones", "prosody", "bandwidth"),
    *("mean_velocity", "codes", "code_width", "code_rate"),
    *("harmonic_bins", "harmonic_dim", "harmonic_layers"),
)
EMBEDDING = "text_encoder.embed.weight"  # the end of its name; row 0 is the filler, row i + 1 is character i

# embeddings whose rows follow a list in the config: its field, rows before it, and how often the list is repeated
LISTED = {"language_embed.weight": ("languages", 0, 1), "phone_embed.weight": ("phones", 2, SLOTS)}


@dataclass
class SourceModel:
    """A model to start with."""

    where: Path  # the file with its weights
    config: Config
    weights: dict[str, Tensor]
    characters: Sequence[str]  # empty if the model reads bytes, or no text
    tokens: dict[str, Any] | None = None  # the models that made its training tokens, if it states them


def initialise(name: str, task: Task, model: nn.Module) -> list[str]:
    """Fill a newly built model with the weights of `name`; return notices for the user.

    name: "nanospeech" or "bundled", a folder (an exported model, a training run, whose EMA weights are used, or a
    published nanospeech or Vocos) or a Hugging Face name. Embeddings are matched by character, whatever the order of
    the two vocabularies: known characters keep their vectors, a letter with a new accent starts like the bare letter,
    any other new character with the mean of the known, missing ones are dropped.
    Raises ValueError if there is no such model, or its settings differ in more than FREE.
    """
    found = _find(name, task)
    _check(found, task)
    notices = [f"starting with the weights of {found.where}"]
    weights = _with_training_parts(found.weights, task, model)
    for name in [n for n in weights if n.endswith(tuple(LISTED))]:
        weights[name] = _match_listed(name, weights[name], found.config, task.recipe.model)
    for part in task.addable:
        weights, changes = _replace_part(part, weights, model)
        notices += changes
    for embedding in [n for n in weights if n.endswith(EMBEDDING)]:
        weights[embedding], changes = _match(weights[embedding], found, task.recipe.characters)
        notices += changes
    trained = [parameter.requires_grad for parameter in model.parameters()]
    fill(model, weights, found.where)
    for parameter, wanted in zip(model.parameters(), trained, strict=True):
        parameter.requires_grad_(wanted)
    return notices


def _check(found: SourceModel, task: Task) -> None:
    """Raise ValueError if the weights of the source model would mean something else in the recipe's."""
    ours: Config = task.recipe.model
    wrong = [s for s in differences(found.config.to_dict(), ours.to_dict()) if s not in FREE]
    if wrong:
        pairs = [f"its {s} is {_setting(found.config, s)!r}, the recipe's is {_setting(ours, s)!r}" for s in wrong]
        raise ValueError(f"{found.where}: {'; '.join(pairs)}")
    if found.tokens and found.tokens != task.data_info().get("tokens"):
        raise ValueError(f"{found.where} was trained on tokens of another semantic model, codec or speaker encoder")


def _with_training_parts(found: dict[str, Tensor], task: Task, model: nn.Module) -> dict[str, Tensor]:
    """Return the source model's weights with those that only training needs: its own if they fit, else the model's."""
    weights = {name: value for name, value in found.items() if not name.startswith(task.training_only)}
    for name, value in model.state_dict().items():
        if name.startswith(task.training_only):
            other = found.get(name)
            weights[name] = value if other is None or other.shape != value.shape else other
    return weights


def _replace_part(part: str, weights: dict[str, Tensor], model: nn.Module) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights with the model's own for an optional part, and a notice, if its shapes differ."""
    own, theirs = ({n: w for n, w in some.items() if n.startswith(part)} for some in (model.state_dict(), weights))
    if {n: w.shape for n, w in own.items()} == {n: w.shape for n, w in theirs.items()}:
        return weights, []
    fate = "start untrained" if own else "are dropped: the recipe has none"
    return {n: w for n, w in weights.items() if n not in theirs} | own, [f"the {part[:-1]} {fate}"]


def _match(rows: Tensor, found: SourceModel, characters: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Return the embedding [1 + C, D] for `characters`, from the source model's `rows`, and notices for the user."""
    places = {c: i for i, c in enumerate(found.characters, 1)}
    if len(rows) <= len(places):
        raise ValueError(f"{found.where}: {len(places)} characters, but {len(rows)} rows in the embedding")
    kept = [places[c] for c in characters if c in places]
    if not kept:
        raise ValueError(f"{found.where}: none of its characters is in the recipe's, {''.join(characters)!r}")
    rows = rows.float()  # a half-precision mean would be coarse
    mean = rows[kept].mean(0)
    matched = rows.new_empty(1 + len(characters), rows.shape[1])
    matched[0] = rows[0]
    for i, c in enumerate(characters, 1):
        bare = unicodedata.normalize("NFD", c)[0]
        known = c if c in places else bare  # é starts like e
        matched[i] = rows[places[known]] if known in places else mean
    notices = []
    new, lost = [c for c in characters if c not in places], [c for c in found.characters if c not in characters]
    if new:
        names = " ".join(map(repr, new))
        notices.append(f"new characters, which start like the letter below the accent, or the mean of all: {names}")
    if lost:
        notices.append(f"characters that are dropped, because the recipe lacks them: {' '.join(map(repr, lost))}")
    return matched, notices


def _match_listed(name: str, rows: Tensor, theirs: Config, ours: Config) -> Tensor:
    """Return an embedding of languages or phones, whose rows follow a list in the config, for our list of them.

    Known entries keep their rows; new ones start at zero.
    """
    field, special, slots = next(value for end, value in LISTED.items() if name.endswith(end))
    old, new = getattr(theirs, field), getattr(ours, field)
    source = rows.unflatten(0, (slots, special + len(old)))
    matched = source.new_zeros(slots, special + len(new), rows.shape[1])
    matched[:, :special] = source[:, :special]
    for number, entry in enumerate(new):
        if entry in old:
            matched[:, special + number] = source[:, special + old.index(entry)]
    return matched.flatten(0, 1)


def _find(name: str, task: Task) -> SourceModel:
    if name == "bundled" or name in resolve.BUNDLED:  # the package's own model of this task
        folder = resolve.ASSETS / task.name
    else:
        files = ("*.json", "*.safetensors", "vocab.txt")
        folder = resolve.find(name, (*files, "config.yaml", "pytorch_model.bin") if task.name == "vocoder" else files)
    if (folder / "recipe.json").exists():
        return _run(folder, task)
    if (folder / "config.json").exists():
        return _exported(folder, task)
    if task.name == "vocoder" and (folder / "config.yaml").exists():
        path = folder / "pytorch_model.bin"
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        config, weights = published.import_vocos(text, read_weights(path), str(folder))
        return SourceModel(path, config, weights, "")
    if task.name != "vocoder" and (folder / "vocab.txt").exists():
        return _published(folder, task)
    raise ValueError(
        f"{folder} holds no {task.name} model: neither an exported one (config.json), nor a training run "
        "(recipe.json), nor a published one"
    )


def _run(folder: Path, task: Task) -> SourceModel:
    path = folder / "recipe.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = values.pop("task")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path}: unreadable, or without the name of its task") from None
    if kind != task.name:
        raise ValueError(f"{path}: a run of {kind!r}; a {task.name} model is needed")
    recipe = type(task.recipe).from_dict(values, str(path))
    found = Checkpoints(folder, keep=1).all()
    if not found:
        raise ValueError(f"{folder} holds no checkpoint yet (checkpoints/step-*.pt)")
    state: dict[str, Any] = read_weights(found[-1])
    if not isinstance(state.get("average"), dict):
        raise ValueError(f"{found[-1]}: a checkpoint without EMA weights")
    tokens = state.get("about_data", {}).get("tokens")
    return SourceModel(found[-1], recipe.model, state["average"], getattr(recipe, "characters", ""), tokens)


def _exported(folder: Path, task: Task) -> SourceModel:
    values = resolve.read_config(folder, task.name, NANOSPEECH_SETTINGS)
    kind = type(task.recipe.model)
    config = kind.from_dict(values.get("model", {}), str(folder / "config.json"))
    path = folder / "model.safetensors"
    return SourceModel(path, config, read_weights(path), values.get("characters", ""), values.get("tokens"))


def _published(folder: Path, task: Task) -> SourceModel:
    path = folder / ("model.safetensors" if task.name == "nanospeech" else "duration.safetensors")
    read = published.import_nanospeech if task.name == "nanospeech" else published.import_duration
    config, weights = read(read_weights(path), str(path))
    characters = read_vocabulary(folder / "vocab.txt")
    published.check_rows(folder / "vocab.txt", characters, config.vocab_size, path.name)
    return SourceModel(path, config, weights, characters)


def _setting(config: Config, name: str) -> object:
    """Return the value of a setting by its dotted name."""
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value
