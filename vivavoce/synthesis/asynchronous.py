"""Iterators that compute in a thread, for an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Generic, TypeVar

from vivavoce.synthesis.prefetch import StopToken

T = TypeVar("T")


class Bridge(Generic[T]):
    """An iterator for a thread over an asynchronous iterator of the running event loop."""

    def __init__(self, items: AsyncIterable[T]) -> None:
        self._items = aiter(items)
        self._loop = asyncio.get_running_loop()
        self._waiting: concurrent.futures.Future[T] | None = None
        self._closed = False

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._closed:
            raise StopIteration
        self._waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        if self._closed:  # meanwhile
            self._waiting.cancel()
        try:
            return self._waiting.result()
        except (StopAsyncIteration, concurrent.futures.CancelledError):
            raise StopIteration from None

    def close(self) -> None:
        """Wake the thread that waits for an item. Called in the event loop."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _next(self) -> T:
        return await anext(self._items)


async def in_thread(items: Iterator[T], token: StopToken, source: Bridge[str] | None = None) -> AsyncGenerator[T, None]:
    """Yield the items, each computed in a separate thread.

    When this iterator is closed or its task is cancelled, `token` stops the work, `source` ends, and `items` is closed.
    """
    end = object()
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="vivavoce-async") as thread:
        loop = asyncio.get_running_loop()
        try:
            while (item := await loop.run_in_executor(thread, next, items, end)) is not end:
                yield item  # type: ignore[misc]
        finally:
            if source is not None:
                source.close()
            await asyncio.shield(loop.run_in_executor(None, token.stop))
            with contextlib.suppress(Exception):  # of the interrupted work
                await asyncio.shield(loop.run_in_executor(thread, items.close))  # type: ignore[attr-defined]
