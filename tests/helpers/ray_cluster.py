"""A Ray cluster of this machine for tests, and drivers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_agent_register_timeout_ms": "300000",
}
DRIVER = """
import sys
from helpers import batch_engine
from vivavoce.batch.run import batch
from vivavoce.cluster import RayCluster
if __name__ == "__main__":
    batch(sys.argv[1], sys.argv[2], workers=2, ray=RayCluster(), loader=batch_engine.load_slow)
"""


@contextlib.contextmanager
def ray_cluster(cpus: int) -> Iterator[Any]:
    """Start a cluster with room for `cpus` workers. Commands of this process run on it."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    import ray

    from vivavoce.cluster import THREADS

    ray.init(
        address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": dict.fromkeys(THREADS, "1")},
    )  # fmt: skip
    try:
        yield ray
    finally:
        ray.shutdown()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def driver(folder: Path, table: Path, out: Path) -> subprocess.Popen[str]:
    """Start `vivavoce batch` with a stand-in engine on a cluster of its own."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    environment = {**os.environ, **ENVIRONMENT}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, str(script), str(table), str(out)], env=environment, text=True, stderr=subprocess.PIPE
    )


def wait_for_blocks(process: subprocess.Popen[str], out: Path, count: int) -> None:
    """Wait until a run has finished `count` blocks."""
    while len(list((out / ".batch").glob("0*.json"))) < count:
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.01)


def kill_raylet(process: subprocess.Popen[str]) -> None:
    """Kill the process that runs the node."""
    (raylet,) = (each for each in psutil.Process(process.pid).children(recursive=True) if each.name() == "raylet")
    raylet.kill()
