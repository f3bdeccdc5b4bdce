"""The service for Home Assistant, through the client of the package wyoming."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from helpers.own_voices import add_own_voices
from helpers.serving import Spoken
from helpers.tones import RATE, SECONDS_PER_CHARACTER

from vivavoce.cli import main, terminal
from vivavoce.config import BUILTIN_VOICES
from vivavoce.synthesis.tts import TTS

wyoming = pytest.importorskip("wyoming")

from wyoming.audio import AudioChunk  # noqa: E402
from wyoming.client import AsyncTcpClient  # noqa: E402
from wyoming.event import Event  # noqa: E402
from wyoming.info import Describe, Info  # noqa: E402
from wyoming.server import AsyncTcpServer  # noqa: E402
from wyoming.tts import (  # noqa: E402
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeVoice,
)

from vivavoce.serve.wyoming_server import Handler, describe  # noqa: E402

Talk = Callable[[AsyncTcpClient], Coroutine[Any, Any, Any]]


def talk(talking: Talk) -> Any:
    """Run a conversation with a service on a free port."""

    async def run() -> Any:
        tts, lock = TTS(Spoken()), threading.Lock()
        server = AsyncTcpServer("127.0.0.1", 0)
        await server.start(lambda *streams: Handler(tts, "celeste", lock, *streams))
        port = server._server.sockets[0].getsockname()[1]
        async with AsyncTcpClient("127.0.0.1", port) as client:
            result = await asyncio.wait_for(talking(client), 60)
        await server.stop()
        return result

    return asyncio.run(run())


async def until(client: AsyncTcpClient, last: str) -> list[Event]:
    events = []
    while (event := await client.read_event()) is not None:
        events.append(event)
        if event.type == last:
            break
    return events


def seconds(events: list[Event]) -> float:
    chunks = [AudioChunk.from_event(event) for event in events if AudioChunk.is_type(event.type)]
    assert all((chunk.rate, chunk.width, chunk.channels) == (RATE, 2, 1) for chunk in chunks)
    return sum(len(chunk.audio) for chunk in chunks) / 2 / RATE


def test_it_describes_its_voices() -> None:
    async def asked(client: AsyncTcpClient) -> Info:
        await client.write_event(Describe().event())
        return Info.from_event(await client.read_event())

    (program,) = talk(asked).tts
    assert [voice.name for voice in program.voices] == list(BUILTIN_VOICES)
    assert program.supports_synthesize_streaming and program.voices[0].languages == ["en"]


def test_it_offers_the_users_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_own_voices(tmp_path / "own", monkeypatch)
    with pytest.warns(UserWarning, match="broken"):
        (program,) = describe(TTS(Spoken())).tts
    assert [voice.name for voice in program.voices] == [*BUILTIN_VOICES, "My own"]


def test_it_speaks_a_text() -> None:
    async def speak(client: AsyncTcpClient) -> list[list[Event]]:
        found = []
        for voice in (None, SynthesizeVoice(name="nash"), SynthesizeVoice(language="en")):
            await client.write_event(Synthesize(text="Good morning.", voice=voice).event())
            found.append(await until(client, "audio-stop"))
        return found

    for events in talk(speak):
        assert events[0].type == "audio-start" and events[-1].type == "audio-stop"
        assert seconds(events) == pytest.approx(13 * SECONDS_PER_CHARACTER, abs=0.2)


def test_it_speaks_while_the_text_is_written() -> None:
    async def stream(client: AsyncTcpClient) -> list[Event]:
        await client.write_event(SynthesizeStart(voice=SynthesizeVoice(name="luna")).event())
        first = "The sun had gone down behind the hills, and the valley lay in shadow. Nobody spoke for a long time. "
        await client.write_event(SynthesizeChunk(text=first).event())
        events = await until(client, "audio-chunk")  # before the text is complete
        await client.write_event(SynthesizeChunk(text="At last the old man rose.").event())
        await client.write_event(Synthesize(text="all of it, for services that do not stream").event())
        await client.write_event(SynthesizeStop().event())
        return events + await until(client, "synthesize-stopped")

    events = talk(stream)
    assert [event.type for event in events if event.type != "audio-chunk"] == [
        "audio-start",
        "audio-stop",
        "synthesize-stopped",
    ]
    assert seconds(events) > 5


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (Synthesize(text="?!"), "nothing in it"),
        (Synthesize(text="Hello.", voice=SynthesizeVoice(name="alice")), "unknown voice 'alice'"),
        (Synthesize(text="It is mute."), "silence"),
    ],
)
def test_an_error_is_told_and_ends_the_connection(request_: Synthesize, told: str) -> None:
    async def fail(client: AsyncTcpClient) -> list[Event]:
        await client.write_event(request_.event())
        return await until(client, "never")

    events = talk(fail)
    assert events[-1].type == "error" and told in events[-1].data["text"]


def test_the_command_checks_its_voice(capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.run(main.app, ["wyoming", "--voice", "alice"]) == 2
    assert "unknown voice 'alice'" in capsys.readouterr().err
