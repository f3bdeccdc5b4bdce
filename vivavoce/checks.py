"""The cheap signs that a piece of speech went wrong, read from its sound alone: cut, holed, noisy, said twice.

The limits lie between good recordings and copies of them that were damaged on purpose (tests/test_checks.py).
Knows nothing about models, and not what the words are: `verify.py` listens for those.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce import audio
from vivavoce.audio import Samples

SILENCE_DB = -70.0  # what is quieter than this over a whole piece is no speech
PAUSE_DB = -40.0  # below the loudest 10 ms, as in `audio.trim_silence`: what is quieter is a pause
SPEECH_DB = -30.0  # below the loudest 10 ms: what is quieter does not count for the level of the speech
FRAME = 0.01  # seconds

LONGEST, MORE = 1.8, 0.8  # of speech: so many times the prediction, and seconds
SHORTEST, LESS = 0.5, 0.2
WORD = 0.08  # seconds: less is none
HOLE = 0.9  # seconds of a pause at speed 1; good readings of a sentence have up to 0.6
CUT_DB = -20.0  # of the first or last 10 ms, against the speech; good readings reach -30
FLAT, FLAT_SHARE = 0.9, 0.002  # of the peak, where neighbours are equal; of all samples
TAIL, TAIL_DB = 0.4, 2.0  # seconds at the end whose level does not move by more than this; speech moves by 5
AFTER = 0.6  # seconds of sound after the end of the last word

# A stretch and the next one as long are alike from 0 to 1. Short ones are so by chance, up to 0.89; from ALIKE_LONG
# seconds on, good readings reach 0.64.
STRETCH = (0.2, 3.0)
ALIKE_SHORT, ALIKE_LONG, ALIKE = 0.92, 0.6, 0.75
VARIED = 3.0  # dB that the shape of the spectrum varies by: less is a hum, and no word
BANDS = 32


@dataclass(frozen=True)
class Fault:
    """What is wrong with a piece.

    name: "not finite", "silence", "length", "hole", "clipping", "cut start", "cut end", "tail" or "repeat"; from the
    recogniser "dropped", "repeated" or "misheard"; "engine", what the model itself tells. detail: what and where, as it
    goes into a sentence. weight: how much it counts where the best of several tries is looked for.
    """

    name: str
    detail: str
    weight: float = 1.0

    @property
    def unusable(self) -> bool:
        """Whether there is nothing to listen to."""
        return self.weight == math.inf


@dataclass(frozen=True)
class Check:
    """What was found out about a piece of a speech.

    tries: how often it was made. faults: of the try that was kept; (): it looks sound. heard: the recogniser's words;
    None: nobody listened.
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
    """What seems to be wrong with speech; nothing where nothing does.

    samples: [S]; sample_rate: Hz. predicted_seconds: how long it should be, at `speed`. text: what is said; a text
    that says something twice in a row is not searched for that. end: seconds at which the last word should be over.
    """
    if not np.isfinite(samples).all():
        return [Fault("not finite", "NaN or infinite samples", math.inf)]
    if audio.rms_db(samples) < SILENCE_DB:
        return [Fault("silence", "silence", math.inf)]
    tail = _tail(samples, sample_rate, end)
    faults = [
        _length(samples, sample_rate, predicted_seconds),
        _hole(samples, sample_rate, speed),
        _clipping(samples),
        _cut(samples, sample_rate, "start"),
        _cut(samples[::-1], sample_rate, "end"),
        tail,
        None if tail or says_twice(text) else _repeat(samples, sample_rate),  # noise is like itself
    ]
    return [fault for fault in faults if fault is not None]


def _length(samples: Samples, sample_rate: int, predicted: float) -> Fault | None:
    start, end, _ = audio.speech_span(samples, sample_rate, 0.0, PAUSE_DB)
    seconds = (end - start) / sample_rate
    short = seconds < max(WORD, SHORTEST * predicted - LESS)
    if not short and seconds <= LONGEST * predicted + MORE:
        return None
    weight = 5.0 if short else 3.0  # rather too much than words missing
    return Fault("length", f"{seconds:.2g} s of sound where {predicted:.2g} s were predicted", weight)


def _hole(samples: Samples, sample_rate: int, speed: float) -> Fault | None:
    pause = audio.speech_span(samples, sample_rate, 0.0, PAUSE_DB)[2]
    return Fault("hole", f"a hole of {pause:.1f} s") if pause > HOLE / min(1.0, speed) else None


def _clipping(samples: Samples) -> Fault | None:
    """Flat tops. Samples beyond 1 are none: a piece is made quieter where it needs to be."""
    height = np.abs(samples)
    peak = height.max()
    flat = (np.abs(np.diff(samples)) < 1e-5 * peak) & (height[1:] > FLAT * peak)
    share = float(flat.sum() / len(samples))
    return Fault("clipping", f"clipping ({100 * share:.1f} % of the samples)") if share > FLAT_SHARE else None


def _cut(samples: Samples, sample_rate: int, which: str) -> Fault | None:
    """Whether a sound begins at full level: a word without its start, or seen from the back, without its end."""
    size = max(1, round(FRAME * sample_rate))
    first = samples[size // 2 : size // 2 + size]  # a few milliseconds at the edge are the vocoder's, or a fade
    excess = audio.rms_db(first) - speech_level(samples, sample_rate) - CUT_DB
    return Fault(f"cut {which}", f"a word cut off at the {which}", 1 + excess / 100) if excess > 0 else None


def _tail(samples: Samples, sample_rate: int, end: float | None) -> Fault | None:
    """Noise or a hum after the speech, or any sound where the speech should be over."""
    levels = audio.frame_db(samples, sample_rate, FRAME)
    loud = np.flatnonzero(levels > levels.max() + PAUSE_DB)
    late = (loud[-1] + 1) * FRAME - (np.inf if end is None else end)
    if late > AFTER:
        return Fault("tail", f"sound for {late:.1f} s after the last word")
    count = round(TAIL / FRAME)
    last = levels[max(0, loud[-1] + 1 - count) : loud[-1] + 1]
    if len(last) < count or loud[-1] - loud[0] <= count:
        return None
    smooth = 10 * np.log10(np.convolve(10 ** (last / 10), np.full(5, 0.2), "valid"))
    low, high = np.percentile(smooth, (10, 90))
    return Fault("tail", "noise after the last word") if high - low < TAIL_DB else None


def _repeat(samples: Samples, sample_rate: int) -> Fault | None:
    """A stretch of speech that is like the stretch before it: the spectra agree, frame by frame."""
    frames, spoken = _frames(samples, sample_rate)  # [N, BANDS], [N]
    power = (frames * frames).sum(axis=1)
    worst, found = 0.0, None
    for lag in range(round(STRETCH[0] / FRAME), min(round(STRETCH[1] / FRAME), len(frames) // 2) + 1):
        products = (frames[:-lag] * frames[lag:]).sum(axis=1)
        norm = np.sqrt(_sums(power[:-lag], lag) * _sums(power[lag:], lag))
        both = _sums(spoken[:-lag] * spoken[lag:], lag) / lag
        words = (both > 0.6) & (norm > lag * BANDS * VARIED**2)
        alike = np.where(words, _sums(products, lag) / np.maximum(norm, 1e-9), 0.0)
        excess = float(alike.max()) - (ALIKE_SHORT if lag * FRAME < ALIKE_LONG else ALIKE)
        if excess > worst:
            worst, at = excess, (int(alike.argmax()) + lag) * FRAME
            found = Fault("repeat", f"a stretch of {lag * FRAME:.1f} s said twice, again at {at:.1f} s")
    return found


def _sums(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """The sum of each `size` neighbours: [N] → [N - size + 1]."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    return total[size:] - total[:-size]


def _frames(samples: Samples, sample_rate: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How the shape of each frame's spectrum differs from the speech's, dB [N, BANDS]; 1.0 where somebody speaks [N].

    The shape, for what is said again is louder or softer. Frames of silence are zeros: a pause is like every other.
    """
    size, hop = round(0.025 * sample_rate), round(FRAME * sample_rate)
    wave = np.pad(samples, (0, max(0, size - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop] * np.hanning(size)
    bank = _bank(sample_rate, 1 << (size - 1).bit_length())
    mel = 10 * np.log10((np.abs(np.fft.rfft(windows, 1 << (size - 1).bit_length())) ** 2) @ bank + 1e-10)
    mel = np.maximum(mel, mel.max() - 70)
    mel -= mel.mean(axis=1, keepdims=True)
    levels = audio.frame_db(wave, sample_rate, FRAME)[: len(mel)]
    spoken = levels > levels.max() + PAUSE_DB + 5
    frames = np.where(spoken[:, None], mel - mel[spoken].mean(axis=0), 0.0)
    smooth = np.pad(frames, ((1, 1), (0, 0)))  # over 30 ms, for the second time is never quite in step
    return (smooth[:-2] + smooth[1:-1] + smooth[2:]) / 3, spoken.astype(np.float64)


@functools.cache
def _bank(sample_rate: int, n_fft: int) -> Samples:
    return audio.mel_filterbank(sample_rate, n_fft, BANDS, 80.0, min(8000.0, sample_rate / 2))


def says_twice(text: str) -> bool:
    """Whether the words of a text say something twice in a row: "no, no", "on and on and"."""
    words = re.findall(r"\w+", text.lower())
    return any(
        words[i : i + size] == words[i + size : i + 2 * size]
        for size in range(1, min(8, len(words) // 2) + 1)
        for i in range(len(words) - 2 * size + 1)
    )


def speech_level(samples: Samples, sample_rate: int) -> float:
    """dB below full scale while somebody speaks: pauses do not count. Not of silence."""
    levels = audio.frame_db(samples, sample_rate, FRAME)
    spoken = levels[levels > levels.max() + SPEECH_DB]
    return float(10 * np.log10(np.mean(10 ** (spoken / 10))))
