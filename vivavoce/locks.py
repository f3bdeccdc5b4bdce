"""Locks between processes: one run in a folder, one writer of a file.

The operating system holds the lock and releases it when the process ends, however it ends, so a lock file that a killed
process left behind blocks nobody. The file contains the process id, for the message to others.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

LOCK = ".lock"  # the lock file in a folder
_BYTE = 1 << 30  # the byte that Windows locks: locked bytes cannot be read there, and the process id must be


_held: set[Path] = set()  # held by this process, which the system's locks do not stop


class InUse(ValueError):
    """Another process works on the same output."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of an output folder. Raises InUse if another process holds it.

    A missing folder is created, and removed again if it is still empty in the end.
    """
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(folder / LOCK, folder):
            yield
    finally:
        if created:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Hold the lock of an output file. Raises InUse if another process holds it."""
    with _lock(path.with_name(f".{path.name[:100]}.lock"), path):
        yield


def owner(folder: Path) -> int | None:
    """Return the id of the process that holds the lock of a folder; None if none does.

    The check takes a free lock for a moment, so use it only if no process is about to lock the folder.
    """
    path = (folder / LOCK).resolve()
    if path in _held:
        return os.getpid()
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        if _try_lock(handle):
            return None
        text = os.read(handle, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdecimal() else None
    finally:
        os.close(handle)


@contextlib.contextmanager
def _lock(path: Path, target: Path) -> Iterator[None]:
    path = path.resolve()
    if path in _held:  # opening and closing the file would release the lock
        raise InUse(f"{target} is in use by this process; wait until it is done, or give another output")
    handle = _acquire(path, target)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        _release(handle, path)


def _acquire(path: Path, target: Path) -> int:
    """Return the open and locked lock file."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _try_lock(handle):
            owner = os.read(handle, 32).decode("ascii", "replace").strip()
            os.close(handle)
            process = f"process {owner}" if owner else "another process"
            raise InUse(f"{target} is in use by {process}; wait until it ends, or give another output")
        if _is_current(handle, path):
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            return handle
        os.close(handle)  # its owner deleted it between our opening and locking it


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        os.lseek(handle, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

    def _release(handle: int, path: Path) -> None:
        os.close(handle)
        with contextlib.suppress(OSError):  # another process may have opened it already
            path.unlink()

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock, whose locks forked workers inherit
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _release(handle: int, path: Path) -> None:
        path.unlink(missing_ok=True)  # before unlocking, so that nobody locks a file that is gone
        os.close(handle)
