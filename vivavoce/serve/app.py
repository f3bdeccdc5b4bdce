"""The web application: routes, the shapes of their requests and answers, and the page. Other modules do the work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from vivavoce.serve import browser_page, errors, metrics, schemas, speech
from vivavoce.serve.aliases import VoiceAliases
from vivavoce.serve.books import read_book
from vivavoce.serve.decode import decode_recording, decode_whole
from vivavoce.serve.encoders import MEDIA_TYPES, encode_pcm, missing
from vivavoce.serve.errors import ApiError
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.middleware import RequestGuard
from vivavoce.serve.pool import Pool
from vivavoce.serve.speech import Service
from vivavoce.serve.voices import StoreFull, VoiceInfo

STATIC = Path(__file__).parent / "static"
DECODERS = 2  # recordings that are decoded at the same time

_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "contentMediaType": "application/json"}},
    "description": "OpenAI's events speech.audio.delta and speech.audio.done; error if the audio ends early; with "
    "timestamps, vivavoce.words before the audio that contains the words, and vivavoce.notice.",
}
_AUDIO = {
    "description": "The audio, or with stream_format sse its events, sent while it is generated.",
    "content": {
        **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted({*MEDIA_TYPES.values()})},
        "text/event-stream": {"schema": _EVENT},
    },
}
_FILE = {
    "description": "The file.",
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted({*MEDIA_TYPES.values()})},
}
_PCM_BODY = {
    "requestBody": {
        "required": True,
        "description": "16-bit little-endian mono samples at 24 kHz.",
        "content": {"audio/pcm": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.ErrorAnswer, "description": "Something is wrong with the request."},
    "5XX": {"model": schemas.ErrorAnswer, "description": "The server failed."},
}


def create_app(service: Service, counts: Metrics, studio: APIRouter | None = None) -> FastAPI:
    """Return the application. The caller starts and closes the pool. studio: routes that are not always there."""
    app = FastAPI(
        title="vivavoce",
        summary="Text to speech with an OpenAI-compatible API.",
        docs_url=None,  # FastAPI's own pages load scripts from other hosts
        redoc_url=None,
        responses=_ERRORS,
    )
    app.add_exception_handler(HTTPException, errors.on_http_error)
    app.add_exception_handler(RequestValidationError, errors.on_invalid_request)
    app.add_exception_handler(Exception, errors.on_fault)
    app.add_middleware(RequestGuard, settings=service.settings, metrics=counts)
    _add_speech(app, service)
    _add_conversion(app, service)
    _add_files(app, service)
    _add_models(app, service)
    _add_voices(app, service)
    _add_status(app, service.pool, counts)

    browser = service.settings.browser_page
    if studio is not None:
        app.include_router(studio)
    shown = {"in-browser": bool(browser), "tab-studio": studio is not None}

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    def page() -> Response:
        if not any(shown.values()):
            return FileResponse(STATIC / "index.html")
        text = (STATIC / "index.html").read_text(encoding="utf-8")
        for name in (name for name, there in shown.items() if there):
            text = text.replace(f'id="{name}" hidden', f'id="{name}" data-offered="true"')
        return HTMLResponse(text)

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")

    app.mount("/static", StaticFiles(directory=STATIC))
    if browser:
        app.mount(browser_page.PATH, browser_page.BrowserPage(browser))
    return app


def _add_speech(app: FastAPI, service: Service) -> None:
    @app.post("/v1/audio/speech", responses={200: _AUDIO}, response_class=Response)
    async def speak(asked: schemas.SpeechRequest, request: Request) -> Response:
        """Generate speech from text."""
        return await speech.speak(asked, request, service)


def _add_conversion(app: FastAPI, service: Service) -> None:
    decoding = anyio.CapacityLimiter(DECODERS)

    @app.post("/v1/audio/convert", responses={200: _AUDIO}, response_class=Response)
    async def convert(
        request: Request,
        audio: Annotated[UploadFile, File(description="Speech of one person.")],
        consent: Annotated[str, Form(description="true: the speaker in the recording agrees to this use.")],
        voice: Annotated[str | None, Form(max_length=200, description="The target: as for /v1/audio/speech.")] = None,
        model: Annotated[str | None, Form(max_length=200)] = None,
        response_format: Annotated[schemas.Format, Form()] = "mp3",
        seed: Annotated[int | None, Form(ge=0, lt=2**63)] = None,
        text: Annotated[str | None, Form(description="The words of the recording, of at most two minutes.")] = None,
        lang: Annotated[str | None, Form(max_length=20, description="The language of the text.")] = None,
        stream_format: Annotated[Literal["audio", "sse"], Form()] = "audio",
        timestamps: Annotated[bool, Form(description="As for /v1/audio/speech; there are words with a text.")] = False,
    ) -> Response:
        """Extension: speak a recording's words, at their times, in another voice.

        Needs a model that reads codes or, with the text, one that predicts the length of each letter.
        """
        _check_consent(consent, "a recording may only be converted if its speaker agrees")
        _check_media_type(audio)
        async with decoding:
            try:
                samples = await decode_whole(await audio.read(), service.settings.max_seconds)
            except ValueError as error:
                raise ApiError(400, str(error), "audio", "unusable_recording") from None
        given = {"model": model or None, "voice": voice or None, "response_format": response_format, "seed": seed}
        given |= {"stream_format": stream_format, "timestamps": timestamps}
        words = text if text and text.strip() else None
        asked = schemas.SpeechRequest.model_validate({"input": words or "a recording", "lang": lang or None, **given})
        if words is None:
            return await speech.speak(asked.model_copy(update={"input": ""}), request, service, samples)
        return await speech.speak(asked, request, service, samples)


def _check_consent(consent: str, reason: str) -> None:
    if consent.strip().lower() != "true":
        raise ApiError(400, f"consent must be true: {reason}", "consent", "consent_required")


def _add_files(app: FastAPI, service: Service) -> None:
    working = anyio.CapacityLimiter(DECODERS)

    @app.post("/v1/audio/encode", responses={200: _FILE}, response_class=Response, openapi_extra=_PCM_BODY)
    async def encode(request: Request, response_format: schemas.Format = "mp3") -> Response:
        """Extension: turn speech that was received as pcm into another format, without generating it again."""
        if message := missing(response_format):
            raise ApiError(400, message, "response_format", "unsupported_format")
        async with working:  # the body, too: it may have megabytes
            data = await request.body()
            if not data or len(data) % 2:
                raise ApiError(400, f"the body has {len(data)} bytes; it must be 16-bit samples, at least one")
            file = await anyio.to_thread.run_sync(encode_pcm, data, response_format)
        return Response(file, media_type=MEDIA_TYPES[response_format])

    @app.post("/v1/books")
    async def book(file: Annotated[UploadFile, File(description="txt, md, epub, srt, …")]) -> schemas.Book:
        """Extension: read a book or subtitles, and return its chapters in parts that fit into a request for speech."""
        async with working:
            try:
                found = await read_book(await file.read(), file.filename or "", service.settings.max_chars)
            except ValueError as error:
                raise ApiError(400, errors.clean(str(error)), "file", "unusable_file") from None
            except OSError as error:
                raise errors.storage_error(error) from error
        return schemas.Book(**found)


def _add_models(app: FastAPI, service: Service) -> None:
    settings = service.settings
    loaded = int(time.time())

    def describe(name: str) -> schemas.Model:
        info = service.pool.models[name]
        return schemas.Model(
            id=name,
            name=name,
            created=loaded,
            languages=list(info.languages),
            needs_transcript=info.uses_transcript,
            max_characters=settings.max_chars,
            prosody=list(speech.followed(info)),
            styles=speech.styles(info),
            conversions=list(info.conversions),
        )

    @app.get("/v1/models")
    @app.get("/v1/audio/models", operation_id="audio_models")
    def models() -> schemas.ModelList:
        """List the models, the default one first. Some clients look below /v1/audio."""
        found = [describe(name) for name in settings.names()]
        return schemas.ModelList(data=found, models=found)

    @app.get("/v1/models/{model:path}")
    def model(model: str) -> schemas.Model:
        """Describe one model."""
        name = settings.resolve(model)
        if name is None:
            raise ApiError(404, f"unknown model {model!r}", "model", "model_not_found")
        return describe(name)


def _add_voices(app: FastAPI, service: Service) -> None:
    store = service.store
    decoding = anyio.CapacityLimiter(DECODERS)

    @app.get("/v1/audio/voices")
    def voices() -> schemas.VoiceList:
        """List the built-in voices, then the added ones."""
        found = [_voice(info, service.aliases) for info in store.infos()]
        return schemas.VoiceList(data=found, voices=found)

    @app.post("/v1/audio/voices")
    async def add_voice(
        request: Request,
        name: Annotated[str, Form(min_length=1, max_length=200)],
        consent: Annotated[str, Form(description="true: the speaker in the recording agrees to this use.")],
        audio: Annotated[UploadFile | None, File(description="1 to 15 s of speech by one person.")] = None,
        audio_sample: Annotated[UploadFile | None, File(description="OpenAI's name for the same field.")] = None,
        transcript: Annotated[
            str | None, Form(max_length=2_000, description="Transcript of the recording, word for word.")
        ] = None,
    ) -> schemas.Voice:
        """Add a voice from a recording. It stays on the server, for its users only, until it is deleted."""
        _check_consent(consent, "a voice may only be added if the speaker in the recording agrees")
        recording = audio or audio_sample
        form = await request.form()  # parsed already; FastAPI passes on only the last of several fields
        if recording is None or len(form.getlist("audio")) + len(form.getlist("audio_sample")) > 1:
            raise ApiError(400, "send one recording, in the form field audio", "audio", "missing_audio")
        _check_media_type(recording)
        try:
            store.check_name(name)
        except ValueError as error:
            raise ApiError(400, str(error), "name", "invalid_value") from None
        except StoreFull:
            raise ApiError(
                409, "the server has no room for another voice; delete one", code="too_many_voices"
            ) from None
        async with decoding:
            try:
                samples, text, notices = await decode_recording(await recording.read(), transcript or None)
            except ValueError as error:
                raise ApiError(400, str(error), "audio", "unusable_recording") from None
        try:
            info = await anyio.to_thread.run_sync(store.add, name, samples, text)
        except OSError as error:
            raise errors.storage_error(error) from error
        return _voice(info, service.aliases, notices)

    @app.delete("/v1/audio/voices/{voice}")
    def delete_voice(voice: str) -> schemas.VoiceDeleted:
        """Delete an added voice."""
        if not store.delete(voice):
            raise ApiError(404, f"there is no added voice with the id {voice!r}", code="voice_not_found")
        return schemas.VoiceDeleted(id=voice)


def _check_media_type(recording: UploadFile) -> None:
    kind = (recording.content_type or "").lower().partition(";")[0].strip()
    if not kind.startswith(("audio/", "video/")) and kind not in ("application/octet-stream", "application/ogg", ""):
        raise ApiError(415, f"the type of the recording is {kind!r}; it must be audio/…", "audio", "unsupported_type")


def _voice(info: VoiceInfo, aliases: VoiceAliases, notices: list[str] | None = None) -> schemas.Voice:
    return schemas.Voice(
        id=info.id,
        created_at=info.created_at,
        name=info.name,
        type="builtin" if info.builtin else "audio_sample",
        description=info.description,
        language=info.language,
        licence=info.licence,
        consent=info.consent,
        aliases=aliases.of(info.id),
        notices=notices or [],
    )


def _add_status(app: FastAPI, pool: Pool, counts: Metrics) -> None:
    @app.get("/healthz", responses={503: {"model": schemas.Health}})
    def health() -> schemas.Health:
        """Report whether the server can speak: 503 while no worker is ready."""
        ready = pool.ready
        answer = schemas.Health(status="ok" if ready else "unavailable", workers=ready)
        return answer if ready else JSONResponse(answer.model_dump(), 503)  # type: ignore[return-value]

    @app.head("/healthz", include_in_schema=False)
    def health_head() -> Response:
        return Response(status_code=200 if pool.ready else 503)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def prometheus() -> Response:
        """Return metrics in the Prometheus text format."""
        return Response(counts.text(), headers={"Content-Type": metrics.CONTENT_TYPE})
