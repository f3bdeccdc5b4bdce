"""What the tests of train-voice share: recordings, a tiny model to start from, and a recogniser that is never wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from vivavoce.config import ASSETS
from vivavoce.data.samples import audio_of, metadata_of
from vivavoce.data.tar import read_shard
from vivavoce.metrics.asr import Transcript
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.nanospeech_torch import Nanospeech, duration_model
from vivavoce.train.export import write_folder

RATE = 24_000
SAID = "the quick brown fox jumps over the lazy dog"


class Recogniser:
    """Hears `SAID` in everything, and counts what it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def transcribe_words(self, samples: Any, sample_rate: int, language: str | None = None) -> Transcript:
        self.calls += 1
        words = SAID.split()
        step = len(samples) / sample_rate / len(words)
        times = tuple((word, i * step, (i + 0.9) * step) for i, word in enumerate(words))
        return Transcript(SAID, times, (0.95,) * len(words))

    def transcribe(self, samples: Any, sample_rate: int, language: str | None = None) -> str:
        return SAID


def tiny_base(folder: Path) -> Path:
    """Write a nanospeech folder of the bundled model's kind, with random weights, that trains in seconds."""
    about = json.loads((ASSETS / "nanospeech" / "config.json").read_text(encoding="utf-8"))
    durations = json.loads((ASSETS / "duration" / "config.json").read_text(encoding="utf-8"))
    small = {"dim": 16, "depth": 1, "heads": 1, "head_dim": 16, "text_dim": 16, "text_layers": 1, "ff_mult": 1}
    model = about["model"] | small
    lengths = durations["model"] | {"dim": 16, "depth": 1}
    torch.manual_seed(0)
    settings = {"model": model, "characters": about["characters"], "sampling": about["sampling"] | {"steps": 2}}
    weights = Nanospeech(NanospeechConfig.from_dict(model)).state_dict()
    write_folder(folder, "nanospeech", {**settings, "duration": "lengths"}, weights, "test")
    weights = duration_model(DurationConfig.from_dict(lengths)).state_dict()
    kind = {"model": lengths, "characters": durations["characters"]}
    write_folder(folder / "lengths", "duration", kind, weights, "test")
    return folder


def speech(root: Path, count: int = 8) -> list[tuple[np.ndarray, str]]:
    """Return recordings of one synthetic speaker, with their texts."""
    found = []
    speaker = ""
    for sample in read_shard(root / "benchmarks" / "recordings" / "validation.tar"):
        meta = metadata_of(sample.files)
        speaker = speaker or meta.speaker
        if meta.speaker == speaker:
            wave, rate = soundfile.read(io.BytesIO(audio_of(sample.files)), dtype="float32")
            assert rate == RATE
            found.append((wave, meta.text))
    return found[:count]


def write_recordings(root: Path, folder: Path, texts: bool = True, count: int = 8) -> Path:
    """Write recordings with .txt beside them, or, without texts, one long recording with pauses."""
    folder.mkdir(parents=True)
    made = speech(root, count)
    if texts:
        for number, (wave, text) in enumerate(made):
            soundfile.write(folder / f"{number:02d}.wav", wave, RATE)
            (folder / f"{number:02d}.txt").write_text(text)
    else:
        pause = np.zeros(RATE, np.float32)
        soundfile.write(
            folder / "long.flac", np.concatenate([part for wave, _ in made for part in (wave, pause)]), RATE
        )
    return folder
