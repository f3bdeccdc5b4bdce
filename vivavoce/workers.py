"""Jobs in parallel processes, with results in the order of the jobs. Only the main process handles Ctrl-C."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

J = TypeVar("J")
R = TypeVar("R")

QUEUED = 3  # queued jobs for each process


def in_order(
    function: Callable[[J], R],
    jobs: Iterable[J],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    *,
    inline: bool = True,
) -> Generator[R, None, None]:
    """Yield `function(job)` for each job, in order, from processes that start with `start(*arguments)`.

    With one worker, everything runs in this process, unless `inline` is False. Both functions must be importable,
    arguments and jobs picklable.
    Raises OSError if a process is killed.
    """
    if workers == 1 and inline:
        start(*arguments)
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (start, arguments))
    try:
        waiting: deque[Future[R]] = deque()
        for job in jobs:
            with _uninterrupted():  # a process that this starts inherits the ignored signal
                waiting.append(pool.submit(function, job))
            if len(waiting) > workers * QUEUED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise OSError(
            "a worker process was killed, or ran out of memory; the same command resumes, perhaps with fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main one stops the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """Exit when the parent is killed, instead of waiting for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set what a signal does, and only it gets Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
