"""Measure how much busy neighbours slow down speaking.

    python benchmarks/busy.py --neighbours 0 2 6

starts that many processes that keep computing, and measures a sentence with each backend, number of threads
and way of waiting: threads that wait for each other either sleep, as vivavoce sets them, or spin, as the libraries do
by default. Each row runs in a process of its own. With N neighbours on C cores, a fair share of the machine is
threads / (threads + N) at most; "share" is the speed as a part of that without neighbours.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import exit_status, parser, write_json
from rich import box
from rich.console import Console
from rich.table import Table

from vivavoce.config import available_cores

SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody in the village is surprised to see it."
# Of OpenMP, which PyTorch uses; that of ONNX Runtime is set in `nanospeech_onnx`.
WAITING = {"sleep": {"OMP_WAIT_POLICY": "PASSIVE"}, "spin": {"OMP_WAIT_POLICY": "ACTIVE"}}


@dataclass
class Row:
    backend: str
    threads: int
    waiting: str
    neighbours: int
    speed: float  # seconds of speech per second
    share: float = 1.0  # of the speed without neighbours


def compute() -> None:
    """Keep a core busy."""
    x = 1.0
    while True:
        for _ in range(10_000):
            x = x * 1.0000001 % 10


def speak(backend: str, waiting: str, runs: int) -> None:
    """In a process of its own: print the median speed."""
    from vivavoce.models import nanospeech_onnx

    nanospeech_onnx.SPINNING = "1" if waiting == "spin" else "0"
    import vivavoce

    tts = vivavoce.load(backend=backend, device="cpu")
    tts.speak(SENTENCE, voice="nash", seed=1)
    found = []
    for run in range(runs):
        start = time.perf_counter()
        speech = tts.speak(SENTENCE, voice="nash", seed=run, retries=0)
        found.append(speech.duration / (time.perf_counter() - start))
    print(json.dumps(statistics.median(found)))


def measure(args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    for neighbours in sorted(args.neighbours):
        others = [multiprocessing.Process(target=compute, daemon=True) for _ in range(neighbours)]
        for process in others:
            process.start()
        try:
            for backend in args.backends:
                for threads in args.threads:
                    for waiting, environment in WAITING.items():
                        if waiting == "spin" and threads == 1:  # a single thread never waits
                            continue
                        command = [sys.executable, __file__, "--speak", backend, waiting, "--runs", str(args.runs)]
                        env = {**os.environ, **environment, "OMP_NUM_THREADS": str(threads)}
                        done = subprocess.run(command, capture_output=True, text=True, env=env)
                        if done.returncode:
                            raise ValueError(f"{backend}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
                        row = Row(backend, threads, waiting, neighbours, json.loads(done.stdout.splitlines()[-1]))
                        alone = [r.speed for r in rows if (r.backend, r.threads, r.waiting, r.neighbours)
                                 == (backend, threads, waiting, 0)]  # fmt: skip
                        row.share = row.speed / alone[0] if alone else 1.0
                        rows.append(row)
        finally:
            for process in others:
                process.terminate()
    return rows


def table(rows: Sequence[Row]) -> Table:
    shown = Table(box=box.MARKDOWN)
    for title in ("backend", "threads", "waiting", "neighbours", "× real time", "share"):
        shown.add_column(title, justify="left" if title in ("backend", "waiting") else "right", no_wrap=True)
    for row in rows:
        shown.add_row(row.backend, str(row.threads), row.waiting if row.threads > 1 else "–", str(row.neighbours),
                      f"{row.speed:.1f}", f"{row.share:.2f}")  # fmt: skip
    return shown


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("--neighbours", type=int, nargs="+", default=[0, 2], help="busy processes (default: 0 2)")
    found.add_argument("--threads", type=int, nargs="+", default=sorted({1, min(2, available_cores())}))
    found.add_argument("--backends", nargs="+", default=["onnx", "torch"], choices=["onnx", "torch"])
    found.add_argument("--runs", type=int, default=5, help="sentences in each row (default: 5)")
    found.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    found.add_argument("--speak", nargs=2, help=argparse.SUPPRESS)
    return found.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)

    def run() -> None:
        if args.speak:
            speak(*args.speak, args.runs)
            return
        rows: list[Any] = measure(args)
        Console(width=100).print(table(rows))
        write_json(args.json, [vars(row) for row in rows])

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
