"""Read uploaded books and subtitles as chapters, in a separate process (`book_process`), like recordings."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path, PurePath
from typing import Any

from vivavoce.serve import sandbox

SECONDS = 60.0  # lifetime of the process
MEMORY = 2 << 30  # bytes of address space
_NAME = "book"  # of the file, with its extension


async def read_book(data: bytes, filename: str, max_chars: int) -> dict[str, Any]:
    """Return title, chapters and notices of a file; no part of a chapter has more than `max_chars` characters.

    filename: as the client gives it; its extension names the format. Raises ValueError, naming the file.
    """
    shown = PurePath(filename.replace("\\", "/")).name[:100] or "the file"
    suffix = PurePath(shown).suffix.lower()
    with tempfile.TemporaryDirectory(prefix="vivavoce-") as folder:
        path = Path(folder) / (_NAME + (suffix if suffix[1:].isalnum() and len(suffix) < 10 else ""))
        path.write_bytes(data)
        asked = json.dumps({"path": str(path), "max_chars": max_chars}).encode()
        try:
            out = await sandbox.run("vivavoce.serve.book_process", asked, MEMORY, SECONDS)
        except TimeoutError:
            raise ValueError(f"reading {shown} took longer than {SECONDS:g} s") from None
    if out is None:
        raise ValueError(f"{shown} cannot be read within the memory and time limits")
    found: dict[str, Any] = json.loads(out)
    if "error" in found:
        raise ValueError(found["error"].replace(str(path), shown))
    if found["title"] == _NAME:
        found["title"] = PurePath(shown).stem
    return found
