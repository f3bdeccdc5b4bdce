"""`vivavoce prepare --tokens`: audio shards → token shards beside them, NAME.tar → NAME.tokens.tar, with the same keys.

Processes work on blocks of a shard's utterances, which share Whisper's windows. The blocks do not depend on the number
of processes, so neither do the tokens. Token shards are written atomically: an interrupted run resumes with the first
missing one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from vivavoce.audio.files import remove_parts
from vivavoce.cluster import RayCluster, map_jobs
from vivavoce.config import available_cores
from vivavoce.data.tokens import SUFFIX, TokensHeader, TokenWriter, read_tokens, token_path
from vivavoce.locks import lock_folder
from vivavoce.prepare.blocks import Result, blocks
from vivavoce.workers import in_order

Progress = Callable[[str, float], None]
MANY = 1 << 16  # processes that a worker of a cluster must assume beside it, so that it has one thread


class Report(NamedTuple):
    """The result of a run."""

    written: list[Path]
    kept: list[Path]  # token shards that existed already
    utterances: int  # in the written shards
    dropped: Counter[str]  # by reason


def make_tokens(
    source: str | os.PathLike[str],
    semantic: str,
    codec: str,
    whisper: str | os.PathLike[str],
    *,
    workers: int | None = None,
    ray: RayCluster | None = None,
    progress: Progress | None = None,
) -> Report:
    """Write the token shards of the audio shards in `source`: a .tar, a glob of them, or a folder.

    semantic, codec: folders of exported models, or "bundled". whisper: the checkpoint of openai-whisper that the
    semantic model was trained for. workers: processes (None: one for each CPU; 1: only this one). ray: the cluster
    whose workers do it instead; all nodes need the models at these paths. Existing token shards of the same models are
    kept. With several workers the calling script must be importable (`if __name__ ==
    "__main__":`). Raises ValueError for a source without shards, models that are unreadable or do not fit together, and
    token shards of other models; OSError if the disk or a worker fails.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be 1 or more")
    from vivavoce.prepare.tokens_torch import header_of, make, start  # loads torch

    shards = audio_shards(source)
    models = semantic, codec, str(whisper)
    header = header_of(*models)
    kept = [shard for shard in shards if _made(token_path(shard), header)]
    missing = [shard for shard in shards if shard not in kept]
    if not missing:
        return Report([], [token_path(shard) for shard in kept], 0, Counter())
    with contextlib.ExitStack() as locks:
        for folder in sorted({shard.parent for shard in missing}):
            locks.enter_context(lock_folder(folder))
        for shard in missing:
            remove_parts(shard.parent, token_path(shard).name)
        count = workers or available_cores()
        if ray is not None:
            ray = ray if workers is None else dataclasses.replace(ray, workers=workers)
            jobs = functools.partial(blocks, missing)
            done = map_jobs(jobs, make, start, (*models, MANY), ray, ordered=True)
        else:
            done = in_order(make, blocks(missing), count, start, (*models, count))
        with contextlib.closing(done) as results:
            written, utterances, dropped = _write(results, header, progress or (lambda description, done: None))
    return Report(written, [token_path(shard) for shard in kept], utterances, dropped)


def _write(results: Iterable[Result], header: TokensHeader, progress: Progress) -> tuple[list[Path], int, Counter[str]]:
    """Write the token shards of consecutive results; return them, their utterances, and the dropped ones by reason."""
    written: list[Path] = []
    dropped: Counter[str] = Counter()
    utterances = 0
    writer: TokenWriter | None = None
    try:
        for shard, group in itertools.groupby(results, lambda result: result.shard):
            writer = TokenWriter(token_path(shard), header)
            for result in group:
                for item in result.items:
                    writer.add_item(item)
                dropped += result.dropped
                progress(f"tokens of {shard.name}", result.done)
            writer.close()
            utterances += writer.count
            written.append(writer.target)
            writer = None
    finally:
        if writer is not None:
            writer.discard()
    return written, utterances, dropped


def summary(report: Report) -> str:
    """Return a report in a line or two."""
    lines = [f"{len(report.written)} token shards with {report.utterances} utterances"]
    if report.kept:
        lines[0] += f"; {len(report.kept)} existed already"
    if report.dropped:
        lines.append("dropped: " + "; ".join(f"{count} {reason}" for reason, count in report.dropped.most_common()))
    return "\n".join(lines)


def audio_shards(source: str | os.PathLike[str]) -> list[Path]:
    """Return the audio shards of a path, a glob or a folder, in order. Raises ValueError if there are none."""
    root = Path(source)
    found = sorted(root.rglob("*.tar")) if root.is_dir() else sorted(map(Path, glob.glob(str(source), recursive=True)))
    if root.is_file():
        found = [root]
    shards = [path for path in found if path.is_file() and not path.name.endswith(SUFFIX)]
    if not shards:
        raise ValueError(f"no audio shard at {str(source)!r}; give a .tar file, a folder of them, or a glob")
    return shards


def _made(path: Path, header: TokensHeader) -> bool:
    """Return whether the token shard exists. Raises ValueError if other models made it."""
    if not path.exists():
        return False
    found, _ = read_tokens(path)
    if found != header:
        raise ValueError(f"{path}: made by other models ({found.differences(header)}); delete it to make it again")
    return True
