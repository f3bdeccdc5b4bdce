"""The folder of a run: recipe.json says what its checkpoints were trained with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vivavoce.audio.files import atomic_write
from vivavoce.train.checkpoint import Checkpoints, differences, remove_leftovers

if TYPE_CHECKING:
    from vivavoce.train.tasks.base import Task

# Settings that may differ when a run is resumed; any other would make it a different run
MAY_CHANGE = (
    "max_steps",
    "decay_steps",
    "checkpoint_minutes",
    "validate_every",
    "patience",
    "keep_checkpoints",
    "workers",
    "cache",
    "damaged_shards",
)


def open_run(out: Path, task: Task, checkpoints: Checkpoints) -> None:
    """Create the folder of a run, or check that `out` holds a run of the same recipe, and store the recipe.

    Raises ValueError if the recipe differs in a setting that must not change, or the stored one is unreadable.
    """
    out.mkdir(parents=True, exist_ok=True)
    for folder in (out, out / "features", checkpoints.folder):
        remove_leftovers(folder)
    path = out / "recipe.json"
    if checkpoints.all() and (changed := _changed_settings(path, task)):
        raise ValueError(
            f"{out} holds a run with another recipe (different: {', '.join(changed)}); "
            "give another --out, or the old settings"
        )
    recipe = {"task": task.name, **task.recipe.to_dict()}
    atomic_write(path, json.dumps(recipe, indent=1, ensure_ascii=False).encode())


def _changed_settings(path: Path, task: Task) -> list[str]:
    """Return the settings in which the task's recipe may not differ from the stored one, but does."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        name = stored.pop("task")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f"{path}: missing or unreadable, so what {path.parent} was trained with is unknown; give another --out"
        ) from None
    if name != task.name:
        return ["task"]
    old = type(task.recipe).from_dict(stored, str(path)).to_dict()  # with defaults for settings that are newer
    return [
        setting
        for setting in differences(old, task.recipe.to_dict())
        # sampling settings take effect after export, not in training
        if setting.removeprefix("train.") not in MAY_CHANGE and not setting.startswith("sampling.")
    ]
