"""POST /v1/audio/speech: validate the request, submit a job, stream the answer while it is generated."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from vivavoce.audio.dsp import Samples
from vivavoce.config import BUILTIN_VOICES, PROSODY_LIMITS, SPEEDS, SpeakOptions
from vivavoce.serve import encoders, schemas
from vivavoce.serve.aliases import VoiceAliases
from vivavoce.serve.errors import ApiError, Interrupted, body, clean
from vivavoce.serve.messages import AudioChunk, Done, Failed, Job, ModelInfo
from vivavoce.serve.pool import JobHandle, Pool, QueueFull
from vivavoce.serve.schemas import SpeechRequest, VoiceId
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.voices import UnusableVoice, VoiceStore
from vivavoce.text.prosody import NEUTRAL, STYLES, Prosody, parse_instructions, without_conditions
from vivavoce.voices import Voice

DEFAULT_VOICE = SpeakOptions().voice

_STATUS = {"input": 400, "speech": 422, "server": 503}
_MAX_HEADER = 1_000  # characters


@dataclass(frozen=True)
class Service:
    """What the routes that speak have in common."""

    settings: ServeConfig
    pool: Pool
    store: VoiceStore
    aliases: VoiceAliases


async def speak(asked: SpeechRequest, request: Request, service: Service, recording: Samples | None = None) -> Response:
    """Return the answer once its first audio is ready. Raises ApiError.

    recording: [S] at SAMPLE_RATE, which is converted to the voice; the text of the request is its words, or "".
    """
    until = time.monotonic() + service.settings.timeout
    request.state.characters = len(asked.input)  # for the log
    try:
        service.pool.check_room()  # before the voice is read
        job = await asyncio.to_thread(make_job, asked, service)
        if recording is not None:
            job = dataclasses.replace(job, recording=recording)
        handle = service.pool.submit(job)
    except QueueFull as error:
        raise ApiError(429, str(error), code="queue_full", headers={"Retry-After": str(error.seconds)}) from None
    try:
        first = await _first_message(handle, request, until)
    except BaseException:
        handle.cancel()
        raise
    if isinstance(first, Failed):
        raise ApiError(
            _STATUS[first.culprit],
            first.message,
            code="speech_failed" if first.culprit == "speech" else None,
            headers={"Retry-After": "1"} if first.culprit == "server" else None,
        )
    headers = _headers(asked, handle, first, service.pool.models[job.model].prosody)
    if asked.stream_format == "sse":
        return StreamingResponse(_stream_events(handle, first, until), media_type="text/event-stream", headers=headers)
    media_type = encoders.MEDIA_TYPES[asked.response_format]
    return StreamingResponse(_stream_audio(handle, first, until), media_type=media_type, headers=headers)


def make_job(asked: SpeechRequest, service: Service) -> Job:
    """Validate the request and return it as a job. Raises ApiError."""
    settings = service.settings
    if len(asked.input) > settings.max_chars:
        raise ApiError(
            400,
            f"input has {len(asked.input)} characters; this server accepts at most {settings.max_chars}",
            "input",
            "string_above_max_length",
        )
    model = settings.names()[0] if asked.model is None else settings.resolve(asked.model)
    if model is None:
        raise ApiError(
            404,
            f"unknown model {asked.model!r}; available models: {', '.join(settings.names())}",
            "model",
            "model_not_found",
        )
    if message := encoders.missing(asked.response_format):
        raise ApiError(400, message, "response_format", "unsupported_format")
    languages = service.pool.models[model].languages
    if asked.lang is not None and asked.lang not in languages:
        raise ApiError(
            400,
            f"lang is {asked.lang!r}; the languages of model {model} are {', '.join(languages)}",
            "lang",
            "unknown_language",
        )
    voice_id, voice = find_voice(asked.voice, service)
    follows = service.pool.models[model].prosody
    for name, neutral in (("pitch", 0.0), ("pitch_range", 1.0)):
        if getattr(asked, name) != neutral and not follows:
            raise ApiError(
                400,
                f"{name} is {getattr(asked, name):g}, but model {model} has no prosody conditions; it follows energy "
                "and pace only",
                name,
                "unsupported_value",
            )
    if not follows and not SPEEDS[0] <= asked.speed * asked.pace <= SPEEDS[1]:
        raise ApiError(
            400,
            f"speed is {asked.speed:g} and pace is {asked.pace:g}; their product must be from {SPEEDS[0]:g} to "
            f"{SPEEDS[1]:g}",
            "pace",
            "invalid_value",
        )
    return Job(
        id=service.pool.new_id(),
        model=model,
        text=asked.input,
        voice_id=voice_id,
        voice=voice,
        format=asked.response_format,
        speed=asked.speed,
        prosody=_asked_prosody(asked, follows),
        like=None if asked.like is None else find_voice(asked.like, service, "like")[1],
        seed=asked.seed,
        lang=asked.lang,
        steps=asked.steps,
        words=asked.timestamps and asked.stream_format == "sse",
        max_seconds=settings.max_seconds,
    )


def followed(info: ModelInfo) -> tuple[str, ...]:
    """Return the fields of prosody that a model follows. Without conditions, energy is a gain and pace a speed."""
    return tuple(PROSODY_LIMITS) if info.prosody else ("energy", "pace")


def styles(info: ModelInfo) -> dict[str, dict[str, float]]:
    """Return the styles that a model follows: each changes pitch or range, so it needs conditions."""
    return {name: style.options() for name, style in STYLES.items()} if info.prosody else {}


def find_voice(asked: str | VoiceId | None, service: Service, field: str = "voice") -> tuple[str, Voice]:
    """Return the id of the voice that a field of the request names, and the voice. Raises ApiError."""
    name = asked.id if isinstance(asked, VoiceId) else asked
    identifier = DEFAULT_VOICE if name is None else service.aliases.resolve(name)
    try:
        voice = service.store.get(identifier)
    except UnusableVoice:
        message = f"the stored voice {identifier!r} is damaged; delete it and add it again"
        raise ApiError(400, message, field, "unusable_voice") from None
    if voice is None:
        known = ", ".join(BUILTIN_VOICES)
        gone = "" if identifier == name else f" (an alias of {identifier!r}, which does not exist)"
        raise ApiError(
            400,
            f"unknown voice {name!r}{gone}; built-in voices: {known}; use the id of an added voice",
            field,
            "unknown_voice",
        )
    return identifier, voice


def substitutions(asked: SpeechRequest, job: Job) -> list[str]:
    """Return what replaces a name that the request used, or one that it left out."""
    voice = asked.voice.id if isinstance(asked.voice, VoiceId) else asked.voice
    found = []
    for field, requested, used in (("model", asked.model, job.model), ("voice", voice, job.voice_id)):
        if requested is None:
            found.append(f"{field}={used} (default)")
        elif requested != used:
            found.append(f"{field}={used} (requested: {requested})")
    if "response_format" not in asked.model_fields_set:
        found.append(f"response_format={job.format} (default)")
    return found


def _asked_prosody(asked: SpeechRequest, follows: bool) -> Prosody:
    """Return the prosody of the fields and the instructions; `follows`: whether the model reads pitch and range."""
    fields = Prosody(asked.pitch, asked.pitch_range, asked.energy, asked.pace)
    wished = parse_instructions(asked.instructions or "")[0]
    if follows:
        return fields.within(wished)
    both = fields.within(Prosody(energy=wished.energy, pace=wished.pace))
    # The model's pace is a factor on the speed. Instructions go as far as the speeds do.
    return dataclasses.replace(both, pace=min(max(both.pace, SPEEDS[0] / asked.speed), SPEEDS[1] / asked.speed))


def _not_followed(instructions: str, follows: bool) -> list[str]:
    """Return which instructions have no effect: all of them, some words, or the pitch or range of a word."""
    wished, unknown = parse_instructions(instructions)
    if not follows:
        unknown = [*unknown, *without_conditions(instructions)]
    if not unknown:
        return []
    if wished == NEUTRAL or (not follows and wished.energy == 0 and wished.pace == 1):
        return ["instructions"]
    return [f"instructions ({' '.join(dict.fromkeys(unknown))})"]


def ignored_fields(asked: SpeechRequest, follows: bool = False) -> list[str]:
    """Return the names of fields that have no effect; `follows`: whether the model reads pitch and range."""
    ignored = _not_followed(asked.instructions or "", follows)
    pace = asked.pace * parse_instructions(asked.instructions or "")[0].pace
    if not ignored and not follows and not SPEEDS[0] <= round(asked.speed * pace, 6) <= SPEEDS[1]:
        ignored = [f"instructions (pace beyond speed {SPEEDS[0]:g} to {SPEEDS[1]:g})"]
    if asked.timestamps and asked.stream_format != "sse":
        ignored.append("timestamps")
    return ignored + sorted(asked.model_extra or {})


def _headers(asked: SpeechRequest, handle: JobHandle, first: AudioChunk | Done, follows: bool) -> dict[str, str]:
    headers = {"X-Vivavoce-Model": handle.job.model, "X-Vivavoce-Voice": handle.job.voice_id}
    headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if found := substitutions(asked, handle.job):
        headers["X-Vivavoce-Substituted"] = ", ".join(found)
    if ignored := ignored_fields(asked, follows):
        headers["X-Vivavoce-Not-Followed"] = ", ".join(ignored)
    if isinstance(first, AudioChunk) and first.notices:
        headers["X-Vivavoce-Notice"] = "; ".join(first.notices)
    return {name: _header_value(value) for name, value in headers.items()}


def _header_value(value: str) -> str:
    """Return one line of ASCII; other characters become \\uXXXX."""
    line = " ".join(value.encode("ascii", "backslashreplace").decode().split())
    return "".join(c if c.isprintable() else "?" for c in line)[:_MAX_HEADER]


async def _next_message(handle: JobHandle, until: float) -> AudioChunk | Done | Failed:
    """Return the next message, or a failure once the time limit is reached."""
    try:
        return await asyncio.wait_for(handle.next(), max(0.0, until - time.monotonic()))
    except asyncio.TimeoutError:
        handle.cancel()
        return Failed(handle.job.id, "server", "the request took longer than the server's time limit")


async def _first_message(handle: JobHandle, request: Request, until: float) -> AudioChunk | Done | Failed:
    """Return the first message. Raises ApiError if the client disconnects before it arrives."""
    disconnected = asyncio.create_task(_disconnected(request))
    waiting = asyncio.create_task(_next_message(handle, until))
    try:
        await asyncio.wait((disconnected, waiting), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise ApiError(499, "the client has disconnected")  # nobody reads it, but the metrics count it
    finally:
        for task in (disconnected, waiting):
            task.cancel()
        await asyncio.gather(disconnected, waiting, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _messages(
    handle: JobHandle, first: AudioChunk | Done, until: float
) -> AsyncIterator[AudioChunk | Done | Failed]:
    """Yield all messages of a job. Closing the iterator cancels the job."""
    message: AudioChunk | Done | Failed = first
    try:
        while True:
            yield message
            if not isinstance(message, AudioChunk):
                return
            message = await _next_message(handle, until)
    finally:
        handle.cancel()


async def _stream_audio(handle: JobHandle, first: AudioChunk | Done, until: float) -> AsyncIterator[bytes]:
    async for message in _messages(handle, first, until):
        if isinstance(message, Failed):
            raise Interrupted(message.message)
        if isinstance(message, AudioChunk) and message.data:
            yield message.data


async def _stream_events(handle: JobHandle, first: AudioChunk | Done, until: float) -> AsyncIterator[bytes]:
    async for message in _messages(handle, first, until):
        for event in _events(message, handle.job):
            yield f"data: {event.model_dump_json()}\n\n".encode()


def _events(message: AudioChunk | Done | Failed, job: Job) -> Iterator[schemas.Event]:
    """Yield a message as server-sent events: OpenAI's, preceded by our own where timestamps are requested."""
    if isinstance(message, Failed):
        error = body(_STATUS[message.culprit], message.message)["error"]
        yield schemas.Failure(error=schemas.Error(**error))
    elif isinstance(message, Done):
        given, made = message.characters, round(100 * message.seconds)
        yield schemas.AudioDone(usage=schemas.Usage(input_tokens=given, output_tokens=made, total_tokens=given + made))
    else:
        if job.words:
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
