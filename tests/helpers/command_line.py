"""What the tests of cli share."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from vivavoce.cli import main, terminal

Out = pytest.CaptureFixture[str]


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, terminal: bool = False) -> None:
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", stream)


def vivavoce(*arguments: str) -> int:
    return terminal.run(main.app, arguments)


def recording(name: str = "me.wav", seconds: float = 3.0) -> str:
    rng = np.random.default_rng(0)
    soundfile.write(name, 0.1 * rng.standard_normal((round(seconds * 16_000), 2)), 16_000)
    return name
