"""Errors in the shape of OpenAI's API."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_STATUS_MESSAGES = {404: "no such address", 405: "method not allowed here"}
_MAX_LENGTH = 500  # characters of a message, which may quote the request


class ApiError(HTTPException):
    """An error response. param: the field at fault; code: for programs."""

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


class Interrupted(Exception):
    """The answer has begun and cannot be completed. The connection is closed, so that the client notices."""


def body(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return the JSON body of an error."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": clean(message), "type": kind, "param": param, "code": code}}


def clean(message: str) -> str:
    """Return a message that can be sent: lone surrogates are escaped, and long messages are cut."""
    safe = message.encode("utf-8", "backslashreplace").decode()
    return safe if len(safe) <= _MAX_LENGTH else safe[: _MAX_LENGTH - 1] + "…"


def answer(error: ApiError) -> JSONResponse:
    """Return the response for an error."""
    return JSONResponse(error.body, error.status_code, error.headers)


def storage_error(error: OSError) -> ApiError:
    """Return the response for a failed write: 507 if the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ApiError(507, "the server's disk is full; nothing was stored", code="disk_full")
    return ApiError(500, "the server could not store the voice; see its log", code="storage_failed")


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Handle our own errors and those that the framework raises."""
    if isinstance(error, ApiError):
        return answer(error)
    assert isinstance(error, StarletteHTTPException)
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT):
        return answer(storage_error(error.__cause__))  # an upload that did not fit into the temporary folder
    message = _STATUS_MESSAGES.get(error.status_code, str(error.detail))
    return JSONResponse(body(error.status_code, message), error.status_code, error.headers)


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Handle a request of the wrong shape: report the first invalid field."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    first = faults[0]
    place = _place(first)
    if not place or first["type"] == "json_invalid":
        return JSONResponse(body(400, f"the body is not a JSON object of the expected shape: {first['msg']}"), 400)
    return JSONResponse(body(400, describe_fault(faults), clean(str(place[0])), "invalid_value"), 400)


def describe_fault(faults: Sequence[Any]) -> str:
    """Return a sentence about the first invalid field of pydantic's errors."""
    first = faults[0]
    field = clean(str(_place(first)[0]))
    # a field that accepts several types has an error for each of them
    messages = dict.fromkeys(_in_plain_words(fault) for fault in faults if field in fault["loc"])
    given = first.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) and 2 < len(repr(given)) < 80 else ""
    return f"{field} {', or '.join(messages or {_in_plain_words(first): None})}{shown}"


def _place(fault: Any) -> list[Any]:
    return [part for part in fault["loc"] if part not in ("body", "path", "query")]


def _in_plain_words(fault: Any) -> str:
    """Return what is wrong with a field as the end of a sentence that begins with the field's name."""
    about = fault.get("ctx", {})
    kind: str = fault["type"]
    if kind == "string_too_short" and about["min_length"] == 1:
        return "is empty"
    if kind == "string_too_long":
        return f"has more than {about['max_length']} characters"
    if kind == "missing":
        return "is missing" if len(fault["loc"]) <= 2 else f"needs the field {fault['loc'][-1]}"
    bounds = {
        "greater_than_equal": ("ge", "at least"),
        "greater_than": ("gt", "greater than"),
        "less_than_equal": ("le", "at most"),
        "less_than": ("lt", "less than"),
    }
    if kind in bounds:
        key, words = bounds[kind]
        return f"must be {words} {about[key]:g}"
    kinds = {
        "string_type": "must be a string",
        "string_unicode": "must be valid Unicode",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "int_type": "must be an integer",
        "int_parsing": "must be an integer",
        "int_from_float": "must be an integer",
        "int_parsing_size": "must be an integer of fewer digits",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "finite_number": "must be a finite number",
    }
    if kind == "literal_error":
        return f"must be one of {about['expected'].replace(' or ', ', ')}"
    if kind == "value_error":
        return str(about.get("error", fault["msg"]))
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be an object"
    return kinds.get(kind, f"is invalid: {fault['msg']}")


async def on_fault(request: Request, error: Exception) -> JSONResponse:
    """Handle an unexpected exception, which is in the server's log."""
    return JSONResponse(body(500, "internal error; see the server's log"), 500)
