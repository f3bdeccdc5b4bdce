"""Streaming encoders: samples to the bytes of a file, so that its beginning can be sent while the rest is generated.

libsndfile writes every format except AAC, which needs PyAV (`pip install vivavoce[aac]`). The headers of WAV and FLAC
state the length of the audio. It is correct if the end is known before the first bytes are taken; otherwise it is
"unknown", which both formats allow.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import soundfile

from vivavoce.audio.dsp import SAMPLE_RATE, Samples, resample

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}

_BLOCK = 8_192  # samples: libsndfile's Ogg encoders overflow the stack when they get minutes in one call
_UNKNOWN = 0xFFFFFFFF  # an unknown length in a WAV header
_AAC_BIT_RATE = 64_000  # enough for mono speech at 24 kHz

# libsndfile's container and subtype. MP3 uses a constant bit rate: players, and libsndfile itself, estimate the length
# of a file without an index from its first frames, and a variable rate would make the estimate wrong.
_LIBSNDFILE: dict[str, dict[str, Any]] = {
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.5},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "wav": {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"},  # our own header goes before it
    "pcm": {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"},
}


class Encoder(Protocol):
    """`add` samples, `close` once at the end, `take` the bytes that are ready at any time."""

    def add(self, samples: Samples) -> None:
        """Encode float32 [S] at SAMPLE_RATE. Values beyond -1 to 1 are clipped."""

    def close(self) -> None:
        """Finish the file."""

    def take(self) -> bytes:
        """Return the bytes since the last call."""


def missing(format: str) -> str:
    """Return a message with what must be installed for a format; "" if nothing is missing."""
    if format != "aac" or importlib.util.find_spec("av") is not None:
        return ""
    return "response_format aac needs the package av on the server (pip install vivavoce[aac]); choose another format"


def encoder(format: str) -> Encoder:
    """Return a new encoder for one of FORMATS. Raises ValueError for other formats, and for aac without PyAV."""
    if format not in FORMATS:
        raise ValueError(f"response_format is {format!r}; it must be one of {', '.join(FORMATS)}")
    if message := missing(format):
        raise ValueError(message)
    own: dict[str, Callable[[], Encoder]] = {"aac": _Aac, "wav": _Wav}
    return own[format]() if format in own else _Sndfile(format)


class _Outgoing(io.RawIOBase):
    """A file that libsndfile writes to, whose bytes are taken away as they arrive.

    libsndfile rewrites the header at the end. If the header is gone by then, that write is dropped.
    """

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.taken = 0  # bytes that were taken away
        self.position = 0

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.taken + len(self.waiting)}[whence]
        self.position = start + offset
        return self.position

    def write(self, data: Any) -> int:
        written = bytes(data)
        start = self.position - self.taken
        if start >= 0:
            self.waiting[start : start + len(written)] = written
        self.position += len(written)
        return len(written)

    def take(self) -> bytes:
        data = bytes(self.waiting)
        self.taken += len(data)
        self.waiting.clear()
        return data


class _Sndfile:
    """A format that libsndfile writes."""

    def __init__(self, format: str) -> None:
        self.outgoing = _Outgoing()
        self.file = soundfile.SoundFile(self.outgoing, "w", SAMPLE_RATE, 1, **_LIBSNDFILE[format])

    def add(self, samples: Samples) -> None:
        clipped = np.clip(samples, -1.0, 1.0)
        for start in range(0, len(clipped), _BLOCK):
            self.file.write(clipped[start : start + _BLOCK])
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def take(self) -> bytes:
        return self.outgoing.take()


class _Wav(_Sndfile):
    """16-bit PCM after a header, which states the length if it is known when the header is taken."""

    def __init__(self) -> None:
        super().__init__("wav")
        self.header_taken = False
        self.closed = False

    def close(self) -> None:
        super().close()
        self.closed = True

    def take(self) -> bytes:
        data = super().take()
        if self.header_taken or not (data or self.closed):
            return data
        self.header_taken = True
        size = len(data) if self.closed else _UNKNOWN
        rate, width = SAMPLE_RATE, 2
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * width, width, 8 * width)
        riff = struct.pack("<4sI4s", b"RIFF", min(size + 36, _UNKNOWN), b"WAVE")
        return riff + form + struct.pack("<4sI", b"data", size) + data


class _Aac:
    """AAC in ADTS frames, a format made for streaming: each frame states its length."""

    def __init__(self) -> None:
        import av

        self.av = av
        self.buffer = io.BytesIO()
        self.container = av.open(self.buffer, "w", format="adts")
        self.stream = self.container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", bit_rate=_AAC_BIT_RATE)
        self.samples = 0

    def add(self, samples: Samples) -> None:
        clipped = np.clip(samples, -1.0, 1.0).astype(np.float32)
        frame = self.av.AudioFrame.from_ndarray(clipped[None], format="fltp", layout="mono")  # [1 channel, S]
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), self.samples
        self.samples += len(clipped)
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.container.mux(self.stream.encode(None))
        self.container.close()

    def take(self) -> bytes:
        data = self.buffer.getvalue()
        self.buffer.seek(0)
        self.buffer.truncate()
        return data


def encode_pcm(data: bytes, format: str) -> bytes:
    """Return 16-bit mono samples at SAMPLE_RATE as a file in one of FORMATS. Raises ValueError as `encoder` does."""
    out = encoder(format)
    out.add(np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768))
    out.close()
    return out.take()


def at_rate(samples: Samples, sample_rate: int) -> Samples:
    """Resample [S] from a model's rate to [S'] at SAMPLE_RATE, the rate of all answers."""
    return resample(samples, sample_rate, SAMPLE_RATE)
