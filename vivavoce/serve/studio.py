"""The routes below /v1/studio: record, train and use your own voice. `train_voice.studio` does the work."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import anyio
from fastapi import APIRouter, File, Form, Query, UploadFile
from starlette.responses import FileResponse, Response

from vivavoce.serve import errors, studio_schemas
from vivavoce.serve.decode import decode_own_rate
from vivavoce.serve.errors import ApiError
from vivavoce.serve.middleware import STUDIO_UPLOAD_MB
from vivavoce.train_voice import scripts
from vivavoce.train_voice.refusals import Busy, Changed, Full, Missing

if TYPE_CHECKING:
    from vivavoce.train_voice.studio import Studio

PREFIX = "/v1/studio"
MAX_SECONDS = 1_200.0  # of one recording
DECODERS = 2  # recordings that are decoded at the same time

Result = TypeVar("Result")
Responses = dict[int | str, dict[str, Any]]


def _file(kind: str, description: str) -> Responses:
    return {200: {"description": description, "content": {kind: {"schema": {"type": "string", "format": "binary"}}}}}


_FLAC = _file("audio/flac", "The sound.")


@contextlib.contextmanager
def _answered(param: str | None = None) -> Iterator[None]:
    """Turn what goes wrong into an error response."""
    try:
        yield
    except Missing as error:
        raise ApiError(404, str(error), code="not_found") from None
    except (Busy, Changed, Full) as error:
        code = {Busy: "busy", Changed: "recordings_changed", Full: "studio_full"}[type(error)]
        raise ApiError(409, str(error), code=code) from None
    except ValueError as error:
        raise ApiError(400, str(error), param, "invalid_value") from None
    except OSError as error:
        raise errors.storage_error(error) from error


async def _run(work: Callable[..., Result], *arguments: Any, param: str | None = None) -> Result:
    """Run in a thread what reads or writes files."""
    with _answered(param):
        return await anyio.to_thread.run_sync(lambda: work(*arguments))


def create_router(studio: Studio) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PREFIX)
    _add_projects(router, studio)
    _add_recordings(router, studio)
    _add_training(router, studio)
    return router


def _add_projects(router: APIRouter, studio: Studio) -> None:
    @router.get("")
    async def studio_overview() -> studio_schemas.Studio:
        """Extension (--studio): list the voices that are being made."""

        def overview() -> studio_schemas.Studio:
            names = studio.names()
            return studio_schemas.Studio(
                names=names,
                running=next(filter(studio.running, names), None),
                can_transcribe=importlib.util.find_spec("faster_whisper") is not None,
                scripts=list(scripts.SIZES),
                max_upload_mb=STUDIO_UPLOAD_MB,
                max_seconds=MAX_SECONDS,
            )

        return await _run(overview)

    @router.get("/sentences")
    def studio_sentences(
        count: Annotated[int, Query(ge=1, le=scripts.SIZES[-1])] = scripts.SIZES[0],
    ) -> studio_schemas.Script:
        """Extension (--studio): return sentences to record."""
        return studio_schemas.Script(sentences=scripts.read_script(str(scripts.SIZES[-1]))[:count])

    @router.post("/voices")
    async def studio_create(asked: studio_schemas.NewProject) -> studio_schemas.Project:
        """Extension (--studio): create a voice."""
        name = await _run(studio.create, asked.name, param="name")
        return studio_schemas.Project.model_validate(await _run(studio.project, name))

    @router.get("/voices/{name}")
    async def studio_project(name: str) -> studio_schemas.Project:
        """Extension (--studio): describe an unfinished voice: its recordings, and the progress of its training."""
        return studio_schemas.Project.model_validate(await _run(studio.project, name))

    @router.delete("/voices/{name}")
    async def studio_delete(name: str) -> studio_schemas.Deleted:
        """Extension (--studio): delete the recordings and the run of a voice. The finished voice stays."""
        await _run(studio.delete, name)
        return studio_schemas.Deleted(id=name)


def _add_recordings(router: APIRouter, studio: Studio) -> None:
    decoding = anyio.CapacityLimiter(DECODERS)

    @router.post("/voices/{name}/recordings")
    async def studio_record(
        name: str,
        audio: Annotated[UploadFile, File(description="Speech of one person.")],
        text: Annotated[str, Form(max_length=10_000, description="What is said in it, if that is known.")] = "",
        sentence: Annotated[
            int | None, Form(ge=1, le=scripts.SIZES[-1], description="Number of the script's sentence that is read.")
        ] = None,
    ) -> studio_schemas.Take:
        """Extension (--studio): store a recording, and check it. One of a sentence replaces the earlier one."""
        await _run(studio.project, name)  # before anything is decoded
        async with decoding:
            with _answered("audio"):
                samples, rate = await decode_own_rate(await audio.read(), MAX_SECONDS)
        take = await _run(studio.add, name, samples, rate, text, sentence, audio.filename or "", param="audio")
        return studio_schemas.Take.model_validate(take)

    @router.get("/voices/{name}/recordings/{identifier}", responses=_FLAC, response_class=Response)
    async def studio_recording(name: str, identifier: str) -> Response:
        """Extension (--studio): return a recording."""
        return FileResponse(await _run(studio.sound, name, identifier), media_type="audio/flac")

    @router.delete("/voices/{name}/recordings/{identifier}")
    async def studio_remove(name: str, identifier: str) -> studio_schemas.Deleted:
        """Extension (--studio): delete a recording."""
        await _run(studio.remove, name, identifier)
        return studio_schemas.Deleted(id=identifier)


def _add_training(router: APIRouter, studio: Studio) -> None:
    @router.get("/voices/{name}/training")
    async def studio_state(name: str) -> studio_schemas.Training:
        """Extension (--studio): return the progress of the training."""
        return studio_schemas.Training.model_validate(await _run(studio.state, name))

    @router.post("/voices/{name}/training")
    async def studio_train(name: str, asked: studio_schemas.StartTraining) -> studio_schemas.Training:
        """Extension (--studio): start the training in a separate process, or resume it."""
        if not asked.consent.strip():
            raise ApiError(400, "consent is blank; state what the speaker agrees to", "consent", "consent_required")
        await _run(studio.check_lang, asked.lang, param="lang")
        await _run(studio.start, name, asked.minutes, asked.consent, asked.licence, asked.lang, asked.again)
        return studio_schemas.Training.model_validate(await _run(studio.state, name))

    @router.delete("/voices/{name}/training")
    async def studio_stop(name: str) -> studio_schemas.Training:
        """Extension (--studio): stop the training. It can be resumed."""
        await _run(studio.stop, name)
        return studio_schemas.Training.model_validate(await _run(studio.state, name))

    @router.get("/voices/{name}/sounds/{key}", responses=_FLAC, response_class=Response)
    async def studio_sound(name: str, key: str) -> Response:
        """Extension (--studio): return a held-out recording, or its words spoken by a checkpoint."""
        return FileResponse(await _run(studio.listen, name, key), media_type="audio/flac")

    @router.get(
        "/voices/{name}/bundle",
        responses=_file("application/zip", "For `vivavoce voices add`."),
        response_class=Response,
    )
    async def studio_bundle(name: str) -> Response:
        """Extension (--studio): return the finished voice."""
        path = await _run(studio.bundle, name)
        return FileResponse(path, media_type="application/zip", filename=path.name)

    @router.get("/voices/{name}/report", responses=_file("text/html", "The report."), response_class=Response)
    async def studio_report(name: str) -> Response:
        """Extension (--studio): return the report of the finished voice, a page with its own sounds."""
        path = await _run(studio.report, name)
        return FileResponse(path, media_type="text/html", filename=f"{name}.html")
