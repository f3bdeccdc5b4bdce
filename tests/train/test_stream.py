"""Streams: every utterance once an epoch, for any number of processes and workers, resumed at any batch."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.corpus import sound, write_corpus, write_shard
from helpers.plain_source import Plain, config, epochs, keys
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.data.samples import Report, raw_samples
from vivavoce.train.stream import ShardAssignment, Stream

STEPS = st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(0, 4), min_size=5, max_size=5)), max_size=5)


@given(STEPS)
def test_an_assignment_gives_each_shard_once_however_often_it_changes(steps: list[tuple[int, list[int]]]) -> None:
    assignment, read = ShardAssignment(2), Counter[int]()
    for workers, counts in steps:
        for worker in range(assignment.workers):
            read.update(assignment.shard(worker, c) for c in range(counts[worker]))
        assignment = assignment.reassign([(counts[worker], 0) for worker in range(assignment.workers)], workers)
    for count in range(30):
        read.update(assignment.shard(worker, count) for worker in range(assignment.workers))
    assert set(read.values()) <= {1}
    assert set(range(30)) <= set(read)


def test_a_partly_read_shard_is_resumed_by_its_new_worker() -> None:
    # worker 0 read shards 0 and 2, and 3 batches of 4; worker 1 one of 1
    assignment = ShardAssignment(2).reassign([(2, 3), (0, 1)], 1)
    assert [assignment.shard(0, count) for count in range(4)] == [1, 3, 4, 5]
    assert assignment.begun == {1: 1, 4: 3}
    assert assignment.reassign([(1, 0)], 3).begun == {4: 3}  # shard 1 is through


@pytest.mark.parametrize(("world", "count", "workers"), [(1, 3, 0), (1, 3, 2), (2, 4, 0), (2, 5, 2), (3, 1, 0)])
def test_every_utterance_comes_once_an_epoch_for_any_number_of_workers(
    tmp_path: Path, world: int, count: int, workers: int
) -> None:
    shards = write_corpus(tmp_path, 12, count)
    settings = config(frames_per_batch=130, workers=workers)
    alone = epochs(Stream(shards, Plain(), config(frames_per_batch=130)), 3)
    shares = [epochs(Stream(shards, Plain(), settings, rank, world), 3) for rank in range(world)]
    for epoch in range(3):
        together = [batch for share in shares for batch in keys(share[epoch])]
        assert sorted(key for batch in together for key in batch) == [f"u{n:03d}" for n in range(12)]
        assert sorted(together) == sorted(keys(alone[epoch]))  # they are the same batches
    assert keys(alone[0]) != keys(alone[1])


def test_a_shard_is_read_by_one_process_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_corpus(tmp_path, 12, 6)
    opened: list[str] = []

    def noted(names: list[str], report: Report) -> Any:
        opened.extend(names)
        return raw_samples(names, report)

    monkeypatch.setattr("vivavoce.data.samples.raw_samples", noted)
    for rank in range(2):
        epochs(Stream(shards, Plain(), config(), rank, 2))
    assert sorted(opened) == shards


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2])
def test_a_stream_resumes_where_it_stopped(tmp_path: Path, workers: int, world: int) -> None:
    shards = write_corpus(tmp_path, 10, 4)
    # a batch that is of no use counts all the same, or a resumed run would be off by one
    reader, settings = Plain(["u000", "u001", "u002"]), config(frames_per_batch=100, workers=workers)
    streams = [Stream(shards, reader, settings, rank, world) for rank in range(world)]
    sources = [stream.endless() for stream in streams]
    given: list[list[list[str]]] = []  # by step and process
    kept = []
    for _ in range(9):
        kept.append(copy.deepcopy(streams[0].state([stream.position for stream in streams])))
        given.append([keys([next(source)])[0] for source in sources])
    assert streams[0].epoch >= 1
    for step in range(0, 9, 4):
        for rank in range(world):
            again = Stream(shards, reader, settings, rank, world)
            assert again.load_state(kept[step], 0) == ""
            assert keys(itertools.islice(again.endless(), 9 - step)) == [row[rank] for row in given[step:]]


def test_seen_utterances_are_not_decoded_again(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 8, 1)
    stream = Stream(shards, Plain(), config(frames_per_batch=100))
    seen = [key for batch in keys(itertools.islice(stream.endless(), 5)) for key in batch]
    again = Stream(shards, Plain(seen), config(frames_per_batch=100))  # it refuses them, and would say so
    again.load_state(stream.state([stream.position]), 0)
    left = [key for batch in keys(epochs(again)[0]) for key in batch]
    assert sorted([*seen, *left]) == [f"u{n:03d}" for n in range(8)]
    assert again.reports[0] == Report(len(left))


@pytest.mark.parametrize(("before", "after"), [((2, 0), (1, 0)), ((1, 0), (2, 0)), ((2, 2), (3, 0)), ((1, 3), (1, 2))])
def test_another_number_of_processes_and_workers_reads_what_is_left(
    tmp_path: Path, before: tuple[int, int], after: tuple[int, int]
) -> None:
    shards = write_corpus(tmp_path, 18, 6)
    seen = Counter[tuple[int, str]]()

    def streams(processes: int, workers: int) -> list[Stream]:
        settings = config(frames_per_batch=130, workers=workers)
        return [Stream(shards, Plain(), settings, rank, processes) for rank in range(processes)]

    first = streams(*before)
    for stream in first:
        for output in itertools.islice(stream.outputs(), 7):
            stream.positions[output.worker], stream.turn = output.position, (output.worker + 1) % stream.workers
            seen.update((output.epoch, item["key"]) for item in output.items)
    kept = first[0].state([stream.position for stream in first])
    for stream in streams(*after):
        assert stream.load_state(kept, 0) == ""
        for epoch, batches in enumerate(epochs(stream, 2)):
            seen.update((epoch, key) for batch in keys(batches) for key in batch)
    assert set(seen.values()) == {1}
    for epoch in range(2):
        assert sorted(key for e, key in seen if e == epoch) == [f"u{n:03d}" for n in range(18)]


def test_a_stream_of_other_shards_starts_its_epoch_over(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 8, 4)
    stream = Stream(shards, Plain(), config())
    list(itertools.islice(stream.endless(), 3))
    other = Stream(shards[:3], Plain(), config())
    assert "epoch 2 starts over" in other.load_state(stream.state([stream.position]), 2)
    next(other.endless())
    assert other.epoch == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_draws_no_random_numbers_of_the_training(tmp_path: Path, workers: int) -> None:
    stream = Stream(write_corpus(tmp_path, 4), Plain(), config(workers=workers))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    epochs(stream)
    assert torch.rand(1) == expected


def test_streaming_in_windows_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_corpus(tmp_path, 18, 2)
    for name, value in (("WINDOW", 4), ("WINDOW_BYTES", 100_000)):
        with monkeypatch.context() as patch:
            patch.setattr(f"vivavoce.train.stream.{name}", value)
            batches = keys(epochs(Stream(shards, Plain(), config(frames_per_batch=150)))[0])
        assert sorted(key for batch in batches for key in batch) == [f"u{n:03d}" for n in range(18)]


def test_streamed_batches_keep_within_the_budget(tmp_path: Path) -> None:
    for items in epochs(Stream(write_corpus(tmp_path, 12), Plain(), config(frames_per_batch=250)))[0]:
        assert len(items) == 1 or len(items) * max(item["length"] for item in items) <= 250


def test_a_damaged_shard_does_not_mix_with_the_next(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path / f"{n}.tar", [{"wav": sound(0.5), "txt": n.encode()}]) for n in "ab"]
    whole = Path(shards[0]).read_bytes()
    Path(shards[0]).write_bytes(whole[:2000])  # within u000.wav, and b.tar begins with another u000
    found = [sample for sample in raw_samples(shards, Report()) if "wav" in sample.files]
    assert [sample.files["txt"] for sample in found] == [b"b"]
