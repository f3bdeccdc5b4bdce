"""POST /v1/audio/speech: a request → an order → an answer that is sent while it is made."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from vivavoce.serve import encoders, schemas
from vivavoce.serve.errors import ApiError, body, clean
from vivavoce.serve.messages import Done, Failed, Order, Part
from vivavoce.serve.pool import Pool, QueueFull, Ticket
from vivavoce.serve.schemas import SpeechRequest
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.voices import VoiceStore

_STATUS = {"input": 400, "speech": 422, "server": 503}
_LONGEST_HEADER = 1_000


class Interrupted(Exception):
    """The answer has begun and cannot be completed: the connection is cut, so that the client notices."""


async def speak(
    asked: SpeechRequest, request: Request, settings: ServeConfig, pool: Pool, store: VoiceStore
) -> Response:
    """The answer, whose first sound is made when this returns. Raises ApiError."""
    until = time.monotonic() + settings.timeout
    try:
        pool.check_room()  # before the voice is read
        ticket = pool.submit(await asyncio.to_thread(order, asked, settings, pool, store))
    except QueueFull as error:
        raise ApiError(429, str(error), code="queue_full", headers={"Retry-After": str(error.seconds)}) from None
    try:
        first = await _first(ticket, request, until)
    except BaseException:
        ticket.cancel()
        raise
    if isinstance(first, Failed):
        raise ApiError(
            _STATUS[first.fault],
            first.message,
            code="speech_failed" if first.fault == "speech" else None,
            headers={"Retry-After": "1"} if first.fault == "server" else None,
        )
    headers = _headers(asked, ticket, first)
    if asked.stream_format == "sse":
        return StreamingResponse(_events(ticket, first, until), media_type="text/event-stream", headers=headers)
    media_type = encoders.MEDIA_TYPES[asked.response_format]
    return StreamingResponse(_sound(ticket, first, until), media_type=media_type, headers=headers)


def order(asked: SpeechRequest, settings: ServeConfig, pool: Pool, store: VoiceStore) -> Order:
    """The request, checked. Raises ApiError."""
    if len(asked.input) > settings.max_chars:
        raise ApiError(
            400,
            f"input has {len(asked.input)} characters; this server takes {settings.max_chars} at most",
            "input",
            "string_above_max_length",
        )
    model = settings.resolve(asked.model)
    if model is None:
        raise ApiError(
            404, f"unknown model {asked.model!r}; here are {', '.join(settings.names())}", "model", "model_not_found"
        )
    if lacking := encoders.missing(asked.response_format):
        raise ApiError(400, lacking, "response_format", "unsupported_format")
    languages = pool.models[model].languages
    if asked.lang is not None and asked.lang not in languages:
        raise ApiError(
            400, f"lang is {asked.lang!r}; model {model} speaks {', '.join(languages)}", "lang", "unknown_language"
        )
    name = asked.voice if isinstance(asked.voice, str) else asked.voice.id
    voice = store.get(name)
    if voice is None:
        known = ", ".join(entry.name for entry in store.entries() if entry.builtin)
        raise ApiError(
            400, f"unknown voice {name!r}; built in are {known}; an added one goes by its id", "voice", "unknown_voice"
        )
    return Order(
        id=pool.new_id(),
        model=model,
        text=asked.input,
        voice_id=name,
        voice=voice,
        format=asked.response_format,
        speed=asked.speed,
        seed=asked.seed,
        lang=asked.lang,
        words=asked.timestamps and asked.stream_format == "sse",
    )


def not_followed(asked: SpeechRequest) -> list[str]:
    """Names of the fields that change nothing."""
    ignored = ["instructions"] if (asked.instructions or "").strip() else []
    if asked.timestamps and asked.stream_format != "sse":
        ignored.append("timestamps")
    return ignored + sorted(asked.model_extra or {})


def _headers(asked: SpeechRequest, ticket: Ticket, first: Part | Done) -> dict[str, str]:
    headers = {"X-Vivavoce-Model": ticket.order.model, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if ignored := not_followed(asked):
        headers["X-Vivavoce-Not-Followed"] = ", ".join(ignored)
    if isinstance(first, Part) and first.notices:
        headers["X-Vivavoce-Notice"] = "; ".join(first.notices)
    return {name: _in_header(value) for name, value in headers.items()}


def _in_header(value: str) -> str:
    """One line of ASCII: other characters as \\uXXXX."""
    line = " ".join(value.encode("ascii", "backslashreplace").decode().split())
    return "".join(c if c.isprintable() else "?" for c in line)[:_LONGEST_HEADER]


async def _next(ticket: Ticket, until: float) -> Part | Done | Failed:
    """The next message; where time is up, that."""
    try:
        return await asyncio.wait_for(ticket.next(), max(0.0, until - time.monotonic()))
    except asyncio.TimeoutError:
        ticket.cancel()
        return Failed(ticket.order.id, "server", "the request took longer than this server gives to one")


async def _first(ticket: Ticket, request: Request, until: float) -> Part | Done | Failed:
    """The first message. Raises ApiError where the client goes away before."""
    gone = asyncio.create_task(_gone(request))
    waiting = asyncio.create_task(_next(ticket, until))
    try:
        await asyncio.wait((gone, waiting), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise ApiError(499, "the client has gone")  # nobody reads it; the metrics count it
    finally:
        for task in (gone, waiting):
            task.cancel()
        await asyncio.gather(gone, waiting, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _parts(ticket: Ticket, first: Part | Done, until: float) -> AsyncIterator[Part | Done | Failed]:
    """All messages of an order; whoever stops listening stops its work."""
    message: Part | Done | Failed = first
    try:
        while True:
            yield message
            if not isinstance(message, Part):
                return
            message = await _next(ticket, until)
    finally:
        ticket.cancel()


async def _sound(ticket: Ticket, first: Part | Done, until: float) -> AsyncIterator[bytes]:
    async for message in _parts(ticket, first, until):
        if isinstance(message, Failed):
            raise Interrupted(message.message)
        if isinstance(message, Part) and message.data:
            yield message.data


async def _events(ticket: Ticket, first: Part | Done, until: float) -> AsyncIterator[bytes]:
    async for message in _parts(ticket, first, until):
        for event in _told(message, ticket.order):
            yield f"data: {event.model_dump_json()}\n\n".encode()


def _told(message: Part | Done | Failed, order: Order) -> Iterator[schemas.Event]:
    """A message as events: OpenAI's, and before the sound our own, where times were asked for."""
    if isinstance(message, Failed):
        error = body(_STATUS[message.fault], message.message)["error"]
        yield schemas.Failure(error=schemas.Error(**error))
    elif isinstance(message, Done):
        given, made = message.characters, round(100 * message.seconds)
        yield schemas.AudioDone(usage=schemas.Usage(input_tokens=given, output_tokens=made, total_tokens=given + made))
    else:
        if order.words:
            for notice in message.notices:
                yield schemas.Notice(message=clean(notice))
        if message.words:
            words = [
                schemas.TimedWord(word=clean(w.text), start=round(w.start, 3), end=round(w.end, 3))
                for w in message.words
            ]
            yield schemas.Words(words=words)
        if message.data:
            yield schemas.AudioDelta(audio=base64.b64encode(message.data).decode())
