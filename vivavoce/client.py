"""A client for the WebSocket of `vivavoce serve`: send text while it is written, receive audio while it is generated.

    with vivavoce.client.connect("http://127.0.0.1:8000", voice="nash") as stream:
        for token in language_model:
            stream.append(token)
        stream.end()
        for event in stream:
            play(event.audio)

`connect_async` is the same with `async with`, `await` and `async for`. Needs `pip install "vivavoce[client]"`. Knows
nothing about models: it only talks to a server.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

PATH = "/v1/audio/speech/stream"
SAMPLE_RATE = 24_000  # Hz, of pcm


class StreamError(RuntimeError):
    """The server reported an error. code: for programs, or None."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Event:
    """A message of the server.

    type: audio, words, notice, flushed, cancelled or done. audio: encoded bytes; pcm is 16 bit, little-endian, mono, at
    SAMPLE_RATE. data: the other fields, such as the words with their times in seconds.
    """

    type: str
    audio: bytes
    data: dict[str, Any]


class SpeechStream:
    """An open stream. `connect` returns one."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.started: dict[str, Any] = {}  # the server's choice: model, voice, response_format, sample_rate

    def append(self, text: str) -> None:
        """Send text. Each sentence is spoken as soon as its end is certain."""
        self._socket.send(json.dumps({"type": "append", "text": text}))

    def flush(self) -> None:
        """Speak all text so far without waiting for the end of the sentence. The event `flushed` follows its audio."""
        self._socket.send(json.dumps({"type": "flush"}))

    def cancel(self) -> None:
        """Stop speaking and drop all text so far. Audio may arrive until the event `cancelled`; discard it."""
        self._socket.send(json.dumps({"type": "cancel"}))

    def end(self) -> None:
        """Speak the rest of the text, then close. The last event is `done`."""
        self._socket.send(json.dumps({"type": "end"}))

    def __iter__(self) -> Iterator[Event]:
        """Yield the server's messages, up to `done`. Raises StreamError for an error."""
        for message in self._socket:
            yield (event := _event(message))
            if event.type == "done":
                return


class AsyncSpeechStream:
    """`SpeechStream` for asyncio. `connect_async` returns one."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.started: dict[str, Any] = {}

    async def append(self, text: str) -> None:
        """Send text. Each sentence is spoken as soon as its end is certain."""
        await self._socket.send(json.dumps({"type": "append", "text": text}))

    async def flush(self) -> None:
        """Speak all text so far without waiting for the end of the sentence. The event `flushed` follows its audio."""
        await self._socket.send(json.dumps({"type": "flush"}))

    async def cancel(self) -> None:
        """Stop speaking and drop all text so far. Audio may arrive until the event `cancelled`; discard it."""
        await self._socket.send(json.dumps({"type": "cancel"}))

    async def end(self) -> None:
        """Speak the rest of the text, then close. The last event is `done`."""
        await self._socket.send(json.dumps({"type": "end"}))

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield the server's messages, up to `done`. Raises StreamError for an error."""
        async for message in self._socket:
            yield (event := _event(message))
            if event.type == "done":
                return


@contextlib.contextmanager
def connect(url: str, *, api_key: str | None = None, **options: Any) -> Iterator[SpeechStream]:
    """Open a stream to a server.

    url: of the server, http or https. options: the fields of a request for speech: voice, model, response_format (pcm,
    mp3 or aac), speed, lang, seed, timestamps. Raises StreamError if the server refuses them, OSError if it cannot be
    reached.
    """
    from websockets.sync.client import connect as open_socket

    with open_socket(_address(url), additional_headers=_headers(api_key), max_size=None) as socket:
        socket.send(json.dumps({"type": "start", **options}))
        stream = SpeechStream(socket)
        stream.started = _event(socket.recv()).data
        yield stream


@contextlib.asynccontextmanager
async def connect_async(url: str, *, api_key: str | None = None, **options: Any) -> AsyncIterator[AsyncSpeechStream]:
    """Open a stream to a server from asyncio. Arguments and errors as of `connect`."""
    from websockets.asyncio.client import connect as open_socket

    async with open_socket(_address(url), additional_headers=_headers(api_key), max_size=None) as socket:
        await socket.send(json.dumps({"type": "start", **options}))
        stream = AsyncSpeechStream(socket)
        stream.started = _event(await socket.recv()).data
        yield stream


def _address(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if not separator or scheme not in schemes:
        raise ValueError(f"url is {url!r}; it must start with http:// or https://")
    return f"{schemes[scheme]}://{rest.rstrip('/')}{PATH}"


def _headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}


def _event(message: str | bytes) -> Event:
    if isinstance(message, bytes):
        return Event("audio", message, {})
    data = json.loads(message)
    kind = data.pop("type")
    if kind == "error":
        raise StreamError(data["error"]["message"], data["error"]["code"])
    return Event(kind, b"", data)
