"""`vivavoce evaluate --ray`: the scores of the local run."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import vivavoce
from helpers.evaluation import shard
from helpers.evaluation_engine import load_fakes, load_tones
from helpers.ray_cluster import ray_cluster
from helpers.scoring import words

from vivavoce.cluster import RayCluster
from vivavoce.evaluate import run as evaluation

pytestmark = words


Run = Callable[..., evaluation.Report]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that evaluates a model on three sentences, and a shard of recordings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation, "load", load_tones)
    monkeypatch.setattr(evaluation, "load_judge", load_fakes)
    (tmp_path / "list.txt").write_text("One cat.\nNow silence.\nTwo cats sat.\n")
    shard("real.tar", [("a", {"text": "one cat", "speaker": "nash"}, 1.0), ("b", {"text": "a cat"}, 2.0)])

    def measure(
        ray: RayCluster | None = None, reports: list[evaluation.Report] | None = None, **changes: Any
    ) -> evaluation.Report:
        request = evaluation.Request(
            ("nanospeech", "real.tar"), sentences=(Path("list.txt"),), voices=("nash", "luna"), threads=1
        )
        report = evaluation.Report(dataclasses.replace(request, **changes))
        if reports is not None:
            reports.append(report)
        evaluation.evaluate(report.request, report, ray)
        return report

    return measure


def tables(report: evaluation.Report) -> list[dict[str, Any]]:
    assert report.complete
    return [table.to_dict() for table in report.tables]


def in_this_process(jobs: Any, function: Any, start: Any, arguments: Any, cluster: Any, *, ordered: bool) -> Any:
    """What `map_jobs` does, without a cluster, in another order."""
    start(*arguments)
    yield from map(function, reversed(list(jobs())))


def test_the_workers_scores_make_the_tables_of_a_local_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "map_jobs", in_this_process)
    found = tables(run(RayCluster()))
    assert found == tables(run()) and [len(table["scores"]) for table in found] == [6, 2]
    failed = [clip for clip in found[0]["scores"] if clip["failure"]]
    assert len(failed) == 2 and all(clip["wer"] == 1 for clip in failed)


def test_what_is_kept_is_neither_spoken_nor_scored_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "map_jobs", in_this_process)
    keep = Path("kept")
    first = tables(run(RayCluster(), keep=keep))
    assert len(list(keep.rglob("*.wav"))) == 4  # two sentences were spoken in two voices
    asked = []

    def counted(jobs: Any, *arguments: Any, **options: Any) -> Any:
        asked.extend(jobs())
        yield from in_this_process(jobs, *arguments, **options)

    monkeypatch.setattr(evaluation, "map_jobs", counted)
    assert tables(run(RayCluster(), keep=keep)) == first and not asked
    (keep / "nanospeech" / "list" / "nash" / "0001.json").write_text("{}")
    assert tables(run(RayCluster(), keep=keep)) == first and len(asked) == 1
    assert tables(run(keep=keep)) == first


def test_an_interrupted_run_reports_what_is_scored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(jobs: Any, function: Any, start: Any, arguments: Any, cluster: Any, *, ordered: bool) -> Any:
        start(*arguments)
        for number, job in enumerate(jobs()):
            if number == 3:
                raise KeyboardInterrupt
            yield function(job)

    monkeypatch.setattr(evaluation, "map_jobs", stopped)
    reports: list[evaluation.Report] = []
    with pytest.raises(KeyboardInterrupt):
        run(RayCluster(), reports)
    (table,) = reports[0].tables
    assert not reports[0].complete and len(table.scores) == 3 and "interrupted after 3 of 6 clips" in table.title


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
def test_a_cluster_of_two_workers_gives_the_local_scores(run: Run) -> None:
    with ray_cluster(2):
        assert tables(run(RayCluster())) == tables(run())


def test_ray_that_is_missing_or_does_not_answer_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"pip install vivavoce\[ray\]|no connection") as error:
        run(RayCluster("127.0.0.1:1"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [("--ray auto --threads 2", "--threads is for one machine"), ("--resources CPU=2", "--resources needs --ray")],
)
def test_flags_that_contradict_each_other_are_one_line(flags: str, complaint: str, capsys: Any) -> None:
    assert vivavoce("evaluate", "nanospeech", "--sentences", "list.txt", *flags.split()) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
