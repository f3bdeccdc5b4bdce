"""The examples for Emilia and LibriTTS-R from beginning to end, on a tiny copy of the data set and of each model."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.command_line import vivavoce

import vivavoce as package

pytest.importorskip("accelerate")

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ("The cat sat on the mat.", "A dog ran off with it.", "Birds sing at dawn.", "We go home now, all of us.")
TINY = {"dim": 16, "depth": 1, "heads": 1, "head_dim": 16, "ff_mult": 1, "text_dim": 16, "text_layers": 1}
RUN = {"max_steps": 2, "warmup_steps": 1, "decay_steps": 0, "validate_every": 2, "workers": 0, "frames_per_batch": 600}
Sounds = list[tuple[str, str, np.ndarray]]


def sounds() -> Sounds:
    """Return (speaker, text, sound) of a few readers: the built-in voices, cut short."""
    found = []
    for number, voice in enumerate(package.voices()):
        for piece, text in enumerate(TEXTS):
            found.append((f"{100 + number}", text, voice.samples[piece * 24_000 : piece * 24_000 + 36_000]))
    return found


def encoded(wave: np.ndarray, format: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 24_000, format=format)
    return file.getvalue()


def libritts(folder: Path) -> list[str]:
    """Write SPEAKER/CHAPTER/NAME.wav with NAME.normalized.txt; return the arguments of prepare."""
    for number, (speaker, text, wave) in enumerate(sounds()):
        stem = folder / "LibriTTS_R" / speaker / "1" / f"{speaker}_1_{number:06d}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.with_suffix(".wav").write_bytes(encoded(wave, "WAV"))
        Path(f"{stem}.normalized.txt").write_text(text)
    return [str(folder / "LibriTTS_R"), "--kind", "libritts", "--format", "ogg"]


def emilia(folder: Path) -> list[str]:
    """Write a shard of KEY.mp3 and KEY.json as Emilia's; return the arguments of prepare."""
    shard = folder / "EN-B000000.tar"
    with tarfile.open(shard, "w") as tar:
        for number, (speaker, text, wave) in enumerate(sounds()):
            key = f"EN_B00000_S00000_W{number:06d}"
            meta = {"id": key, "text": text, "duration": len(wave) / 24_000, "speaker": speaker, "language": "en"}
            for extension, content in (
                ("mp3", encoded(wave, "MP3")),
                ("json", json.dumps(meta | {"dnsmos": 3.3}).encode()),
            ):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return [str(shard)]


def tiny(path: Path, out: Path) -> str:
    """Write a recipe with its model and its run made small, and nothing else changed."""
    recipe: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    small = {name: size for name, size in TINY.items() if name in recipe["model"]}
    recipe["model"] |= small | ({"text_layers": 0} if recipe["model"].get("kind") == "transformer" else {})
    recipe["train"] |= RUN | {"mixed_precision": "no"}
    out.write_text(json.dumps(recipe))
    return str(out)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write"), [("libritts-r", libritts), ("emilia", emilia)])
def test_an_example_runs_to_a_voice_that_speaks(name: str, write: Any, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    share = ("--valid-speaker-share", "0.2", "--workers", "1")
    assert vivavoce("prepare", *write(tmp_path), str(shards), *share) == 0
    for task in ("duration", "nanospeech"):
        config = tiny(ROOT / "examples" / name / f"{task}.json", tmp_path / f"{task}.json")
        data = ("--data", str(shards / "train-*.tar"), "--valid", str(shards / "valid-*.tar"))
        assert vivavoce("train", task, "--config", config, *data, "--out", str(tmp_path / f"run-{task}")) == 0
        assert vivavoce("export", str(tmp_path / f"run-{task}"), str(tmp_path / task)) == 0
    about = json.loads((tmp_path / "nanospeech" / "config.json").read_text())
    (tmp_path / "nanospeech" / "config.json").write_text(json.dumps(about | {"duration": "../duration"}))
    out = tmp_path / "spoken.wav"
    flags = ("--voice", "nash", "--seed", "1", "--retries", "0", "--steps", "1")
    assert vivavoce("--model", str(tmp_path / "nanospeech"), "It speaks.", *flags, "-o", str(out)) == 0
    assert soundfile.info(out).duration > 0.1


def test_the_hours_that_are_fetched_are_the_hours_that_are_told() -> None:
    page = (ROOT / "examples" / "libritts-r" / "README.md").read_text(encoding="utf-8")
    parts = {"train_clean_100": 54, "train_clean_360": 191, "train_other_500": 310}  # hours, from openslr.org/141
    fetched = [part for part in parts if f"resources/141/{part}.tar.gz" in page]
    hours = sum(parts[part] for part in fetched)
    assert f"fetch the {hours} hours" in page
    train = json.loads((ROOT / "examples" / "libritts-r" / "nanospeech.json").read_text())["train"]
    passes = train["max_steps"] * train["frames_per_batch"] / 93.75 / 3600 / hours
    assert f"{passes:.0f} passes over the {hours} hours" in page
