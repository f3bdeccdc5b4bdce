"""The field `like` of /v1/audio/speech: the manner of an added voice's recording."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
import soundfile
from helpers.serving import Server, Spoken, serving

from vivavoce.synthesis.tts import TTS

TEXT = "The sun had gone down behind the hills, and the valley lay in shadow."
RATE = 24_000


def models() -> dict[str, TTS]:
    return {"nanospeech": TTS(Spoken())}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("serve"), models) as started:
        yield started


def syllables(rate: float) -> bytes:
    """A WAV of 3 s with this many syllables a second."""
    time = np.arange(3 * RATE) / RATE
    vowel = np.clip(1.6 * np.sin(np.pi * (time * rate % 1)), 0.05, 1)
    wave = sum(np.cos(2 * np.pi * k * 150 * time + k) / k for k in range(1, 12))
    file = io.BytesIO()
    soundfile.write(file, 0.05 * wave * vowel, RATE, format="WAV")
    return file.getvalue()


def add(server: Server, rate: float, **fields: str) -> str:
    files = {"audio": ("me.wav", syllables(rate), "audio/wav")}
    with server.client() as client:
        answer = client.post("/v1/audio/voices", data={"name": "me", "consent": "true", **fields}, files=files)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def speak(server: Server, **fields: object) -> httpx2.Response:
    with server.client() as client:
        return client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", "seed": 1, **fields})


def test_the_pace_of_an_added_recording_is_followed(server: Server) -> None:
    plain = len(speak(server).content)
    # a letter takes the model 50 ms, and the recording as long as if one took it 60 ms
    slow = add(server, 5.0, transcript="x" * 50)
    answer = speak(server, like=slow)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) > 1.1 * plain
    assert "the pitch of the recording is not followed" in answer.headers["x-vivavoce-notice"]
    assert len(speak(server, like={"id": slow}, pace=1.2).content) < 0.9 * plain
    assert len(speak(server, like=slow, instructions="fast").content) < 0.9 * plain
    assert len(speak(server, like="").content) == plain


def test_an_unknown_recording_is_refused(server: Server) -> None:
    answer = speak(server, like="nobody")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "like" and "unknown voice 'nobody'" in answer.json()["error"]["message"]


def test_words_that_cannot_be_followed_are_refused(server: Server) -> None:
    answer = speak(server, like=add(server, 5.0, transcript=TEXT))
    assert answer.status_code == 400
    assert "this model cannot follow a recording word by word" in answer.json()["error"]["message"]
