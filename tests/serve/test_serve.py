"""What clients of the server see: OpenAI's client and others, over the bundled model or a stand-in for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx2
import numpy as np
import pytest
import soundfile
from helpers.abilities import MODELS, able
from helpers.server_api import TEXT, add, client_of, events
from helpers.serving import Server, request, serving
from helpers.tones import RATE, SECONDS_PER_CHARACTER

import vivavoce
from vivavoce import audio

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
    with serving(tmp_path_factory.mktemp("nanospeech"), None) as started:
        yield started


@pytest.fixture(scope="module")
def tts() -> vivavoce.TTS:
    """The same model without a server."""
    return vivavoce.load()


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
            model="nanospeech",
            input=text,
            voice={"id": "luna"},
            response_format="pcm",
            speed=0.8,
            extra_body={"seed": 1},
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
    assert answer.headers["x-vivavoce-model"] == "nanospeech"
    assert "x-vivavoce-not-followed" not in server.post(TEXT, instructions="", speed=1.5).headers


def test_instructions_are_followed_as_far_as_the_model_can(server: Server) -> None:
    slow = server.post(TEXT, instructions="Speak slowly.", response_format="wav", seed=1)
    plain = server.post(TEXT, response_format="wav", seed=1)
    assert len(slow.content) > 1.1 * len(plain.content) and "x-vivavoce-not-followed" not in slow.headers
    partly = server.post(TEXT, instructions="Slowly, higher, like a pirate.")
    assert partly.headers["x-vivavoce-not-followed"] == "instructions (like pirate higher)"
    calm = server.post(TEXT, instructions="Be calm.")
    assert calm.headers["x-vivavoce-not-followed"] == "instructions (pitch and range of calm)"
    quick = server.post(TEXT, instructions="quickly", speed=4)
    assert quick.headers["x-vivavoce-not-followed"] == "instructions (pace beyond speed 0.25 to 4)"
    refused = server.post(TEXT, pitch=2)
    error = refused.json()["error"]
    assert refused.status_code == 400 and (error["param"], error["code"]) == ("pitch", "unsupported_value")
    assert error["message"].startswith("pitch is 2, but model nanospeech has no prosody conditions")
    twice = server.post(TEXT, speed=4, pace=2)
    assert twice.status_code == 400 and "speed is 4 and pace is 2" in twice.json()["error"]["message"]
    true = server.post(TEXT, energy=True)
    assert true.status_code == 400 and true.json()["error"]["message"] == "energy must be a number (got True)"
    assert server.post(TEXT, energy="3").status_code == 200
    assert server.post(TEXT, energy=3, pace=0.8).status_code == 200
    assert server.post(TEXT, pace=9).status_code in (400, 422)


def test_a_header_says_what_the_model_cannot_speak(server: Server) -> None:
    assert "\\u2603" in server.post("A ☃ here.").headers["x-vivavoce-notice"]


def test_a_wrong_tag_is_left_out_with_a_notice(server: Server) -> None:
    plain = server.post("Good morning.", seed=1)
    for tag in ("[pitch up]", "[emphasis strong]", "[laughs]", "[vioce:nash]"):
        answer = server.post(f"Good {tag} morning.", seed=1)
        assert tag in answer.headers["x-vivavoce-notice"] and answer.content == plain.content
    answer = server.post("Good [em morning[/em].", seed=1)
    assert "[em" in answer.headers["x-vivavoce-notice"] and answer.content == plain.content


def test_models_say_what_they_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVAVOCE_WHISPER", "base.pt")  # not read before a recording is
    with serving(tmp_path, able, models=MODELS) as server, server.client() as client:
        plain, lively, letters = client.get("/v1/models").json()["data"]
        answer = server.post(TEXT, model="lively", pitch=2, pitch_range=1.3, energy=-3, pace=0.9)
    assert plain["prosody"] == ["energy", "pace"] and plain["styles"] == {} and plain["conversions"] == []
    assert lively["prosody"] == ["pitch", "pitch_range", "energy", "pace"]
    assert lively["styles"]["calm"] == {"pitch": -0.5, "pitch_range": 0.8, "energy": -2.0, "pace": 0.92}
    if find_spec("torch"):
        assert lively["conversions"] == ["recording", "text"] and letters["conversions"] == ["text"]
    else:
        assert lively["conversions"] == letters["conversions"] == []
    assert answer.status_code == 200 and "x-vivavoce-not-followed" not in answer.headers


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
