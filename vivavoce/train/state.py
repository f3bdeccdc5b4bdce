"""What a run keeps: the average of its weights, and checkpoints on disk.

Knows nothing about tasks or data.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_whole(values: Any, path: Path) -> None:
    """torch.save, whole or not at all. Raises OSError, naming the file, where the disk is full or not writable."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(values, temporary)
        os.replace(temporary, path)
    except RuntimeError as error:  # torch's way to report a full disk
        raise OSError(f"{path}: cannot be written ({str(error).splitlines()[0]}); is the disk full?") from None
    finally:
        temporary.unlink(missing_ok=True)


class Average:
    """Exponential moving average of a model's weights; it follows closely at first, when the weights are still poor."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        ours, theirs = ([p.detach() for p in m.parameters()] for m in (self.model, model))
        torch._foreach_lerp_(ours, theirs, weight)
        for mine, other in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(other)


class Checkpoints:
    """A run's checkpoints: out/checkpoints/step-00001234.pt, written whole or not at all, the newest few kept."""

    def __init__(self, out: Path, keep: int):
        self.folder, self.keep = out / "checkpoints", keep

    def all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        save_whole(state, self.folder / f"step-{step:08d}.pt")
        for old in self.all()[: -self.keep]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint. Raises ValueError where it cannot be read: starting over would hide that."""
        if not self.all():
            return None
        path = self.all()[-1]
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"{path}: unreadable checkpoint ({type(error).__name__}: {reason}); "
                "delete it to go on from the one before"
            ) from None
