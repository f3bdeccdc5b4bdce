"""`vivavoce serve`: workers, the application and uvicorn, from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from vivavoce.serve.app import create_app
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.pool import Pool
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.voices import VoiceStore
from vivavoce.serve.worker import Build, Models

BACKLOG = 2_048  # connections that may wait to be taken in


def threads_of(workers: int) -> int:
    """CPU threads for each worker: an even share of the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


def bound(host: str, port: int) -> socket.socket:
    """A socket at the address. Raises ValueError where that is not to be had."""
    try:
        family = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0][0]
        place = socket.socket(family)
        if os.name == "posix":
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host.strip("[]"), port))
    except OSError as error:
        raise ValueError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
    return place


def configured(
    settings: ServeConfig, build: Build | None = None, counted: Metrics | None = None
) -> tuple[uvicorn.Config, Pool]:
    """What uvicorn serves, and the pool, which is to be started before and ends with it.

    build: gives workers their models; None: `settings.models`.
    """
    counted = counted or Metrics()
    if build is None:
        build = Models(dict(zip(settings.names(), settings.models, strict=True)), settings.backend, settings.device)
    pool = Pool(build, settings.workers, threads_of(settings.workers), settings.queue, settings.timeout, counted)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield
        await pool.close()

    app = create_app(settings, pool, VoiceStore(settings.voices_folder()), counted)
    app.router.lifespan_context = lifespan
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(settings.timeout),  # what is being spoken is finished
    )
    return config, pool


def serve(settings: ServeConfig) -> None:
    """Serve until Ctrl-C or SIGTERM; what is being spoken then is finished. Raises ValueError as `load` does, and where
    the address is not to be had."""
    place = bound(settings.host, settings.port)
    config, pool = configured(settings)

    async def run() -> None:
        print(f"loading {', '.join(settings.names())}", file=sys.stderr, flush=True)
        await pool.start()
        place.listen(BACKLOG)
        host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
        port = place.getsockname()[1]
        print(f"listening at http://{host}:{port} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        await uvicorn.Server(config).serve(sockets=[place])

    with place:
        asyncio.run(run())
