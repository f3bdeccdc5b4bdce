"""The interface of engines: `System`, its input `SynthesisRequest` and its output `SynthesisResult`.

Knows nothing about splitting text, or about any particular engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from vivavoce.audio.dsp import Samples
    from vivavoce.config import SpeakOptions
    from vivavoce.models.nanospeech import SamplingConfig
    from vivavoce.models.whisperspeech import WhisperspeechConfig
    from vivavoce.text.pieces import Piece
    from vivavoce.text.tokenizer import ByteTokenizer, CharTokenizer
    from vivavoce.voices import Voice


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model, as `load.load_system` describes it."""

    device: str = "auto"
    dtype: str = "auto"
    compile: bool = False
    vocoder: str | None = None
    bits: int | None = None


@dataclass(frozen=True)
class SynthesisRequest:
    """One piece to speak, with its voice, options and seed.

    options: every field that the system uses is set; its `voice` and `seed` are ignored. memory: the `memory` of the
    previous piece's `SynthesisResult`, for a continuous voice; None for the first piece. extra_duration: allow more
    time than predicted, because the piece came out truncated before.
    """

    piece: Piece
    voice: Voice
    options: SpeakOptions
    seed: int
    memory: Any = None
    extra_duration: bool = False


@dataclass(frozen=True, eq=False)
class SynthesisResult:
    """The speech of one request.

    samples: float32 [S] at the system's rate, about -1 to 1. ends: the time in seconds at which each character of the
    piece's text ends, float32 [T]; None if the model does not predict it. start: the time at which the first character
    begins. memory: state of the engine for the next piece of the voice. fault: a known fault, such as "speech without
    an end"; "" for none.
    """

    samples: Samples
    ends: npt.NDArray[np.float32] | None = None
    memory: Any = None
    start: float = 0.0
    fault: str = ""


@dataclass(frozen=True)
class Word:
    """A spoken word with its punctuation, and its times in seconds from the start."""

    text: str
    start: float
    end: float

    def later(self, seconds: float) -> Word:
        """Return the word with times that are later by `seconds`."""
        return Word(self.text, seconds + self.start, seconds + self.end)


def shared_options(jobs: Sequence[SynthesisRequest], names: Sequence[str]) -> SpeakOptions:
    """Return the options of requests that are spoken as one batch.

    Raises ValueError if one of the fields `names` differs between them, or there are no requests.
    """
    if not jobs:
        raise ValueError("no jobs; at least one piece must be given")
    for name in names:
        values = {getattr(job.options, name): None for job in jobs}
        if len(values) > 1:
            raise ValueError(f"jobs with {name} {' and '.join(map(str, values))} cannot be done together; group them")
    return jobs[0].options


Progress = Callable[[float], None]  # called with the fraction that is done, 0 to 1


class SynthesisError(RuntimeError):
    """The engine's output is not speech: NaN, silence, an impossible length."""


class System(Protocol):
    """A loaded model with everything that it needs to speak, on any backend; `load.load_system` returns one."""

    @property
    def sample_rate(self) -> int:
        """Hz of the samples that `synthesize` returns."""

    @property
    def tokenizer(self) -> CharTokenizer | ByteTokenizer: ...

    @property
    def sampling(self) -> SamplingConfig | WhisperspeechConfig: ...

    @property
    def uses_transcript(self) -> bool:
        """Whether voices need a transcript."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the model's languages, the main one first."""

    @property
    def prosody(self) -> bool:
        """Whether pieces may state a pitch, range, energy, pace and emphasis."""

    @property
    def by_letters(self) -> bool:
        """Whether pieces may state the length of each of their characters."""

    def embedded(self, voice: Voice) -> Voice:
        """Return the voice with the speaker vector that this system needs, if any, for all its pieces."""

    def predict_durations(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        """Return the predicted seconds of each piece at `speed`, without the pause after it."""

    def synthesize(self, jobs: list[SynthesisRequest], progress: Progress | None = None) -> list[SynthesisResult]:
        """Speak each request. Texts hold tokenizer characters only. Piece, voice, seed, speed and memory may differ.

        Raises ValueError if the requests differ in another option, and for languages that are not in `languages`. An
        exception of `progress` ends the work and is passed on.
        """
