"""The best checkpoint of a run, and the end of a run without progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import rows, run
from safetensors.torch import load_file

from vivavoce.train.export import export
from vivavoce.train.tasks import duration

pytestmark = pytest.mark.usefixtures("one_thread")


def worsening(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Validations that give these losses, one after another."""
    left = iter(losses)
    monkeypatch.setattr(duration.DurationTask, "validate", lambda *_: {"loss": next(left), "total_error": 0.0})


def test_a_run_without_progress_ends_and_keeps_its_best_checkpoint(
    tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any
) -> None:
    settings: dict[str, Any] = {"max_steps": 9, "validate_every": 1, "valid": [shards[0]]}
    run("duration", shards, tmp_path / "two", **settings | {"max_steps": 2})
    worsening(monkeypatch, [0.5, 0.4, 0.45, 0.4, 0.3, 0.4, 0.4, 0.4])
    last = run("duration", shards, tmp_path / "run", patience=2, **settings)
    assert last["step"] == 4 and [row["valid_loss"] for row in rows(tmp_path / "run") if "valid_loss" in row][-1] == 0.4
    assert "patience is 2, and no validation has improved on step 2" in capsys.readouterr().err
    run("duration", shards, tmp_path / "run", patience=2, **settings)
    assert "nothing left to do: patience is 2" in capsys.readouterr().err

    export(tmp_path / "two", tmp_path / "second")
    export(tmp_path / "run", tmp_path / "last")
    export(tmp_path / "run", tmp_path / "best", "best")
    second, last, best = (load_file(tmp_path / name / "model.safetensors") for name in ("second", "last", "best"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in best.items())
    assert not all(torch.equal(tensor, last[name]) for name, tensor in best.items())

    assert run("duration", shards, tmp_path / "run", patience=3, **settings)["step"] == 8  # three after the 0.3


def test_an_interruption_does_not_use_up_patience(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    settings: dict[str, Any] = {"max_steps": 9, "validate_every": 2, "valid": [shards[0]], "patience": 2}
    worsening(monkeypatch, [0.4, 0.5, 0.6, 0.5])  # of the steps 2, 3 (where it is interrupted), 4, 6
    run("duration", shards, tmp_path / "run", **settings | {"max_steps": 3})
    assert run("duration", shards, tmp_path / "run", **settings)["step"] == 6
