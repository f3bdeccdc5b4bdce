"""Datasets of the Hugging Face Hub as an input of `prepare`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from vivavoce.data.samples import AUDIO, parse_metadata
from vivavoce.prepare.recordings import Recording, RecordingSource, described, key_of
from vivavoce.prepare.settings import PrepareConfig

MARK_EVERY = 256  # recordings between the places where a run can resume
AUDIO_COLUMNS = ("audio", *AUDIO, "speech", "sound")
TEXT_COLUMNS = (
    "text_normalized", "normalized_text", "text", "sentence", "transcript", "transcription", "text_original", "raw_text"
)  # fmt: skip
SPEAKER_COLUMNS = ("speaker", "speaker_id", "speaker_name", "client_id", "spk_id", "spk", "reader_id")
LANGUAGE_COLUMNS = ("lang", "language", "locale")
NAME_COLUMNS = ("__key__", "id", "key", "utt_id", "utterance_id", "file", "path")


class HuggingFace(RecordingSource):
    """A dataset of the Hugging Face Hub, streamed. Audio stays encoded, so neither torch nor torchcodec is needed."""

    kind = "huggingface"

    def __init__(self, name: str, settings: PrepareConfig) -> None:
        super().__init__(name)
        self.settings = settings
        try:
            import datasets
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{name}: for a Hugging Face dataset, the package {error.name} is missing: pip install "
                f"vivavoce[prepare]"
            ) from None
        try:
            rows = datasets.load_dataset(name, settings.config, split=settings.split, streaming=True)
            features = dict(rows.features or {}) or dict(next(iter(rows), {}))
        except Exception as error:  # the library's own, the hub's or the network's
            raise ValueError(
                f"no folder {name!r} here, and Hugging Face has no such dataset ({_reason(error)})"
            ) from None
        nested = features["json"] if isinstance(features.get("json"), dict) else {}
        columns = {**features, **nested}  # WebDataset repositories such as Emilia have text and speaker in their json
        sounds = tuple(c for c, feature in features.items() if isinstance(feature, datasets.Audio))
        self.audio = self._column("audio", settings.audio_column, sounds + AUDIO_COLUMNS, features)
        self.text = self._column("text", settings.text_column, TEXT_COLUMNS, columns)
        self.speaker = self._column("speaker", settings.speaker_column, SPEAKER_COLUMNS, columns)
        self.lang = next((c for c in LANGUAGE_COLUMNS if c in columns), "")
        self.id = next((c for c in NAME_COLUMNS if c in features), "")
        self.nested = bool(nested)
        self.rows = rows.cast_column(self.audio, datasets.Audio(decode=False)) if self.audio in sounds else rows
        splits = getattr(rows.info, "splits", None) or {}
        self.count: int | None = getattr(splits.get(settings.split), "num_examples", None) or None

    def _column(self, what: str, given: str | None, usual: tuple[str, ...], columns: Mapping[str, Any]) -> str:
        if given is not None and given not in columns:
            raise ValueError(f"--{what}-column {given}: {self.name} has {', '.join(columns)}")
        found = given or next((c for c in usual if c in columns), "")
        if not found and what != "speaker":
            raise ValueError(f"{self.name}: which column has the {what}? Name it with --{what}-column: "
                             f"{', '.join(columns)}")  # fmt: skip
        return found

    def identity(self) -> dict[str, Any]:
        columns = {"audio": self.audio, "text": self.text, "speaker": self.speaker}
        return {"kind": self.kind, "name": self.name, "columns": columns}

    def recordings(self, start: int = 0, mark: Any = None) -> Iterator[Recording]:
        number, state = mark or (0, None)
        if state is not None:
            self.rows.load_state_dict(state)
        self._marks.append((number, state))
        rows = iter(self.rows)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:
                raise OSError(
                    f"{self.name}: the stream broke at recording {number} ({_reason(error)}); the same command "
                    f"resumes from the last finished shard"
                ) from None
            if number >= start:
                yield self._recording(number, row)
            number += 1
            if number % MARK_EVERY == 0:
                self._marks.append((number, self.rows.state_dict()))

    def _recording(self, number: int, row: Mapping[str, Any]) -> Recording:
        nested = row["json"] if self.nested and isinstance(row.get("json"), dict) else {}
        values = {**row, **nested}
        path = row[self.audio].get("path") if isinstance(row[self.audio], dict) else None
        name = os.path.splitext(os.path.basename(_name(values.get(self.id) if self.id else path)))[0]
        meta = {"text": values.get(self.text), "speaker": values.get(self.speaker), "lang": values.get(self.lang)}
        meta = {**nested, **meta}
        key = f"{number:09d}-{key_of(name)}" if name else f"{number:09d}"
        identity = f"{name}\0{_name(meta['text'])}"
        done = (number + 1) / self.count if self.count else None
        try:
            sound = _encoded(row[self.audio])
            return described(key, sound, parse_metadata(meta), self.settings, identity=identity, done=done)
        except OSError:
            return Recording(key, fault="no audio", identity=identity, done=done)
        except ValueError as fault:
            return Recording(key, fault=str(fault), identity=identity, done=done)


def _encoded(value: Any) -> bytes:
    """Return the audio file in a cell: bytes, or a dict with bytes or a path (also inside archives on the hub).

    Raises ValueError or OSError if there is none.
    """
    if isinstance(value, dict):
        if value.get("bytes"):
            return bytes(value["bytes"])
        value = value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if isinstance(value, str) and value:
        import fsspec  # datasets' own dependency

        with fsspec.open(value, "rb") as file:
            return file.read()  # type: ignore[no-any-return]
    raise ValueError("no audio")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _name(value: Any) -> str:
    return "" if value is None else str(value)
