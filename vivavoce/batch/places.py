"""Where the output of a batch lies: a local folder, or one at a URL that fsspec reaches (s3://, hf://, memory://).

A file appears complete or not at all: locally by an atomic rename, in an object store because a put is atomic.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vivavoce.audio.files import atomic_write, part_file, remove_parts
from vivavoce.data.fetch import filesystem, reason

AT_ONCE = 256  # files that are read in one request to an object store


def is_url(name: str) -> bool:
    """Return whether a name is a URL, and not one of a local file."""
    return "://" in name and not name.startswith("file:")


def local_path(name: str) -> Path:
    """Return the path of a local file, which may be given as a file: URL."""
    return Path(url2pathname(urlsplit(name).path)) if name.startswith("file:") else Path(name)


class Place:
    """A folder for output. Names are relative, with slashes. All errors of the store are OSError with its URL."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path | None = None if is_url(name) else local_path(name)
        self._store: tuple[Any, str] | None = filesystem(name) if is_url(name) else None

    def path(self, name: str) -> str:
        """Return the path or URL of a file."""
        return str(self.folder / name) if self.folder is not None else f"{self.name.rstrip('/')}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Write a file, atomically."""
        if self.folder is not None:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(target, data)
            return
        with self._remote(name, "be written") as (store, path):
            store.makedirs(path.rpartition("/")[0], exist_ok=True)
            store.pipe_file(path, data)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Yield a local path; what is written there becomes the file `name` at the end of the block."""
        if self.folder is not None:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with part_file(target) as part:
                yield part
            return
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / name.rpartition("/")[2]
            yield part
            with self._remote(name, "be written") as (store, path):
                store.makedirs(path.rpartition("/")[0], exist_ok=True)
                store.put_file(str(part), path)

    def read(self, name: str) -> bytes:
        """Return the contents of a file. Raises FileNotFoundError."""
        if self.folder is not None:
            return (self.folder / name).read_bytes()
        with self._remote(name, "be read") as (store, path):
            store.invalidate_cache()
            return bytes(store.cat_file(path))

    def read_all(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the contents of files, in order; many at once from an object store."""
        if self.folder is not None:
            yield from map(self.read, names)
            return
        names = iter(names)
        while some := list(itertools.islice(names, AT_ONCE)):
            with self._remote(some[0], "be read") as (store, first):
                paths = [first.removesuffix(some[0]) + name for name in some]
                found = store.cat(paths)
            yield from (bytes(found[path]) for path in paths)

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files and folders in a folder; [] if there is none."""
        if self.folder is not None:
            with contextlib.suppress(FileNotFoundError):
                return sorted(os.listdir(self.folder / folder))
            return []
        try:
            with self._remote(folder, "be listed") as (store, path):
                store.invalidate_cache()
                found = store.ls(path.rstrip("/"), detail=False)
        except FileNotFoundError:
            return []
        return sorted(name for one in found if (name := str(one).rstrip("/").rpartition("/")[2]))

    def remove(self, name: str) -> None:
        """Delete a file or a folder with all that is in it, if it exists."""
        if self.folder is not None:
            target = self.folder / name
            if target.is_dir():
                shutil.rmtree(target, ignore_errors=True)
            else:
                target.unlink(missing_ok=True)
            return
        with contextlib.suppress(FileNotFoundError), self._remote(name, "be deleted") as (store, path):
            store.rm(path, recursive=True)

    def remove_parts(self, folder: str = "") -> None:
        """Delete unfinished files that a killed process left; an object store has none."""
        if self.folder is not None:
            remove_parts(self.folder / folder)

    @contextlib.contextmanager
    def _remote(self, name: str, what: str) -> Iterator[tuple[Any, str]]:
        """Yield the store and the path in it; its errors, of whatever class, become OSError."""
        assert self._store is not None
        store, root = self._store
        try:
            yield store, f"{root.rstrip('/')}/{name}"
        except FileNotFoundError:
            raise
        except Exception as error:
            raise OSError(f"{self.path(name)}: cannot {what} ({type(error).__name__}: {reason(error)})") from None


def download(url: str, folder: Path) -> Path:
    """Copy the file at a URL to a local folder, and return its path. Raises ValueError."""
    store, path = filesystem(url)
    target = folder / (path.rstrip("/").rpartition("/")[2] or "file")
    try:
        store.get_file(path, str(target))
    except FileNotFoundError:
        raise ValueError(f"{url}: no such file") from None
    except Exception as error:  # each file system has its own
        raise ValueError(f"{url}: cannot be read ({type(error).__name__}: {reason(error)})") from None
    return target
