"""/v1/audio/convert: a recording in another voice, over a model that converts by playing it backwards."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
import soundfile
from helpers.abilities import Backwards
from helpers.server_api import error_of, recording
from helpers.serving import Server, Spoken, serving

from vivavoce.synthesis.tts import TTS

RATE = 24_000


def models() -> dict[str, TTS]:
    return {"nanospeech": TTS(Spoken()), "other": Backwards(Spoken())}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    settings = {"models": ("nanospeech", "other"), "max_seconds": 5.0}
    with serving(folder, models, **settings) as started:
        yield started


def convert(server: Server, data: bytes | None = None, **fields: str) -> httpx2.Response:
    files = {"audio": ("me.wav", recording(2.0) if data is None else data, "audio/wav")}
    with server.client() as client:
        given = {"consent": "true", "model": "other", "response_format": "wav", **fields}
        return client.post("/v1/audio/convert", data=given, files=files)


def test_a_recording_is_converted_as_long_as_it_was(server: Server) -> None:
    answer = convert(server, voice="nash")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav" and answer.headers["x-vivavoce-voice"] == "nash"
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == RATE and abs(len(samples) - 2.0 * RATE) < 10
    sent, _ = soundfile.read(io.BytesIO(recording(2.0)))
    assert np.abs(samples).max() > 0.5 * np.abs(sent.mean(1)).max()
    assert convert(server).headers["x-vivavoce-voice"] == "celeste"


def test_a_conversion_can_be_sent_as_events(server: Server) -> None:
    answer = convert(server, text="Good morning.", response_format="pcm", stream_format="sse", timestamps="true")
    found = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert [event["type"] for event in found] == ["vivavoce.notice", "speech.audio.delta", "speech.audio.done"]
    assert len(base64.b64decode(found[1]["audio"])) == 2 * 13_000


def test_the_words_of_the_recording_reach_the_model(server: Server) -> None:
    answer = convert(server, text="Good morning.")
    assert answer.status_code == 200, answer.text
    assert len(soundfile.read(io.BytesIO(answer.content))[0]) == 13_000
    assert answer.headers["x-vivavoce-notice"] == "pauses in the text have no effect"
    assert len(soundfile.read(io.BytesIO(convert(server, text=" ").content))[0]) > 40_000
    wrong = error_of(convert(server, text="Good morning.", lang="xx"), 400)
    assert "lang is 'xx'" in wrong["message"]


@pytest.mark.parametrize(
    ("fields", "data", "status", "part"),
    [
        ({"consent": "no"}, None, 400, "consent must be true: a recording may only be converted if its speaker agrees"),
        ({"voice": "nobody"}, None, 400, "unknown voice 'nobody'"),
        ({"model": "nope"}, None, 404, "unknown model 'nope'"),
        ({"response_format": "midi"}, None, 400, "response_format"),
        ({"seed": "13"}, None, 400, "the recording is silent"),
        ({}, b"no sound at all", 400, "the recording cannot be decoded"),
        ({}, recording(6.0), 400, "the recording is longer than 5 s, which this server accepts"),
        ({"model": "nanospeech"}, None, 400, "cannot convert voices: it has no channel of semantic codes"),
    ],
)
def test_bad_requests_get_one_line(
    server: Server, fields: dict[str, str], data: bytes | None, status: int, part: str
) -> None:
    answer = convert(server, data, **fields)
    error = error_of(answer, answer.status_code)
    assert answer.status_code in (status, 422) and (part in error["message"] or part == error["param"]), error
