"""Predicted opinion scores from DNSMOS P.835, whose network comes with the package speechmos."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import resample
from vivavoce.metrics.packages import data_file, onnx_session

SAMPLE_RATE = 16_000  # Hz, the networks' input


class Opinion(NamedTuple):
    """Predicted mean opinion scores, about 1 (bad) to 5 (excellent): overall, speech, background."""

    ovrl: float
    sig: float
    bak: float


class OpinionModel(Protocol):
    """Anything that predicts the three scores of P.835."""

    def score(self, samples: npt.ArrayLike, sample_rate: int) -> Opinion: ...


class MosModel(Protocol):
    """Anything that predicts a single mean opinion score from 1 to 5."""

    def score(self, samples: npt.ArrayLike, sample_rate: int) -> float: ...


class Dnsmos:
    """DNSMOS P.835 (Reddy and others 2021, arXiv:2110.01763).

    Only the weights of speechmos are used, because its code needs librosa without declaring it. The procedure is the
    published one: windows of 9.01 s, one starting every second, a shorter clip repeated until it is long enough, and a
    polynomial for each raw score.
    """

    WINDOW = 144_160  # samples: 9.01 s, the network's input
    STEP = SAMPLE_RATE
    # from DNS-Challenge's dnsmos_local.py, highest power first
    OVRL = (-0.06766283, 1.11546468, 0.04602535)
    SIG = (-0.08397278, 1.22083953, 0.0052439)
    BAK = (-0.13166888, 1.60915514, -0.39604546)

    def __init__(self, threads: int = 1) -> None:
        """threads: CPU threads. Raises ValueError if the extra `eval` is missing."""
        self.session = onnx_session(data_file("speechmos", "dnsmos_models", "sig_bak_ovr.onnx"), threads)

    def score(self, samples: npt.ArrayLike, sample_rate: int) -> Opinion:
        """samples: [S], clipped to -1 to 1 as in a WAV file; sample_rate: Hz. Raises ValueError for S = 0."""
        wave = np.clip(resample(samples, sample_rate, SAMPLE_RATE), -1, 1)
        if not len(wave):
            raise ValueError("a clip without samples cannot be scored")
        while len(wave) < self.WINDOW:
            wave = np.concatenate([wave, wave])
        # The published code computes each window's end in floating point and drops a window that comes out one sample
        # short: of the 13 windows of a 22 s clip 7 remain. Scores are comparable only if the same windows are dropped.
        count = max(1, len(wave) // self.STEP - 9)
        ends = [int((i + 9.01) * self.STEP) for i in range(count)]
        starts = [i * self.STEP for i in range(count) if ends[i] - i * self.STEP >= self.WINDOW]
        raw = [self.session.run(None, {"input_1": wave[None, s : s + self.WINDOW]})[0][0] for s in starts]
        sig, bak, ovrl = np.asarray(raw, dtype=np.float64).T  # each [windows]
        means = (np.polyval(c, x).mean() for c, x in ((self.OVRL, ovrl), (self.SIG, sig), (self.BAK, bak)))
        return Opinion(*map(float, means))
