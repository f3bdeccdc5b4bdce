"""Voices: a reference recording, its transcript, its speaker vector and, if it was trained, its weights.

Built-in, from a recording, saved in a file, or in the user's voices folder. That holds NAME.voice for each voice; it is
VIVAVOCE_VOICES, or where the system keeps a user's data, and the server lists the voices in it, too.

Knows nothing about engines, and does not compute speaker vectors: models.speaker_* and models.ecapa_torch do.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
from safetensors.numpy import load_file, save

from vivavoce.audio.dsp import SAMPLE_RATE, Samples, fade, frame_db, level, trim_silence
from vivavoce.audio.files import atomic_write
from vivavoce.audio.io import Source, read
from vivavoce.bundles import VoiceWeights, is_bundle, read_bundle, read_extras, write_bundle
from vivavoce.config import ASSETS, BUILTIN_VOICES

# dBFS rms: about the mean of the bundled models' training corpus, -21.9; the built-in voices have -24.4 to -21.2
VOICE_DB = -22.0
MIN_SECONDS = 1.0
MAX_SECONDS = 15.0
CUT_SECONDS = 3.0  # a recording that is too long is cut at the quietest place in this much before MAX_SECONDS
READ_SECONDS = 60.0  # no more of a recording is decoded
SILENCE_DB = -60.0  # dBFS: a recording whose loudest 10 ms are below this has no speech in it
FORMAT = "vivavoce-voice"
BUNDLE = ".voice"  # extension of files that `Voice.save` writes as bundles
FOLDER = ASSETS / "voices"
VARIABLE = "VIVAVOCE_VOICES"
MAX_NAME = 60  # characters
_NAME = re.compile(r"\w[\w -]*", re.ASCII)
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[1-9]", re.IGNORECASE)  # no file names in Windows
_SERVER_ID = re.compile(r"voice_[0-9a-f]{32}")  # ids that the server gives


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice to speak in.

    samples: reference recording, float32 [S] at 24 kHz. transcript: what is said in it, None if that is unknown.
    embedding: speaker vector, float32 [V], None if it has not been computed. The bundled models need a unit vector with
    V = 256, published WhisperSpeech needs SpeechBrain's ECAPA-TDNN with V = 192; both compute their own from `samples`
    if V differs. licence: the terms under which the voice may be used. consent: who agreed to what, and when.
    language: ISO 639 code. weights: what training has changed in the model; None for a voice that is only cloned.
    Raises ValueError for samples or an embedding of another type or shape, and for an embedding of zeros.
    """

    name: str
    samples: Samples
    transcript: str | None = None
    embedding: npt.NDArray[np.float32] | None = None
    licence: str = "not stated"
    description: str = ""
    language: str = "en"
    consent: str = ""
    weights: VoiceWeights | None = None

    def __post_init__(self) -> None:
        for field in ("samples", "embedding"):
            value = getattr(self, field)
            if field == "embedding" and value is None:
                continue
            array = np.asarray(value)
            if array.ndim != 1 or not array.size or array.dtype.kind != "f" or not np.isfinite(array).all():
                shape = f"{array.dtype} {list(array.shape)}"
                raise ValueError(f"voice {self.name!r}: {field} are {shape}; one axis of finite floats is needed")
            if field == "embedding" and not array.any():
                raise ValueError(f"voice {self.name!r}: embedding is all zeros; give None to have it computed")
            object.__setattr__(self, field, array.astype(np.float32, copy=False))

    def __repr__(self) -> str:
        known = [name for name in ("transcript", "embedding", "weights") if getattr(self, name) is not None]
        return f"Voice({self.name!r}, {self.duration:.1f} s at {self.sample_rate} Hz{''.join(f', {n}' for n in known)})"

    @property
    def sample_rate(self) -> int:
        """Hz, of `samples`."""
        return SAMPLE_RATE

    @property
    def duration(self) -> float:
        """Seconds, of `samples`."""
        return len(self.samples) / self.sample_rate

    @classmethod
    def from_file(cls, path: Source, text: str | None = None) -> Voice:
        """Create a voice from a recording of one person, ideally 5 to 12 s of clean speech.

        path: sound of any format, rate and channel count that libsndfile reads, or a file object. It is converted to
        24 kHz mono, trimmed of silence and levelled to VOICE_DB. Of a recording above 15 s only the start is used, cut
        at a quiet place, with a UserWarning; `text` is then dropped, because it has more words. No more than a minute
        is decoded. text: the exact words of the recording. The embedding is None.
        Raises ValueError, naming the file, if it is missing, unreadable, silent, holds under 1 s of sound or NaN, or
        if `text` is blank.
        """
        given = isinstance(path, str | os.PathLike)
        where = os.fspath(path) if given else str(getattr(path, "name", "recording"))  # type: ignore[arg-type]
        if text is not None and not text.strip():
            raise ValueError(f"{where}: the transcript is blank; give what is said in the recording, or None")
        wave = read(path, SAMPLE_RATE, READ_SECONDS)
        complete = len(wave) / SAMPLE_RATE
        wave = wave - wave.mean()  # a constant offset would count as sound
        loudest = float(frame_db(wave, SAMPLE_RATE).max())
        if loudest < SILENCE_DB:
            raise ValueError(f"{where}: silent (never above {SILENCE_DB:.0f} dB); a voice needs 1 to 15 s of speech")
        seconds = len(trim_silence(wave, SAMPLE_RATE, margin=0.0)) / SAMPLE_RATE
        if seconds < MIN_SECONDS:
            raise ValueError(f"{where}: {seconds:.2f} s of sound; a voice needs 1 to 15 s of speech")
        wave = trim_silence(wave, SAMPLE_RATE)
        transcript = None if text is None else " ".join(text.split())
        if len(wave) > MAX_SECONDS * SAMPLE_RATE:
            whole = "a minute or more" if complete > 0.99 * READ_SECONDS else f"{len(wave) / SAMPLE_RATE:.1f} s"
            wave = _cut(wave, SAMPLE_RATE)
            notice = f"{where}: {whole} long; only the first {len(wave) / SAMPLE_RATE:.1f} s are used"
            if transcript is not None:
                notice += ", and its text is left out, because it says more than they do"
            warnings.warn(notice, UserWarning, stacklevel=2)
            transcript = None
        wave = fade(level(wave, VOICE_DB), SAMPLE_RATE)
        name = Path(where).stem or "recording"
        return cls(name, wave, transcript, description="from a recording")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the voice to one file for `Voice.load`.

        A name that ends in .voice gives a bundle (`bundles`), and so do trained weights. Any other gives
        safetensors, with the texts as its metadata.
        Raises ValueError for a missing folder, OSError if the system refuses to write.
        """
        target = Path(os.fspath(path))
        words = {"name": self.name, "licence": self.licence, "description": self.description}
        words |= {"language": self.language}
        if self.consent:
            words["consent"] = self.consent
        if self.transcript is not None:
            words["transcript"] = self.transcript
        if self.weights is not None or target.suffix.lower() == BUNDLE:
            weights, extras, training = {}, {}, {}
            if (trained := self.weights) is not None:
                weights = {part: (base, trained.content(part)) for part, base in trained.base.items()}
                extras, training = read_extras(trained.path), read_bundle(trained.path).training
            write_bundle(target, words, self.samples, self.embedding, weights, training, extras)
            return
        tensors = {"samples": np.ascontiguousarray(self.samples)}
        if self.embedding is not None:
            tensors["embedding"] = np.ascontiguousarray(self.embedding)
        words |= {"format": FORMAT, "version": "1", "sample_rate": str(self.sample_rate)}
        atomic_write(target, save(tensors, metadata=words))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Voice:
        """Read a file that `save` wrote. Raises ValueError, naming the file, if it is missing or not a saved voice.

        The weights of a bundle stay in the file until a model speaks with them.
        """
        name = os.fspath(path)
        if not os.path.isfile(name):
            raise ValueError(f"{name[:200]}: no such file")
        if is_bundle(Path(name)):
            return cls._from_bundle(Path(name))
        try:
            with safetensors.safe_open(name, framework="numpy") as file:
                words: dict[str, str] = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        except (safetensors.SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{name}: not a saved voice ({' '.join(str(error).split())})") from None
        if words.get("format") != FORMAT or "samples" not in tensors:
            raise ValueError(f"{name}: a safetensors file, but not a saved voice (Voice.save writes one)")
        if (words.get("version"), words.get("sample_rate")) != ("1", str(SAMPLE_RATE)):
            found = f"version {words.get('version')}, {words.get('sample_rate')} Hz"
            raise ValueError(f"{name}: a saved voice of {found}; this release reads version 1, {SAMPLE_RATE} Hz")
        known = ("licence", "description", "language", "consent")
        about: dict[str, Any] = {key: words[key] for key in known if key in words}
        transcript, embedding = words.get("transcript"), tensors.get("embedding")
        if tensors["samples"].size > READ_SECONDS * SAMPLE_RATE:
            seconds = tensors["samples"].size / SAMPLE_RATE
            raise ValueError(f"{name}: a saved voice of {seconds:.0f} s; at most {READ_SECONDS:.0f} s are read")
        try:
            return cls(words.get("name", Path(name).stem), tensors["samples"], transcript, embedding, **about)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    @classmethod
    def _from_bundle(cls, path: Path) -> Voice:
        found = read_bundle(path)
        texts: dict[str, Any] = {name: text for name, text in found.texts.items() if name not in ("created", "name")}
        name, weights = found.texts.get("name", path.stem), found.weights
        try:
            return cls(name, found.samples, embedding=found.embedding, weights=weights, **texts)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def own_folder() -> Path:
    """Return the user's voices folder, which need not exist."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "vivavoce" / "voices"


def check_name(name: str) -> str:
    """Return a name for a voice of the user. Raises ValueError for one that is built-in in any case or no file name."""
    if name.casefold() in BUILTIN_VOICES:
        raise ValueError(f"{name.casefold()!r} is a built-in voice; choose another name")
    if _DEVICE.fullmatch(name):
        raise ValueError(f"a voice cannot be named {name!r}, which is a device in Windows; choose another name")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME or _SERVER_ID.fullmatch(name):
        raise ValueError(
            f"a voice cannot be named {name!r}; a name has 1 to {MAX_NAME} letters, digits, spaces, - and _, and "
            "begins with a letter or digit"
        )
    return name


def own_path(name: str, folder: Path | None = None) -> Path | None:
    """Return the file of a voice of the user; None if there is none, or it cannot be a name."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME or name in BUILTIN_VOICES:
        return None
    path = (folder or own_folder()) / f"{name}{BUNDLE}"
    return path if path.is_file() else None


def own_names(folder: Path | None = None) -> list[str]:
    """Return the names of the voices in the user's folder, in alphabetical order."""
    found = (folder or own_folder()).glob(f"*{BUNDLE}")
    return sorted(path.stem for path in found if own_path(path.stem, folder) is not None)


def add_voice(path: str | os.PathLike[str], name: str | None = None) -> Voice:
    """Copy the file of a voice into the user's folder, as a bundle, and return the voice.

    name: to call it by; None: its own. Everything in the file is read and checked. Raises ValueError for a damaged
    file, an unusable name, and one that is in use by another voice.
    """
    voice = Voice.load(path)
    source = Path(os.fspath(path))
    name = check_name(voice.name if name is None else name)
    if is_bundle(source):
        read_bundle(source, complete=True)
    folder = own_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / f"{name}{BUNDLE}"
    if target.exists() and not os.path.samefile(target, source):
        raise ValueError(f"there is a voice {name!r} already; remove it first, or choose another name with --name")
    if is_bundle(source) and name == voice.name:
        content = source.read_bytes()
        atomic_write(target, content)
    else:
        dataclasses.replace(voice, name=name).save(target)
    target.chmod(0o600)
    return Voice.load(target)


def remove_voice(name: str) -> Path:
    """Delete a voice from the user's folder and return the path that it had. Raises ValueError if there is none."""
    if name in BUILTIN_VOICES:
        raise ValueError(f"{name!r} is a built-in voice, which cannot be removed")
    path = own_path(name)
    if path is None:
        raise ValueError(f"no voice {name!r} in {own_folder()}; there are {', '.join(own_names()) or 'none'}")
    path.unlink()
    return path


def names(folder: Path | None = None) -> list[str]:
    """Return the names of all voices: the built-in ones, then the user's, each in alphabetical order."""
    return [*BUILTIN_VOICES, *own_names(folder)]


def voices() -> list[Voice]:
    """Return all voices: the built-in ones, then those that the user has added or trained, each in order of names.

    A damaged file among the latter is left out, with a UserWarning.
    """
    found = builtin_voices()
    for name in own_names():
        try:
            found.append(get(name))
        except (ValueError, OSError) as error:
            warnings.warn(f"the voice {name!r} is left out: {error}", UserWarning, stacklevel=2)
    return found


def builtin_voices() -> list[Voice]:
    """Return the voices that come with the package, in order of their names."""
    return [get(name) for name in BUILTIN_VOICES]


def find_voice(name: str | os.PathLike[str]) -> Voice:
    """Return a voice by its name, as `get`, or a saved one by its path, which has a folder or an extension.

    Not for names from strangers: they could name any file. Raises ValueError as `get` and `Voice.load` do.
    """
    path = os.fspath(name) if isinstance(name, str | os.PathLike) else name
    if isinstance(path, str) and (os.path.dirname(path) or os.path.splitext(path)[1]):
        return Voice.load(path)
    return get(path)


def get(name: str) -> Voice:
    """Return a built-in voice, or one of the user's. Raises ValueError, listing them all, if there is none."""
    if name in BUILTIN_VOICES:
        return _builtin(name)
    path = own_path(name) if isinstance(name, str) else None
    if path is None:
        own = own_names()
        added = f"; added are {', '.join(own)}" if own else ""
        raise ValueError(f"unknown voice {name!r}; built in are {', '.join(BUILTIN_VOICES)}{added}")
    return dataclasses.replace(Voice.load(path), name=name)


@functools.cache  # decoding the recording takes longer than planning a sentence
def _builtin(name: str) -> Voice:
    table: list[dict[str, Any]] = json.loads((FOLDER / "voices.json").read_text(encoding="utf-8"))["voices"]
    entry = next(e for e in table if e["name"] == name)
    about = {key: entry[key] for key in ("transcript", "licence", "description", "language")}
    vectors = load_file(FOLDER / "vectors.safetensors")
    return Voice(name, read(FOLDER / f"{name}.ogg"), embedding=vectors[name], **about)


def _cut(wave: Samples, sample_rate: int) -> Samples:
    """Return the start of `wave`, up to the quietest 50 ms between 12 and 15 s. [S] -> [S']

    Places with up to 1.5 times the power count as equally quiet, and the last one is taken: it keeps more of the voice.
    """
    size = round(0.01 * sample_rate)
    levels = frame_db(wave[: int(MAX_SECONDS * sample_rate)], sample_rate)
    power = np.convolve(10 ** (levels / 10), np.full(5, 0.2), mode="same")
    first = int((MAX_SECONDS - CUT_SECONDS) * 100)
    # Without the last frames: their mean would include the padding after them.
    window = power[first:-3]
    quietest = first + int(np.flatnonzero(window <= 1.5 * window.min() + 1e-15)[-1])
    return wave[: quietest * size + size // 2]
