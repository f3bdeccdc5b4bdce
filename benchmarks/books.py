"""Read a folder of books as `vivavoce --file BOOK --dry-run` does, and report errors, words and what is left out.

Each book is read by a process of its own, so that its time and memory are its own. With --plan, its whole text is also
normalised and cut into pieces, by a stand-in for a model that takes 70 ms for a character.

    python benchmarks/books.py FOLDER [--plan] [--limit N] [--json FILE]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import common

SUFFIXES = (".epub", ".txt", ".md", ".html", ".docx", ".odt", ".pdf", ".srt", ".vtt")


class StandIn:
    """The parts of a `System` that planning needs."""

    sample_rate = 24_000
    uses_transcript = False
    prosody = False
    by_letters = False
    sampling = SimpleNamespace(max_seconds=20.0, min_seconds=1.0)

    def __init__(self) -> None:
        from vivavoce.text.languages import WHISPER_LANGUAGES
        from vivavoce.text.tokenizer import CharTokenizer

        self.languages = ("en", *(code for code in WHISPER_LANGUAGES if code != "en"))
        self.tokenizer = CharTokenizer(bundled_vocabulary())

    def embedded(self, voice: Any) -> Any:
        return voice

    def predict_durations(self, pieces: Sequence[Any], voice: Any, speed: float) -> list[float]:
        return [0.07 * len(piece.text) / speed for piece in pieces]


def bundled_vocabulary() -> list[str]:
    from vivavoce.config import ASSETS

    settings = json.loads((ASSETS / "nanospeech" / "config.json").read_text(encoding="utf-8"))
    return list(settings["characters"])


def peak_megabytes() -> float:
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def examine(path: Path, plan: bool) -> dict[str, Any]:
    """Read one book in this process."""
    from vivavoce.books import readers
    from vivavoce.books.book import count_words
    from vivavoce.text import formats

    started = time.perf_counter()
    book = readers.read(path)
    for chapter in book.chapters:
        formats.parse(chapter.text)
    found: dict[str, Any] = {
        "title": book.title,
        "chapters": len(book.chapters),
        "words": count_words(book.text),
        "notices": list(book.notices),
        "seconds": time.perf_counter() - started,
    }
    if plan:
        found |= plan_all(book)
    return found | {"megabytes": peak_megabytes()}


def plan_all(book: Any) -> dict[str, Any]:
    from vivavoce.config import SpeakOptions
    from vivavoce.synthesis.planner import Planner
    from vivavoce.text.formats import parse
    from vivavoce.voices import get

    started = time.perf_counter()
    planner: Any = Planner(StandIn(), get("nash"), SpeakOptions())  # type: ignore[arg-type]
    pieces = 0
    for chapter in book.chapters:
        try:
            pieces += sum(1 for _ in planner.plan(parse(chapter.text)))
        except ValueError as error:
            if "nothing in it that this model can speak" not in str(error):
                raise
        planner.take_changes()
    return {"pieces": pieces, "planning": time.perf_counter() - started}


def examine_apart(path: Path, plan: bool) -> dict[str, Any]:
    """Read one book in a process of its own, and return what it found, or its error."""
    line = [sys.executable, __file__, "--one", *["--plan"] * plan, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"file": path.name, "error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return {"file": path.name, **json.loads(done.stdout)}


def books(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder")
    yield from (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)


def measure(folder: Path, plan: bool, limit: int | None, out: Path | None) -> int:
    results = []
    print("words  chapters  s  MB  file  (and what is left out)")
    for path in list(books(folder))[:limit]:
        found = examine_apart(path, plan)
        results.append(found)
        if "error" in found:
            print(f"ERROR  {path.name}: {found['error']}", flush=True)
            continue
        figures = f"{found['words']}  {found['chapters']}  {found['seconds']:.2f}  {found['megabytes']:.0f}"
        planning = f"  planned in {found['planning']:.2f} s, {found['pieces']} pieces" if plan else ""
        print(
            f"{figures}  {path.name}{planning}", *(f"    {notice}" for notice in found["notices"]), sep="\n", flush=True
        )
    errors = sum("error" in found for found in results)
    print(f"{len(results)} books, {errors} errors")
    common.write_json(out, results)
    return 1 if errors or not results else 0


def main() -> int:
    parser = common.parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder with books; with --one, a book")
    parser.add_argument("--plan", action="store_true", help="also plan the whole text")
    parser.add_argument("--limit", type=int, help="read only the first N books")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--one", action="store_true", help="read one book in this process, and print JSON")
    flags = parser.parse_args()
    if flags.one:
        print(json.dumps(examine(flags.folder, flags.plan)))
        return 0
    return common.exit_status(lambda: measure(flags.folder, flags.plan, flags.limit, flags.json))


if __name__ == "__main__":
    sys.exit(main())
