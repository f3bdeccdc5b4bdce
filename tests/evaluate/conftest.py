"""Fixtures of the tests of evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.evaluation import FakeJudges, FakeTTS, builtin

from vivavoce.checkpoints import resolve
from vivavoce.evaluate import plan
from vivavoce.evaluate import run as evaluation
from vivavoce.evaluate.judge import Judge


@pytest.fixture
def tts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTTS:
    """A model that loads at once, in a folder of its own to work in, with a list of two sentences."""
    fake = FakeTTS()
    (tmp_path / "assets" / "nanospeech").mkdir(parents=True)
    (tmp_path / "assets" / "nanospeech" / "model.safetensors").touch()
    monkeypatch.setattr(resolve, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(plan, "get", builtin)
    monkeypatch.setattr(evaluation, "load", fake.load)
    monkeypatch.delenv("VIVAVOCE_ASR", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("one cat\n\none dog\n", encoding="utf-8")
    return fake


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> FakeJudges:
    fake = FakeJudges()
    monkeypatch.setattr(evaluation, "load_judge", lambda asr, threads: Judge(fake, fake, fake))
    return fake
