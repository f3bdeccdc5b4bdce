"""Helpers of the server's tests: a stand-in for a model, which workers load at once, and a server in a thread."""

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
import numpy as np
import uvicorn

from vivavoce import audio
from vivavoce.config import SamplingConfig
from vivavoce.pieces import Job, Made, Piece
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.pool import Pool
from vivavoce.serve.run import bound, configured
from vivavoce.serve.settings import ServeConfig
from vivavoce.synthesis import TTS, SynthesisError
from vivavoce.text import CharTokenizer
from vivavoce.voices import Voice

RATE = 24_000
SECONDS_PER_CHARACTER = 0.05
SLOW_PASS = 0.4  # seconds that a piece with the word "slowly" takes


class Tones:
    """A System: each piece is a tone of 50 ms a character. Some words in it have an effect."""

    sample_rate = RATE
    sampling = SamplingConfig(steps=3, method="midpoint", cfg=1.5, sway_coef=-0.5, max_seconds=10.0)
    uses_transcript = False
    languages = ("en",)

    def __init__(self) -> None:
        self.tokenizer = CharTokenizer([*" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:!?'-"])

    def embedded(self, voice: Voice) -> Voice:
        return voice

    def seconds(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        return [len(piece.text) * SECONDS_PER_CHARACTER / speed for piece in pieces]

    def waves(self, jobs: list[Job], progress: Callable[[float], None] | None = None) -> list[Made]:
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
        made = []
        for job in jobs:
            (seconds,) = self.seconds([job.piece], job.voice, job.options.speed)
            pitch = np.random.default_rng(job.seed).uniform(100, 400)
            at = np.arange(round(seconds * RATE)) / RATE
            tone = (0.3 - 0.15 * np.cos((20 + 5 * at) * at)) * np.sin(2 * np.pi * pitch * at)  # swells like speech
            ends = np.arange(1, len(job.piece.text) + 1, dtype=np.float32) * (seconds / len(job.piece.text))
            made.append(Made(audio.fade(tone.astype(np.float32), RATE, 0.1), ends))
        return made


def tones() -> dict[str, TTS]:
    """What a worker loads."""
    return {"bundled": TTS(Tones())}


@dataclass
class Server:
    """One that listens."""

    url: str
    pool: Pool
    server: uvicorn.Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    metrics: Metrics

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def post(self, text: str = "Hello there.", **more: Any) -> httpx2.Response:
        """Ask for speech, and wait for all of it."""
        with self.client() as client:
            return client.post("/v1/audio/speech", json=request(text, **more))

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.server.should_exit = True

    def until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for something that is about to be so."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)


def request(text: str = "Hello there.", **more: Any) -> dict[str, Any]:
    """The body of a request for speech: raw samples, which are the easiest to look at."""
    return {"model": "bundled", "input": text, "voice": "nash", "response_format": "pcm", **more}


@contextlib.contextmanager
def serving(folder: Path, build: Callable[[], dict[str, TTS]] | None = tones, **settings: Any) -> Iterator[Server]:
    """A server on a free port, its voices below `folder`. build: what its workers load; None: the bundled model."""
    chosen = ServeConfig(**{"port": 0, "voices": str(folder / "voices"), **settings})
    started: Future[Server] = Future()
    metrics = Metrics()

    async def run() -> None:
        config, pool = configured(chosen, build, metrics)
        with bound("127.0.0.1", 0) as place:
            await pool.start()
            place.listen(100)
            server = uvicorn.Server(config)
            url = f"http://127.0.0.1:{place.getsockname()[1]}"
            loop = asyncio.get_running_loop()
            started.set_result(Server(url, pool, server, loop, threading.current_thread(), metrics))
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
