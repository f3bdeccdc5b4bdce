"""The tasks by name. The module of a task is imported when the task is loaded."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vivavoce.train.tasks.base import Task

# name: module, class or factory of the task, class of the recipe
TASKS: dict[str, tuple[str, str, str]] = {
    "vocoder": ("vocoder", "vocoder_task", "VocoderRecipe"),
    "duration": ("duration", "DurationTask", "DurationRecipe"),
    "nanospeech": ("nanospeech", "NanospeechTask", "NanospeechRecipe"),
    "aligner": ("aligner", "AlignerTask", "AlignerRecipe"),
    "semantic": ("semantic", "SemanticTask", "SemanticRecipe"),
    "codec": ("codec", "CodecTask", "CodecRecipe"),
    "t2s": ("tokens", "T2STask", "T2SRecipe"),
    "s2a": ("tokens", "S2ATask", "S2ARecipe"),
}
# the same, for a task and the `alignment` of its model
ALIGNED: dict[tuple[str, str], tuple[str, str, str]] = {
    ("t2s", "frames"): ("masked_t2s", "MaskedT2STask", "MaskedT2SRecipe")
}


def load_task(name: str, recipe: Path | dict[str, Any]) -> Task:
    """Load the task `name` with its recipe, a JSON file or an object.

    Raises ValueError for an unknown task, an unreadable file, or unknown or invalid settings.
    """
    if name not in TASKS:
        raise ValueError(f"task is {name!r}; it must be one of {', '.join(TASKS)}")
    where = "recipe"
    if isinstance(recipe, Path):
        where = str(recipe)
        try:
            values = json.loads(recipe.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(f"{recipe}: no such file") from None
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{recipe}: not a readable JSON file ({error})") from None
    else:
        values = recipe
    if isinstance(values, dict) and "task" in values:  # as in a run's recipe.json
        if values["task"] != name:
            raise ValueError(f"{where}: a recipe for {values['task']!r}, not for {name!r}")
        values = {k: v for k, v in values.items() if k != "task"}
    module_name, task, recipe_type = ALIGNED.get((name, _alignment(values)), TASKS[name])
    module = importlib.import_module(f"vivavoce.train.tasks.{module_name}")
    return getattr(module, task)(getattr(module, recipe_type).from_dict(values, where))


def _alignment(values: Any) -> str:
    """Return the `alignment` of a recipe's model, or ""."""
    model = values.get("model") if isinstance(values, dict) else None
    return str(model.get("alignment", "")) if isinstance(model, dict) else ""
