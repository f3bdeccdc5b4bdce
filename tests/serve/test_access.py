"""Who may use the server, and how much."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.server_api import TEXT, add, client_of, error_of, events, openai
from helpers.serving import Server, request, serving

from vivavoce.cli import main, terminal
from vivavoce.serve import middleware


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over the stand-in."""
    with serving(tmp_path_factory.mktemp("serve"), max_chars=400, max_upload_mb=1.0) as started:
        yield started


# --- who may ask ------------------------------------------------------------------------------------------------------


def test_an_api_key_is_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, api_key="open sesame") as server:
        with client_of(server, api_key="open sesame") as client:
            assert client.models.list().data[0].id == "nanospeech"
            assert len(client.audio.speech.create(model="nanospeech", input=TEXT, voice="nash").content) > 1_000
        with client_of(server, api_key="open sesam") as client, pytest.raises(openai.AuthenticationError) as refused:
            client.models.list()
        assert refused.value.code == "invalid_api_key"
        with server.client() as plain:
            for path in ("/v1/audio/voices", "/metrics", "/nowhere"):
                error_of(plain.get(path), 401)
            error_of(plain.post("/v1/audio/speech", content=b"{"), 401)
            error_of(plain.get("/v1/models", headers={"authorization": "Bearer \xe9".encode("latin-1")}), 401)
            assert plain.get("/healthz").status_code == plain.get("/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"host": "elsewhere.example"},  # a name that was made to mean this machine
    ],
)
def test_without_a_key_other_sites_in_the_same_browser_are_refused(server: Server, headers: dict[str, str]) -> None:
    with server.client() as client:
        error_of(client.post("/v1/audio/speech", json=request(), headers=headers), 403)
        assert client.post("/v1/audio/speech", json=request(), headers={"origin": server.url}).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "needs an API key"),
        (["--host", "192.168.0.7"], "needs an API key"),
        (["--host", "elsewhere.example"], "needs an API key"),
        (["--api-key", ""], "API key is empty"),
        (["--api-key", "ключ"], "ASCII"),
        (["--port", "70000"], "port is 70000"),
        (["--port", "x"], "'x' is not a whole number"),
        (["--max-chars", "0"], "max_chars is 0"),
        (["--workers", "0"], "workers is 0"),
        (["--model", "no/such/folder/here", "--port", "0"], "no/such/folder/here"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert terminal.run(main.app, ["serve", "--voices", str(tmp_path / "voices"), *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("loading")]
    assert len(lines) == 1 and told in lines[0]


def test_a_port_that_is_taken_is_one_line(server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    assert terminal.run(main.app, ["serve", "--voices", str(tmp_path / "voices"), "--port", port]) == 2
    assert f"cannot listen at 127.0.0.1:{port}" in capsys.readouterr().err


def test_without_the_extra_one_line_says_how_to_get_it() -> None:
    # In a process of its own: other tests hold on to the modules that would have to be imported again.
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from vivavoce.cli import main, terminal; sys.exit(terminal.run(main.app, ['serve']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert "pip install vivavoce[serve]" in result.stderr and len(result.stderr.splitlines()) == 1


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_request_that_is_too_large_is_refused(server: Server) -> None:
    with server.client() as client:
        huge = b" " * 100_000
        error_of(client.post("/v1/audio/speech", content=huge, headers={"content-type": "application/json"}), 413)
        chunks = (b" " * 10_000 for _ in range(20))  # without a Content-Length
        error_of(client.post("/v1/audio/speech", content=chunks, headers={"content-type": "application/json"}), 413)
        error_of(add(client, b"\0" * 1_200_000), 413)


def test_a_request_that_does_not_arrive_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.2)

    def dripping() -> Iterator[bytes]:
        yield b"{"
        labels = {"path": "/v1/audio/speech", "method": "POST", "status": "408"}
        server.until(lambda: server.metrics.registry.get_sample_value("vivavoce_requests_total", labels) == 1)

    with server.client() as client:
        headers = {"content-type": "application/json"}
        error_of(client.post("/v1/audio/speech", content=dripping(), headers=headers), 408)


def test_time_is_limited(tmp_path: Path) -> None:
    with serving(tmp_path, timeout=1) as server:
        text = "Go slowly. " * 60
        assert "longer than" in events(server, text=text)[-1]["error"]["message"]
        server.until(lambda: server.post(TEXT).status_code == 200)
