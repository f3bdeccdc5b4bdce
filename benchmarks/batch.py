"""Measure how well `vivavoce batch` uses its processes, and what a kill costs.

    python benchmarks/batch.py shares --lines 2000 --workers 2 --ray auto
    python benchmarks/batch.py overhead --lines 6400 --workers 64         # a stand-in engine that needs no time
    python benchmarks/batch.py kill --ray auto                            # a stand-in engine, unless --model

shares: the rate of N independent processes, each with a model and a share of the lines, and the rate of the command
with N workers; both after their start, which is the first tenth of the lines. Also CPU seconds a line, which other load
on the machine does not change, and the memory of the workers after a tenth and at the end.
With --sleep, the engine needs time but no CPU, so that the shares can be measured while other programs run.
overhead: seconds a line around the engine: in all, and in the processes that schedule (the caller, Ray's services).
kill: kills a worker, the command itself or Ray's node with SIGKILL when a third of the lines is done, runs the same
command again, and counts the lines that are lost, doubled, or different from those of an undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
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
KILL_AFTER = 1 / 3  # of the blocks
KILL_SLEEP = 0.02  # seconds that the stand-in engine of `kill` sleeps for each piece
MB = 1e6


@dataclass(frozen=True)
class Process:
    """The resources that a process has used."""

    cpu: float  # seconds
    worker: bool  # whether it speaks; the others schedule
    memory: int  # bytes


@dataclass
class Watch:
    """Samples the clock and this process and its descendants while lines are done: at first, warm, and in the end."""

    marks: list[tuple[int, float, dict[int, Process]]] = field(default_factory=list)  # lines done, clock, by id

    def __call__(self, done: int, total: int) -> None:
        due = (0.0, WARM, 1.0)[min(len(self.marks), 2)]
        if len(self.marks) < 3 and done >= due * total:
            self.marks.append((done, time.monotonic(), processes()))

    def result(self) -> dict[str, Any]:
        """Return the figures between the first tenth and the end. Processes that have ended since do not count."""
        _, (warm_lines, warm_clock, warm), (end_lines, end_clock, end) = self.marks
        lines = end_lines - warm_lines
        cpu = {pid: one.cpu - (warm[pid].cpu if pid in warm else 0.0) for pid, one in end.items()}
        workers = {pid: one.memory for pid, one in end.items() if one.worker}
        grown = [memory / warm[pid].memory for pid, memory in workers.items() if pid in warm]
        return {
            "lines": lines,
            "lines_a_second": lines / (end_clock - warm_clock),
            "cpu_seconds_a_line": sum(cpu.values()) / lines,
            "scheduling_cpu_seconds_a_line": sum(cpu[pid] for pid, one in end.items() if not one.worker) / lines,
            "worker_mb": round(max(workers.values(), default=0) / MB),
            "worker_memory_end_to_warm": round(max(grown, default=1.0), 3),
        }


def processes() -> dict[int, Process]:
    """Return what this process and its descendants have used, by their ids."""
    found = {}
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            with process.oneshot():
                times, command = process.cpu_times(), " ".join(process.cmdline())
                worker = "MapWorker" in command or "spawn_main" in command
                found[process.pid] = Process(times.user + times.system, worker, process.memory_info().rss)
        except psutil.Error:
            continue
    return found


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
    """Speak every `of`-th line of a table, as a user's script would."""
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
    """Run `workers` independent processes, and return their figures."""
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


# ---- kills -----------------------------------------------------------------------------------------------------------

VICTIMS = {"local": ("worker", "driver"), "ray": ("worker", "driver", "raylet")}


def engine(arguments: Any) -> tuple[Any, dict[str, Any]]:
    """Return the loader, and its arguments, for a run that will be killed."""
    if arguments.model:
        return load, {"model": arguments.model}
    return load_stand_in, {"seconds": KILL_SLEEP if arguments.sleep is None else arguments.sleep}


def driver(path: Path, out: Path, arguments: Any, ray: str | None) -> subprocess.Popen[str]:
    """Start `batch` in a process of its own, which is this script with the command `speak`."""
    options = ["--workers", str(arguments.workers)]
    for name, value in (("ray", ray), ("model", arguments.model), ("sleep", arguments.sleep)):
        options += [] if value is None else [f"--{name}", str(value)]
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), "speak", str(path), str(out), *options],
        text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def speak(arguments: Any) -> None:
    """Run a batch: what `driver` starts."""
    loader, model = engine(arguments)
    cluster = RayCluster(arguments.ray) if arguments.ray else None
    table, out = arguments.paths
    batch(table, out, workers=arguments.workers, ray=cluster, loader=loader, model=model)


def victim_of(process: subprocess.Popen[str], victim: str) -> psutil.Process | None:
    """Return the process to kill; None if there is none yet."""
    here = psutil.Process(process.pid)
    if victim == "driver":
        return here
    for child in here.children(recursive=True):
        try:
            command = " ".join(child.cmdline())
            if child.name() == "raylet" if victim == "raylet" else "MapWorker" in command or "spawn_main" in command:
                return child
        except psutil.Error:
            continue
    return None


def killed(path: Path, out: Path, arguments: Any, victim: str, ray: str | None) -> dict[str, Any]:
    """Kill a run, repeat it until it is done, and return the outcome."""
    process = driver(path, out, arguments, ray)
    total = len(path.read_text().splitlines())
    target = None
    while target is None:
        finished = sum(len(json.loads(block.read_text())["spoken"]) for block in (out / ".batch").glob("0*.json"))
        if process.poll() is not None:
            raise ValueError(f"the run ended before it was killed: {_last_line(process)}; more --lines make it longer")
        target = victim_of(process, victim) if finished >= KILL_AFTER * total else None
        time.sleep(0.01)
    target.kill()
    _, messages = process.communicate()
    found: dict[str, Any] = {"done_at_the_kill": finished, "exit_status": process.returncode}
    found["message"] = next((line for line in messages.splitlines() if line.startswith("error: ")), "")
    again = 0
    while process.returncode != 0 and again < 3:
        again += 1
        process = driver(path, out, arguments, ray)
        _, messages = process.communicate()
    if process.returncode != 0:
        raise ValueError(f"{victim}: the same command does not end: {messages.strip()[-300:]}")
    return {**found, "runs_afterwards": again}


def _last_line(process: subprocess.Popen[str]) -> str:
    return (process.communicate()[1].strip().splitlines() or [f"status {process.returncode}"])[-1]


def sounds(out: Path) -> list[tuple[str, str]]:
    """Return the ids of a finished batch, each with a hash of its sound and its line of the manifest."""
    found = []
    for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        found.append((values["id"], hashlib.sha256((out / values["path"]).read_bytes() + line.encode()).hexdigest()))
    return found


def kill(arguments: Any) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = table(folder, arguments.lines, read_lines("corpus-60"))
        loader, model = engine(arguments)
        batch(path, folder / "whole", workers=arguments.workers, loader=loader, model=model)
        whole = dict(sounds(folder / "whole"))
        for where, victims in VICTIMS.items():
            for victim in victims if where == "local" or arguments.ray else ():
                out = folder / f"{where}-{victim}"
                found = killed(path, out, arguments, victim, arguments.ray if where == "ray" else None)
                spoken = sounds(out)
                counts = Counter(id for id, _ in spoken)
                files = sum(1 for file in (out / "audio").rglob("*") if file.is_file())
                found |= {
                    "lost": len(whole.keys() - counts.keys()),
                    "doubled": sum(count - 1 for count in counts.values()) + files - len(counts),
                    "different": sum(1 for id, sound in spoken if whole.get(id) != sound),
                }
                results[f"{where} {victim}"] = found
                print(where, victim, json.dumps(found), flush=True)
    return results


def main() -> int:
    options = parser(__doc__)
    options.add_argument("what", choices=["shares", "overhead", "kill", "speak"], metavar="shares|overhead|kill")
    options.add_argument("paths", nargs="*", help=argparse.SUPPRESS)  # of `speak`, which `kill` starts
    options.add_argument("--lines", type=int, help="lines of the table (2000; kill: 300)")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--ray", help="auto, or the address of a cluster")
    options.add_argument("--model", help="the model that speaks (nanospeech; kill: the stand-in engine)")
    options.add_argument("--steps", type=int, help="flow-matching steps: fewer make the engine fast and the rest weigh")
    options.add_argument("--sleep", type=float, help="an engine that sleeps so many seconds for each piece")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = options.parse_args()

    def measure() -> None:
        if arguments.what == "speak":
            return speak(arguments)
        arguments.lines = arguments.lines or (300 if arguments.what == "kill" else 2000)
        found = {"shares": shares, "overhead": overhead, "kill": kill}[arguments.what](arguments)
        found |= {"workers": arguments.workers, "cores": len(psutil.Process().cpu_affinity() or [])}
        print(json.dumps(found, indent=1))
        write_json(arguments.json, found)

    return exit_status(measure)


if __name__ == "__main__":
    sys.exit(main())
