"""Fixtures for the tests of systems."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.whisperspeech_system import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole whisperspeech system, tiny and random."""
    return build(tmp_path_factory.mktemp("system"))
