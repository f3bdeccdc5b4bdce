"""The kinds of input → items: a key, a recording that is not yet decoded, and what is said in it by whom.

Each source gives its items in the same order every time, so that a run can go on at any number. What is wrong with an
item stands in its `fault`; only what makes the whole input useless raises ValueError.
Knows nothing about limits, vocabularies or shards that are written.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vivavoce.prepare.settings import PrepareConfig
from vivavoce.prepare.shards import DamagedShard, read_shard
from vivavoce.tokens import SUFFIX

# as vivavoce.train.shards, which needs the extra train
AUDIO = ("wav", "flac", "ogg", "opus", "mp3", "aif", "aiff")
LIBRITTS_TEXTS = (".normalized.txt", ".original.txt")  # the first that there is
# Folders that are named after what is in them, not after who speaks
NOT_SPEAKERS = frozenset("audio audios clips data flac mp3 ogg recordings sounds train wav wavs".split())
MARK_EVERY = 256  # items of a streamed dataset between the places where a run can go on


@dataclass(frozen=True)
class Item:
    """One recording as the input has it."""

    key: str  # unique, and fit for a file in a tar
    sound: str | bytes = b""  # a path, or an encoded sound file
    text: str = ""
    speaker: str = ""
    lang: str = ""  # "": not said
    words: Any = None  # as the input has them: word, start, end in seconds
    more: dict[str, Any] = field(default_factory=dict)  # other fields, which are handed on
    fault: str = ""  # why it cannot be used
    same: str = ""  # what tells it from others wherever it stands in the input, where the key does not
    done: float | None = None  # part of the input that ends with it, 0 to 1; None: unknown


class Source:
    """An input. `kind` is one of settings.KINDS, `name` is for messages."""

    kind = ""

    def __init__(self, name: str) -> None:
        self.name = name
        self._marks: list[tuple[int, Any]] = []

    def identity(self) -> dict[str, Any]:
        """What a run that goes on must find unchanged, as JSON."""
        raise NotImplementedError

    def speakers(self) -> set[str] | None:
        """Who speaks; None where only reading all of it would tell."""
        return None

    def items(self, start: int = 0, mark: Any = None) -> Iterator[Item]:
        """The items from number `start` on; `mark` is what `mark(start)` gave in an earlier run."""
        raise NotImplementedError

    def mark(self, index: int) -> Any:
        """From where item number `index` is reached soonest, as JSON; it must have been read, and none before it is
        asked for again."""
        while len(self._marks) > 1 and self._marks[1][0] <= index:
            del self._marks[0]
        return list(self._marks[0]) if self._marks and self._marks[0][0] <= index else None


def open_source(name: str, settings: PrepareConfig) -> Source:
    """The input called `name`, of the kind that the settings say or that it looks like.

    Raises ValueError where it is none.
    """
    kind = settings.kind if settings.kind != "auto" else _detect(name)
    if kind == "shards":
        return Shards(name, settings)
    if kind == "huggingface":
        return HuggingFace(name, settings)
    if not os.path.isdir(name):
        raise ValueError(f"{name}: no such folder; an input of kind {kind} is one")
    return {"folder": folder, "ljspeech": ljspeech, "libritts": libritts}[kind](name, settings)


def _detect(name: str) -> str:
    root = Path(name)
    if name.endswith(".tar") or (glob.has_magic(name) and not root.exists()):
        return "shards"
    if not root.exists():
        if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
            return "huggingface"
        raise ValueError(f"no {name!r}: give a folder, .tar shards or a glob of them, or a dataset such as owner/name")
    if not root.is_dir():
        raise ValueError(f"{name}: a file; give a folder, .tar shards, or a Hugging Face dataset such as owner/name")
    if (root / "metadata.csv").is_file():
        return "ljspeech"
    files = set(_files(root))
    stems = [os.path.splitext(file)[0] for file in files if _is_audio(file)]
    if any(stem + ending in files for stem in stems for ending in LIBRITTS_TEXTS):
        return "libritts"
    if any(stem + ".txt" in files or stem + ".TXT" in files for stem in stems):
        return "folder"
    if any(file.endswith(".tar") for file in files):
        return "shards"
    raise ValueError(
        f"{name}: neither recordings ({', '.join(AUDIO)}) with a .txt of the same name beside them, nor metadata.csv "
        f"with wavs/ (LJSpeech), nor SPEAKER/CHAPTER/NAME.wav with NAME.normalized.txt (LibriTTS), nor .tar shards"
    )


# ---- folders --------------------------------------------------------------------------------------------------------


class Recording(NamedTuple):
    path: str  # "" where there is none
    text: str  # of a file: its path, which ends in .txt; else the text
    text_is_file: bool
    speaker: str
    fault: str = ""


class Listed(Source):
    """Recordings whose list is known before they are read."""

    def __init__(self, kind: str, name: str, recordings: Mapping[str, Recording], settings: PrepareConfig) -> None:
        super().__init__(name)
        self.kind, self.settings = kind, settings
        self.keys = sorted(recordings)
        self.recordings = recordings
        if not self.keys:
            raise ValueError(f"{name}: no recordings ({', '.join(AUDIO)}) in it")

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for key in self.keys:
            entry = self.recordings[key]
            text = _size(entry.text) if entry.text_is_file else entry.text
            digest.update(f"{key}\0{_size(entry.path)}\0{text}\0{self._speaker(entry)}\n".encode("utf-8", "replace"))
        return {"kind": self.kind, "recordings": len(self.keys), "digest": digest.hexdigest()[:16]}

    def speakers(self) -> set[str]:
        return {self._speaker(entry) for entry in self.recordings.values() if not entry.fault}

    def items(self, start: int = 0, mark: Any = None) -> Iterator[Item]:
        for number, key in enumerate(self.keys[start:], start + 1):
            entry = self.recordings[key]
            text, fault = entry.text, entry.fault
            if entry.text_is_file and not fault:
                try:
                    text = Path(entry.text).read_bytes().decode("utf-8-sig")
                except (OSError, UnicodeDecodeError):
                    text, fault = "", "unreadable text"
            yield Item(
                key, entry.path, text, self._speaker(entry), self.settings.lang, fault=fault,
                done=number / len(self.keys),
            )  # fmt: skip

    def _speaker(self, entry: Recording) -> str:
        return self.settings.speaker or entry.speaker


def folder(name: str, settings: PrepareConfig) -> Listed:
    """Recordings at any depth, each with a .txt of the same name; the first folder below the input is the speaker."""
    root = Path(name)
    files = _files(root)
    texts = {os.path.splitext(file)[0]: file for file in files if file.lower().endswith(".txt")}
    found: dict[str, Recording] = {}
    for file in files:
        if not _is_audio(file):
            continue
        stem = os.path.splitext(file)[0]
        folders = [part for part in stem.split("/")[:-1] if part.lower() not in NOT_SPEAKERS]
        text = texts.get(stem)
        fault = "" if text else "no text"
        key = _key(stem)
        if key in found:
            key, fault = _key(file), "two recordings of one name"
        speaker = folders[0] if folders else root.resolve().name
        found[key] = Recording(str(root / file), str(root / text) if text else "", text is not None, speaker, fault)
    return Listed("folder", name, found, settings)


def libritts(name: str, settings: PrepareConfig) -> Listed:
    """SPEAKER/CHAPTER/NAME.wav at any depth, with NAME.normalized.txt, or else NAME.original.txt."""
    root = Path(name)
    files = _files(root)
    known = set(files)
    found = {}
    for file in filter(_is_audio, files):
        stem = os.path.splitext(file)[0]
        text = next((stem + ending for ending in LIBRITTS_TEXTS if stem + ending in known), None)
        speaker = (root / file).resolve().parent.parent.name
        found[_key(stem)] = Recording(
            str(root / file), str(root / text) if text else "", text is not None, speaker, "" if text else "no text"
        )
    return Listed("libritts", name, found, settings)


def ljspeech(name: str, settings: PrepareConfig) -> Listed:
    """metadata.csv with a line `id|as written|as spoken`, or `id|text`, for each recording in wavs/."""
    root = Path(name)
    table = root / "metadata.csv"
    try:
        lines = table.read_bytes().decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ValueError(f"{name}: no metadata.csv in it, which LJSpeech's layout has") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{table}: byte {error.start} is not UTF-8") from None
    sounds = {os.path.splitext(file)[0]: file for file in _files(root / "wavs") if _is_audio(file)}
    speaker = root.resolve().name
    found = {}
    usable = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        # no quoting: LJSpeech's own texts have single quotation marks
        stem, *columns = line.split("|")
        stem = stem.strip().removeprefix("wavs/")
        if _is_audio(stem):
            stem = os.path.splitext(stem)[0]
        path = str(root / "wavs" / sounds[stem]) if stem in sounds else ""
        fault = "" if path else "no recording"
        if not stem or not columns:
            fault = "no text"
        key = _key(stem or f"line {number}")
        if key in found:
            key, fault = f"{key}-line-{number}", "the same id twice"
        text = next((c for c in reversed(columns[:2]) if c.strip()), "")
        found[key] = Recording(path, text, False, speaker, fault)
        usable = usable or not fault
    if not usable:
        raise ValueError(f"{table}: no line `id|text` with a recording wavs/id.wav (or {', '.join(AUDIO[1:])})")
    return Listed("ljspeech", name, found, settings)


def _files(root: Path) -> list[str]:
    """Every file below a folder, as paths with / relative to it; hidden ones are left out, links followed once."""
    found, seen = [], set()
    for parent, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [(Path(parent) / file).relative_to(root).as_posix() for file in files if not file.startswith(".")]
    return sorted(found)


def _is_audio(file: str) -> bool:
    return os.path.splitext(file)[1][1:].lower() in AUDIO


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1


def _key(stem: str) -> str:
    """`stem` as a tar's key: a dot would end it, and a control character or a backslash mislead. Without loss."""
    return re.sub(r"[.%\\\x00-\x1f\x7f\ud800-\udfff]", lambda m: f"%{ord(m[0]):02X}", stem)


# ---- shards ---------------------------------------------------------------------------------------------------------


class Shards(Source):
    """WebDataset shards: a recording and KEY.json with "text", or KEY.txt. Keys get their shard's name before them."""

    kind = "shards"

    def __init__(self, name: str, settings: PrepareConfig) -> None:
        super().__init__(name)
        self.settings = settings
        root = Path(name)
        paths = root.rglob("*.tar") if root.is_dir() else [Path(p) for p in glob.glob(name, recursive=True)]
        if root.is_file():
            paths = [root]
        self.paths = sorted(p for p in paths if p.is_file() and not p.name.endswith(SUFFIX))  # tokens lie beside
        if not self.paths:
            raise ValueError(f"no shard at {name!r}; give .tar files, a folder of them, or a glob")
        base = root if root.is_dir() else Path(os.path.commonpath([p.parent for p in self.paths]))
        self.names = [_key(p.relative_to(base).with_suffix("").as_posix()) for p in self.paths]
        self.sizes = [p.stat().st_size for p in self.paths]

    def identity(self) -> dict[str, Any]:
        lines = "\n".join(f"{name}\0{size}" for name, size in zip(self.names, self.sizes, strict=True))
        digest = hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()[:16]
        return {"kind": self.kind, "shards": len(self.paths), "digest": digest}

    def items(self, start: int = 0, mark: Any = None) -> Iterator[Item]:
        number, shard = mark or (0, 0)
        total = max(1, sum(self.sizes))
        for at in range(shard, len(self.paths)):
            self._marks.append((number, at))
            for item in self._shard(at, sum(self.sizes[:at]) / total, self.sizes[at] / total):
                if number >= start:
                    yield item
                number += 1

    def _shard(self, at: int, before: float, share: float) -> Iterator[Item]:
        seen: set[str] = set()
        try:
            for inner, files, part in read_shard(self.paths[at]):
                key, done = f"{self.names[at]}/{_key(inner)}", before + share * part
                if key in seen:
                    yield Item(f"{key}-{len(seen)}", fault="the same key twice", done=done)
                    continue
                seen.add(key)
                yield self._item(key, files, done)
        except DamagedShard:
            yield Item(self.names[at], fault="(shards) damaged; used as far as readable", done=before + share)

    def _item(self, key: str, files: Mapping[str, bytes], done: float) -> Item:
        sound = next((files[extension] for extension in AUDIO if extension in files), b"")
        fault = "" if sound else "no audio"
        meta: Any = {}
        if "json" in files:
            try:
                meta = json.loads(files["json"])
            except ValueError:
                meta = None
            if not isinstance(meta, dict):
                return Item(key, fault="unreadable json", done=done)
        elif "txt" in files:
            meta = {"text": files["txt"].decode("utf-8-sig", "replace")}
        else:
            fault = fault or "no text"
        return described(key, sound, meta, self.settings, fault=fault, done=done)


def described(
    key: str, sound: bytes, meta: Mapping[str, Any], settings: PrepareConfig, fault: str = "", **where: Any
) -> Item:
    """An item whose text, speaker, words and language are fields of a JSON object."""
    text = meta.get("text")
    if not isinstance(text, str):
        text, fault = "", fault or "no text"
    speaker = settings.speaker or _name(meta.get("speaker"))
    lang = _name(meta.get("lang") or meta.get("language")) or settings.lang
    ours = ("text", "speaker", "lang", "language", "words", "duration")
    more = {name: value for name, value in meta.items() if name not in ours}
    return Item(key, sound, text, speaker, lang, meta.get("words"), more, fault, **where)


def _name(value: Any) -> str:
    return "" if value is None else str(value)


# ---- Hugging Face ---------------------------------------------------------------------------------------------------

AUDIO_COLUMNS = ("audio", *AUDIO, "speech", "sound")
TEXT_COLUMNS = (
    "text_normalized", "normalized_text", "text", "sentence", "transcript", "transcription", "text_original", "raw_text"
)  # fmt: skip
SPEAKER_COLUMNS = ("speaker", "speaker_id", "speaker_name", "client_id", "spk_id", "spk", "reader_id")
LANGUAGE_COLUMNS = ("lang", "language", "locale")
NAME_COLUMNS = ("__key__", "id", "key", "utt_id", "utterance_id", "file", "path")


class HuggingFace(Source):
    """A dataset of the Hugging Face Hub, streamed. Recordings come encoded, so neither torch nor torchcodec is used."""

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
        except Exception as error:  # any of the library's, the hub's, the network's
            raise ValueError(
                f"no folder {name!r} here, and Hugging Face does not give such a dataset ({_reason(error)})"
            ) from None
        nested = features["json"] if isinstance(features.get("json"), dict) else {}
        columns = {**features, **nested}  # WebDataset repositories, as Emilia's, have text and speaker in their json
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

    def _column(self, what: str, asked: str | None, usual: tuple[str, ...], columns: Mapping[str, Any]) -> str:
        if asked is not None and asked not in columns:
            raise ValueError(f"--{what}-column {asked}: {self.name} has {', '.join(columns)}")
        found = asked or next((c for c in usual if c in columns), "")
        if not found and what != "speaker":
            raise ValueError(f"{self.name}: which column has the {what}? Name it with --{what}-column: "
                             f"{', '.join(columns)}")  # fmt: skip
        return found

    def identity(self) -> dict[str, Any]:
        columns = {"audio": self.audio, "text": self.text, "speaker": self.speaker}
        return {"kind": self.kind, "name": self.name, "columns": columns}

    def items(self, start: int = 0, mark: Any = None) -> Iterator[Item]:
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
                    f"{self.name}: the stream broke at item {number} ({_reason(error)}); the same command goes on from "
                    f"the last finished shard"
                ) from None
            if number >= start:
                yield self._item(number, row)
            number += 1
            if number % MARK_EVERY == 0:
                self._marks.append((number, self.rows.state_dict()))

    def _item(self, number: int, row: Mapping[str, Any]) -> Item:
        nested = row["json"] if self.nested and isinstance(row.get("json"), dict) else {}
        values = {**row, **nested}
        try:
            sound, fault = _encoded(row[self.audio]), ""
        except (OSError, ValueError):
            sound, fault = b"", "no audio"
        path = row[self.audio].get("path") if isinstance(row[self.audio], dict) else None
        name = os.path.splitext(os.path.basename(_name(values.get(self.id) if self.id else path)))[0]
        meta = {"text": values.get(self.text), "speaker": values.get(self.speaker), "lang": values.get(self.lang)}
        meta = {**nested, **meta}
        key = f"{number:09d}-{_key(name)}" if name else f"{number:09d}"
        return described(
            key, sound, meta, self.settings, fault, same=f"{name}\0{_name(meta['text'])}",
            done=(number + 1) / self.count if self.count else None,
        )  # fmt: skip


def _encoded(value: Any) -> bytes:
    """The sound file in a cell: bytes, or bytes or a path (also inside archives on the hub) under those names.

    Raises ValueError or OSError where there is none.
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
