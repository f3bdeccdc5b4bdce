"""Work shared out to processes, whose results come in the order of the jobs. Ctrl-C is for the main process alone."""

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

AHEAD = 3  # jobs that wait for each process


def in_order(
    function: Callable[[J], R], jobs: Iterable[J], workers: int, start: Callable[..., None], arguments: tuple[Any, ...]
) -> Generator[R, None, None]:
    """`function` of each job, in the jobs' order, in so many processes that begin with `start(*arguments)`.

    With one worker all of it happens in this process. Both functions must be importable, arguments and jobs pickled.
    Raises OSError where a process is ended from outside.
    """
    if workers == 1:
        start(*arguments)
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (start, arguments))
    try:
        waiting: deque[Future[R]] = deque()
        for job in jobs:
            with _uninterrupted():  # a process that this starts inherits that Ctrl-C is for the main one
                waiting.append(pool.submit(function, job))
            if len(waiting) > workers * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise OSError(
            "a worker process was ended from outside, or ran out of memory; the same command, with fewer --workers "
            "perhaps, goes on from the last finished shard"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main one ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """Without this, workers of a process that was killed would wait for work for ever."""
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
