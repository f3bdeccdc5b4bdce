"""How `vivavoce serve` is set up, checked before anything is loaded."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from vivavoce.config import Config

OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # what clients ask for when nobody told them otherwise


@dataclass(frozen=True)
class ServeConfig(Config):
    """All of a server's settings. The first of `models` also answers to OpenAI's names for theirs."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    models: tuple[str, ...] = ("bundled",)
    backend: str = "auto"
    device: str = "auto"
    api_key: str | None = None
    max_chars: int = 4096  # of one request; OpenAI's limit
    workers: int = 1  # processes, each with the models loaded
    queue: int = 64  # requests that may wait; one more is answered 429
    timeout: float = 600.0  # seconds for a request, waiting and all
    max_upload_mb: float = 10.0
    voices: str = ""  # folder of the voices that were added; "": the user's own

    def __post_init__(self) -> None:
        self.require(bool(self.host.strip()), "host", "a host name or an address")
        self.require(0 <= self.port <= 65_535, "port", "from 0 to 65535")
        self.require(bool(self.models), "models", "at least one model")
        self.require(1 <= self.max_chars <= 1_000_000, "max_chars", "from 1 to 1000000")
        self.require(1 <= self.workers <= 64, "workers", "from 1 to 64")
        self.require(0 <= self.queue <= 10_000, "queue", "from 0 to 10000")
        self.require(1 <= self.timeout <= 86_400, "timeout", "from 1 to 86400 seconds")
        self.require(0.1 <= self.max_upload_mb <= 100, "max_upload_mb", "from 0.1 to 100")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise ValueError("the API key is empty or has characters other than printable ASCII")
        if self.api_key is None and not self.local:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so it needs an API key: --api-key, or "
                "VIVAVOCE_API_KEY in the environment"
            )
        names = self.names()
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two models would have the name {name!r}; a name must stand for one of them")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    def names(self) -> list[str]:
        """What each of `models` is called in requests: a folder by its own name, the rest as they are."""
        return [Path(os.path.abspath(m)).name if os.path.isdir(m) else m for m in self.models]

    def resolve(self, name: str) -> str | None:
        """The name of the model that a request means by `name`, or None."""
        known = self.names()
        if name in known:
            return name
        return known[0] if name in OPENAI_MODELS else None

    def voices_folder(self) -> Path:
        """Where added voices are kept, by the system's custom for data of one user."""
        if self.voices:
            return Path(self.voices)
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Application Support"
        else:
            base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        return base / "vivavoce" / "voices"
