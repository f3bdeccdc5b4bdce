"""What clients of the server see: OpenAI's client and others, over the bundled model or a stand-in for it."""

from __future__ import annotations

import base64
import io
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile
from serving import RATE, SECONDS_PER_CHARACTER, Server, request, serving

import vivavoce
from vivavoce import audio, cli, generate
from vivavoce.config import BUILTIN_VOICES
from vivavoce.serve import gate
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.voices import VoiceStore

openai = pytest.importorskip("openai")

TEXT = "Good morning."
FORMATS = {"mp3": "audio/mpeg", "opus": "audio/ogg", "aac": "audio/aac", "flac": "audio/flac", "wav": "audio/wav"}
LONG = (
    "The sun had gone down behind the hills, and the valley lay in shadow. Nobody spoke for a long time. At last the "
    "old man rose, took his hat from the table, and went to the door. The road was empty. They walked on until the "
    "first houses came into sight, and there they stopped."
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over the stand-in."""
    with serving(tmp_path_factory.mktemp("serve"), max_chars=400, max_upload_mb=1.0) as started:
        yield started


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over the bundled model."""
    with serving(tmp_path_factory.mktemp("bundled"), None) as started:
        yield started


@pytest.fixture(scope="module")
def tts() -> vivavoce.TTS:
    """The same model without a server."""
    return vivavoce.load()


def client_of(server: Server, **options: Any) -> Any:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=f"{server.url}/v1", **{"api_key": "none", "max_retries": 0, "http_client": http, **options}
    )


def decoded(data: bytes, format: str) -> np.ndarray:
    """Samples [S] of an answer, whatever its header says of the length."""
    if format == "pcm":
        return np.frombuffer(data, "<i2") / 32_768
    if format == "aac":
        av = pytest.importorskip("av")
        with av.open(io.BytesIO(data)) as container:
            return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.samplerate, file.channels) == (RATE, 1)
        return np.concatenate(list(audio.blocks(file)))[:, 0]


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


# --- OpenAI's client, over the bundled model --------------------------------------------------------------------------


@pytest.mark.parametrize("format", [*FORMATS, "pcm"])
def test_openais_client_gets_speech_in_every_format(bundled: Server, tts: vivavoce.TTS, format: str) -> None:
    if format == "aac":
        pytest.importorskip("av")
    with client_of(bundled) as client:
        answer = client.audio.speech.create(
            model="tts-1", input=TEXT, voice="nash", response_format=format, extra_body={"seed": 3}
        )
    samples = decoded(answer.content, format)
    expected = tts.speak(TEXT, "nash", seed=3).samples
    assert answer.response.headers["content-type"] == FORMATS.get(format, "audio/pcm")
    assert abs(len(samples) - len(expected)) < {"mp3": 3_000, "aac": 3_000}.get(format, 1)
    assert np.abs(samples).max() > 0.05
    if format in ("pcm", "wav", "flac"):
        assert np.abs(samples - expected).max() < 1e-3


def test_openais_client_streams_speech_while_it_is_made(bundled: Server, tts: vivavoce.TTS) -> None:
    text = "The sun had gone down behind the hills, and the whole of the valley lay in shadow. Nobody spoke for a time."
    with (
        client_of(bundled) as client,
        client.audio.speech.with_streaming_response.create(
            model="bundled", input=text, voice={"id": "luna"}, response_format="pcm", speed=0.8, extra_body={"seed": 1}
        ) as answer,
    ):
        pieces = list(answer.iter_bytes())
    assert len(pieces) > 1
    assert sum(map(len, pieces)) == 2 * len(tts.speak(text, "luna", speed=0.8, seed=1))


# --- speech -----------------------------------------------------------------------------------------------------------


def test_length_follows_the_text_and_the_speed(server: Server) -> None:
    usual, fast = server.post(TEXT), server.post(TEXT, speed=2)
    assert len(usual.content) == pytest.approx(2 * RATE * SECONDS_PER_CHARACTER * len(TEXT), abs=4)
    assert len(fast.content) == pytest.approx(len(usual.content) / 2, abs=4)


def test_a_seed_repeats_the_speech(server: Server) -> None:
    first, again, other = (server.post(TEXT, seed=seed).content for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("format", [*FORMATS, "pcm"])
def test_long_texts_are_complete_in_every_format(server: Server, format: str) -> None:
    """Made of several pieces, whose bytes leave before the length is known."""
    if format == "aac":
        pytest.importorskip("av")
    plain = decoded(server.post(LONG, seed=1).content, "pcm")
    samples = decoded(server.post(LONG, seed=1, response_format=format).content, format)
    assert abs(len(samples) - len(plain)) < {"mp3": 3_000, "aac": 3_000}.get(format, 1)
    if format in ("wav", "flac"):
        assert np.abs(samples - plain).max() <= 1 / 32_768


@pytest.mark.parametrize("format", [*FORMATS, "pcm"])
def test_the_beginning_is_heard_before_the_end_is_made(server: Server, format: str) -> None:
    if format == "aac":
        pytest.importorskip("av")
    body = request("We go slowly, and on. " * 15, response_format=format)
    with server.client() as client, client.stream("POST", "/v1/audio/speech", json=body) as answer:
        chunks, begun = answer.iter_raw(), 0
        while begun < 2_000:  # more than any header
            begun += len(next(chunks))
        assert server.metrics.registry.get_sample_value("vivavoce_active") == 1
    server.until(lambda: server.metrics.registry.get_sample_value("vivavoce_active") == 0)


def test_flac_of_several_pieces_is_whole_for_other_decoders_and_as_a_voice(server: Server) -> None:
    av = pytest.importorskip("av")
    data = server.post(LONG, seed=1, response_format="flac").content
    with av.open(io.BytesIO(data)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == len(decoded(data, "flac"))
    with server.client() as client:
        voice = add(client, data, "audio/flac").json()
        assert "only the first" in voice["notices"][0]
        client.delete(f"/v1/audio/voices/{voice['id']}")


def test_flac_of_one_piece_tells_its_length(server: Server) -> None:
    samples, _ = soundfile.read(io.BytesIO(server.post(TEXT, response_format="flac").content))
    assert len(samples) == pytest.approx(RATE * SECONDS_PER_CHARACTER * len(TEXT), abs=2)


def test_headers_say_what_was_not_followed(server: Server) -> None:
    answer = server.post(TEXT, instructions="Speak cheerfully.", user="me", timestamps=True)
    assert answer.status_code == 200
    assert answer.headers["x-vivavoce-not-followed"] == "instructions, timestamps, user"
    assert answer.headers["x-vivavoce-model"] == "bundled"
    assert "x-vivavoce-not-followed" not in server.post(TEXT, instructions="", speed=1.5).headers


def test_a_header_says_what_the_model_cannot_speak(server: Server) -> None:
    assert "\\u2603" in server.post("A ☃ here.").headers["x-vivavoce-notice"]


def events(server: Server, **more: Any) -> list[dict[str, Any]]:
    answer = server.post(stream_format="sse", **more)
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.removesuffix("\n\n").split("\n\n")
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_events_hold_the_sound_and_at_the_end_the_usage(server: Server) -> None:
    found = events(server, text=LONG, seed=4)
    assert [e["type"] for e in found] == ["speech.audio.delta"] * (len(found) - 1) + ["speech.audio.done"]
    assert len(found) > 2
    sound = b"".join(base64.b64decode(e["audio"]) for e in found[:-1])
    assert sound == server.post(LONG, seed=4).content
    usage = found[-1]["usage"]
    assert usage["input_tokens"] == len(LONG)
    assert usage["output_tokens"] == pytest.approx(100 * len(sound) / 2 / RATE, abs=1)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_words_are_timed_over_the_whole_text_when_asked_for(server: Server) -> None:
    found = events(server, text=LONG, timestamps=True)
    words = [word for e in found if e["type"] == "vivavoce.words" for word in e["words"]]
    assert " ".join(word["word"] for word in words) == LONG
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    seconds = sum(len(base64.b64decode(e["audio"])) for e in found if "audio" in e) / 2 / RATE
    assert seconds - 1 < times[-1] <= seconds


def test_openais_client_raises_for_an_error_within_the_events(server: Server) -> None:
    """The first piece is spoken, and a later one cannot be."""
    found = events(server, text=f"{LONG} Now it is mute.")
    assert found[0]["type"] == "speech.audio.delta"
    assert found[-1]["error"]["code"] is None and "silence" in found[-1]["error"]["message"]


def test_sound_that_cannot_be_completed_does_not_look_complete(server: Server) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        server.post(f"{LONG} Now it is mute.")


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "param", "told"),
    [
        ({"input": ""}, 400, "input", "at least 1 character"),
        ({"input": "a" * 401}, 400, "input", "401 characters; this server takes 400"),
        ({"input": "\ud800"}, 400, "input", "unicode"),
        ({"input": "   "}, 400, None, "empty"),
        ({"input": "!?"}, 400, None, "nothing in it"),
        ({"input": None}, 400, "input", "string"),
        ({"voice": "alloy"}, 400, "voice", "built in are celeste"),
        ({"voice": "../../etc/passwd"}, 400, "voice", "unknown voice"),
        ({"voice": {"id": "voice_0"}}, 400, "voice", "unknown voice"),
        ({"voice": {}}, 400, "voice", "valid string, or: Field required"),
        ({"model": "gpt-9"}, 404, "model", "here are bundled"),
        ({"response_format": "ogg"}, 400, "response_format", "'pcm'"),
        ({"stream_format": "chunks"}, 400, "stream_format", "'sse'"),
        ({"speed": 0.2}, 400, "speed", "0.25"),
        ({"speed": 4.1}, 400, "speed", "4"),
        ({"speed": "fast"}, 400, "speed", "number"),
        ({"lang": "xx"}, 400, "lang", "speaks en"),
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
            client.audio.speech.create(model="bundled", input="Hello.", voice="nobody")
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
    monkeypatch.setattr("vivavoce.serve.encoders.importlib.util.find_spec", lambda name: None)
    error = error_of(server.post(TEXT, response_format="aac"), 400)
    assert error["param"] == "response_format" and "vivavoce[aac]" in error["message"]
    assert server.post(TEXT, response_format="mp3").status_code == 200


# --- who may ask ------------------------------------------------------------------------------------------------------


def test_an_api_key_is_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, api_key="open sesame") as server:
        with client_of(server, api_key="open sesame") as client:
            assert client.models.list().data[0].id == "bundled"
            assert len(client.audio.speech.create(model="bundled", input=TEXT, voice="nash").content) > 1_000
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
    assert generate.run(cli.app, ["serve", "--voices", str(tmp_path / "voices"), *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("loading")]
    assert len(lines) == 1 and told in lines[0]


def test_a_port_that_is_taken_is_one_line(server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    assert generate.run(cli.app, ["serve", "--voices", str(tmp_path / "voices"), "--port", port]) == 2
    assert f"cannot listen at 127.0.0.1:{port}" in capsys.readouterr().err


def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("vivavoce.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert generate.run(cli.app, ["serve"]) == 2
    assert "pip install vivavoce[serve]" in capsys.readouterr().err


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_request_that_is_too_large_is_refused(server: Server) -> None:
    with server.client() as client:
        huge = b" " * 100_000
        error_of(client.post("/v1/audio/speech", content=huge, headers={"content-type": "application/json"}), 413)
        chunks = (b" " * 10_000 for _ in range(20))  # without a Content-Length
        error_of(client.post("/v1/audio/speech", content=chunks, headers={"content-type": "application/json"}), 413)
        error_of(add(client, b"\0" * 1_200_000), 413)


def test_a_request_that_does_not_arrive_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.2)

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


# --- models, voices ---------------------------------------------------------------------------------------------------


def test_models_are_listed(server: Server) -> None:
    with client_of(server) as client:
        (model,) = client.models.list().data
        assert (model.id, model.object, model.languages) == ("bundled", "model", ["en"])
        assert client.models.retrieve("tts-1").id == "bundled"


def test_a_voice_is_added_listed_spoken_with_and_deleted(server: Server) -> None:
    with client_of(server) as client, server.client() as plain:
        voice = client.audio.voices.create(
            name=" My voice ", consent="true", audio_sample=("me.wav", recording(), "audio/wav")
        )
        assert (voice.name, voice.object, voice.type) == ("My voice", "audio.voice", "audio_sample")
        listed = plain.get("/v1/audio/voices").json()["data"]
        assert [v["id"] for v in listed] == [*BUILTIN_VOICES, voice.id]
        assert "consent" in listed[-1]["licence"]
        for asked in (voice.id, {"id": voice.id}):
            assert client.audio.speech.create(model="bundled", input=TEXT, voice=asked).content
        assert client.audio.voices.delete(voice.id).deleted
        assert [v["id"] for v in plain.get("/v1/audio/voices").json()["data"]] == list(BUILTIN_VOICES)
        with pytest.raises(openai.BadRequestError, match="unknown voice"):
            client.audio.speech.create(model="bundled", input=TEXT, voice=voice.id)
        with pytest.raises(openai.NotFoundError):
            client.audio.voices.delete(voice.id)
        with pytest.raises(openai.NotFoundError):
            client.audio.voices.delete("nash")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_added_voices_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "voices"
    store = VoiceStore(folder)
    entry = store.add("me", np.full(RATE, 0.1, np.float32), "What I say.")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert vivavoce.Voice.load(file).transcript == "What I say."
    assert VoiceStore(folder).entries()[-1] == entry
    folder.chmod(0o755)
    with pytest.raises(ValueError, match="chmod 700"):
        VoiceStore(folder)


def test_a_long_recording_is_cut_and_its_owner_told(server: Server) -> None:
    with server.client() as client:
        voice = add(client, recording(20, 8_000, 1), transcript="All of it.").json()
        assert "only the first" in voice["notices"][0]
        client.delete(f"/v1/audio/voices/{voice['id']}")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"consent": "false"}, 400, "consent"),
        ({"consent": ""}, 400, "consent"),
        ({"name": "nash"}, 400, "name"),
        ({"name": "   "}, 400, "name"),
        ({"name": "a\nb\0"}, 400, "name"),
        ({"name": "n" * 101}, 400, "name"),
        ({"transcript": "  "}, 400, "audio"),
        ({"kind": "text/html"}, 415, "audio"),
    ],
)
def test_a_voice_needs_consent_a_name_and_a_sound(
    server: Server, fields: dict[str, str], status: int, param: str
) -> None:
    with server.client() as client:
        assert error_of(add(client, **fields), status)["param"] == param
        assert len(client.get("/v1/audio/voices").json()["data"]) == len(BUILTIN_VOICES)
        error_of(client.post("/v1/audio/voices", data={"name": "me", "consent": "true"}), 400)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_health_and_metrics(server: Server) -> None:
    with server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok", "workers": 1}
        server.post(TEXT)
        text = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values['vivavoce_requests_total{method="POST",path="/v1/audio/speech",status="200"}']) >= 1
    assert float(values["vivavoce_speech_seconds_total"]) > 0
    assert float(values["vivavoce_workers"]) == 1
    assert float(values["vivavoce_active"]) == float(values["vivavoce_waiting"]) == 0


def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    with server.client() as client:
        answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["connect-src"] == "'self'"
    assert "://" not in answer.text


def test_the_command_serves_and_ends_by_a_signal(root: Path, tmp_path: Path) -> None:
    """The whole of `vivavoce serve`, on the stand-in model, in a process of its own."""
    code = (
        "import sys; sys.path[:0] = [{tests!r}, {root!r}]\n"
        "import serving\n"
        "from vivavoce.serve import run\n"
        "from vivavoce.serve.settings import ServeConfig\n"
        "run.Models = lambda *_: serving.tones\n"
        "if __name__ == '__main__':\n"
        "    run.serve(ServeConfig(port=0, voices={voices!r}))\n"
    ).format(tests=str(root / "tests"), root=str(root), voices=str(tmp_path / "voices"))
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if "listening" in line).split()[2]
        with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:
            assert client.post("/v1/audio/speech", json=request()).status_code == 200
        process.terminate()
        assert process.wait(20) != 0 or sys.platform == "win32"
    finally:
        process.kill()
        process.stderr.close()


def test_settings_name_models_without_their_folders(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    settings = ServeConfig(models=("bundled", str(tmp_path / "mine"), "owner/name"))
    assert settings.names() == ["bundled", "mine", "owner/name"]
    assert (settings.resolve("tts-1"), settings.resolve("mine"), settings.resolve("x")) == ("bundled", "mine", None)
    with pytest.raises(ValueError, match="two models"):
        ServeConfig(models=("bundled", "bundled"))
