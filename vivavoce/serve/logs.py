"""The server's log on stderr: one line for each request, never any text that is spoken."""

from __future__ import annotations

import logging
import sys
import time

access = logging.getLogger("vivavoce.access")

_REPEATED_SECONDS = 60.0
_REPEATED = ("Invalid HTTP request received.", "Unsupported upgrade request.")  # any client can cause these at will
_REDUNDANT = ("ASGI callable returned without completing response.",)  # the reason has been logged already


def configure(level: str) -> None:
    """Write the logs of the server and of uvicorn to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_Noise())
    for name in ("vivavoce", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
    logging.getLogger("vivavoce").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)


class _Noise(logging.Filter):
    """Drop redundant records, and repeated ones that a client could use to fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if message.startswith(_REDUNDANT):
            return False
        if not message.startswith(_REPEATED):
            return True
        now = time.monotonic()
        if now - self._last.get(message, -_REPEATED_SECONDS) < _REPEATED_SECONDS:
            return False
        self._last[message] = now
        return True


def log_request(method: str, path: str, status: int, seconds: float, characters: int | None) -> None:
    """Log one request. `path` has no query, and control characters in it are escaped."""
    shown = path.encode("unicode_escape").decode() if not path.isprintable() else path
    text = "" if characters is None else f", {characters} characters"
    access.info("%s %s %d, %.3f s%s", method, shown[:200], status, seconds, text)
