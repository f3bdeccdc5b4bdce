"""`vivavoce prepare --ray`: the shards of the local run."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.batch_tables import contents
from helpers.ray_cluster import ray_cluster
from helpers.recordings import described, recordings, stop_after, tar, wave

from vivavoce.cluster import RayCluster
from vivavoce.prepare.run import prepare
from vivavoce.prepare.settings import PrepareConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(2) as started:
        yield started


def test_a_folder_gives_the_same_shards(cluster: Any, tmp_path: Path) -> None:
    recordings(tmp_path / "in", 30)
    (tmp_path / "in/s0/r000.txt").write_text("")
    (tmp_path / "in/s1/r001.wav").write_bytes(b"RIFF no wave")
    settings = PrepareConfig(shard_utterances=8, valid_share=0.2)
    prepare(str(tmp_path / "in"), tmp_path / "local", settings, workers=1)
    prepare(str(tmp_path / "in"), tmp_path / "ray", settings, ray=RayCluster(), workers=2)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_a_stopped_run_on_shards_resumes_to_the_same_shards(cluster: Any, tmp_path: Path) -> None:
    for shard in range(3):
        samples = {f"u{n}": described(sound=wave(1, pitch=150 + n), speaker=f"s{n}") for n in range(12)}
        tar(tmp_path / f"in/{shard}.tar", samples)
    settings = PrepareConfig(shard_utterances=8, valid_share=0.1)
    prepare(str(tmp_path / "in"), tmp_path / "local", settings, workers=1)
    with pytest.raises(KeyboardInterrupt):
        prepare(str(tmp_path / "in"), tmp_path / "ray", settings, ray=RayCluster(), progress=stop_after(20))
    assert list((tmp_path / "ray").glob("train-*.tar")) and not (tmp_path / "ray/report.json").exists()
    prepare(str(tmp_path / "in"), tmp_path / "ray", settings, ray=RayCluster())
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
