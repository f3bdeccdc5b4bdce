"""Utterances → batches, from memory or streamed from the shards.

Batches hold at most a budget of frames, come from length buckets, leave no utterance out, and their order depends on
the seed and the epoch alone: not on where a run was interrupted. What that means with several processes stands at
`Corpus` and at `Stream`. Knows nothing about models.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from vivavoce.config import TrainConfig
from vivavoce.train.shards import Features, Reader, Report, featurized
from vivavoce.train.state import save_whole

# Utterances of a shard that are sorted into batches together when it is streamed: so many, or so many bytes
WINDOW, WINDOW_BYTES = 2_000, 256 << 20


def _parallel(dataset: Dataset, workers: int) -> Iterator[Any]:
    """What the dataset gives, in its order, made by so many processes.

    It comes as bytes, for every tensor on its own would take a file descriptor, of which there are few. The generator
    of its own keeps the start of an epoch from using up random numbers of the training.
    """
    loader = DataLoader(
        dataset, batch_size=None, num_workers=workers, collate_fn=pickle.dumps, worker_init_fn=_ignore_interrupt,
        generator=torch.Generator(),
    )  # fmt: skip
    return map(pickle.loads, loader)


def _ignore_interrupt(worker: int) -> None:
    # Ctrl-C reaches all processes; the main one ends the workers. Not SIG_IGN, which a download would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)


# ---- batching -----------------------------------------------------------------------------------------------------


def make_batches(lengths: Sequence[int], budget: int, seed: int) -> list[list[int]]:
    """Indices in batches of similar length whose padded size stays within `budget` frames, in a random order.

    Each index appears exactly once; an item longer than the budget makes a batch of its own.
    """
    order = np.random.default_rng(seed)
    jitter = order.uniform(0.95, 1.05, len(lengths))  # so that neighbours differ from epoch to epoch
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0
    for index in np.argsort(np.asarray(lengths) * jitter, kind="stable"):
        longest_with = max(longest, lengths[index])
        if current and longest_with * (len(current) + 1) > budget:
            batches.append(current)
            current, longest_with = [], lengths[index]
        current.append(int(index))
        longest = longest_with
    if current:
        batches.append(current)
    return [batches[i] for i in order.permutation(len(batches))]


def share_out(batches: list[list[int]], rank: int, world: int) -> list[list[int]]:
    """This process's batches: every process gets equally many, some of them twice where they do not divide."""
    each = -(-len(batches) // world)
    return [batches[i % len(batches)] for i in range(rank, each * world, world)]


def epoch_seed(seed: int, epoch: int, *part: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, *(part or (0,))]).generate_state(1)[0])


# ---- in memory ----------------------------------------------------------------------------------------------------


class Corpus:
    """A corpus held in memory as features: decoded once, shuffled anew each epoch.

    All processes hold it and make the same list of batches, from which they take turns. Where a list does not divide,
    its first batches come twice, so that all processes take equally many steps.
    Raises ValueError where nothing usable is in the shards.
    """

    def __init__(self, items: list[Features], report: Report, config: TrainConfig, rank: int = 0, world: int = 1):
        if not items:
            raise ValueError(f"the shards hold no usable utterance ({report})")
        self.items, self.report, self.config, self.rank, self.world = items, report, config, rank, world
        self.epoch, self.position = 0, 0  # batches of the epoch that this process was given

    def batches(self, epoch: int, skip: int = 0) -> Iterator[list[Features]]:
        """The epoch's batches for this process, from number `skip` on."""
        lengths = [item["length"] for item in self.items]
        batches = make_batches(lengths, self.config.frames_per_batch, epoch_seed(self.config.seed, epoch))
        for indices in share_out(batches, self.rank, self.world)[skip:]:
            yield [self.items[i] for i in indices]

    def endless(self) -> Iterator[list[Features]]:
        """This process's batches, epoch after epoch, from its place on."""
        while True:
            for items in self.batches(self.epoch, self.position):
                self.position += 1
                yield items
            self.epoch, self.position = self.epoch + 1, 0

    def through(self) -> list[tuple[int, Report]]:
        """Nothing: what the epochs hold was told when they were read."""
        return []

    @property
    def place(self) -> list[int]:
        """Where this process stands, after the batch that it was given last."""
        return [self.epoch, self.position]

    def keep(self, places: list[list[int]]) -> dict[str, Any]:
        """What a checkpoint needs, from the places of all processes."""
        epoch, position = places[0]
        return {"epoch": epoch, "position": position, "processes": len(places)}

    def resume(self, kept: dict[str, Any], epoch: int) -> str:
        """Go on from a checkpoint, with whatever number of processes it was made. Returns what is to be said of it."""
        if "position" not in kept:
            self.epoch = epoch
            return f"the run was streamed before: epoch {epoch} begins anew"
        self.epoch, self.position = kept["epoch"], kept["position"] * kept["processes"] // self.world
        return ""


# ---- streamed -----------------------------------------------------------------------------------------------------

Place = tuple[int, int]  # of a lane: shards that it has read, and batches that it has given of the next one


@dataclass(frozen=True)
class Deal:
    """Which shards each lane reads, of the endless sequence: epoch 0's shards in their order, then epoch 1's, …

    Lanes take turns, so with L of them, lane l reads every L-th shard that is left, from the l-th on. Because they do
    so across the epochs, all can go on for ever, however unequal the shards are, and each shard is read once an epoch.
    """

    lanes: int
    first: int = 0  # the first shard that is left, by its number in the sequence
    read: tuple[int, ...] = ()  # those after it that were read before this deal, ascending
    begun: dict[int, int] = field(default_factory=dict)  # those that were read in part: batches given

    def shard(self, lane: int, count: int) -> int:
        """The number of the shard that the lane reads after `count` others."""
        nth = lane + count * self.lanes
        end = self.read[-1] + 1 if self.read else self.first
        gaps = end - self.first - len(self.read)
        if nth >= gaps:
            return end + nth - gaps
        return [number for number in range(self.first, end) if number not in self.read][nth]

    def again(self, places: Sequence[Place], lanes: int) -> Deal:
        """What is left when the lanes stand at `places`, dealt to another number of lanes."""
        read, begun = set(self.read), dict(self.begun)
        for lane, (count, batches) in enumerate(places):
            read.update(self.shard(lane, c) for c in range(count))
            if batches:
                begun[self.shard(lane, count)] = batches
        first = self.first
        while first in read:
            first += 1
        left = {number: batches for number, batches in begun.items() if number not in read}
        return Deal(lanes, first, tuple(sorted(number for number in read if number > first)), left)


@dataclass
class Piece:
    """What a lane gives: a batch, which is empty where nothing of it could be used, or the end of a shard."""

    lane: int  # of this process
    place: Place  # of the lane, after this piece
    epoch: int
    items: list[Features]
    report: Report


class Stream:
    """A corpus that is read from its shards every epoch; only windows of undecoded utterances are in memory.

    The shards' order in an epoch, the batches of a shard and their order depend on the seed and the epoch alone; a
    batch holds utterances of one shard. Every shard is read by one lane, that is one worker of one process (`Deal`),
    so each utterance is seen once an epoch. The numbers of processes and workers thus decide which batches meet in one
    step, and nothing else; when they change in mid-run, what is left is dealt anew and nothing comes twice. No process
    waits for another at the end of an epoch: whoever is through goes on with its share of the next one. With fewer
    shards than processes, a process therefore begins in the epoch that its first shard belongs to.
    """

    def __init__(self, shards: list[str], reader: Reader, config: TrainConfig, rank: int = 0, world: int = 1):
        self.shards, self.reader, self.config, self.rank, self.world = shards, reader, config, rank, world
        self.lanes = max(1, min(config.workers, len(shards) // world))  # of this process
        self.deal = Deal(self.lanes * world)
        self.places: list[Place] = [(0, 0)] * self.lanes
        self.turn = 0  # the lane that gives the next piece
        self.reports: dict[int, Report] = {}  # by epoch, of this process's share

    def pieces(self) -> Iterator[Piece]:
        """What the lanes give in turn, for ever, from their places on."""
        workers = self.lanes if self.config.workers else 0
        return _parallel(_Lanes(self), workers)

    def endless(self) -> Iterator[list[Features]]:
        """This process's batches, epoch after epoch, from its place on.

        Raises ValueError where all shards were tried and none gave a batch.
        """
        barren = 0
        for piece in self.pieces():
            self.places[piece.lane] = piece.place
            self.turn = (piece.lane + 1) % self.lanes
            self.reports.setdefault(piece.epoch, Report()).add(piece.report)
            if piece.items:
                barren = 0
                yield piece.items
            elif piece.place[1] == 0:
                barren += 1
                if barren >= len(self.shards) + self.lanes:  # the first of each lane may have been read in part
                    report = self.reports[min(self.reports)]
                    raise ValueError(f"the shards hold no usable utterance ({report})")

    @property
    def epoch(self) -> int:
        """The epoch that this process's hindmost lane is in."""
        numbers = (self.deal.shard(self._lane(n), count) for n, (count, _) in enumerate(self.places))
        return min(numbers) // len(self.shards)

    def through(self) -> list[tuple[int, Report]]:
        """The epochs that this process has read its share of since it was asked last, and what it met there."""
        done = sorted(epoch for epoch in self.reports if epoch < self.epoch)
        return [(epoch, self.reports.pop(epoch)) for epoch in done]

    @property
    def place(self) -> list[int]:
        """Where this process stands, after the batch that it was given last."""
        return [self.turn, *(number for place in self.places for number in place)]

    def keep(self, places: list[list[int]]) -> dict[str, Any]:
        """What a checkpoint needs, from the places of all processes."""
        return {"shards": len(self.shards), "deal": asdict(self.deal), "places": places}

    def resume(self, kept: dict[str, Any], epoch: int) -> str:
        """Go on from a checkpoint, with whatever number of processes it was made. Returns what is to be said of it."""
        if kept.get("shards") != len(self.shards):
            self.deal = Deal(self.deal.lanes, epoch * len(self.shards))
            return f"other shards than before, or they were in memory before: epoch {epoch} begins anew"
        deal, turns = Deal(**kept["deal"]), [row[0] for row in kept["places"]]
        rows = [list(zip(row[1::2], row[2::2], strict=True)) for row in kept["places"]]
        if (len(rows), deal.lanes) == (self.world, self.deal.lanes):
            self.deal, self.turn, self.places = deal, turns[self.rank], rows[self.rank]
        else:  # lanes are counted across the processes, as in `_lane`
            self.deal = deal.again([row[n] for n in range(len(rows[0])) for row in rows], self.deal.lanes)
        return ""

    def _lane(self, own: int) -> int:
        """The number among all processes' lanes of one of ours."""
        return own * self.world + self.rank

    def read(self, number: int, skip: int, general: Report) -> Iterator[tuple[int, list[Features], Report]]:
        """A shard's batches from number `skip` on, with their numbers; `general` counts what concerns no batch.

        What is skipped is not decoded: how many batches it makes is told by its headers.
        """
        epoch, nth = divmod(number, len(self.shards))
        chosen = int(np.random.default_rng(epoch_seed(self.config.seed, epoch)).permutation(len(self.shards))[nth])
        batch = 0
        for part, (window, seconds) in enumerate(self._windows(self.shards[chosen], general)):
            lengths = [self.reader.length(s) for s in seconds]
            seed = epoch_seed(self.config.seed, epoch, 1 + chosen, part)
            for indices in make_batches(lengths, self.config.frames_per_batch, seed):
                if batch >= skip:
                    report = Report()
                    items = featurized([window[i] for i in indices], self.reader, self.config, report)
                    yield batch, items, report
                batch += 1

    def _windows(self, shard: str, report: Report) -> Iterator[tuple[list[dict[str, Any]], list[float]]]:
        """Raw samples and their seconds, by the headers alone, so that a resumed run decodes nothing twice."""
        window: list[dict[str, Any]] = []
        seconds: list[float] = []
        size = 0
        for sample in self.reader.undecoded([shard], report):
            try:
                seconds.append(self.reader.seconds(sample, self.config))
            except ValueError as reason:
                report.skipped[str(reason)] += 1
                continue
            window.append(sample)
            size += sum(len(value) for value in sample.values())
            if len(window) >= WINDOW or size >= WINDOW_BYTES:
                yield window, seconds
                window, seconds, size = [], [], 0
        if window:
            yield window, seconds


class _Lanes(IterableDataset):
    """The worker's side of `Stream`: each worker is a lane. DataLoader asks them in turn, the first one first."""

    def __init__(self, stream: Stream):
        self.stream = stream

    def __iter__(self) -> Iterator[Piece]:
        stream, info = self.stream, torch.utils.data.get_worker_info()
        own = (stream.turn + (info.id if info else 0)) % stream.lanes
        count, done = stream.places[own]
        while True:
            number = stream.deal.shard(stream._lane(own), count)
            epoch, general = number // len(stream.shards), Report()
            for batch, items, report in stream.read(number, max(done, stream.deal.begun.get(number, 0)), general):
                yield Piece(own, (count, batch + 1), epoch, items, report)
            count, done = count + 1, 0
            yield Piece(own, (count, 0), epoch, [], general)


# ---- decoded once -------------------------------------------------------------------------------------------------


class _Shards(Dataset):
    """One item a shard: its features. Lets DataLoader's workers decode a corpus in parallel."""

    def __init__(self, shards: list[str], reader: Reader, config: TrainConfig):
        self.shards, self.reader, self.config = shards, reader, config

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> tuple[list[Features], Report]:
        report = Report()
        raw = self.reader.undecoded([self.shards[index]], report)
        return featurized(raw, self.reader, self.config, report), report


def load_corpus(
    shards: list[str],
    reader: Reader,
    config: TrainConfig,
    rank: int = 0,
    world: int = 1,
    store: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Decode all shards into memory, through `config.workers` processes.

    With `store`, process 0 keeps each shard's features there, under a name made from the shard and the reader's
    fingerprint, as soon as it has them, and they are read back next time; but not where the shard was damaged or out of
    reach, for it may be whole then.
    """
    paths: dict[str, Path] = {}
    known: dict[str, tuple[list[Features], Report]] = {}
    if store is not None:
        about = [reader.fingerprint(), config.min_seconds, config.max_seconds]
        for shard in shards:
            size = os.path.getsize(shard) if os.path.exists(shard) else 0
            name = zlib.crc32(json.dumps([shard, size, *about]).encode())
            paths[shard] = store / f"features-{name:08x}.pt"
            if paths[shard].exists():
                try:
                    items, kept, skipped = torch.load(paths[shard], weights_only=True)
                except Exception as error:
                    warnings.warn(
                        f"{paths[shard]}: unreadable ({type(error).__name__}); {shard} is read again", stacklevel=2
                    )
                else:
                    known[shard] = items, Report(kept, Counter(skipped))
    missing = [shard for shard in dict.fromkeys(shards) if shard not in known]
    results = _parallel(_Shards(missing, reader, config), min(config.workers, len(missing))) if missing else []
    for done, (shard, (items, report)) in enumerate(zip(missing, results, strict=True), len(known) + 1):
        known[shard] = items, report
        if store is not None and rank == 0 and not report.notices:
            save_whole((items, report.kept, dict(report.skipped)), paths[shard])
        if progress is not None:
            progress(done, len(shards))
    total = Report()
    for shard in shards:
        total.add(known[shard][1])
    return Corpus([item for shard in shards for item in known[shard][0]], total, config, rank, world)
