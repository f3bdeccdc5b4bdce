"""A training run → a model folder that `vivavoce.load` reads."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file

from vivavoce.checkpoints import FORMAT
from vivavoce.checkpoints_torch import read_weights
from vivavoce.train.tasks import load_task


def export(run: Path, out: Path, weights: Literal["average", "model"] = "average") -> None:
    """Write the newest checkpoint of a run as float16 safetensors and config.json.

    The averaged weights (EMA) are what speaks best; "model" takes the raw ones. Raises ValueError where `run` holds no
    checkpoint or `out` holds something other than an earlier export.
    """
    found = sorted((run / "checkpoints").glob("step-*.pt"))
    if not found or not (run / "recipe.json").exists():
        raise ValueError(f"{run} holds no training run (no recipe.json with checkpoints/step-*.pt)")
    if out.is_file() or (out.exists() and any(out.iterdir()) and not (out / "config.json").exists()):
        raise ValueError(f"{out} is in use and not an earlier export; give another folder")
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    task = load_task(recipe.pop("task"), recipe)
    state: dict[str, torch.Tensor] = read_weights(found[-1])[weights]  # type: ignore[assignment]
    half = {name: tensor.to(torch.float16).contiguous() for name, tensor in state.items()}
    config = {"format": FORMAT, "kind": task.name, **task.export()}
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as temporary:
        save_file(half, Path(temporary) / "model.safetensors")
        text = json.dumps(config, indent=1, ensure_ascii=False)
        (Path(temporary) / "config.json").write_text(text + "\n", encoding="utf-8")
        for name in ("model.safetensors", "config.json"):
            os.replace(Path(temporary) / name, out / name)
