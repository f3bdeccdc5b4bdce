"""A stand-in for a model: each text becomes a tone, so that tests of planning and synthesis need no weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vivavoce import audio
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.text import CharTokenizer
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

RATE = 24_000
SECONDS_PER_CHARACTER = 0.05
LONG = (
    "The sun had gone down behind the hills, and the valley lay in shadow. Nobody spoke for a long time. "
    "At last the old man rose, took his hat from the table, and went to the door. It was Dr. Smith who followed him, "
    "for he had paid $3.50 and wanted to see what he had bought. The road was empty. They walked on until the first "
    "houses came into sight, and there they stopped."
)


class Tones:
    """A System that speaks each text as a tone of 50 ms per character, its pitch drawn from the seed.

    The tone swells faster and faster and fades out, so that the audio quality checks accept it as speech.
    """

    sample_rate = RATE
    sampling = SamplingConfig(steps=3, method="midpoint", cfg=1.5, sway_coef=-0.5, max_seconds=10.0)
    uses_transcript = False
    prosody = False
    by_letters = False
    languages = ("en", "fr")

    def __init__(self) -> None:
        self.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:!?'-"])
        self.asked: list[SynthesisRequest] = []

    def embedded(self, voice: Voice) -> Voice:
        return voice

    def predict_durations(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        return [len(piece.text) * SECONDS_PER_CHARACTER / speed for piece in pieces]

    def synthesize(
        self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None = None
    ) -> list[SynthesisResult]:
        self.asked += jobs
        if progress is not None:
            progress(0.5)
        made = []
        for job in jobs:
            pitch = np.random.default_rng(job.seed).uniform(100, 400)
            each = SECONDS_PER_CHARACTER / job.options.speed
            time = np.arange(round(len(job.piece.text) * each * RATE)) / RATE
            ends = each * np.arange(1, len(job.piece.text) + 1, dtype=np.float32)
            tone = (0.3 - 0.15 * np.cos((20 + 5 * time) * time)) * np.sin(2 * np.pi * pitch * time)
            made.append(SynthesisResult(audio.fade(tone.astype(np.float32), RATE, 0.1), ends, job.piece.text))
        return made


def tester() -> Voice:
    """Return a voice that is not built in."""
    return Voice("tester", np.sin(np.arange(2 * RATE) * 0.05).astype(np.float32))
