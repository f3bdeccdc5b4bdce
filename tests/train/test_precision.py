"""The precision of a run on processors that are slow in the recipe's."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch
from helpers.corpus import write_corpus
from helpers.training import run

from vivavoce.train.precision import usable


@pytest.mark.parametrize(
    ("machine", "able", "used"), [("x86_64", False, "no"), ("x86_64", True, "bf16"), ("arm64", False, "bf16")]
)
def test_bfloat16_is_used_on_a_cpu_that_has_it(
    monkeypatch: pytest.MonkeyPatch, machine: str, able: bool, used: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: able, raising=False)
    precision, notice = usable("bf16", on_cpu=True)
    assert precision == used
    assert ("bfloat16" in notice) == (used == "no")


def test_a_gpu_and_other_precisions_are_left_alone() -> None:
    assert usable("bf16", on_cpu=False) == ("bf16", "")
    assert usable("no", on_cpu=True) == ("no", "")
    assert usable("auto", on_cpu=True) == ("no", "")
    assert usable("auto", on_cpu=False) == ("bf16", "")


def test_a_run_says_that_it_is_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    run("duration", write_corpus(tmp_path / "corpus"), tmp_path / "run", max_steps=1, mixed_precision="bf16")
    printed = capsys.readouterr()
    assert "bfloat16" in printed.out + printed.err
