"""The page that speaks in the browser: built as a static folder, it speaks in Chromium what Whisper understands."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra browser-test)")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing"),
]


class Handler(http.server.SimpleHTTPRequestHandler):
    """A plain static server, with the headers that allow threads."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    out = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, root / "docs" / "demo" / "build.py", out], check=True, timeout=300)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(out)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


def test_the_page_speaks_a_sentence(address: str, tmp_path: Path) -> None:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--autoplay-policy=no-user-gesture-required"]
        )
        page = browser.new_page()
        elsewhere: list[str] = []
        page.on("request", lambda r: None if r.url.startswith((address, "blob:", "data:")) else elsewhere.append(r.url))
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=240_000)
        page.fill("#text", "The quick brown fox jumps over the lazy dog. It costs $3.50.")
        page.select_option("#voice", "nash")
        page.click("#speak")
        page.wait_for_selector("#save:not([hidden])", timeout=240_000)
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "speech.wav")
        speed, first = (page.evaluate(f"document.body.dataset.{name}") for name in ("speed", "first"))
        browser.close()
    assert elsewhere == []
    samples, rate = soundfile.read(io.BytesIO((tmp_path / "speech.wav").read_bytes()))
    assert rate == 24_000 and 3 < len(samples) / rate < 10
    assert float(np.sqrt(np.mean(samples**2))) > 0.02
    print(f"{speed} times real time, first sound after {first} s")
    if importlib.util.find_spec("faster_whisper"):
        from vivavoce.metrics.asr import WhisperRecognizer

        try:
            recognizer = WhisperRecognizer(os.environ.get("VIVAVOCE_ASR", "base"))
        except Exception as error:  # its weights are not part of the extra
            pytest.skip(f"Whisper is not here: {error}")
        words = recognizer.transcribe(samples.astype(np.float32), rate).lower()
        assert "quick brown fox" in words and "lazy dog" in words
