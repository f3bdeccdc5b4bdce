"""Atomic writes: a file appears at its path complete, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` so that no reader ever sees a part of it. Raises ValueError and OSError as `part_file`."""
    with part_file(path) as part, open(part, "xb") as file:
        file.write(data)


def write_json(path: str | os.PathLike[str], values: Any) -> None:
    """Write `values` as JSON, atomically. Raises ValueError and OSError as `part_file`."""
    atomic_write(path, (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace"))


def make_private(folder: Path, remedy: str) -> None:
    """Make a folder that only its owner can read. Raises ValueError, ending in `remedy`, if that is not possible.

    It may exist already, unless other users can read it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode & 0o777
    except OSError as error:
        raise ValueError(f"{folder}: {error.strerror}; {remedy}") from None
    if mode & 0o077 and sys.platform != "win32":
        raise ValueError(f"{folder}: other users can read it (mode {mode:o}); chmod 700 it, or choose another one")


@contextlib.contextmanager
def part_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there replaces `path` at the end of the block.

    If the block raises, the temporary file is deleted and an older file at `path` stays. Symbolic links are followed;
    a device or a pipe is written to, not replaced. Raises ValueError for a missing folder, and OSError, naming `path`,
    if the system refuses to write.
    """
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; a file name is needed")
    part = part_name(path)
    try:
        if _is_device(path):
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder) / part.name
                put(Path(folder) / part.name, path)
            return
        yield part
        put(part, path)
    except OSError as error:
        reason = f"{error.strerror or error}; nothing was written"
        raise OSError(error.errno, reason, str(path)) from None
    finally:
        part.unlink(missing_ok=True)


def part_name(path: Path) -> Path:
    """Return a new name `.NAME.xxxx.part` beside `path`, under which a file lies until it is complete."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")


def remove_parts(folder: Path, name: str = "*") -> None:
    """Delete the temporary files of a process that was killed while it wrote `name` in `folder`."""
    for part in folder.glob(f".{name[:100]}.????????.part"):
        part.unlink(missing_ok=True)


def put(part: Path, path: Path) -> None:
    """Move a complete file to its final path. Copy it if that is a device or a pipe."""
    if _is_device(path):
        with open(part, "rb") as made, open(path, "wb") as device:
            shutil.copyfileobj(made, device)
    else:
        os.replace(part, path)


def _is_device(path: Path) -> bool:
    return path.exists() and not stat.S_ISREG(path.stat().st_mode)
