"""The workers as the server sees them: orders wait in one queue, go to the worker that has least to do, and what comes
back goes to whoever asked. A worker that dies takes the orders it had with it, and another is started in its place.

All of it runs in the event loop, but for two threads a worker: pipes are slow to write where the other side is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import multiprocessing
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from vivavoce.serve import worker
from vivavoce.serve.messages import About, Broken, Cancel, Done, Failed, Order, Part, Pass, Ready, ToWorker
from vivavoce.serve.metrics import Metrics

MAX_ACTIVE = 16  # orders that a worker speaks side by side
DIED = "the worker that spoke this died; another is being started, so ask again"
CLOSED = "the server is shutting down"

_RESTARTS = 3  # of a worker that dies before it is ready, one after another, until the wait between them grows
_LONGEST_WAIT = 30.0  # seconds between such restarts
_GRACE = 5.0  # seconds for a worker to end by itself


class QueueFull(Exception):
    """No room for another order. seconds: when to ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the queue is full; ask again in {seconds} s")
        self.seconds = seconds


class Ticket:
    """An order that was taken: `next` gives its messages, the last of which is Done or Failed."""

    def __init__(self, order: Order, pool: Pool) -> None:
        self.order = order
        self.pool = pool
        self.messages: asyncio.Queue[Part | Done | Failed] = asyncio.Queue()
        self.asked = time.monotonic()
        self.begun = False
        self.over = False

    async def next(self) -> Part | Done | Failed:
        return await self.messages.get()

    def cancel(self) -> None:
        """Nobody wants the rest; nothing happens where there is none."""
        self.pool.cancel(self)

    def put(self, message: Part | Done | Failed) -> None:
        if not self.over:
            self.over = not isinstance(message, Part)
            self.messages.put_nowait(message)


class _Process:
    """One worker process, its pipe and the threads at it."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        # spawn: a forked child of a process with threads may hang, and would hold others' pipes open
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=worker.main, args=(theirs, pool.build, pool.threads), daemon=True, name="vivavoce worker"
        )
        self.process.start()
        theirs.close()  # so that the pipe ends when the worker does
        self.active: dict[int, Ticket] = {}
        self.ready = False
        self.broken = ""  # why it could not load its models
        self.heard = time.monotonic()
        self.outgoing: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=_read, args=(self.connection, loop, pool.hear, self), daemon=True),
            threading.Thread(target=_write, args=(self.connection, self.outgoing), daemon=True),
        ]
        for thread in threads:
            thread.start()

    def stop(self) -> None:
        """Tell the process to end, and see to it that it does. Blocks for seconds at worst."""
        self.outgoing.put(None)
        self.process.join(_GRACE if not self.active else 0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(_GRACE)


def _read(
    connection: Connection, loop: asyncio.AbstractEventLoop, hear: Callable[[_Process, Any], None], process: _Process
) -> None:
    """Pass on what the worker says; None when it is gone."""
    with contextlib.suppress(RuntimeError):  # the loop is closed
        try:
            while True:
                loop.call_soon_threadsafe(hear, process, connection.recv())
        except (EOFError, OSError):
            loop.call_soon_threadsafe(hear, process, None)
    connection.close()


def _write(connection: Connection, outgoing: queue.SimpleQueue[ToWorker | None]) -> None:
    with contextlib.suppress(OSError):  # it is gone, which `_read` notices
        while True:
            connection.send(message := outgoing.get())
            if message is None:
                return


class Pool:
    """`start`, then `submit`; `close` at the end.

    build: gives a worker its models. workers: how many. waiting: orders that may wait. timeout: seconds after which a
    worker that says nothing, though it has orders, is killed.
    """

    def __init__(
        self, build: worker.Build, workers: int, threads: int, waiting: int, timeout: float, metrics: Metrics
    ) -> None:
        self.build = build
        self.workers = workers
        self.threads = threads
        self.limit = waiting
        self.timeout = timeout
        self.metrics = metrics
        self.models: dict[str, About] = {}
        self.closing = False
        self._ids = itertools.count(1)
        self._processes: list[_Process] = []
        self._waiting: deque[Ticket] = deque()
        self._failures = 0  # starts that failed, one after another
        self._loaded: asyncio.Future[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._took = 1.0  # seconds that an order takes, a running mean

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the workers and wait until one is ready. Raises ValueError where the models cannot be loaded."""
        loop = asyncio.get_running_loop()
        self._loaded = loop.create_future()
        for _ in range(self.workers):
            self._processes.append(_Process(self, loop))
        try:
            await self._loaded
        except BaseException:
            await self.close()
            raise
        self._watch = loop.create_task(self._kill_the_silent())

    async def close(self) -> None:
        """End all workers. Orders that are not done yet fail."""
        self.closing = True
        for task in (self._watch, *self._tasks):
            if task is not None:
                task.cancel()
        for ticket in [*self._waiting, *(t for p in self._processes for t in p.active.values())]:
            ticket.put(Failed(ticket.order.id, "server", CLOSED))
        processes, self._processes = self._processes, []
        self._waiting.clear()
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in processes))
        self._show()

    @property
    def ready(self) -> int:
        """How many workers are ready."""
        return sum(process.ready for process in self._processes)

    @property
    def pids(self) -> list[int]:
        """Of the workers."""
        return [process.process.pid or 0 for process in self._processes]

    # --- orders ------------------------------------------------------------------------------------------------------

    def new_id(self) -> int:
        return next(self._ids)

    def check_room(self) -> None:
        """Raises QueueFull where an order would be refused now."""
        free = sum(MAX_ACTIVE - len(process.active) for process in self._processes if process.ready)
        if not free and len(self._waiting) >= self.limit:
            places = max(1, self.ready) * MAX_ACTIVE
            raise QueueFull(max(1, min(60, math.ceil(self._took * (len(self._waiting) + 1) / places))))

    def submit(self, order: Order) -> Ticket:
        """Take an order. Raises QueueFull."""
        self.check_room()
        ticket = Ticket(order, self)
        self._waiting.append(ticket)
        self._hand_out()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        if ticket.over:
            return
        ticket.over = True
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        for process in self._processes:
            if process.active.pop(ticket.order.id, None) is not None:
                process.outgoing.put(Cancel(ticket.order.id))
        self._hand_out()

    def _hand_out(self) -> None:
        """Give what waits to workers that have room, each to the one with least to do."""
        while self._waiting:
            free = [p for p in self._processes if p.ready and len(p.active) < MAX_ACTIVE]
            if not free:
                break
            process = min(free, key=lambda p: len(p.active))
            ticket = self._waiting.popleft()
            if not process.active:
                process.heard = time.monotonic()
            process.active[ticket.order.id] = ticket
            process.outgoing.put(ticket.order)
        self._show()

    def _show(self) -> None:
        self.metrics.waiting.set(len(self._waiting))
        self.metrics.active.set(sum(len(process.active) for process in self._processes))
        self.metrics.workers.set(self.ready)

    # --- what workers say --------------------------------------------------------------------------------------------

    def hear(self, process: _Process, message: Any) -> None:
        """A message from a worker; None: it is gone."""
        if process not in self._processes:
            return
        process.heard = time.monotonic()
        if message is None:
            self._bury(process)
        elif isinstance(message, Ready):
            process.ready, self._failures = True, 0
            self.models = message.models
            if self._loaded is not None and not self._loaded.done():
                self._loaded.set_result(None)
        elif isinstance(message, Broken):
            process.broken = message.message
        elif isinstance(message, Pass):
            self.metrics.batch.observe(message.pieces)
        elif isinstance(message, Part | Done | Failed):
            self._deliver(process, message)
        self._hand_out()

    def _deliver(self, process: _Process, message: Part | Done | Failed) -> None:
        ticket = process.active.get(message.id)
        if ticket is None:  # it was cancelled
            return
        now = time.monotonic()
        if isinstance(message, Part):
            self.metrics.speech_seconds.inc(message.seconds)
            if not ticket.begun:
                self.metrics.first_audio.observe(now - ticket.asked)
            ticket.begun = True
        else:
            del process.active[message.id]
            if isinstance(message, Done):
                self.metrics.characters.inc(message.characters)
                self._took += 0.1 * (now - ticket.asked - self._took)
        ticket.put(message)

    def _bury(self, process: _Process) -> None:
        """A worker is gone: tell those who waited for it, and start another."""
        self._processes.remove(process)
        for ticket in process.active.values():
            ticket.put(Failed(ticket.order.id, "server", DIED))
        process.active.clear()
        process.outgoing.put(None)
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(process.stop))
        self._keep(task)
        if self._loaded is not None and not self._loaded.done():
            reason = process.broken or f"a worker ended while it loaded the models (exit status {_status(process)})"
            self._loaded.set_exception(ValueError(reason))
            return
        if not self.closing:
            self._failures += not process.ready
            self._keep(asyncio.get_running_loop().create_task(self._again()))

    async def _again(self) -> None:
        extra = self._failures - _RESTARTS
        if extra > 0:
            await asyncio.sleep(min(_LONGEST_WAIT, 2.0**extra))
        self.metrics.restarts.inc()
        self._processes.append(_Process(self, asyncio.get_running_loop()))

    async def _kill_the_silent(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for process in self._processes:
                if process.active and time.monotonic() - process.heard > self.timeout:
                    process.process.kill()

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task that nobody waits for, else it might be collected before it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _status(process: _Process) -> str:
    process.process.join(1.0)
    return str(process.process.exitcode)
