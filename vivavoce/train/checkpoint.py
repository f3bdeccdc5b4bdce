"""Checkpoints on disk, and tensors that are sharded over processes (FSDP2). Knows nothing about tasks or data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vivavoce.audio.files import part_file, remove_parts


class Checkpoints:
    """The checkpoints of a run: OUT/checkpoints/step-00001234.pt, written atomically, the newest `keep` of them.

    Beside them lies best.pt: the averaged weights with the best validation loss, and that loss.
    """

    def __init__(self, out: Path, keep: int):
        self.folder, self.keep = out / "checkpoints", keep
        self.best = self.folder / "best.pt"

    def all(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        save_tensors(state, self.folder / f"step-{step:08d}.pt")
        for old in self.all()[: -self.keep]:
            old.unlink()

    def save_best(self, state: dict[str, Any]) -> None:
        save_tensors(state, self.best)

    def load(self) -> dict[str, Any] | None:
        """Return the newest checkpoint, None if there is none.

        Raises ValueError if it cannot be read: starting over would hide that.
        """
        if not self.all():
            return None
        path = self.all()[-1]
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"{path}: unreadable checkpoint ({type(error).__name__}: {reason}); "
                "delete it to resume from the one before"
            ) from None


def save_tensors(values: Any, path: Path) -> None:
    """torch.save, atomically. Raises OSError, naming the file, if the disk is full or not writable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part_file(path) as part:
            torch.save(values, part)
    except RuntimeError as error:  # how torch reports a full disk
        raise OSError(f"{path}: cannot be written ({str(error).splitlines()[0]}); is the disk full?") from None


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of a process that was killed while it saved."""
    remove_parts(folder)
    for path in folder.glob("step-*.tmp"):  # of version 0.2 and older
        path.unlink(missing_ok=True)


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of the settings in which two recipes or configs of one kind differ."""
    names = []
    for name, value in new.items():
        if isinstance(value, dict):
            names += differences(old[name], value, f"{prefix}{name}.")
        elif old[name] != value:
            names.append(prefix + name)
    return names


# ---- sharded tensors ------------------------------------------------------------------------------------------------


def gather_full(values: Any) -> Any:
    """Return nested values with each sharded tensor gathered on the CPU; a collective operation."""
    if isinstance(values, dict):
        return {name: gather_full(value) for name, value in values.items()}
    if isinstance(values, list):
        return [gather_full(value) for value in values]
    return values.full_tensor().cpu() if is_sharded(values) else values


def shard_like(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Shard a gathered optimizer state as the optimizer's parameters are sharded; the inverse of `gather_full`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    sharded = {
        number: {
            name: shard_tensor_like(value, parameters[number])
            if isinstance(value, Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }
    return {**state, "state": sharded}


def shard_tensor_like(value: Tensor, like: Any) -> Tensor:
    """Return `value` sharded as `like` is, or as it is if that is no sharded tensor."""
    if not is_sharded(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def is_sharded(value: Any) -> bool:
    return hasattr(value, "full_tensor")  # a DTensor, whose class has moved between versions of torch
