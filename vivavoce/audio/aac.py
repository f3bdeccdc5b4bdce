"""AAC in MP4 files, m4a and m4b, encoded by PyAV (extra `aac`). Chapters and tags are written by audio/mp4.py.

PyAV also reads the formats of phones, which libsndfile cannot.
"""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

FORMATS = ("m4a", "m4b")
READABLE = ("m4a", "m4b", "mp4", "aac", "3gp", "amr", "webm", "mka", "wma")  # extensions of what only PyAV reads
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
BIT_RATE = 64_000  # enough for mono speech at 24 kHz


def missing() -> str:
    """Return what must be installed to write these formats; "" if nothing is missing."""
    return "" if importlib.util.find_spec("av") is not None else "the package av is missing: pip install vivavoce[aac]"


def read_av(path: str, sample_rate: int) -> tuple[npt.NDArray[np.float32], int]:
    """Read the first sound track of a file that FFmpeg knows: mono samples [S] at `sample_rate`, its own rate in Hz.

    Raises ValueError, naming the file, if it is unreadable or has no sound, and if PyAV is missing.
    """
    if why := missing():
        raise ValueError(f"{path}: {why}")
    import av

    try:
        with av.open(path) as container:
            stream = container.streams.audio[0]
            own = int(stream.codec_context.sample_rate)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate)
            frames = [f for frame in container.decode(stream) for f in resampler.resample(frame)]
            frames += resampler.resample(None)
            blocks = [frame.to_ndarray()[0] for frame in frames]
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as sound ({' '.join(str(error).split())})") from None
    if not blocks:
        raise ValueError(f"{path}: has no samples")
    return np.concatenate(blocks).astype(np.float32), own


class AacFile:
    """An open MP4 file of mono AAC, with the methods of `soundfile.SoundFile` that `audio.Writer` needs."""

    def __init__(self, target: BinaryIO | Any, sample_rate: int, bit_rate: int = BIT_RATE) -> None:
        import av

        self.closed = False
        self._av, self._rate = av, sample_rate
        self._container = av.open(target, "w", format="mp4")
        self._stream = self._container.add_stream("aac", rate=sample_rate, layout="mono", bit_rate=bit_rate)
        self._samples = 0

    def write(self, samples: npt.NDArray[Any]) -> None:
        """Append samples [S]: int16, or float, -1 to 1."""
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768
        wave = np.clip(samples, -1.0, 1.0).astype(np.float32)
        frame = self._av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")  # [1 channel, S]
        frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._samples
        self._samples += len(wave)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._container.mux(self._stream.encode(None))
            self._container.close()
