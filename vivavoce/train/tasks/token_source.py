"""Token shards as training data.

A task `class T2STask(TokenSource, Task)` implements `token_features(item)` in place of `featurize`. The header that its
shards have in common is `self.header`, known before `build` is called.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

from vivavoce.data.samples import Features, LengthLimits, Report, SampleSource, check_length, raw_samples
from vivavoce.data.tar import Sample
from vivavoce.data.tokens import HEADER, SUFFIX, TokenItem, TokensHeader, parse_header, parse_item

_ATTACHED = "__header__"  # under which a sample carries the undecoded header of its shard
_parse = functools.lru_cache(parse_header)


class TokenSource(SampleSource):
    """Reads token shards instead of recordings."""

    header: TokensHeader  # of all shards, after `check_data`

    def token_features(self, item: TokenItem) -> Features:
        """Return what training needs of an utterance; "length" is its size.

        Raises ValueError, whose message is the reason for skipping the utterance.
        """
        raise NotImplementedError

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        """Select the token shards and keep their header. Raises ValueError if they differ in it, or there are none."""
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

    def undecoded(self, shards: Iterable[str], report: Report) -> Iterator[Sample]:
        for shard in shards:
            header = None
            for sample in raw_samples([shard], report):
                if header is None:
                    header = sample.files["json"]  # valid: `check_data` has parsed it
                else:
                    yield sample._replace(files={**sample.files, _ATTACHED: header})

    def seconds(self, sample: Sample, limits: LengthLimits) -> float:
        seconds = self._item(sample)["seconds"]
        check_length(seconds, limits)
        return seconds

    def features(self, sample: Sample, limits: LengthLimits) -> Features:
        item = self._item(sample)
        check_length(item["seconds"], limits)
        return self.token_features(item)

    def _item(self, sample: Sample) -> TokenItem:
        return parse_item(sample.key, sample.files, _parse(sample.files[_ATTACHED], sample.key))


def read_header(shard: str) -> TokensHeader:
    """Return the header of a token shard, a file or a URL. Raises ValueError if it cannot be read."""
    report = Report()
    samples = raw_samples([shard], report)
    first = next(samples, None)
    samples.close()  # type: ignore[attr-defined]  # a generator: the rest of the shard is not read
    if first is None or first.key != HEADER or "json" not in first.files:
        raise ValueError("; ".join(report.notices) or f"{shard}: no token shard (its first member must be tokens.json)")
    return parse_header(first.files["json"], shard)
