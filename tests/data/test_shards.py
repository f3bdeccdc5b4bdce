"""Shards from elsewhere: web servers, pipes and what fsspec reaches. What breaks off is gone on with, or told."""

from __future__ import annotations

import http.server
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from helpers.corpus import samples, write_corpus, write_shard
from helpers.web import serving_pages

from vivavoce.data import fetch
from vivavoce.data.fetch import expand
from vivavoce.data.samples import Report, raw_samples

Answer = tuple[int, int | None]  # status, and after how many bytes the connection breaks off


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WAITS", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@contextmanager
def web_server(folder: Path, answers: list[Answer], ranges: bool = True) -> Iterator[tuple[str, list[str]]]:
    """Serves the folder's files, with `answers` first and then as it should. Gives its address and what was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Range", ""))
            path = folder / self.path[1:]
            status, until = answers.pop(0) if answers else (200, None)
            if not path.exists():
                status = 404
            if status != 200:
                self.send_error(status)
                return
            content, start = path.read_bytes(), 0
            if ranges:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if ranges else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:until])

        def log_message(self, *_: Any) -> None:
            pass

    with serving_pages(Handler) as address:
        yield address, asked


def read(names: list[str]) -> tuple[list[str], Report]:
    """The keys of the shards' samples."""
    report = Report()
    return [sample.key for sample in raw_samples(names, report)], report


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a file into fsspec's file system in memory, which serves as any of those that are far away."""

    def put(name: str) -> None:
        write_shard(tmp_path / "made.tar", samples(2))
        MemoryFileSystem().pipe_file(name, (tmp_path / "made.tar").read_bytes())

    yield put
    MemoryFileSystem.store.clear()


# ---- web servers and pipes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
def test_shards_come_from_pipes_and_from_a_web_server(tmp_path: Path, ranges: bool) -> None:
    local = write_corpus(tmp_path, 4, 2)
    with web_server(tmp_path, [], ranges) as (address, asked):
        found, report = read(expand([f"pipe:cat {local[0]}", f"{address}/s-{{001..001}}.tar"]))
    assert found == ["u000", "u001", "u002", "u003"] and not report.notices
    assert len(asked) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_what_breaks_off_is_gone_on_with(tmp_path: Path, ranges: bool) -> None:
    write_shard(tmp_path / "a.tar", samples(6))
    size = (tmp_path / "a.tar").stat().st_size
    with web_server(tmp_path, [(503, None), (200, size // 3), (429, None), (200, size // 2)], ranges) as (
        address,
        asked,
    ):
        found, report = read([f"{address}/a.tar"])
    assert found == [f"u{n:03d}" for n in range(6)] and not report.notices
    assert len(asked) == 5 and asked[1] == "bytes=0-" and asked[-1] != "bytes=0-"


@pytest.mark.parametrize(
    ("answers", "reason", "tries"),
    [
        ([(503, None)] * 9, "HTTPError: HTTP Error 503: Service Unavailable", 3),
        ([(200, 700)] + [(200, 0)] * 9, "it broke off at byte 700", 3),
        ([(404, None)] * 9, "HTTPError: HTTP Error 404: Not Found", 1),  # no use to try again
    ],
)
def test_what_stays_out_of_reach_is_named_with_the_reason(
    tmp_path: Path, answers: list[Answer], reason: str, tries: int
) -> None:
    local = write_corpus(tmp_path, 4, 2)
    with web_server(tmp_path, answers, ranges=False) as (address, asked):
        found, report = read([f"{address}/s-000.tar", local[1]])
    assert found[-2:] == ["u002", "u003"]
    assert len(asked) == tries
    (notice,) = report.notices
    assert notice.startswith(f"{address}/s-000.tar: damaged or out of reach (ConnectionError: {reason}")
    assert report.skipped == {"(shards) damaged or out of reach": 1}


def test_nobody_at_the_address_is_told_too() -> None:
    found, report = read(["http://127.0.0.1:9/a.tar"])
    assert found == [] and "http://127.0.0.1:9/a.tar: damaged or out of reach" in report.notices[0]


# ---- what fsspec reaches --------------------------------------------------------------------------------------------


class Far(MemoryFileSystem):
    """Stands for Hugging Face or a bucket: the same files under another protocol, which fail as they are told to."""

    protocol = "hf"
    failures: list[Exception] = []  # noqa: RUF012

    def _open(self, path: str, *arguments: Any, **more: Any) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        return super()._open(path, *arguments, **more)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("hf://", "memory://"))

    def unstrip_protocol(self, name: str) -> str:
        return f"hf:/{name}"


@pytest.fixture
def hub(memory: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setitem(_registry, "hf", Far)
    return memory


def test_globs_and_ranges_of_urls_are_listed(hub: Callable[[str], None]) -> None:
    for name in ("x-000.tar", "x-001.tar", "x-002.tar", "y.tar", "x.json"):
        hub(f"/datasets/o/n/{name}")
    folder = "hf://datasets/o/n"
    assert expand([f"{folder}/x-*.tar"]) == [f"{folder}/x-{n:03d}.tar" for n in range(3)]
    assert expand([f"{folder}/x-{{001..002}}.tar", f"{folder}/y.tar"]) == [
        f"{folder}/x-001.tar", f"{folder}/x-002.tar", f"{folder}/y.tar",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"^no shard at 'hf://datasets/o/n/z-\*\.tar'; is the name right\?$"):
        expand([f"{folder}/z-*.tar"])
    assert read(expand([f"{folder}/x-*.tar"])) == (["u000", "u001"] * 3, Report())


def test_what_fails_at_a_url_is_tried_again(hub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    hub("/datasets/o/n/x.tar")
    name = "hf://datasets/o/n/x.tar"
    monkeypatch.setattr(Far, "failures", [TimeoutError("slow"), RuntimeError("session closed")])
    assert read([name]) == (["u000", "u001"], Report())
    monkeypatch.setattr(Far, "failures", [TimeoutError("slow")] * 5)
    found, report = read([name])
    assert found == [] and len(Far.failures) == 2  # of three tries
    assert report.notices == [
        f"{name}: damaged or out of reach (ConnectionError: TimeoutError: slow); used as far as readable"
    ]
    monkeypatch.setattr(Far, "failures", [])
    assert "FileNotFoundError" in read(["hf://datasets/o/n/none.tar"])[1].notices[0]


def test_a_place_that_cannot_be_listed_is_refused(hub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(Far, "glob", unreachable)
    with pytest.raises(ValueError, match=r"^hf://o/\*\.tar: cannot be listed \(ConnectionError: no route to host\)$"):
        expand(["hf://o/*.tar"])


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    for name in ("s3://bucket/x-*.tar", "s3://bucket/x-000.tar"):
        with pytest.raises(ValueError, match=r"^s3://bucket/x.*s3:// is missing .*; for s3:// pip install vivavoce\["):
            expand([name])


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^nonsense://x\.tar: cannot be read \(ValueError: Protocol not known"):
        expand(["nonsense://x.tar"])
