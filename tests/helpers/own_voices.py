"""Voices that a user has added: a good one, and a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest

from vivavoce.bundles import write_bundle
from vivavoce.voices import BUNDLE, VARIABLE, get


def add_own_voices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the user's voices folder, with the voice "My own" and a damaged "broken"."""
    folder.mkdir(mode=0o700)
    monkeypatch.setenv(VARIABLE, str(folder))
    texts = {"name": "My own", "licence": "private", "language": "es", "description": "mine"}
    write_bundle(folder / f"My own{BUNDLE}", texts, get("nash").samples)
    (folder / f"broken{BUNDLE}").write_bytes(b"PK\x03\x04 and nothing")
