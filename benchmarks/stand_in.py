"""A stand-in engine for benchmarks/batch.py: it needs no time, so what is left is the cost of everything around it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from vivavoce.audio.dsp import fade
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.text import CharTokenizer
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

RATE = 24_000
SECONDS_PER_CHARACTER = 0.02  # faster than anyone speaks, so that the checks of the sound take little time
LONGEST = 20.0  # seconds


class StandIn:
    """A System that answers every request with the beginning of the same sound, after some seconds of sleep."""

    sample_rate = RATE
    sampling = SamplingConfig(steps=3, method="midpoint", cfg=1.5, sway_coef=-0.5, max_seconds=10.0)
    uses_transcript = False
    prosody = False
    by_letters = False
    languages = ("en",)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:!?'-"])
        at = np.arange(round(LONGEST * RATE)) / RATE
        swell = 0.3 - 0.15 * np.cos((20 + 5 * at) * at)  # or it would be taken for a hum
        self.sound = (swell * np.sin(1000 * at)).astype(np.float32)

    def embedded(self, voice: Voice) -> Voice:
        return voice

    def predict_durations(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        return [len(piece.text) * SECONDS_PER_CHARACTER for piece in pieces]

    def synthesize(self, jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        results = []
        time.sleep(self.seconds * len(jobs))
        for job in jobs:
            ends = SECONDS_PER_CHARACTER * np.arange(1, len(job.piece.text) + 1, dtype=np.float32)
            results.append(SynthesisResult(fade(self.sound[: round(ends[-1] * RATE)], RATE, 0.1), ends))
        return results


def load_stand_in(seconds: float = 0.0) -> TTS:
    """Return the engine; importable in worker processes, as `vivavoce batch` needs it."""
    return TTS(StandIn(seconds))
