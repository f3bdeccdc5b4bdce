"""WebDataset shards → utterances → batches.

A shard is a tar of KEY.ogg (or any audio that libsndfile reads) with KEY.json ({"text", "speaker", "words", …}) or
KEY.txt. Batches hold at most a budget of frames, come from length buckets, leave no utterance out, and their order
depends on the seed and the epoch alone: not on the number of workers, nor on where a run was interrupted.
Knows nothing about models: a `Featurizer` turns an utterance into what its task wants.
"""

from __future__ import annotations

import glob
import io
import json
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import braceexpand
import numpy as np
import soundfile
import torch
import webdataset
from torch.utils.data import DataLoader, Dataset, IterableDataset

from vivavoce import audio
from vivavoce.config import TrainConfig

Features = dict[str, Any]
Featurizer = Callable[["Utterance"], Features]

AUDIO = ("wav", "flac", "ogg", "opus", "mp3", "aif", "aiff")
WINDOW = 2_000  # utterances that are sorted into batches together where the corpus is streamed


@dataclass(frozen=True)
class Utterance:
    """One recording as the shards give it."""

    key: str
    samples: np.ndarray  # float32 [S]
    text: str
    speaker: str = ""
    words: tuple[tuple[str, float, float], ...] = ()  # word, start, end in seconds; empty where the data has none


@dataclass
class Report:
    """What reading the shards met: kept and skipped samples, by reason."""

    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        reasons = "".join(f"; {count} skipped: {reason}" for reason, count in sorted(self.skipped.items()))
        return f"{self.kept} utterances{reasons}"


def expand(patterns: Sequence[str]) -> list[str]:
    """Shard names from paths, globs, `{000..006}` ranges, folders and URLs.

    Raises ValueError for a local name that matches nothing.
    """
    shards: list[str] = []
    for pattern in patterns:
        for name in braceexpand.braceexpand(str(pattern)):
            if "://" in name or name.startswith("pipe:"):
                shards.append(name)
                continue
            found = sorted(glob.glob(os.path.join(name, "*.tar") if os.path.isdir(name) else name))
            if not found:
                raise ValueError(f"no shard at {name!r}; give .tar files, a folder of them, a glob or a URL")
            shards += found
    return shards


# ---- reading ------------------------------------------------------------------------------------------------------


def raw_samples(shards: Sequence[str], report: Report) -> Iterator[dict[str, Any]]:
    """Undecoded samples in the shards' order; a damaged shard ends early, with a notice."""

    def damaged(error: Exception) -> bool:
        report.skipped["shard damaged or out of reach"] += 1
        warnings.warn(f"shard skipped from here on: {error}", stacklevel=2)
        return True

    # shuffling and splitting off: the order, and who reads what, is this module's business
    source = webdataset.WebDataset(
        list(shards), shardshuffle=False, handler=damaged, nodesplitter=None, workersplitter=None, empty_check=False
    )
    yield from source


def decode(sample: dict[str, Any], config: TrainConfig, sample_rate: int) -> Utterance:
    """The utterance in a raw sample. Raises ValueError, whose message is the reason for skipping it."""
    extension = next((e for e in AUDIO if e in sample), None)
    if extension is None:
        raise ValueError("no audio")
    if "json" in sample:
        try:
            meta = json.loads(sample["json"])
        except ValueError:
            raise ValueError("unreadable json") from None
    elif "txt" in sample:
        meta = {"text": sample["txt"].decode("utf-8", "replace")}
    else:
        raise ValueError("no text")
    text = str(meta.get("text", "")).strip()
    if not text:
        raise ValueError("empty text")
    try:
        samples = audio.read(io.BytesIO(sample[extension]), sample_rate)
    except ValueError:
        raise ValueError("unreadable audio") from None
    seconds = len(samples) / sample_rate
    if not config.min_seconds <= seconds <= config.max_seconds:
        raise ValueError(f"shorter than {config.min_seconds} s or longer than {config.max_seconds} s")
    words = tuple((str(w), float(a), float(b)) for w, a, b in meta.get("words") or ())
    return Utterance(sample["__key__"], samples, text, str(meta.get("speaker", "")), words)


def seconds_of(sample: dict[str, Any]) -> float:
    """Length of a raw sample from its audio's header, 0 where that cannot be read."""
    for extension in AUDIO:
        if extension in sample:
            try:
                return soundfile.info(io.BytesIO(sample[extension])).duration
            except RuntimeError:
                return 0.0
    return 0.0


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
    """This process's batches: every process gets equally many, the first ones twice where they do not divide."""
    if not batches:
        return []
    padded = batches + batches[: -len(batches) % world]
    return padded[rank::world]


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
        seed = epoch_seed(self.config.seed, epoch)
        for indices in share_out(make_batches(lengths, self.config.frames_per_batch, seed), self.rank, self.world)[
            skip:
        ]:
            yield [self.items[i] for i in indices]


class Stream:
    """A corpus that is read from its shards every epoch; only a window of undecoded utterances is in memory."""

    def __init__(
        self, shards: list[str], featurize: Featurizer, config: TrainConfig, sample_rate: int, rank: int, world: int
    ):
        self.shards, self.featurize, self.config = shards, featurize, config
        self.sample_rate, self.rank, self.world = sample_rate, rank, world
        self.report = Report()

    def batches(self, epoch: int, skip: int = 0) -> Iterator[list[Features]]:
        dataset = _StreamBatches(self, epoch, skip)
        loader = DataLoader(dataset, batch_size=None, num_workers=self.config.workers, collate_fn=_as_is)
        empty = True
        for items, report in loader:
            self.report.kept += report.kept
            self.report.skipped.update(report.skipped)
            if items:
                empty = False
                yield items
        if empty and skip == 0:
            raise ValueError(f"the shards hold no usable utterance ({self.report})")


class _StreamBatches(IterableDataset):
    """The worker's side of `Stream`: worker w decodes batches w, w + W, …, which DataLoader hands out in that order."""

    def __init__(self, stream: Stream, epoch: int, skip: int):
        self.stream, self.epoch, self.skip = stream, epoch, skip

    def __iter__(self) -> Iterator[tuple[list[Features], Report]]:
        stream, config = self.stream, self.stream.config
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        order = np.random.default_rng(epoch_seed(config.seed, self.epoch)).permutation(len(stream.shards))
        number = 0
        for part, window in enumerate(self._windows([stream.shards[i] for i in order])):
            # Lengths from the audio headers, so that skipping after a resume decodes nothing.
            lengths = [max(1, round(seconds_of(s) * 93.75)) for s in window]
            seed = epoch_seed(config.seed, self.epoch, part + 1)
            for indices in share_out(make_batches(lengths, config.frames_per_batch, seed), stream.rank, stream.world):
                if number >= self.skip and (number - self.skip) % workers == worker:
                    report = Report()
                    chosen = [window[i] for i in indices]
                    yield featurized(chosen, stream.featurize, config, stream.sample_rate, report), report
                number += 1

    def _windows(self, shards: list[str]) -> Iterator[list[dict[str, Any]]]:
        window: list[dict[str, Any]] = []
        for sample in raw_samples(shards, Report()):
            window.append(sample)
            if len(window) == WINDOW:
                yield window
                window = []
        if window:
            yield window


def featurized(
    samples: Sequence[dict[str, Any]], featurize: Featurizer, config: TrainConfig, sample_rate: int, report: Report
) -> list[Features]:
    """Features of the samples that can be used; the others are counted in `report`."""
    items = []
    for sample in samples:
        try:
            items.append(featurize(decode(sample, config, sample_rate)))
        except ValueError as reason:
            report.skipped[str(reason)] += 1
        else:
            report.kept += 1
    return items


class _Shards(Dataset):
    """One item a shard: its features. Lets DataLoader's workers decode a corpus in parallel."""

    def __init__(self, shards: list[str], featurize: Featurizer, config: TrainConfig, sample_rate: int):
        self.shards, self.featurize, self.config, self.sample_rate = shards, featurize, config, sample_rate

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> tuple[list[Features], Report]:
        report = Report()
        raw = raw_samples([self.shards[index]], report)
        return featurized(list(raw), self.featurize, self.config, self.sample_rate, report), report


def _as_is(item: Any) -> Any:
    return item


def load_corpus(
    shards: list[str],
    featurize: Featurizer,
    config: TrainConfig,
    sample_rate: int,
    rank: int = 0,
    world: int = 1,
    store: Path | None = None,
    fingerprint: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Decode all shards into memory, through `config.workers` processes.

    With `store`, features are kept there under a name made from the shards and `fingerprint`, and read back next time.
    """
    path = None
    if store is not None:
        sizes = [os.path.getsize(s) if os.path.exists(s) else 0 for s in shards]
        name = zlib.crc32(json.dumps([shards, sizes, fingerprint, config.min_seconds, config.max_seconds]).encode())
        path = store / f"features-{name:08x}.pt"
        if path.exists():
            items, kept, skipped = torch.load(path, weights_only=True)
            return Corpus(items, Report(kept, Counter(skipped)), config, rank, world)
    dataset = _Shards(shards, featurize, config, sample_rate)
    loader = DataLoader(dataset, batch_size=None, num_workers=min(config.workers, len(shards)), collate_fn=_as_is)
    report = Report()
    items = []
    for done, (found, part) in enumerate(loader):
        items += found
        report.kept += part.kept
        report.skipped.update(part.skipped)
        if progress is not None:
            progress(done + 1, len(shards))
    corpus = Corpus(items, report, config, rank, world)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((items, report.kept, dict(report.skipped)), path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)
    return corpus


# ---- text and time ------------------------------------------------------------------------------------------------


def align(
    words: Sequence[str], times: Sequence[tuple[str, float, float]], total: float
) -> tuple[list[int], list[float]]:
    """Spans of characters whose length is known.

    `words` are the text's words; the text that is aligned is " " + " ".join(words) + " ", so that the silences at both
    ends have a character too. `times` are (word, start, end) in seconds for some or all of them, in order.
    Returns for each character the number of its span, and for each span its seconds: words and the pauses between them
    where both are known, longer stretches where words are missing, one span of `total` seconds where there are none.
    """
    spans: list[int] = []
    seconds: list[float] = []
    pending, clock, next_time = 1, 0.0, 0  # characters waiting for the next known place: at first the leading space

    def close(characters: int, until: float) -> None:
        nonlocal clock
        spans.extend([len(seconds)] * characters)
        seconds.append(max(0.0, until - clock))
        clock = max(clock, until)

    for word in words:
        if next_time < len(times) and times[next_time][0] == word:
            _, start, end = times[next_time]
            next_time += 1
            close(pending, min(start, total))
            close(len(word), min(end, total))
            pending = 1
        else:
            pending += len(word) + 1
    close(pending, total)
    return spans, seconds
