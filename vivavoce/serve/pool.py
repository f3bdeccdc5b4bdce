"""The pool of worker processes: a queue of jobs, a dispatcher, restarts.

Jobs wait in one queue and go to the worker with the fewest jobs; its messages go back to the job's handle. A worker
that dies takes its jobs with it and is replaced. Everything runs in the event loop except for two threads per worker,
because writing to a pipe blocks while the worker is busy.
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

from vivavoce.serve.messages import (
    AudioChunk,
    BatchDone,
    Cancel,
    Done,
    Failed,
    Job,
    LoadFailed,
    ModelInfo,
    Pause,
    Ready,
    Resume,
    ToWorker,
)
from vivavoce.serve.metrics import Metrics

Build = Callable[[], Any]  # returns a worker's models by name; pickled, and called in the worker
WorkerMain = Callable[[Connection, Build, int], None]  # what a worker process runs: its pipe, its models, CPU threads

MAX_ACTIVE = 16  # jobs that a worker generates side by side
MAX_BUFFERED = 1 << 20  # bytes of one answer that wait for its client; beyond this, the worker pauses the job
DIED = "the worker died; a new one is starting, so please retry"
CLOSED = "the server is shutting down"

_QUICK_RESTARTS = 3  # consecutive failed starts before the pool waits between restarts
_MAX_RESTART_WAIT = 30.0  # seconds
_EXIT_SECONDS = 5.0  # how long a worker may take to exit by itself


class QueueFull(Exception):
    """The queue is full. seconds: when to retry."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the queue is full; retry in {seconds} s")
        self.seconds = seconds


class JobHandle:
    """A submitted job. `next` returns its messages; the last one is Done or Failed."""

    def __init__(self, job: Job, pool: Pool) -> None:
        self.job = job
        self.pool = pool
        self.submitted = time.monotonic()
        self.started = False  # whether any audio has arrived
        self.finished = False
        self.paused = False
        self.buffered = 0  # bytes that `next` has not returned yet
        self._messages: asyncio.Queue[AudioChunk | Done | Failed] = asyncio.Queue()

    async def next(self) -> AudioChunk | Done | Failed:
        """Wait for the next message."""
        message = await self._messages.get()
        if isinstance(message, AudioChunk):
            self.buffered -= len(message.data)
            if self.paused and self.buffered <= MAX_BUFFERED // 4:
                self.pool.resume(self)
        return message

    def cancel(self) -> None:
        """Drop the rest of the job. Does nothing after its last message."""
        self.pool.cancel(self)

    def put(self, message: AudioChunk | Done | Failed) -> None:
        """Add a message from the worker."""
        if self.finished:
            return
        if isinstance(message, AudioChunk):
            self.buffered += len(message.data)
            if not self.paused and self.buffered > MAX_BUFFERED:
                self.pool.pause(self)
        else:
            self.finished = True
        self._messages.put_nowait(message)


class _Process:
    """One worker process with its pipe and the threads that serve the pipe."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        # spawn: a fork of a process with threads may hang, and would keep the pipes of other workers open
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=pool.main, args=(theirs, pool.build, pool.threads), daemon=True, name="vivavoce worker"
        )
        self.process.start()
        theirs.close()  # the worker now holds the only other end, so the pipe closes when the worker exits
        self.active: dict[int, JobHandle] = {}
        self.ready = False
        self.load_error = ""
        self.last_message = time.monotonic()
        self.outgoing: queue.SimpleQueue[ToWorker | None] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=_read, args=(self.connection, loop, pool.on_message, self), daemon=True),
            threading.Thread(target=_write, args=(self.connection, self.outgoing), daemon=True),
        ]
        for thread in threads:
            thread.start()

    @property
    def busy(self) -> bool:
        """Whether the worker should be generating."""
        return any(not handle.paused for handle in self.active.values())

    def stop(self) -> None:
        """Ask the process to exit, and kill it if it does not. Blocks for a few seconds at worst."""
        self.outgoing.put(None)
        self.process.join(_EXIT_SECONDS if not self.active else 0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(_EXIT_SECONDS)


def _read(
    connection: Connection,
    loop: asyncio.AbstractEventLoop,
    on_message: Callable[[_Process, Any], None],
    process: _Process,
) -> None:
    """Forward the worker's messages to the event loop; None when it has exited."""
    with contextlib.suppress(RuntimeError):  # the loop is closed
        try:
            while True:
                loop.call_soon_threadsafe(on_message, process, connection.recv())
        except (EOFError, OSError):
            loop.call_soon_threadsafe(on_message, process, None)
    connection.close()


def _write(connection: Connection, outgoing: queue.SimpleQueue[ToWorker | None]) -> None:
    with contextlib.suppress(OSError):  # the worker has exited, which `_read` reports
        while True:
            connection.send(message := outgoing.get())
            if message is None:
                return


class Pool:
    """`start` it, `submit` jobs, `close` it at the end.

    main: the function that a worker process runs. build: returns a worker's models. workers: number of processes.
    threads: CPU threads of each. queue_limit: jobs that may wait. timeout: seconds of silence after which a worker with
    jobs counts as hung and is killed.
    """

    def __init__(
        self,
        main: WorkerMain,
        build: Build,
        *,
        workers: int,
        threads: int,
        queue_limit: int,
        timeout: float,
        metrics: Metrics,
    ) -> None:
        self.main = main
        self.build = build
        self.workers = workers
        self.threads = threads
        self.queue_limit = queue_limit
        self.timeout = timeout
        self.metrics = metrics
        self.models: dict[str, ModelInfo] = {}
        self.closing = False
        self._ids = itertools.count(1)
        self._processes: list[_Process] = []
        self._waiting: deque[JobHandle] = deque()
        self._failed_starts = 0  # consecutive
        self._loaded: asyncio.Future[None] | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._mean_seconds = 1.0  # running mean of the time that a job takes

    # --- start and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the workers and wait until one is ready. Raises ValueError if the models cannot be loaded."""
        loop = asyncio.get_running_loop()
        self._loaded = loop.create_future()
        for _ in range(self.workers):
            self._processes.append(_Process(self, loop))
        try:
            await self._loaded
        except BaseException:
            await self.close()
            raise
        self._watchdog = loop.create_task(self._kill_hung_workers())

    async def close(self) -> None:
        """Stop all workers. Unfinished jobs fail."""
        self.closing = True
        for task in (self._watchdog, *self._tasks):
            if task is not None:
                task.cancel()
        for handle in [*self._waiting, *(h for p in self._processes for h in p.active.values())]:
            handle.put(Failed(handle.job.id, "server", CLOSED))
        processes, self._processes = self._processes, []
        self._waiting.clear()
        await asyncio.gather(*(asyncio.to_thread(process.stop) for process in processes))
        self._update_gauges()

    @property
    def ready(self) -> int:
        """The number of workers that are ready."""
        return sum(process.ready for process in self._processes)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [process.process.pid or 0 for process in self._processes]

    # --- jobs --------------------------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """Return an unused job id."""
        return next(self._ids)

    def check_room(self) -> None:
        """Raise QueueFull if a job would be refused now."""
        free = sum(MAX_ACTIVE - len(process.active) for process in self._processes if process.ready)
        if not free and len(self._waiting) >= self.queue_limit:
            places = max(1, self.ready) * MAX_ACTIVE
            raise QueueFull(max(1, min(60, math.ceil(self._mean_seconds * (len(self._waiting) + 1) / places))))

    def submit(self, job: Job) -> JobHandle:
        """Queue a job. Raises QueueFull."""
        self.check_room()
        handle = JobHandle(job, self)
        self._waiting.append(handle)
        self._dispatch()
        return handle

    def cancel(self, handle: JobHandle) -> None:
        """Drop a job, wherever it is."""
        if handle.finished:
            return
        handle.finished = True
        if handle in self._waiting:
            self._waiting.remove(handle)
        for process in self._processes:
            if process.active.pop(handle.job.id, None) is not None:
                process.outgoing.put(Cancel(handle.job.id))
        self._dispatch()

    def pause(self, handle: JobHandle) -> None:
        """Stop generating a job until `resume`."""
        handle.paused = True
        self._send(handle, Pause(handle.job.id))

    def resume(self, handle: JobHandle) -> None:
        """Continue a paused job."""
        handle.paused = False
        self._send(handle, Resume(handle.job.id))

    def _send(self, handle: JobHandle, message: ToWorker) -> None:
        """Send a message to the worker that has the job."""
        for process in self._processes:
            if handle.job.id in process.active:
                process.last_message = time.monotonic()
                process.outgoing.put(message)

    def _dispatch(self) -> None:
        """Give waiting jobs to workers with room, each to the one with the fewest jobs."""
        while self._waiting:
            free = [p for p in self._processes if p.ready and len(p.active) < MAX_ACTIVE]
            if not free:
                break
            process = min(free, key=lambda p: len(p.active))
            handle = self._waiting.popleft()
            if not process.busy:
                process.last_message = time.monotonic()
            process.active[handle.job.id] = handle
            process.outgoing.put(handle.job)
        self._update_gauges()

    def _update_gauges(self) -> None:
        self.metrics.waiting.set(len(self._waiting))
        self.metrics.active.set(sum(len(process.active) for process in self._processes))
        self.metrics.workers.set(self.ready)

    # --- messages from workers ---------------------------------------------------------------------------------------

    def on_message(self, process: _Process, message: Any) -> None:
        """Handle a message from a worker; None: the worker has exited."""
        if process not in self._processes:
            return
        process.last_message = time.monotonic()
        if message is None:
            self._on_exit(process)
        elif isinstance(message, Ready):
            process.ready, self._failed_starts = True, 0
            self.models = message.models
            if self._loaded is not None and not self._loaded.done():
                self._loaded.set_result(None)
        elif isinstance(message, LoadFailed):
            process.load_error = message.message
        elif isinstance(message, BatchDone):
            self.metrics.batch.observe(message.pieces)
        elif isinstance(message, AudioChunk | Done | Failed):
            self._deliver(process, message)
        self._dispatch()

    def _deliver(self, process: _Process, message: AudioChunk | Done | Failed) -> None:
        handle = process.active.get(message.id)
        if handle is None:  # cancelled
            return
        now = time.monotonic()
        if isinstance(message, AudioChunk):
            self.metrics.speech_seconds.inc(message.seconds)
            if not handle.started:
                self.metrics.first_audio.observe(now - handle.submitted)
            handle.started = True
        else:
            del process.active[message.id]
            if isinstance(message, Done):
                self.metrics.characters.inc(message.characters)
                self._mean_seconds += 0.1 * (now - handle.submitted - self._mean_seconds)
        handle.put(message)

    def _on_exit(self, process: _Process) -> None:
        """Fail the jobs of a worker that has exited, and start another one."""
        self._processes.remove(process)
        for handle in process.active.values():
            handle.put(Failed(handle.job.id, "server", DIED))
        process.active.clear()
        process.outgoing.put(None)
        self._keep(asyncio.get_running_loop().create_task(asyncio.to_thread(process.stop)))
        if self._loaded is not None and not self._loaded.done():
            reason = process.load_error or f"a worker exited while loading the models (status {_exit_status(process)})"
            self._loaded.set_exception(ValueError(reason))
            return
        if not self.closing:
            self._failed_starts += not process.ready
            self._keep(asyncio.get_running_loop().create_task(self._restart()))

    async def _restart(self) -> None:
        extra = self._failed_starts - _QUICK_RESTARTS
        if extra > 0:
            await asyncio.sleep(min(_MAX_RESTART_WAIT, 2.0**extra))
        self.metrics.restarts.inc()
        self._processes.append(_Process(self, asyncio.get_running_loop()))

    async def _kill_hung_workers(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for process in self._processes:
                if process.busy and time.monotonic() - process.last_message > self.timeout:
                    process.process.kill()

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold a reference to a task that nothing awaits, so that it is not collected before it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _exit_status(process: _Process) -> str:
    process.process.join(1.0)
    return str(process.process.exitcode)
