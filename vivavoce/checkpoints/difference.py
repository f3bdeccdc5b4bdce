"""The difference between a model's weights and those that it was trained from: computed, stored and added, in numpy.

A difference is a dict of float16 tensors. NAME is the whole difference of a tensor; NAME|left [O, R] and NAME|right
[R, I] are its factors, if a product of rank R comes close enough. Tensors that do not differ are left out.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

LEFT, RIGHT = "|left", "|right"
SMALLEST = 4096  # elements; a smaller tensor is stored whole

Tensors = Mapping[str, npt.NDArray[Any]]


class WeightDifference(Protocol):
    """Trained weights of a voice; `bundles.VoiceWeights` is one."""

    @property
    def voice(self) -> str:
        """The name of the voice, for messages."""

    @property
    def base(self) -> Mapping[str, str]:
        """Kind of model -> `digest` of the weights that the difference belongs to."""

    def tensors(self, part: str) -> Tensors:
        """Return the difference for a kind of model. Raises ValueError if it is damaged."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError if it cannot be read."""
    stat = path.stat()
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=16)
def _digest(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def subtract(tuned: Tensors, base: Tensors, loss: float = 0.0) -> dict[str, npt.NDArray[np.float16]]:
    """Return the difference of two models' weights.

    loss: a matrix is stored as factors if they take less room and leave out at most this part of the sum of its
    squares, 0 to 1; 0: never. Raises ValueError if the models differ in their tensors.
    """
    if {n: t.shape for n, t in tuned.items()} != {n: t.shape for n, t in base.items()}:
        raise ValueError("the trained model has other tensors than the one it was trained from")
    found: dict[str, npt.NDArray[np.float16]] = {}
    for name, tensor in tuned.items():
        change = tensor.astype(np.float32) - base[name].astype(np.float32)
        if not change.any():
            continue
        factors = _factors(change, loss) if loss > 0 and change.ndim > 1 and change.size >= SMALLEST else None
        if factors is None:
            found[name] = change.astype(np.float16)
        else:
            found[name + LEFT], found[name + RIGHT] = (factor.astype(np.float16) for factor in factors)
    return found


def _factors(change: npt.NDArray[np.float32], loss: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Return the smallest factors that are close enough, or None if the whole is smaller."""
    matrix = change.reshape(len(change), -1)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    left_out = 1 - np.cumsum(values**2) / np.sum(values**2)
    rank = int(np.argmax(left_out <= loss)) + 1
    if rank * sum(matrix.shape) >= matrix.size:
        return None
    root = np.sqrt(values[:rank])
    return left[:, :rank] * root, root[:, None] * right[:rank]


def add(base: Tensors, difference: Tensors, where: str) -> dict[str, npt.NDArray[np.float32]]:
    """Return weights with a difference added, in float32; the given ones stay as they are.

    where: names the difference in errors. Raises ValueError for a difference that does not fit.
    """
    result = {name: tensor.astype(np.float32) for name, tensor in base.items()}
    for stored in difference:
        if stored.endswith(RIGHT):
            continue
        name = stored.removesuffix(LEFT)
        change = difference[stored].astype(np.float32)
        size = change.size
        if stored.endswith(LEFT):
            right = difference.get(name + RIGHT)
            if right is None or change.ndim != 2 or right.ndim != 2 or change.shape[1] != right.shape[0]:
                raise ValueError(f"{where}: the factors of {name} do not fit together")
            size = len(change) * right.shape[1]
        if name not in result or size != result[name].size:  # before the product, which could be huge
            raise ValueError(f"{where}: {name} does not fit the model")
        if stored.endswith(LEFT):
            change = change @ difference[name + RIGHT].astype(np.float32)
        result[name] += change.reshape(result[name].shape)
    return result


def changes_for(difference: WeightDifference | None, part: str, path: Path) -> Tensors | None:
    """Return the difference for the weights at `path` of a kind of model; None if there is none for it.

    Raises ValueError if it belongs to other weights.
    """
    if difference is None or part not in difference.base:
        return None
    wanted, found = difference.base[part], digest(path)
    if wanted != found:
        raise ValueError(
            f"voice {difference.voice!r} was trained from another {part} model (SHA-256 {wanted[:12]}…, here is "
            f"{found[:12]}…); train it again, or speak with the model that it was trained from (--model)"
        )
    return difference.tensors(part)
