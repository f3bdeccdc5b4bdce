"""How the speech of a batch is stored: audio files, WebDataset shards or Parquet; and its manifest.

One block of rows becomes the files of one folder, one shard or one Parquet file, written whole. The same speech gives
the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from vivavoce.batch.places import Place
from vivavoce.data.tar import ShardWriter

OUTPUTS = ("files", "webdataset", "parquet")
MANIFESTS = ("jsonl", "parquet")
FOLDERS = {"files": "audio", "webdataset": "shards", "parquet": "parquet"}  # of the speech, in OUT
ROWS = {"files": 16, "webdataset": 256, "parquet": 256}  # most rows in a block, unless stated
GROUP = 1024  # rows of a row group of Parquet

Line = dict[str, Any]  # of the manifest


@dataclass
class Writer:
    """Stores the speech of one block: `add` each row, then `close`, which returns the lines of the manifest."""

    place: Place
    output: str  # one of OUTPUTS
    block: int
    format: str  # of the audio
    _kept: list[tuple[int, Line, bytes]] = field(default_factory=list)

    def add(self, number: int, line: Line, sound: bytes) -> None:
        """Store the encoded speech of row `number`. The rows may come in any order."""
        name = f"{file_name(line['id'])}.{self.format}"
        folder = FOLDERS[self.output]
        if self.output == "files":
            path = f"{folder}/{self.block:06d}/{name}"
            self.place.write(path, sound)
            self._kept.append((number, {"id": line["id"], "path": path, **line}, b""))
            return
        path = f"{folder}/{self.block:06d}.{'tar' if self.output == 'webdataset' else 'parquet'}"
        self._kept.append((number, {"id": line["id"], "path": path, "member": name, **line}, sound))

    def close(self) -> list[Line]:
        """Complete the file of the block, and return the manifest's lines in the order of the rows."""
        self._kept.sort(key=lambda kept: kept[0])
        lines = [line for _, line, _ in self._kept]
        if self.output != "files" and lines:
            with self.place.file(lines[0]["path"]) as path:
                if self.output == "webdataset":
                    self._write_shard(path)
                else:
                    write_parquet(path, [(line, sound) for _, line, sound in self._kept])
        return lines

    def _write_shard(self, path: Any) -> None:
        writer = ShardWriter(path)
        try:
            for _, line, sound in self._kept:
                metadata = {
                    "text": line["text"], "speaker": line["voice"], "lang": line["lang"], "words": line["words"],
                    "duration": line["seconds"], "id": line["id"], "seed": line["seed"], "model": line["model"],
                }  # fmt: skip
                files = {
                    self.format: sound,
                    "json": json.dumps(metadata, ensure_ascii=False).encode("utf-8", "replace"),
                }
                writer.add(line["member"].removesuffix(f".{self.format}"), files)
            writer.close()
        finally:
            writer.discard()


def file_name(id: str) -> str:
    """Return a file name for an id, without loss as far as it is short."""
    name = quote(id, safe=" ()[]{}!@,;=+~", errors="replace").replace(".", "%2E")
    if len(name) <= 120:
        return name
    return f"{name[:100]}-{hashlib.blake2b(id.encode('utf-8', 'replace'), digest_size=6).hexdigest()}"


# ---- the manifest ---------------------------------------------------------------------------------------------------


def write_manifest(place: Place, kind: str, lines: Iterable[Line]) -> None:
    """Write manifest.jsonl or manifest.parquet."""
    with place.file(f"manifest.{kind}") as path:
        if kind == "parquet":
            write_parquet(path, ((line, None) for line in lines))
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.writelines(map(json_line, lines))


def json_line(values: Line) -> str:
    """Return a line of JSON."""
    return json.dumps(values, ensure_ascii=False) + "\n"


def write_parquet(path: Any, rows: Iterable[tuple[Line, bytes | None]]) -> None:
    """Write lines of the manifest as Parquet, with their audio if they have it."""
    pyarrow, parquet = require_pyarrow()
    rows = iter(rows)
    first = next(rows, None)
    with_audio = first is not None and first[1] is not None
    schema = _schema(pyarrow, with_audio)
    everything: Iterator[tuple[Line, bytes | None]] = itertools.chain([first] if first is not None else [], rows)
    with contextlib.closing(parquet.ParquetWriter(path, schema)) as writer:
        while group := list(itertools.islice(everything, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist([_record(*row) for row in group], schema))


def require_pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet. Raises ValueError if they are missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ValueError("Parquet needs the package pyarrow: pip install vivavoce[parquet]") from None
    return pyarrow, parquet


def _record(line: Line, sound: bytes | None) -> dict[str, Any]:
    words = [{"word": word, "start": start, "end": end} for word, start, end in line["words"]]
    audio = {} if sound is None else {"audio": {"bytes": sound, "path": line["member"]}}
    return {**line, **audio, "words": words}


def _schema(pyarrow: Any, with_audio: bool) -> Any:
    """Return the columns. The column audio has the form that Hugging Face's datasets read."""
    text, number, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int64()
    word = pyarrow.struct([("word", text), ("start", number), ("end", number)])
    check = pyarrow.struct([("tries", whole), ("faults", pyarrow.list_(text)), ("transcript", text)])
    fields = [
        ("id", text), ("path", text), ("member", text), ("text", text), ("voice", text), ("lang", text),
        ("model", text), ("seed", whole), ("seconds", number), ("words", pyarrow.list_(word)), ("retries", whole),
        ("checks", pyarrow.list_(check)), ("warnings", pyarrow.list_(text)),
    ]  # fmt: skip
    if with_audio:
        fields.insert(1, ("audio", pyarrow.struct([("bytes", pyarrow.binary()), ("path", text)])))
    return pyarrow.schema(fields)
