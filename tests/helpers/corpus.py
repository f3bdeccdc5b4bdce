"""Shards of short tones with texts, and samples that training must skip."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

TEXTS = ("the cat sat", "a dog ran off", "no", "birds sing at dawn", "we go home now", "so it is")
Files = dict[str, bytes]  # extension → content, of one sample


def sound(
    seconds: float, seed: int = 0, format: str = "wav", rate: int = 24_000, channels: int = 1, level: float = 1
) -> bytes:
    """Return an encoded tone with some noise, whose pitch depends on the seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (150 + 40 * seed) * time) + 0.02 * rng.standard_normal(len(time))
    file = io.BytesIO()
    soundfile.write(file, np.repeat(level * wave[:, None], channels, 1), rate, format=format.upper())
    return file.getvalue()


def word_times(text: str, seconds: float) -> list[list[Any]]:
    """Return times of evenly spread words with a pause after each."""
    words = text.split()
    step = seconds / len(words)
    return [[w, round(i * step, 3), round((i + 0.8) * step, 3)] for i, w in enumerate(words)]


def samples(count: int, words: bool = False, start: int = 0) -> list[Files]:
    """Return utterances of 0.4 to 1.2 s in three audio formats, with KEY.json or KEY.txt."""
    made: list[Files] = []
    for n in range(start, start + count):
        seconds, text, format = 0.4 + 0.8 * (n * 7 % 11) / 10, TEXTS[n % len(TEXTS)], ("wav", "flac", "ogg")[n % 3]
        files = {format: sound(seconds, n, format)}
        if words or n % 2:
            meta: dict[str, Any] = {"text": text, "speaker": f"s{n % 2}"}
            if words:
                meta["words"] = word_times(text, seconds)
            files["json"] = json.dumps(meta).encode()
        else:
            files["txt"] = text.encode()
        made.append(files)
    return made


def write_shard(path: Path, made: Sequence[Files], first: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for n, files in enumerate(made, first):
            for extension, content in files.items():
                info = tarfile.TarInfo(f"u{n:03d}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return str(path)


def write_corpus(folder: Path, count: int = 8, shards: int = 2, words: bool = False) -> list[str]:
    """A corpus of `count` utterances u000, u001, … in so many shards."""
    each = -(-count // shards)
    return [
        write_shard(folder / f"s-{i:03d}.tar", samples(min(each, count - i * each), words, i * each), i * each)
        for i in range(shards)
    ]


BAD: dict[str, list[Files]] = {
    "unreadable audio": [{"wav": b"RIFF no wave", "txt": b"x"}],
    "no audio": [{"txt": b"x"}, {"mp4": b"x", "txt": b"x"}],
    "no text": [{"wav": sound(0.5)}],
    "unreadable json": [{"wav": sound(0.5), "json": b"{"}, {"wav": sound(0.5), "json": b'["a list"]'}],
    "empty text": [
        {"wav": sound(0.5), "txt": b" \n"},
        {"wav": sound(0.5), "json": b'{"text": ""}'},
        {"wav": sound(0.5), "json": b'{"text": 3}'},
    ],
    "unreadable word times": [
        {"wav": sound(0.5), "json": b'{"text": "x", "words": [["x", "soon", "later"]]}'},
        {"wav": sound(0.5), "json": b'{"text": "x", "words": ["x"]}'},
        {"wav": sound(0.5), "json": b'{"text": "x", "words": [["x", NaN, 1.0]]}'},
        {"wav": sound(0.5), "json": b'{"text": "x", "words": 3}'},
    ],
    "shorter than 0.3 s": [{"wav": sound(0.2), "txt": b"x"}],
    "longer than 5.0 s": [{"wav": sound(5.1), "txt": b"x"}],
    "silent audio": [{"wav": sound(0.5, level=0), "txt": b"x"}],
}
