"""What the tests of evaluate share."""

from __future__ import annotations

import functools
import io
import json
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from vivavoce import audio
from vivavoce.cli import main, speak
from vivavoce.metrics.mos import Opinion
from vivavoce.voices import Voice, get

Out = pytest.CaptureFixture[str]
RATE = 24_000


class FakeTTS:
    """Speaks two seconds at 0.3 (luna: 0.1), and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Voice, dict[str, Any]]] = []
        self.fails_at: dict[int, BaseException] = {}
        self.loaded: list[tuple[Any, ...]] = []
        self.system = SimpleNamespace(
            embedded=lambda voice: voice, sample_rate=RATE, copy_synthesis=lambda samples: samples * 0.5
        )

    def load(self, *arguments: Any, **rest: Any) -> FakeTTS:
        self.loaded.append((*arguments, *rest.values()))
        return self

    def speak(self, text: str, voice: Voice, **options: Any) -> SimpleNamespace:
        self.asked.append((text, voice, options))
        if error := self.fails_at.get(len(self.asked)):
            raise error
        level = 0.1 if voice.name == "luna" else 0.3
        return SimpleNamespace(samples=tone(2, level), sample_rate=RATE)


class FakeJudges:
    """Hears "one cat"; a voice is how loud the sound is, so that built-in voices are all alike but for luna's clips."""

    def __init__(self) -> None:
        self.heard = 0
        self.told: list[str] = []  # languages
        self.hears: dict[str, str] = {}  # by language, in place of the cat
        self.lock = threading.Lock()

    def transcribe(self, samples: Any, sample_rate: int, language: str) -> str:
        with self.lock:
            self.heard += 1
            self.told.append(language)
        return self.hears.get(language, "one cat")

    def embed(self, samples: Any, sample_rate: int) -> np.ndarray:
        loud = float(np.abs(samples).max())
        return np.array([np.cos(loud), np.sin(loud)], dtype=np.float32)

    def score(self, samples: Any, sample_rate: int) -> Opinion:
        return Opinion(3.0, 3.5, 4.0)


builtin = functools.cache(get)


def run(line: str) -> int:
    return speak.run(main.app, ["evaluate", *line.split()])


def report(line: str) -> dict[str, Any]:
    """What --json writes."""
    assert run(f"{line} --json out.json") == 0
    told: dict[str, Any] = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert told["complete"] is True
    return told


def rows(table: dict[str, Any], *metrics: str) -> list[tuple[Any, ...]]:
    return [tuple(row[metric] for metric in ("voice", *metrics)) for row in table["rows"]]


def tone(seconds: float, level: float) -> np.ndarray:
    """A square wave, as loud as its level throughout."""
    return np.where(np.arange(round(seconds * RATE)) % 100 < 50, level, -level).astype(np.float32)


def sound(path: str, seconds: float = 1.0, level: float = 0.3) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, level), RATE)


def shard(name: str, items: list[tuple[str, dict[str, Any], float]]) -> None:
    """A WebDataset shard of (key, JSON, seconds)."""
    with tarfile.open(name, "w") as tar:
        for i, (key, about, seconds) in enumerate(items):
            wave = audio.encode(tone(seconds, 0.1 * (i + 1)), RATE, "wav")
            for extension, data in (("wav", wave), ("json", json.dumps(about).encode())):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
