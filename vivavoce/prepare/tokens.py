"""`prepare --tokens`: audio shards → token shards beside them, NAME.tar → NAME.tokens.tar, keyed alike.

Processes take turns at blocks of a shard's utterances, whose clips share Whisper's windows; the blocks do not depend on
the number of processes, and neither do the tokens. A token shard is written whole or not at all, so a run that was
stopped goes on with the first one that is missing.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from vivavoce.prepare.blocks import blocks
from vivavoce.prepare.workers import in_order
from vivavoce.tokens import SUFFIX, TokensHeader, TokenWriter, read_tokens, token_path

Progress = Callable[[str, float], None]


class Report(NamedTuple):
    """What a run did."""

    written: list[Path]
    kept: list[Path]  # that were there already
    utterances: int  # in those written
    dropped: Counter[str]  # by reason


def make_tokens(
    source: str | os.PathLike[str],
    semantic: str,
    codec: str,
    whisper: str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the token shards of the audio shards in `source`: a .tar, a glob of them, or a folder.

    semantic, codec: folders of exported models, or "bundled". whisper: a checkpoint of openai-whisper, the one that the
    semantic model goes with. workers: processes (None: one for each CPU; 1: none but this one). Token shards that are
    there already, made by the same models, are left as they are.
    With several workers the calling script must be importable (`if __name__ == "__main__":`).
    Raises ValueError for a source without shards, models that cannot be read or do not go together, and token shards
    made by other models; OSError where the disk or a worker fails.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be 1 or more")
    from vivavoce.prepare.tokens_torch import header_of, make, start  # here, for it loads torch

    shards = audio_shards(source)
    models = semantic, codec, str(whisper)
    header = header_of(*models)
    kept = [shard for shard in shards if _made(token_path(shard), header)]
    missing = [shard for shard in shards if shard not in kept]
    written: list[Path] = []
    dropped: Counter[str] = Counter()
    utterances = 0
    if not missing:
        return Report(written, [token_path(shard) for shard in kept], utterances, dropped)
    tell = progress or (lambda description, done: None)
    count = workers or os.cpu_count() or 1
    writer: TokenWriter | None = None
    try:
        with contextlib.closing(in_order(make, blocks(missing), count, start, (*models, count))) as results:
            for shard, group in itertools.groupby(results, lambda result: result.shard):
                writer = TokenWriter(token_path(shard), header)
                for result in group:
                    for item in result.items:
                        writer.add_item(item)
                    dropped += result.dropped
                    tell(f"tokens of {shard.name}", result.done)
                writer.close()
                utterances += writer.count
                written.append(writer.target)
                writer = None
    finally:
        if writer is not None:
            writer.discard()
    return Report(written, [token_path(shard) for shard in kept], utterances, dropped)


def summary(report: Report) -> str:
    """A report in a line or two."""
    lines = [f"{len(report.written)} token shards with {report.utterances} utterances"]
    if report.kept:
        lines[0] += f"; {len(report.kept)} were there already"
    if report.dropped:
        lines.append("dropped: " + "; ".join(f"{count} {reason}" for reason, count in report.dropped.most_common()))
    return "\n".join(lines)


def audio_shards(source: str | os.PathLike[str]) -> list[Path]:
    """The audio shards of a path, a glob or a folder, in order. Raises ValueError where there are none."""
    root = Path(source)
    found = sorted(root.rglob("*.tar")) if root.is_dir() else sorted(map(Path, glob.glob(str(source), recursive=True)))
    if root.is_file():
        found = [root]
    shards = [path for path in found if path.is_file() and not path.name.endswith(SUFFIX)]
    if not shards:
        raise ValueError(f"no audio shard at {str(source)!r}; give a .tar file, a folder of them, or a glob")
    return shards


def _made(path: Path, header: TokensHeader) -> bool:
    """Whether the token shard is there. Raises ValueError where other models made it."""
    if not path.exists():
        return False
    found, _ = read_tokens(path)
    if found != header:
        raise ValueError(f"{path}: made by other models ({found.differences(header)}); delete it to have it made anew")
    return True
