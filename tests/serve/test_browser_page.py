"""The server's option to deliver the page that speaks in the browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.serving import serving

from vivavoce.serve.settings import ServeConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ort/runtime.mjs", "model/model.json", "index.html"):
        path = tmp_path / "demo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("<title>in this browser</title>")
    return tmp_path / "demo"


def test_the_page_is_linked_and_may_run_webassembly_in_threads(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path, browser_page=str(folder), api_key="secret") as server, server.client() as client:
        assert 'id="in-browser" data-offered="true" href' in client.get("/").text
        for path in ("/in-browser/", "/in-browser/ort/runtime.mjs"):  # no key: there are no secrets in it
            answer = client.get(path)
            assert answer.status_code == 200
            assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert client.get("/in-browser/../../secret").status_code in (401, 404)


def test_without_the_option_there_is_no_page(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        assert 'id="in-browser" hidden' in client.get("/").text
        assert client.get("/in-browser/").status_code == 404


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no index.html; 'make demo' writes such a folder"):
        ServeConfig(browser_page=str(tmp_path))
