"""Utterances → batches, and a corpus that is held in memory.

A batch holds at most a budget of frames, of utterances of similar length. No utterance is left out. The order depends
on the seed and the epoch alone, not on where a run was interrupted. A sample is a dict of features; which ones is up to
the task, all but "length" pass through untouched.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from vivavoce.data.samples import Features, Report, SampleSource, featurized
from vivavoce.train.checkpoint import save_tensors
from vivavoce.train.config import TrainConfig


def make_batches(lengths: Sequence[int], budget: int, seed: int) -> list[list[int]]:
    """Group the indices of `lengths` into batches of similar length, in random order.

    The padded size of a batch stays within `budget` frames. Each index appears exactly once; an item that is longer
    than the budget is a batch by itself.
    """
    rng = np.random.default_rng(seed)
    jitter = rng.uniform(0.95, 1.05, len(lengths))  # so that an item's neighbours differ from epoch to epoch
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
    return [batches[i] for i in rng.permutation(len(batches))]


def share_of(batches: list[list[int]], rank: int, world: int) -> list[list[int]]:
    """Return the batches of process `rank` of `world`. All get equally many, so the first ones may come twice."""
    each = -(-len(batches) // world)
    return [batches[i % len(batches)] for i in range(rank, each * world, world)]


def epoch_seed(seed: int, epoch: int, *part: int) -> int:
    """Return a seed for an epoch, or a part of it, that is independent of those of other epochs and parts."""
    return int(np.random.SeedSequence([seed, epoch, *(part or (0,))]).generate_state(1)[0])


def check_damage(report: Report, config: TrainConfig) -> None:
    """Raise ValueError for a damaged or unreachable shard if the recipe says so; a warning reports it otherwise."""
    if config.damaged_shards == "fail" and report.notices:
        raise ValueError(f"{report.notices[0]}; damaged_shards is 'fail' in the recipe")


class Corpus:
    """A corpus held in memory as features: decoded once, shuffled every epoch.

    All processes hold all of it, make the same list of batches and take turns. If the list does not divide, its first
    batches come twice, so that all processes take equally many steps.
    Raises ValueError if no sample is usable.
    """

    def __init__(self, items: list[Features], report: Report, config: TrainConfig, rank: int = 0, world: int = 1):
        if not items:
            raise ValueError(f"the shards hold no usable utterance ({report})")
        self.items, self.report, self.config, self.rank, self.world = items, report, config, rank, world
        self.epoch = 0
        self.taken = 0  # batches of the epoch that this process has taken

    def batches(self, epoch: int, skip: int = 0) -> Iterator[list[Features]]:
        """Yield this process's batches of the epoch, without the first `skip`."""
        lengths = [item["length"] for item in self.items]
        batches = make_batches(lengths, self.config.frames_per_batch, epoch_seed(self.config.seed, epoch))
        for indices in share_of(batches, self.rank, self.world)[skip:]:
            yield [self.items[i] for i in indices]

    def endless(self) -> Iterator[list[Features]]:
        """Yield this process's batches from its position on, epoch after epoch."""
        while True:
            for items in self.batches(self.epoch, self.taken):
                self.taken += 1
                yield items
            self.epoch, self.taken = self.epoch + 1, 0

    def finished_epochs(self) -> list[tuple[int, Report]]:
        """Return nothing: the corpus was reported when it was read."""
        return []

    @property
    def position(self) -> list[int]:
        """The position of this process after the batch that it took last."""
        return [self.epoch, self.taken]

    def state(self, positions: list[list[int]]) -> dict[str, Any]:
        """Return what a checkpoint stores, given the positions of all processes."""
        epoch, taken = positions[0]
        return {"epoch": epoch, "position": taken, "processes": len(positions)}

    def load_state(self, state: dict[str, Any], epoch: int) -> str:
        """Resume from a checkpoint made by any number of processes; return a notice for the user, or ""."""
        if "position" not in state:
            self.epoch = epoch
            return f"the run was streamed before: epoch {epoch} starts over"
        self.epoch, self.taken = state["epoch"], state["position"] * state["processes"] // self.world
        return ""


def load_corpus(
    shards: list[str],
    source: SampleSource,
    config: TrainConfig,
    rank: int = 0,
    world: int = 1,
    store: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Decode all shards into memory, with `config.workers` processes.

    With `store`, process 0 saves the features of each shard there as soon as it has them, named after the shard and the
    source's fingerprint, and later runs load them. Shards that were damaged or unreachable are not saved: next time
    they may be intact.
    """
    paths = {} if store is None else {shard: _feature_file(store, shard, source, config) for shard in shards}
    known = {shard: found for shard, path in paths.items() if (found := _saved_features(path, shard)) is not None}
    missing = [shard for shard in dict.fromkeys(shards) if shard not in known]
    decoded = parallel(_Shards(missing, source, config), min(config.workers, len(missing))) if missing else []
    for done, (shard, (items, report)) in enumerate(zip(missing, decoded, strict=True), len(known) + 1):
        check_damage(report, config)
        known[shard] = items, report
        if store is not None and rank == 0 and not report.notices:
            save_tensors((items, report.kept, dict(report.skipped)), paths[shard])
        if progress is not None:
            progress(done, len(shards))
    total = Report()
    for shard in shards:
        total.add(known[shard][1])
    return Corpus([item for shard in shards for item in known[shard][0]], total, config, rank, world)


def _feature_file(store: Path, shard: str, source: SampleSource, config: TrainConfig) -> Path:
    size = os.path.getsize(shard) if os.path.exists(shard) else 0
    key = [shard, size, source.fingerprint(), config.min_seconds, config.max_seconds]
    return store / f"features-{zlib.crc32(json.dumps(key).encode()):08x}.pt"


def _saved_features(path: Path, shard: str) -> tuple[list[Features], Report] | None:
    """Load the features of a shard, None if there are none. An unreadable file gives a warning."""
    if not path.exists():
        return None
    try:
        items, kept, skipped = torch.load(path, weights_only=True)
    except Exception as error:
        warnings.warn(f"{path}: unreadable ({type(error).__name__}); reading {shard} again", stacklevel=3)
        return None
    return items, Report(kept, Counter(skipped))


class _Shards(Dataset):
    """One item a shard: its features. Lets the workers of a DataLoader decode a corpus in parallel."""

    def __init__(self, shards: list[str], source: SampleSource, config: TrainConfig):
        self.shards, self.source, self.config = shards, source, config

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> tuple[list[Features], Report]:
        report = Report()
        raw = self.source.undecoded([self.shards[index]], report)
        return featurized(raw, self.source, self.config, report), report


# ---- worker processes -----------------------------------------------------------------------------------------------


def parallel(dataset: Dataset, workers: int) -> Iterator[Any]:
    """Yield the items of `dataset` in its order, produced by that many processes.

    They travel as bytes: each tensor on its own would take a file descriptor, and those are few. The loader's own
    generator keeps the start of an epoch from drawing random numbers of the training.
    """
    loader = DataLoader(
        dataset, batch_size=None, num_workers=workers, collate_fn=pickle.dumps, worker_init_fn=_ignore_interrupt,
        generator=torch.Generator(),
    )  # fmt: skip
    return map(pickle.loads, loader)


def _ignore_interrupt(worker: int) -> None:
    # Ctrl-C reaches all processes; the main one ends the workers. Not SIG_IGN, which a download would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
