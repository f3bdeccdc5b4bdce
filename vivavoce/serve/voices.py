"""The voices that users added: one file each in a folder that nobody else may read.

A voice's file is what `Voice.save` writes, so `vivavoce --voice FILE` speaks with it, too.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import safetensors

from vivavoce.audio import Samples
from vivavoce.config import BUILTIN_VOICES
from vivavoce.voices import Voice, get

MAX_VOICES = 1_000
MAX_NAME = 100  # characters

_ID = re.compile(r"voice_[0-9a-f]{32}")


class StoreFull(Exception):
    """There are MAX_VOICES already."""


@dataclass(frozen=True)
class Entry:
    """A voice in the list, without its sound."""

    id: str
    name: str
    created_at: int  # seconds since 1970
    licence: str
    description: str
    language: str
    builtin: bool


class VoiceStore:
    """The folder. Raises ValueError where it cannot be made, or is there and not private."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = folder.stat().st_mode & 0o777
        except OSError as error:
            raise ValueError(f"{folder}: {error.strerror}; --voices names a folder for added voices") from None
        if mode & 0o077 and sys.platform != "win32":
            raise ValueError(f"{folder}: others may look into it (mode {mode:o}); chmod 700 it, or name another folder")

    def __len__(self) -> int:
        return len(self._files())

    def entries(self) -> list[Entry]:
        """The built-in voices, then the added ones, oldest first."""
        builtin = [get(name) for name in BUILTIN_VOICES]
        entries = [Entry(v.name, v.name, 0, v.licence, v.description, v.language, True) for v in builtin]
        added = [entry for path in self._files() if (entry := _entry(path)) is not None]
        return entries + sorted(added, key=lambda e: (e.created_at, e.id))

    def named(self, name: str) -> str:
        """`name` as a new voice may have it. Raises ValueError for one that is blank, long or built in, StoreFull."""
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"a voice's name has 1 to {MAX_NAME} characters that can be printed")
        if name in BUILTIN_VOICES:
            raise ValueError(f"{name!r} is a built-in voice; choose another name")
        if len(self) >= MAX_VOICES:
            raise StoreFull
        return name

    def add(self, name: str, samples: Samples, transcript: str | None) -> Entry:
        """Keep a voice whose owner agreed. Raises as `named`."""
        name = self.named(name)
        identifier = f"voice_{secrets.token_hex(16)}"
        day = time.strftime("%Y-%m-%d", time.gmtime())
        licence = f"private; the speaker's consent was stated on {day}"
        path = self.folder / f"{identifier}.safetensors"
        Voice(name, samples, transcript, None, licence, "from a recording").save(path)
        path.chmod(0o600)
        entry = _entry(path)
        assert entry is not None
        return entry

    def get(self, identifier: str) -> Voice | None:
        """A built-in voice by its name, or an added one by its id."""
        if identifier in BUILTIN_VOICES:
            return get(identifier)
        if not _ID.fullmatch(identifier):
            return None
        try:
            return Voice.load(self.folder / f"{identifier}.safetensors")
        except ValueError:
            return None

    def delete(self, identifier: str) -> bool:
        """Whether there was such a voice; built-in ones stay."""
        if not _ID.fullmatch(identifier):
            return False
        try:
            os.unlink(self.folder / f"{identifier}.safetensors")
        except FileNotFoundError:
            return False
        return True

    def _files(self) -> list[Path]:
        return [path for path in self.folder.glob("voice_*.safetensors") if _ID.fullmatch(path.stem)]


def _entry(path: Path) -> Entry | None:
    """What a voice's file says of it; None where it is gone or broken."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            words = file.metadata() or {}
        created = int(path.stat().st_mtime)
    except (OSError, safetensors.SafetensorError):
        return None
    licence, description, language = (words.get(key, "") for key in ("licence", "description", "language"))
    return Entry(path.stem, words.get("name", path.stem), created, licence, description, language, False)
