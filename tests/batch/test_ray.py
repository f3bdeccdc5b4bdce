"""`vivavoce batch --ray`: the bytes of the local run, whatever dies in between."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.batch_engine import load_deadly, load_poisoned
from helpers.batch_tables import contents, lines, speak, texts, write
from helpers.ray_cluster import driver, kill_raylet, ray_cluster, wait_for_blocks

from vivavoce import cluster as clusters
from vivavoce.cluster import RayCluster, parse_resources

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
slow = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("processes"), needs_ray]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(4) as started:
        yield started


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    table = write(tmp_path / "in.csv", texts(2))
    with pytest.raises(ValueError, match=r"ray 127\.0\.0\.1:1: no connection") as error:
        speak(table, tmp_path / "out", ray=RayCluster("127.0.0.1:1"))
    assert "\n" not in str(error.value)


def test_a_node_that_is_slow_to_start_is_started_again() -> None:
    calls = []

    class Ray:
        def init(self, **options: Any) -> None:
            calls.append("init")
            if calls.count("init") < 3:
                raise RuntimeError("The current node timed out during startup. This could happen because …")

        def shutdown(self) -> None:
            calls.append("shutdown")

    clusters._connect_or_start(Ray(), RayCluster(workers=1), {})
    assert calls == ["init", "shutdown", "init", "shutdown", "init"]


class TestOnOneCluster:
    """What needs a cluster, but not one of its own."""

    pytestmark = slow

    def test_the_number_of_workers_and_the_cluster_change_no_byte(self, cluster: Any, tmp_path: Path) -> None:
        rows = [{"id": str(n), **row} for n, row in enumerate(texts(21))]
        rows[7]["voice"], rows[16]["text"] = "nobody", " "
        table = write(tmp_path / "in.csv", rows)
        speak(table, tmp_path / "local", workers=2)
        for workers in (1, 2, 4):
            speak(table, tmp_path / f"ray-{workers}", workers=workers, ray=RayCluster())
            assert contents(tmp_path / f"ray-{workers}") == contents(tmp_path / "local")
        assert [error["row"] for error in lines(tmp_path / "local/errors.jsonl")] == [8, 17]

    def test_a_killed_worker_loses_and_doubles_nothing(self, cluster: Any, tmp_path: Path) -> None:
        table = write(tmp_path / "in.csv", [*texts(6), {"text": "And die."}, *texts(6)])
        alive = tmp_path / "alive"
        model = {"alive": str(alive)}
        speak(table, tmp_path / "out", loader=load_deadly, workers=2, ray=RayCluster(), model=model)
        assert alive.exists()  # a worker died, and the run went on with another
        speak(table, tmp_path / "whole", model=model)
        assert contents(tmp_path / "out") == contents(tmp_path / "whole")

    def test_a_text_that_kills_every_worker_ends_the_run(self, cluster: Any, tmp_path: Path) -> None:
        table = write(tmp_path / "in.csv", [*texts(3), {"text": "And die."}])
        with pytest.raises(OSError, match="killed at the same job each time"):
            speak(table, tmp_path / "out", loader=load_poisoned, workers=1, ray=RayCluster())
        assert not (tmp_path / "out/manifest.jsonl").exists()

    def test_room_for_no_worker_is_one_line(self, cluster: Any, tmp_path: Path) -> None:
        table = write(tmp_path / "in.csv", texts(2))
        with pytest.raises(ValueError, match=r"resources is CPU=1, GPU=99; the cluster has only CPU=4, GPU="):
            speak(table, tmp_path / "out", ray=RayCluster(resources={"CPU": 1, "GPU": 99}))


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("victim", ["driver", "raylet"])
def test_a_killed_cluster_loses_and_doubles_nothing(tmp_path: Path, victim: str) -> None:
    table = write(tmp_path / "in.csv", texts(100))
    process = driver(tmp_path, table, tmp_path / "out")
    wait_for_blocks(process, tmp_path / "out", 5)
    if victim == "driver":
        process.send_signal(signal.SIGKILL)
    else:
        kill_raylet(process)
    process.communicate(timeout=300)
    assert process.returncode != 0
    done = len(list((tmp_path / "out/.batch").glob("0*.json")))
    assert 5 <= done < 50
    again = driver(tmp_path, table, tmp_path / "out")
    _, messages = again.communicate(timeout=600)
    assert again.returncode == 0, messages[-3000:]
    speak(table, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len({line["id"] for line in lines(tmp_path / "out/manifest.jsonl")}) == 100


@pytest.mark.parametrize("text", ["CPU", "CPU=x", "=1", "GPU=-1", "CPU=1,,GPU=1"])
def test_bad_resources_are_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="it must be like CPU=1,GPU=0.5"):
        parse_resources(text)
    assert parse_resources("GPU=0.5, tpu=2") == {"CPU": 1.0, "GPU": 0.5, "tpu": 2.0}
