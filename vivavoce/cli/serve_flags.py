"""Flags of the commands that serve: `serve`, `wyoming` and `mcp`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.options import DEFAULTS, NUMBER, WHOLE, Flags


@dataclass(frozen=True)
class ServeFlags(Flags):
    """Fields of `ServeConfig`."""

    host: Annotated[
        str | None,
        typer.Option(help="Address (default: 127.0.0.1). An address that other machines can reach needs an API key."),
    ] = None
    port: Annotated[int | None, typer.Option(**WHOLE, help="Port (default: 8000); 0 picks a free one.")] = None
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="nanospeech, whisperspeech, a model folder or a Hugging Face name (default: nanospeech). Repeat it to "
            "serve several models; requests choose one by name."
        ),
    ] = None
    backend: Annotated[str | None, typer.Option(help="auto, torch, mlx or onnx (default: auto).")] = None
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda (cuda:1 is the second GPU) or mps (default: auto).")
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(envvar="VIVAVOCE_API_KEY", help="API key that clients must send as a Bearer token."),
    ] = None
    max_chars: Annotated[
        int | None, typer.Option(**WHOLE, help="Maximum characters of one request (default: 4096).")
    ] = None
    max_seconds: Annotated[
        float | None,
        typer.Option(
            **NUMBER, help="Maximum seconds of speech in one answer, as predicted before generation (default: 900)."
        ),
    ] = None
    workers: Annotated[
        int | None, typer.Option(**WHOLE, help="Worker processes, each with the models in memory (default: 1).")
    ] = None
    queue: Annotated[
        int | None,
        typer.Option(**WHOLE, help="Requests that may wait; further ones are answered with 429 (default: 64)."),
    ] = None
    timeout: Annotated[
        float | None, typer.Option(**NUMBER, help="Maximum seconds for one request, including the wait (default: 600).")
    ] = None
    max_upload_mb: Annotated[
        float | None, typer.Option(**NUMBER, help="Maximum size of an uploaded recording in megabytes (default: 10).")
    ] = None
    max_connections: Annotated[
        int | None, typer.Option(**WHOLE, help="Maximum number of open connections (default: 1024).")
    ] = None
    max_connections_per_client: Annotated[
        int | None,
        typer.Option(**WHOLE, help="The same for one address (default: 256). Raise it behind a reverse proxy."),
    ] = None
    voices: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for added voices (default: in the user's data folder)."),
    ] = None
    voice_aliases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='JSON file with other names for voices, such as {"alloy": "luna"}. It adds to the built-in aliases '
            "for OpenAI's voices; null removes one.",
        ),
    ] = None
    browser_page: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also serve the page that speaks inside the browser at /in-browser/: the folder of 'make demo'.",
        ),
    ] = None
    studio: Annotated[
        bool,
        typer.Option(
            "--studio",
            help="Add a tab to the page, and addresses under /v1/studio, to record a voice and to train it on this "
            "machine (extra train).",
        ),
    ] = False
    studio_folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the studio's recordings (default: in the user's data folder)."),
    ] = None
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Let the pages of this site use the server, such as https://example.org (CORS). Repeat it for several "
            "sites; * means all, and needs an API key.",
        ),
    ] = None
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info, warning or error (default: info). info logs a line for each request."),
    ] = None

    def settings(self) -> dict[str, Any]:
        """Return the arguments of `ServeConfig`."""
        names = {"model": "models", "allow_origin": "allow_origins"}
        plain: dict[str, Any] = {"models": tuple, "allow_origins": tuple}
        plain |= dict.fromkeys(("voices", "voice_aliases", "browser_page", "studio_folder"), str)
        given = {names.get(name, name): value for name, value in self.given().items()}
        return {name: plain.get(name, lambda value: value)(value) for name, value in given.items()}


@dataclass(frozen=True)
class WyomingFlags(Flags):
    """Where the Wyoming service listens, and its default voice."""

    uri: Annotated[
        str,
        typer.Option(
            help="Address: tcp://HOST:PORT or unix://PATH. The protocol has no authentication, so open it only to "
            "machines that you trust, with tcp://0.0.0.0:10200."
        ),
    ] = "tcp://127.0.0.1:10200"
    voice: Annotated[str, typer.Option(help="Voice for requests that name none.")] = DEFAULTS.voice
    announce: Annotated[
        bool,
        typer.Option(
            "--announce",
            help="Announce the service on the local network, so that Home Assistant discovers it; needs "
            "vivavoce[announce].",
        ),
    ] = False


@dataclass(frozen=True)
class McpFlags(Flags):
    """How an assistant's speech is delivered."""

    voice: Annotated[str, typer.Option(help="Voice for calls that name none.")] = DEFAULTS.voice
    no_play: Annotated[
        bool, typer.Option("--no-play", help="Return the audio to the assistant instead of playing it.")
    ] = False
