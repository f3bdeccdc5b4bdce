"""What every request passes before anything of it is read: who may ask, how much may be sent, and what is counted.

Plain ASGI, so that a client that goes away is noticed by whoever works for it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.serve.errors import ApiError, answer
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.settings import ServeConfig

BODY_SECONDS = 60.0  # for a request to arrive

_OPEN = ("/healthz", "/", "/favicon.ico", "/openapi.json")  # and what is below /static: the page, which holds no secret

# The page is all our own: nothing of another host is loaded, nothing written into the page is run.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "connect-src 'self'; font-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for again each time, so that the page's files are all of one version
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, settings: ServeConfig, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        # JSON may write a character as two \\uXXXX; a form has more fields than the recording
        self.json_limit = 12 * settings.max_chars + 65_536
        self.form_limit = int(settings.max_upload_mb * 1e6) + 65_536

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        status = 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    out.setdefault(name, value)
                out.setdefault("X-Request-Id", f"req_{secrets.token_hex(12)}")
            await send(message)

        try:
            self._admit(scope, headers)
            await self.app(scope, self._bounded(headers, receive), told)
        except ApiError as error:  # before the application: what it raises, it answers itself
            await answer(error)(scope, receive, told)
        finally:
            # Few values, whatever is asked: each of them is kept for ever.
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "DELETE") else "other"
            self.metrics.requests.labels(path, method, str(status)).inc()

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Raises ApiError where the request may not come in."""
        path, key = scope["path"], self.settings.api_key
        if key is None:
            self._from_here(headers)
        elif path not in _OPEN and not path.startswith("/static/"):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # Both sides as bytes: strings that are not ASCII cannot be compared in constant time.
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
                raise ApiError(
                    401,
                    "wrong or no API key; send it as 'Authorization: Bearer KEY'",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        length = headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 20 and int(length) > self._limit(headers):
            raise self._too_large(headers)

    def _from_here(self, headers: Headers) -> None:
        """Without a key, only this machine may ask: no page of another site in its browser, under whatever name."""
        host = headers.get("host", "")
        origin = headers.get("origin")
        try:
            name = urlsplit(f"//{host}").hostname or ""
            foreign = origin is not None and urlsplit(origin).netloc != host
        except ValueError:
            name, foreign = "", True
        if foreign or not (name in ("localhost", self.settings.host) or _is_loopback(name)):
            raise ApiError(403, "without an API key, this server answers to its own address and page only")

    def _limit(self, headers: Headers) -> int:
        form = headers.get("content-type", "").lower().startswith("multipart/")
        return self.form_limit if form else self.json_limit

    def _too_large(self, headers: Headers) -> ApiError:
        return ApiError(413, f"the request has more than {self._limit(headers)} bytes", code="request_too_large")

    def _bounded(self, headers: Headers, receive: Receive) -> Receive:
        """`receive` for a body that has a limit and must be there in time, whatever its Content-Length says."""
        left = self._limit(headers)
        until = time.monotonic() + BODY_SECONDS
        complete = False

        async def bounded() -> Message:
            nonlocal left, complete
            if complete:  # what comes now is only that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except asyncio.TimeoutError:
                raise ApiError(408, f"the request took longer than {BODY_SECONDS:g} s to arrive") from None
            left -= len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if left < 0:
                raise self._too_large(headers)
            return message

        return bounded


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
