"""Locks of outputs: one process at a time, and none left behind by a process that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vivavoce.locks import InUse, lock_file, lock_folder, owner

HOLD = """
import sys, time
from pathlib import Path
from vivavoce.locks import lock_file, lock_folder
with {kind}(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def hold(kind: str, target: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock of `target`."""
    command = [sys.executable, "-c", HOLD.format(kind=kind), str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("lock", [lock_file, lock_folder])
def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path: Path, lock: Callable) -> None:
    target = tmp_path / "target"
    process = hold(lock.__name__, target)
    try:
        with pytest.raises(InUse, match=f"target is in use by process {process.pid}; .* give another output$"):
            lock(target).__enter__()
    finally:
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        process.wait()
    leftover = [path for path in tmp_path.rglob("*.lock")]
    assert len(leftover) == 1  # the killed process could not delete it, and it blocks nobody
    with lock(target), pytest.raises(InUse, match="in use by this process"), lock(target):
        raise AssertionError("locked twice")
    assert not list(tmp_path.rglob("*.lock"))
    with lock(target):
        pass


def test_a_lock_file_is_hidden_beside_its_file(tmp_path: Path) -> None:
    with lock_file(tmp_path / "speech.wav"):
        assert [path.name for path in tmp_path.iterdir()] == [".speech.wav.lock"]
        assert (tmp_path / ".speech.wav.lock").read_text() == f"{os.getpid()}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_owner_of_a_folder_is_told(tmp_path: Path) -> None:
    assert owner(tmp_path) is None
    with lock_folder(tmp_path):
        assert owner(tmp_path) == os.getpid()
    process = hold("lock_folder", tmp_path)
    assert owner(tmp_path) == process.pid
    process.kill()
    process.wait()
    assert owner(tmp_path) is None  # although the lock file is still there
