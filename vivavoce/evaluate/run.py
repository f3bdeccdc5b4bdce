"""`vivavoce evaluate`: models, folders of audio and shards of recordings to tables of figures.

plan.py says what to score, judge.py scores a clip, table.py averages, store.py keeps clips and scores. Speaking and
reading happen one clip after another, while scoring runs beside it in threads; or the workers of a Ray cluster do both
(worker.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vivavoce import audio
from vivavoce.cluster import RayCluster, map_jobs
from vivavoce.config import BUILTIN_VOICES, available_cores
from vivavoce.evaluate.clips import Item, Wave
from vivavoce.evaluate.judge import Clip, Judge, Score, load_judge
from vivavoce.evaluate.plan import COPY, Group, Request, plan
from vivavoce.evaluate.store import ClipStore, judge_fingerprint
from vivavoce.evaluate.table import Table, summarise
from vivavoce.evaluate.worker import Job, score, start, with_references
from vivavoce.metrics.packages import versions
from vivavoce.synthesis.tts import load
from vivavoce.systems.interface import SynthesisError
from vivavoce.voices import get

MAX_THREADS = 8  # by default: each thread keeps the recognizer's working memory


@dataclass
class Report:
    """What has been scored so far, even if the run is interrupted."""

    request: Request
    tables: list[Table] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0
    missing: list[str] = field(default_factory=list)  # columns that are not measured, and how to install their judge

    def write(self, path: Path) -> None:
        """Write JSON with every clip's score, whole or not at all. Raises as `audio.atomic_write`."""
        values = {
            "complete": self.complete,
            "settings": dataclasses.asdict(self.request),
            "versions": versions(),
            "tables": [table.to_dict() for table in self.tables],
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, default=os.fspath)
        audio.atomic_write(path, f"{text}\n".encode())

    def show(self) -> None:
        """Print the tables: coloured on a terminal, plain columns elsewhere."""
        from rich.console import Console

        for table in self.tables:
            if sys.stdout.isatty():
                Console(highlight=False).print(table.rich())
            else:
                print(table.plain())
            print()
            for note in table.notes:
                print(note)
            if failed := [s for s in table.scores if s.failure]:
                first = f"{failed[0].key} of {failed[0].voice}: {failed[0].failure}"
                print(f"{len(failed)} clips without speech, counted as wrong and skipped; the first is {first}")
        original = None
        for table in self.tables if self.complete else ():
            if not table.title.startswith(COPY):
                original = table
            elif original is not None:
                print(_difference(table, original))
        for missing in self.missing if self.tables else ():
            print(f"not measured: {missing}")
        if self.tables:
            print(f"Whisper {self.request.asr}, greedy, float32; {self.seconds:.0f} s in all.")


def evaluate(request: Request, report: Report, ray: RayCluster | None = None) -> None:
    """Score everything and append each table to `report`; an interrupted table holds the clips scored so far.

    ray: the cluster that does it; the files of the request must have the same paths on each node.
    Shows a progress bar on stderr if that is a terminal. Raises ValueError for invalid input before any work is done,
    and later for audio that cannot be read or text that cannot be spoken; OSError if the cluster fails.
    """
    begin = time.perf_counter()
    try:
        groups = plan(request, load)
        threads = request.threads or min(MAX_THREADS, available_cores())
        judge = load_judge(request.asr, threads)
        report.missing = judge.missing
        if ray is not None:
            _run_on(ray, report, groups, judge)
        else:
            for group in groups:
                _GroupRun(report, group, judge, threads).run()
        report.complete = True
    finally:
        report.seconds = time.perf_counter() - begin


def _run_on(ray: RayCluster, report: Report, groups: list[Group], judge: Judge) -> None:
    """Score all groups on a cluster at once, so that each worker loads its models once."""
    request = report.request
    runs = [_GroupRun(report, group, judge, 1) for group in groups]
    with _progress("clips", sum(len(group.items) for group in groups)) as show:
        for run in runs:
            run.show = show
        try:
            jobs = [Job(number, i, wave) for number, run in enumerate(runs) for i, wave in run.unscored()]
            if jobs:
                arguments = plan, request, load, load_judge
                results = map_jobs(functools.partial(iter, jobs), score, start, arguments, ray, ordered=False)
                with contextlib.closing(results):
                    for scored in results:
                        runs[scored.group].take(scored.item, scored.score, scored.wave)
        finally:
            for run in runs:
                run.finish()


class _GroupRun:
    """The scoring of one group: clips are made here, and scored in a pool of threads."""

    def __init__(self, report: Report, group: Group, judge: Judge, threads: int) -> None:
        self.report, self.group, self.threads = report, group, threads
        self.judge = with_references(judge, group)
        keep = report.request.keep
        folder = None if keep is None else keep / group.place
        self.store = ClipStore(folder, judge_fingerprint(self.judge, report.request.asr))
        self.scores: dict[int, Score] = {}
        self.pending: dict[Future[Score], int] = {}
        self.notes = _imitation_notes(self.judge, group)
        self.show: Callable[[float], None] = lambda wer: None

    def run(self) -> None:
        """Score the clips and append the table, even if the run is interrupted."""
        pool = ThreadPoolExecutor(self.threads)
        with _progress(self.group.place.as_posix(), len(self.group.items)) as self.show:
            try:
                for i, item in enumerate(self.group.items):
                    if (clip := self._clip(i, item)) is not None:
                        self.pending[pool.submit(self.judge.score, clip)] = i
                    self._collect(at_most=2 * self.threads)  # keeps every thread busy and memory bounded
                self._collect(at_most=0)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                for future, i in self.pending.items():  # scored, but not collected before the interruption
                    if not future.cancelled() and future.exception() is None:
                        self._keep(i, future.result())
                self.finish()

    def finish(self) -> None:
        """Append the table of what is scored."""
        done, total = len(self.scores), len(self.group.items)
        title = self.group.title + (f" (interrupted after {done} of {total} clips)" if done < total else "")
        if self.scores:
            ordered = (self.scores[i] for i in sorted(self.scores))
            self.report.tables.append(summarise(ordered, title, self.notes))

    def unscored(self) -> Iterator[tuple[int, Wave | None]]:
        """Yield the clips without a stored score, with their stored audio."""
        for i, item in enumerate(self.group.items):
            if (known := self.store.score(item)) is not None:
                self._add(i, known)
            else:
                yield i, self.store.wave(item)

    def take(self, i: int, score: Score, wave: Wave | None) -> None:
        """Store a score that was made elsewhere, and the audio that was generated for it."""
        if wave is not None:
            self.store.save_wave(self.group.items[i], wave)
        self._keep(i, score)

    def _clip(self, i: int, item: Item) -> Clip | None:
        """Return the clip to score; None if its score is known or it cannot be made."""
        if (known := self.store.score(item)) is not None:
            self._add(i, known)
            return None
        if (wave := self.store.wave(item)) is None:
            try:
                wave = item.make()
            except SynthesisError as error:
                self._keep(i, Score.failed(item.key, item.voice, item.transcript.text, str(error)))
                return None
            self.store.save_wave(item, wave)
        return Clip(item.key, item.voice, item.transcript.text, *wave, item.transcript.languages)

    def _collect(self, at_most: int) -> None:
        """Wait until at most so many clips are being scored."""
        while len(self.pending) > at_most:
            # a timeout, because a plain wait cannot be interrupted on Windows
            for future in wait(self.pending, timeout=0.2, return_when=FIRST_COMPLETED).done:
                i = self.pending.pop(future)
                self._keep(i, future.result())

    def _keep(self, i: int, score: Score) -> None:
        self.store.save_score(self.group.items[i], score)
        self._add(i, score)

    def _add(self, i: int, score: Score) -> None:
        self.scores[i] = score
        self.show(sum(s.wer for s in self.scores.values()) / len(self.scores))


def _imitation_notes(judge: Judge, group: Group) -> list[str]:
    """Return lines below the table that say what to compare the similarities of imitated speakers with.

    A speaker's own prompt against another of their recordings is the ceiling, the nearest built-in voice the floor.
    """
    if not group.prompts:
        return []
    builtin = [get(name) for name in BUILTIN_VOICES]
    notes = []
    for label, encoder in (("GE2E", judge.similarity), ("d-vec", judge.dvector)):
        if encoder is None:
            continue
        voices = np.stack([encoder.embed(v.samples, v.sample_rate) for v in builtin])  # [voices, V]
        own, nearest = [], []
        for prompt, reference in zip(group.prompts, group.references, strict=True):
            target = encoder.embed(reference.samples, reference.sample_rate)
            own.append(float(encoder.embed(prompt.samples, prompt.sample_rate) @ target))
            nearest.append(float((voices @ target).max()))
        notes.append(
            f"{label}: the speakers' own recordings {np.mean(own):.3f}, the nearest built-in voice "
            f"{np.mean(nearest):.3f}"
        )
    return notes


@contextlib.contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr if that is a terminal; yield a function that counts a clip and shows the mean WER so far."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("WER {task.fields[wer]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=total, wer="–")
        yield lambda wer: progress.update(task, advance=1, wer=f"{100 * wer:.1f} %")


def _difference(copy: Table, original: Table) -> str:
    """Return a line that says what copying costs."""
    parts = []
    for name, metric, factor, unit in (
        ("WER", "wer", 100, " points"),
        ("CER", "cer", 100, " points"),
        ("OVRL", "ovrl", 1, ""),
        ("MOS", "mos", 1, ""),
    ):
        a, b = getattr(copy.all_clips, metric), getattr(original.all_clips, metric)
        if a is not None and b is not None:
            parts.append(f"{name} {factor * (a - b):+.2f}{unit}")
    return f"{copy.title}, against the recordings, all clips: {', '.join(parts)}"
