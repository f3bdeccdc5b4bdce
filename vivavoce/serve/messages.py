"""Messages between the server and its workers: plain values, pickled over a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vivavoce.text.prosody import NEUTRAL, Prosody

if TYPE_CHECKING:
    from vivavoce.audio.dsp import Samples
    from vivavoce.systems.interface import Word
    from vivavoce.voices import Voice

Culprit = Literal["input", "speech", "server"]  # what caused an error: the request, the model or the server


# --- to the worker ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One request for speech, validated as far as that is possible without the model."""

    id: int
    model: str
    text: str
    voice_id: str  # key of the cached speaker vector
    voice: Voice
    format: str
    speed: float = 1.0
    prosody: Prosody = NEUTRAL
    like: Voice | None = None  # whose recording is followed where `prosody` is neutral
    seed: int | None = None
    lang: str | None = None  # None: the model's first language
    steps: int | None = None  # None: what the model recommends
    words: bool = False  # whether to send word times
    max_seconds: float | None = None  # refuse a text that is predicted to take longer
    recording: Samples | None = None  # [S] at SAMPLE_RATE, to be converted to the voice; the text is its words, or ""


@dataclass(frozen=True)
class Cancel:
    """The client is gone; drop the job."""

    id: int


@dataclass(frozen=True)
class Pause:
    """The client reads slowly; generate no more of the job for now."""

    id: int


@dataclass(frozen=True)
class Resume:
    """The client has caught up; continue a paused job."""

    id: int


# --- from the worker -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelInfo:
    """What a loaded model can do."""

    languages: tuple[str, ...]
    uses_transcript: bool
    prosody: bool = False  # whether it follows pitch, range and emphasis
    conversions: tuple[str, ...] = ()  # as `systems.load.conversions`


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its models."""

    models: dict[str, ModelInfo]


@dataclass(frozen=True)
class LoadFailed:
    """The worker could not load its models, and exits."""

    message: str


@dataclass(frozen=True)
class AudioChunk:
    """The next encoded bytes of a job. They may be empty while the encoder buffers."""

    id: int
    data: bytes
    seconds: float  # of speech
    words: tuple[Word, ...] = ()  # timed from the start of the whole answer
    notices: tuple[str, ...] = ()  # what is not spoken as written


@dataclass(frozen=True)
class Done:
    """The job is complete. characters: of the text; seconds: of speech."""

    id: int
    characters: int
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The job ends with an error. message: safe to show to the client."""

    id: int
    culprit: Culprit
    message: str


@dataclass(frozen=True)
class BatchDone:
    """A pass of the network has finished. pieces: how many shared it."""

    pieces: int


ToWorker = Job | Cancel | Pause | Resume
FromWorker = Ready | LoadFailed | AudioChunk | Done | Failed | BatchDone
