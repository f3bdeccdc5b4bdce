"""Settings of `vivavoce serve`, checked before anything is loaded."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from vivavoce.config import Config
from vivavoce.voices import own_folder

OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")  # what OpenAI's clients request by default
DEFAULT_MODEL = "nanospeech"
LEVELS = ("debug", "info", "warning", "error")  # of the log
ALIASES = {"bundled": DEFAULT_MODEL}  # former names of models

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


@dataclass(frozen=True)
class ServeConfig(Config):
    """All settings of a server. The first of `models` also answers to OPENAI_MODELS."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free port
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    backend: str = "auto"
    device: str = "auto"
    api_key: str | None = None
    max_chars: int = 4096  # of one request; OpenAI's limit
    max_seconds: float = 900.0  # of speech in one answer, as predicted before anything is generated
    workers: int = 1  # processes, each with the models in memory
    queue: int = 64  # requests that may wait; further ones are answered with 429
    timeout: float = 600.0  # seconds for one request, including the wait
    max_upload_mb: float = 10.0
    max_connections: int = 1024  # open at the same time
    max_connections_per_client: int = 256  # of one address; behind a reverse proxy, all clients have its address
    voices: str = ""  # folder for added voices; "": in the user's data folder
    voice_aliases: str = ""  # a JSON file with names that stand for voices; "": OpenAI's names only
    browser_page: str = ""  # folder of the page that speaks in the browser; "": none
    studio: bool = False  # whether voices are trained in the page
    studio_folder: str = ""  # of the voices that are being made; "": in the user's data folder
    allow_origins: tuple[str, ...] = ()  # sites whose pages may use the server; "*": all
    log_level: str = "info"

    def __post_init__(self) -> None:
        self.require(bool(self.host.strip()), "host", "a host name or an address")
        self.require(0 <= self.port <= 65_535, "port", "between 0 and 65535")
        self.require(bool(self.models), "models", "at least one model")
        self.require(1 <= self.max_chars <= 1_000_000, "max_chars", "between 1 and 1000000")
        self.require(1 <= self.max_seconds <= 360_000, "max_seconds", "between 1 and 360000")
        self.require(1 <= self.workers <= 64, "workers", "between 1 and 64")
        self.require(0 <= self.queue <= 10_000, "queue", "between 0 and 10000")
        self.require(1 <= self.timeout <= 86_400, "timeout", "between 1 and 86400 seconds")
        self.require(0.1 <= self.max_upload_mb <= 100, "max_upload_mb", "between 0.1 and 100")
        self.require(1 <= self.max_connections <= 65_536, "max_connections", "between 1 and 65536")
        self.require(
            1 <= self.max_connections_per_client <= self.max_connections,
            "max_connections_per_client",
            "between 1 and max_connections",
        )
        self.require(self.log_level in LEVELS, "log_level", f"one of {', '.join(LEVELS)}")
        for name in ("index.html", "model/model.json", "ort") if self.browser_page else ():
            if not (Path(self.browser_page) / name).exists():
                raise ValueError(f"browser page {self.browser_page!r} has no {name}; 'make demo' writes such a folder")
        for origin in self.allow_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"origin {origin!r} must look like https://example.org or http://localhost:3000")
            if origin == "*" and self.api_key is None:
                raise ValueError("origin '*' would let every web site use this server, so it needs an API key")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise ValueError("the API key is empty or has characters other than printable ASCII")
        if self.api_key is None and not self.local and self.studio:
            raise ValueError(
                f"--studio at host {self.host!r} would let other machines record and train here, so it needs an API "
                "key: set --api-key, or VIVAVOCE_API_KEY in the environment"
            )
        if self.studio_folder and not self.studio:
            raise ValueError("--studio-folder needs --studio")
        if self.api_key is None and not self.local:
            raise ValueError(
                f"host {self.host!r} can be reached from other machines, so it needs an API key: set --api-key, or "
                "VIVAVOCE_API_KEY in the environment"
            )
        names = self.names()
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two models have the name {name!r}; the names must differ")

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    def names(self) -> list[str]:
        """Return the name of each model in requests: a folder's own name, other models' names as they are."""
        named = [Path(os.path.abspath(m)).name if os.path.isdir(m) else m for m in self.models]
        return [ALIASES.get(name, name) for name in named]

    def sources(self) -> dict[str, str]:
        """Return what to load for each of `names`."""
        return dict(zip(self.names(), self.models, strict=True))

    def resolve(self, name: str) -> str | None:
        """Return the name of the model that a request means by `name`; None if there is none."""
        known = self.names()
        if name in known:
            return name
        folded = name.strip().casefold()
        if folded in OPENAI_MODELS:
            return known[0]
        wanted = ALIASES.get(folded, folded)
        return next((model for model in known if model.casefold() == wanted), None)

    def allows_origin(self, origin: str | None) -> bool:
        """Return whether the pages of an origin, beside the server's own, may use the server."""
        return origin is not None and (origin in self.allow_origins or "*" in self.allow_origins)

    def studios_folder(self) -> Path:
        """Return the folder of the studio: as configured, else beside the user's voices folder."""
        return Path(self.studio_folder) if self.studio_folder else own_folder().parent / "studio"

    def voices_folder(self) -> Path:
        """Return the folder for added voices: as configured, else the user's voices folder."""
        return Path(self.voices) if self.voices else own_folder()
