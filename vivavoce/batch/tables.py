"""The tables of a batch: CSV, TSV, JSON Lines, Parquet, WebDataset shards, Hugging Face data sets; one text per row."""

from __future__ import annotations

import csv
import glob
import itertools
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce.batch.places import download, is_url, local_path
from vivavoce.batch.rows import COLUMNS
from vivavoce.data.fetch import expand, reason
from vivavoce.data.samples import Report, raw_samples

EXTENSIONS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
KINDS = f"{', '.join(EXTENSIONS)}, .tar shards or a Hugging Face data set as owner/name"


@dataclass(frozen=True)
class Table:
    """A table whose rows can be read any number of times, also in another process."""

    name: str  # as given, for messages
    kind: str  # an extension, "shards" or "huggingface"
    files: tuple[str, ...] = ()  # local paths; of shards also URLs
    base: str = ""  # the folder or URL to which references are relative
    split: str = "train"  # of a Hugging Face data set
    config: str | None = None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as read: values by column. Columns that are not in COLUMNS are left out.

        Raises ValueError for an unreadable table and one without the column text.
        """
        rows = self._read()
        first = next(rows, None)
        if first is None:
            raise ValueError(f"{self.name}: the table is empty")
        if "text" not in first:
            raise ValueError(f"{self.name}: no column text; it has {', '.join(map(str, first)) or 'none'}")
        for row in itertools.chain([first], rows):
            yield {name: row[name] for name in COLUMNS if row.get(name) not in (None, "")}

    def _read(self) -> Iterator[dict[str, Any]]:
        if self.kind == "huggingface":
            return _huggingface(self.name, self.config, self.split)
        if self.kind == "shards":
            return _shards(self.name, self.files)
        reader = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}.get(self.kind, _jsonl)
        return reader(self.name, Path(self.files[0]))


def open_table(name: str, scratch: Path, split: str = "train", config: str | None = None) -> Table:
    """Open the table `name`: a path, a URL, a glob or folder of shards, or the name of a Hugging Face data set.

    A table at a URL is copied to the folder `scratch`, so that all passes over it read the same. Raises ValueError.
    """
    remote = is_url(name)
    path = Path(name) if remote else local_path(name)
    kind = os.path.splitext(name.rstrip("/"))[1].lower()
    if kind in EXTENSIONS:
        base = name.rpartition("/")[0] if remote else str(path.parent.absolute())
        if not remote and not path.is_file():
            raise ValueError(f"{name}: no such file")
        return Table(name, kind, (str(download(name, scratch) if remote else path.absolute()),), base)
    if kind == ".tar" or (not remote and (path.is_dir() or (glob.has_magic(name) and not path.exists()))):
        files = expand([name])
        base = name.rpartition("/")[0] if remote else str((path if path.is_dir() else path.parent).absolute())
        return Table(name, "shards", tuple(f if "://" in f else os.path.abspath(f) for f in files), base)
    owner = name.removeprefix("hf://datasets/")
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", owner) and not path.exists():
        return Table(owner, "huggingface", (), f"hf://datasets/{owner}", split, config)
    if not remote and kind == "" and not path.exists():
        raise ValueError(f"{name}: no such file; a table is {KINDS}")
    raise ValueError(f"{name}: unknown kind of table; it must be {KINDS}")


def _csv(name: str, path: Path) -> Iterator[dict[str, Any]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, delimiter=delimiter):
                yield {name: value for name, value in row.items() if name is not None}
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise ValueError(f"{name}: {error}") from None


def _jsonl(name: str, path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{name}: line {number} is not JSON ({error})") from None
            if not isinstance(row, dict):
                raise ValueError(f"{name}: line {number} is not a JSON object")
            yield row


def _parquet(name: str, path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise ValueError(f"{name}: Parquet needs the package pyarrow: pip install vivavoce[parquet]") from None
    try:
        table = parquet.ParquetFile(path)
        names = [name for name in table.schema_arrow.names if name in COLUMNS]
        if "text" not in names:
            names = table.schema_arrow.names
        for batch in table.iter_batches(batch_size=1024, columns=names):
            yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise ValueError(f"{name}: unreadable Parquet ({reason(error)})") from None


def _shards(name: str, files: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a row for each sample: the fields of KEY.json, or KEY.txt as the text; its key is the id if it has none."""
    report = Report()
    for sample in raw_samples(files, report):
        row: dict[str, Any] = {"id": sample.key}
        try:
            if "json" in sample.files:
                values = json.loads(sample.files["json"])
                row |= values if isinstance(values, dict) else {}
            elif "txt" in sample.files:
                row["text"] = sample.files["txt"].decode("utf-8-sig", "replace")
        except (ValueError, RecursionError):
            row["text"] = ""  # reported as an error of this row
        yield {"text": "", **row}
    if report.notices:
        raise ValueError(f"{name}: {report.notices[0]}")


def _huggingface(name: str, config: str | None, split: str) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{name}: for a Hugging Face data set, the package {error.name} is missing: pip install vivavoce[prepare]"
        ) from None
    try:
        rows = datasets.load_dataset(name, config, split=split, streaming=True)
        columns = [column for column in rows.column_names or COLUMNS if column in COLUMNS]
        # without the other columns, which may hold gigabytes of audio
        chosen = rows.select_columns(columns) if "text" in columns and rows.column_names else rows
        yield from chosen
    except Exception as error:  # the library's own, the hub's or the network's
        raise ValueError(
            f"{name}: no such file here, and Hugging Face has no such data set "
            f"({type(error).__name__}: {reason(error)})"
        ) from None
