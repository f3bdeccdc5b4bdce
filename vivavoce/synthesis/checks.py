"""Heuristic audio quality checks: detect speech that is cut, interrupted, noisy or repeated, from its samples alone.

The thresholds separate good recordings from copies that were damaged on purpose (tests/synthesis/test_checks.py).
Knows nothing about models or about the words of the speech: `verify` compares those with a transcript.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from vivavoce.audio.dsp import Samples, frame_db, rms_db, speech_span
from vivavoce.audio.mel import mel_filterbank

SILENCE_DB = -70.0  # a piece below this level is silent
PAUSE_DB = -40.0  # relative to the loudest 10 ms, as in `trim_silence`: frames below it are pauses
SPEECH_DB = -30.0  # relative to the loudest 10 ms: frames below it do not count for the speech level
FRAME = 0.01  # seconds

MAX_RATIO, MAX_EXTRA = 1.8, 0.8  # longest sound: the prediction times the ratio, plus the extra seconds
MIN_RATIO, MIN_EXTRA = 0.5, 0.2  # shortest sound: the prediction times the ratio, minus the extra seconds
MIN_WORD = 0.08  # seconds; a shorter sound is not a word
MAX_PAUSE = 0.9  # seconds at speed 1; pauses in good readings of a sentence reach 0.6
CUT_DB = -20.0  # of the first or last 10 ms relative to the speech level; good readings reach -30
CLIP_LEVEL, CLIP_SHARE = 0.9, 0.002  # equal neighbours above this part of the peak; their share of all samples
TAIL, TAIL_DB = 0.4, 2.0  # seconds at the end whose level varies by less; the level of speech varies by 5
MAX_AFTER_LAST_WORD = 0.6  # seconds of sound

# Similarity of a stretch and the next one of the same length, 0 to 1. Short stretches are similar by chance, up to
# 0.89; from LONG_STRETCH seconds on, good readings reach 0.64.
STRETCH = (0.2, 3.0)  # seconds
MAX_SIMILARITY_SHORT, LONG_STRETCH, MAX_SIMILARITY = 0.92, 0.6, 0.75
MIN_VARIATION = 3.0  # dB; a stretch whose spectrum varies less is a hum, not a word
BANDS = 32
BLOCK = 512  # frames whose products with later ones are computed at once

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """A defect of a piece.

    name: "not finite", "silence", "length", "hole", "clipping", "cut start", "cut end", "tail" or "repeat"; "dropped",
    "repeated" or "misheard" if the transcript differs; "engine" if the model reports it. detail: a phrase for a
    message that says what is wrong and where. weight: its severity, for choosing the best of several attempts.
    """

    name: str
    detail: str
    weight: float = 1.0

    @property
    def unusable(self) -> bool:
        """Whether the piece contains no sound that could be used."""
        return self.weight == math.inf


@dataclass(frozen=True)
class Check:
    """The result of checking a piece.

    tries: the number of attempts. faults: those of the attempt that was kept. heard: the transcript of that attempt;
    None if it was not transcribed.
    """

    tries: int
    faults: tuple[Fault, ...] = ()
    heard: str | None = None


def check(
    samples: Samples,
    sample_rate: int,
    predicted_seconds: float,
    *,
    text: str = "",
    end: float | None = None,
    speed: float = 1.0,
) -> list[Fault]:
    """Return the faults of a piece of speech; [] if there are none.

    samples: [S]. sample_rate: Hz. predicted_seconds: the expected duration at `speed`. text: the words; the search for
    repetitions is skipped if the text itself repeats something. end: when the last word should end, in seconds.
    """
    if not np.isfinite(samples).all():
        return [Fault("not finite", "NaN or infinite samples", math.inf)]
    if rms_db(samples) < SILENCE_DB:
        return [Fault("silence", "silence", math.inf)]
    tail = _tail(samples, sample_rate, end)
    faults = [
        _length(samples, sample_rate, predicted_seconds),
        _hole(samples, sample_rate, speed),
        _clipping(samples),
        _cut(samples, sample_rate, "start"),
        _cut(samples[::-1], sample_rate, "end"),
        tail,
        None if tail or says_twice(text) else _repeat(samples, sample_rate),  # noise resembles itself
    ]
    return [fault for fault in faults if fault is not None]


def _length(samples: Samples, sample_rate: int, predicted: float) -> Fault | None:
    start, end, _ = speech_span(samples, sample_rate, 0.0, PAUSE_DB)
    seconds = (end - start) / sample_rate
    short = seconds < max(MIN_WORD, MIN_RATIO * predicted - MIN_EXTRA)
    if not short and seconds <= MAX_RATIO * predicted + MAX_EXTRA:
        return None
    weight = 5.0 if short else 3.0  # missing words are worse than extra sound
    return Fault("length", f"{seconds:.2g} s of sound where {predicted:.2g} s were predicted", weight)


def _hole(samples: Samples, sample_rate: int, speed: float) -> Fault | None:
    pause = speech_span(samples, sample_rate, 0.0, PAUSE_DB)[2]
    return Fault("hole", f"a hole of {pause:.1f} s") if pause > MAX_PAUSE / min(1.0, speed) else None


def _clipping(samples: Samples) -> Fault | None:
    """Detect flat peaks. Samples beyond 1 are not clipped: the piece is attenuated later."""
    height = np.abs(samples)
    peak = height.max()
    flat = (np.abs(np.diff(samples)) < 1e-5 * peak) & (height[1:] > CLIP_LEVEL * peak)
    share = float(flat.sum() / len(samples))
    return Fault("clipping", f"clipping ({100 * share:.1f} % of the samples)") if share > CLIP_SHARE else None


def _cut(samples: Samples, sample_rate: int, which: str) -> Fault | None:
    """Detect a sound that begins at full level. On reversed samples: one that ends at full level."""
    size = max(1, round(FRAME * sample_rate))
    first = samples[size // 2 : size // 2 + size]  # the vocoder or a fade may soften the first milliseconds
    excess = rms_db(first) - speech_level(samples, sample_rate) - CUT_DB
    return Fault(f"cut {which}", f"a word cut off at the {which}", 1 + excess / 100) if excess > 0 else None


def _tail(samples: Samples, sample_rate: int, end: float | None) -> Fault | None:
    """Detect noise or a hum after the speech, or any sound long after the last word."""
    levels = frame_db(samples, sample_rate, FRAME)
    loud = np.flatnonzero(levels > levels.max() + PAUSE_DB)
    late = (loud[-1] + 1) * FRAME - (np.inf if end is None else end)
    if late > MAX_AFTER_LAST_WORD:
        return Fault("tail", f"sound for {late:.1f} s after the last word")
    count = round(TAIL / FRAME)
    last = levels[max(0, loud[-1] + 1 - count) : loud[-1] + 1]
    if len(last) < count or loud[-1] - loud[0] <= count:
        return None
    smooth = 10 * np.log10(np.convolve(10 ** (last / 10), np.full(5, 0.2), "valid"))
    low, high = np.percentile(smooth, (10, 90))
    return Fault("tail", "noise after the last word") if high - low < TAIL_DB else None


def _repeat(samples: Samples, sample_rate: int) -> Fault | None:
    """Detect a stretch whose spectrum matches that of the stretch before it, frame by frame.

    All lags are computed together, in arrays [lags, N] whose rows are the same frames, shifted by one more frame each.
    """
    frames, spoken = _frames(samples, sample_rate)  # [N, BANDS], [N]
    count, least = len(frames), round(STRETCH[0] / FRAME)
    lags = np.arange(least, min(round(STRETCH[1] / FRAME), count // 2) + 1)
    if not len(lags):
        return None
    room = count + 2 * int(lags[-1]) + 1
    power = _until((frames * frames).sum(axis=1), room)
    both = _shifted(np.pad(spoken, (0, room - count)), least, (len(lags), count)) * spoken
    alike = _products(frames, lags)
    here, there, after = (_shifted(power, k * least, (len(lags), count), k) for k in (0, 1, 2))
    norm = np.sqrt((there - here) * (after - there))
    words = (_moving_sums(both, least) > 0.6 * lags[:, None]) & (norm > lags[:, None] * BANDS * MIN_VARIATION**2)
    words &= np.arange(count) <= count - 2 * lags[:, None]  # both stretches are in the recording
    similarity = np.where(words, _moving_sums(alike, least) / np.maximum(norm, 1e-9), 0.0)
    limit = np.where(lags * FRAME < LONG_STRETCH, MAX_SIMILARITY_SHORT, MAX_SIMILARITY)
    excess = similarity.max(axis=1) - limit
    worst = int(excess.argmax())
    if excess[worst] <= 0:
        return None
    at = (int(similarity[worst].argmax()) + int(lags[worst])) * FRAME
    return Fault("repeat", f"a stretch of {lags[worst] * FRAME:.1f} s said twice, again at {at:.1f} s")


def _products(frames: Floats, lags: npt.NDArray[np.int64]) -> Floats:
    """Return the scalar products [lags, N] of frames [N, BANDS] with those that are `lags` later; 0 beyond the end."""
    made = np.empty((len(lags), len(frames)))
    padded = np.pad(frames, ((0, int(lags[-1]) + BLOCK), (0, 0)))
    for start in range(0, len(frames), BLOCK):
        rows = frames[start : start + BLOCK]
        pairs = rows @ padded[start : start + BLOCK + int(lags[-1])].T  # [frame, later frame]
        diagonals = (pairs.strides[1], sum(pairs.strides))
        made[:, start : start + BLOCK] = as_strided(pairs[:, lags[0] :], (len(lags), len(rows)), diagonals)
    return made


def _shifted(values: Floats, first: int, shape: tuple[int, int], step: int = 1) -> Floats:
    """Return a view of values [M] as rows [lags, N]: the first starts at `first`, each next one `step` later."""
    (stride,) = values.strides
    return as_strided(values[first:], shape, (step * stride, stride))


def _until(values: Floats, room: int) -> Floats:
    """Return the sums of values [N] before each place [room]; the last ones are the sum of all."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    return np.pad(total, (0, room - len(total)), mode="edge")


def _moving_sums(values: Floats, least: int) -> Floats:
    """Return sums of neighbours in rows [lags, N]: `least` of them in the first row, one more in each next row."""
    rows, count = values.shape
    total = np.zeros((rows, 2 * count + 1))
    np.cumsum(values, axis=1, out=total[:, 1 : count + 1])
    total[:, count + 1 :] = total[:, count, None]
    ends = as_strided(total[:, least:], values.shape, (sum(total.strides), total.strides[1]))
    return ends - total[:, :count]


def _frames(samples: Samples, sample_rate: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return each frame's deviation from the mean spectral shape in dB [N, BANDS], and 1.0 for frames of speech [N].

    The shape leaves out the level, because a repetition may be louder or softer. Silent frames are zero, because any
    two pauses look the same.
    """
    size, hop = round(0.025 * sample_rate), round(FRAME * sample_rate)
    wave = np.pad(samples, (0, max(0, size - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop] * np.hanning(size)
    bank = _bank(sample_rate, 1 << (size - 1).bit_length())
    mel = 10 * np.log10((np.abs(np.fft.rfft(windows, 1 << (size - 1).bit_length())) ** 2) @ bank + 1e-10)
    mel = np.maximum(mel, mel.max() - 70)
    mel -= mel.mean(axis=1, keepdims=True)
    levels = frame_db(wave, sample_rate, FRAME)[: len(mel)]
    spoken = levels > levels.max() + PAUSE_DB + 5
    frames = np.where(spoken[:, None], mel - mel[spoken].mean(axis=0), 0.0)
    smooth = np.pad(frames, ((1, 1), (0, 0)))  # over 30 ms: a repetition never matches exactly
    return (smooth[:-2] + smooth[1:-1] + smooth[2:]) / 3, spoken.astype(np.float64)


@functools.cache
def _bank(sample_rate: int, n_fft: int) -> Samples:
    return mel_filterbank(sample_rate, n_fft, BANDS, 80.0, min(8000.0, sample_rate / 2))


def says_twice(text: str) -> bool:
    """Return whether a text repeats a sequence of words at once: "no, no", "on and on and"."""
    words = re.findall(r"\w+", text.lower())
    return any(
        words[i : i + size] == words[i + size : i + 2 * size]
        for size in range(1, min(8, len(words) // 2) + 1)
        for i in range(len(words) - 2 * size + 1)
    )


def speech_level(samples: Samples, sample_rate: int) -> float:
    """Return the level of the speech without its pauses in dBFS. The samples must not be silent."""
    levels = frame_db(samples, sample_rate, FRAME)
    spoken = levels[levels > levels.max() + SPEECH_DB]
    return float(10 * np.log10(np.mean(10 ** (spoken / 10))))
