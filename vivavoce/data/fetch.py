"""Shards by name: paths, globs, ranges and URLs; and their bytes, from wherever they are.

A shard is a local file, an http(s) URL, a pipe, or whatever fsspec reaches: hf://datasets/owner/name/path/x.tar,
s3://bucket/x.tar. What fails at a URL is retried from where it stopped.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import subprocess
import time
from collections.abc import Sequence
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import Request, url2pathname, urlopen

# Seconds to wait before each retry of a URL. The count starts afresh whenever data arrives.
WAITS = (1.0, 4.0, 16.0)
TIMEOUT = 60.0  # seconds without an answer or a byte, for http(s)


def expand(patterns: Sequence[str]) -> list[str]:
    """Return the shard names for paths, globs, `{000..006}` ranges, folders and URLs (https:, hf:, s3:, pipe:, file:).

    Globs work in every URL that fsspec can list, which excludes http(s). Raises ValueError for a name that matches
    nothing, an unknown kind of URL or one whose package is missing, and a place that cannot be listed.
    """
    shards: list[str] = []
    for pattern in map(str, patterns):
        try:  # only with braces: braceexpand takes a backslash for an escape
            names = _braces(pattern) if "{" in pattern else [pattern]
        except ValueError as error:
            raise ValueError(f"shards {pattern!r}: {error}") from None
        for name in names:
            if name.startswith("file:"):
                name = url2pathname(urlsplit(name).path)
            elif name.startswith("pipe:"):
                shards.append(name)
                continue
            elif "://" in name:
                shards += _expand_url(name)
                continue
            folder = os.path.join(glob.escape(name), "*.tar")
            found = [name] if os.path.isfile(name) else sorted(glob.glob(folder if os.path.isdir(name) else name))
            if not found:
                raise ValueError(f"no shard at {name!r}; give .tar files, a folder of them, a glob or a URL")
            shards += found
    return shards


def open_shard(name: str) -> IO[bytes]:
    """Open a shard for reading from its start to its end. Raises OSError if a local file cannot be opened."""
    if name.startswith("pipe:"):
        return _Pipe(name.removeprefix("pipe:"))  # type: ignore[return-value]
    if "://" in name:
        return _Remote(name)  # type: ignore[return-value]
    return open(name, "rb")


def reason(error: Exception) -> str:
    """Return the first line of an error's message."""
    text = getattr(error, "strerror", None) or str(error.args[0] if error.args else "") or str(error)
    return str(text).strip().split("\n")[0]


def _braces(pattern: str) -> list[str]:
    import braceexpand

    return list(braceexpand.braceexpand(pattern))


def _expand_url(name: str) -> list[str]:
    if _is_http(name):  # it cannot be listed, and a ? in it is no glob
        return [name]
    files, path = filesystem(name)
    if not re.search(r"[*?[]", path):
        return [name]
    try:
        found = sorted(map(str, files.glob(path)))
    except Exception as error:  # each file system has its own
        raise ValueError(f"{name}: cannot be listed ({type(error).__name__}: {reason(error)})") from None
    if not found:
        raise ValueError(f"no shard at {name!r}; is the name right?")
    return [files.unstrip_protocol(path) for path in found]


def filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for the URL, and the path in it. Raises ValueError if there is none."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        kind = url.split("://")[0]
        extra = "; for s3:// pip install vivavoce[s3]" if kind in ("s3", "s3a") else ""
        raise ValueError(f"{url}: a package for {kind}:// is missing ({reason(error)}{extra})") from None
    except Exception as error:  # an unknown protocol, an impossible name of a data set, …
        raise ValueError(f"{url}: cannot be read ({type(error).__name__}: {reason(error)})") from None


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


class _Pipe:
    """The output of a shell command."""

    def __init__(self, command: str) -> None:
        self.process = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end. Raises OSError if the command failed."""
        assert self.process.stdout is not None
        data = self.process.stdout.read(size)
        if not data and size and (status := self.process.wait()):
            raise OSError(f"the command ended with exit status {status}")
        return data

    def close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


class _Remote:
    """The bytes of a URL from first to last. Errors are retried from where they happened; http(s) uses ranges."""

    def __init__(self, url: str) -> None:
        self.url, self.at = url, 0
        self.size: int | None = None
        self.file: IO[bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end. Raises ConnectionError if they cannot be read."""
        for wait in (*WAITS, None):
            try:
                if self.file is None:
                    self._open()
                assert self.file is not None
                data = self.file.read(size)
                if not data and size and self.size is not None and self.at < self.size:
                    raise ConnectionError(f"it broke off at byte {self.at}")
            except Exception as error:  # each file system has its own
                self.close()
                if wait is None or _permanent(error):
                    kind = "" if type(error) is ConnectionError else f"{type(error).__name__}: "
                    raise ConnectionError(kind + reason(error)) from None
                time.sleep(wait)
            else:
                self.at += len(data)
                return data
        raise AssertionError("unreachable")

    def _open(self) -> None:
        if not _is_http(self.url):
            files, path = filesystem(self.url)
            self.file = files.open(path, "rb")
            self.size = getattr(self.file, "size", None)
            if self.at:
                self.file.seek(self.at)
            return
        request = Request(self.url, headers={"User-Agent": "vivavoce", "Range": f"bytes={self.at}-"})
        response = urlopen(request, timeout=TIMEOUT)
        self.file = response
        here = self.at if response.status == 206 else 0  # a server that ignores ranges starts at 0
        left = response.headers.get("Content-Length")
        self.size = None if left is None else here + int(left)
        while here < self.at:
            skipped = len(response.read(min(1 << 20, self.at - here)))
            if not skipped:
                raise ConnectionError(f"it broke off at byte {self.at}")
            here += skipped

    def close(self) -> None:
        if self.file is not None:
            with contextlib.suppress(Exception):  # a broken connection may fail to close
                self.file.close()
        self.file = None


def _permanent(error: Exception) -> bool:
    """Whether a retry is useless: the file is missing or forbidden."""
    status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return 400 <= status < 500 and status not in (408, 429)
    return isinstance(error, FileNotFoundError | PermissionError | ValueError)
