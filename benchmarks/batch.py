"""How well `vivavoce batch` uses its processes.

    python benchmarks/batch.py shares --lines 2000 --workers 2 --ray auto
    python benchmarks/batch.py overhead --lines 20000 --workers 64        # a stand-in engine that needs no time

shares: the rate of N independent processes, each with a model and a share of the lines, and the rate of the command
with N workers; both after their start, which is the first tenth of the lines. Also CPU seconds a line, which other load
on the machine does not change, and the memory of the workers after a tenth and at the end.
With --sleep, the engine needs time but no CPU, so that the shares can be measured while other programs run.
overhead: seconds a line around the engine: in all, and in the processes that schedule (the caller, Ray's services).
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from common import exit_status, parser, read_lines, write_json
from stand_in import load_stand_in

from vivavoce.batch.run import batch
from vivavoce.cluster import THREADS, RayCluster
from vivavoce.synthesis.tts import load

WARM = 0.1  # of the lines: what is done before the clock starts
MB = 1e6


@dataclass
class Watch:
    """Samples the clock, the CPU time and the memory of this process and its descendants while lines are done."""

    marks: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, done: int, total: int) -> None:
        due = (0.0, WARM, 1.0)[min(len(self.marks), 2)]
        if len(self.marks) < 3 and done >= due * total:
            self.marks.append({"done": done, "clock": time.monotonic(), **processes()})

    def result(self) -> dict[str, Any]:
        """Return the figures between the first tenth and the end."""
        _, warm, end = self.marks
        lines, seconds = end["done"] - warm["done"], end["clock"] - warm["clock"]
        grown = [end["workers"][pid] / size for pid, size in warm["workers"].items() if pid in end["workers"]]
        return {
            "lines": lines,
            "lines_a_second": lines / seconds,
            "cpu_seconds_a_line": (end["cpu"] - warm["cpu"]) / lines,
            "scheduling_cpu_seconds_a_line": (end["scheduling"] - warm["scheduling"]) / lines,
            "worker_mb": round(max(end["workers"].values(), default=0) / MB),
            "worker_memory_end_to_warm": round(max(grown, default=1.0), 3),
        }


def processes() -> dict[str, Any]:
    """Return the CPU seconds of this process and its descendants, of those that schedule, and the workers' memory."""
    cpu = scheduling = 0.0
    workers: dict[int, int] = {}
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            with process.oneshot():
                times, command = process.cpu_times(), " ".join(process.cmdline())
                spent = times.user + times.system
                cpu += spent
                if "MapWorker" in command or "spawn_main" in command:
                    workers[process.pid] = process.memory_info().rss
                else:
                    scheduling += spent
        except psutil.Error:
            continue
    return {"cpu": cpu, "scheduling": scheduling, "workers": workers}


def table(folder: Path, lines: int, texts: list[str]) -> Path:
    """Write a table of `lines` texts."""
    sentences = itertools.islice(itertools.cycle(texts), lines)
    path = folder / f"{lines}.jsonl"
    path.write_text("".join(json.dumps({"id": f"{n:06d}", "text": text}) + "\n" for n, text in enumerate(sentences)))
    return path


def command(
    path: Path, out: Path, workers: int, ray: str | None, loader: Any, model: Any = None, options: Any = None
) -> dict[str, Any]:
    """Run the batch, and return its figures."""
    watch, started = Watch(), time.monotonic()
    cluster = RayCluster(ray) if ray else None
    report = batch(path, out, workers=workers, ray=cluster, loader=loader, model=model, options=options, progress=watch)
    assert report["errors"] == 0, f"{report['errors']} lines failed; see {out}"
    return {**watch.result(), "seconds_in_all": time.monotonic() - started, "seconds_of_speech": report["seconds"]}


# ---- independent processes ------------------------------------------------------------------------------------------


def alone(path: str, out: str, number: int, of: int, how: tuple[Any, ...], barrier: Any, results: Any) -> None:
    """Speak every `of`-th line of a table, as a script of a user would."""
    loader, model, options = how
    tts = loader(**model)
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()][number::of]
    warm = max(1, round(WARM * len(rows)))
    for n, row in enumerate(rows):
        if n == warm:
            barrier.wait()
            began, cpu = time.monotonic(), time.process_time()
        tts.speak(row["text"], seed=int(row["id"]), **options).save(Path(out) / f"{row['id']}.wav")
    results.put((len(rows) - warm, began, time.monotonic(), time.process_time() - cpu))


def independent(path: Path, out: Path, workers: int, *how: Any) -> dict[str, Any]:
    """Run `workers` processes that know nothing of each other, and return their figures."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(workers), context.Queue()
    out.mkdir()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    running = [
        context.Process(target=alone, args=(str(path), str(out), n, workers, how, barrier, results))
        for n in range(workers)
    ]
    for process in running:
        process.start()
    found = [results.get() for _ in running]
    for process in running:
        process.join()
    lines = sum(count for count, *_ in found)
    seconds = max(end for _, _, end, _ in found) - min(began for _, began, _, _ in found)
    return {
        "lines": lines,
        "lines_a_second": lines / seconds,
        "cpu_seconds_a_line": sum(cpu for *_, cpu in found) / lines,
    }


# ---- the two measurements -------------------------------------------------------------------------------------------


def shares(arguments: Any) -> dict[str, Any]:
    model = {"model": arguments.model} if arguments.model else {}
    options = {"steps": arguments.steps} if arguments.steps else {}
    loader: Any = load
    if arguments.sleep is not None:
        loader, model = load_stand_in, {"seconds": arguments.sleep}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = table(folder, arguments.lines, read_lines("corpus-60"))
        how = loader, model, options
        base = results["independent"] = independent(path, folder / "independent", arguments.workers, *how)
        print(json.dumps(base), flush=True)
        for which, ray in (("local", None), ("ray", arguments.ray)):
            if which == "local" or ray:
                found = command(path, folder / which, arguments.workers, ray, *how)
                found["share_of_the_rate"] = found["lines_a_second"] / base["lines_a_second"]
                found["share_by_cpu"] = base["cpu_seconds_a_line"] / found["cpu_seconds_a_line"]
                results[which] = found
                print(which, json.dumps(found), flush=True)
    return results


def overhead(arguments: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        path = table(Path(name), arguments.lines, ["All is well.", "Nobody is here.", "Let us go home."])
        found = command(path, Path(name) / "out", arguments.workers, arguments.ray, load_stand_in)
        tts = load_stand_in()
        rows = [json.loads(line) for line in path.read_text().splitlines()][: min(500, arguments.lines)]
        began = time.process_time()
        for n, row in enumerate(rows):
            tts.speak(row["text"], seed=n).save(Path(name) / "plain.wav")
        plain = (time.process_time() - began) / len(rows)
    return {
        **found,
        "plain_cpu_seconds_a_line": plain,
        "overhead_cpu_seconds_a_line": found["cpu_seconds_a_line"] - plain,
    }


def main() -> int:
    options = parser(__doc__)
    options.add_argument("what", choices=["shares", "overhead"])
    options.add_argument("--lines", type=int, default=2000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--ray", help="auto, or the address of a cluster")
    options.add_argument("--model", help="the model that speaks (default: nanospeech)")
    options.add_argument("--steps", type=int, help="flow-matching steps: fewer make the engine fast and the rest weigh")
    options.add_argument("--sleep", type=float, help="shares: an engine that sleeps so many seconds for each piece")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = options.parse_args()

    def measure() -> None:
        found = (shares if arguments.what == "shares" else overhead)(arguments)
        found |= {"workers": arguments.workers, "cores": len(psutil.Process().cpu_affinity() or [])}
        print(json.dumps(found, indent=1))
        write_json(arguments.json, found)

    return exit_status(measure)


if __name__ == "__main__":
    sys.exit(main())
