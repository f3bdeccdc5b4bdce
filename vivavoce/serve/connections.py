"""Limits on connections, below HTTP: half-open ones, idle ones, too many of them, and clients that never read.

uvicorn limits the idle time between requests, but neither the time that a request's header may take, nor the number of
connections of one client, nor how long a client may leave an answer unread. This subclass of its protocol does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import time
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # for the header of a request to arrive
SEND_SECONDS = 30.0  # that a client may leave an answer unread
SHUTDOWN_SECONDS = 2.0  # the same, once the server is shutting down
PROBE_SECONDS = 5.0  # between checks that a client which has finished sending still waits for its answer
LOG_SECONDS = 60.0  # between two log lines about the same problem

log = logging.getLogger("vivavoce.serve")
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class ThrottledLog:
    """Log a message at most once in LOG_SECONDS, with the number of times it was suppressed."""

    def __init__(self) -> None:
        self._last = -LOG_SECONDS
        self._suppressed = 0

    def warning(self, message: str) -> None:
        if time.monotonic() - self._last < LOG_SECONDS:
            self._suppressed += 1
            return
        more = f" ({self._suppressed} more since the last message)" if self._suppressed else ""
        self._last, self._suppressed = time.monotonic(), 0
        log.warning("%s%s", message, more)


class ConnectionLimits:
    """The open connections of a server. total, per_client: how many there may be.

    At a limit, a new connection replaces the oldest one that has no request, so clients that send their requests at
    once get in, however many connections others hold open. Only if every connection is in use is it refused.
    """

    def __init__(self, total: int, per_client: int) -> None:
        self.total, self.per_client = total, per_client
        self._open: dict[GuardedProtocol, str] = {}
        self._counts: Counter[str] = Counter()
        self._waiting: dict[GuardedProtocol, None] = {}  # for a request; the oldest first
        self._log = ThrottledLog()

    def admit(self, connection: GuardedProtocol, client: str) -> bool:
        """Register a connection. Return False if it must be refused."""
        if self._counts[client] >= self.per_client and not self._evict(client):
            self._log.warning(f"refused a connection: {client} has {self.per_client} requests in progress")
            return False
        if len(self._open) >= self.total and not self._evict(None):
            self._log.warning(f"refused a connection: {self.total} requests are in progress")
            return False
        self._open[connection] = client
        self._counts[client] += 1
        return True

    def _evict(self, client: str | None) -> bool:
        """Close the oldest connection without a request; of one client, if given."""
        for connection in self._waiting:
            if client is None or self._open[connection] == client:
                connection.abort()
                self.release(connection)
                return True
        return False

    def wait(self, connection: GuardedProtocol) -> None:
        """Note that a connection waits for a request."""
        if connection in self._open:
            self._waiting.setdefault(connection)

    def serve(self, connection: GuardedProtocol) -> None:
        """Note that a connection has a request."""
        self._waiting.pop(connection, None)

    def release(self, connection: GuardedProtocol) -> None:
        """Forget a connection that is closed."""
        self._waiting.pop(connection, None)
        client = self._open.pop(connection, None)
        if client is not None:
            self._counts[client] -= 1
            if not self._counts[client]:
                del self._counts[client]


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP protocol with time limits. `protocol` returns a subclass with the limits of one server."""

    limits: ConnectionLimits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stopping = False

    # --- connections -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self.limits.admit(self, _client_key(self.client)):
            transport.write(_BUSY)
            transport.close()
            self._start_timer("unsent", SHUTDOWN_SECONDS, self.abort)
            return
        self.limits.wait(self)
        self._start_timer("header", HEADER_SECONDS, self._on_header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self.limits.release(self)
        for name in list(self._timers):
            self._stop_timer(name)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection at once, dropping unsent data."""
        self.transport.abort()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_timer("header")
        self.limits.serve(self)
        super().handle_websocket_upgrade(event)
        protocol: Any = self.transport.get_protocol()
        lost = protocol.connection_lost

        def connection_lost(exc: Exception | None) -> None:
            self.limits.release(self)
            lost(exc)

        protocol.connection_lost = connection_lost

    # --- requests ----------------------------------------------------------------------------------------------------

    @property
    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # upgraded to a WebSocket
            return
        if self._has_request:
            self._stop_timer("header")
            self.limits.serve(self)
        elif "header" not in self._timers:
            self._start_timer("header", HEADER_SECONDS, self._on_header_timeout)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._has_request:
            self.limits.wait(self)
        # The answer is in the transport's buffer. Nothing else notices if the client never reads it.
        self._start_timer("unsent", SEND_SECONDS, self._abort_if_unsent)

    def _on_header_timeout(self) -> None:
        self._timers.pop("header", None)
        if self._has_request or self.transport.is_closing():
            return
        if self.cycle is None and self.conn.trailing_data[0]:  # the client began a request
            self.transport.write(_TIMEOUT)
        self.transport.close()
        self._start_timer("unsent", SHUTDOWN_SECONDS, self.abort)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that has sent its request and then only listens, as HTTP allows.

        A client that has gone entirely looks the same until something is sent to it. So interim responses, which every
        client ignores, are sent until the answer starts: one that is gone rejects them. Once the answer has started,
        its own data serves that purpose, but a client rarely closes one direction then; it has gone.
        """
        waits = self._has_request and not self.cycle.more_body and not self.cycle.response_started
        if not waits or self.scope["http_version"] != "1.1":
            return False
        self.cycle.keep_alive = False
        self._probe(0.1)
        return True

    def _probe(self, seconds: float) -> None:
        """Send an interim response, and another one after `seconds`."""
        if not self._has_request or self.cycle.response_started or self.transport.is_closing():
            return
        self.transport.write(
            self.conn.send(h11.InformationalResponse(status_code=102, headers=[], reason=b"Processing"))
        )
        self._start_timer("probe", seconds, lambda: self._probe(PROBE_SECONDS))

    # --- answers -----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_timer("send", SHUTDOWN_SECONDS if self._stopping else SEND_SECONDS, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timer("send")

    def _abort_if_unsent(self) -> None:
        self._timers.pop("unsent", None)
        if not self._has_request and self.transport.get_write_buffer_size():
            self.abort()

    def shutdown(self) -> None:
        """Let a running request finish, but do not wait for a client that does not read."""
        super().shutdown()
        self._stopping = True
        if self.transport.get_write_buffer_size():
            self._start_timer("send", SHUTDOWN_SECONDS, self._abort_if_stalled)

    def _abort_if_stalled(self) -> None:
        self._timers.pop("send", None)
        if self.flow.write_paused or (not self._has_request and self.transport.get_write_buffer_size()):
            self.abort()

    # --- timers ------------------------------------------------------------------------------------------------------

    def _start_timer(self, name: str, seconds: float, action: Any) -> None:
        self._stop_timer(name)
        self._timers[name] = self.loop.call_later(seconds, action)

    def _stop_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()


def protocol(limits: ConnectionLimits) -> type[GuardedProtocol]:
    """Return the protocol class for a server with these limits."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})


def _client_key(client: tuple[str, int] | None) -> str:
    """Return the address under which a client's connections are counted; for IPv6, its /64 network."""
    if client is None:
        return ""
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def raise_file_limit() -> int:
    """Raise the limit of open files as far as the system allows, and return it."""
    try:
        import resource
    except ImportError:  # Windows
        return 1 << 16
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some values
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 16 if soft == resource.RLIM_INFINITY else soft


def log_accept_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Log errors while accepting connections once a minute: asyncio reports each of thousands of attempts."""
    throttled = ThrottledLog()

    def on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "accept" in str(context.get("message", "")):
            throttled.warning(f"cannot accept connections: {context.get('exception')}")
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(on_exception)
