"""Folders and shards of recordings for `prepare`, and what it made of them."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vivavoce.data.tar import read_shard
from vivavoce.prepare.run import prepare
from vivavoce.prepare.settings import PrepareConfig

RATE = 16_000
TEXT = "The cat sat on the mat."
Samples = dict[str, dict[str, Any]]


def wave(seconds: float = 1.5, before: float = 0.0, after: float = 0.0, pitch: float = 200) -> np.ndarray:
    """Return a tone with silence around it, [S] at RATE."""
    tone = 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * RATE)) / RATE)
    return np.concatenate([np.zeros(round(before * RATE)), tone, np.zeros(round(after * RATE))])


def encoded(samples: np.ndarray, format: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=format)
    return file.getvalue()


def put(path: Path, samples: np.ndarray | None = None, text: str | bytes | None = TEXT, ending: str = ".txt") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave() if samples is None else samples, RATE)
    if text is not None:
        path.with_name(path.stem + ending).write_bytes(text if isinstance(text, bytes) else text.encode())


def recordings(folder: Path, count: int, speakers: int = 2) -> Path:
    for n in range(count):
        put(
            folder / f"s{n % speakers}" / f"r{n:03d}.wav",
            wave(1 + n % 5 / 10, pitch=150 + n),
            f"Take {'abcdefgh'[n % 8]} of it.",
        )
    return folder


def tar(path: Path, samples: dict[str, dict[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for key, files in samples.items():
            for extension, content in files.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return path


def described(text: str = TEXT, sound: np.ndarray | None = None, **fields: Any) -> dict[str, bytes]:
    meta = json.dumps({"text": text, **fields})
    return {"wav": encoded(wave() if sound is None else sound), "json": meta.encode()}


def stored(out: Path, split: str = "*") -> Samples:
    """Return, by key, the metadata and the audio in finished shards."""
    found: Samples = {}
    for path in sorted(out.glob(f"{split}-*.tar")):
        for key, files, _ in read_shard(path):
            assert key not in found
            sound = next(content for extension, content in files.items() if extension != "json")
            found[key] = {**json.loads(files["json"]), "sound": sound}
    return found


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def kept(source: Path | str, out: Path, **settings: Any) -> Samples:
    prepare(str(source), out, PrepareConfig(**settings), workers=1)
    return stored(out)


def reasons(report: dict[str, Any]) -> dict[str, list[str]]:
    return {reason: entry["examples"] for reason, entry in report["dropped"]["reasons"].items()}


def stop_after(items: int) -> Callable[[str, float], None]:
    """A progress function that acts as Ctrl-C does after so many items."""
    counter = itertools.count(1)

    def progress(description: str, done: float) -> None:
        if next(counter) == items:
            raise KeyboardInterrupt

    return progress
