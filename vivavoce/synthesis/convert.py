"""Voice conversion: a recording's words, in its own time, in another voice.

The recording is cut at quiet places into pieces that the model can speak at once. Whisper's encoder and the semantic
model turn each piece into codes, and the acoustic model speaks the codes in the target voice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vivavoce.audio.dsp import Samples
from vivavoce.synthesis.recording import SHORTEST
from vivavoce.synthesis.synthesizer import piece_seed

if TYPE_CHECKING:
    from vivavoce.config import SpeakOptions
    from vivavoce.systems.code_reader_torch import CodeReader
    from vivavoce.voices import Voice

STEP = 0.02  # seconds over which loudness is measured
TOGETHER = 3  # pieces whose codes are found at once, because they share Whisper's window of 30 s


def check_converts(system: Any, name: str) -> None:
    """Raise ValueError if a system cannot convert voices."""
    if not getattr(system, "code_rate", 0.0):
        raise ValueError(
            f"model {name or type(system).__name__!r} cannot convert voices: it has no channel of semantic codes, as "
            "whisperspeech has; or give the words of the recording as text"
        )


def converted(
    system: Any,
    reader: CodeReader,
    samples: Samples,
    sample_rate: int,
    voice: Voice,
    options: SpeakOptions,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Samples]:
    """Return the pieces of the recording in the voice, float32 [S] at the system's rate; joined, as long as it is.

    samples: [S] at `sample_rate`, mono. voice, options: prepared for the system, as a `Planner` has them. Raises
    ValueError, before the first piece, if model and reader have different codes.
    """
    theirs = str(system.tokens.get("semantic", ""))
    if theirs and theirs != reader.name:
        raise ValueError(f"the model was trained on codes of the semantic model {theirs}; this one is {reader.name}")
    if system.code_rate != reader.rate:
        raise ValueError(
            f"the model reads {system.code_rate:g} codes a second; the semantic model makes {reader.rate:g}"
        )
    spans = cuts(samples, sample_rate, system.sampling.max_seconds)
    ends = np.round(np.array([end for _, end in spans]) * (system.sample_rate / sample_rate)).astype(int)

    def pieces() -> Iterator[Samples]:
        for first in range(0, len(spans), TOGETHER):
            some = spans[first : first + TOGETHER]
            found = reader.codes([samples[start:end] for start, end in some], sample_rate)
            for number, codes in enumerate(found, first):
                length = int(ends[number] - (ends[number - 1] if number else 0))
                yield system.convert([codes], [length], voice, options, [piece_seed(seed, number)])[0]
                if progress is not None:
                    progress((number + 1) / len(spans))

    return pieces()


def cuts(samples: Samples, sample_rate: int, longest: float) -> list[tuple[int, int]]:
    """Return the start and end of each piece, in samples: at most `longest` seconds, cut where it is quietest."""
    step = max(1, int(STEP * sample_rate))
    count = len(samples) // step
    loudness = np.square(samples[: count * step].reshape(count, step)).mean(1)
    size = int(longest * sample_rate) // step
    spans, start = [], 0
    while len(samples) - start * step > size * step:
        window = loudness[start + size // 2 : start + size]
        end = start + size // 2 + int(window.argmin())
        spans.append((start * step, end * step))
        start = end
    if spans and len(samples) - start * step < SHORTEST * sample_rate:  # too short for the encoder
        start = spans.pop()[0] // step
    spans.append((start * step, len(samples)))
    return spans
