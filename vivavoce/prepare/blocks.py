"""Audio shards → blocks of utterances that are not yet decoded, which processes share out among them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vivavoce.prepare.shards import DamagedShard, Files, read_shard
from vivavoce.prepare.sources import AUDIO
from vivavoce.tokens import TokenItem

BLOCK = 64  # utterances that a process gets at once


class Clip(NamedTuple):
    """An utterance of an audio shard, not yet decoded."""

    key: str
    sound: bytes
    text: str
    lang: str
    name: str
    words: list[tuple[str, float, float]]


class Block(NamedTuple):
    """Utterances of one shard that a process gets at once."""

    shard: Path
    done: float  # of all shards, with this block
    clips: list[Clip]
    dropped: Counter[str]  # by reason, among those that were read for this block


class Result(NamedTuple):
    """What became of a block."""

    shard: Path
    done: float
    items: list[TokenItem]
    dropped: Counter[str]


def blocks(shards: Sequence[Path]) -> Iterator[Block]:
    """The shards' utterances in blocks; every shard has at least one, which may be empty."""
    sizes = [shard.stat().st_size for shard in shards]
    for number, shard in enumerate(shards):
        before, share, whole = sum(sizes[:number]), sizes[number], max(1, sum(sizes))
        clips: list[Clip] = []
        dropped: Counter[str] = Counter()
        try:
            for key, files, part in read_shard(shard):
                try:
                    clips.append(_clip(key, files))
                except ValueError as reason:
                    dropped[str(reason)] += 1
                if len(clips) == BLOCK:
                    yield Block(shard, (before + share * part) / whole, clips, dropped)
                    clips, dropped = [], Counter()
        except DamagedShard:
            dropped["(shards) damaged; used as far as readable"] += 1
        yield Block(shard, (before + share) / whole, clips, dropped)


def _clip(key: str, files: Files) -> Clip:
    """Raises ValueError, whose message is the reason for dropping it."""
    sound = next((files[extension] for extension in AUDIO if extension in files), b"")
    if not sound:
        raise ValueError("no audio")
    if "json" not in files and "txt" not in files:
        raise ValueError("no text")
    try:
        meta: Any = json.loads(files["json"]) if "json" in files else {"text": files["txt"].decode("utf-8-sig")}
        text, lang, name = str(meta["text"]).strip(), str(meta.get("lang") or "en"), str(meta.get("speaker") or "")
        words = [(str(word), float(start), float(end)) for word, start, end in meta.get("words") or ()]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError("unreadable text") from None
    if not text:
        raise ValueError("empty text")
    return Clip(key, sound, text, lang, name, words)
