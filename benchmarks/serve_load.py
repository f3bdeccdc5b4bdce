"""Load-test `vivavoce serve` with many clients for minutes, on the CPU.

    python benchmarks/serve_load.py --minutes 5

starts a server with the bundled model. Each client requests speech of the sentences in benchmarks/sentences, one after
another without a pause. The script prints answers and errors by kind, the memory of all processes over time, how many
texts have the same length as without a server, and the seconds of speech per second, compared with one process that
speaks the same texts one after another. --kill kills a worker halfway, and --kill-all kills all of them: only the
requests that they were speaking may fail. --requests N ends the load after N answers.

Exit status 0: no errors except 429 (and with --kill, those of killed workers), and all audio complete. 1: otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from common import parser, write_json

ROOT = Path(__file__).resolve().parent.parent
LISTS = ("corpus-60.txt", "harvard-40.txt", "short-20.txt")
RATE, WIDTH = 24_000, 2  # of response_format pcm
VOICE = "nash"
SEED = 1  # fixed, because a reading that fails a check is given more time, and another seed might not fail
LONG_EVERY = 10  # single sentences for each text of several sentences
MOST_KILLED = 16  # requests that a worker speaks at once, and that fail when it is killed


@dataclass
class Found:
    """What the clients observed."""

    answers: Counter[str] = field(default_factory=Counter)  # by status, or by the kind of error
    lengths: dict[str, set[int]] = field(default_factory=dict)  # bytes of each text's audio
    speech: float = 0.0  # seconds
    first: list[float] = field(default_factory=list)  # seconds to the first audio
    memory: list[tuple[float, float]] = field(default_factory=list)  # seconds, MB of all processes
    killed_at: float = 0.0
    killed: int = 0  # workers


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parse = parser(__doc__)
    add = parse.add_argument
    add("--minutes", type=float, default=5.0, help="(5)")
    add("--clients", type=int, default=32, help="(32)")
    add("--workers", type=int, default=2, help="workers of the server (2)")
    add("--queue", type=int, default=64, help="queue of the server (64)")
    add("--requests", type=int, help="end after so many answers (no limit)")
    add("--kill", action="store_true", help="kill a worker halfway")
    add("--kill-all", action="store_true", help="kill all workers halfway")
    add("--direct", type=int, default=30, help="texts to compare with speech without a server (30)")
    add("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    args = parse.parse_args(argv)
    for name in ("minutes", "clients", "workers", "direct"):
        if getattr(args, name) <= 0:
            parse.error(f"--{name} is {getattr(args, name)}; it must be above 0")
    return args


def texts() -> list[str]:
    lines = [
        line.strip()
        for name in LISTS
        for line in (ROOT / "benchmarks" / "sentences" / name).read_text(encoding="utf-8").splitlines()
    ]
    single = [line for line in lines if line]
    long = [" ".join(single[i : i + 4]) for i in range(0, len(single) - 4, LONG_EVERY)]
    return [*single, *long]


# --- the server -------------------------------------------------------------------------------------------------------


def started(args: argparse.Namespace, folder: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "vivavoce", "serve", "--port", "0", "--workers", str(args.workers)]
    command += ["--queue", str(args.queue), "--voices", str(Path(folder) / "voices")]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert server.stderr is not None
    for line in server.stderr:
        if "listening" in line:
            threading.Thread(target=server.stderr.read, daemon=True).start()  # or its log would fill the pipe
            return server, line.split()[2]
        if line.startswith("error"):
            raise RuntimeError(line.strip())
    raise RuntimeError("the server exited before it listened")


def processes(pid: int) -> list[int]:
    """Return a process and its descendants (without Linux's /proc, the process alone)."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def megabytes(pid: int) -> float:
    """Return the private memory of a process and its descendants; shared libraries are not counted."""
    total = 0
    for one in processes(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
    return total / 1_024


def workers_of(pid: int, count: int) -> list[int]:
    """Return the server's workers: the children with the most memory."""
    return sorted(processes(pid)[1:], key=megabytes)[-count:]


# --- the clients ------------------------------------------------------------------------------------------------------


async def client(number: int, url: str, said: list[str], until: float, most: int | None, found: Found) -> None:
    choose = random.Random(number)
    async with httpx2.AsyncClient(base_url=url, timeout=300, trust_env=False) as http:
        while time.monotonic() < until and (most is None or sum(found.answers.values()) < most):
            text = choose.choice(said)
            body = {"model": "bundled", "input": text, "voice": VOICE, "seed": SEED, "response_format": "pcm"}
            asked = time.monotonic()
            size = 0
            try:
                async with http.stream("POST", "/v1/audio/speech", json=body) as answer:
                    async for block in answer.aiter_bytes():
                        if not size and answer.status_code == 200:
                            found.first.append(time.monotonic() - asked)
                        size += len(block)
                    found.answers[str(answer.status_code)] += 1
                    if answer.status_code == 429:
                        await asyncio.sleep(float(answer.headers["retry-after"]))
                    elif answer.status_code == 200:
                        found.lengths.setdefault(text, set()).add(size)
                        found.speech += size / WIDTH / RATE
                    else:
                        await asyncio.sleep(1)
            except httpx2.HTTPError as error:
                found.answers[type(error).__name__] += 1


async def watch(server: int, begun: float, until: float, kill: int, most: int | None, found: Found) -> None:
    """Record the memory at intervals, and kill `kill` workers halfway."""
    step = max(2.0, (until - begun) / 30)
    while (now := time.monotonic()) < until and (most is None or sum(found.answers.values()) < most):
        found.memory.append((now - begun, await asyncio.to_thread(megabytes, server)))
        if kill and not found.killed_at and now > begun + (until - begun) / 2:
            workers = await asyncio.to_thread(workers_of, server, kill)
            found.killed_at, found.killed = now - begun, len(workers)
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        await asyncio.sleep(step)


async def load(url: str, server: int, said: list[str], args: argparse.Namespace) -> tuple[Found, float]:
    found = Found()
    begun = time.monotonic()
    until = begun + 60 * args.minutes
    clients = [client(number, url, said, until, args.requests, found) for number in range(args.clients)]
    kill = args.workers if args.kill_all else int(args.kill)
    await asyncio.gather(watch(server, begun, until, kill, args.requests, found), *clients)
    return found, time.monotonic() - begun


# --- without a server -------------------------------------------------------------------------------------------------

DIRECT = """
import json, sys, time
import vivavoce
said, voice, seed = json.load(sys.stdin)
tts = vivavoce.load()
tts.speak(said[0], voice, seed=seed)
begun, made = time.perf_counter(), {}
for text in said:
    made[text] = len(tts.speak(text, voice, seed=seed))
json.dump([made, time.perf_counter() - begun], sys.stdout)
"""


def direct(said: list[str]) -> tuple[dict[str, int], float]:
    """Return the number of samples of each text, spoken in a separate process, and the seconds for all texts."""
    command = [sys.executable, "-c", DIRECT]
    given = json.dumps([said, VOICE, SEED])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, cwd=ROOT)
    made, seconds = json.loads(done.stdout)
    return made, seconds


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    said = texts()
    with tempfile.TemporaryDirectory() as folder:
        server, url = started(args, folder)
        try:
            found, seconds = asyncio.run(load(url, server.pid, said, args))
        finally:
            server.terminate()
            server.wait(60)
    spoken = sorted(found.lengths)
    sample = random.Random(0).sample(spoken, min(args.direct, len(spoken)))
    made, alone = direct(sample)
    wrong = {text: sorted(found.lengths[text]) for text in made if found.lengths[text] != {WIDTH * made[text]}}
    varying = sum(len(lengths) > 1 for lengths in found.lengths.values())
    return report(args, found, seconds, made, alone, wrong, varying)


def report(
    args: argparse.Namespace,
    found: Found,
    seconds: float,
    made: dict[str, int],
    alone: float,
    wrong: dict[str, list[int]],
    varying: int,
) -> int:
    rate, rate_alone = found.speech / seconds, sum(made.values()) / RATE / alone
    print(f"{args.clients} clients for {seconds:.0f} s, {args.workers} workers")
    print("answers: " + ", ".join(f"{kind}: {count}" for kind, count in sorted(found.answers.items())))
    marks = found.memory[:: max(1, len(found.memory) // 10)]
    print("memory, MB: " + ", ".join(f"{mb:.0f} ({after:.0f} s)" for after, mb in marks))
    print(f"same length as without a server: {len(made) - len(wrong)} of {len(made)} texts; varying: {varying}")
    print(f"first audio: median {statistics.median(found.first):.2f} s")
    print(f"seconds of speech a second: {rate:.2f} from the server, {rate_alone:.2f} one text after another")
    errors = {kind: count for kind, count in found.answers.items() if kind not in ("200", "429")}
    if found.killed:
        print(f"workers killed after {found.killed_at:.0f} s: {found.killed}; errors: {errors or 'none'}")
        errors = {} if sum(errors.values()) <= MOST_KILLED * found.killed else errors
    figures: dict[str, Any] = {"answers": found.answers, "memory": found.memory, "rate": rate, "direct": rate_alone}
    write_json(args.json, {**figures, "wrong": wrong, "first": found.first})
    return 1 if errors or wrong or varying else 0


if __name__ == "__main__":
    sys.exit(main())
