"""What is passed between the text, the systems that speak and the speech: pieces, jobs, what was made, words.

Knows nothing about how a text is cut, who speaks or how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vivavoce.config import SpeakOptions

if TYPE_CHECKING:
    from vivavoce.audio import Samples
    from vivavoce.voices import Voice


@dataclass(frozen=True)
class Piece:
    """A stretch of text to be spoken at once, and the seconds of silence after it.

    languages: runs (code, characters) that make up `text`; (): all of it is in the system's first language.
    """

    text: str
    pause: float
    languages: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Job:
    """One piece to be spoken: by whom, how, with which seed.

    options: nothing in it that the system uses is None; its own `voice` and `seed` are not looked at. memory: what the
    `Made` of the piece before it had, so that the voice goes on alike; None at the start. roomy: it was made before and
    came out cut, so that a system which plans the time gives it more.
    """

    piece: Piece
    voice: Voice
    options: SpeakOptions
    seed: int
    memory: Any = None
    roomy: bool = False


@dataclass(frozen=True, eq=False)
class Made:
    """What a system made of a job.

    samples: float32 [S] at the system's rate, about -1 to 1. ends: seconds at which each character of the piece's text
    ends, float32 [T]; None where the model does not know. start: seconds at which the first character begins.
    memory: the engine's own, for the next piece of the voice. fault: what it made instead of what was asked, such as
    "speech without an end"; "": nothing is known to be wrong.
    """

    samples: Samples
    ends: npt.NDArray[np.float32] | None = None
    memory: Any = None
    start: float = 0.0
    fault: str = ""


@dataclass(frozen=True)
class Word:
    """A word as it was spoken, with the punctuation that belongs to it, and when: seconds from the start."""

    text: str
    start: float
    end: float


def shared_options(jobs: Sequence[Job], names: Sequence[str]) -> SpeakOptions:
    """The options of jobs that are to be done together.

    Raises ValueError where one of the fields `names` differs between them, or there are no jobs.
    """
    if not jobs:
        raise ValueError("no jobs; at least one piece must be given")
    for name in names:
        values = {getattr(job.options, name): None for job in jobs}
        if len(values) > 1:
            raise ValueError(f"jobs with {name} {' and '.join(map(str, values))} cannot be done together; group them")
    return jobs[0].options
