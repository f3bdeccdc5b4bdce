"""The voices of a server: built-in ones, and those in a folder that only the server's user can read.

The folder holds voices that clients added, by random ids, and those of the server's user (`vivavoce voices add`,
`vivavoce train-voice`), whose names are their ids. All are stored as `Voice.save` writes them, so `vivavoce --voice
FILE` can use them, too.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import safetensors

from vivavoce.audio.dsp import Samples
from vivavoce.audio.files import make_private
from vivavoce.bundles import read_bundle
from vivavoce.config import BUILTIN_VOICES
from vivavoce.voices import Voice, get, own_names, own_path

MAX_VOICES = 1_000
MAX_NAME = 100  # characters

_ID = re.compile(r"voice_[0-9a-f]{32}")


class StoreFull(Exception):
    """The store holds MAX_VOICES already."""


class UnusableVoice(Exception):
    """The file of a stored voice is damaged."""


@dataclass(frozen=True)
class VoiceInfo:
    """A voice in the list, without its audio."""

    id: str
    name: str
    created_at: int  # seconds since 1970
    licence: str
    description: str
    language: str
    builtin: bool
    consent: str = ""


class VoiceStore:
    """A folder of voices. Raises ValueError if it cannot be created, or if other users can read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_private(folder, "choose a folder for added voices with --voices")

    def __len__(self) -> int:
        return len(self._files())

    def infos(self) -> list[VoiceInfo]:
        """Return the built-in voices, then the user's, then the added ones, oldest first.

        Damaged files are left out.
        """
        builtin = [get(name) for name in BUILTIN_VOICES]
        voices = [VoiceInfo(v.name, v.name, 0, v.licence, v.description, v.language, True) for v in builtin]
        added = [info for path in self._files() if (info := _read_info(path)) is not None]
        own = [info for name in own_names(self.folder) if (info := _own_info(self.folder, name)) is not None]
        return voices + own + sorted(added, key=lambda info: (info.created_at, info.id))

    def check_name(self, name: str) -> str:
        """Return a name for a new voice, with its spaces normalised.

        Raises ValueError for a name that is blank, too long or built-in, StoreFull if there is no room.
        """
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise ValueError(f"a voice's name must have 1 to {MAX_NAME} printable characters")
        if name in BUILTIN_VOICES:
            raise ValueError(f"{name!r} is a built-in voice; choose another name")
        if len(self) >= MAX_VOICES:
            raise StoreFull
        return name

    def add(self, name: str, samples: Samples, transcript: str | None) -> VoiceInfo:
        """Store a voice whose speaker has consented. Raises as `check_name`, and OSError if it cannot be written."""
        name = self.check_name(name)
        identifier = f"voice_{secrets.token_hex(16)}"
        day = time.strftime("%Y-%m-%d", time.gmtime())
        licence = f"private; the speaker's consent was stated on {day}"
        path = self.folder / f"{identifier}.safetensors"
        Voice(name, samples, transcript, None, licence, "from a recording").save(path)
        path.chmod(0o600)
        info = _read_info(path)
        assert info is not None
        return info

    def get(self, identifier: str) -> Voice | None:
        """Return a built-in voice or one of the user's by its name, or an added one by its id; None if there is none.

        Raises UnusableVoice if its file is damaged. The speaker vector of an added voice is not trusted: the model
        computes its own from the samples.
        """
        if identifier in BUILTIN_VOICES:
            return get(identifier)
        if (own := own_path(identifier, self.folder)) is not None:
            try:
                return dataclasses.replace(Voice.load(own), name=identifier)
            except Exception as error:
                raise UnusableVoice(str(error)) from None
        path = self.folder / f"{identifier}.safetensors"
        if not _ID.fullmatch(identifier) or not path.is_file():
            return None
        try:
            return dataclasses.replace(Voice.load(path), embedding=None)
        except Exception as error:  # whatever the libraries raise for a file that someone else wrote
            raise UnusableVoice(str(error)) from None

    def delete(self, identifier: str) -> bool:
        """Delete an added voice. Return whether it existed."""
        if not _ID.fullmatch(identifier):
            return False
        try:
            os.unlink(self.folder / f"{identifier}.safetensors")
        except FileNotFoundError:
            return False
        return True

    def _files(self) -> list[Path]:
        return [path for path in self.folder.glob("voice_*.safetensors") if _ID.fullmatch(path.stem)]


def _own_info(folder: Path, name: str) -> VoiceInfo | None:
    """Read the description of a voice of the user; None if its file is gone or damaged."""
    path = own_path(name, folder)
    try:
        if path is None:
            return None
        texts, created = read_bundle(path).texts, int(path.stat().st_mtime)
    except (OSError, ValueError):
        return None
    licence, description, language, consent = (
        texts.get(key, "") for key in ("licence", "description", "language", "consent")
    )
    return VoiceInfo(name, name, created, licence, description, language, False, consent)


def _read_info(path: Path) -> VoiceInfo | None:
    """Read the description of a stored voice; None if the file is gone or damaged."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        created = int(path.stat().st_mtime)
    except (OSError, safetensors.SafetensorError):
        return None
    licence, description, language = (metadata.get(key, "") for key in ("licence", "description", "language"))
    return VoiceInfo(path.stem, metadata.get("name", path.stem), created, licence, description, language, False)
