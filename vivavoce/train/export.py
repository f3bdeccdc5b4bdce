"""A training run → a model folder that `vivavoce.load` reads."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vivavoce.checkpoints import FORMAT
from vivavoce.checkpoints_torch import read_weights
from vivavoce.train.state import Checkpoints
from vivavoce.train.tasks import load_task

WEIGHTS = ("average", "model", "best")


def export(run: Path, out: Path, weights: str = "average") -> None:
    """Write the newest checkpoint of a run as float16 safetensors and config.json; `weights` is one of WEIGHTS.

    The averaged weights (EMA) are what speaks best; "model" takes the raw ones, "best" the average not of the newest
    checkpoint but of the step that did best on the validation data. Raises ValueError where `run` holds no readable
    checkpoint, "best" is wanted of a run without validation, `weights` is none of these, or `out` holds something other
    than an earlier export.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights is {weights!r}; it must be one of {', '.join(WEIGHTS)}")
    checkpoints = Checkpoints(run, keep=1)
    found = checkpoints.all()
    if not found or not (run / "recipe.json").exists():
        raise ValueError(f"{run} holds no training run (no recipe.json with checkpoints/step-*.pt)")
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / "config.json").exists()):
        raise ValueError(f"{out} is in use and not an earlier export; give another folder")
    try:
        name = json.loads((run / "recipe.json").read_text(encoding="utf-8"))["task"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{run / 'recipe.json'}: unreadable, or it does not name its task") from None
    task = load_task(name, run / "recipe.json")
    path, part = (checkpoints.best, "average") if weights == "best" else (found[-1], weights)
    if not path.exists():
        raise ValueError(f"{path}: no such file; a run keeps it when it has validation data (--valid)")
    state: dict[str, Any] = read_weights(path)
    if not isinstance(state.get(part), dict):
        raise ValueError(f"{path}: a checkpoint without {part!r} weights")
    kept = {name: tensor for name, tensor in state[part].items() if not name.startswith(task.training_only)}
    write_folder(out, task.name, {**task.export(), **state.get("about_data", {})}, kept, str(path))


def write_folder(out: Path, kind: str, settings: dict[str, Any], weights: dict[str, Tensor], where: str) -> None:
    """Write a model folder of our own format: config.json of `settings`, and `weights` in half precision.

    `where` says in errors what the weights come from. Raises ValueError where a weight does not fit into float16.
    """
    half = {name: _half(tensor, f"{where}: {name}") for name, tensor in weights.items()}
    config = {"format": FORMAT, "kind": kind, **settings}
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as temporary:
        save_file(half, Path(temporary) / "model.safetensors")
        text = json.dumps(config, indent=1, ensure_ascii=False)
        (Path(temporary) / "config.json").write_text(text + "\n", encoding="utf-8")
        shutil.copymode(Path(temporary) / "config.json", Path(temporary) / "model.safetensors")  # not for us alone
        for file in ("model.safetensors", "config.json"):
            os.replace(Path(temporary) / file, out / file)


def _half(tensor: Tensor, where: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.to(torch.float16).contiguous()
    if not half.isfinite().all():
        raise ValueError(f"{where} does not fit into float16; the model has gone wrong in training")
    return half
