"""How a recording is spoken: its pitch and level over time, and its pace, range and rise in numbers.

Knows nothing about words and models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import SAMPLE_RATE, Samples, frame_db, resample
from vivavoce.audio.pitch import frequencies

Curve = npt.NDArray[np.float64]

HOP = 240  # samples at SAMPLE_RATE, 10 ms: the frames in which pitch and level are measured
WINDOW = 512  # samples
LOUDEST = -12.0  # dBFS
LEAST_VOICED = 0.3  # seconds of voiced speech that a measurement needs
ODD = 9.0  # semitones from the median pitch; frames beyond are a creak, or an octave off
QUIET = -35.0  # dB below the loudest frames; what is quieter is a pause
PAUSE = 0.25  # seconds; shorter silences belong to sounds such as t and p
# Syllables: chosen for the best correlation with the syllables of Harvard sentences at three paces
VOWELS = (300.0, 3000.0)  # Hz: the band whose level has a peak in each syllable
NUCLEUS = -25.0  # dB below the loudest frames; the vowel of a syllable is louder
DIP = 3.0  # dB by which the level falls between the vowels of two syllables
SMOOTH = 9  # frames, odd
FOUND = 0.84  # share of the syllables that are found


@dataclass(frozen=True)
class Heard:
    """What is measured in a recording."""

    rate: float  # syllables a second, without the pauses; rough
    spread: float  # semitones: the standard deviation of a normal distribution with the same 10th and 90th percentile
    rise: float  # dB, of voiced frames, from the first to the last


@dataclass(frozen=True)
class Contour:
    """Pitch and level of a recording, each HOP samples at SAMPLE_RATE; frame n is centred at sample n * HOP."""

    pitch: Curve  # semitones above 100 Hz [N]; nan where there is none
    level: Curve  # dB [N]
    vowels: Curve  # dB of the band of vowels [N]

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        return np.isfinite(self.pitch)


def contour(samples: Samples, sample_rate: int) -> Contour:
    """Measure the pitch and level of a recording [S], as if its loudest 10 ms were at LOUDEST."""
    wave = resample(samples, sample_rate, SAMPLE_RATE)
    gain = 10 ** ((LOUDEST - frame_db(wave, SAMPLE_RATE).max()) / 20)  # the tracker finds no pitch in faint sound
    wave = wave * np.float32(gain)
    hertz = frequencies(wave, SAMPLE_RATE, HOP)
    level = frame_db(np.pad(wave, HOP // 2), SAMPLE_RATE, HOP / SAMPLE_RATE)[: len(hertz)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(wave, WINDOW // 2), WINDOW)[::HOP][: len(hertz)]
    band = np.round(np.array(VOWELS) * WINDOW / SAMPLE_RATE).astype(int)
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(WINDOW)))[:, band[0] : band[1] + 1]).sum(1)
    vowels = 10 * np.log10(power + 1e-9)
    voiced = (hertz > 0) & (level > level.max() + QUIET)
    pitch = np.where(voiced, 12 * np.log2(np.maximum(hertz, 1) / 100), np.nan)
    if voiced.any():
        pitch[np.abs(pitch - np.nanmedian(pitch)) > ODD] = np.nan
    return Contour(pitch, level, vowels)


def heard(found: Contour) -> Heard:
    """Return pace, range and rise of a recording. Raises ValueError if less than LEAST_VOICED of it is voiced."""
    seconds = found.voiced.sum() * HOP / SAMPLE_RATE
    if seconds < LEAST_VOICED:
        raise ValueError(f"{seconds:.1f} s of the recording are voiced speech; at least {LEAST_VOICED:g} s are needed")
    low, high = np.nanpercentile(found.pitch, (10, 90))
    times = np.flatnonzero(found.voiced)
    rise = 0.0
    if len(times) > 1:
        slope = np.polyfit(times, found.level[times], 1)[0]
        rise = float(slope * (times[-1] - times[0]))
    return Heard(_syllables(found) / FOUND / _seconds(found), max(0.1, float(high - low) / 2.56), rise)


def _spoken(found: Contour) -> npt.NDArray[np.bool_]:
    """Return whether each frame belongs to speech and not to a pause or to the silence at an end [N]."""
    quiet = found.level <= np.percentile(found.level, 95) + QUIET
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(int)))
    spoken = np.ones(len(quiet), bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if (end - start) * HOP >= PAUSE * SAMPLE_RATE or start == 0 or end == len(quiet):
            spoken[start:end] = False
    return spoken


def _seconds(found: Contour) -> float:
    """Return the seconds of speech without its pauses."""
    return max(1, int(_spoken(found).sum())) * HOP / SAMPLE_RATE


def _syllables(found: Contour) -> int:
    """Count the vowels: voiced peaks of the level between dips, after de Jong and Wempe (2009).

    "Praat script to detect syllable nuclei and measure speech rate automatically", Behavior Research Methods 41.
    """
    window = np.hanning(SMOOTH + 2)[1:-1]
    level = np.convolve(np.pad(found.vowels, SMOOTH // 2, mode="edge"), window / window.sum(), "valid")
    least = np.percentile(level, 95) + NUCLEUS
    count, rising, best, lowest = 0, True, 0, np.inf
    for n, value in enumerate(level):
        if rising:
            if value > level[best]:
                best = n
            elif value < level[best] - DIP:
                count += bool(level[best] > least and found.voiced[max(0, best - 2) : best + 3].any())
                rising, lowest = False, value
        else:
            lowest = min(lowest, value)
            if value > lowest + DIP:
                rising, best = True, n
    return max(1, count)
