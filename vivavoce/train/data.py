"""WebDataset shards → utterances → batches.

A shard is a tar of KEY.ogg (or any audio that libsndfile reads) with KEY.json ({"text", "speaker", "words", …}) or
KEY.txt. Batches hold at most a budget of frames, come from length buckets, leave no utterance out, and their order
depends on the seed and the epoch alone: not on the number of workers, nor on where a run was interrupted.
Knows nothing about models: a `Reader` turns an utterance into what its task wants.
"""

from __future__ import annotations

import glob
import io
import json
import math
import os
import pickle
import signal
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import braceexpand
import numpy as np
import soundfile
import torch
import webdataset
from torch.utils.data import DataLoader, Dataset, IterableDataset

from vivavoce import audio
from vivavoce.config import TrainConfig
from vivavoce.train.state import save_whole

Features = dict[str, Any]
Words = tuple[tuple[str, float, float], ...]

AUDIO = ("wav", "flac", "ogg", "opus", "mp3", "aif", "aiff")
# Utterances that are sorted into batches together where the corpus is streamed: so many, or so many bytes
WINDOW, WINDOW_BYTES = 2_000, 256 << 20


@dataclass(frozen=True)
class Utterance:
    """One recording as the shards give it."""

    key: str
    samples: np.ndarray  # float32 [S]
    text: str
    speaker: str = ""
    words: Words = ()  # word, start, end in seconds; empty where the data has none


class Reader(Protocol):
    """What reading the data needs to know of a task. Instances are pickled to the worker processes."""

    @property
    def sample_rate(self) -> int:
        """Hz of the samples in the utterances that `featurize` gets."""

    def featurize(self, utterance: Utterance) -> Features:
        """What training needs of it; "length" is its size in frames. Raises ValueError: why it is skipped."""

    def length(self, seconds: float) -> int:
        """The size in frames that `featurize` will give to an utterance of so many seconds, or slightly more."""

    def fingerprint(self) -> str:
        """Changes when `featurize` would give something else."""


@dataclass
class Report:
    """What reading the shards met: kept and skipped samples, by reason, and what is to be said of whole shards."""

    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in what another process counted, and give its notices as warnings."""
        self.kept += other.kept
        self.skipped.update(other.skipped)
        self.notices += other.notices
        for notice in other.notices:
            warnings.warn(notice, stacklevel=3)

    def __str__(self) -> str:
        reasons = "".join(f"; {count} skipped: {reason}" for reason, count in sorted(self.skipped.items()))
        return f"{self.kept} utterances{reasons}"


def expand(patterns: Sequence[str]) -> list[str]:
    """Shard names from paths, globs, `{000..006}` ranges, folders and URLs (http:, pipe:, file:, …).

    Raises ValueError for a local name that matches nothing.
    """
    shards: list[str] = []
    for pattern in map(str, patterns):
        try:  # only where there are braces, for a backslash would be taken as an escape
            names = list(braceexpand.braceexpand(pattern)) if "{" in pattern else [pattern]
        except ValueError as error:
            raise ValueError(f"shards {pattern!r}: {error}") from None
        for name in names:
            if name.startswith("file:"):
                name = url2pathname(urlsplit(name).path)
            elif "://" in name or name.startswith("pipe:"):
                shards.append(name)
                continue
            folder = os.path.join(glob.escape(name), "*.tar")
            found = [name] if os.path.isfile(name) else sorted(glob.glob(folder if os.path.isdir(name) else name))
            if not found:
                raise ValueError(f"no shard at {name!r}; give .tar files, a folder of them, a glob or a URL")
            shards += found
    return shards


# ---- reading ------------------------------------------------------------------------------------------------------


def raw_samples(shards: Iterable[str], report: Report) -> Iterator[dict[str, Any]]:
    """Undecoded samples in the shards' order. A damaged shard gives what can be read of it, and a notice."""
    for shard in shards:
        errors: list[Exception] = []

        def damaged(error: Exception, errors: list[Exception] = errors) -> bool:
            errors.append(error)
            return True

        # shuffling and splitting off: the order, and who reads what, is this module's business
        yield from webdataset.WebDataset(
            [shard], shardshuffle=False, handler=damaged, nodesplitter=None, workersplitter=None, empty_check=False
        )
        if errors:
            reason = str(errors[0].args[0]).split(" @ ")[0] if errors[0].args else ""
            report.skipped["(shards) damaged or out of reach"] += 1
            report.notices.append(
                f"{shard}: damaged or out of reach ({type(errors[0]).__name__}: {reason}); used as far as readable"
            )


def sound_of(sample: dict[str, Any]) -> bytes:
    """The encoded sound of a raw sample. Raises ValueError where it has none."""
    for extension in AUDIO:
        if extension in sample:
            return sample[extension]
    raise ValueError("no audio")


def text_of(sample: dict[str, Any]) -> tuple[str, str, Words]:
    """Text, speaker and word times of a raw sample. Raises ValueError, whose message is the reason for skipping it."""
    if "json" in sample:
        try:
            meta = json.loads(sample["json"])
        except ValueError:
            raise ValueError("unreadable json") from None
        if not isinstance(meta, dict):
            raise ValueError("unreadable json")
    elif "txt" in sample:
        meta = {"text": sample["txt"].decode("utf-8", "replace")}
    else:
        raise ValueError("no text")
    text = meta.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("empty text")
    try:
        words = tuple((str(word), float(start), float(end)) for word, start, end in meta.get("words") or ())
    except (TypeError, ValueError):
        raise ValueError("unreadable word times") from None
    if not all(math.isfinite(start) and math.isfinite(end) for _, start, end in words):
        raise ValueError("unreadable word times")
    return text.strip(), str(meta.get("speaker", "")), words


def check_length(seconds: float, config: TrainConfig) -> None:
    if seconds < config.min_seconds:
        raise ValueError(f"shorter than {config.min_seconds} s")
    if seconds > config.max_seconds:
        raise ValueError(f"longer than {config.max_seconds} s")


def decode(sample: dict[str, Any], config: TrainConfig, sample_rate: int) -> Utterance:
    """The utterance in a raw sample. Raises ValueError, whose message is the reason for skipping it."""
    sound, (text, speaker, words) = sound_of(sample), text_of(sample)
    try:
        samples = audio.read(io.BytesIO(sound), sample_rate)
    except ValueError:
        raise ValueError("unreadable audio") from None
    check_length(len(samples) / sample_rate, config)
    if not samples.any():
        raise ValueError("silent audio")
    return Utterance(sample["__key__"], samples, text, speaker, words)


def seconds_of(sample: dict[str, Any], config: TrainConfig) -> float:
    """Length of a raw sample by its headers. Raises ValueError as `decode`, for what can be told without decoding."""
    sound = sound_of(sample)
    text_of(sample)
    try:
        seconds = soundfile.info(io.BytesIO(sound)).duration
    except (RuntimeError, TypeError):
        raise ValueError("unreadable audio") from None
    check_length(seconds, config)
    return seconds


def featurized(
    samples: Iterable[dict[str, Any]], reader: Reader, config: TrainConfig, report: Report
) -> list[Features]:
    """Features of the samples that can be used; the others are counted in `report`."""
    items = []
    for sample in samples:
        try:
            items.append(reader.featurize(decode(sample, config, reader.sample_rate)))
        except ValueError as reason:
            report.skipped[str(reason)] += 1
        else:
            report.kept += 1
    return items


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


def epoch_seed(seed: int, epoch: int, part: int = 0) -> int:
    return int(np.random.SeedSequence([seed, epoch, part]).generate_state(1)[0])


class Corpus:
    """A corpus held in memory as features: decoded once, shuffled anew each epoch.

    Raises ValueError where nothing usable is in the shards.
    """

    def __init__(self, items: list[Features], report: Report, config: TrainConfig, rank: int = 0, world: int = 1):
        if not items:
            raise ValueError(f"the shards hold no usable utterance ({report})")
        self.items, self.report, self.config, self.rank, self.world = items, report, config, rank, world

    def batches(self, epoch: int, skip: int = 0) -> Iterator[list[Features]]:
        """The epoch's batches for this process, from number `skip` on."""
        lengths = [item["length"] for item in self.items]
        batches = make_batches(lengths, self.config.frames_per_batch, epoch_seed(self.config.seed, epoch))
        for indices in share_out(batches, self.rank, self.world)[skip:]:
            yield [self.items[i] for i in indices]


class Stream:
    """A corpus that is read from its shards every epoch; only a window of undecoded utterances is in memory."""

    def __init__(self, shards: list[str], reader: Reader, config: TrainConfig, rank: int = 0, world: int = 1):
        self.shards, self.reader, self.config, self.rank, self.world = shards, reader, config, rank, world
        self.report = Report()  # of the epoch that is being read

    def batches(self, epoch: int, skip: int = 0) -> Iterator[list[Features]]:
        """The epoch's batches for this process, from number `skip` on; an empty list for one that cannot be decoded.

        Raises ValueError where all of them are empty.
        """
        self.report = Report()
        usable = skip > 0
        for number, items, report in _parallel(_StreamBatches(self, epoch, skip), self.config.workers):
            self.report.add(report)
            if number is not None:
                usable = usable or bool(items)
                yield items
        if not usable:
            raise ValueError(f"the shards hold no usable utterance ({self.report})")


class _StreamBatches(IterableDataset):
    """The worker's side of `Stream`: worker w decodes batches w, w + W, …, which DataLoader hands out in that order.

    Each item is a batch's number, features and report. What concerns no batch is counted by the first worker, which
    ends with an item that has no number.
    """

    def __init__(self, stream: Stream, epoch: int, skip: int):
        self.stream, self.epoch, self.skip = stream, epoch, skip

    def __iter__(self) -> Iterator[tuple[int | None, list[Features], Report]]:
        stream, config = self.stream, self.stream.config
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        order = np.random.default_rng(epoch_seed(config.seed, self.epoch)).permutation(len(stream.shards))
        number, general = 0, Report()
        for part, (window, seconds) in enumerate(self._windows([stream.shards[i] for i in order], general)):
            lengths = [stream.reader.length(s) for s in seconds]
            batches = make_batches(lengths, config.frames_per_batch, epoch_seed(config.seed, self.epoch, part + 1))
            for indices in share_out(batches, stream.rank, stream.world):
                if number >= self.skip and (number - self.skip) % workers == worker:
                    report = Report()
                    yield number, featurized([window[i] for i in indices], stream.reader, config, report), report
                number += 1
        if worker == 0:
            yield None, [], general

    def _windows(self, shards: list[str], report: Report) -> Iterator[tuple[list[dict[str, Any]], list[float]]]:
        """Raw samples and their seconds, by the headers alone, so that a resumed run decodes nothing twice."""
        window: list[dict[str, Any]] = []
        seconds: list[float] = []
        size = 0
        for sample in raw_samples(shards, report):
            try:
                seconds.append(seconds_of(sample, self.stream.config))
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


class _Shards(Dataset):
    """One item a shard: its features. Lets DataLoader's workers decode a corpus in parallel."""

    def __init__(self, shards: list[str], reader: Reader, config: TrainConfig):
        self.shards, self.reader, self.config = shards, reader, config

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> tuple[list[Features], Report]:
        report = Report()
        raw = raw_samples([self.shards[index]], report)
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

    With `store`, process 0 keeps the features there, under a name made from the shards and the reader's fingerprint,
    and they are read back next time; but not where a shard was damaged or out of reach, for it may be whole then.
    """
    path = None
    if store is not None:
        sizes = [os.path.getsize(s) if os.path.exists(s) else 0 for s in shards]
        key = [shards, sizes, reader.fingerprint(), config.min_seconds, config.max_seconds]
        path = store / f"features-{zlib.crc32(json.dumps(key).encode()):08x}.pt"
        if path.exists():
            try:
                items, kept, skipped = torch.load(path, weights_only=True)
            except Exception as error:
                warnings.warn(f"{path}: unreadable ({type(error).__name__}); the shards are read again", stacklevel=2)
            else:
                return Corpus(items, Report(kept, Counter(skipped)), config, rank, world)
    report = Report()
    items = []
    results = _parallel(_Shards(shards, reader, config), min(config.workers, len(shards)))
    for done, (found, part) in enumerate(results):
        items += found
        report.add(part)
        if progress is not None:
            progress(done + 1, len(shards))
    corpus = Corpus(items, report, config, rank, world)
    if path is not None and rank == 0 and not report.notices:
        save_whole((items, report.kept, dict(report.skipped)), path)
    return corpus
