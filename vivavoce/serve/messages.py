"""What the server and its workers tell each other: plain values, pickled over a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivavoce.pieces import Word
from vivavoce.voices import Voice

Fault = Literal["input", "speech", "server"]  # whose: the request's, the model's, ours


@dataclass(frozen=True)
class Order:
    """One request for speech, checked as far as it can be without the model."""

    id: int
    model: str
    text: str
    voice_id: str  # what the speaker vector may be kept under
    voice: Voice
    format: str
    speed: float = 1.0
    seed: int | None = None
    lang: str | None = None  # None: the model's usual one
    words: bool = False  # whether the words' times are wanted


@dataclass(frozen=True)
class Cancel:
    """Nobody waits for this order any more."""

    id: int


@dataclass(frozen=True)
class About:
    """What a loaded model can do."""

    languages: tuple[str, ...]
    uses_transcript: bool


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its models."""

    models: dict[str, About]


@dataclass(frozen=True)
class Broken:
    """The worker could not load its models, and ends."""

    message: str


@dataclass(frozen=True)
class Part:
    """What comes next of an order: bytes to send on, which may be none yet."""

    id: int
    data: bytes
    seconds: float  # of speech in it
    words: tuple[Word, ...] = ()  # timed from the start of the whole
    notices: tuple[str, ...] = ()  # what is not spoken as written, as it comes up


@dataclass(frozen=True)
class Done:
    """The order is complete. characters: as given; seconds: of speech."""

    id: int
    characters: int
    seconds: float


@dataclass(frozen=True)
class Failed:
    """The order ends here. message: fit for the client's eyes."""

    id: int
    fault: Fault
    message: str


@dataclass(frozen=True)
class Pass:
    """A pass of the network is over: how many pieces shared it."""

    pieces: int


ToWorker = Order | Cancel
FromWorker = Ready | Broken | Part | Done | Failed | Pass
