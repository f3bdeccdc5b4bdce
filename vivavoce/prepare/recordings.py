"""A recording as the input provides it, and the interface of every kind of input.

Knows nothing about limits or vocabularies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vivavoce.data.samples import AUDIO, Metadata, Spans
from vivavoce.prepare.settings import PrepareConfig


@dataclass(frozen=True)
class Recording:
    """One recording, not yet decoded."""

    key: str  # unique, and valid as a file name in a tar
    audio: str | bytes = b""  # a path, or an encoded audio file
    text: str = ""
    speaker: str = ""
    lang: str = ""  # "": not stated
    words: Spans = ()
    phones: Spans = ()
    bandwidth: float | None = None  # Hz
    extra: dict[str, Any] = field(default_factory=dict)  # other fields, passed on unchanged
    fault: str = ""  # the reason why it cannot be used
    identity: str = ""  # identifies it wherever it is in the input, if the key does not
    done: float | None = None  # the part of the input that ends with it, 0 to 1; None: unknown


class RecordingSource:
    """An input of `prepare`: its recordings, in the same order every time, so that a run can resume at any number.

    A problem with one recording is its `fault`; a problem with the whole input raises ValueError.
    """

    kind = ""  # one of settings.KINDS

    def __init__(self, name: str) -> None:
        self.name = name  # for messages
        self._marks: list[tuple[int, Any]] = []

    def identity(self) -> dict[str, Any]:
        """Return what must be unchanged when a run resumes, as JSON."""
        raise NotImplementedError

    def speakers(self) -> set[str] | None:
        """Return all speakers; None if they are known only after reading all of the input."""
        return None

    def recordings(self, start: int = 0, mark: Any = None) -> Iterator[Recording]:
        """Yield the recordings from number `start` on. `mark` is what `mark(start)` returned in an earlier run."""
        raise NotImplementedError

    def take_marks(self) -> list[Any]:
        """Return and forget the marks that reading has set, for `add_marks` in another process."""
        marks, self._marks = self._marks, []
        return marks

    def add_marks(self, marks: list[Any]) -> None:
        """Add the marks that reading in another process has set."""
        self._marks += marks

    def mark(self, index: int) -> Any:
        """Return, as JSON, where reading must start to reach recording `index`, which has been read.

        Later calls must not ask for an earlier recording.
        """
        while len(self._marks) > 1 and self._marks[1][0] <= index:
            del self._marks[0]
        return list(self._marks[0]) if self._marks and self._marks[0][0] <= index else None


def described(key: str, audio: bytes, meta: Metadata, settings: PrepareConfig, **more: Any) -> Recording:
    """Return a recording with metadata; the settings may override its speaker."""
    return Recording(
        key, audio, meta.text, settings.speaker or meta.speaker, meta.lang or settings.lang, meta.words, meta.phones,
        meta.bandwidth, dict(meta.extra), **more,
    )  # fmt: skip


def is_audio(file: str) -> bool:
    return os.path.splitext(file)[1][1:].lower() in AUDIO


def key_of(stem: str) -> str:
    """Turn a path into a key without loss: a dot would end it, control characters and backslashes would mislead."""
    return re.sub(r"[.%\\\x00-\x1f\x7f\ud800-\udfff]", lambda m: f"%{ord(m[0]):02X}", stem)
