"""A source of features that any utterance has, for tests of batches and streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from vivavoce.data.samples import Features, Report, SampleSource, Utterance
from vivavoce.train.config import TrainConfig
from vivavoce.train.stream import Stream


class Plain(SampleSource):
    """A source whose features are the key, the text and the length. It rejects the utterances in `refused`."""

    sample_rate = 24_000

    def __init__(self, refused: Sequence[str] = ()):
        self.refused = refused

    def featurize(self, utterance: Utterance) -> Features:
        if utterance.key in self.refused:
            raise ValueError("refused")
        frames = len(utterance.samples) // 256 + 1
        mean = torch.from_numpy(utterance.samples).abs().mean()
        return {"key": utterance.key, "text": utterance.text, "words": utterance.words, "length": frames, "mean": mean}

    def length(self, seconds: float) -> int:
        return int(seconds * 93.75) + 2

    def fingerprint(self) -> str:
        return f"plain {self.refused}"


class Untouched(Plain):
    """The same, but it must not decode anything."""

    def featurize(self, utterance: Utterance) -> Features:
        raise AssertionError("decoded again")


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"frames_per_batch": 300, "workers": 0, "min_seconds": 0.3, "max_seconds": 5.0, **changes})


def keys(batches: Iterable[list[Features]]) -> list[list[str]]:
    return [[item["key"] for item in items] for items in batches]


def epochs(stream: Stream, count: int = 1) -> list[list[list[Features]]]:
    """The batches of the first epochs, also the empty ones, of a process's share."""
    found: list[list[list[Features]]] = [[] for _ in range(count)]
    for output in stream.outputs():
        stream.reports.setdefault(output.epoch, Report()).add(output.report)
        stream.positions[output.worker] = output.position
        if output.position[1] and output.epoch < count:
            found[output.epoch].append(output.items)
        if stream.epoch >= count:
            return found
    raise AssertionError("a stream never ends")
