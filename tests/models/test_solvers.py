"""Schedules and fixed-step methods, on plain numbers, without a tensor library."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from vivavoce.models import solvers

ORDER = {"euler": 1, "midpoint": 2, "rk4": 4}


@pytest.mark.parametrize("sway", [-1.0, -0.4, 0.0, 0.7, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 32])
def test_steps_are_intervals_from_0_to_1(steps: int, sway: float) -> None:
    times = solvers.schedule(steps, sway)
    assert len(times) == steps + 1
    assert times[0] == 0 and times[-1] == pytest.approx(1, abs=1e-12)
    assert all(a < b for a, b in pairwise(times))


def test_without_sway_the_steps_are_even() -> None:
    assert solvers.schedule(4) == [0, 0.25, 0.5, 0.75, 1]


def test_negative_sway_spends_its_steps_where_noise_dominates() -> None:
    assert solvers.schedule(2, -1.0)[1] == pytest.approx(1 - math.cos(math.pi / 4))
    assert solvers.schedule(2, 1.0)[1] > 0.5


@pytest.mark.parametrize(("steps", "sway", "named"), [(0, 0.0, "steps is 0"), (-3, 0.0, "-3"), (4, 1.5, "1.5")])
def test_impossible_schedules_are_refused(steps: int, sway: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        solvers.schedule(steps, sway)


@pytest.mark.parametrize("method", ORDER)
def test_each_order_is_exact_on_its_polynomial_and_not_beyond(method: str) -> None:
    order = ORDER[method]
    times = solvers.schedule(3, -1.0)  # uneven steps
    for power in range(order + 1):
        end = solvers.integrate(lambda t, _, __: (power + 1) * t**power, 0.25, times, method)  # noqa: B023
        exact = end == pytest.approx(1.25, abs=1e-12)
        assert exact == (power < order), f"t^{power}"


@pytest.mark.parametrize("method", ORDER)
def test_halved_steps_shrink_the_error_by_the_order(method: str) -> None:
    """On dx/dt = x, where the field depends on the state."""
    error = [abs(solvers.integrate(lambda _, x, __: x, 1.0, solvers.schedule(n), method) - math.e) for n in (16, 32)]
    assert math.log2(error[0] / error[1]) == pytest.approx(ORDER[method], abs=0.15)


@pytest.mark.parametrize("method", ORDER)
def test_passes_are_steps_times_the_methods_own(method: str) -> None:
    asked: list[float] = []

    def field(t: float, x: float, end: float) -> float:
        asked.append(t)
        return 0.0

    assert solvers.integrate(field, 1.0, solvers.schedule(5), method) == 1.0
    assert len(asked) == 5 * solvers.PASSES[method]
    assert min(asked) == 0 and max(asked) <= 1


def test_progress_rises_to_1_once_a_step() -> None:
    reported: list[float] = []
    solvers.integrate(lambda t, x, end: x, 1.0, solvers.schedule(4), "rk4", reported.append)
    assert reported == [0.25, 0.5, 0.75, 1.0]


def test_an_unknown_method_is_named_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="'heun'.*euler, midpoint, rk4"):
        solvers.integrate(lambda t, x, end: x, 1.0, [0, 1], "heun")
