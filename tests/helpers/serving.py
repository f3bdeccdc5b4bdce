"""Helpers for the server's tests: a fake model that workers load at once, and a server in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from helpers.tones import Tones
from vivavoce.serve import worker
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.pool import Pool
from vivavoce.serve.run import bind, build_server
from vivavoce.serve.settings import ServeConfig
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError, SynthesisRequest, SynthesisResult

SLOW_PASS = 0.4  # seconds to generate a piece with the word "slowly"


class Spoken(Tones):
    """`Tones`, of which some words in the text have an effect."""

    languages = ("en",)

    def synthesize(
        self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None = None
    ) -> list[SynthesisResult]:
        text = " ".join(job.piece.text for job in jobs)
        if "slowly" in text:
            for _ in range(20):
                time.sleep(SLOW_PASS / 20)
                if progress is not None:
                    progress(0.5)
        if "Hang" in text:
            time.sleep(60)
        if "crash" in text:
            os._exit(9)
        if "mute" in text:
            raise SynthesisError("the model made silence")
        if "fault" in text:
            raise RuntimeError("in /a/secret/folder")
        return super().synthesize(jobs, progress)


def tones() -> dict[str, TTS]:
    """Return the models of a worker."""
    return {"nanospeech": TTS(Spoken())}


@dataclass
class Server:
    """A running server."""

    url: str
    pool: Pool
    server: uvicorn.Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    metrics: Metrics
    voices: Path  # folder of the added voices

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def post(self, text: str = "Hello there.", **more: Any) -> httpx2.Response:
        """Request speech, and wait for all of it."""
        with self.client() as client:
            return client.post("/v1/audio/speech", json=request(text, **more))

    def stop(self) -> None:
        """Stop as Ctrl-C does."""
        self.server.should_exit = True

    def until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)


def request(text: str = "Hello there.", **more: Any) -> dict[str, Any]:
    """Return the body of a request for speech as raw samples, which are the easiest to examine."""
    return {"model": "nanospeech", "input": text, "voice": "nash", "response_format": "pcm", **more}


@contextlib.contextmanager
def serving(folder: Path, build: Callable[[], dict[str, TTS]] | None = tones, **settings: Any) -> Iterator[Server]:
    """Run a server on a free port, with its voices below `folder`. build: the workers' models; None: nanospeech."""
    chosen = ServeConfig(**{"port": 0, "voices": str(folder / "voices"), **settings})
    started: Future[Server] = Future()
    metrics = Metrics()

    async def run() -> None:
        models = build or worker.Models(chosen.sources(), chosen.backend, chosen.device)
        config, pool = build_server(chosen, worker.main, models, metrics)
        with bind("127.0.0.1", 0) as place:
            await pool.start()
            place.listen(512)
            server = uvicorn.Server(config)
            url = f"http://127.0.0.1:{place.getsockname()[1]}"
            loop = asyncio.get_running_loop()
            folder = chosen.voices_folder()
            started.set_result(Server(url, pool, server, loop, threading.current_thread(), metrics, folder))
            await server.serve(sockets=[place])

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=main)
    thread.start()
    try:
        yield started.result(120)
    finally:
        if started.done() and started.exception() is None:
            started.result().stop()
        thread.join(30)
        assert not thread.is_alive(), "the server does not end"
