"""A written text beside its spoken form: aligned lines, changes marked."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.synthesis.side_by_side import side_by_side


def columns(shown: str) -> tuple[list[str], list[str]]:
    parts = [re.fullmatch(r"[ │] (.*?)\s*│ ?(.*)", line) for line in shown.split("\n")[1:]]
    return [m[1].strip() for m in parts if m], [m[2].strip() for m in parts if m]


def test_changed_words_stand_beside_each_other() -> None:
    shown = side_by_side("Dr. Li paid $5 today.", "Doctor Li paid five dollars today.", width=60)
    written, spoken = columns(shown)
    row = next(i for i, line in enumerate(written) if "$5" in line)
    assert "five dollars" in spoken[row]
    assert shown.split("\n")[1].startswith("│ Dr.")


def test_changes_are_coloured() -> None:
    shown = side_by_side("It is 5.", "It is five.", width=60, colour=True)
    assert "\x1b[31m5.\x1b[0m" in shown and "\x1b[32mfive.\x1b[0m" in shown
    assert "It is" in shown and "\x1b" not in side_by_side("It is 5.", "It is five.")


def test_a_long_change_is_wrapped() -> None:
    shown = side_by_side("9" * 15, "nine hundred and ninety-nine trillion " * 4, width=40)
    assert all(len(line) <= 40 for line in shown.split("\n"))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["a", "bee", "5", "$3.50", "longer"])), st.lists(st.sampled_from(["a", "bee", "five"])))
def test_nothing_is_lost(written: list[str], spoken: list[str]) -> None:
    left, right = columns(side_by_side(" ".join(written), " ".join(spoken), width=50))
    assert " ".join(left).split() == written
    assert " ".join(right).split() == spoken
