"""Two nodes train as one: with networks and disks of their own, by the script of examples/slurm."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, same, steps, write

ROOT = Path(__file__).resolve().parents[2]
HEAD = "10.213.7.1"


@dataclass(frozen=True)
class Node:
    """A network namespace, or the machine itself where namespaces are not permitted."""

    number: int
    prefix: tuple[str, ...]
    head: str
    interface: str


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    names = [f"vivavoce-{os.getpid()}-{number}" for number in range(2)]
    ends = [f"vv{os.getpid() % 100_000}{letter}" for letter in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True)):
            ip("-n", name, "addr", "add", f"10.213.7.{number + 1}/24", "dev", end)
            for interface in ("lo", end):
                ip("-n", name, "link", "set", interface, "up")
        yield [Node(n, ("ip", "netns", "exec", names[n]), HEAD, ends[n]) for n in range(2)]
    except (OSError, subprocess.CalledProcessError):
        yield [Node(n, (), "127.0.0.1", "lo") for n in range(2)]
    finally:
        for name in names if shutil.which("ip") else ():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def launch(nodes: list[Node], outs: list[Path], arguments: list[str]) -> None:
    """Run examples/slurm/node.sh on each node, as srun would, and wait."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = []
    for node, out in zip(nodes, outs, strict=True):
        environment = {
            **os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "SLURM_NNODES": "2", "HEAD": node.head,
            "SLURM_NODEID": str(node.number), "GLOO_SOCKET_IFNAME": node.interface, "PORT": str(port),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [*node.prefix, "bash", str(ROOT / "examples/slurm/node.sh"), *arguments, "--out", str(out)]
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in running:
        _, messages = process.communicate(timeout=800)
        assert process.returncode == 0, messages[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_two_nodes_resume_from_a_url_on_empty_disks(nodes: list[Node], tmp_path: Path) -> None:
    shards = write_corpus(tmp_path / "corpus", 18, 6, words=True)
    config = write(tmp_path / "r.json", recipe("duration", frames_per_batch=130))
    arguments = ["duration", "--config", str(config), "--data", *shards]
    outs = [[tmp_path / f"{name}-{number}" for number in range(2)] for name in ("whole", "first", "second")]
    launch(nodes, outs[0], arguments)
    url = (tmp_path / "store").as_uri()
    launch(nodes, outs[1], [*arguments, "--checkpoints", url, "--max-minutes", "1e-9"])
    assert steps(outs[1][0]) == steps(tmp_path / "store") == [1] and not steps(outs[1][1])
    launch(nodes, outs[2], [*arguments, "--checkpoints", url])  # on other machines
    assert steps(outs[2][1]) == [1]  # the second node fetched what the first had saved
    whole, resumed = newest(outs[0][0]), newest(outs[2][0])
    assert whole["step"] == resumed["step"] == 4 and resumed["processes"] == 2
    same(whole, resumed, tolerance=1e-6)
