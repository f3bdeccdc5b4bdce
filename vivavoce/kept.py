"""The work folder of a long text: what is spoken is kept beside the output, for the same command to go on from.

    book.mp3.partial/
        manifest.json                 what is being spoken, how, by what
        00000.flac, 00000.json        a section: its sound, 16-bit, and its words with their times

Knows nothing about how a text is cut and spoken.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from vivavoce import audio
from vivavoce.pieces import Word

FORMAT = 1
SUFFIX = ".partial"

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Section:
    """A stretch of a text as it was spoken."""

    sound: Pcm  # [S]
    words: tuple[Word, ...]  # their times are from its start
    done: float  # the part of the whole text that is spoken at its end, 0 to 1


class Kept:
    """The sections of a text that is written to `output`.

    identity: all that decides about the sound, in plain values: what was made of another text, or with other options,
    is not used, but put aside under another name, with a warning. seed: for work that begins now. any_seed: work that
    was begun with another one is as good.
    Raises ValueError where something else is in the place of the work folder.
    """

    def __init__(self, output: Path, sample_rate: int, identity: Mapping[str, str], seed: int, any_seed: bool) -> None:
        self.folder = output.with_name(f"{output.name}{SUFFIX}")
        self._rate = sample_rate
        self._identity = dict(identity)
        self.seed = seed  # or that of the work which was begun
        self._begun = False
        if not self.folder.exists():
            return
        found = self._manifest()
        others = [name for name in self._identity if found["identity"].get(name) != self._identity[name]]
        if not any_seed and found["seed"] != seed:
            others.append("seed")
        if others:
            aside = self._aside()
            os.rename(self.folder, aside)
            warnings.warn(
                f"{self.folder} was begun with another {', another '.join(others)}; it is now {aside.name}, and the "
                f"work begins anew",
                stacklevel=3,
            )
        else:
            self.seed, self._begun = int(found["seed"]), True

    def __len__(self) -> int:
        """How many sections are kept, from the first on without a gap."""
        number = 0
        while self._begun and self._sound(number).exists():
            number += 1
        return number

    def get(self, number: int) -> Section | None:
        """None where it is not kept, or cannot be read any more."""
        if not self._begun or not self._sound(number).exists():
            return None
        try:
            about = json.loads(self._about(number).read_text(encoding="utf-8"))
            sound, rate = soundfile.read(self._sound(number), dtype="int16")
            words = tuple(Word(str(text), float(start), float(end)) for text, start, end in about["words"])
            whole = (sound.shape, rate) == ((about["samples"],), self._rate)
            return Section(sound, words, float(about["done"])) if whole else None
        except (OSError, ValueError, KeyError, TypeError, soundfile.SoundFileError):
            return None

    def put(self, number: int, section: Section) -> None:
        if not self._begun:
            self.folder.mkdir(exist_ok=True)
            manifest = {"format": FORMAT, "seed": self.seed, "identity": self._identity}
            audio.write_whole(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode())
            self._begun = True
        words: Sequence[Any] = [[word.text, word.start, word.end] for word in section.words]
        about = {"samples": len(section.sound), "done": section.done, "words": words}
        audio.write_whole(self._about(number), json.dumps(about, ensure_ascii=False).encode())
        encoded = io.BytesIO()
        soundfile.write(encoded, section.sound, self._rate, format="FLAC", subtype="PCM_16")
        audio.write_whole(self._sound(number), encoded.getvalue())  # last: it says that the section is complete

    def remove(self) -> None:
        """Delete it: the output is complete. What somebody else has put there stays."""
        if not self._begun:
            return
        for path in self.folder.iterdir():
            if re.fullmatch(r"\d{5,}\.(flac|json)|manifest\.json|\..*\.part", path.name):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
        self._begun = False

    def _manifest(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
            if found["format"] == FORMAT and isinstance(found["identity"], dict) and isinstance(found["seed"], int):
                return dict(found)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise ValueError(f"{self.folder} is in the way: it is no work folder of this version; move it or delete it")

    def _aside(self) -> Path:
        number = 1
        while (path := self.folder.with_name(f"{self.folder.name}.{number}")).exists():
            number += 1
        return path

    def _sound(self, number: int) -> Path:
        return self.folder / f"{number:05d}.flac"

    def _about(self, number: int) -> Path:
        return self.folder / f"{number:05d}.json"
