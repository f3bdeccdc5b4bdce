"""A recording that somebody gives, to be spoken in another voice or to be spoken like."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from vivavoce.audio.dsp import Samples
from vivavoce.audio.io import read
from vivavoce.synthesis.speech import Speech

SHORTEST = 0.2  # seconds; a shorter recording says nothing


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
