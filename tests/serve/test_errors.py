"""Errors of the server, in OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.server_api import TEXT, client_of, error_of, openai
from helpers.serving import Server, request, serving

from vivavoce.serve import encoders


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over the stand-in."""
    with serving(tmp_path_factory.mktemp("serve"), max_chars=400, max_upload_mb=1.0) as started:
        yield started


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "param", "told"),
    [
        ({"input": ""}, 400, "input", "input is empty"),
        ({"input": "a" * 401}, 400, "input", "401 characters; this server accepts at most 400"),
        ({"input": "\ud800"}, 400, "input", "Unicode"),
        ({"input": "   "}, 400, None, "empty"),
        ({"input": "!?"}, 400, None, "nothing in it"),
        ({"input": None}, 400, "input", "input is missing"),
        ({"voice": "alice"}, 400, "voice", "built-in voices: celeste"),
        ({"voice": "../../etc/passwd"}, 400, "voice", "unknown voice"),
        ({"voice": {"id": "voice_0"}}, 400, "voice", "unknown voice"),
        ({"voice": {}}, 400, "voice", "must be a string, or needs the field id"),
        ({"model": "gpt-9"}, 404, "model", "available models: nanospeech"),
        ({"response_format": "ogg"}, 400, "response_format", "'pcm'"),
        ({"stream_format": "chunks"}, 400, "stream_format", "'sse'"),
        ({"speed": 0.2}, 400, "speed", "0.25"),
        ({"speed": 4.1}, 400, "speed", "4"),
        ({"speed": "fast"}, 400, "speed", "number"),
        ({"lang": "xx"}, 400, "lang", "of model nanospeech are en"),
        ({"seed": -1}, 400, "seed", "0"),
        ({"input": "It is mute."}, 422, None, "silence"),
    ],
)
def test_errors_have_openais_shape_and_say_what_would_be_right(
    server: Server, change: dict[str, Any], status: int, param: str | None, told: str
) -> None:
    with server.client() as client:
        data = json.dumps({**request(), **change})
        answer = client.post("/v1/audio/speech", content=data, headers={"content-type": "application/json"})
    error = error_of(answer, status)
    assert error["param"] == param
    assert told in error["message"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[1]", "application/json"),
        (b'{"input": "\xff"}', "application/json"),
        (b'{"speed": 1e999}', "application/json"),
        (b'{"speed": NaN}', "application/json"),
        (b'{"seed": ' + b"9" * 4_000 + b"}", "application/json"),
        (b"[" * 30_000, "application/json"),
        (json.dumps(request()).encode(), "text/plain"),  # what a page of another site may send without asking
        (b"--x\r\n", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data"),
    ],
)
def test_what_is_no_request_is_refused(server: Server, content: bytes, kind: str) -> None:
    with server.client() as client:
        error_of(client.post("/v1/audio/speech", content=content, headers={"content-type": kind}), 400)


def test_openais_client_raises_its_own_errors(server: Server) -> None:
    with client_of(server) as client:
        with pytest.raises(openai.BadRequestError, match="unknown voice") as bad:
            client.audio.speech.create(model="nanospeech", input="Hello.", voice="nobody")
        assert bad.value.param == "voice"
        with pytest.raises(openai.NotFoundError, match="unknown model"):
            client.audio.speech.create(model="none", input="Hello.", voice="nash")


def test_a_fault_of_ours_tells_nothing_of_the_machine(server: Server) -> None:
    error = error_of(server.post("A fault."), 503)
    assert "secret" not in error["message"] and error["type"] == "server_error"


def test_unknown_addresses_and_methods(server: Server) -> None:
    with server.client() as client:
        error_of(client.get("/v2/audio"), 404)
        answer = client.get("/v1/audio/speech")
        error_of(answer, 405)
        assert answer.headers["allow"] == "POST"
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"):
            error_of(client.get(path), 404)


def test_without_pyav_aac_is_refused_and_the_rest_works(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    # The module's own name for importlib: to patch importlib itself would break the imports of all threads.
    missing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(encoders, "importlib", missing)
    error = error_of(server.post(TEXT, response_format="aac"), 400)
    assert error["param"] == "response_format" and "vivavoce[aac]" in error["message"]
    assert server.post(TEXT, response_format="mp3").status_code == 200
