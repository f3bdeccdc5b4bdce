"""A web server for tests that leaves nothing behind: no thread, and no message about a client that went away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class QuietServer(ThreadingHTTPServer):
    daemon_threads = False  # so that closing the server waits for the answers

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a message would land in the captured stderr of whichever test runs then."""


@contextmanager
def serving_pages(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port of the loopback. Yields the address."""
    with QuietServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
