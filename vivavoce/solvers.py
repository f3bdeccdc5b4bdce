"""Ordinary differential equations for flow matching: the noise at the start, step schedules and fixed-step methods.

Noise comes from numpy, so that a seed means the same to PyTorch and MLX. The methods are arithmetic only (+, *, and
calls of the field), so arrays of both pass through.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

State = Any  # an array of any library that has + and *

PASSES = {"euler": 1, "midpoint": 2, "rk4": 4}  # evaluations of the field per interval


def starting_noise(seeds: Sequence[int], lengths: Sequence[int], width: int, scale: float) -> np.ndarray:
    """Gaussian noise [B, max(lengths), width], float32 and times `scale`: each item from its own seed, then zeros."""
    noise = np.zeros((len(seeds), max(lengths), width), np.float32)
    for i, (seed, length) in enumerate(zip(seeds, lengths, strict=True)):
        noise[i, :length] = np.random.default_rng(seed).standard_normal((length, width), dtype=np.float32) * scale
    return noise


def schedule(steps: int, sway_coef: float = 0.0) -> list[float]:
    """`steps` + 1 times from 0 to 1: `steps` is the number of intervals, not of points.

    `sway_coef` below 0 puts more of them where noise dominates (F5-TTS, arXiv:2410.06885, equation 7); 0 spaces them
    evenly. Raises ValueError for fewer than one step or a coefficient outside [-1, 1].
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be 1 or more")
    if not -1 <= sway_coef <= 1:
        raise ValueError(f"sway_coef is {sway_coef}; it must be from -1 to 1")
    even = [i / steps for i in range(steps + 1)]
    return [t + sway_coef * (math.cos(math.pi / 2 * t) - 1 + t) for t in even]


def integrate(
    field: Callable[[float, State], State],
    state: State,
    times: Sequence[float],
    method: str = "euler",
    progress: Callable[[float], None] | None = None,
) -> State:
    """Follow d(state)/dt = field(t, state) from times[0] to times[-1]; only the current state is kept.

    `progress` is called with the share done, 0 to 1, after each interval. Raises ValueError for an unknown method.
    """
    if method not in PASSES:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(PASSES)}")
    x = state
    for i, (t, end) in enumerate(itertools.pairwise(times)):
        h = end - t
        if method == "euler":
            x = x + h * field(t, x)
        elif method == "midpoint":
            x = x + h * field(t + h / 2, x + h / 2 * field(t, x))
        else:
            k1 = field(t, x)
            k2 = field(t + h / 2, x + h / 2 * k1)
            k3 = field(t + h / 2, x + h / 2 * k2)
            k4 = field(end, x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if progress is not None:
            progress((i + 1) / (len(times) - 1))
    return x
