"""Models and voices of the server."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest
from helpers.server_api import TEXT, add, client_of, error_of, openai, recording
from helpers.serving import Server, request, serving
from helpers.tones import RATE

import vivavoce
from vivavoce.config import BUILTIN_VOICES
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.voices import VoiceStore


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Over the stand-in."""
    with serving(tmp_path_factory.mktemp("serve"), max_chars=400, max_upload_mb=1.0) as started:
        yield started


# --- models, voices ---------------------------------------------------------------------------------------------------


def test_models_are_listed(server: Server) -> None:
    with client_of(server) as client:
        (model,) = client.models.list().data
        assert (model.id, model.object, model.languages) == ("nanospeech", "model", ["en"])
        assert client.models.retrieve("tts-1").id == "nanospeech"


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
            assert client.audio.speech.create(model="nanospeech", input=TEXT, voice=asked).content
        assert client.audio.voices.delete(voice.id).deleted
        assert [v["id"] for v in plain.get("/v1/audio/voices").json()["data"]] == list(BUILTIN_VOICES)
        with pytest.raises(openai.BadRequestError, match="unknown voice"):
            client.audio.speech.create(model="nanospeech", input=TEXT, voice=voice.id)
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
    assert VoiceStore(folder).infos()[-1] == entry
    folder.chmod(0o755)
    with pytest.raises(ValueError, match="chmod 700"):
        VoiceStore(folder)


def test_a_long_recording_is_cut_with_a_notice(server: Server) -> None:
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
        "from helpers import serving\n"
        "from vivavoce.serve import run, worker\n"
        "from vivavoce.serve.settings import ServeConfig\n"
        "if __name__ == '__main__':\n"
        "    run.serve(ServeConfig(port=0, voices={voices!r}), worker.main, serving.tones)\n"
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
    settings = ServeConfig(models=("nanospeech", str(tmp_path / "mine"), "owner/name"))
    assert settings.names() == ["nanospeech", "mine", "owner/name"]
    assert (settings.resolve("tts-1"), settings.resolve("mine"), settings.resolve("x")) == ("nanospeech", "mine", None)
    with pytest.raises(ValueError, match="two models"):
        ServeConfig(models=("nanospeech", "nanospeech"))
