"""`vivavoce serve`: start the workers, the application and uvicorn, and stop them."""

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

from vivavoce.config import available_cores
from vivavoce.serve import connections, logs
from vivavoce.serve.aliases import VoiceAliases
from vivavoce.serve.app import create_app
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.pool import Build, Pool, WorkerMain
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.speech import Service
from vivavoce.serve.stream import add_stream
from vivavoce.serve.voices import VoiceStore
from vivavoce.voices import VARIABLE

BACKLOG = 512  # connections that may wait to be accepted
MAX_MESSAGE = 1 << 20  # bytes of a message from a WebSocket client
SPARE_FILES = 256  # open files beside the connections: workers' pipes, voices, decoders


def threads_per_worker(workers: int) -> int:
    """Return the CPU threads of each worker: an even share of the cores that this process may use."""
    return max(1, available_cores() // workers)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Raises ValueError if that is not possible."""
    try:
        family = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family)
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        raise ValueError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
    return bound


def build_server(
    settings: ServeConfig, worker_main: WorkerMain, build: Build, counts: Metrics | None = None
) -> tuple[uvicorn.Config, Pool]:
    """Return uvicorn's configuration and the pool. The caller starts the pool; the application closes it at the end.

    worker_main, build: what a worker process runs, and what returns its models.
    """
    counts = counts or Metrics()
    pool = Pool(
        worker_main,
        build,
        workers=settings.workers,
        threads=threads_per_worker(settings.workers),
        queue_limit=settings.queue,
        timeout=settings.timeout,
        metrics=counts,
    )

    made = router = None
    if settings.studio:
        from vivavoce.serve import studio as routes  # imported here, because it loads all of training except torch
        from vivavoce.train_voice.studio import Studio

        made = Studio(settings.studios_folder(), settings.voices_folder())
        router = routes.create_router(made)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        yield
        await pool.close()
        for name in await asyncio.to_thread(made.close) if made is not None else ():
            print(f"the training of {name!r} is stopped; it can be resumed in the page", file=sys.stderr, flush=True)

    aliases = VoiceAliases.load(settings.voice_aliases) if settings.voice_aliases else VoiceAliases()
    service = Service(settings, pool, VoiceStore(settings.voices_folder()), aliases)
    app = create_app(service, counts, router)
    add_stream(app.router, service)
    app.router.lifespan_context = lifespan
    total = max(1, min(settings.max_connections, connections.raise_file_limit() - SPARE_FILES))
    limits = connections.ConnectionLimits(total, min(total, settings.max_connections_per_client))
    config = uvicorn.Config(
        app,
        http=connections.protocol(limits),
        backlog=BACKLOG,
        ws_max_size=MAX_MESSAGE,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(settings.timeout),  # running requests may finish
    )
    return config, pool


def serve(settings: ServeConfig, worker_main: WorkerMain, build: Build) -> None:
    """Serve until Ctrl-C or SIGTERM, then finish the running requests. Arguments as of `build_server`.

    Raises ValueError as `load` does, and if the address cannot be used.
    """
    logs.configure(settings.log_level)
    os.environ[VARIABLE] = str(settings.voices_folder())  # for the names in voice tags
    listener = bind(settings.host, settings.port)
    config, pool = build_server(settings, worker_main, build)

    async def run() -> None:
        print(f"loading {', '.join(settings.names())}", file=sys.stderr, flush=True)
        connections.log_accept_errors(asyncio.get_running_loop())
        await pool.start()
        listener.listen(BACKLOG)
        host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
        port = listener.getsockname()[1]
        print(f"listening at http://{host}:{port} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])

    with listener:
        asyncio.run(run())
