"""What a run keeps: the average of its weights, and checkpoints on disk.

Knows nothing about tasks or data.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


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


def whole(values: Any) -> Any:
    """The same nested values, each tensor that is spread over processes put together, on the CPU.

    All processes must ask for it at once.
    """
    if isinstance(values, dict):
        return {name: whole(value) for name, value in values.items()}
    if isinstance(values, list):
        return [whole(value) for value in values]
    return values.full_tensor().cpu() if _is_spread(values) else values


def parted(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """A whole optimizer's state, spread as the optimizer's parameters are; the inverse of `whole`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    spread = {
        number: {
            name: _spread(value, parameters[number])
            if isinstance(value, Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": spread}


def _is_spread(value: Any) -> bool:
    return hasattr(value, "full_tensor")  # a DTensor; by its method, for the class has moved between versions of torch


def _spread(value: Tensor, like: Any) -> Tensor:
    if not _is_spread(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


class Average:
    """Exponential moving average of a model's weights; it follows closely at first, when the weights are still poor."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.parts: list[Any] = []  # where the model is spread over processes: this process's part, in place of `model`

    def shard(self, model: nn.Module) -> None:
        """From here on, follow a model that is spread over processes (FSDP2). `collect` puts the average together."""
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        self.parts = [_spread(mine, other) for mine, other in pairs]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        pairs = zip(self.parts or self.model.parameters(), model.parameters(), strict=True)
        ours, theirs = zip(*([_own(p.detach()) for p in pair] for pair in pairs), strict=True)
        torch._foreach_lerp_(ours, theirs, weight)
        for mine, other in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(other)

    @torch.no_grad()
    def collect(self) -> None:
        """Bring `model` up to date where it is spread over processes; all of them must ask for it at once."""
        for mine, part in zip(self.model.parameters(), self.parts, strict=False):
            mine.copy_(part.full_tensor())


def _own(tensor: Any) -> Tensor:
    """The part of a tensor that this process holds."""
    return tensor.to_local() if _is_spread(tensor) else tensor


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the settings in which two recipes or configs of one kind differ."""
    names = []
    for name, value in new.items():
        if isinstance(value, dict):
            names += differences(old[name], value, f"{prefix}{name}.")
        elif old[name] != value:
            names.append(prefix + name)
    return names


class Checkpoints:
    """A run's checkpoints: out/checkpoints/step-00001234.pt, written whole or not at all, the newest few kept.

    Beside them is best.pt: the averaged weights that did best on the validation data, and what they scored.
    """

    def __init__(self, out: Path, keep: int):
        self.folder, self.keep = out / "checkpoints", keep
        self.best = self.folder / "best.pt"

    def all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        save_whole(state, self.folder / f"step-{step:08d}.pt")
        for old in self.all()[: -self.keep]:
            old.unlink()

    def save_best(self, state: dict[str, Any]) -> None:
        save_whole(state, self.best)

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
