"""Names that stand for voices: OpenAI's voices, which many clients request whatever the server offers.

A file of aliases is a JSON object, such as {"alloy": "luna", "narrator": "voice_0123…", "onyx": null}. It adds to the
default aliases; null removes one.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from vivavoce.config import BUILTIN_VOICES

# OpenAI's voices and the most similar built-in ones
DEFAULT_ALIASES = {
    "alloy": "celeste",
    "ash": "nash",
    "ballad": "orion",
    "cedar": "nash",
    "coral": "celeste",
    "echo": "nash",
    "fable": "orion",
    "marin": "luna",
    "nova": "luna",
    "onyx": "nash",
    "sage": "rhea",
    "shimmer": "rhea",
    "verse": "orion",
}

_ADDED = re.compile(r"voice_[0-9a-f]{32}")


class VoiceAliases:
    """The aliases of a server. Case does not matter."""

    def __init__(self, changes: dict[str, str | None] | None = None) -> None:
        table = {**DEFAULT_ALIASES, **{name.casefold(): voice for name, voice in (changes or {}).items()}}
        self.table = {name: voice for name, voice in table.items() if voice is not None}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VoiceAliases:
        """Read a file of aliases. Raises ValueError, naming the file, if it is missing or wrong."""
        try:
            changes = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a JSON file ({error})") from None
        if not isinstance(changes, dict):
            raise ValueError(f"{path}: expected a JSON object of aliases, got {type(changes).__name__}")
        for name, voice in changes.items():
            if name.casefold() in BUILTIN_VOICES or _ADDED.fullmatch(name):
                raise ValueError(f"{path}: {name!r} is a voice and cannot be an alias")
            if voice is not None and voice not in BUILTIN_VOICES and not _ADDED.fullmatch(str(voice)):
                known = ", ".join(BUILTIN_VOICES)
                raise ValueError(f"{path}: {name!r} is {voice!r}; it must be {known}, the id of an added voice or null")
        return cls(changes)

    def resolve(self, name: str) -> str:
        """Return the id of the voice that a name stands for; the name itself if it is not an alias."""
        folded = name.strip().casefold()
        if folded in BUILTIN_VOICES:
            return folded
        return self.table.get(folded, name)

    def of(self, voice: str) -> list[str]:
        """Return the aliases of a voice, in alphabetical order."""
        return sorted(name for name, target in self.table.items() if target == voice)
