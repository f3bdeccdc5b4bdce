"""The application: its addresses, what they take and answer, and the page. The work is done by other modules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from vivavoce.serve import decode, errors, metrics, schemas, speech
from vivavoce.serve.encoders import MEDIA_TYPES
from vivavoce.serve.errors import ApiError
from vivavoce.serve.gate import Gate
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.pool import Pool
from vivavoce.serve.settings import ServeConfig
from vivavoce.serve.voices import Entry, StoreFull, VoiceStore

STATIC = Path(__file__).parent / "static"
DECODERS = 2  # recordings that are decoded at once

_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "contentMediaType": "application/json"}},
    "description": "speech.audio.delta and speech.audio.done as OpenAI has them; error where the sound ends early; and "
    "with timestamps, vivavoce.words before the sound that has them in it, and vivavoce.notice.",
}
_AUDIO = {
    "description": "The sound, or with stream_format sse its events, as they are made.",
    "content": {
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted({*MEDIA_TYPES.values()})},
        "text/event-stream": {"schema": _EVENT},
    },
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.ErrorAnswer, "description": "The request is at fault."},
    "5XX": {"model": schemas.ErrorAnswer, "description": "The server is at fault."},
}


def create_app(settings: ServeConfig, pool: Pool, store: VoiceStore, counted: Metrics) -> FastAPI:
    """The application over a pool that was started; whoever started it closes it."""
    app = FastAPI(
        title="vivavoce",
        summary="Text to speech, as OpenAI's API has it.",
        docs_url=None,  # they load scripts from other hosts
        redoc_url=None,
        responses=_ERRORS,
    )
    app.add_exception_handler(HTTPException, errors.on_http_error)
    app.add_exception_handler(RequestValidationError, errors.on_invalid_request)
    app.add_exception_handler(Exception, errors.on_fault)
    app.add_middleware(Gate, settings=settings, metrics=counted)
    loaded = int(time.time())
    decoding = anyio.CapacityLimiter(DECODERS)

    @app.post("/v1/audio/speech", responses={200: _AUDIO}, response_class=Response)
    async def speak(asked: schemas.SpeechRequest, request: Request) -> Response:
        """Speak a text."""
        return await speech.speak(asked, request, settings, pool, store)

    @app.get("/v1/models")
    def models() -> schemas.ModelList:
        """The models that speak here, the usual one first."""
        return schemas.ModelList(data=[_model(name) for name in settings.names()])

    @app.get("/v1/models/{model:path}")
    def model(model: str) -> schemas.Model:
        """One of them."""
        name = settings.resolve(model)
        if name is None:
            raise ApiError(404, f"unknown model {model!r}", "model", "model_not_found")
        return _model(name)

    def _model(name: str) -> schemas.Model:
        about = pool.models[name]
        return schemas.Model(
            id=name, created=loaded, languages=list(about.languages), needs_transcript=about.uses_transcript
        )

    @app.get("/v1/audio/voices")
    def voices() -> schemas.VoiceList:
        """The built-in voices, then those that were added."""
        return schemas.VoiceList(data=[_voice(entry) for entry in store.entries()])

    @app.post("/v1/audio/voices")
    async def add_voice(
        name: Annotated[str, Form(min_length=1, max_length=200)],
        consent: Annotated[str, Form(description="true: whoever speaks in the recording agreed to this use of it.")],
        audio: Annotated[UploadFile | None, File(description="1 to 15 s of one person's speech.")] = None,
        audio_sample: Annotated[UploadFile | None, File(description="The same by OpenAI's name for it.")] = None,
        transcript: Annotated[str | None, Form(max_length=2_000, description="What is said, word for word.")] = None,
    ) -> schemas.Voice:
        """Add a voice from a recording. It is kept on the server, for its users alone, until it is deleted."""
        if consent.strip().lower() != "true":
            raise ApiError(
                400,
                "consent must be true: a voice is added only where whoever speaks in the recording agreed to it",
                "consent",
                "consent_required",
            )
        recording = audio or audio_sample
        if recording is None or (audio and audio_sample):
            raise ApiError(400, "send one recording, as the form's field audio", "audio", "missing_audio")
        kind = (recording.content_type or "").lower().partition(";")[0].strip()
        if not kind.startswith(("audio/", "video/")) and kind not in (
            "application/octet-stream",
            "application/ogg",
            "",
        ):
            raise ApiError(415, f"the recording's type is {kind!r}; it must be audio/…", "audio", "unsupported_type")
        try:
            store.named(name)
        except ValueError as error:
            raise ApiError(400, str(error), "name", "invalid_value") from None
        except StoreFull:
            raise ApiError(409, "there are too many added voices; delete some", code="too_many_voices") from None
        async with decoding:
            try:
                samples, said, notices = await decode.decoded(await recording.read(), transcript or None)
            except ValueError as error:
                raise ApiError(400, str(error), "audio", "unusable_recording") from None
        entry = await anyio.to_thread.run_sync(store.add, name, samples, said)
        return _voice(entry, notices)

    @app.delete("/v1/audio/voices/{voice}")
    def delete_voice(voice: str) -> schemas.VoiceDeleted:
        """Delete an added voice."""
        if not store.delete(voice):
            raise ApiError(404, f"no added voice has the id {voice!r}", code="voice_not_found")
        return schemas.VoiceDeleted(id=voice)

    @app.get("/healthz", responses={503: {"model": schemas.Health}})
    def health() -> schemas.Health:
        """Whether the server can speak: 503 while no worker is ready."""
        ready = pool.ready
        answer = schemas.Health(status="ok" if ready else "unavailable", workers=ready)
        return answer if ready else JSONResponse(answer.model_dump(), 503)  # type: ignore[return-value]

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def prometheus() -> Response:
        """Counters in Prometheus' notation."""
        return Response(counted.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _voice(entry: Entry, notices: list[str] | None = None) -> schemas.Voice:
    return schemas.Voice(
        id=entry.id,
        created_at=entry.created_at,
        name=entry.name,
        type="builtin" if entry.builtin else "audio_sample",
        description=entry.description,
        language=entry.language,
        licence=entry.licence,
        notices=notices or [],
    )
