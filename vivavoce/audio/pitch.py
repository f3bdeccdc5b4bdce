"""Pitch tracking: a voice's fundamental frequency, and how many of its cycles have passed at each frame.

Candidates and costs follow RAPT (Talkin, "A robust algorithm for pitch tracking", 1995): normalised cross-correlation
of a short window with itself some lags later, and the path of least cost through all frames. The phase of the first
harmonic then gives the frequency far more finely than a lag can.
"""

from __future__ import annotations

import numpy as np

from vivavoce.audio.dsp import resample

LOWEST, HIGHEST = 60.0, 500.0  # Hz
RATE = 6_000  # Hz, sample rate for the lag search: enough for the harmonics that carry the pitch
WINDOW = 0.03  # seconds that are correlated
LONG_LAG = 0.15  # penalty of the longest lag against the shortest: a double period is a period, too
UNVOICED = 0.45  # cost of an unvoiced frame: frames with a correlation above 1 - 0.45 are voiced
ONSET = 0.3  # cost of a change between voiced and unvoiced
LEAP = 2.0  # cost of an octave between neighbouring frames
SLOW = 25  # frames, odd: the first harmonic's phase is smoothed over so many


def track(wave: np.ndarray, sample_rate: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for a waveform [S], the fundamental's cycles so far [N] and whether frames are voiced [N].

    N = S // hop + 1; frame n is centred at sample n * hop. In voiced frames, the fractional part of the cycles is the
    phase of the first harmonic, as of a cosine; in between they are interpolated.
    """
    count = len(wave) // hop + 1
    lags, voiced = _path(*_correlation(wave, sample_rate, hop, count))
    if not voiced.any():
        return np.zeros(count), voiced
    rate = np.interp(np.arange(count), np.flatnonzero(voiced), hop / sample_rate / lags[voiced])  # cycles a hop
    frames = _frames(wave, hop, count)
    for _ in range(2):  # the second pass measures the phase with a better rate
        cycles = _unwrapped(np.angle(_harmonic(frames, rate, hop)) / (2 * np.pi), rate, voiced)
        rate = np.clip(np.gradient(cycles), LOWEST * hop / sample_rate / 1.2, HIGHEST * hop / sample_rate * 1.2)
    return _steadied(frames, cycles, rate, voiced, sample_rate, hop), voiced


def frequencies(wave: np.ndarray, sample_rate: int, hop: int) -> np.ndarray:
    """Return the fundamental of a waveform [S] in Hz, LOWEST to HIGHEST, at each frame [N]; 0 where it is unvoiced.

    N = S // hop + 1; frame n is centred at sample n * hop.
    """
    lags, voiced = _path(*_correlation(wave, sample_rate, hop, len(wave) // hop + 1))
    return np.where(voiced, 1 / lags, 0.0)


def _correlation(wave: np.ndarray, sample_rate: int, hop: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lags in seconds [L] and the normalised cross-correlation at each [N, L], at most 1."""
    low = resample(wave, sample_rate, RATE).astype(np.float64)
    shortest, longest, size = int(RATE / HIGHEST), int(RATE / LOWEST) + 1, int(WINDOW * RATE)
    span = size + longest
    low = np.pad(low, (span, span + size))
    starts = np.round(np.arange(count) * hop * RATE / sample_rate).astype(int) + span - (size + longest) // 2
    frames = np.lib.stride_tricks.sliding_window_view(low, span)[starts]  # [N, span]
    bins = 1 << (span + size).bit_length()
    spectrum = np.fft.rfft(frames, bins) * np.fft.rfft(frames[:, :size], bins).conj()
    products = np.fft.irfft(spectrum, bins)[:, shortest : longest + 1]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    places = np.arange(shortest, longest + 1)
    own, other = energy[:, size], energy[:, np.minimum(places + size, span)] - energy[:, places]
    floor = 1e-6 * size  # audio below -60 dB has no pitch
    return places / RATE, products / np.sqrt((own[:, None] + floor) * (other + floor))


def _path(lags: np.ndarray, likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the path of least cost: the lag at each frame [N], in seconds, and whether it is voiced [N]."""
    weight = 1 - LONG_LAG * (lags - lags[0]) / (lags[-1] - lags[0])
    costs = np.concatenate((1 - likeness * weight, np.full((len(likeness), 1), UNVOICED)), axis=1)
    octaves = np.log2(lags)
    moves = np.full((len(lags) + 1,) * 2, ONSET)
    moves[:-1, :-1] = LEAP * np.abs(octaves[:, None] - octaves)
    moves[-1, -1] = 0
    total, back = costs[0], np.zeros(costs.shape, dtype=int)
    for n in range(1, len(costs)):
        through = total[:, None] + moves
        back[n] = through.argmin(0)
        total = through[back[n], np.arange(len(total))] + costs[n]
    path = np.zeros(len(costs), dtype=int)
    path[-1] = total.argmin()
    for n in range(len(costs) - 1, 0, -1):
        path[n - 1] = back[n, path[n]]
    voiced = path < len(lags)
    at = np.minimum(path, len(lags) - 1)
    # the peak lies between lags: take the vertex of the parabola through three of them
    rows, inner = np.arange(len(at)), np.clip(at, 1, len(lags) - 2)
    left, middle, right = (likeness[rows, inner + d] for d in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend < -1e-9, 0.5 * (left - right) / np.minimum(bend, -1e-9), 0.0)
    shift = np.where(inner == at, np.clip(shift, -0.5, 0.5), 0.0)
    return lags[at] + shift * (lags[1] - lags[0]), voiced


def _frames(wave: np.ndarray, hop: int, count: int) -> np.ndarray:
    """Return windowed frames of four hops and a sample around each centre [N, 4 * hop + 1]."""
    padded = np.pad(wave.astype(np.float64), (2 * hop, 2 * hop + 1))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 4 * hop + 1)[::hop][:count]
    return (frames * np.hanning(4 * hop + 1)).astype(np.float32)


def _harmonic(frames: np.ndarray, rate: np.ndarray, hop: int) -> np.ndarray:
    """Return the component of the frames at `rate` cycles a hop [N], complex [N]; its phase is at their centres."""
    return np.einsum("np,np->n", frames, _wave(rate, hop))


def _wave(rate: np.ndarray, hop: int) -> np.ndarray:
    """Return a conjugate complex wave of `rate` cycles a hop [N], with phase 0 at the centres of the frames."""
    places = np.arange(-2 * hop, 2 * hop + 1) / hop
    return np.exp((-2j * np.pi) * (rate[:, None] * places).astype(np.float32)).astype(np.complex64)


def _unwrapped(phase: np.ndarray, rate: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Return cycles [N] that match the phases of the voiced frames and advance at about `rate` in between."""
    expected = np.concatenate(([0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)))
    places = np.flatnonzero(voiced)
    offset = np.unwrap(phase[places] - expected[places], period=1.0)
    return expected + np.interp(np.arange(len(rate)), places, offset)


def _steadied(
    frames: np.ndarray, cycles: np.ndarray, rate: np.ndarray, voiced: np.ndarray, sample_rate: int, hop: int
) -> np.ndarray:
    """Return the cycles [N] with the step between frames on which the first eight harmonics agree.

    The first harmonic's phase is noisy, and its errors are eight times as large in the eighth. Only its slow trend is
    kept.
    """
    step = np.diff(cycles)
    errors = np.linspace(-0.12, 0.12, 97)
    score = np.zeros((len(step), len(errors)))
    base = _wave(rate, hop)
    turned = frames.astype(np.complex64)
    for k in range(1, 9):
        turned *= base
        harmonic = turned.sum(1)
        turn = harmonic[1:] * harmonic[:-1].conj() * (k * rate[1:] * sample_rate / hop < 1500)
        turn *= np.exp(-2j * np.pi * k * step) / np.sqrt(np.abs(turn) + 1e-12)
        score += (turn[:, None] * np.exp(-2j * np.pi * k * errors)).real
    both = voiced[1:] & voiced[:-1]
    agreed = np.cumsum(np.concatenate(([cycles[0]], np.where(both, step + errors[score.argmax(1)], step))))
    weight, drift = _smoothed(voiced), _smoothed((cycles - agreed) * voiced)
    known = weight > 0
    return agreed + np.interp(np.arange(len(cycles)), np.flatnonzero(known), drift[known] / weight[known])


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return windowed sums of values [N]. Numpy's "same" would return the length of the window if that is longer."""
    return np.convolve(values, np.hanning(SLOW + 2)[1:-1])[SLOW // 2 : SLOW // 2 + len(values)]
