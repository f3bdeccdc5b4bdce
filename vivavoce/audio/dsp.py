"""Arithmetic on samples: resampling, levels, silence, fades, joins. Knows nothing about files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]
SAMPLE_RATE = 24_000  # Hz, of voices and of all bundled models
FADE = 0.005  # seconds: too short to sound like a fade, long enough not to click


def pcm(samples: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Convert float samples, clipped to -1 to 1, to int16 [S], as libsndfile does for a 16-bit file.

    Raises ValueError for NaN and infinity.
    """
    whole = np.rint(np.clip(_checked(samples).astype(np.float64), -1.0, 1.0) * 2**31).astype(np.int64)
    return np.minimum(whole >> 16, 32767).astype(np.int16)


def _check_rate(sample_rate: int) -> None:
    if not 1_000 <= sample_rate <= 384_000:
        raise ValueError(f"sample_rate is {sample_rate!r}; it must be from 1000 to 384000 Hz")


def _checked(samples: npt.ArrayLike) -> Samples:
    """Return `samples` as float32 [S]. Raises ValueError for other shapes and types, NaN and infinity."""
    wave = np.asarray(samples)
    if wave.ndim != 1:
        raise ValueError(f"samples have shape {list(wave.shape)}; they must be mono, [S]")
    if not np.issubdtype(wave.dtype, np.floating):
        raise ValueError(f"samples are of type {wave.dtype}; they must be floating point, from -1 to 1")
    if not np.isfinite(wave).all():
        raise ValueError("samples contain NaN or infinity")
    return wave.astype(np.float32, copy=False)


def resample(samples: npt.ArrayLike, from_rate: int, to_rate: int) -> Samples:
    """Resample with soxr at high quality. samples: [S] -> float32 [about S * to_rate / from_rate]."""
    _check_rate(from_rate)
    _check_rate(to_rate)
    wave = _checked(samples)
    if from_rate == to_rate or not wave.size:
        return wave
    return np.asarray(soxr.resample(wave, from_rate, to_rate, quality="HQ"), dtype=np.float32)


def rms_db(samples: npt.ArrayLike) -> float:
    """Return the root mean square in dBFS (1.0 is 0 dB, a full-scale sine -3 dB); -inf for silence and no samples."""
    wave = np.asarray(samples, dtype=np.float64)
    power = float(np.mean(wave * wave)) if wave.size else 0.0
    return 10 * math.log10(power) if power > 0 else -math.inf


def level(samples: npt.ArrayLike, target_db: float, peak: float = 0.95) -> Samples:
    """Scale samples so that `rms_db` is `target_db`, or less if a sample would exceed `peak`.

    samples: [S] -> float32 [S]. Silence is returned unchanged.
    """
    wave = _checked(samples)
    loudest = float(np.abs(wave).max(initial=0.0))
    if loudest == 0.0:
        return wave
    gain = min(10 ** ((target_db - rms_db(wave)) / 20), peak / loudest)
    return wave * np.float32(gain)


def frame_db(samples: npt.ArrayLike, sample_rate: int, seconds: float = 0.01) -> npt.NDArray[np.float64]:
    """Return rms_db of each frame of `seconds`, [S] -> [ceil(S / frame)]; silence is -200 dB, not -inf."""
    wave = np.asarray(samples, dtype=np.float64)
    size = max(1, round(sample_rate * seconds))
    count = -(-len(wave) // size)
    power = np.pad(wave * wave, (0, count * size - len(wave))).reshape(count, size).mean(axis=1)
    return 10 * np.log10(np.maximum(power, 1e-20))


def trim_silence(samples: npt.ArrayLike, sample_rate: int, margin: float = 0.1, threshold_db: float = -40.0) -> Samples:
    """Trim silence at both ends, leaving at most `margin` seconds of it.

    Silence is everything more than -`threshold_db` below the loudest 10 ms, so the recording's level does not matter.
    samples: [S] -> float32 [S'], S' = 0 if all are zero.
    """
    wave = _checked(samples)
    start, end, _ = speech_span(wave, sample_rate, margin, threshold_db)
    return wave[start:end]


def speech_span(
    samples: npt.ArrayLike, sample_rate: int, margin: float = 0.1, threshold_db: float = -40.0
) -> tuple[int, int, float]:
    """Return the span that `trim_silence` keeps of [S], as start and end, and the longest pause within it in seconds.

    All are 0 if all samples are zero.
    """
    wave = _checked(samples)
    if not np.any(wave):
        return 0, 0, 0.0
    levels = frame_db(wave, sample_rate)
    loud = np.flatnonzero(levels > levels.max() + threshold_db)
    size, keep = max(1, round(sample_rate * 0.01)), round(sample_rate * margin)
    start, end = max(0, loud[0] * size - keep), min(len(wave), (loud[-1] + 1) * size + keep)
    return int(start), int(end), float((np.diff(loud).max(initial=1) - 1) * 0.01)


def fade(samples: npt.ArrayLike, sample_rate: int, seconds: float = FADE) -> Samples:
    """Fade in and out over `seconds`, so that neither end clicks. [S] -> a new [S]."""
    wave = _checked(samples).copy()
    count = min(round(sample_rate * seconds), len(wave) // 2)
    if count:
        ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)).astype(np.float32)
        wave[:count] *= ramp
        wave[-count:] *= ramp[::-1]
    return wave


def join(pieces: Sequence[npt.ArrayLike], pauses: Sequence[float], sample_rate: int) -> Samples:
    """Join pieces of sound with silence between them; each piece is faded in and out.

    pieces: each [S_i]. pauses: seconds of silence after each piece; the last one may be omitted.
    Returns float32 [sum of S_i and pauses]. Raises ValueError if the numbers of pieces and pauses do not match.
    """
    if len(pauses) not in (len(pieces), max(0, len(pieces) - 1)):
        raise ValueError(f"{len(pieces)} pieces need {len(pieces)} pauses (or one fewer), not {len(pauses)}")
    if any(not 0 <= p < math.inf for p in pauses):
        raise ValueError(f"pauses are {list(pauses)}; they must be 0 seconds or more")
    parts: list[Samples] = []
    for i, piece in enumerate(pieces):
        parts.append(fade(piece, sample_rate))
        if i < len(pauses):
            parts.append(np.zeros(round(pauses[i] * sample_rate), dtype=np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
