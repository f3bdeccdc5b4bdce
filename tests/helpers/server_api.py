"""What the tests of serve share."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile

from helpers.serving import Server

openai = pytest.importorskip("openai")
TEXT = "Good morning."


def client_of(server: Server, **options: Any) -> Any:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=f"{server.url}/v1", **{"api_key": "none", "max_retries": 0, "http_client": http, **options}
    )


def error_of(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """What OpenAI's clients read of an error."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def recording(seconds: float = 3.0, rate: int = 16_000, channels: int = 2, **how: Any) -> bytes:
    noise = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    out = io.BytesIO()
    soundfile.write(out, noise, rate, **{"format": "WAV", **how})
    return out.getvalue()


def add(client: httpx2.Client, data: bytes | None = None, kind: str = "audio/wav", **fields: str) -> httpx2.Response:
    files = {"audio": ("me.wav", recording() if data is None else data, kind)}
    return client.post("/v1/audio/voices", data={"name": "me", "consent": "true", **fields}, files=files)


def events(server: Server, **more: Any) -> list[dict[str, Any]]:
    answer = server.post(stream_format="sse", **more)
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.removesuffix("\n\n").split("\n\n")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]
