"""Fixtures of the tests of cli."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from helpers.command_line import stdin
from helpers.tones import Tones


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tones:
    """A model that loads at once, no sound, no terminal, nothing on standard input, an empty folder to work in."""
    tones = Tones()
    monkeypatch.setitem(
        sys.modules,
        "vivavoce.systems.load",
        types.SimpleNamespace(load_system=lambda *_: tones, conversions=lambda _: ()),
    )
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.chdir(tmp_path)
    stdin(monkeypatch, b"")
    return tones
