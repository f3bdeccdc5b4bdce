"""Loads the stand-in engine in the worker processes of a batch."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from helpers.tones import Tones
from vivavoce.synthesis.tts import TTS


def load_tones(**model: Any) -> TTS:
    return TTS(Tones())


class Deadly(Tones):
    """Kills its process at the first text that contains "die", unless the file `alive` exists, and creates it."""

    def __init__(self, alive: str) -> None:
        super().__init__()
        self.alive = Path(alive)

    def synthesize(self, jobs: list[Any], progress: Any = None) -> list[Any]:
        if any("die" in job.piece.text for job in jobs) and not self.alive.exists():
            self.alive.touch()
            os.kill(os.getpid(), 9)
        return super().synthesize(jobs, progress)


def load_deadly(alive: str) -> TTS:
    return TTS(Deadly(alive))


class Poisoned(Tones):
    """Kills its process at each text that contains "die"."""

    def synthesize(self, jobs: list[Any], progress: Any = None) -> list[Any]:
        if any("die" in job.piece.text for job in jobs):
            os.kill(os.getpid(), 9)
        return super().synthesize(jobs, progress)


def load_poisoned(**model: Any) -> TTS:
    return TTS(Poisoned())


class Slow(Tones):
    """Takes a moment for each text, so that a test can interrupt it."""

    def synthesize(self, jobs: list[Any], progress: Any = None) -> list[Any]:
        time.sleep(0.05)
        return super().synthesize(jobs, progress)


def load_slow(**model: Any) -> TTS:
    return TTS(Slow())
