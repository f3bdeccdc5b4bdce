"""The page that speaks in the browser, without the server: a folder that docs/demo/build.py writes."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

PATH = "/in-browser"
# WebAssembly needs a separate permission, and its threads need a page that shares nothing with others.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; connect-src 'self'; "
        "style-src 'self'; img-src data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class BrowserPage(StaticFiles):
    """The files of the page, with the headers that it needs."""

    def __init__(self, folder: str) -> None:
        super().__init__(directory=folder, html=True)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_HEADERS)
        return response
