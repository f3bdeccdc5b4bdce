"""Reading token shards in training: what a task that learns from tokens inherits, beside `Task`.

A task `class T2STask(TokenReader, Task)` gives `features_of(item)` in place of `featurize`, and finds the shards'
common header in `self.header` before `build` is called.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from vivavoce.config import TrainConfig
from vivavoce.tokens import HEADER, SUFFIX, TokenItem, TokensHeader, parse_header, parse_item
from vivavoce.train.shards import Features, Reader, Report, check_length, raw_samples

_ATTACHED = "__header__"  # under which a raw sample carries its shard's header, undecoded
_parse = functools.lru_cache(parse_header)


def sound_shards(shards: list[str]) -> list[str]:
    """Those that are no token shards, which may lie beside them. ValueError where there are only token shards."""
    found = [shard for shard in shards if not shard.endswith(SUFFIX)]
    if shards and not found:
        raise ValueError(f"{shards[0]} holds tokens; this task is trained on the shards of recordings beside it")
    return found


class TokenReader(Reader):
    """Reads token shards instead of recordings."""

    header: TokensHeader  # of all the shards, after `check_data`

    def features_of(self, item: TokenItem) -> Features:
        """What training needs of the utterance; "length" is its size. Raises ValueError: why it is skipped."""
        raise NotImplementedError

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        """The token shards among these, whose header is kept. Raises ValueError for mixed ones, or for none."""
        chosen = [[shard for shard in names if shard.endswith(SUFFIX)] for names in (shards, valid)]
        for names, found in zip((shards, valid), chosen, strict=True):
            if names and not found:
                raise ValueError(f"{names[0]}: no token shard (NAME{SUFFIX}); vivavoce prepare --tokens makes them")
        first = ""
        for shard in (*chosen[0], *chosen[1]):
            header = read_header(shard)
            if not first:
                first, self.header = shard, header
            elif header != self.header:
                raise ValueError(f"{first} and {shard} have different tokens: {self.header.differences(header)}")
        return chosen[0], chosen[1]

    def undecoded(self, shards: Iterable[str], report: Report) -> Iterator[dict[str, Any]]:
        for shard in shards:
            header = None
            for sample in raw_samples([shard], report):
                if header is None:
                    header = sample["json"]  # `check_data` has read it
                else:
                    yield {**sample, _ATTACHED: header}

    def seconds(self, sample: dict[str, Any], config: TrainConfig) -> float:
        seconds = self._item(sample)["seconds"]
        check_length(seconds, config)
        return seconds

    def features(self, sample: dict[str, Any], config: TrainConfig) -> Features:
        item = self._item(sample)
        check_length(item["seconds"], config)
        return self.features_of(item)

    def _item(self, sample: dict[str, Any]) -> TokenItem:
        return parse_item(sample["__key__"], sample, _parse(sample[_ATTACHED], sample["__url__"]))


def read_header(shard: str) -> TokensHeader:
    """A token shard's header, from a file or a URL. Raises ValueError where it cannot be read."""
    report = Report()
    samples = raw_samples([shard], report)
    first = next(samples, None)
    samples.close()  # type: ignore[attr-defined]  # a generator: the rest of the shard is not read
    if first is None or first["__key__"] != HEADER or "json" not in first:
        raise ValueError("; ".join(report.notices) or f"{shard}: no token shard (its first member must be tokens.json)")
    return parse_header(first["json"], shard)
