"""Requests as common clients send them, and what they read of the answers. Each shape is from the client's source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.serving import Server, request, serving

from vivavoce.config import BUILTIN_VOICES
from vivavoce.serve.aliases import DEFAULT_ALIASES, VoiceAliases
from vivavoce.serve.settings import ServeConfig

TEXT = "Good morning."
MP3, PCM, WAV = "audio/mpeg", "audio/pcm", "audio/wav"
# OpenAI's voices, as openai-python 3 and Pipecat list them
OPENAI_VOICES = "alloy ash ballad coral echo fable nova onyx sage shimmer verse marin cedar".split()

# name of the client: (the body that it sends, the type that it expects)
CLIENTS: dict[str, tuple[dict[str, Any], str]] = {
    # open-webui backend/open_webui/routers/audio.py, speech(): the page's payload with the configured model
    "Open WebUI": ({"input": TEXT, "voice": "alloy", "model": "tts-1"}, MP3),
    "Open WebUI without a model": ({"input": TEXT, "voice": "", "model": ""}, MP3),
    # SillyTavern src/endpoints/openai.js, custom/generate-voice
    "SillyTavern": (
        {"input": TEXT, "response_format": "mp3", "voice": "shimmer", "speed": 1, "model": "tts-1"},
        MP3,
    ),
    # LibreChat api/server/services/Files/Audio/TTSService.js, openAIProvider(): undefined fields are removed
    "LibreChat": ({"input": TEXT, "model": "tts-1-hd", "voice": "nova", "backend": "piper"}, MP3),
    "LibreChat without a voice": ({"input": TEXT, "model": "tts-1"}, MP3),
    # LibreChat, localAIProvider(): the voice goes into the field model
    "LibreChat with LocalAI": ({"input": TEXT, "model": "nanospeech"}, MP3),
    # home-assistant/core homeassistant/components/openai_conversation/tts.py
    "Home Assistant": (
        {
            "model": "gpt-4o-mini-tts",
            "voice": "marin",
            "input": TEXT,
            "instructions": "None",
            "speed": 1.0,
            "response_format": "mp3",
        },
        MP3,
    ),
    # sfortis/openai_tts custom_components/openai_tts/openaitts_engine.py: its older versions send speed as a string
    "Home Assistant, openai_tts": (
        {"model": "tts-1", "input": TEXT, "voice": "Shimmer", "response_format": "wav", "speed": "1"},
        WAV,
    ),
    # livekit/agents livekit-plugins-openai tts.py
    "LiveKit": ({"input": TEXT, "model": "tts-1", "voice": "alloy", "response_format": "mp3"}, MP3),
    "LiveKit, later": (
        {
            "input": TEXT,
            "model": "gpt-4o-mini-tts",
            "voice": "ash",
            "response_format": "pcm",
            "speed": 1.0,
            "instructions": "Be brief.",
        },
        PCM,
    ),
    # pipecat-ai/pipecat src/pipecat/services/openai/tts.py
    "Pipecat": ({"input": TEXT, "model": "gpt-4o-mini-tts", "voice": "alloy", "response_format": "pcm"}, PCM),
    "upper case": ({"input": TEXT, "model": "TTS-1", "voice": "ALLOY", "response_format": "MP3"}, MP3),
    "nulls": (
        {"input": TEXT, "model": None, "voice": None, "response_format": None, "speed": None, "stream_format": None},
        MP3,
    ),
    "only the text": ({"input": TEXT}, MP3),
    "numbers as strings": ({"input": TEXT, "speed": "1.5", "seed": "3"}, MP3),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    with serving(folder, allow_origins=("https://app.example",)) as started:
        yield started


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_gets_speech(server: Server, client: str) -> None:
    body, kind = CLIENTS[client]
    with server.client() as http:
        answer = http.post("/v1/audio/speech", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind and len(answer.content) > 1_000


def test_open_webui_lists_voices_and_models(server: Server) -> None:
    with server.client() as http:
        voices = http.get("/v1/audio/voices").json()["voices"]
        models = http.get("/v1/audio/models").json()["models"]
    assert {voice["id"]: voice["name"] for voice in voices} == {name: name for name in BUILTIN_VOICES}
    assert [model["id"] for model in models] == ["nanospeech"]


def test_openais_shape_of_the_lists_stays(server: Server) -> None:
    with server.client() as http:
        voices, models = http.get("/v1/audio/voices").json(), http.get("/v1/models").json()
    assert voices["object"] == models["object"] == "list"
    assert voices["data"] == voices["voices"] and models["data"] == models["models"]


# --- what stands for what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPENAI_VOICES)
def test_openais_voices_are_aliases(name: str) -> None:
    assert VoiceAliases().resolve(name) in BUILTIN_VOICES
    assert VoiceAliases().resolve(name.upper()) == DEFAULT_ALIASES[name]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"voice": "alloy"}, "voice=celeste (requested: alloy)"),
        ({"voice": "Nash"}, "voice=nash (requested: Nash)"),
        ({"voice": {"id": "nova"}}, "voice=luna (requested: nova)"),
        ({"model": "tts-1-hd"}, "model=nanospeech (requested: tts-1-hd)"),
        ({"model": "bundled"}, "model=nanospeech (requested: bundled)"),
        ({"model": None, "voice": None}, "model=nanospeech (default), voice=celeste (default)"),
        ({"response_format": None}, "response_format=mp3 (default)"),
    ],
)
def test_a_header_says_what_stands_for_what(server: Server, change: dict[str, Any], told: str) -> None:
    answer = server.post(TEXT, **change)
    assert answer.headers.get("x-vivavoce-substituted", "") == told
    assert answer.headers["x-vivavoce-voice"] in BUILTIN_VOICES


def test_an_unknown_voice_is_never_another_one(server: Server) -> None:
    for name in ("alice", "alloy2", "voice_0", "en-US-Neural"):
        assert server.post(TEXT, voice=name).status_code == 400


def test_aliases_are_listed_with_their_voices(server: Server) -> None:
    with server.client() as http:
        listed = {voice["id"]: voice["aliases"] for voice in http.get("/v1/audio/voices").json()["data"]}
    assert listed["orion"] == ["ballad", "fable", "verse"]
    assert sorted(name for names in listed.values() for name in names) == sorted(DEFAULT_ALIASES)


def test_a_file_changes_the_aliases(tmp_path: Path) -> None:
    file = tmp_path / "aliases.json"
    file.write_text(json.dumps({"Alloy": "rhea", "narrator": "orion", "onyx": None}), encoding="utf-8")
    with serving(tmp_path, voice_aliases=str(file)) as server:
        assert server.post(TEXT, voice="alloy").headers["x-vivavoce-voice"] == "rhea"
        assert server.post(TEXT, voice="Narrator").headers["x-vivavoce-voice"] == "orion"
        assert server.post(TEXT, voice="onyx").status_code == 400
        assert server.post(TEXT, voice="nova").headers["x-vivavoce-voice"] == "luna"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "No such file"),
        ("{", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ("[]", "expected a JSON object"),
        ('{"alloy": "nobody"}', "it must be celeste"),
        ('{"alloy": 3}', "it must be celeste"),
        ('{"nash": "luna"}', "'nash' is a voice"),
    ],
)
def test_a_wrong_file_of_aliases_is_named(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "aliases.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="aliases.json: .*" + told):
        VoiceAliases.load(file)


# --- pages of other origins -------------------------------------------------------------------------------------------

PREFLIGHT = {
    "Origin": "https://app.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


def test_an_allowed_origin_may_use_the_server(server: Server) -> None:
    with server.client() as http:
        preflight = http.options("/v1/audio/speech", headers=PREFLIGHT)
        answer = http.post("/v1/audio/speech", json=request(), headers={"Origin": "https://app.example"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    for headers in (preflight.headers, answer.headers):
        assert headers["access-control-allow-origin"] == "https://app.example"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.status_code == 200 and "X-Vivavoce-Voice" in answer.headers["access-control-expose-headers"]


def test_other_origins_may_not(server: Server) -> None:
    with server.client() as http:
        for headers in ({**PREFLIGHT, "Origin": "https://evil.example"}, {**PREFLIGHT, "Host": "evil.example"}):
            answer = http.options("/v1/audio/speech", headers=headers)
            assert answer.status_code in (403, 405)
        answer = http.post("/v1/audio/speech", json=request(), headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_a_preflight_needs_no_key_and_the_request_does(tmp_path: Path) -> None:
    with serving(tmp_path, api_key="secret", allow_origins=("*",)) as server, server.client() as http:
        assert http.options("/v1/audio/speech", headers=PREFLIGHT).status_code == 204
        origin = {"Origin": "https://app.example"}
        refused = http.post("/v1/audio/speech", json=request(), headers=origin)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://app.example"
        given = {**origin, "Authorization": "Bearer secret"}
        assert http.post("/v1/audio/speech", json=request(), headers=given).status_code == 200


@pytest.mark.parametrize(
    ("origins", "told"),
    [
        (("*",), "needs an API key"),
        (("app.example",), "must look like"),
        (("https://a.example/path",), "must look like"),
    ],
)
def test_origins_are_checked(origins: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ServeConfig(allow_origins=tuple(origins))


# --- the log, the description -----------------------------------------------------------------------------------------


def test_each_request_is_logged_without_its_text(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "vivavoce.access"):
        server.post("A private text.")
        with server.client() as http:
            http.get("/v1/models?secret=1")
            http.get("/a%0Ab%1b[31m")
    lines = [record.getMessage() for record in caplog.records if record.name == "vivavoce.access"]
    assert lines[0].startswith("POST /v1/audio/speech 200, ") and lines[0].endswith(" s, 15 characters")
    assert lines[1].startswith("GET /v1/models 200, ") and lines[1].endswith(" s")
    assert lines[2].startswith("GET /a\\nb\\x1b[31m 404, ")
    assert "private" not in "".join(lines) and "secret" not in "".join(lines)


def test_the_description_is_served_locally(server: Server) -> None:
    with server.client() as http:
        page = http.get("/docs")
        assert page.status_code == 200 and "://" not in page.text
        for part in ("docs.js", "docs.css"):
            answer = http.get(f"/static/{part}")
            assert answer.status_code == 200 and "://" not in answer.text
