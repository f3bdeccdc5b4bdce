"""What every test gets: no network, no time limits inside Hypothesis, and the repository's root.

Imports nothing heavy, so that a single test file starts at once.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# no test may see, let alone change, the voices of whoever runs it
os.environ["VIVAVOCE_VOICES"] = os.path.join(tempfile.gettempdir(), f"vivavoce-tests-{os.getpid()}", "voices")

# a slow machine must not fail a test, and the same commit must not pass once and fail once
settings.register_profile("vivavoce", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("vivavoce")

_connect = socket.socket.connect


def _connect_locally(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"tests have no network: connection to {address[0]}:{address[1]} refused")
    _connect(self, address)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to any other machine fail at once; servers on this one are fine."""
    monkeypatch.setattr(socket.socket, "connect", _connect_locally)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, as long as the test runs."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread_one_seed(one_thread: None) -> None:
    import torch

    torch.manual_seed(0)
