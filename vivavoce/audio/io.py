"""Sound files and bytes: reading, atomic writing, encoding."""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from vivavoce.audio import aac
from vivavoce.audio.dsp import SAMPLE_RATE, Samples, _check_rate, _checked, pcm, resample
from vivavoce.audio.files import atomic_write, part_name, put

Source = str | os.PathLike[str] | BinaryIO
_BAD_SEEK = 39  # libsndfile's error number for a failed seek
# extension -> libsndfile's format and subtype, and the sample rates that the encoder takes (empty: all)
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
FORMATS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "wav": ("WAV", "PCM_16", ()),
    "flac": ("FLAC", "PCM_16", ()),
    "ogg": ("OGG", "OPUS", _OPUS_RATES),
    "opus": ("OGG", "OPUS", _OPUS_RATES),
    "mp3": ("MP3", "MPEG_LAYER_III", _MP3_RATES),
}
WRITER_FORMATS = (*FORMATS, *aac.FORMATS)  # of `Writer`; those of MP4 need the extra `aac`
BIT_RATES = (16, 256)  # kbit/s, the range of mp3, opus and MP4


def read(source: Source, sample_rate: int = SAMPLE_RATE, max_seconds: float | None = None) -> Samples:
    """Read a sound file of any format, rate and number of channels that libsndfile supports.

    source: path, or binary file object. Channels are averaged; the result is resampled to `sample_rate` Hz.
    max_seconds: decode no more than this much of the start; None: all of it.
    Returns float32 [S]. Raises ValueError, naming the file, if it is missing, not readable as sound, empty, or has
    samples that are NaN or infinite.
    """
    _check_rate(sample_rate)
    if isinstance(source, str | os.PathLike):
        name, handle = os.fspath(source), None
        if not os.path.exists(name):
            raise ValueError(f"{name[:200]}: no such file")
        if os.path.isdir(name):
            raise ValueError(f"{name}: this is a folder; a sound file is needed")
    else:
        # libsndfile has to seek, and a pipe or a web upload cannot
        name, handle = str(getattr(source, "name", "sound")), io.BytesIO(source.read())
    try:
        with soundfile.SoundFile(name if handle is None else handle) as file:
            rate = file.samplerate
            frames = math.inf if max_seconds is None else max_seconds * rate
            samples = np.concatenate([np.zeros((0, file.channels), np.float32), *_first(blocks(file), frames)])
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        known = "wav, flac, ogg, opus, mp3, aiff and others"
        raise ValueError(f"{name}: cannot be read as sound ({reason}); readable are {known}") from None
    if samples.shape[0] == 0:
        raise ValueError(f"{name}: has no samples")
    mono = samples.mean(axis=1)  # [S, C] -> [S]
    if not np.isfinite(mono).all():
        raise ValueError(f"{name}: has samples that are not finite numbers (NaN or infinity)")
    return resample(mono, rate, sample_rate)


def _first(found: Iterator[Samples], frames: float) -> Iterator[Samples]:
    """Yield the first `frames` frames of blocks [N, C]."""
    for block in found:
        yield block[: int(min(frames, len(block)))]
        frames -= len(block)
        if frames <= 0:
            return


def blocks(file: soundfile.SoundFile, size: int = 65_536) -> Iterator[Samples]:
    """Yield the rest of an open sound file: float32 [size, C] and, at the end, less.

    The length in the file's header is not used: a file that was sent while it was recorded has none.
    Raises soundfile.SoundFileError if it cannot be read.
    """
    while True:
        block = np.full((size, file.channels), np.nan, np.float32)
        try:
            block = file.read(out=block)
        except soundfile.LibsndfileError as error:
            # After each block soundfile seeks to its end. In FLAC of unknown length libsndfile refuses that at the end
            # of the file. By then the block has its samples; FLAC's are integers, so none of them is NaN.
            if file.format != "FLAC" or error.code != _BAD_SEEK:
                raise
            block = block[~np.isnan(block[:, 0])]
        if len(block):
            yield block
        if len(block) < size:
            return


def write(target: Source, samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE, format: str | None = None) -> None:
    """Write a mono sound as wav (16-bit PCM), flac (16-bit), ogg or opus (Opus in Ogg), or mp3.

    target: path, whose extension gives the format unless `format` does, or binary file object, which needs `format`.
    samples: [S], -1 to 1; values beyond are clipped. Opus and mp3 have only a few rates: other ones are resampled to
    the next higher of them (48 kHz at most). A path is written atomically.
    Raises ValueError for an unknown format, a missing folder, or samples that are empty, not finite or not mono;
    OSError, naming the path, if the system refuses to write (full disk, no permission).
    """
    known = ", ".join(FORMATS)
    is_path = isinstance(target, str | os.PathLike)
    path = Path(os.fspath(target)) if is_path else None  # type: ignore[arg-type]
    if format is None:
        if path is None:
            raise ValueError(f"writing to a file object needs a format: one of {known}")
        format = path.suffix[1:]
        if not format:
            raise ValueError(f"{path}: no extension that gives the format; use one of {known}")
    if format.lower() not in FORMATS:
        where = f"{path}: " if path else ""
        raise ValueError(f"{where}unknown sound format {format!r}; known are {known}")
    encoded = encode(samples, sample_rate, format)
    if path is None:
        target.write(encoded)  # type: ignore[union-attr]
    else:
        atomic_write(path, encoded)


def encode(samples: npt.ArrayLike, sample_rate: int, format: str) -> bytes:
    """Return the bytes of a sound file. Arguments and ValueErrors as for `write`."""
    if format.lower() not in FORMATS:
        raise ValueError(f"unknown sound format {format!r}; known are {', '.join(FORMATS)}")
    container, subtype, rates = FORMATS[format.lower()]
    _check_rate(sample_rate)
    wave = _checked(samples)
    if not wave.size:
        raise ValueError("there are no samples to write")
    if rates and sample_rate not in rates:
        nearest = next((r for r in rates if r >= sample_rate), rates[-1])
        wave, sample_rate = resample(wave, sample_rate, nearest), nearest
    wave = np.clip(wave, -1.0, 1.0)
    # In memory first: errors inside libsndfile's own file writing are easily lost.
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", sample_rate, 1, format=container, subtype=subtype) as file:
        # In blocks: libsndfile's Ogg encoders have overrun the stack when given minutes in one call.
        for start in range(0, len(wave), 16_384):
            file.write(wave[start : start + 16_384])
    return buffer.getvalue()


class Writer:
    """A sound file of any length, written while its sound is generated, and put at its path when it is complete.

        with Writer("book.mp3", 24_000) as file:
            file.add(samples)

    The extension gives the format, one of WRITER_FORMATS. Until the end of the `with` block the file has another name,
    `part`; if the block raises, that file is deleted and an older one at the path stays. bitrate: of mp3, opus, ogg,
    m4a and m4b, in kbit/s.
    Raises ValueError and OSError as `write`, and ValueError for a wav of 4 GiB.
    """

    def __init__(
        self, path: str | os.PathLike[str], sample_rate: int = SAMPLE_RATE, bitrate: int | None = None
    ) -> None:
        self.path = Path(os.path.realpath(path))  # a symbolic link stays one
        self.format = self.path.suffix[1:].lower()
        if self.format not in WRITER_FORMATS:
            raise ValueError(f"{path}: unknown sound format {self.format!r}; known are {', '.join(WRITER_FORMATS)}")
        check_bitrate(self.format, bitrate)
        if not self.path.parent.is_dir():
            raise ValueError(f"{path}: the folder {self.path.parent} does not exist")
        if self.path.is_dir():
            raise ValueError(f"{path}: this is a folder; a file name is needed")
        _check_rate(sample_rate)
        container, subtype, rates = FORMATS.get(self.format, ("MP4", "AAC", aac.RATES))
        rate = sample_rate if not rates else next((r for r in rates if r >= sample_rate), rates[-1])
        self.seconds = 0.0  # so far
        self._rate = sample_rate
        self._resample = None if rate == sample_rate else soxr.ResampleStream(sample_rate, rate, 1, quality="HQ")
        self.part = part_name(self.path)
        self._bytes = _Bytes(self.part, str(self.path))
        self._file: Any
        if container == "MP4":
            self._file = aac.AacFile(self._bytes, rate, 1000 * bitrate if bitrate else aac.BIT_RATE)
        else:
            compression = _compression(container, rate, bitrate)
            self._file = soundfile.SoundFile(
                self._bytes, "w", rate, 1, format=container, subtype=subtype, **compression
            )
        self._samples = 0

    def add(self, samples: npt.ArrayLike) -> None:
        """Append samples [S]: float, -1 to 1, or int16, as from `pcm`."""
        wave = np.asarray(samples)
        if wave.dtype != np.int16:
            wave = pcm(wave)
        self._samples += len(wave)
        self.seconds = self._samples / self._rate
        if self._resample is not None:
            wave = self._resample.resample_chunk(wave.astype(np.float32) / 32768)
        self._write(wave)

    def finish(self) -> None:
        """Complete the file `part`. The end of the `with` block does this, too."""
        if self._file.closed:
            return
        if self._resample is not None:
            self._write(self._resample.resample_chunk(np.zeros(0, np.float32), last=True))
        try:
            self._file.close()
        finally:
            self._bytes.close()
            self._bytes.check()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self.finish()
                self._put()
        finally:
            with contextlib.suppress(Exception):
                self._file.close()
            self._bytes.close()
            self.part.unlink(missing_ok=True)

    def _write(self, wave: npt.NDArray[np.int16] | Samples) -> None:
        if self.format == "wav" and 2 * (self._samples + len(wave)) >= 2**32 - 2**16:
            raise ValueError(f"{self.path}: a wav file holds less than 4 GiB; use another format for so much sound")
        # Blocks: libsndfile's Ogg encoders have overrun the stack when handed minutes in one call.
        for start in range(0, len(wave), 16_384):
            try:
                self._file.write(wave[start : start + 16_384])
            except (AssertionError, OSError, ValueError, soundfile.SoundFileError):
                self._bytes.check()
                raise
        self._bytes.check()

    def _put(self) -> None:
        try:
            put(self.part, self.path)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror or str(problem), str(self.path)) from None


def check_bitrate(format: str, bitrate: int | None) -> None:
    """Raise ValueError for a bit rate that is out of range or that the format does not have, and for MP4 without av."""
    if format in aac.FORMATS and (message := aac.missing()):
        raise ValueError(f"{format}: {message}")
    if bitrate is None:
        return
    if format in ("wav", "flac"):
        raise ValueError(f"bitrate is {bitrate}, but {format} has none; use mp3, opus, ogg, m4a or m4b")
    if not BIT_RATES[0] <= bitrate <= BIT_RATES[1]:
        raise ValueError(f"bitrate is {bitrate}; it must be between {BIT_RATES[0]} and {BIT_RATES[1]} kbit/s")


def _compression(container: str, sample_rate: int, bitrate: int | None) -> dict[str, Any]:
    """Return the arguments with which libsndfile writes about `bitrate` kbit/s.

    It takes a level between 0, its highest bit rate, and 1, its lowest. MP3 has the nearest rate that its standard
    lists for the sample rate: at most 160 below 32 kHz, at most 64 below 16 kHz.
    """
    if bitrate is None:
        return {}
    if container == "OGG":
        return {"compression_level": (256 - bitrate) / 250}
    lowest, highest = (32, 320) if sample_rate >= 32_000 else (8, 160) if sample_rate >= 16_000 else (8, 64)
    level = (highest - min(bitrate, highest)) / (highest - lowest)
    return {"bitrate_mode": "CONSTANT", "compression_level": min(0.99, level)}


class _Bytes(io.RawIOBase):
    """The file that libsndfile writes to. It keeps the system's errors for `check`; libsndfile would lose them."""

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._error: OSError | None = None
        try:
            self._inner = open(path, "xb")  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), name) from None

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._inner.seek(offset, whence)

    def write(self, data: Any) -> int:
        try:
            return self._inner.write(data)
        except OSError as error:
            self._error = self._error or error
            return 0

    def close(self) -> None:
        try:
            self._inner.close()
        except OSError as error:
            self._error = self._error or error
        super().close()

    def check(self) -> None:
        """Raise the system's error, if there was one, naming the final file."""
        if self._error is not None:
            reason = f"{self._error.strerror or self._error}; nothing was written"
            raise OSError(self._error.errno, reason, self._name)
