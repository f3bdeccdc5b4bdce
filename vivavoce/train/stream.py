"""A corpus that is streamed from its shards every epoch, shared out to the workers of all processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from vivavoce.data.samples import Features, Report, SampleSource, featurized
from vivavoce.data.tar import Sample
from vivavoce.train.batches import check_damage, epoch_seed, make_batches, parallel
from vivavoce.train.config import TrainConfig

# Utterances of a shard that are sorted into batches together: at most this many, or this many bytes
WINDOW, WINDOW_BYTES = 2_000, 256 << 20

Position = tuple[int, int]  # of a worker: shards it has finished, and batches it has given of the next one


@dataclass(frozen=True)
class ShardAssignment:
    """Which worker reads which shard of the endless sequence: the shards of epoch 0 in their order, then epoch 1's, …

    Workers, of all processes, take turns: worker w of W reads every W-th remaining shard, starting with the w-th. They
    do so across epochs, so none ever waits, however unequal the shards are, and each shard is read once an epoch.
    """

    workers: int
    first: int = 0  # the first unread shard, by its number in the sequence
    read: tuple[int, ...] = ()  # shards after it that were read before this assignment, ascending
    begun: dict[int, int] = field(default_factory=dict)  # partly read shards, and how many batches they gave

    def shard(self, worker: int, count: int) -> int:
        """Return the number of the shard that the worker reads after `count` others."""
        nth = worker + count * self.workers
        end = self.read[-1] + 1 if self.read else self.first
        gaps = end - self.first - len(self.read)
        if nth >= gaps:
            return end + nth - gaps
        return [number for number in range(self.first, end) if number not in self.read][nth]

    def reassign(self, positions: Sequence[Position], workers: int) -> ShardAssignment:
        """Share out what is left, with the workers at `positions`, to another number of workers."""
        read, begun = set(self.read), dict(self.begun)
        for worker, (count, batches) in enumerate(positions):
            read.update(self.shard(worker, c) for c in range(count))
            if batches:
                begun[self.shard(worker, count)] = batches
        first = self.first
        while first in read:
            first += 1
        left = {number: batches for number, batches in begun.items() if number not in read}
        return ShardAssignment(workers, first, tuple(sorted(number for number in read if number > first)), left)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores, under the names that version 0.1 gave it."""
        return {"lanes": self.workers, "first": self.first, "read": self.read, "begun": self.begun}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ShardAssignment:
        return cls(state["lanes"], state["first"], tuple(state["read"]), state["begun"])


@dataclass
class WorkerOutput:
    """What a worker yields: a batch, empty if nothing of it was usable, or the end of a shard."""

    worker: int  # of this process
    position: Position  # of the worker, after this output
    epoch: int
    items: list[Features]
    report: Report


class Stream:
    """A corpus that is read from its shards every epoch; only windows of undecoded utterances are in memory.

    The order of the shards in an epoch, the batches of a shard and their order depend on the seed and the epoch alone;
    a batch holds utterances of one shard. Each shard is read by one worker of one process (`ShardAssignment`), so each
    utterance comes once an epoch. The numbers of processes and workers only decide which batches meet in one step.
    If they change between runs, what is left is reassigned and nothing comes twice. No process waits for the others at
    the end of an epoch. With fewer shards than processes, a process starts in the epoch of its first shard.
    """

    def __init__(self, shards: list[str], source: SampleSource, config: TrainConfig, rank: int = 0, world: int = 1):
        self.shards, self.source, self.config, self.rank, self.world = shards, source, config, rank, world
        self.workers = max(1, min(config.workers, len(shards) // world))  # of this process; one may be the process
        self.assignment = ShardAssignment(self.workers * world)
        self.positions: list[Position] = [(0, 0)] * self.workers
        self.turn = 0  # the worker that gives the next output
        self.reports: dict[int, Report] = {}  # by epoch, of this process's share

    def outputs(self) -> Iterator[WorkerOutput]:
        """Yield what the workers give in turn, from their positions on, without end."""
        return parallel(_Worker(self), self.workers if self.config.workers else 0)

    def endless(self) -> Iterator[list[Features]]:
        """Yield this process's batches from its position on, epoch after epoch.

        Raises ValueError if all shards were read and none gave a batch.
        """
        fruitless = 0  # shards in a row
        for output in self.outputs():
            self.positions[output.worker] = output.position
            self.turn = (output.worker + 1) % self.workers
            check_damage(output.report, self.config)
            self.reports.setdefault(output.epoch, Report()).add(output.report)
            if output.items:
                fruitless = 0
                yield output.items
            elif output.position[1] == 0:
                fruitless += 1
                if fruitless >= len(self.shards) + self.workers:  # each worker's first may have been partly read
                    report = self.reports[min(self.reports)]
                    raise ValueError(f"the shards hold no usable utterance ({report})")

    @property
    def epoch(self) -> int:
        """The earliest epoch that a worker of this process is in."""
        numbers = (self.assignment.shard(self._global(n), count) for n, (count, _) in enumerate(self.positions))
        return min(numbers) // len(self.shards)

    def finished_epochs(self) -> list[tuple[int, Report]]:
        """Return the epochs whose share this process has finished since the last call, each with its report."""
        done = sorted(epoch for epoch in self.reports if epoch < self.epoch)
        return [(epoch, self.reports.pop(epoch)) for epoch in done]

    @property
    def position(self) -> list[int]:
        """The position of this process after the batch that it took last."""
        return [self.turn, *(number for position in self.positions for number in position)]

    def state(self, positions: list[list[int]]) -> dict[str, Any]:
        """Return what a checkpoint stores, given the positions of all processes; names as of version 0.1."""
        return {"shards": len(self.shards), "deal": self.assignment.state(), "places": positions}

    def load_state(self, state: dict[str, Any], epoch: int) -> str:
        """Resume from a checkpoint made by any number of processes; return a notice for the user, or ""."""
        if state.get("shards") != len(self.shards):
            self.assignment = ShardAssignment(self.assignment.workers, epoch * len(self.shards))
            return f"the shards have changed, or were held in memory before: epoch {epoch} starts over"
        old, turns = ShardAssignment.from_state(state["deal"]), [row[0] for row in state["places"]]
        rows = [list(zip(row[1::2], row[2::2], strict=True)) for row in state["places"]]
        if (len(rows), old.workers) == (self.world, self.assignment.workers):
            self.assignment, self.turn, self.positions = old, turns[self.rank], rows[self.rank]
        else:  # in the order of `_global`
            positions = [row[n] for n in range(len(rows[0])) for row in rows]
            self.assignment = old.reassign(positions, self.assignment.workers)
        return ""

    def _global(self, worker: int) -> int:
        """Return the number of one of this process's workers among those of all processes."""
        return worker * self.world + self.rank

    def read(self, number: int, skip: int, general: Report) -> Iterator[tuple[int, list[Features], Report]]:
        """Yield a shard's batches from number `skip` on, numbered; `general` counts what belongs to no batch.

        Skipped batches are not decoded: the headers of the shard tell how many there are.
        """
        epoch, nth = divmod(number, len(self.shards))
        chosen = int(np.random.default_rng(epoch_seed(self.config.seed, epoch)).permutation(len(self.shards))[nth])
        batch = 0
        for part, (window, seconds) in enumerate(self._windows(self.shards[chosen], general)):
            lengths = [self.source.length(s) for s in seconds]
            seed = epoch_seed(self.config.seed, epoch, 1 + chosen, part)
            for indices in make_batches(lengths, self.config.frames_per_batch, seed):
                if batch >= skip:
                    report = Report()
                    items = featurized([window[i] for i in indices], self.source, self.config, report)
                    yield batch, items, report
                batch += 1

    def _windows(self, shard: str, report: Report) -> Iterator[tuple[list[Sample], list[float]]]:
        """Yield raw samples and their seconds, by their headers alone, so that a resumed run decodes nothing twice."""
        window: list[Sample] = []
        seconds: list[float] = []
        size = 0
        for sample in self.source.undecoded([shard], report):
            try:
                seconds.append(self.source.seconds(sample, self.config))
            except ValueError as reason:
                report.skipped[str(reason)] += 1
                continue
            window.append(sample)
            size += sum(map(len, sample.files.values()))
            if len(window) >= WINDOW or size >= WINDOW_BYTES:
                yield window, seconds
                window, seconds, size = [], [], 0
        if window:
            yield window, seconds


class _Worker(IterableDataset):
    """The side of `Stream` that runs in the workers. A DataLoader asks them in turn, starting with the first."""

    def __init__(self, stream: Stream):
        self.stream = stream

    def __iter__(self) -> Iterator[WorkerOutput]:
        stream, info = self.stream, torch.utils.data.get_worker_info()
        own = (stream.turn + (info.id if info else 0)) % stream.workers
        count, done = stream.positions[own]
        while True:
            number = stream.assignment.shard(stream._global(own), count)
            epoch, general = number // len(stream.shards), Report()
            skip = max(done, stream.assignment.begun.get(number, 0))
            for batch, items, report in stream.read(number, skip, general):
                yield WorkerOutput(own, (count, batch + 1), epoch, items, report)
            count, done = count + 1, 0
            yield WorkerOutput(own, (count, 0), epoch, [], general)
