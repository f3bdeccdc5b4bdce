"""WebDataset shards as an input of `prepare`."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vivavoce.data.samples import audio_of, metadata_of
from vivavoce.data.tar import DamagedShard, read_shard
from vivavoce.data.tokens import SUFFIX
from vivavoce.prepare.recordings import Recording, RecordingSource, described, key_of
from vivavoce.prepare.settings import PrepareConfig


class Shards(RecordingSource):
    """Tars with a recording and KEY.json, which has "text", or KEY.txt. Keys are prefixed with their shard's name.

    A damaged shard is used as far as readable, and reported, or raises ValueError if the settings say so.
    """

    kind = "shards"

    def __init__(self, name: str, settings: PrepareConfig) -> None:
        super().__init__(name)
        self.settings = settings
        root = Path(name)
        paths = root.rglob("*.tar") if root.is_dir() else [Path(p) for p in glob.glob(name, recursive=True)]
        if root.is_file():
            paths = [root]
        self.paths = sorted(p for p in paths if p.is_file() and not p.name.endswith(SUFFIX))
        if not self.paths:
            raise ValueError(f"no shard at {name!r}; give .tar files, a folder of them, or a glob")
        base = root if root.is_dir() else Path(os.path.commonpath([p.parent for p in self.paths]))
        self.names = [key_of(p.relative_to(base).with_suffix("").as_posix()) for p in self.paths]
        self.sizes = [p.stat().st_size for p in self.paths]

    def identity(self) -> dict[str, Any]:
        lines = "\n".join(f"{name}\0{size}" for name, size in zip(self.names, self.sizes, strict=True))
        digest = hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()[:16]
        return {"kind": self.kind, "shards": len(self.paths), "digest": digest}

    def recordings(self, start: int = 0, mark: Any = None) -> Iterator[Recording]:
        number, shard = mark or (0, 0)
        for at in range(shard, len(self.paths)):
            self._marks.append((number, at))
            for recording in self._shard(at):
                if number >= start:
                    yield recording
                number += 1

    def _shard(self, at: int) -> Iterator[Recording]:
        total, before, size = max(1, sum(self.sizes)), sum(self.sizes[:at]), self.sizes[at]
        seen: set[str] = set()
        try:
            for inner, files, end in read_shard(self.paths[at]):
                key, done = f"{self.names[at]}/{key_of(inner)}", (before + min(size, end)) / total
                if key in seen:
                    yield Recording(f"{key}-{len(seen)}", fault="the same key twice", done=done)
                    continue
                seen.add(key)
                yield self._recording(key, files, done)
        except DamagedShard as error:
            if self.settings.damaged_shards == "fail":
                raise ValueError(f"{error}; --damaged-shards skip uses it as far as readable") from None
            fault = "(shards) damaged; used as far as readable"
            yield Recording(self.names[at], fault=fault, done=(before + size) / total)

    def _recording(self, key: str, files: Mapping[str, bytes], done: float) -> Recording:
        try:
            return described(key, audio_of(files), metadata_of(files), self.settings, done=done)
        except ValueError as fault:
            return Recording(key, fault=str(fault), done=done)
