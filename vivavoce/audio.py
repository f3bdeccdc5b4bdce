"""Sound on disk and in memory: read, write, resample, loudness, silence, joins, and the mel filterbank.

Everywhere in the package a sound is float32, mono, one axis [S] of samples in -1 to 1, beside its rate in Hz.
Knows nothing about models, text or voices. Files go through libsndfile, so no external program is needed.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Samples = npt.NDArray[np.float32]
Source = str | os.PathLike[str] | BinaryIO

SAMPLE_RATE = 24_000  # Hz, of voices and of all bundled models
_BAD_SEEK = 39  # libsndfile's number for a place that it cannot go to
FADE = 0.005  # seconds: short enough not to be heard as a fade, long enough not to click

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


# --- reading and writing ---------------------------------------------------------------------------------------------


def read(source: Source, sample_rate: int = SAMPLE_RATE) -> Samples:
    """Read a sound file of any format, rate and number of channels that libsndfile knows.

    source: path, or binary file object. Channels are averaged; the result is resampled to `sample_rate` Hz.
    Returns float32 [S]. Raises ValueError, naming the file, when it is missing, not readable as sound, empty, or has
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
            samples = np.concatenate([np.zeros((0, file.channels), np.float32), *blocks(file)])
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


def blocks(file: soundfile.SoundFile, size: int = 65_536) -> Iterator[Samples]:
    """What an open sound file has from here on: float32 [size, C] and, at the end, less.

    The file's word for its length is not taken: one that was sent while it was made has none to give.
    Raises soundfile.SoundFileError where it cannot be read.
    """
    while True:
        block = np.full((size, file.channels), np.nan, np.float32)
        try:
            block = file.read(out=block)
        except soundfile.LibsndfileError as error:
            # After each block soundfile goes to its end, which libsndfile refuses where FLAC of unknown length is over.
            # By then the block has what there was; FLAC's samples are whole numbers, so none of them is NaN.
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
    samples: [S], -1 to 1; what is beyond is clipped. Opus and mp3 know a few rates only: sound at another one is
    resampled to the next higher of them (48 kHz at most).
    A path is written whole or not at all, and a file that was there stays until then.
    Raises ValueError for an unknown format, a missing folder, or samples that are empty, not finite or not mono;
    OSError, naming the path, where the system refuses to write (full disk, no permission).
    """
    known = ", ".join(FORMATS)
    is_path = isinstance(target, str | os.PathLike)
    path = Path(os.fspath(target)) if is_path else None  # type: ignore[arg-type]
    if format is None:
        if path is None:
            raise ValueError(f"writing to a file object needs a format: one of {known}")
        format = path.suffix[1:]
        if not format:
            raise ValueError(f"{path}: no extension to tell the format from; use one of {known}")
    if format.lower() not in FORMATS:
        where = f"{path}: " if path else ""
        raise ValueError(f"{where}unknown sound format {format!r}; known are {known}")
    encoded = encode(samples, sample_rate, format)
    if path is None:
        target.write(encoded)  # type: ignore[union-attr]
    else:
        write_whole(path, encoded)


def encode(samples: npt.ArrayLike, sample_rate: int, format: str) -> bytes:
    """The bytes of a sound file. samples: [S], -1 to 1. format: as in `write`. Raises ValueError as `write` does."""
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
    # In memory first: an error inside libsndfile's own file writing is easily lost, one of ours is not.
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", sample_rate, 1, format=container, subtype=subtype) as file:
        # Blocks: libsndfile's Ogg encoders have overrun the stack when handed minutes in one call.
        for start in range(0, len(wave), 16_384):
            file.write(wave[start : start + 16_384])
    return buffer.getvalue()


class Writer:
    """A sound file that is written as its sound is made, however long it gets: at its path whole or not at all.

        with Writer("book.mp3", 24_000) as file:
            file.add(samples)

    The extension gives the format, as in `write`. Until the end of the `with` block it lies beside its path under
    another name, `part`; where the block ends with an error, that is deleted and an older file stays.
    Raises ValueError and OSError as `write`, and ValueError for a wav of 4 GiB.
    """

    def __init__(self, path: str | os.PathLike[str], sample_rate: int = SAMPLE_RATE) -> None:
        self.path = Path(os.path.realpath(path))  # a link stays a link
        self.format = self.path.suffix[1:].lower()
        if self.format not in FORMATS:
            raise ValueError(f"{path}: unknown sound format {self.format!r}; known are {', '.join(FORMATS)}")
        if not self.path.parent.is_dir():
            raise ValueError(f"{path}: the folder {self.path.parent} does not exist")
        if self.path.is_dir():
            raise ValueError(f"{path}: this is a folder; a file name is needed")
        _check_rate(sample_rate)
        container, subtype, rates = FORMATS[self.format]
        rate = sample_rate if not rates else next((r for r in rates if r >= sample_rate), rates[-1])
        self.seconds = 0.0  # so far
        self._rate = sample_rate
        self._resample = None if rate == sample_rate else soxr.ResampleStream(sample_rate, rate, 1, quality="HQ")
        self.part = self.path.with_name(f".{self.path.name[:100]}.{secrets.token_hex(4)}.part")
        self._bytes = _Bytes(self.part, str(self.path))
        self._file = soundfile.SoundFile(self._bytes, "w", rate, 1, format=container, subtype=subtype)
        self._samples = 0

    def add(self, samples: npt.ArrayLike) -> None:
        """Float, -1 to 1, or int16, as `pcm` makes it; [S]."""
        wave = np.asarray(samples)
        if wave.dtype != np.int16:
            wave = pcm(wave)
        self._samples += len(wave)
        self.seconds = self._samples / self._rate
        if self._resample is not None:
            wave = self._resample.resample_chunk(wave.astype(np.float32) / 32768)
        self._write(wave)

    def finish(self) -> None:
        """No more sound will come: `part` is a complete file. The end of the `with` block does this, too."""
        if self._file.closed:
            return
        if self._resample is not None:
            self._write(self._resample.resample_chunk(np.zeros(0, np.float32), last=True))
        self._file.close()
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
            raise ValueError(f"{self.path}: a wav file holds less than 4 GiB; use another format for so much speech")
        # Blocks: libsndfile's Ogg encoders have overrun the stack when handed minutes in one call.
        for start in range(0, len(wave), 16_384):
            try:
                self._file.write(wave[start : start + 16_384])
            except (AssertionError, soundfile.SoundFileError):
                self._bytes.check()
                raise
        self._bytes.check()

    def _put(self) -> None:
        try:
            if self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode):
                with open(self.part, "rb") as made, open(self.path, "wb") as device:  # which must not be replaced
                    shutil.copyfileobj(made, device)
            else:
                os.replace(self.part, self.path)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror or str(problem), str(self.path)) from None


class _Bytes(io.RawIOBase):
    """The file that libsndfile writes to. An error of the system is kept for `check`, for libsndfile would lose it."""

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
        """Raise what the system refused, naming the file that was to be written."""
        if self._error is not None:
            reason = f"{self._error.strerror or self._error}; nothing was written"
            raise OSError(self._error.errno, reason, self._name)


def pcm(samples: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Float, -1 to 1, clipped beyond → int16 [S]: what libsndfile makes of it for a 16-bit file.

    Raises ValueError for NaN and infinity.
    """
    whole = np.rint(np.clip(_checked(samples).astype(np.float64), -1.0, 1.0) * 2**31).astype(np.int64)
    return np.minimum(whole >> 16, 32767).astype(np.int16)


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path` through a temporary file beside it, so that no reader ever sees a part.

    Raises ValueError for a missing folder, OSError, naming the path, where the system refuses to write.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise ValueError(f"{path}: this is a folder; a file name is needed")
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(data)  # a device or a pipe, which must not be replaced
            return
        part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
        try:
            with open(part, "xb") as file:
                file.write(data)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = f"{error.strerror or error}; nothing was written"
        raise OSError(error.errno, reason, str(path)) from None


def _check_rate(sample_rate: int) -> None:
    if not 1_000 <= sample_rate <= 384_000:
        raise ValueError(f"sample_rate is {sample_rate!r}; it must be from 1000 to 384000 Hz")


def _checked(samples: npt.ArrayLike) -> Samples:
    """`samples` as float32 [S], or ValueError."""
    wave = np.asarray(samples)
    if wave.ndim != 1:
        raise ValueError(f"samples have shape {list(wave.shape)}; they must be mono, [S]")
    if not np.issubdtype(wave.dtype, np.floating):
        raise ValueError(f"samples are of type {wave.dtype}; they must be floating point, from -1 to 1")
    if not np.isfinite(wave).all():
        raise ValueError("samples contain NaN or infinity")
    return wave.astype(np.float32, copy=False)


def resample(samples: npt.ArrayLike, from_rate: int, to_rate: int) -> Samples:
    """Change the rate with soxr at its high quality. samples: [S] -> float32 [about S * to_rate / from_rate]."""
    _check_rate(from_rate)
    _check_rate(to_rate)
    wave = _checked(samples)
    if from_rate == to_rate or not wave.size:
        return wave
    return np.asarray(soxr.resample(wave, from_rate, to_rate, quality="HQ"), dtype=np.float32)


# --- loudness and silence --------------------------------------------------------------------------------------------


def rms_db(samples: npt.ArrayLike) -> float:
    """Root mean square in dB below full scale (1.0 -> 0 dB; a full sine is -3 dB). Silence and no samples: -inf."""
    wave = np.asarray(samples, dtype=np.float64)
    power = float(np.mean(wave * wave)) if wave.size else 0.0
    return 10 * math.log10(power) if power > 0 else -math.inf


def level(samples: npt.ArrayLike, target_db: float, peak: float = 0.95) -> Samples:
    """Scale so that `rms_db` is `target_db`, or less where the loudest sample would go beyond `peak`.

    samples: [S] -> float32 [S]. Silence comes back as it is.
    """
    wave = _checked(samples)
    loudest = float(np.abs(wave).max(initial=0.0))
    if loudest == 0.0:
        return wave
    gain = min(10 ** ((target_db - rms_db(wave)) / 20), peak / loudest)
    return wave * np.float32(gain)


def frame_db(samples: npt.ArrayLike, sample_rate: int, seconds: float = 0.01) -> npt.NDArray[np.float64]:
    """rms_db of each stretch of `seconds`, [S] -> [ceil(S / stretch)]; silence is -200 dB, not -inf."""
    wave = np.asarray(samples, dtype=np.float64)
    size = max(1, round(sample_rate * seconds))
    count = -(-len(wave) // size)
    power = np.pad(wave * wave, (0, count * size - len(wave))).reshape(count, size).mean(axis=1)
    return 10 * np.log10(np.maximum(power, 1e-20))


def trim_silence(samples: npt.ArrayLike, sample_rate: int, margin: float = 0.1, threshold_db: float = -40.0) -> Samples:
    """Cut silence off both ends, leaving `margin` seconds of it where there was as much.

    Silence is what lies more than -`threshold_db` below the loudest 10 ms, so that a quiet recording is treated as a
    loud one. samples: [S] -> float32 [S'], S' = 0 where there is nothing but zeros.
    """
    wave = _checked(samples)
    start, end, _ = speech_span(wave, sample_rate, margin, threshold_db)
    return wave[start:end]


def speech_span(
    samples: npt.ArrayLike, sample_rate: int, margin: float = 0.1, threshold_db: float = -40.0
) -> tuple[int, int, float]:
    """What `trim_silence` leaves of [S], as its first sample and the one after its last, and the longest pause within
    it in seconds. All 0 where there is nothing but zeros."""
    wave = _checked(samples)
    if not np.any(wave):
        return 0, 0, 0.0
    levels = frame_db(wave, sample_rate)
    loud = np.flatnonzero(levels > levels.max() + threshold_db)
    size, keep = max(1, round(sample_rate * 0.01)), round(sample_rate * margin)
    start, end = max(0, loud[0] * size - keep), min(len(wave), (loud[-1] + 1) * size + keep)
    return int(start), int(end), float((np.diff(loud).max(initial=1) - 1) * 0.01)


def fade(samples: npt.ArrayLike, sample_rate: int, seconds: float = FADE) -> Samples:
    """Raise the start from zero and lower the end to zero over `seconds`, so that neither clicks. [S] -> a new [S]."""
    wave = _checked(samples).copy()
    count = min(round(sample_rate * seconds), len(wave) // 2)
    if count:
        ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)).astype(np.float32)
        wave[:count] *= ramp
        wave[-count:] *= ramp[::-1]
    return wave


def join(pieces: Sequence[npt.ArrayLike], pauses: Sequence[float], sample_rate: int) -> Samples:
    """Put pieces of sound one after another with silence between them; each piece's ends are faded.

    pieces: each [S_i]. pauses: seconds of silence after each piece; the last piece's may be left out.
    Returns float32 [sum of S_i and pauses]. Raises ValueError where the numbers of pieces and pauses do not fit.
    """
    if len(pauses) not in (len(pieces), max(0, len(pieces) - 1)):
        raise ValueError(f"{len(pieces)} pieces need {len(pieces)} pauses (or one fewer), not {len(pauses)}")
    if any(not 0 <= p < math.inf for p in pauses):
        raise ValueError(f"pauses are {list(pauses)}; they must be 0 seconds or more")
    parts: list[Samples] = []
    for i, piece in enumerate(pieces):
        parts.append(fade(piece, sample_rate))
        if i < len(pauses):
            parts.append(np.zeros(round(pauses[i] * sample_rate), dtype=np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


# --- mel filterbank --------------------------------------------------------------------------------------------------

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
