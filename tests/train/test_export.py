"""Export of training runs: half precision, refused runs, and models that load."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import CHARACTERS, newest, run, write
from safetensors.torch import load_file

from vivavoce.checkpoints import weights_torch
from vivavoce.systems.load import load_system
from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.export import export

pytestmark = pytest.mark.usefixtures("one_thread")


def test_an_exported_vocoder_holds_the_average_in_half_precision(tmp_path: Path, shards: list[str]) -> None:
    state = run("vocoder", shards, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "out")
    export(tmp_path / "run", tmp_path / "out")  # over an earlier export
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert weights.keys() == state["average"].keys()
    for name, tensor in weights.items():
        assert tensor.dtype == torch.float16 and torch.equal(tensor, state["average"][name].half())
    assert any(not torch.equal(state["model"][n].half(), w) for n, w in weights.items())
    vocoder = weights_torch.load_vocoder(str(tmp_path / "out"))
    assert vocoder(torch.zeros(1, 5, 100)).shape == (1, 4 * 256)
    export(tmp_path / "run", tmp_path / "raw", "model")
    assert torch.equal(
        load_file(tmp_path / "raw" / "model.safetensors")["head.out.bias"], state["model"]["head.out.bias"].half()
    )


def test_exported_models_load_as_a_system(tmp_path: Path, shards: list[str]) -> None:
    for kind in ("vocoder", "duration", "nanospeech"):
        run(kind, shards, tmp_path / "runs" / kind)
        export(tmp_path / "runs" / kind, tmp_path / kind)
    path = tmp_path / "nanospeech" / "config.json"
    write(path, {**json.loads(path.read_text()), "duration": "../duration"})
    system = load_system(str(tmp_path / "nanospeech"), vocoder=str(tmp_path / "vocoder"), device="cpu")
    assert "".join(system.tokenizer.characters) == CHARACTERS and system.sample_rate == 24_000


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_exported_files_respect_the_umask(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run", max_steps=1)
    before = os.umask(0o022)
    try:
        export(tmp_path / "run", tmp_path / "out")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_what_cannot_be_exported_is_refused(tmp_path: Path, shards: list[str]) -> None:
    with pytest.raises(ValueError, match="holds no training run"):
        export(tmp_path, tmp_path / "out")
    run("duration", shards, tmp_path / "run")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="in use and not an earlier export"):
        export(tmp_path / "run", tmp_path / "used")
    state, path = newest(tmp_path / "run"), Checkpoints(tmp_path / "run", 1).all()[-1]
    state["average"]["out.bias"].fill_(1e6)
    torch.save(state, path)
    with pytest.raises(ValueError, match="out.bias does not fit into float16"):
        export(tmp_path / "run", tmp_path / "out")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"step-00000004\.pt: "):
        export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match=r"recipe\.json: unreadable, or without the name of its task"):
        export(tmp_path / "run", tmp_path / "out")


def test_a_run_starts_from_exported_weights(tmp_path: Path, shards: list[str], capsys: Any) -> None:
    first = run("duration", shards, tmp_path / "first")
    export(tmp_path / "first", tmp_path / "model")
    settings: dict[str, Any] = {"start": tmp_path / "model", "learning_rate": 1e-9, "ema": 0.0}
    tuned = run("duration", shards, tmp_path / "tuned", max_steps=1, **settings)
    for name, tensor in first["average"].items():
        torch.testing.assert_close(tuned["model"][name], tensor.half().float(), rtol=0, atol=1e-7)
    assert not torch.equal(tuned["model"]["out.weight"], load_file(tmp_path / "model/model.safetensors")["out.weight"])
    run("duration", shards, tmp_path / "tuned", max_steps=2, **settings)  # the same command resumes
    assert "is ignored: the run has already begun" in capsys.readouterr().err


def test_the_best_of_a_run_without_validation_is_refused(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    run("duration", shards, tmp_path / "run")
    with pytest.raises(ValueError, match=r"best\.pt: no such file; .* \(--valid\)"):
        export(tmp_path / "run", tmp_path / "out", "best")
    with pytest.raises(ValueError, match="weights is 'worst'; it must be one of average, model, best"):
        export(tmp_path / "run", tmp_path / "out", "worst")
