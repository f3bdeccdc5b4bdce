"""The WebSocket /v1/audio/speech/stream: text in, while it is written; audio out, while it is generated.

The client sends JSON: start (once, first), append, flush, cancel, end. The server sends audio as binary frames, and
JSON for everything else: started, words, notice, flushed, cancelled, done, error. Each sentence is generated as soon as
its end is certain.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from typing import Any, Literal

from pydantic import ValidationError
from starlette.routing import Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from vivavoce.serve import logs
from vivavoce.serve.errors import ApiError, body, clean, describe_fault
from vivavoce.serve.messages import AudioChunk, Done, Failed
from vivavoce.serve.pool import JobHandle, QueueFull
from vivavoce.serve.schemas import SpeechRequest
from vivavoce.serve.speech import Service, make_job, substitutions
from vivavoce.text.split import PAUSE_SENTENCE, sentences

PATH = "/v1/audio/speech/stream"
FORMATS = ("pcm", "mp3", "aac")  # the formats whose files can be joined end to end
START_SECONDS = 10.0  # for the first message
IDLE_SECONDS = 600.0  # between two messages
SEND_SECONDS = 30.0  # that a client may leave audio unread
MAX_WAITING = 4  # times max_chars: text that may wait to be spoken

_Marker = Literal["flush", "end"]


class _Refused(Exception):
    """The session ends with an error message."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


def add_stream(router: Router, service: Service) -> None:
    """Add the WebSocket to the routes of an application."""

    async def endpoint(websocket: WebSocket) -> None:
        await Session(websocket, service).run()

    router.routes.append(WebSocketRoute(PATH, endpoint))


def complete_part(text: str) -> tuple[str, str]:
    """Split text that is still being written into the part whose last sentence has certainly ended, and the rest."""
    lines, _, line = text.rpartition("\n")
    head = f"{lines}\n" if lines else ""
    found = sentences(line)
    if len(found) > 1:
        end = line.rindex(found[-1])
        head, line = head + line[:end], line[end:]
    if not any(map(str.isalnum, head)) or head.count("[") != head.count("]"):
        return "", text
    return head, line


class Session:
    """One connection."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self.websocket, self.service = websocket, service
        self.options = _request({})
        self.pending = ""  # text whose end is not certain yet
        self.queue: asyncio.Queue[str | _Marker] = asyncio.Queue()
        self.waiting = 0  # characters in the queue
        self.characters, self.seconds, self.utterances = 0, 0.0, 0
        self.handle: JobHandle | None = None
        self.ended = False  # after the message end
        self.speaker: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve the connection until one side closes it."""
        opened = time.monotonic()
        await self.websocket.accept()
        try:
            message = await self._start(await self._receive(START_SECONDS))
            self.speaker = asyncio.create_task(self._speak())
            while True:
                if message is not None:
                    await self._handle(message)
                message = await self._next_message()
                if self.speaker.done():
                    self.speaker.result()
                    return
        except _Refused as error:
            with contextlib.suppress(Exception):
                await self._send(_error(400, str(error), error.code))
                await self.websocket.close(1008)
        except (WebSocketDisconnect, asyncio.TimeoutError, RuntimeError):  # the client is gone, silent or does not read
            with contextlib.suppress(Exception):
                await self.websocket.close(1001)
        finally:
            self._stop()
            logs.log_request("WEBSOCKET", PATH, 101, time.monotonic() - opened, self.characters)

    # --- messages of the client --------------------------------------------------------------------------------------

    async def _receive(self, seconds: float) -> dict[str, Any]:
        try:
            message = json.loads(await asyncio.wait_for(self.websocket.receive_text(), seconds))
        except (ValueError, KeyError, RecursionError):
            raise _Refused("messages must be JSON objects in text frames") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise _Refused("a message must be a JSON object with a type")
        return message

    async def _start(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Read the options, check the key and reply. Return the message if it is another one, to be handled next."""
        options = {k: v for k, v in message.items() if k not in ("type", "api_key")} if _is(message, "start") else {}
        self._check_key(message.get("api_key") if _is(message, "start") else None)
        try:
            self.options = _request(options)
            job = await asyncio.to_thread(make_job, self.options, self.service)
        except ValidationError as error:
            raise _Refused(describe_fault(error.errors())) from None
        except ApiError as error:
            raise _Refused(str(error.detail), error.body["error"]["code"]) from None
        if job.format not in FORMATS:
            raise _Refused(f"response_format is {job.format!r}; a stream has one of {', '.join(FORMATS)}")
        started = {"type": "started", "model": job.model, "voice": job.voice_id, "response_format": job.format}
        await self._send({**started, "sample_rate": 24_000, "substituted": substitutions(self.options, job)})
        return None if _is(message, "start") else message

    def _check_key(self, given: Any) -> None:
        key = self.service.settings.api_key
        if key is None:
            return
        scheme, _, header = self.websocket.headers.get("authorization", "").partition(" ")
        offered = header.strip() if scheme.lower() == "bearer" else given if isinstance(given, str) else ""
        if not hmac.compare_digest(offered.encode(), key.encode()):
            raise _Refused("missing or wrong API key; send a Bearer token, or api_key in start", "invalid_api_key")

    async def _next_message(self) -> dict[str, Any] | None:
        """Wait for a message; None: everything is spoken, or the speech failed."""
        assert self.speaker is not None
        receiving = asyncio.create_task(self._receive(IDLE_SECONDS))
        try:
            await asyncio.wait((receiving, self.speaker), return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() and not self.speaker.done() else None
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def _handle(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self.ended and kind != "cancel":
            raise _Refused("the stream has ended; only cancel may follow end")
        if kind == "append":
            self._append(message.get("text"))
        elif kind in ("flush", "end"):
            self._enqueue(self.pending)
            self.pending = ""
            self.queue.put_nowait(kind)
            self.ended = kind == "end"
        elif kind == "cancel":
            self._stop()
            self.pending, self.queue, self.waiting, self.ended = "", asyncio.Queue(), 0, False
            await self._send({"type": "cancelled", "seconds": round(self.seconds, 3)})
            self.speaker = asyncio.create_task(self._speak())
        else:
            raise _Refused(f"unknown type {kind[:40]!r}; known are append, flush, cancel and end, after start")

    def _append(self, text: Any) -> None:
        if not isinstance(text, str):
            raise _Refused("append needs the field text, a string")
        limit = self.service.settings.max_chars
        if len(self.pending) + self.waiting + len(text) > MAX_WAITING * limit:
            raise _Refused(
                f"more than {MAX_WAITING * limit} characters are waiting to be spoken; send text more slowly"
            )
        complete, self.pending = complete_part(self.pending + text)
        if len(self.pending) > limit:
            raise _Refused(f"a sentence has more than {limit} characters; this server accepts at most {limit}")
        self._enqueue(complete)

    def _enqueue(self, text: str) -> None:
        limit = max(1, self.service.settings.max_chars - 40)  # leaves room for a tag
        for start in range(0, len(text), limit):
            if any(map(str.isalnum, part := text[start : start + limit])):
                self.waiting += len(part)
                self.queue.put_nowait(part)

    # --- speech ------------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        while True:
            item = await self.queue.get()
            if item == "flush":
                await self._send({"type": "flushed"})
            elif item == "end":
                usage = {"characters": self.characters, "seconds": round(self.seconds, 3)}
                await self._send({"type": "done", "usage": usage})
                await self.websocket.close(1000)
                return
            else:
                self.waiting -= len(item)
                await self._utter(item)

    async def _utter(self, text: str) -> None:
        """Generate one part of the text and send it."""
        seed = None if self.options.seed is None else self.options.seed + self.utterances
        spoken = f"{text.rstrip()} [pause {round(1000 * PAUSE_SENTENCE)}ms]"
        asked = self.options.model_copy(update={"input": spoken, "seed": seed})
        self.utterances += 1
        try:
            self.handle = handle = self.service.pool.submit(await asyncio.to_thread(make_job, asked, self.service))
        except QueueFull as error:
            await self._send(_error(429, str(error), "queue_full"))
            return
        except ApiError as error:
            await self._send({"type": "error", **error.body})
            return
        started, message = self.seconds, await self._next(handle)
        while isinstance(message, AudioChunk):
            words = [
                {"word": clean(w.text), "start": round(w.start + started, 3), "end": round(w.end + started, 3)}
                for w in message.words
            ]
            for notice in message.notices:
                await self._send({"type": "notice", "message": clean(notice)})
            if words and self.options.timestamps:
                await self._send({"type": "words", "words": words})
            if message.data:
                await asyncio.wait_for(self.websocket.send_bytes(message.data), SEND_SECONDS)
            self.seconds += message.seconds
            message = await self._next(handle)
        self.characters += len(text)
        if isinstance(message, Failed):
            await self._send(_error(503 if message.culprit == "server" else 400, message.message))

    async def _next(self, handle: JobHandle) -> AudioChunk | Done | Failed:
        try:
            return await asyncio.wait_for(handle.next(), self.service.settings.timeout)
        except asyncio.TimeoutError:
            handle.cancel()
            return Failed(handle.job.id, "server", "the text took longer than the server's time limit")

    def _stop(self) -> None:
        """Stop generating and sending."""
        if self.speaker is not None:
            self.speaker.cancel()
        if self.handle is not None:
            self.handle.cancel()

    async def _send(self, message: dict[str, Any]) -> None:
        await asyncio.wait_for(self.websocket.send_text(json.dumps(message)), SEND_SECONDS)


def _request(options: dict[str, Any]) -> SpeechRequest:
    """Return the request that a stream's options amount to. Raises ValidationError."""
    fixed = {"input": "a", "stream_format": "sse"}  # the text follows later; sse: word times
    return SpeechRequest.model_validate({"response_format": "pcm", **options, **fixed})


def _is(message: dict[str, Any], kind: str) -> bool:
    return bool(message["type"] == kind)


def _error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    return {"type": "error", **body(status, message, None, code)}
