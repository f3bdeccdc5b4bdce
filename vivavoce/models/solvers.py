"""Solvers for the differential equation of flow matching: initial noise, step schedules and fixed-step methods.

Noise comes from numpy, so a seed has the same effect in PyTorch and MLX. The methods only use +, * and calls of the
field, so they work with arrays of both.
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
    """Return Gaussian noise [B, max(lengths), width], float32, times `scale`: from a seed per item, zero-padded."""
    noise = np.zeros((len(seeds), max(lengths), width), np.float32)
    for i, (seed, length) in enumerate(zip(seeds, lengths, strict=True)):
        noise[i, :length] = np.random.default_rng(seed).standard_normal((length, width), dtype=np.float32) * scale
    return noise


def schedule(steps: int, sway_coef: float = 0.0) -> list[float]:
    """Return `steps` + 1 times from 0 to 1; `steps` is the number of intervals, not of points.

    A `sway_coef` below 0 moves them towards 0, where noise dominates (F5-TTS, arXiv:2410.06885, equation 7); 0 spaces
    them evenly. Raises ValueError for fewer than one step or a coefficient outside [-1, 1].
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be 1 or more")
    if not -1 <= sway_coef <= 1:
        raise ValueError(f"sway_coef is {sway_coef}; it must be from -1 to 1")
    even = [i / steps for i in range(steps + 1)]
    return [t + sway_coef * (math.cos(math.pi / 2 * t) - 1 + t) for t in even]


def integrate(
    field: Callable[[float, State, float], State],
    state: State,
    times: Sequence[float],
    method: str = "euler",
    progress: Callable[[float], None] | None = None,
) -> State:
    """Integrate d(state)/dt = field(t, state, end) from times[0] to times[-1] and return the final state.

    `end` is the time up to which the returned velocity is used from t on: a field of mean velocities needs it, others
    ignore it. midpoint and rk4 pass `end` = t, because they combine velocities at single times. `progress` is called
    with the completed share, 0 to 1, after each interval. Raises ValueError for an unknown method.
    """
    if method not in PASSES:
        raise ValueError(f"method is {method!r}; it must be one of {', '.join(PASSES)}")
    x = state
    for i, (t, end) in enumerate(itertools.pairwise(times)):
        h = end - t
        if method == "euler":
            x = x + h * field(t, x, end)
        elif method == "midpoint":
            middle = t + h / 2
            x = x + h * field(middle, x + h / 2 * field(t, x, t), middle)
        else:
            middle = t + h / 2
            k1 = field(t, x, t)
            k2 = field(middle, x + h / 2 * k1, middle)
            k3 = field(middle, x + h / 2 * k2, middle)
            k4 = field(end, x + h * k3, end)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if progress is not None:
            progress((i + 1) / (len(times) - 1))
    return x
