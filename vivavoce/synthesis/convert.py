"""Voice conversion: a recording's words, in its own time, in another voice.

The recording is cut at quiet places into pieces that the model can speak at once. Whisper's encoder and the semantic
model turn each piece into codes, and the acoustic model speaks the codes in the target voice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vivavoce.audio.dsp import Samples
from vivavoce.audio.io import read
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import piece_seed

if TYPE_CHECKING:
    from vivavoce.config import SpeakOptions
    from vivavoce.systems.code_reader_torch import CodeReader
    from vivavoce.voices import Voice

SHORTEST = 0.2  # seconds; a shorter recording says nothing
STEP = 0.02  # seconds over which loudness is measured
TOGETHER = 3  # pieces whose codes are found at once, because they share Whisper's window of 30 s


def check_converts(system: Any, name: str) -> None:
    """Raise ValueError if a system cannot convert voices."""
    if not getattr(system, "code_rate", 0.0):
        raise ValueError(
            f"model {name or type(system).__name__!r} cannot convert voices: it has no channel of semantic codes, as "
            "whisperspeech has; or give the words of the recording as text"
        )


def check_recording(audio: Any, sample_rate: int) -> tuple[Samples, int]:
    """Return the samples of a recording, float32 [S], mono, and their rate in Hz.

    audio: a path, which is read at `sample_rate`; (samples [S], rate in Hz), with samples of a float type from -1 to 1,
    or of a signed integer type, which are scaled to that; or a `Speech`. Raises ValueError for anything else, for a
    file as `audio.read`, and for a recording that is too short, silent or not finite.
    """
    if isinstance(audio, str | os.PathLike):
        samples, rate = read(audio, sample_rate), sample_rate
    elif isinstance(audio, Speech):
        samples, rate = audio.samples, audio.sample_rate
    elif isinstance(audio, tuple) and len(audio) == 2:
        samples, rate = _floats(audio[0]), audio[1]
    else:
        given = f"a tuple of {len(audio)}" if isinstance(audio, tuple) else f"of type {type(audio).__name__}"
        raise ValueError(f"the recording is {given}; it must be a path, (samples, rate) or a Speech")
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate <= 0:
        raise ValueError(f"the rate of the recording is {rate!r}; it must be an int above 0, in Hz")
    if len(samples) < SHORTEST * rate:
        raise ValueError(f"the recording lasts {len(samples) / rate:.2f} s; it must last {SHORTEST} s or more")
    if not np.any(samples):
        raise ValueError("the recording is silent")
    return samples, int(rate)


def _floats(given: Any) -> Samples:
    """Return samples [S] as float32, -1 to 1."""
    try:
        samples = np.asarray(given)
    except (TypeError, ValueError):  # rows of different lengths
        samples = np.asarray(None)
    if samples.dtype.kind not in "if":
        raise ValueError(f"the samples of the recording are of type {samples.dtype}; they must be floats or signed "
                         "integers")  # fmt: skip
    if samples.ndim != 1:
        raise ValueError(f"the samples of the recording have the shape {list(samples.shape)}; it must be [S], mono")
    scale = float(np.iinfo(samples.dtype).max) + 1.0 if samples.dtype.kind == "i" else 1.0
    found = (samples / scale).astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("the samples of the recording are not all finite")
    return found


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
