"""Checks that every request passes before its body is read: API key, origin, size; also headers, counts, the log.

Plain ASGI, so that the endpoints notice when a client disconnects.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivavoce.serve import logs
from vivavoce.serve.errors import ApiError, Interrupted, answer
from vivavoce.serve.metrics import Metrics
from vivavoce.serve.settings import ServeConfig

log = logging.getLogger("vivavoce.serve")

BODY_SECONDS = 60.0  # for the body of a request to arrive
STUDIO_UPLOAD_MB = 100.0  # of a recording for the studio, which may be long

_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
_PUBLIC = ("/healthz", "/", "/favicon.ico", "/openapi.json", "/docs")  # and everything below /static: no secrets there

# The page loads nothing from other hosts, and runs no script that is injected into it.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "connect-src 'self'; font-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # revalidated each time, so that all files of the page are of one version
    "Cross-Origin-Resource-Policy": "same-origin",
}
_EXPOSED = "Retry-After, X-Request-Id, X-Vivavoce-Model, X-Vivavoce-Not-Followed, X-Vivavoce-Notice, " + (
    "X-Vivavoce-Substituted, X-Vivavoce-Voice"
)


class RequestGuard:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, settings: ServeConfig, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        # JSON may write a character as two \\uXXXX escapes; a form has fields beside the recording
        self.json_limit = 12 * settings.max_chars + 65_536
        self.form_limit = int(settings.max_upload_mb * 1e6) + 65_536
        self.studio_limit = int(STUDIO_UPLOAD_MB * 1e6) + 65_536 if settings.studio else self.form_limit
        self.pcm_limit = int(settings.max_seconds * 48_000)  # 16-bit samples at 24 kHz

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if "headers" in scope else Headers()
        if scope["type"] != "http":
            if scope["type"] == "websocket" and not self._admits_websocket(headers):
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        cross_origin = self._cross_origin_headers(headers)
        state = scope.setdefault("state", {})
        started = time.monotonic()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                for name, value in {**_HEADERS, **cross_origin}.items():
                    out.setdefault(name, value)
                out.setdefault("X-Request-Id", f"req_{secrets.token_hex(12)}")
            await send(message)

        try:
            if cross_origin and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                self._check_host(headers)
                await Response(status_code=204)(scope, receive, send_with_headers)
                return
            self._check(scope, headers)
            await self.app(scope, self._limited(scope, headers, receive), send_with_headers)
        except ApiError as error:  # raised before the application, which handles its own errors
            await answer(error)(scope, receive, send_with_headers)
        except Interrupted as error:  # uvicorn closes the connection, because the response is not complete
            log.warning("an answer was cut off: %s", error)
        finally:
            # Few label values, whatever clients send: Prometheus keeps each of them for ever.
            path = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self.metrics.requests.labels(path, method, str(status)).inc()
            logs.log_request(method, scope["path"], status, time.monotonic() - started, state.get("characters"))

    def _cross_origin_headers(self, headers: Headers) -> dict[str, str]:
        """Return the headers that let the page of an allowed origin read the answer; {} for other requests."""
        origin = headers.get("origin")
        if not self.settings.allows_origin(origin):
            return {}
        out = {
            "Access-Control-Allow-Origin": str(origin),
            "Access-Control-Expose-Headers": _EXPOSED,
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Vary": "Origin",
        }
        if "access-control-request-method" in headers:
            out["Access-Control-Allow-Methods"] = ", ".join(_METHODS)
            out["Access-Control-Allow-Headers"] = headers.get("access-control-request-headers", "")
            out["Access-Control-Max-Age"] = "600"
            if headers.get("access-control-request-private-network") == "true":
                out["Access-Control-Allow-Private-Network"] = "true"
        return out

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raise ApiError if the request must not be processed."""
        path, key = scope["path"], self.settings.api_key
        if key is None:
            self._check_host(headers)
            self._check_origin(headers)
        elif path not in _PUBLIC and not path.startswith(("/static/", "/in-browser/")):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # Compared as bytes: strings with non-ASCII characters cannot be compared in constant time.
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
                raise ApiError(
                    401,
                    "missing or wrong API key; send it as 'Authorization: Bearer KEY'",
                    code="invalid_api_key",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        length = headers.get("content-length", "0")
        if length.isdecimal() and len(length) < 20 and int(length) > self._limit(scope, headers):
            raise self._too_large(scope, headers)

    def _check_host(self, headers: Headers) -> None:
        """Without a key, refuse host names other than this machine's: a site may point its own name here."""
        if self.settings.api_key is not None:
            return
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            name = ""
        if not (name in ("localhost", self.settings.host) or _is_loopback(name)):
            raise _foreign()

    def _check_origin(self, headers: Headers) -> None:
        """Without a key, refuse the pages of other sites in a browser on this machine."""
        origin = headers.get("origin")
        if origin is None or self.settings.allows_origin(origin):
            return
        try:
            foreign = urlsplit(origin).netloc != headers.get("host", "")
        except ValueError:
            foreign = True
        if foreign:
            raise _foreign()

    def _admits_websocket(self, headers: Headers) -> bool:
        """Return whether a WebSocket may open. Its endpoint checks the API key."""
        if self.settings.api_key is not None:
            return True
        try:
            self._check_host(headers)
            self._check_origin(headers)
        except ApiError:
            return False
        return True

    def _limit(self, scope: Scope, headers: Headers) -> int:
        kind = headers.get("content-type", "").lower()
        if kind.startswith("audio/pcm"):
            return self.pcm_limit
        if not kind.startswith("multipart/"):
            return self.json_limit
        return self.studio_limit if scope["path"].startswith("/v1/studio/") else self.form_limit

    def _too_large(self, scope: Scope, headers: Headers) -> ApiError:
        most = self._limit(scope, headers)
        shown = f"{most / 1e6:.0f} MB" if most > 1e6 else f"{most / 1e3:.0f} kB"
        return ApiError(413, f"the request is too large; this server accepts at most {shown}", code="request_too_large")

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Return a `receive` that limits the size and the time of the body, whatever its Content-Length says."""
        left = self._limit(scope, headers)
        until = time.monotonic() + BODY_SECONDS
        complete = False

        async def limited() -> Message:
            nonlocal left, complete
            if complete:  # only the client's disconnect can follow
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
            except asyncio.TimeoutError:
                raise ApiError(408, f"the request took longer than {BODY_SECONDS:g} s to arrive") from None
            left -= len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if left < 0:
                raise self._too_large(scope, headers)
            return message

        return limited


def _foreign() -> ApiError:
    return ApiError(403, "without an API key, this server only answers requests to its own address and page")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
