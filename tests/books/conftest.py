"""Fixtures of the tests of books."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tones import Tones

from vivavoce.books import narrate


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.synthesis.synthesizer.check", lambda *_, **__: [])  # a tone is not good speech
    monkeypatch.setattr(narrate, "SECTION", 10.0)


@pytest.fixture
def system() -> Tones:
    return Tones()
