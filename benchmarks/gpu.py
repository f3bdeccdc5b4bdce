"""Measure the nanospeech engine on a GPU: precision, batches, torch.compile, CUDA graphs.

    python benchmarks/gpu.py

prints, for one pass of the transformer over texts of `--seconds`, milliseconds per pass, and the speed that they allow
with the model's default number of passes; then the speed of whole synthesis in batches, vocoder included.
`--device cpu` shows that the script works; it has no CUDA graphs.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from common import exit_status, parser, read_lines, write_json
from rich import box
from rich.console import Console
from rich.table import Table

import vivavoce
from vivavoce.models import solvers

WAYS = ("eager", "compile", "graph")


@dataclasses.dataclass
class Row:
    what: str  # pass or synthesis
    dtype: str
    batch: int
    way: str
    milliseconds: float
    speed: float  # times real time


def median_seconds(work: Callable[[], Any], device: str, runs: int) -> float:
    """Return the median time of a call, after three that are not counted."""
    found = []
    for run in range(runs + 3):
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        if run >= 3:
            found.append(time.perf_counter() - start)
    return statistics.median(found)


def graphed(work: Callable[[], Any]) -> Callable[[], Any]:
    """Capture a call on fixed tensors in a CUDA graph and return its replay."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def one_pass(system: Any, batch: int, frames: int, way: str) -> Callable[[], Any]:
    """Return a call of the transformer on random states and encoded text of a fixed size."""
    config, where = system.model.config, system.where
    tokens = -(-frames // config.patch)
    state = torch.randn(batch, frames, config.mel.n_mels, device=where.device, dtype=where.dtype)
    encoded = torch.randn(batch, tokens, config.text_dim, device=where.device, dtype=where.dtype)
    moment = torch.full((batch,), 0.5, device=where.device, dtype=where.dtype)
    speaker = torch.randn(batch, config.speaker_dim, device=where.device, dtype=where.dtype)
    lengths = torch.full((batch,), frames, device=where.device)
    end = {"end": moment + 0.1} if config.mean_velocity else {}
    network = system.model.transformer
    if way == "compile":
        network = torch.compile(network)

    def work() -> Any:
        return network(state, moment, None, lengths, speaker=speaker, encoded=encoded, **end)

    return graphed(work) if way == "graph" else work


def measure(args: argparse.Namespace) -> list[Row]:
    rows = []
    ways = [way for way in args.ways if way != "graph" or args.device != "cpu"]
    lines = read_lines("harvard-40")
    for dtype in args.dtypes:
        tts = vivavoce.load(args.model, backend="torch", device=args.device, dtype=dtype)
        system: Any = tts.system
        sampling = system.sampling
        passes = sampling.steps * solvers.PASSES[sampling.method] * (2 if sampling.cfg > 0 else 1)
        frames = round(args.seconds * system.frame_rate)
        with torch.inference_mode():
            for batch in args.batches:
                for way in ways:
                    seconds = median_seconds(one_pass(system, batch, frames, way), args.device, args.runs)
                    speed = batch * args.seconds / (passes * seconds)
                    rows.append(Row("pass", dtype, batch, way, 1000 * seconds, speed))
        for batch in args.batches:
            jobs = [tts.begin(lines[i % len(lines)], "nash", seed=i, retries=0).next_request() for i in range(batch)]

            def synthesize(jobs: list[Any] = jobs, system: Any = system) -> list[Any]:
                return list(system.synthesize(jobs))

            spoken = sum(len(result.samples) for result in synthesize()) / system.sample_rate
            seconds = median_seconds(synthesize, args.device, args.runs)
            rows.append(Row("synthesis", dtype, batch, "eager", 1000 * seconds, spoken / seconds))
    return rows


def table(rows: Sequence[Row]) -> Table:
    shown = Table(box=box.MARKDOWN)
    for title in ("what", "dtype", "batch", "way", "ms", "× real time"):
        shown.add_column(title, justify="right" if title in ("batch", "ms", "× real time") else "left", no_wrap=True)
    for row in rows:
        shown.add_row(row.what, row.dtype, str(row.batch), row.way, f"{row.milliseconds:.2f}", f"{row.speed:.0f}")
    return shown


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    found = parser(__doc__)
    found.add_argument("model", nargs="?", default="nanospeech", help="a model (default: nanospeech)")
    found.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    found.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    found.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    found.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="how a pass is run (default: all)")
    found.add_argument("--seconds", type=float, default=6.0, help="of speech in one text of a pass (default: 6)")
    found.add_argument("--runs", type=int, default=20, help="timed runs of each row (default: 20)")
    found.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    return found.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)

    def run() -> None:
        rows = measure(args)
        Console(width=100).print(table(rows))
        write_json(args.json, [vars(row) for row in rows])

    return exit_status(run)


if __name__ == "__main__":
    sys.exit(main())
