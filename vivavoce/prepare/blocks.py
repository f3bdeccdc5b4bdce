"""Audio shards → blocks of undecoded utterances, which worker processes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vivavoce.data.samples import Metadata, audio_of, metadata_of
from vivavoce.data.tar import DamagedShard, read_shard
from vivavoce.data.tokens import TokenItem

BLOCK = 64  # utterances that a process gets at once


class Clip(NamedTuple):
    """An undecoded utterance of an audio shard."""

    key: str
    audio: bytes
    meta: Metadata


class Block(NamedTuple):
    """Utterances of one shard that a process gets at once."""

    shard: Path
    done: float  # of all shards, including this block
    clips: list[Clip]
    dropped: Counter[str]  # by reason, among the utterances that were read for this block


class Result(NamedTuple):
    """The tokens of a block."""

    shard: Path
    done: float
    items: list[TokenItem]
    dropped: Counter[str]


def blocks(shards: Sequence[Path]) -> Iterator[Block]:
    """Yield the shards' utterances in blocks; every shard has at least one, which may be empty."""
    sizes = [shard.stat().st_size for shard in shards]
    total = max(1, sum(sizes))
    for number, shard in enumerate(shards):
        before, size = sum(sizes[:number]), sizes[number]
        clips: list[Clip] = []
        dropped: Counter[str] = Counter()
        try:
            for sample in read_shard(shard):
                try:
                    clips.append(Clip(sample.key, audio_of(sample.files), metadata_of(sample.files)))
                except ValueError as reason:
                    dropped[str(reason)] += 1
                if len(clips) == BLOCK:
                    yield Block(shard, (before + min(size, sample.end)) / total, clips, dropped)
                    clips, dropped = [], Counter()
        except DamagedShard:
            dropped["(shards) damaged; used as far as readable"] += 1
        yield Block(shard, (before + size) / total, clips, dropped)
