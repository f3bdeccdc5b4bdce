"""Folders of recordings as an input of `prepare`: with .txt files, or in LJSpeech's or LibriTTS' layout."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vivavoce.data.samples import AUDIO
from vivavoce.prepare.recordings import Recording, RecordingSource, is_audio, key_of
from vivavoce.prepare.settings import PrepareConfig

LIBRITTS_TEXTS = (".normalized.txt", ".original.txt")  # in order of preference
# Folders that are named after their contents, not after a speaker
NOT_SPEAKERS = frozenset("audio audios clips data flac mp3 ogg recordings sounds train wav wavs".split())


class Entry(NamedTuple):
    """A recording in the list of a folder."""

    path: str  # "": missing
    text: str  # or the path of its text file
    text_is_file: bool
    speaker: str
    fault: str = ""


class Folder(RecordingSource):
    """A folder whose recordings are listed before they are read."""

    def __init__(self, kind: str, name: str, entries: Mapping[str, Entry], settings: PrepareConfig) -> None:
        super().__init__(name)
        self.kind, self.settings = kind, settings
        self.keys = sorted(entries)
        self.entries = entries
        if not self.keys:
            raise ValueError(f"{name}: no recordings ({', '.join(AUDIO)}) in it")

    def identity(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for key in self.keys:
            entry = self.entries[key]
            text = _size(entry.text) if entry.text_is_file else entry.text
            digest.update(f"{key}\0{_size(entry.path)}\0{text}\0{self._speaker(entry)}\n".encode("utf-8", "replace"))
        return {"kind": self.kind, "recordings": len(self.keys), "digest": digest.hexdigest()[:16]}

    def speakers(self) -> set[str]:
        return {self._speaker(entry) for entry in self.entries.values() if not entry.fault}

    def recordings(self, start: int = 0, mark: Any = None) -> Iterator[Recording]:
        for number, key in enumerate(self.keys[start:], start + 1):
            entry = self.entries[key]
            text, fault = entry.text, entry.fault
            if entry.text_is_file and not fault:
                try:
                    text = Path(entry.text).read_bytes().decode("utf-8-sig")
                except (OSError, UnicodeDecodeError):
                    text, fault = "", "unreadable text"
            yield Recording(
                key, entry.path, text, self._speaker(entry), self.settings.lang, fault=fault,
                done=number / len(self.keys),
            )  # fmt: skip

    def _speaker(self, entry: Entry) -> str:
        return self.settings.speaker or entry.speaker


def folder(name: str, settings: PrepareConfig) -> Folder:
    """List recordings at any depth, each with a .txt of the same name; the top folder is the speaker."""
    root = Path(name)
    files = list_files(root)
    texts = {os.path.splitext(file)[0]: file for file in files if file.lower().endswith(".txt")}
    found: dict[str, Entry] = {}
    for file in files:
        if not is_audio(file):
            continue
        stem = os.path.splitext(file)[0]
        folders = [part for part in stem.split("/")[:-1] if part.lower() not in NOT_SPEAKERS]
        text = texts.get(stem)
        fault = "" if text else "no text"
        key = key_of(stem)
        if key in found:
            key, fault = key_of(file), "two recordings of one name"
        speaker = folders[0] if folders else root.resolve().name
        found[key] = Entry(str(root / file), str(root / text) if text else "", text is not None, speaker, fault)
    return Folder("folder", name, found, settings)


def libritts(name: str, settings: PrepareConfig) -> Folder:
    """List SPEAKER/CHAPTER/NAME.wav at any depth, with NAME.normalized.txt, or else NAME.original.txt."""
    root = Path(name)
    files = list_files(root)
    known = set(files)
    found = {}
    for file in filter(is_audio, files):
        stem = os.path.splitext(file)[0]
        text = next((stem + ending for ending in LIBRITTS_TEXTS if stem + ending in known), None)
        speaker = (root / file).resolve().parent.parent.name
        found[key_of(stem)] = Entry(
            str(root / file), str(root / text) if text else "", text is not None, speaker, "" if text else "no text"
        )
    return Folder("libritts", name, found, settings)


def ljspeech(name: str, settings: PrepareConfig) -> Folder:
    """List the recordings of metadata.csv: lines `id|as written|as spoken`, or `id|text`, for files in wavs/."""
    root = Path(name)
    table = root / "metadata.csv"
    try:
        lines = table.read_bytes().decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ValueError(f"{name}: no metadata.csv in it, which LJSpeech's layout has") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{table}: byte {error.start} is not UTF-8") from None
    sounds = {os.path.splitext(file)[0]: file for file in list_files(root / "wavs") if is_audio(file)}
    speaker = root.resolve().name
    found = {}
    usable = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        # no quoting: LJSpeech's texts contain unpaired quotation marks
        stem, *columns = line.split("|")
        stem = stem.strip().removeprefix("wavs/")
        if is_audio(stem):
            stem = os.path.splitext(stem)[0]
        path = str(root / "wavs" / sounds[stem]) if stem in sounds else ""
        fault = "" if path else "no recording"
        if not stem or not columns:
            fault = "no text"
        key = key_of(stem or f"line {number}")
        if key in found:
            key, fault = f"{key}-line-{number}", "the same id twice"
        text = next((c for c in reversed(columns[:2]) if c.strip()), "")
        found[key] = Entry(path, text, False, speaker, fault)
        usable = usable or not fault
    if not usable:
        raise ValueError(f"{table}: no line `id|text` with a recording wavs/id.wav (or {', '.join(AUDIO[1:])})")
    return Folder("ljspeech", name, found, settings)


def list_files(root: Path) -> list[str]:
    """Return every file below a folder as a relative path with /. Skip hidden files; follow each link once."""
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


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return -1
