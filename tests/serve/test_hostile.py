"""Clients that try to exhaust the server: endless answers, half-open connections, answers that nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import io
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile
from helpers.serving import Server, request, serving
from helpers.tones import RATE
from safetensors.numpy import save_file

from vivavoce.serve import connections, pool
from vivavoce.serve import voices as stored

PAUSES = "Hi there." + "[pause 60s]" * 370  # 4,079 characters, 6.2 hours
LONG = "We go on and on. " * 200  # 170 s of speech


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("hostile")) as started:
        yield started


def connect(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(method: str = "GET", path: str = "/healthz", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def speech_request(text: str, **more: Any) -> bytes:
    body = json.dumps(request(text, **more)).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return head("POST", "/v1/audio/speech", **fields) + body


def received(connection: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65_536):
            parts.append(data)
    return b"".join(parts)


def value(server: Server, name: str) -> float:
    return server.metrics.registry.get_sample_value(name) or 0.0


# --- endless answers --------------------------------------------------------------------------------------------------


def test_a_text_of_pauses_is_refused_before_anything_is_generated(server: Server) -> None:
    before = value(server, "vivavoce_speech_seconds_total")
    started = time.monotonic()
    answer = server.post(PAUSES)
    assert answer.status_code == 400 and "more than 900 s" in answer.json()["error"]["message"]
    assert time.monotonic() - started < 5
    assert value(server, "vivavoce_speech_seconds_total") == before


def test_seconds_of_an_answer_are_limited_as_configured(tmp_path: Path) -> None:
    with serving(tmp_path, max_seconds=5) as server:
        assert server.post("Hello there.").status_code == 200
        assert server.post("Hello there. [pause 6s] Bye.").status_code == 400
        assert server.post("We go on and on. " * 20).status_code == 400
        assert server.post("We go on and on. " * 8, speed=0.5).status_code == 400


def test_pauses_of_one_request_do_not_hold_up_the_others(server: Server) -> None:
    def pauses() -> None:
        server.post("Hi." + "[pause 60s]" * 14, response_format="mp3")

    thread = threading.Thread(target=pauses)
    thread.start()
    server.until(lambda: value(server, "vivavoce_active") >= 1)
    waited = []
    for _ in range(4):
        started = time.monotonic()
        assert server.post("Hello there.").status_code == 200
        waited.append(time.monotonic() - started)
    thread.join(60)
    assert max(waited) < 3


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA"])
def test_a_header_that_does_not_arrive_ends_the_connection(
    server: Server, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    with connect(server) as connection:
        connection.sendall(sent)
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ") if sent else answer == b""


def test_a_header_that_drips_in_ends_the_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    started = time.monotonic()
    with connect(server) as connection, contextlib.suppress(ConnectionError):
        for _ in range(100):
            connection.sendall(b"a")
            time.sleep(0.05)
    assert time.monotonic() - started < 4


def test_a_connection_stays_open_between_requests(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.connect()
    opened = connection.sock
    for _ in range(3):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, connection.sock) == (200, opened)
        answer.read()
        time.sleep(0.5)  # longer than a header may take, shorter than a connection may be idle
    connection.close()


def test_half_open_connections_do_not_keep_others_out(tmp_path: Path) -> None:
    with (
        serving(tmp_path, max_connections_per_client=50, max_connections=60) as server,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(200):
            connection = stack.enter_context(connect(server))
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(10):
            with server.client() as client:
                assert client.get("/healthz").status_code == 200
        assert server.post("Hello there.").status_code == 200
        assert len(server.server.server_state.connections) <= 60


def test_connections_that_are_all_in_use_are_refused_with_503(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path, max_connections_per_client=2) as server, contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(connect(server))
            connection.sendall(speech_request("We go slowly, and on. " * 15))
        server.until(lambda: value(server, "vivavoce_active") == 2)
        with caplog.at_level(logging.WARNING, "vivavoce.serve"):
            for _ in range(5):
                with connect(server) as refused:
                    assert received(refused).startswith(b"HTTP/1.1 503 ")
        assert len([r for r in caplog.records if "refused a connection" in r.getMessage()]) == 1


def test_accept_errors_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        loop = asyncio.get_running_loop()
        connections.log_accept_errors(loop)
        for _ in range(1_000):
            context = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "many")}
            loop.call_exception_handler(context)

    with caplog.at_level(logging.WARNING):
        asyncio.run(fail())
    assert len(caplog.records) == 1 and "cannot accept connections" in caplog.text


def test_a_client_that_only_listens_gets_its_answer(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(speech_request("We go slowly."))
        connection.shutdown(socket.SHUT_WR)
        answer = received(connection)
    assert b"HTTP/1.1 200 OK\r\n" in answer and answer.endswith(b"0\r\n\r\n")


def test_a_client_that_is_gone_gets_none(server: Server) -> None:
    server.until(lambda: value(server, "vivavoce_active") == 0)
    with connect(server) as connection:
        connection.sendall(speech_request("We go slowly, and on. " * 15))
    labels = {"path": "/v1/audio/speech", "method": "POST", "status": "499"}
    server.until(lambda: server.metrics.registry.get_sample_value("vivavoce_requests_total", labels) == 1, 5)
    server.until(lambda: value(server, "vivavoce_active") == 0, 5)


# --- answers that nobody reads ----------------------------------------------------------------------------------------


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_BUFFERED", 100_000)
    monkeypatch.setattr(connections, "SEND_SECONDS", 1.0)


def unread(server: Server) -> socket.socket:
    """A connection whose answer is not read, and has no room in the system's buffers."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    connection.connect((host, int(port)))
    connection.sendall(speech_request(LONG))
    return connection


def test_clients_that_never_read_are_dropped_and_buffer_little(tmp_path: Path, small_buffers: None) -> None:
    with serving(tmp_path) as server, contextlib.ExitStack() as stack:
        buffered = []
        submit = server.pool.submit

        def watched(job: Any) -> Any:
            buffered.append(handle := submit(job))
            return handle

        server.pool.submit = watched  # type: ignore[method-assign]
        for _ in range(8):
            stack.enter_context(unread(server))
        server.until(lambda: len(buffered) == 8)
        most = 0

        def dropped() -> bool:
            nonlocal most
            most = max(most, *(handle.buffered for handle in buffered))
            return all(handle.finished for handle in buffered) and value(server, "vivavoce_active") == 0

        server.until(dropped, 30)
        assert most < 10 * 100_000  # an answer has 8 MB
        assert server.post("Hello there.").status_code == 200


def test_a_slow_client_gets_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_BUFFERED", 100_000)
    with serving(tmp_path) as server:
        expected = len(server.post(LONG).content)
        body = request(LONG)
        got = 0
        with server.client() as client, client.stream("POST", "/v1/audio/speech", json=body) as answer:
            for chunk in answer.iter_raw(chunk_size=200_000):
                got += len(chunk)
                time.sleep(0.05)
        assert got == expected > 4_000_000


def test_shutdown_does_not_wait_for_clients_that_never_read(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, serving(tmp_path) as server:
        for _ in range(4):
            stack.enter_context(unread(server))
        server.until(lambda: value(server, "vivavoce_active") >= 1)
        time.sleep(1)
        started = time.monotonic()
        server.stop()
        server.thread.join(30)
        assert time.monotonic() - started < 15


# --- the rest of HTTP -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/healthz", "/static/app.js"])
def test_head_is_answered_like_get_without_a_body(server: Server, path: str) -> None:
    with server.client() as client:
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def wav() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000), 16_000, format="WAV")
    return out.getvalue()


def add(server: Server, fields: list[tuple[str, Any]]) -> httpx2.Response:
    with server.client() as client:
        return client.post("/v1/audio/voices", data={"name": "me", "consent": "true"}, files=fields)


@pytest.mark.parametrize("names", [("audio", "audio"), ("audio", "audio_sample"), ("audio_sample", "audio_sample")])
def test_a_second_recording_is_refused(server: Server, names: tuple[str, str]) -> None:
    answer = add(server, [(name, ("me.wav", wav(), "audio/wav")) for name in names])
    assert answer.status_code == 400 and "send one recording" in answer.json()["error"]["message"]


def test_a_full_disk_is_507_and_loses_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = add(server, [("audio", ("me.wav", wav(), "audio/wav"))]).json()["id"]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stored.Voice, "save", full)
    answer = add(server, [("audio", ("me.wav", wav(), "audio/wav"))])
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
    with server.client() as client:
        listed = client.get("/v1/audio/voices").json()["data"]
        assert [v["id"] for v in listed if v["type"] != "builtin"] == [voice]
        client.delete(f"/v1/audio/voices/{voice}")


@pytest.mark.skipif(sys.platform == "win32", reason="the folder's permissions are checked elsewhere only")
@pytest.mark.parametrize(
    ("tensors", "usable"),
    [
        ({"samples": np.zeros(RATE, np.int16)}, False),
        ({"samples": np.zeros((2, RATE), np.float32)}, False),
        ({"samples": np.full(RATE, np.nan, np.float32)}, False),
        ({"other": np.zeros(RATE, np.float32)}, False),
        ({"samples": np.full(RATE, 0.1, np.float16)}, True),
        ({"samples": np.full(RATE, 0.1, np.float32), "embedding": np.zeros(7, np.float32)}, False),
    ],
)
def test_a_stored_voice_that_somebody_else_wrote(
    tmp_path: Path, server: Server, tensors: dict[str, Any], usable: bool
) -> None:
    folder = server.voices
    name = f"voice_{0:032x}"
    metadata = {"format": "vivavoce-voice", "version": "1", "sample_rate": "24000", "name": "odd"}
    save_file(tensors, folder / f"{name}.safetensors", metadata=metadata)
    try:
        with server.client() as client:
            assert client.get("/v1/audio/voices").status_code == 200
        answer = server.post("Hello there.", voice=name)
        assert answer.status_code == (200 if usable else 400), answer.text
        if not usable:
            assert answer.json()["error"]["code"] == "unusable_voice"
    finally:
        (folder / f"{name}.safetensors").unlink()
