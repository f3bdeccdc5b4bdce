"""The mel filterbank, in numpy, for all backends and front ends."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples
from vivavoce.config import MelConfig

Scale = Literal["htk", "slaney"]
# Slaney's Auditory Toolbox (1998): linear up to 1 kHz, 200/3 Hz a mel, then 27 mels for each factor of 6.4
_SLANEY_HZ, _SLANEY_BREAK, _SLANEY_STEP = 200 / 3, 1000.0, math.log(6.4) / 27


def _hz_to_mel(hz: float, scale: Scale) -> float:
    if scale == "htk":
        return 2595 * math.log10(1 + hz / 700)
    if hz < _SLANEY_BREAK:
        return hz / _SLANEY_HZ
    return _SLANEY_BREAK / _SLANEY_HZ + math.log(hz / _SLANEY_BREAK) / _SLANEY_STEP


def _mel_to_hz(mel: npt.NDArray[np.float64], scale: Scale) -> npt.NDArray[np.float64]:
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    knee = _SLANEY_BREAK / _SLANEY_HZ
    above = _SLANEY_BREAK * np.exp(_SLANEY_STEP * np.maximum(mel - knee, 0))
    return np.where(mel < knee, mel * _SLANEY_HZ, above)


def mel_filterbank(
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    f_min: float = 0.0,
    f_max: float | None = None,
    scale: Scale = "htk",
    norm: Literal["slaney"] | None = None,
) -> Samples:
    """Triangular filters, evenly spaced in mels: spectrum [N, n_fft // 2 + 1] @ filterbank -> mels [N, n_mels].

    f_min, f_max: Hz, the outer feet of the first and last triangle (f_max None: half the sample rate).
    scale: "htk" (O'Shaughnessy's formula) or "slaney" (Auditory Toolbox). norm: None, each triangle is 1 high;
    "slaney", each has area 1 over Hz. ("htk", None) is torchaudio's default and Vocos' filterbank,
    ("slaney", "slaney") is librosa's default and Whisper's; test_audio.py holds numbers of both.
    Returns float32 [n_fft // 2 + 1, n_mels]. Raises ValueError for values out of range.
    """
    top = sample_rate / 2 if f_max is None else f_max
    if not 0 <= f_min < top <= sample_rate / 2:
        raise ValueError(f"f_min {f_min} and f_max {top} must satisfy 0 <= f_min < f_max <= {sample_rate / 2} Hz")
    if n_fft < 2 or n_mels < 1:
        raise ValueError(f"n_fft {n_fft} must be 2 or more and n_mels {n_mels} 1 or more")
    if scale not in ("htk", "slaney"):
        raise ValueError(f"scale is {scale!r}; it must be htk or slaney")
    if norm not in (None, "slaney"):
        raise ValueError(f"norm is {norm!r}; it must be None or slaney")
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft  # [F], Hz
    feet = _mel_to_hz(np.linspace(_hz_to_mel(f_min, scale), _hz_to_mel(top, scale), n_mels + 2), scale)  # [M + 2], Hz
    left, centre, right = feet[:-2], feet[1:-1], feet[2:]
    rising = (bins[:, None] - left) / (centre - left)  # [F, M]
    falling = (right - bins[:, None]) / (right - centre)
    bank = np.maximum(0, np.minimum(rising, falling))
    if norm == "slaney":
        bank = bank * (2 / (right - left))
    return bank.astype(np.float32)


def mel_tops(config: MelConfig) -> Samples:
    """The highest frequency that each mel bin takes in [M], Hz: where the bin's triangle ends, for HTK mels."""
    top = _hz_to_mel(config.sample_rate / 2, "htk")
    feet = _mel_to_hz(np.linspace(_hz_to_mel(0.0, "htk"), top, config.n_mels + 2), "htk")
    return feet[2:].astype(np.float32)
