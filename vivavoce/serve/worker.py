"""A worker process: loads the models, takes orders from a pipe, speaks them, and sends what is to be sent on.

All orders that a worker has are spoken side by side, one piece of each in turn, and pieces of one model that are about
as long share passes of the network (`System.waves`). A new order joins at the next pass.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import traceback
from collections import OrderedDict
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from vivavoce.pieces import Made, Word
from vivavoce.serve import encoders
from vivavoce.serve.messages import (
    About,
    Broken,
    Cancel,
    Done,
    Failed,
    Fault,
    FromWorker,
    Order,
    Part,
    Pass,
    Ready,
    ToWorker,
)
from vivavoce.synthesis import TTS, SynthesisError, load
from vivavoce.voices import Voice

# Pieces in one pass, and their characters together: a pass cannot be interrupted, and who comes next waits for its end.
MAX_BATCH = 8
MAX_CHARACTERS = 500
ALIKE = 1.25  # the longest of them to the shortest, in characters: shorter ones are padded, which is work for nothing
KNOWN_VOICES = 32  # speaker vectors kept, of the voices used last

Build = Callable[[], dict[str, TTS]]


class Models:
    """How a worker gets its models: called in the process, so it travels as plain values."""

    def __init__(self, models: dict[str, str], backend: str, device: str) -> None:
        self.models, self.backend, self.device = models, backend, device

    def __call__(self) -> dict[str, TTS]:
        return {name: load(model, self.backend, self.device) for name, model in self.models.items()}


class _Abandoned(Exception):
    """Nobody waits for anything that the pass makes."""


class _Active:
    """An order in work."""

    def __init__(self, order: Order, tts: TTS, voice: Voice) -> None:
        self.order = order
        self.encoder = encoders.encoder(order.format)
        options: dict[str, Any] = {"speed": order.speed, "seed": order.seed}  # seed None: any
        self.speaking = tts.begin(order.text, voice, lang=order.lang or tts.languages[0], **options)
        self.seconds = 0.0
        if not self.speaking.jobs:  # looked at here, where an error of the plan is the order's own
            raise ValueError("the text has nothing in it that this model can speak")

    @property
    def lengths(self) -> list[int]:
        """Characters of the pieces that are to be made next."""
        return [len(job.piece.text) for job in self.speaking.jobs]

    def part(self, made: list[Made]) -> Part | None:
        """What was made of the jobs, as bytes to send on; None where it has to be made again."""
        speech = self.speaking.put(made)
        if speech is None:
            return None
        self.encoder.add(encoders.at_rate(speech.samples, speech.sample_rate))
        if not self.speaking.jobs:
            self.encoder.close()  # before `take`: where this is all there is, the header tells the length
        words = tuple(Word(w.text, w.start + self.seconds, w.end + self.seconds) for w in speech.words)
        self.seconds += speech.duration
        notices = tuple(self.speaking.notices())
        return Part(self.order.id, self.encoder.take(), speech.duration, words if self.order.words else (), notices)


class Worker:
    """The loop. models: by the names in orders. connection: to the server."""

    def __init__(self, models: dict[str, TTS], connection: Connection) -> None:
        self.models = models
        self.connection = connection
        self.waiting: list[Order] = []
        self.active: OrderedDict[int, _Active] = OrderedDict()  # whose turn is next comes first
        self.voices: OrderedDict[tuple[str, str], Voice] = OrderedDict()  # by model and id, last used last

    def run(self) -> None:
        """Until the server sends None or hangs up, which raises EOFError or ConnectionError."""
        while True:
            self._receive(wait=not (self.active or self.waiting))  # orders may have come during a pass
            while self.waiting:
                self._begin(self.waiting.pop(0))
            if self.active:
                self._speak(self._chosen())

    def _receive(self, wait: bool) -> None:
        """Take in what the server has sent. `wait`: for a first message."""
        while wait or self.connection.poll():
            message: ToWorker | None = self.connection.recv()
            if message is None:
                raise EOFError
            if isinstance(message, Cancel):
                self.active.pop(message.id, None)
                self.waiting = [order for order in self.waiting if order.id != message.id]
            else:
                self.waiting.append(message)
            wait = False

    def _begin(self, order: Order) -> None:
        try:
            tts = self.models[order.model]
            self.active[order.id] = _Active(order, tts, self._embedded(tts, order))
        except Exception as error:
            self._fail(order.id, error)

    def _embedded(self, tts: TTS, order: Order) -> Voice:
        """The order's voice with the speaker vector that its model needs, which takes a moment the first time."""
        key = (order.model, order.voice_id)
        voice = self.voices.pop(key, None) or tts.system.embedded(order.voice)
        self.voices[key] = voice
        if len(self.voices) > KNOWN_VOICES:
            self.voices.popitem(last=False)
        return voice

    def _chosen(self) -> list[_Active]:
        """The orders whose next pieces go together: the one whose turn it is, and those that are like it.

        Orders of which nothing was heard yet come before the others.
        """
        chosen: list[_Active] = []
        lengths: list[int] = []
        for active in sorted(self.active.values(), key=lambda active: active.seconds > 0):
            tried = [*lengths, *active.lengths]
            if chosen and active.order.model != chosen[0].order.model:
                continue
            if chosen and (sum(tried) > MAX_CHARACTERS or max(tried) > ALIKE * min(tried)):
                continue
            chosen.append(active)
            lengths = tried
            if len(lengths) >= MAX_BATCH:
                break
        return chosen

    def _speak(self, chosen: list[_Active]) -> None:
        """One pass of the network for the next piece of each of `chosen`."""

        def progress(done: float) -> None:
            self._receive(wait=False)
            if not any(active.order.id in self.active for active in chosen):
                raise _Abandoned

        system = self.models[chosen[0].order.model].system
        jobs = [job for active in chosen for job in active.speaking.jobs]
        try:
            made = iter(system.waves(jobs, progress))
        except _Abandoned:
            return
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            if len(chosen) == 1:
                self._fail(chosen[0].order.id, error)
                return
            for active in chosen:  # one of them is at fault, and the others must not suffer for it
                if active.order.id in self.active:
                    self._speak([active])
            return
        self._send(Pass(len(jobs)))
        for active in chosen:
            own = list(itertools.islice(made, len(active.lengths)))
            if active.order.id in self.active:
                self._put(active, own)

    def _put(self, active: _Active, made: list[Made]) -> None:
        """Send on what was made of an order's piece, and let the others have their turn."""
        id = active.order.id
        try:
            part = active.part(made)
        except Exception as error:
            self._fail(id, error)
            return
        if part is not None:
            self._send(part)
        self.active.move_to_end(id)
        if not active.lengths:
            del self.active[id]
            self._send(Done(id, len(active.order.text), active.seconds))

    def _fail(self, id: int, error: Exception) -> None:
        self.active.pop(id, None)
        fault, message = _explain(error)
        if fault == "server":
            traceback.print_exception(error)
        self._send(Failed(id, fault, message))

    def _send(self, message: FromWorker) -> None:
        self.connection.send(message)


def _explain(error: Exception) -> tuple[Fault, str]:
    """Whose fault an error is, and what its client may know of it."""
    if isinstance(error, ValueError):
        return "input", str(error)
    if isinstance(error, SynthesisError):
        return "speech", str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return "server", "the server has not enough memory for this"
    return "server", "the server failed at this; its log says why"


def main(connection: Connection, build: Build, threads: int) -> None:
    """The process. build: gives the models by name. threads: for the libraries' arithmetic."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the server says when to stop
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    try:
        models = build()
    except Exception as error:
        if not isinstance(error, ValueError | OSError):
            traceback.print_exception(error)
        connection.send(Broken(str(error)))
        return
    abilities = {name: About(tuple(tts.system.languages), tts.system.uses_transcript) for name, tts in models.items()}
    with contextlib.suppress(EOFError, ConnectionError):
        connection.send(Ready(abilities))
        Worker(models, connection).run()
