"""Tables of texts for tests of `vivavoce batch`, and what it leaves."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from helpers.batch_engine import load_tones
from vivavoce.batch.run import batch

WORDS = "one two three four five six seven eight nine ten eleven twelve".split()


def texts(count: int) -> list[dict[str, Any]]:
    return [{"text": f"Say {WORDS[n % 12]} {WORDS[n // 12 % 12]}."} for n in range(count)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    with open(path, "w", newline="", encoding="utf-8") as file:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, columns, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder, hidden ones included."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def speak(table: Path | str, out: Path | str, **options: Any) -> dict[str, Any]:
    return batch(table, out, **{"loader": load_tones, "workers": 1, **options})
