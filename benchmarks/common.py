"""What the scripts in this folder share: argument parsing, exit statuses, JSON output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vivavoce
from vivavoce.audio.files import atomic_write

SENTENCES = Path(__file__).parent / "sentences"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows a script's docstring as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def exit_status(measure: Callable[[], int | None], interrupted: str = "interrupted") -> int:
    """Run a measurement and return the exit status of the script.

    0: done, unless `measure` returns another status. 2: invalid input, in one line on stderr. 130: interrupted, with
    the given message on stderr.
    """
    try:
        return measure() or 0
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except (OSError, ValueError, vivavoce.SynthesisError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def read_lines(name: str | Path, limit: int | None = None) -> list[str]:
    """Return the non-blank lines of a list: the name of one in `sentences/`, or a file."""
    path = SENTENCES / f"{name}.txt" if isinstance(name, str) else name
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:limit]


def write_json(path: Path | None, values: Any) -> None:
    """Write `values` as JSON; nothing if `path` is None. Values that JSON lacks are written as strings."""
    if path is not None:
        atomic_write(path, (json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n").encode())
