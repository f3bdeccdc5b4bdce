"""Fixtures for tests of training."""

from __future__ import annotations

import pytest
from helpers.corpus import write_corpus


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two shards with eight utterances of tones, with word times."""
    return write_corpus(tmp_path_factory.mktemp("corpus"), 8, 2, words=True)
