"""Recipes of tiny models, and runs of a few steps."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.tasks.base import Task
from vivavoce.train.trainer import train

CHARACTERS = " abcdefghijklmnopqrstuvwxyz."
SMALL = {"vocab_size": len(CHARACTERS), "dim": 16, "depth": 1}
DIT = {"heads": 1, "head_dim": 16, "ff_mult": 1, "text_dim": 8}
MODELS: dict[str, dict[str, Any]] = {
    "vocoder": {"model": {"dim": 8, "intermediate_dim": 16, "num_layers": 1}, "crop": 8},
    "duration": {"model": {"kind": "characters", **SMALL, "dropout": 0.2}, "characters": CHARACTERS},
    "transformer": {"model": {"kind": "transformer", **SMALL, **DIT, "dropout": 0.2}, "characters": CHARACTERS},
    "nanospeech": {
        "model": {**SMALL, **DIT, "text_layers": 1, "text_align": "durations", "patch": 2, "dropout": 0.2},
        "characters": CHARACTERS,
    },
}


def recipe(kind: str, **settings: Any) -> dict[str, Any]:
    """A tiny run of 4 steps at a constant rate, in batches of two or three utterances; `settings` change it."""
    budget = 27 if kind == "vocoder" else 200
    common = {"frames_per_batch": budget, "max_steps": 4, "warmup_steps": 2, "decay_steps": 0, "learning_rate": 1e-2}
    common |= {"ema": 0.9, "mixed_precision": "no", "workers": 0, **settings}
    return {**MODELS[kind], "train": common}


def task_of(kind: str) -> str:
    return "duration" if kind == "transformer" else kind


def write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def run(
    kind: str, data: list[str], out: Path, *, valid: Any = (), minutes: Any = None, start: Any = None, **s: Any
) -> Any:
    """Train with `trainer.train` and return the newest checkpoint."""
    out.parent.mkdir(parents=True, exist_ok=True)
    config = write(out.parent / f"{out.name}-recipe.json", recipe(kind, **s))
    train(task_of(kind), config, data, out, minutes, valid, init_from=None if start is None else str(start))
    return newest(out)


def send_signal(
    monkeypatch: pytest.MonkeyPatch, task: type[Task], at: int, times: int = 1, number: int = signal.SIGINT
) -> None:
    """Send a signal to this process during the loss of step `at`, counted from 1."""
    calls, loss = [0], task.loss

    def interrupted(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        calls[0] += 1
        if calls[0] == at:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return loss(self, model, *rest)

    monkeypatch.setattr(task, "loss", interrupted)


def newest(out: Path) -> Any:
    return torch.load(Checkpoints(out, 1).all()[-1], weights_only=True)


def steps(out: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in Checkpoints(out, 1).all()]


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(a: Any, b: Any, tolerance: float = 1e-6) -> None:
    """Two checkpoints agree in losses, weights, averages, optimizer state and place in the data."""
    for name in ("step", "epoch", "data", "frames"):
        assert a[name] == b[name], name
    assert a["recent"] == pytest.approx(b["recent"], abs=tolerance)
    for part in ("model", "average"):
        for name, tensor in a[part].items():
            torch.testing.assert_close(tensor, b[part][name], rtol=0, atol=tolerance, msg=f"{part} {name}")
    for number, state in a["optimizer"]["state"].items():
        for name, tensor in state.items():
            torch.testing.assert_close(tensor, b["optimizer"]["state"][number][name], rtol=0, atol=tolerance)
