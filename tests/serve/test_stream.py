"""The WebSocket: text in pieces, audio while it is generated, barge-in; through the package's own client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.serving import Server, serving
from helpers.tones import RATE, SECONDS_PER_CHARACTER

from vivavoce import client
from vivavoce.serve.stream import complete_part

websockets = pytest.importorskip("websockets.sync.client")

STORY = "Nobody spoke for a long time. At last the old man rose. He took his hat, and went to the door."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("stream"), max_chars=400) as started:
        yield started


def audio(events: list[client.Event]) -> float:
    """Seconds of pcm."""
    return sum(len(event.audio) for event in events) / 2 / RATE


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("Hello", ""),
        ("Hello there.", ""),
        ("Hello there. ", ""),
        ("Hello there. And", "Hello there. "),
        ("I met Dr. Smith", ""),
        ("It costs $3.50 or", ""),
        ("One. Two. Thr", "One. Two. "),
        ("A heading\nText", "A heading\n"),
        ("Wait [pause 1s", ""),
        ("Stop. [pause. Go", ""),
        ("?! ?! ?!", ""),
    ],
)
def test_only_sentences_whose_end_is_certain_are_spoken(text: str, complete: str) -> None:
    assert complete_part(text) == (complete, text[len(complete) :])


def test_text_in_pieces_becomes_one_speech(server: Server) -> None:
    with client.connect(server.url, voice="alloy", timestamps=True, seed=1) as stream:
        assert stream.started["voice"] == "celeste" and stream.started["sample_rate"] == RATE
        for word in STORY.split():
            stream.append(word + " ")
        stream.end()
        events = list(stream)
    assert events[-1].type == "done"
    assert events[-1].data["usage"]["seconds"] == pytest.approx(audio(events), abs=0.01)
    assert audio(events) > len(STORY) * SECONDS_PER_CHARACTER
    words = [word for event in events if event.type == "words" for word in event.data["words"]]
    assert " ".join(word["word"] for word in words) == STORY
    times = [word["start"] for word in words]
    assert times == sorted(times) and times[-1] < audio(events)


def test_the_first_sentence_is_heard_while_the_text_is_written(server: Server) -> None:
    with client.connect(server.url) as stream:
        stream.append("Good morning to you. And now")
        events = iter(stream)
        assert next(events).audio
        stream.append(" the rest.")
        stream.end()
        assert list(events)[-1].type == "done"


def test_flush_speaks_what_is_there(server: Server) -> None:
    with client.connect(server.url) as stream:
        stream.append("No end to this")
        stream.flush()
        kinds = []
        for event in stream:
            kinds.append(event.type)
            if event.type == "flushed":
                break
    assert kinds[0] == "audio"


def test_cancel_stops_the_speech_and_the_stream_goes_on(server: Server) -> None:
    with client.connect(server.url) as stream:
        stream.append("We go slowly, and we go on. " * 10)
        events = iter(stream)
        assert next(events).audio
        asked = time.monotonic()
        stream.cancel()
        late = []
        for event in events:
            if event.type == "cancelled":
                break
            late.append(event)
        assert time.monotonic() - asked < 1.0 and audio(late) < 5  # 50 ms on a quiet machine
        server.until(lambda: server.metrics.registry.get_sample_value("vivavoce_active") == 0)
        stream.append("Hello again.")
        stream.end()
        after = list(events)
    assert after[-1].type == "done" and 0.3 < audio(after) < 2.0


def test_a_client_that_leaves_stops_its_work(server: Server) -> None:
    with client.connect(server.url) as stream:
        stream.append("We go slowly, and we go on. " * 10)
        stream.end()
        next(iter(stream))
    server.until(lambda: server.metrics.registry.get_sample_value("vivavoce_active") == 0, 10)


def test_the_client_for_asyncio(server: Server) -> None:
    async def speak() -> list[client.Event]:
        async with client.connect_async(server.url, response_format="mp3", voice="nash") as stream:
            await stream.append(STORY)
            await stream.end()
            return [event async for event in stream]

    events = asyncio.run(speak())
    assert events[-1].type == "done" and sum(len(event.audio) for event in events) > 5_000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"voice": "alice"}, "unknown voice 'alice'"),
        ({"model": "gpt-9"}, "unknown model"),
        ({"speed": 9}, "speed must be at most 4"),
        ({"response_format": "flac"}, "a stream has one of pcm, mp3, aac"),
        ({"lang": "xx"}, "the languages of model"),
    ],
)
def test_wrong_options_are_refused(server: Server, options: dict[str, Any], told: str) -> None:
    with pytest.raises(client.StreamError, match=told), client.connect(server.url, **options):
        raise AssertionError("it opened")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no JSON", "JSON objects"),
        ("[]", "a type"),
        ("[" * 50_000, "JSON objects"),
        ('{"type": "sing"}', "unknown type"),
        ('{"type": "append"}', "the field text"),
        ('{"type": "append", "text": 3}', "the field text"),
        (json.dumps({"type": "append", "text": "a" * 2_000}), "characters are waiting"),
        (json.dumps({"type": "append", "text": "a" * 500}), "a sentence has more than 400"),
        (b"binary", "text frames"),
    ],
)
def test_wrong_messages_end_the_stream_with_a_reason(server: Server, message: str | bytes, told: str) -> None:
    address = server.url.replace("http", "ws") + client.PATH
    with websockets.connect(address) as socket:
        socket.send(json.dumps({"type": "start"}))
        assert json.loads(socket.recv())["type"] == "started"
        socket.send(message)
        error = json.loads(socket.recv(20))
        assert error["type"] == "error" and told in error["error"]["message"]


def test_speech_that_fails_is_reported_and_the_stream_goes_on(server: Server) -> None:
    address = server.url.replace("http", "ws") + client.PATH
    with websockets.connect(address) as socket:
        for message in ({"text": "It is mute."}, {"type": "flush"}, {"text": "Hello."}, {"type": "end"}):
            socket.send(json.dumps({"type": "append", **message}))
        kinds = [json.loads(m)["type"] if isinstance(m, str) else "audio" for m in socket]
    assert kinds[:2] == ["started", "error"] and "audio" in kinds and kinds[-1] == "done"


def test_a_key_is_required_where_there_is_one(tmp_path: Path) -> None:
    with serving(tmp_path, api_key="secret") as server:
        with client.connect(server.url, api_key="secret") as stream:
            stream.end()
            assert [event.type for event in stream] == ["done"]
        for wrong in (None, "secre"):
            with pytest.raises(client.StreamError, match="API key"), client.connect(server.url, api_key=wrong):
                raise AssertionError("it opened")


def test_pages_of_other_sites_cannot_connect(server: Server) -> None:
    address = server.url.replace("http", "ws") + client.PATH
    headers = {"Origin": "https://evil.example"}
    with pytest.raises(Exception, match="403"), websockets.connect(address, additional_headers=headers):
        raise AssertionError("it opened")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="must start with http"), client.connect("127.0.0.1:8000"):
        raise AssertionError("it opened")
