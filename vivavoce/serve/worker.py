"""A worker process: load the models, receive jobs over a pipe, generate and encode their speech, send it back.

A worker generates all its jobs side by side. Pieces of one model and of similar length share a pass of the network
(`System.synthesize`), and a new job joins at the next pass.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
import warnings
from collections.abc import Iterator, MutableMapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from vivavoce.audio.dsp import SAMPLE_RATE
from vivavoce.serve import encoders
from vivavoce.serve.messages import (
    AudioChunk,
    BatchDone,
    Cancel,
    Culprit,
    Done,
    Failed,
    FromWorker,
    Job,
    LoadFailed,
    ModelInfo,
    Pause,
    Ready,
    Resume,
    ToWorker,
)
from vivavoce.synthesis.tts import TTS, load
from vivavoce.systems.interface import SynthesisError, SynthesisRequest, SynthesisResult
from vivavoce.systems.load import conversions
from vivavoce.text.prosody import NEUTRAL

if TYPE_CHECKING:
    from vivavoce.serve.pool import Build
    from vivavoce.synthesis.speech import Speech
    from vivavoce.voices import Voice

# Limits of one pass. A pass cannot be interrupted, and a new job waits for its end.
MAX_BATCH = 8  # pieces
MAX_CHARACTERS = 500  # of all its pieces together
MAX_LENGTH_RATIO = 1.25  # longest piece to shortest, in characters: shorter pieces are padded, which is wasted work
CACHED_VOICES = 32  # speaker vectors of the voices that were used last


class Models:
    """Load a worker's models. Pickled as plain values, and called in the worker."""

    def __init__(self, models: dict[str, str], backend: str, device: str) -> None:
        self.models, self.backend, self.device = models, backend, device

    def __call__(self) -> dict[str, TTS]:
        return {name: load(model, self.backend, self.device) for name, model in self.models.items()}


class _Abandoned(Exception):
    """Every client of the current pass is gone."""


class ActiveJob:
    """A job in progress: either a piece must be generated (`request`), or speech is ready to be encoded (`ready`)."""

    def __init__(self, job: Job, tts: TTS, voice: Voice) -> None:
        self.job, self.encoder = job, encoders.encoder(job.format)
        self.told: list[warnings.WarningMessage] = []
        usual = NEUTRAL.options()
        asked: dict[str, Any] = {name: value for name, value in job.prosody.options().items() if value != usual[name]}
        with self._listening():
            self.synthesizer = tts.begin(
                job.text,
                voice,
                lang=job.lang or tts.languages[0],
                strict=False,  # a wrong tag is left out instead of refusing the text
                max_seconds=job.max_seconds,
                speed=job.speed,
                **asked,  # a neutral value leaves it to `like`
                like=job.like,
                seed=job.seed,
                steps=job.steps,
            )
        self.seconds = 0.0  # of speech so far
        self.turn = 0.0  # seconds that count for fairness: the job with the fewest is next
        self.paused = False
        self.ready: Speech | None = None
        self.request: SynthesisRequest | None = self.synthesizer.next_request()

    @property
    def finished(self) -> bool:
        return self.ready is None and self.request is None

    @property
    def length(self) -> int:
        """Characters of the piece to generate."""
        assert self.request is not None
        return len(self.request.piece.text)

    def submit(self, result: SynthesisResult) -> None:
        """Accept the result of `request`. If it failed the quality checks, `request` is the retry."""
        self.synthesizer.submit(result)
        self._advance()

    def next_chunk(self) -> AudioChunk:
        """Encode the speech that is ready."""
        speech = self.ready
        assert speech is not None
        self._advance()
        self.encoder.add(encoders.at_rate(speech.samples, speech.sample_rate))
        if self.finished:
            self.encoder.close()  # before `take`: the header of an answer in one chunk states its length
        words = tuple(word.later(self.seconds) for word in speech.words)
        self.seconds += speech.duration
        self.turn += speech.duration
        notices = self._notices()
        sent = words if self.job.words else ()
        return AudioChunk(self.job.id, self.encoder.take(), speech.duration, sent, notices)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Collect the warnings of a job, which are its notices."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield
        self.told += caught

    def _warned(self) -> tuple[str, ...]:
        """Return what was collected since the last call."""
        told, self.told = self.told, []
        return tuple(dict.fromkeys(str(warning.message) for warning in told if warning.category is UserWarning))

    def _notices(self) -> tuple[str, ...]:
        return (*self._warned(), *self.synthesizer.take_notices())

    def _advance(self) -> None:
        self.ready = self.synthesizer.take_speech()
        self.request = self.synthesizer.next_request() if self.ready is None else None


class Conversion(ActiveJob):
    """The conversion of a recording, in progress. Each piece of it is a pass of its own."""

    def __init__(self, job: Job, tts: TTS, voice: Voice) -> None:
        assert job.recording is not None
        self.job, self.encoder = job, encoders.encoder(job.format)
        self.told: list[warnings.WarningMessage] = []
        with self._listening():
            self.parts = tts.convert_stream(
                (job.recording, SAMPLE_RATE),
                voice,
                text=job.text or None,
                lang=job.lang or tts.languages[0],
                seed=job.seed,
                steps=job.steps,
            )
        self.seconds = self.turn = 0.0
        self.paused, self.request = False, None
        self._advance()

    def _notices(self) -> tuple[str, ...]:
        return self._warned()

    def _advance(self) -> None:
        with self._listening():
            self.ready = next(self.parts, None)


class Worker:
    """The worker's loop. models: by the names that jobs use. connection: to the server."""

    def __init__(self, models: dict[str, TTS], connection: Connection) -> None:
        self.models = models
        self.connection = connection
        self.waiting: list[Job] = []
        self.active: dict[int, ActiveJob] = {}
        self.voices: MutableMapping[tuple[str, str, str], Voice] = LRUCache(CACHED_VOICES)  # by model, id and weights

    def run(self) -> None:
        """Run until the server sends None or closes the pipe, which raises EOFError or ConnectionError."""
        while True:
            self._receive(wait=not (self._runnable() or self.waiting))  # jobs may have arrived during a pass
            while self.waiting:
                self._start(self.waiting.pop(0))
            for active in self._runnable():
                if active.ready is not None:
                    self._send_chunk(active)
            if batch := self._next_batch():
                self._generate(batch)

    def _runnable(self) -> list[ActiveJob]:
        return [active for active in self.active.values() if not active.paused]

    def _receive(self, wait: bool) -> None:
        """Read the messages that have arrived. wait: block until there is one."""
        while wait or self.connection.poll():
            message: ToWorker | None = self.connection.recv()
            if message is None:
                raise EOFError
            if isinstance(message, Job):
                self.waiting.append(message)
            elif isinstance(message, Cancel):
                self.active.pop(message.id, None)
                self.waiting = [job for job in self.waiting if job.id != message.id]
            elif isinstance(message, Pause | Resume) and message.id in self.active:
                self.active[message.id].paused = isinstance(message, Pause)
            wait = False

    def _start(self, job: Job) -> None:
        try:
            tts = self.models[job.model]
            kind = ActiveJob if job.recording is None else Conversion
            active = kind(job, tts, self._embedded(tts, job))
        except Exception as error:
            self._fail(job.id, error)
            return
        # A new job starts level with the others: it neither waits for them nor holds them up.
        active.turn = min((other.turn for other in self.active.values()), default=0.0)
        self.active[job.id] = active

    def _embedded(self, tts: TTS, job: Job) -> Voice:
        """Return the job's voice with the speaker vector of its model, which takes a moment the first time."""
        trained = job.voice.weights  # a voice that was trained again has the same id
        key = (job.model, job.voice_id, trained.digest if trained is not None else "")
        voice = self.voices.get(key)
        if voice is None:
            voice = self.voices[key] = tts.system.embedded(job.voice)
        return voice

    def _next_batch(self) -> list[ActiveJob]:
        """Choose the jobs whose next pieces share a pass: the one whose turn it is, and similar ones.

        Jobs without any audio so far come first, then those with the fewest seconds of speech.
        """
        batch: list[ActiveJob] = []
        lengths: list[int] = []
        candidates = [active for active in self._runnable() if active.request is not None]
        for active in sorted(candidates, key=lambda active: (active.seconds > 0, active.turn)):
            tried = [*lengths, active.length]
            if batch and (active.job.model, active.job.steps) != (batch[0].job.model, batch[0].job.steps):
                continue
            if batch and (sum(tried) > MAX_CHARACTERS or max(tried) > MAX_LENGTH_RATIO * min(tried)):
                continue
            batch.append(active)
            lengths = tried
            if len(lengths) >= MAX_BATCH:
                break
        return batch

    def _generate(self, batch: list[ActiveJob]) -> None:
        """Run one pass of the network for the next piece of each job, and send what is ready."""

        def progress(done: float) -> None:
            self._receive(wait=False)
            if not any(active.job.id in self.active for active in batch):
                raise _Abandoned

        system = self.models[batch[0].job.model].system
        requests = [active.request for active in batch if active.request is not None]
        try:
            results = system.synthesize(requests, progress)
        except _Abandoned:
            return
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch[0].job.id, error)
                return
            for active in batch:  # one of them caused the error; the others must not suffer from it
                if active.job.id in self.active:
                    self._generate([active])
            return
        self._send(BatchDone(len(requests)))
        for active, result in zip(batch, results, strict=True):
            if active.job.id in self.active:
                self._submit(active, result)

    def _submit(self, active: ActiveJob, result: SynthesisResult) -> None:
        try:
            active.submit(result)
        except Exception as error:
            self._fail(active.job.id, error)
            return
        if active.ready is not None:
            self._send_chunk(active)

    def _send_chunk(self, active: ActiveJob) -> None:
        try:
            chunk = active.next_chunk()
        except Exception as error:
            self._fail(active.job.id, error)
            return
        self._send(chunk)
        if active.finished:
            del self.active[active.job.id]
            self._send(Done(active.job.id, len(active.job.text), active.seconds))

    def _fail(self, id: int, error: Exception) -> None:
        self.active.pop(id, None)
        culprit, message = _explain(error)
        if culprit == "server":
            traceback.print_exception(error)
        self._send(Failed(id, culprit, message))

    def _send(self, message: FromWorker) -> None:
        self.connection.send(message)


def _explain(error: Exception) -> tuple[Culprit, str]:
    """Return what caused an error, and the message for the client."""
    if isinstance(error, ValueError):
        return "input", str(error)
    if isinstance(error, SynthesisError):
        return "speech", str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return "server", "the server is out of memory"
    return "server", "internal error; see the server's log"


def main(connection: Connection, build: Build, threads: int) -> None:
    """Run the worker process. build: returns the models by name. threads: CPU threads of the numeric libraries."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the server stops its workers itself
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported
    try:
        models: dict[str, TTS] = build()
    except Exception as error:
        if not isinstance(error, ValueError | OSError):
            traceback.print_exception(error)
        connection.send(LoadFailed(str(error)))
        return
    for tts in models.values():
        with contextlib.suppress(Exception):  # the first request would otherwise wait for lazy imports
            tts.preview("It is 7:45.", lang=tts.languages[0])
    abilities = {
        name: ModelInfo(tuple(tts.languages), tts.system.uses_transcript, tts.system.prosody, conversions(tts.system))
        for name, tts in models.items()
    }
    with contextlib.suppress(EOFError, ConnectionError):
        connection.send(Ready(abilities))
        Worker(models, connection).run()
