"""Sound → bytes of a file, piece by piece, so that the beginning can be sent while the rest is made.

libsndfile writes all formats but AAC, for which PyAV is needed (`pip install vivavoce[aac]`). A header that tells the
length of the whole, as WAV's and FLAC's do, is right where the end is known before the first bytes are taken, else it
says "unknown", which both formats allow.
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

from vivavoce import audio
from vivavoce.audio import SAMPLE_RATE, Samples

FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}

_BLOCK = 8_192  # samples: libsndfile's Ogg encoders have overrun the stack when handed minutes in one call
_UNKNOWN = 0xFFFFFFFF  # a WAV header's length where it is not known
_AAC_BIT_RATE = 64_000  # as much as speech at 24 kHz in one channel needs

# libsndfile's container and subtype. MP3 has a constant bit rate: players and libsndfile itself take the length of a
# file without an index from its first frames, which a variable rate makes a wrong guess.
_LIBSNDFILE: dict[str, dict[str, Any]] = {
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.5},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "flac": {"format": "FLAC", "subtype": "PCM_16"},
    "wav": {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"},  # our own header goes before it
    "pcm": {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE"},
}


class Encoder(Protocol):
    """`add` as often as there is sound, `close` once, `take` what there is to send at any time."""

    def add(self, samples: Samples) -> None:
        """Float32 [S], -1 to 1, at SAMPLE_RATE; what is beyond is clipped."""

    def close(self) -> None: ...

    def take(self) -> bytes: ...


def missing(format: str) -> str:
    """What has to be installed for a format, in a sentence; "" where nothing has."""
    if format != "aac" or importlib.util.find_spec("av") is not None:
        return ""
    return "response_format aac needs the package av on the server (pip install vivavoce[aac]); use another format"


def encoder(format: str) -> Encoder:
    """A new encoder for one of FORMATS. Raises ValueError for another one, and for aac without PyAV."""
    if format not in FORMATS:
        raise ValueError(f"response_format is {format!r}; it must be one of {', '.join(FORMATS)}")
    if lacking := missing(format):
        raise ValueError(lacking)
    own: dict[str, Callable[[], Encoder]] = {"aac": _Aac, "wav": _Wav}
    return own[format]() if format in own else _Sndfile(format)


class _Sent(io.RawIOBase):
    """A file for libsndfile to write, whose bytes are taken away as they come.

    It goes back to its header at the end. Where the header is gone by then, what it writes there is dropped.
    """

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.gone = 0  # bytes that have been taken
        self.place = 0

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.gone + len(self.waiting)}[whence]
        self.place = start + offset
        return self.place

    def write(self, data: Any) -> int:
        written = bytes(data)
        start = self.place - self.gone
        if start >= 0:
            self.waiting[start : start + len(written)] = written
        self.place += len(written)
        return len(written)

    def take(self) -> bytes:
        data = bytes(self.waiting)
        self.gone += len(data)
        self.waiting.clear()
        return data


class _Sndfile:
    """A format of libsndfile's."""

    def __init__(self, format: str) -> None:
        self.sent = _Sent()
        self.file = soundfile.SoundFile(self.sent, "w", SAMPLE_RATE, 1, **_LIBSNDFILE[format])

    def add(self, samples: Samples) -> None:
        clipped = np.clip(samples, -1.0, 1.0)
        for start in range(0, len(clipped), _BLOCK):
            self.file.write(clipped[start : start + _BLOCK])
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def take(self) -> bytes:
        return self.sent.take()


class _Wav(_Sndfile):
    """16-bit PCM after a header that says how much follows, if that is known when it leaves."""

    def __init__(self) -> None:
        super().__init__("wav")
        self.header = False
        self.closed = False

    def close(self) -> None:
        super().close()
        self.closed = True

    def take(self) -> bytes:
        data = super().take()
        if self.header or not (data or self.closed):
            return data
        self.header = True
        size = len(data) if self.closed else _UNKNOWN
        rate, width = SAMPLE_RATE, 2
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * width, width, 8 * width)
        riff = struct.pack("<4sI4s", b"RIFF", min(size + 36, _UNKNOWN), b"WAVE")
        return riff + form + struct.pack("<4sI", b"data", size) + data


class _Aac:
    """AAC in ADTS frames, each of which says how long it is: made for streaming."""

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


def at_rate(samples: Samples, sample_rate: int) -> Samples:
    """[S] at a model's rate → [S'] at SAMPLE_RATE, which is what all clients are sent."""
    return audio.resample(samples, sample_rate, SAMPLE_RATE)
