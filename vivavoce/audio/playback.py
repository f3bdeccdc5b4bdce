"""Playback through the sound device. The package sounddevice is imported only where sound is played."""

from __future__ import annotations

import queue
import threading

from vivavoce.audio.devices import why_unusable
from vivavoce.audio.dsp import Samples


def why_silent() -> str | None:
    """Return why this machine cannot play sound; None if it can."""
    return why_unusable("output")


class Player:
    """Play chunks of samples in order, in a thread, while later chunks are generated."""

    def __init__(self, sample_rate: int) -> None:
        import sounddevice

        self._queue: queue.Queue[Samples | None] = queue.Queue()
        self._error: Exception | None = None
        self._stopped = False
        self._running = threading.Event()  # cleared while playback is paused
        self._running.set()
        self._block = sample_rate // 10
        self._stream = sounddevice.OutputStream(samplerate=sample_rate, channels=1, dtype="float32")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Player:
        self._stream.start()
        self._thread.start()
        return self

    def play(self, samples: Samples) -> None:
        """Queue a chunk. samples: float32 [S]"""
        self._queue.put(samples)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called, or the device failed."""
        return self._stopped or self._error is not None

    def stop(self) -> None:
        """Stop playback within a tenth of a second. What is queued, and what is queued later, is not played."""
        self._stopped = True
        self._running.set()

    def pause(self) -> bool:
        """Pause playback, or resume it if it is paused. Returns whether it is paused now."""
        if self._running.is_set() and not self._stopped:
            self._running.clear()
        else:
            self._running.set()
        return not self._running.is_set()

    def wait(self) -> None:
        """Wait until everything queued so far is played, or playback is stopped."""
        self._queue.put(None)
        while self._thread.is_alive() and not self.stopped:
            self._thread.join(0.1)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait until everything is played. After an error or Ctrl-C, stop at once."""
        if kind is not None:
            self.stop()
        self._queue.put(None)
        try:
            while self._thread.is_alive():
                self._thread.join(0.1)  # in short turns: a plain join cannot be interrupted on Windows
        finally:
            self.stop()
            self._stream.close()
        if self._error is not None and kind is None:
            raise ValueError(f"the sound device failed: {self._error}; use --output to write a file")

    def _run(self) -> None:
        try:
            while (samples := self._queue.get()) is not None:
                for start in range(0, len(samples), self._block):
                    self._running.wait()
                    if self._stopped:
                        return
                    self._stream.write(samples[start : start + self._block, None])  # [S, 1 channel]
            self._stream.stop()  # waits for what is still in the device's buffer
        except Exception as error:
            self._error = error
