"""How a voice is fitted: recipes that continue the base model, and how the minutes are spent. Imports no trainer.

Training is divided into slices of time. After each, the averaged weights become a candidate, and a killed run continues
in its current slice. The first slice measures the steps per minute; the decay of the learning rate is then set so that
it ends with the time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce.audio.files import write_json
from vivavoce.checkpoints.resolve import find, read_config
from vivavoce.checkpoints.weights import NANOSPEECH_SETTINGS, duration_folder

SLICES = 4  # candidates of a run
FIRST_SHARE = 0.15  # of the minutes, for measuring the pace
DURATION_SHARE = 0.1  # of the minutes, for the duration model, at most
DURATION_STEPS = 300
DECAY = 0.4  # share of the steps in which the learning rate decays
PATIENCE = 6  # validations
ENDLESS = 1_000_000  # steps; the time ends training
PASSES = 400  # over the recordings, at most: further ones would memorise them


@dataclass(frozen=True)
class Base:
    """The model that a voice is trained from."""

    name: str  # as `init_from` takes it
    folder: Path
    duration: Path  # folder of its duration model
    values: dict[str, Any]  # its config.json
    duration_values: dict[str, Any]


def find_base(model: str) -> Base:
    """Find a nanospeech model to train from. Raises ValueError if there is none, or it is a published one."""
    folder = find(model)
    values = read_config(folder, "nanospeech", NANOSPEECH_SETTINGS)
    duration = duration_folder(folder)
    about = read_config(duration, "duration", ("model", "characters"))
    config = values.get("model", {})
    if config.get("audio_prompt", True) or not config.get("speaker_dim"):
        raise ValueError(
            f"{folder}: a model that continues a recording; a voice is trained from one with speaker vectors"
        )
    return Base(model, folder, duration, values, about)


def check_lang(base: Base, lang: str) -> None:
    """Raise ValueError for a language that the base model does not speak, according to its files."""
    known = base.values["model"].get("languages") or (["en"] if base.name == "bundled" else [])
    if known and lang not in known:
        raise ValueError(f"lang is {lang!r}; the model that the voice is trained from speaks {', '.join(known)}")


def nanospeech_recipe(base: Base, minutes: float) -> dict[str, Any]:
    """Return the recipe that continues the base model on `minutes` of speech."""
    guided = float(base.values.get("sampling", {}).get("cfg", 2.0)) == 0.0  # the model has learned its guidance
    frames = 4000 if minutes >= 10 else 2500
    return {
        "model": base.values["model"],
        "characters": base.values["characters"],
        "sampling": base.values.get("sampling", {}),
        "aligner": "bundled" if base.values["model"].get("text_align") == "letters" else "",
        "drop": 0.1,
        "sway": -0.5,
        "guidance": 2.0 if guided else 0.0,
        "train": {
            "frames_per_batch": frames, "max_steps": ENDLESS, "warmup_steps": 20, "decay_steps": 0,
            "learning_rate": 3e-4, "weight_decay": 0.02, "betas": [0.9, 0.95], "clip_norm": 1.0, "ema": 0.98,
            "validate_every": ENDLESS, "checkpoint_minutes": 2.0, "keep_checkpoints": 1, "max_seconds": 15.0,
            "workers": 0,
        },
    }  # fmt: skip


def duration_recipe(base: Base) -> dict[str, Any]:
    """Return the recipe that continues the base's duration model."""
    config = base.duration_values["model"]
    return {
        "model": config,
        "characters": base.duration_values["characters"],
        "aligner": "bundled" if config.get("letters") else "",
        "train": {
            "frames_per_batch": 8000, "max_steps": DURATION_STEPS, "warmup_steps": 20, "learning_rate": 1e-4,
            "weight_decay": 0.05, "clip_norm": 1.0, "ema": 0.95, "mixed_precision": "no", "validate_every": 10,
            "patience": 5, "checkpoint_minutes": 2.0, "keep_checkpoints": 1, "max_seconds": 15.0, "workers": 0,
        },
    }  # fmt: skip


def with_schedule(recipe: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return a recipe for so many steps in all, with validations and early stopping."""
    schedule = {
        "max_steps": steps, "decay_steps": int(DECAY * steps), "validate_every": max(1, steps // 16),
        "patience": PATIENCE,
    }  # fmt: skip
    return {**recipe, "train": {**recipe["train"], **schedule}}


Train = Callable[[str, Path, Path, float, float], None]  # task, recipe file, run folder, minutes, of how many
Export = Callable[[Path, Path, str], None]  # run folder, model folder, which weights


def fit_durations(recipe: dict[str, Any], run: Path, minutes: float, train: Train, export: Export) -> Path:
    """Train the duration model, and return the folder of the best one."""
    write_json(path := run.with_name(f"{run.name}.json"), recipe)
    left = minutes - spent(run)
    if left > 0 or not step_of(run):
        train("duration", path, run, max(left, 0.01), minutes)
    out = run.with_name(f"{run.name}-best")
    export(run, out, "best" if (run / "checkpoints" / "best.pt").exists() else "average")
    return out


def fit_nanospeech(
    recipe: dict[str, Any],
    run: Path,
    minutes: float,
    frames: float,
    train: Train,
    export: Export,
    say: Callable[[str], None],
) -> list[Path]:
    """Train the model for `minutes` in slices, and return the folders of the candidates, earliest first.

    frames: mel frames of the training clips. Continues where a killed run stopped.
    """
    candidates = [run.with_name(f"candidate-{number}") for number in range(1, SLICES + 1)]
    plan = run.with_name(f"{run.name}.json")
    for number, out in enumerate(candidates):
        if _complete(out):
            continue
        if not plan.exists() and number == 0:
            write_json(part := run.with_name(f"{run.name}-pace.json"), recipe)
            left = FIRST_SHARE * minutes - spent(run)
            if left > 0 or not step_of(run):
                train("nanospeech", part, run, max(left, 0.01), minutes)
            pace = step_of(run) / max(spent(run), 1e-3)  # steps a minute
            most = PASSES * frames / recipe["train"]["frames_per_batch"]
            steps = max(step_of(run) + 1, round(min(pace * minutes, most)))
            write_json(plan, with_schedule(recipe, steps))
            say(f"{pace:.0f} steps a minute: {steps} steps, about {steps / max(pace, 1e-3):.0f} minutes")
        left = minutes * (number + 1) / SLICES - spent(run)
        if left > 0:
            before = time.monotonic()
            train("nanospeech", plan, run, left, minutes)
            ended = time.monotonic() - before < 0.9 * 60 * left  # by early stopping, or after the last step
        else:
            ended = False
        export(run, out, "average")
        if ended:
            break
    found = [out for out in candidates if _complete(out)]
    best = run.with_name("candidate-best")
    if (run / "checkpoints" / "best.pt").exists():
        export(run, best, "best")
        found.append(best)
    return found


def _complete(out: Path) -> bool:
    return (out / "config.json").exists() and (out / "model.safetensors").exists()


def step_of(run: Path) -> int:
    """Return the step of a run's newest checkpoint; 0 if there is none."""
    found = sorted((run / "checkpoints").glob("step-*.pt"))
    return int(found[-1].stem.removeprefix("step-")) if found else 0


def spent(run: Path) -> float:
    """Return the minutes that a run has trained, according to its log."""
    rows = log_rows(run)
    return float(rows[-1].get("minutes", 0.0)) if rows else 0.0


def log_rows(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log.jsonl."""
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:  # a line that a crash truncated
            continue
    return rows
