"""Whether a batch speaks in the process of the test or in its own."""

from __future__ import annotations

from typing import Any

import pytest

from vivavoce.batch import run as batch_run
from vivavoce.batch import worker as batch_worker
from vivavoce.workers import in_order


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak in this process unless a test uses the fixture `processes`."""
    if "processes" in request.fixturenames:
        return

    def in_this_process(function: Any, jobs: Any, workers: int, start: Any, arguments: Any, *, inline: bool) -> Any:
        monkeypatch.setattr(batch_worker, "_tts", None)
        return in_order(function, jobs, 1, start, arguments)

    monkeypatch.setattr(batch_run, "in_order", in_this_process)
    for name in batch_worker.THREADS:
        monkeypatch.setenv(name, "1")  # restored at the end


@pytest.fixture
def processes() -> None:
    """Speak in worker processes, as users do."""
