"""Recording from a microphone. The package sounddevice is imported only where sound is recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.devices import why_unusable
from vivavoce.audio.dsp import Samples

RATE = 48_000  # Hz; what most microphones have


def why_deaf() -> str | None:
    """Return why this machine cannot record sound; None if it can."""
    return why_unusable("input")


class Recorder:
    """Record from the microphone within a `with` block; `samples` has what was recorded.

    level: called with the peak of each block, 0 to 1, from the device's thread.
    """

    def __init__(self, level: Callable[[float], None] | None = None, sample_rate: int = RATE) -> None:
        import sounddevice

        self.sample_rate = sample_rate
        self._level = level
        self._blocks: list[Samples] = []
        self._lock = threading.Lock()
        self._stream = sounddevice.InputStream(
            samplerate=sample_rate, channels=1, dtype="float32", blocksize=sample_rate // 20, callback=self._take
        )

    def __enter__(self) -> Recorder:
        self._stream.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stream.stop()
        self._stream.close()

    @property
    def samples(self) -> Samples:
        """What was recorded, float32 [S]."""
        with self._lock:
            return np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)

    def _take(self, block: npt.NDArray[np.float32], frames: int, time: Any, status: Any) -> None:
        mono = block[:, 0].copy()
        with self._lock:
            self._blocks.append(mono)
        if self._level is not None:
            self._level(float(np.abs(mono).max(initial=0.0)))
