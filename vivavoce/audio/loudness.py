"""Loudness of programmes (ITU-R BS.1770-4, EBU R 128), and a gain that reaches a loudness without clipping.

`Meter` measures sound of any length in little memory: the power of each block of 400 ms, every 100 ms, weighted by
frequency as the recommendation does (its two filters, K), then averaged without the blocks below -70 LUFS, and without
those more than 10 LU below the average of the others. The filters are applied to the spectrum of each block; compared
with filters that run through the sound, that differs by about 0.1 LU for speech.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples, pcm
from vivavoce.audio.io import Writer

BLOCK, STEP = 0.4, 0.1  # seconds
ABSOLUTE, RELATIVE = -70.0, -10.0  # gates, LUFS and LU
OFFSET = -0.691  # dB, of the recommendation: a sine of 997 Hz at 0 dBFS has -3.01 LUFS
PEAK = -3.0  # dBFS; no sample of `levelled` is above it, as shops of audiobooks require
RANGE = (-40.0, -5.0)  # LUFS that can be asked for
_WINDOW = 0.005  # seconds over which the gain changes at a peak


class Meter:
    """Measures the loudness of mono sound that comes in parts."""

    def __init__(self, sample_rate: int) -> None:
        self._block, self._step = round(BLOCK * sample_rate), round(STEP * sample_rate)
        self._weights = _k_weights(self._block, sample_rate)
        self._rest = np.zeros(0, np.float32)
        self._powers: list[float] = []

    def add(self, samples: Samples) -> None:
        """Measure samples [S], float, -1 to 1."""
        self._rest = np.concatenate([self._rest, samples])
        while len(self._rest) >= self._block:
            spectrum = np.abs(np.fft.rfft(self._rest[: self._block].astype(np.float64))) ** 2
            self._powers.append(float(spectrum @ self._weights))
            self._rest = self._rest[self._step :]

    def loudness(self) -> float:
        """Return LUFS so far; -inf for silence, or for less than a block."""
        powers = np.array(self._powers)
        loud = powers[powers > _power(ABSOLUTE)]
        if not len(loud):
            return -math.inf
        loud = loud[loud > loud.mean() * 10 ** (RELATIVE / 10)]
        return OFFSET + 10 * math.log10(loud.mean())


class Limiter:
    """Applies a gain to sound that comes in parts. At peaks above `peak` dBFS, it drops for a few ms."""

    def __init__(self, gain_db: float, sample_rate: int, peak: float = PEAK) -> None:
        self._gain, self._size = 10 ** (gain_db / 20), max(1, round(_WINDOW * sample_rate))
        self._ceiling = 10 ** (peak / 20)
        self._rest = np.zeros(0, np.float32)
        self._left = 1.0  # the gain at the start of the rest

    def add(self, samples: Samples) -> Samples:
        """Return samples that are ready, float32; their end waits for what follows."""
        self._rest = np.concatenate([self._rest, samples.astype(np.float32) * np.float32(self._gain)])
        return self._take(max(0, len(self._rest) // self._size - 1))

    def finish(self) -> Samples:
        """Return the rest."""
        size = len(self._rest)
        padded = -(-size // self._size) * self._size
        self._rest = np.concatenate([self._rest, np.zeros(padded + self._size - size, np.float32)])
        return self._take(padded // self._size)[:size]

    def _take(self, count: int) -> Samples:
        if not count:
            return np.zeros(0, np.float32)
        blocks = self._rest[: (count + 1) * self._size].reshape(count + 1, self._size)
        peaks = np.abs(blocks).max(1)
        needed = np.minimum(1.0, self._ceiling / np.maximum(peaks, 1e-9))
        # The gain changes in a straight line within a block, between values that suit both blocks at its ends.
        ends = np.minimum(needed[:-1], needed[1:])
        starts = np.concatenate([[min(self._left, needed[0])], ends[:-1]])
        slope = np.linspace(0, 1, self._size, endpoint=False)
        gains = starts[:, None] + (ends - starts)[:, None] * slope
        self._left = float(ends[-1])
        self._rest = self._rest[count * self._size :]
        return (blocks[:-1] * gains).astype(np.float32).ravel()


def check_loudness(value: float | None) -> None:
    """Raise ValueError for a loudness out of RANGE."""
    if value is not None and not RANGE[0] <= value <= RANGE[1]:
        raise ValueError(f"loudness is {value:g}; it must be between {RANGE[0]:g} and {RANGE[1]:g} LUFS, such as -18")


def levelled(blocks: Iterator[Samples], gain_db: float, sample_rate: int) -> Iterator[Samples]:
    """Yield sound with a gain, its peaks limited to PEAK."""
    limiter = Limiter(gain_db, sample_rate)
    for block in blocks:
        yield limiter.add(block)
    yield limiter.finish()


def _power(lufs: float) -> float:
    return 10 ** ((lufs - OFFSET) / 10)


def _k_weights(size: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the weights of the squared spectrum of a block [size // 2 + 1]: their sum of products is its mean power.

    The filters are the recommendation's for 48 kHz, taken to other rates by their analogue parameters.
    """
    frequencies = np.fft.rfftfreq(size, 1 / sample_rate)
    z = np.exp(-2j * np.pi * frequencies / sample_rate)
    shelf = _shelf(sample_rate, 1681.974450955533, 3.999843853973347, 0.7071752369554196)
    highpass = _highpass(sample_rate, 38.13547087602444, 0.5003270373238773)
    response = np.ones(len(z), np.complex128)
    for b, a in (shelf, highpass):
        response *= (b[0] + b[1] * z + b[2] * z**2) / (a[0] + a[1] * z + a[2] * z**2)
    weights = 2 * np.abs(response) ** 2 / size**2
    weights[0] /= 2
    if size % 2 == 0:
        weights[-1] /= 2
    return weights


def _shelf(rate: int, frequency: float, gain_db: float, q: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    k = math.tan(math.pi * frequency / rate)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = ((high + band * k / q + k * k) / a0, 2 * (k * k - high) / a0, (high - band * k / q + k * k) / a0)
    return b, (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


def _highpass(rate: int, frequency: float, q: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    k = math.tan(math.pi * frequency / rate)
    a0 = 1 + k / q + k * k
    return (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)


class LevellingWriter(Writer):
    """A `Writer` whose file has a loudness, in LUFS. The sound waits in a nameless file until its end is known.

    Silence, and sound shorter than a block, is written as it is.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int, bitrate: int | None = None, *, loudness: float
    ) -> None:
        check_loudness(loudness)
        super().__init__(path, sample_rate, bitrate)
        self._target = loudness
        self._meter = Meter(sample_rate)
        self._waiting = tempfile.TemporaryFile(dir=self.path.parent)  # noqa: SIM115 (closed with the writer)
        self._peak = 0.0
        self._frames = 0

    def add(self, samples: npt.ArrayLike) -> None:
        """Append samples [S]: float, -1 to 1, or int16, as from `pcm`."""
        wave = np.asarray(samples)
        if wave.dtype != np.int16:
            wave = pcm(wave)
        self._waiting.write(wave.tobytes())
        self._frames += len(wave)
        self.seconds = self._frames / self._rate
        sound = wave.astype(np.float32) / np.float32(32768)
        self._peak = max(self._peak, float(np.abs(sound).max(initial=0.0)))
        self._meter.add(sound)

    def finish(self) -> None:
        """Apply the gain and complete the file `part`."""
        if not self._waiting.closed:
            gain = self._gain()
            with self._waiting:
                for block in levelled(self._read(), gain, self._rate) if gain is not None else self._read():
                    super().add(block)
        super().finish()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._waiting.close()

    def _gain(self) -> float | None:
        """Return the gain in dB that reaches the loudness, also where the limiter takes some of it away."""
        measured = self._meter.loudness()
        if not math.isfinite(measured):
            return None
        gain = self._target - measured
        for _ in range(4):
            if self._peak * 10 ** (gain / 20) <= 10 ** (PEAK / 20):
                break
            meter = Meter(self._rate)
            for block in levelled(self._read(), gain, self._rate):
                meter.add(block)
            missing = self._target - meter.loudness()
            gain += missing
            if abs(missing) < 0.1:
                break
        return gain

    def _read(self) -> Iterator[Samples]:
        self._waiting.seek(0)
        while data := self._waiting.read(2 * 65_536):
            yield np.frombuffer(data, np.int16).astype(np.float32) / np.float32(32768)
