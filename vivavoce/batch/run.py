"""`vivavoce batch IN OUT`: speak every row of a table, in the processes of one machine or on a Ray cluster.

OUT gets the speech, a manifest, errors.jsonl and batch.json. The rows are spoken in blocks; a finished block is a file
in OUT/.batch, written whole after its speech, so a run that was killed at any moment resumes with its unfinished
blocks. The seed of a row depends on its id alone and every process has one thread, so the samples depend neither on the
number of processes and machines nor on interruptions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from vivavoce.audio.io import FORMATS
from vivavoce.batch.outputs import (
    FOLDERS,
    MANIFESTS,
    OUTPUTS,
    ROWS,
    Line,
    json_line,
    require_pyarrow,
    write_manifest,
)
from vivavoce.batch.places import Place
from vivavoce.batch.rows import row_id
from vivavoce.batch.tables import Table, open_table
from vivavoce.batch.worker import WORK, Block, Loader, Outcome, Settings, block_file, speak_block, stamp, start
from vivavoce.cluster import RayCluster, map_jobs
from vivavoce.config import SpeakOptions, available_cores
from vivavoce.locks import LOCK, lock_folder
from vivavoce.synthesis.tts import load
from vivavoce.workers import in_order

FEW_BLOCKS = 64  # a smaller table is cut into this many blocks, so that every process gets some

Progress = Callable[[int, int], None]  # rows done, rows in all


def batch(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    voice: str | None = None,
    lang: str = "en",
    seed: int = 0,
    format: str = "wav",
    output: str = "files",
    manifest: str = "jsonl",
    shard_rows: int | None = None,
    batch_size: int = 1,
    retries: int = 2,
    verify: str | None = None,
    split: str = "train",
    config: str | None = None,
    options: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    workers: int | None = None,
    ray: RayCluster | None = None,
    progress: Progress | None = None,
    loader: Loader = load,
) -> dict[str, Any]:
    """Speak every row of a table of texts, and write the speech and a manifest to `out`.

    table: a .csv, .tsv, .jsonl or .parquet file, .tar shards with KEY.json or KEY.txt (a file, a folder or a glob), or
    the name of a Hugging Face data set (`split`, `config`), with the column text and optionally id, voice, lang, speed,
    seed and reference (a recording whose voice is cloned). out: a folder. Both may be URLs that fsspec reaches.
    voice, lang, seed, options: for rows that state none; `options` are the other fields of `SpeakOptions`. model: the
    arguments of `load`. format, retries, verify: as for `Speech.save` and `TTS.speak`.
    output: files, webdataset (shards for `vivavoce train`) or parquet (audio inside). manifest: jsonl or parquet.
    shard_rows: rows in a block, which is a folder, a shard or a Parquet file (None: at most 16, 256 and 256).
    batch_size: pieces of different rows in one pass of the network. Above 1, the last bits of the samples depend on it
    and on shard_rows.
    workers: processes (None: one for each CPU). ray: the cluster to run on instead; every worker must be able to write
    to `out`. progress is called with the rows done and their total.

    Returns the contents of batch.json: the numbers of rows, spoken rows and errors, and the seconds of speech. Rows
    that cannot be spoken go to errors.jsonl. The same call resumes an interrupted run, and does nothing after a
    finished one. The calling script must be importable (`if __name__ == "__main__":`).
    Raises ValueError for an unusable table, unknown options, an `out` that holds something else, a batch that another
    process works on, and an unreachable cluster; OSError if a disk, a store, a worker or the cluster fails.
    """
    for name, value, least in (("workers", workers, 1), ("shard_rows", shard_rows, 1), ("batch_size", batch_size, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} is {value}; it must be {least} or more")
    for name, choice, choices in (
        ("format", format, FORMATS), ("output", output, OUTPUTS), ("manifest", manifest, MANIFESTS)
    ):  # fmt: skip
        if choice not in choices:
            raise ValueError(f"{name} is {choice!r}; it must be one of {', '.join(choices)}")
    if "parquet" in (output, manifest):
        require_pyarrow()
    options = options or {}
    SpeakOptions.from_dict({**options, "seed": seed}, "batch")
    place = Place(os.fspath(out))
    if place.folder is not None and place.folder.exists() and not place.folder.is_dir():
        raise ValueError(f"{out}: a file; give a folder")
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = open_table(os.fspath(table), scratch, split, config)
        settings = Settings(
            str(place.folder.absolute()) if place.folder is not None else place.name, source.base, output, format,
            seed, voice, lang, retries, verify, batch_size, options, model or {},
        )  # fmt: skip
        rows = _scan(source)
        if place.folder is not None:
            stack.enter_context(lock_folder(place.folder))
        size = shard_rows or min(ROWS[output], -(-rows.count // FEW_BLOCKS))
        run = _Run(source, place, settings, rows, size, manifest)
        return run.finished or run.run(workers, ray, progress or (lambda done, total: None), loader)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """What a first pass over the table finds."""

    count: int
    digest: str
    duplicates: frozenset[int]  # numbers of rows with the id of an earlier row


def _scan(table: Table) -> _Rows:
    digest, seen, duplicates, count = hashlib.sha256(), set(), set(), 0
    for count, values in enumerate(table.rows(), 1):
        digest.update(json.dumps(values, sort_keys=True, default=str).encode())
        id = hash(row_id(count, values))  # a fraction of the memory of the ids
        if id in seen:
            duplicates.add(count)
        seen.add(id)
    return _Rows(count, digest.hexdigest()[:16], frozenset(duplicates))


def _blocks(table: Table, size: int, missing: frozenset[int], duplicates: frozenset[int]) -> Iterator[Block]:
    """Yield the blocks `missing` of a table."""
    rows = table.rows()
    for number in itertools.count():
        values = list(itertools.islice(rows, size))
        if not values:
            return
        if number in missing:
            first = number * size + 1
            numbers = range(first, first + len(values))
            yield Block(number, first, values, tuple(n for n in numbers if n in duplicates))


class _Run:
    """One batch in one place. `finished` is the contents of batch.json if the batch was completed earlier."""

    def __init__(
        self, table: Table, place: Place, settings: Settings, rows: _Rows, block_size: int, manifest: str
    ) -> None:
        self.table, self.place, self.settings, self.rows = table, place, settings, rows
        self.block_size, self.manifest = block_size, manifest
        values = {"rows": rows.count, "digest": rows.digest, **stamp(settings)}
        values |= {"shard_rows": block_size, "manifest": manifest}
        self.stamp = json.loads(json.dumps(values))
        self.finished = self._stored("batch.json")
        started = self._stored(f"{WORK}/batch.json")
        if self.finished is not None:
            place.remove(WORK)  # the finished run may have been killed before it could
        elif started is None:
            if any(name not in (WORK, LOCK) for name in place.names()):
                raise ValueError(f"{place.name}: not empty, and not a batch; give an empty or a new folder")
            place.write(f"{WORK}/batch.json", _json({"settings": self.stamp}))

    def _stored(self, name: str) -> dict[str, Any] | None:
        """Return what an earlier run left in the file `name`. Raises ValueError if it was another batch."""
        try:
            stored = json.loads(self.place.read(name))
            before = stored["settings"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(f"{self.place.path(name)}: unreadable; give another folder") from None
        changed = [name for name, value in self.stamp.items() if before.get(name) != value]
        if changed:
            what = "the table" if "digest" in changed else changed[0]
            raise ValueError(f"{self.place.name} holds another batch ({what} has changed); give another folder")
        return stored  # type: ignore[no-any-return]

    def run(self, workers: int | None, ray: RayCluster | None, progress: Progress, loader: Loader) -> dict[str, Any]:
        """Speak what is left, then write the manifest."""
        total = -(-self.rows.count // self.block_size)
        present = set(self.place.names(WORK))
        missing = frozenset(n for n in range(total) if block_file(n).rpartition("/")[2] not in present)
        self._remove_leftovers(missing)
        done = self.rows.count - sum(self._size(number) for number in missing)
        progress(done, self.rows.count)
        if missing:
            with contextlib.closing(self._outcomes(missing, workers, ray, loader)) as outcomes:
                for outcome in outcomes:
                    done += self._size(outcome.block)
                    progress(done, self.rows.count)
        return self._finish(total)

    def _outcomes(
        self, missing: frozenset[int], workers: int | None, ray: RayCluster | None, loader: Loader
    ) -> Generator[Outcome, None, None]:
        jobs = functools.partial(_blocks, self.table, self.block_size, missing, self.rows.duplicates)
        arguments = self.settings, loader
        if ray is not None:
            cluster = ray if workers is None else dataclasses.replace(ray, workers=workers)
            return map_jobs(jobs, speak_block, start, arguments, cluster, ordered=False)
        # Never in this process, whose numerical libraries may have several threads already
        count = min(workers or available_cores(), len(missing))
        return in_order(speak_block, jobs(), count, start, arguments, inline=False)

    def _size(self, block: int) -> int:
        return min(self.block_size, self.rows.count - block * self.block_size)

    def _remove_leftovers(self, missing: frozenset[int]) -> None:
        """Delete what a killed process left: unfinished files, and speech of unfinished blocks."""
        folder = FOLDERS[self.settings.output]
        for name in ("", WORK, folder):
            self.place.remove_parts(name)
        for name in self.place.names(folder):
            if (number := name.partition(".")[0]).isdecimal() and int(number) in missing:
                self.place.remove(f"{folder}/{name}")

    def _finish(self, total: int) -> dict[str, Any]:
        """Join the blocks into the manifest and errors.jsonl, write batch.json and delete the work folder."""
        counts, seconds = {"rows": self.rows.count, "spoken": 0, "errors": 0}, 0.0

        def lines() -> Iterator[Line]:
            nonlocal seconds
            with self.place.file("errors.jsonl") as path, open(path, "w", encoding="utf-8") as errors:
                for content in self.place.read_all(map(block_file, range(total))):
                    block = json.loads(content)
                    errors.writelines(map(json_line, block["errors"]))
                    counts["spoken"] += len(block["spoken"])
                    counts["errors"] += len(block["errors"])
                    seconds += sum(line["seconds"] for line in block["spoken"])
                    yield from block["spoken"]

        spoken: Iterable[Line] = lines()
        write_manifest(self.place, self.manifest, spoken)
        report = {**counts, "seconds": round(seconds, 2), "settings": self.stamp}
        self.place.write("batch.json", _json(report))
        self.place.remove(WORK)
        return report


def _json(values: Any) -> bytes:
    return (json.dumps(values, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")
