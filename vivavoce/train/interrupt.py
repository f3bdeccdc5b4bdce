"""Ctrl-C and SIGTERM: finish the step, save, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class StopSignal:
    """While entered, SIGINT and SIGTERM set `requested`; a second SIGINT raises KeyboardInterrupt at once.

    Has no effect outside the main thread, the only one that may handle signals.
    """

    def __init__(self, notify: Callable[[], None]):
        self.notify = notify
        self.number = 0  # of the signal that arrived first
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        return self.number != 0

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._previous = {n: signal.signal(n, self._handle) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.number = number
            self.notify()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def raise_requested(self) -> None:
        """Raise KeyboardInterrupt after SIGINT, or SystemExit with the status 143 after SIGTERM."""
        if self.number == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        if self.requested:
            raise KeyboardInterrupt
