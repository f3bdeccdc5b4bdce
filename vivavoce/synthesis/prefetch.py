"""Compute the next item of an iterator in the background while the current one is in use.

The thread never outlives its consumer: it stops when the iterator is closed, and before the interpreter exits. A thread
that still computes while the interpreter shuts down would crash the process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Raised in the background thread when its results are no longer wanted."""


class StopToken:
    """Stops the work of a background thread.

    The thread works inside `working` and calls `check` at every opportunity. It marks the places where it waits for
    others with `resting`, so that `stop` does not wait for them.
    """

    def __init__(self) -> None:
        self.waiting_for_input = False
        self._stopped = False
        self._busy = threading.Lock()
        self._owner: int | None = None  # the thread inside `working`

    @property
    def stopped(self) -> bool:
        return self._stopped

    def request(self) -> None:
        """Request the stop, and return at once."""
        self._stopped = True

    def stop(self) -> None:
        """Request the stop, and return once the thread no longer works."""
        self.request()
        with self._busy:
            pass

    def check(self) -> None:
        """Raise Stopped after `stop`."""
        if self._stopped:
            raise Stopped

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        with self._busy:
            self.check()
            self._owner = threading.get_ident()
            try:
                yield
            finally:
                self._owner = None

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Let `stop` return while the block runs. Raise Stopped after the block if it was called."""
        if self._owner != threading.get_ident():  # nobody can wait for this thread
            yield
            return
        self._owner = None
        self._busy.release()
        try:
            yield
        finally:
            self._busy.acquire()
            self._owner = threading.get_ident()
        self.check()

    def input(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the caller's items, and rest while waiting for the next one."""
        iterator = iter(items)
        while True:
            with self.resting():
                self.waiting_for_input = True
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    self.waiting_for_input = False
            yield item


def prefetch(items: Iterator[T], token: StopToken) -> Iterator[T]:
    """Yield the items, each computed ahead: while one is in use, the next is ready and a thread computes a third.

    The first item is computed in the caller's thread. That is faster: OpenMP keeps a team of workers for each thread
    that computes, and as soon as there are more workers than cores it suspends them at every barrier.
    Errors are raised in place of the item. Closing this iterator stops the work; `items` must check `token`.
    """
    with token.working():
        try:
            first = next(items)
        except StopIteration:
            return
    ready: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(maxsize=1)

    def run() -> None:
        end: BaseException | None = None
        try:
            with token.working():
                for item in items:
                    with token.resting():
                        ready.put(([item], None))
        except Stopped:
            return
        except BaseException as error:
            end = error
        ready.put(([], end))

    process = os.getpid()
    thread = threading.Thread(target=run, name="vivavoce-prefetch", daemon=True)

    def close() -> None:
        _open.discard(close)
        if os.getpid() != process:  # a fork has copied this iterator, but not its thread
            return
        token.stop()
        with contextlib.suppress(queue.Empty):
            ready.get_nowait()  # unblocks a thread that waits to put its item
        while thread.is_alive() and not token.waiting_for_input:
            thread.join(0.05)

    thread.start()
    _open.add(close)
    try:
        yield first
        while True:
            try:
                found, error = ready.get(timeout=0.1)  # a get without a timeout cannot be interrupted on Windows
            except queue.Empty:
                if os.getpid() != process:
                    raise RuntimeError(
                        "this stream was started before a fork; it cannot continue in the child"
                    ) from None
                if token.stopped:  # closed by another thread; the background thread has ended
                    return
                continue
            if error is not None:
                raise error
            if not found:
                return
            yield found[0]
    finally:
        close()


_open: set[Callable[[], None]] = set()  # closes a prefetch that is not exhausted


@atexit.register
def _close_all() -> None:
    for close in list(_open):
        close()
