"""Everything that goes wrong, in the shape in which OpenAI's API tells of it."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_LONGEST = 500  # characters of a message: it may quote the request


class ApiError(HTTPException):
    """An answer that is an error. param: the field at fault; code: for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.body = body(status, message, param, code)


def body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": clean(message), "type": kind, "param": param, "code": code}}


def clean(message: str) -> str:
    """A message that can be sent: half surrogate pairs are spelt out, and what is too long is cut."""
    safe = message.encode("utf-8", "backslashreplace").decode()
    return safe if len(safe) <= _LONGEST else safe[: _LONGEST - 1] + "…"


def answer(error: ApiError) -> JSONResponse:
    return JSONResponse(error.body, error.status_code, error.headers)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """For errors that the framework raises, and our own."""
    if isinstance(error, ApiError):
        return answer(error)
    assert isinstance(error, StarletteHTTPException)
    message = {404: "there is nothing at this address", 405: "this address does not take this method"}.get(
        error.status_code, str(error.detail)
    )
    return JSONResponse(body(error.status_code, message), error.status_code, error.headers)


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """For a request that does not have the right shape: what is wrong with the first field at fault."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    first = faults[0]
    place = [part for part in first["loc"] if part not in ("body", "path", "query")]
    if not place or first["type"] == "json_invalid":
        return JSONResponse(body(400, f"the body is no JSON object as this address takes it: {first['msg']}"), 400)
    # a field that may be one of several things has a fault for each of them
    told = dict.fromkeys(fault["msg"] for fault in faults if place[0] in fault["loc"])
    given = first.get("input")
    shown = f" (given: {given!r})" if isinstance(given, str | int | float | bool) and len(repr(given)) < 80 else ""
    field = clean(str(place[0]))
    return JSONResponse(body(400, f"{field}: {', or: '.join(told)}{shown}", field, "invalid_value"), 400)


async def on_fault(request: Request, error: Exception) -> JSONResponse:
    """For what nobody foresaw; the log has it."""
    return JSONResponse(body(500, "the server failed at this; its log says why"), 500)
