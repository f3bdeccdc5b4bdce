"""The registry of engines: a row is all that a new engine needs."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from vivavoce.systems import load
from vivavoce.systems.load import Engine, load_system, locate, part_settings


def write(folder: Path, kind: str) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"format": 1, "kind": kind}))
    return str(folder)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A third engine, which is one row and one module; what its `load` was given."""
    given: dict[str, Any] = {}
    module = types.ModuleType("toy_engine")
    module.load = lambda files, options: given.update(files=files, options=options) or "a system"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_engine", module)
    row = Engine("toy", {"torch": "toy_engine"}, lambda model, files: None, parts=("codec", "ear"))
    monkeypatch.setattr(load, "ENGINES", (*load.ENGINES, row))
    return given


def test_the_engines_are_listed() -> None:
    assert {engine.kind for engine in load.ENGINES} == {"nanospeech", "whisperspeech"}
    assert {"duration", "vocoder", "t2s", "s2a", "codec"} <= set(part_settings())


def test_a_new_row_is_a_new_engine(engine: dict[str, Any], tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "toy")
    assert load_system(folder, device="cpu", vocoder="other") == "a system"  # type: ignore[comparison-overlap]
    assert engine["files"].folder == tmp_path / "model" and engine["options"].vocoder == "other"
    assert "ear" in part_settings()
    with pytest.raises(ValueError, match="is a toy model, which only runs in PyTorch"):
        load_system(folder, "mlx")
    with pytest.raises(ValueError, match="is a toy model, which has no quantised weights"):
        load_system(folder, "torch", bits=8)


def test_a_folder_that_no_engine_knows_goes_to_the_first(tmp_path: Path) -> None:
    assert locate(write(tmp_path / "model", "nothing"))[0].kind == "nanospeech"
    with pytest.raises(ValueError, match="a nothing model, where a nanospeech model is needed"):
        load_system(str(tmp_path / "model"), "torch", "cpu")
