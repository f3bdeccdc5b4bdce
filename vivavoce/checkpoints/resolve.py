"""Model names → folders and files, and reading config.json.

A model folder holds config.json and model.safetensors. Its config.json gives the kind of model, its settings, and the
other models that belong to it, such as the vocoder: "bundled", or a folder relative to this one. Folders without
config.json may be published checkpoints; `published_nanospeech` and `published_whisperspeech` recognise them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vivavoce.config import ASSETS

BUNDLED = ("nanospeech", "whisperspeech")  # `bundled` is the first of them
FORMAT = 1  # of config.json


class NeedsTorch(ValueError):
    """The model is of a kind, or of a size, that only PyTorch can run."""


class ModelFiles(NamedTuple):
    """A model on this machine."""

    folder: Path
    files: tuple[str, ...] = ()  # of a published checkpoint with several files to choose from; (): the folder's own


# ---- names ----------------------------------------------------------------------------------------------------------


def find(model: str, files: tuple[str, ...] = ("*.json", "*.safetensors", "vocab.txt")) -> Path:
    """Return the folder of a model: "bundled" or a bundled model's name, a local folder, or a Hugging Face repository.

    files: patterns of what is downloaded. Raises ValueError if there is no such model or the hub is unreachable.
    """
    if model == "bundled" or model in BUNDLED:
        folder = ASSETS / (BUNDLED[0] if model == "bundled" else model)
        if not folder.is_dir():
            raise ValueError(f"model {model!r} is not bundled in this version; give a folder or a Hugging Face name")
        return folder
    if os.path.isdir(model):
        return Path(model)
    if os.path.exists(model):
        raise ValueError(f"model {model!r} is a file; give the folder that holds config.json and model.safetensors")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or model.startswith("."):
        raise ValueError(
            f"no model {model!r}; give a folder, a Hugging Face name such as owner/name, or one of: "
            + ", ".join(("bundled", *BUNDLED))
        )
    huggingface_hub = _hub(model)
    with _hub_errors(model):
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=list(files)))


def _hub(model: str) -> Any:
    """Return the package that downloads models. Raises ValueError, naming the extra, if it is missing."""
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise ValueError(
            f"model {model!r} is on the Hugging Face hub, which needs huggingface_hub: pip install vivavoce[torch]"
        ) from None
    return huggingface_hub


@contextlib.contextmanager
def _hub_errors(model: str) -> Iterator[None]:
    """Turn errors of the Hugging Face hub into one ValueError that names the model."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"no folder {model!r} here, and Hugging Face has no such model ({type(error).__name__}: {reason})"
        ) from None


def split_name(model: str) -> tuple[str, tuple[str, ...]]:
    """Split "owner/name:t2s-a.model,s2a-b.model" into the name and the files; () if it names none."""
    found = re.fullmatch(r"(.+?):([^:/\\]+\.model)", model)
    return (found[1], tuple(found[2].split(","))) if found else (model, ())


def published_nanospeech(model: str, files: ModelFiles) -> ModelFiles | None:
    """Recognise a published nanospeech: model.safetensors with vocab.txt, and no config.json."""
    names = ("vocab.txt", "model.safetensors")
    return files if not files.files and all((files.folder / name).exists() for name in names) else None


def published_whisperspeech(model: str, files: ModelFiles) -> ModelFiles | None:
    """Recognise a published WhisperSpeech: one t2s-*.model and one s2a-*.model, downloaded if it is a repository.

    files.files: those that the user named. Raises ValueError, listing what there is, if several could be meant.
    """
    folder, named = files
    if not named and (folder / "model.safetensors").exists():
        return None
    present = _whisperspeech_files(model, folder)
    if not named and not any(name.startswith(("t2s-", "s2a-")) for name in present):
        return None
    pair = _t2s_and_s2a(model, present, named)
    return ModelFiles(folder if os.path.isdir(model) else find(model, pair), pair)


def _whisperspeech_files(model: str, folder: Path) -> list[str]:
    """Return the names of the *.model files in a folder, or in the repository that was downloaded there."""
    present = sorted(path.name for path in folder.glob("*.model"))
    if not os.path.isdir(model):
        huggingface_hub = _hub(model)
        with contextlib.suppress(ValueError), _hub_errors(model):  # offline, what was downloaded before
            present = sorted(name for name in huggingface_hub.list_repo_files(model) if name.endswith(".model"))
    return present


def _t2s_and_s2a(model: str, present: Sequence[str], named: Sequence[str]) -> tuple[str, str]:
    """Choose one file of each kind, those that are named first. Raises ValueError if several could be meant."""
    if missing := [name for name in named if name not in present]:
        raise ValueError(f"{model} has no {missing[0]}; it has {', '.join(present) or 'no .model files'}")
    kinds = [[name for name in present if name.startswith(f"{kind}-")] for kind in ("t2s", "s2a")]
    chosen = [[name for name in names if name in named] or names for names in kinds]
    if any(len(names) != 1 for names in chosen) or len(named) > 2:
        hint = f"; name them, as in {model}:{kinds[0][0]},{kinds[1][0]}" if all(kinds) else ""
        raise ValueError(f"{model}: one t2s-*.model and one s2a-*.model are needed; it has {', '.join(present)}{hint}")
    return chosen[0][0], chosen[1][0]


# ---- config.json ----------------------------------------------------------------------------------------------------


def kind_of(folder: Path) -> str:
    """Return the kind in a folder's config.json; "" if it gives none, which `read_config` reports."""
    return setting_of(folder, "kind")


def setting_of(folder: Path, name: str) -> str:
    """Return a setting in a folder's config.json; "" if it gives none, or the file is unreadable."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    return str(values.get(name, "")) if isinstance(values, dict) else ""


def read_config(folder: Path, kind: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Read the config.json of a `kind` model that may have `settings`.

    Raises ValueError if it is missing, not JSON, of a later format, of another kind, or has an unknown setting.
    """
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no config.json; is it a model folder?") from None
    except RecursionError:
        raise ValueError(f"{path}: not a readable JSON file (nested too deeply)") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({error})") from None
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ValueError(f'{path}: no "kind"; here it must be {kind}')
    if values.get("format") != FORMAT:
        raise ValueError(f"{path}: format {values.get('format')!r}; this version of vivavoce reads format {FORMAT}")
    if values["kind"] != kind:
        raise ValueError(f"{path}: a {values['kind']} model, where a {kind} model is needed")
    known = ("format", "kind", *settings)
    for key in values:
        if key not in known:
            raise ValueError(f"{path}: unknown setting {key!r}; valid are {', '.join(known)}")
    for key in ("duration", "vocoder", "t2s", "s2a", "codec", "speaker", "acoustic", "alignment"):
        if not isinstance(values.get(key, ""), str):
            raise ValueError(f'{path}: {key} is {values[key]!r}; it must be "bundled" or the name of a folder')
    characters = values.get("characters", "")
    if not isinstance(characters, str | list) or not all(isinstance(c, str) for c in characters):
        raise ValueError(f"{path}: characters is {characters!r}; it must be a string, or a list of strings")
    return values
