"""Loads stand-ins for the engine and the judges in the workers of a cluster."""

from __future__ import annotations

from typing import Any

from helpers.evaluation import FakeJudges
from helpers.tones import Tones
from vivavoce.evaluate.judge import Judge
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError


def load_tones(*arguments: Any, **options: Any) -> TTS:
    return TTS(Mute())


class Mute(Tones):
    """Speaks, but for one word."""

    def synthesize(self, jobs: list[Any], progress: Any = None) -> list[Any]:
        if any("silence" in job.piece.text for job in jobs):
            raise SynthesisError("nothing came out")
        return super().synthesize(jobs, progress)


def load_fakes(asr: str, threads: int) -> Judge:
    fakes = FakeJudges()
    return Judge(fakes, fakes, fakes)
