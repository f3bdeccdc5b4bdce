"""Export a training run as a model folder that `vivavoce.load` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from vivavoce.audio.files import part_file
from vivavoce.checkpoints.resolve import FORMAT
from vivavoce.checkpoints.weights_torch import read_weights
from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.tasks.registry import load_task

WEIGHTS = ("average", "model", "best")


def export(run: Path, out: Path, weights: str = "average") -> None:
    """Write a checkpoint of a run as float16 safetensors and config.json.

    `weights`: "average", the EMA weights of the newest checkpoint, which usually sound best; "model", its raw weights;
    or "best", the EMA weights of the step with the best validation loss. Raises ValueError if `run` holds no readable
    checkpoint, or none for "best" because it did not validate, and if `out` holds anything but an earlier export.
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
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{run / 'recipe.json'}: unreadable, or without the name of its task") from None
    task = load_task(name, run / "recipe.json")
    path, part = (checkpoints.best, "average") if weights == "best" else (found[-1], weights)
    if not path.exists():
        raise ValueError(f"{path}: no such file; only a run with validation data (--valid) has one")
    state: dict[str, Any] = read_weights(path)
    if not isinstance(state.get(part), dict):
        raise ValueError(f"{path}: a checkpoint without {part!r} weights")
    kept = {name: tensor for name, tensor in state[part].items() if not name.startswith(task.training_only)}
    write_folder(out, task.name, {**task.export(), **state.get("about_data", {})}, kept, str(path))


def write_folder(out: Path, kind: str, settings: dict[str, Any], weights: dict[str, Tensor], where: str) -> None:
    """Write a model folder in vivavoce's own format: config.json with `settings`, and `weights` in half precision.

    `where` names the origin of the weights in errors. Raises ValueError if a weight does not fit into float16.
    """
    half = {name: _half(tensor, f"{where}: {name}") for name, tensor in weights.items()}
    config = {"format": FORMAT, "kind": kind, **settings}
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=1, ensure_ascii=False)
    with part_file(out / "config.json") as about, part_file(out / "model.safetensors") as tensors:
        tensors.write_bytes(save(half))
        about.write_bytes(f"{text}\n".encode())


def _half(tensor: Tensor, where: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.to(torch.float16).contiguous()
    if not half.isfinite().all():
        raise ValueError(f"{where} does not fit into float16; the training has diverged")
    return half
