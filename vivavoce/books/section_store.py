"""Resumable section cache: the finished sections of a long text, kept beside the output until it is complete.

    book.mp3.partial/
        manifest.json                 what is spoken, how, and by which model
        00000.flac, 00000.json        a section: its samples, 16-bit, and its words with their times

Knows nothing about how a text is divided and spoken.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from vivavoce.audio.files import atomic_write
from vivavoce.systems.interface import Word

FORMAT = 1
SUFFIX = ".partial"
SILENCE = 5.0  # seconds of silence that are handed out at once

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Section:
    """A spoken stretch of a text. Long silence is not stored as samples, so that a section stays small."""

    samples: Pcm  # [S], without the gaps
    words: tuple[Word, ...]  # times from the start of the section, gaps included
    done: float  # the part of the whole text that is spoken at its end, 0 to 1
    gaps: tuple[tuple[int, int], ...] = ()  # (index in `samples`, length) of long silences, in samples, ascending

    def __len__(self) -> int:
        """The number of samples, gaps included."""
        return len(self.samples) + sum(length for _, length in self.gaps)

    def blocks(self, sample_rate: int) -> Iterator[Pcm]:
        """Yield the samples with the gaps as silence, in blocks."""
        at = 0
        for index, length in self.gaps:
            if index > at:
                yield self.samples[at:index]
            yield from silence_blocks(length, sample_rate)
            at = index
        if at < len(self.samples) or not self.gaps:
            yield self.samples[at:]


def silence_blocks(samples: int, sample_rate: int) -> Iterator[Pcm]:
    """Yield silence in blocks of at most SILENCE seconds."""
    size = round(SILENCE * sample_rate)
    for start in range(0, samples, size):
        yield np.zeros(min(size, samples - start), np.int16)


class SectionStore:
    """The sections of a text that is written to `output`.

    identity: everything that determines the samples, in plain values. Sections of another text, or made with other
    options, are not used: their folder is renamed, with a warning. seed: for new work. any_seed: existing work with
    another seed is resumed as well.
    Raises ValueError if something else is in the place of the work folder.
    """

    def __init__(self, output: Path, sample_rate: int, identity: Mapping[str, str], seed: int, any_seed: bool) -> None:
        self.folder = output.with_name(f"{output.name}{SUFFIX}")
        self._rate = sample_rate
        self._identity = dict(identity)
        self.seed = seed  # or that of the existing work
        self._exists = False
        if not self.folder.exists():
            return
        found = self._read_manifest()
        others = [name for name in self._identity if found["identity"].get(name) != self._identity[name]]
        if not any_seed and found["seed"] != seed:
            others.append("seed")
        if others:
            aside = self._free_name()
            os.rename(self.folder, aside)
            warnings.warn(
                f"{self.folder} belongs to another {', another '.join(others)}; it is renamed to {aside.name}, and the "
                f"work starts from the beginning",
                stacklevel=3,
            )
        else:
            self.seed, self._exists = int(found["seed"]), True

    def __len__(self) -> int:
        """The number of sections without a gap, from the first on."""
        number = 0
        while self._exists and self._sound_file(number).exists():
            number += 1
        return number

    def get(self, number: int) -> Section | None:
        """Return a section; None if it is missing or damaged."""
        if not self._exists or not self._sound_file(number).exists():
            return None
        try:
            about = json.loads(self._about_file(number).read_text(encoding="utf-8"))
            samples, rate = soundfile.read(self._sound_file(number), dtype="int16")
            words = tuple(Word(str(text), float(start), float(end)) for text, start, end in about["words"])
            gaps = tuple((int(index), int(length)) for index, length in about.get("gaps", ()))
            complete = (samples.shape, rate) == ((about["samples"],), self._rate)
            return Section(samples, words, float(about["done"]), gaps) if complete else None
        except (OSError, ValueError, KeyError, TypeError, soundfile.SoundFileError):
            return None

    def put(self, number: int, section: Section) -> None:
        """Keep a section."""
        if not self._exists:
            self.folder.mkdir(exist_ok=True)
            manifest = {"format": FORMAT, "seed": self.seed, "identity": self._identity}
            atomic_write(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode())
            self._exists = True
        words: Sequence[Any] = [[word.text, word.start, word.end] for word in section.words]
        about: dict[str, Any] = {"samples": len(section.samples), "done": section.done, "words": words}
        if section.gaps:
            about["gaps"] = section.gaps
        atomic_write(self._about_file(number), json.dumps(about, ensure_ascii=False).encode())
        encoded = io.BytesIO()
        soundfile.write(encoded, section.samples, self._rate, format="FLAC", subtype="PCM_16")
        atomic_write(self._sound_file(number), encoded.getvalue())  # last: its presence makes the section complete

    def remove(self) -> None:
        """Delete the folder, because the output is complete. Files of others in it stay."""
        if not self._exists:
            return
        for path in self.folder.iterdir():
            if re.fullmatch(r"\d{5,}\.(flac|json)|manifest\.json|\..*\.part", path.name):
                path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()
        self._exists = False

    def _read_manifest(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
            if found["format"] == FORMAT and isinstance(found["identity"], dict) and isinstance(found["seed"], int):
                return dict(found)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise ValueError(f"{self.folder} is in the way: it is not a work folder of this version; move or delete it")

    def _free_name(self) -> Path:
        number = 1
        while (path := self.folder.with_name(f"{self.folder.name}.{number}")).exists():
            number += 1
        return path

    def _sound_file(self, number: int) -> Path:
        return self.folder / f"{number:05d}.flac"

    def _about_file(self, number: int) -> Path:
        return self.folder / f"{number:05d}.json"
