"""benchmarks/attack.py: a short seeded part of the campaign."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.scoring import script

campaign = script("attack")


@pytest.mark.parametrize(
    ("family", "inputs"),
    [
        ("texts", 40),
        ("ssml", 40),
        ("books", 40),
        ("sounds", 20),
        ("voices", 20),
        ("weights", 10),
        ("tables", 40),
        ("shards", 40),
    ],
)
def test_hostile_inputs_are_accepted_or_refused_in_one_line(family: str, inputs: int) -> None:
    found = campaign.attack(family, inputs, seed=1, slow=20.0)
    assert found.inputs == inputs
    assert (found.tracebacks, found.slow, found.silent) == ([], [], [])


@pytest.mark.slow
@pytest.mark.parametrize(("family", "inputs"), [("configs", 20), ("http", 40)])
def test_hostile_configs_and_requests_are_refused(family: str, inputs: int) -> None:
    found = campaign.attack(family, inputs, seed=1, slow=60.0)
    assert (found.tracebacks, found.slow, found.silent) == ([], [], [])


def test_the_campaign_notices_each_kind_of_harm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def harm() -> None:
        raise KeyError("unexpected")

    def refuse() -> None:
        raise ValueError("size is -1; it must be at least 1")

    def ramble() -> None:
        raise ValueError("one\ntwo")

    def lose() -> None:
        raise campaign.Lost("3 of 4 samples")

    def family(rng: random.Random, folder: Path) -> Iterator[tuple[str, bytes, Any]]:
        for attempt in (harm, refuse, ramble, lose, lambda: None):
            yield "case", b"data", attempt

    monkeypatch.setitem(campaign.FAMILIES, "texts", (family, 5))
    found = campaign.attack("texts", 5, keep=tmp_path / "kept")
    assert (found.inputs, found.refused, len(found.tracebacks), len(found.silent)) == (5, 2, 2, 1)
    assert "KeyError" in found.tracebacks[0] and "3 of 4" in found.silent[0]
    assert len(list((tmp_path / "kept").iterdir())) == 3
