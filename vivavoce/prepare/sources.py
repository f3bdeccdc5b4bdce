"""Opens the input of `prepare`, whatever kind it is of."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from vivavoce.data.samples import AUDIO
from vivavoce.prepare.folders import LIBRITTS_TEXTS, folder, libritts, list_files, ljspeech
from vivavoce.prepare.huggingface import HuggingFace
from vivavoce.prepare.recordings import RecordingSource, is_audio
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.prepare.shards import Shards


def open_source(name: str, settings: PrepareConfig) -> RecordingSource:
    """Open the input `name`, of the kind in the settings or, with "auto", of the kind that it looks like.

    Raises ValueError if it is no input.
    """
    kind = settings.kind if settings.kind != "auto" else _detect(name)
    if kind == "shards":
        return Shards(name, settings)
    if kind == "huggingface":
        return HuggingFace(name, settings)
    if not os.path.isdir(name):
        raise ValueError(f"{name}: no such folder; an input of kind {kind} is a folder")
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
    files = set(list_files(root))
    stems = [os.path.splitext(file)[0] for file in files if is_audio(file)]
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
