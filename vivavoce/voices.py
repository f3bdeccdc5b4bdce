"""Voices: a reference recording, what is said in it, and the speaker vector. Built-in, from a recording, or saved.

Knows nothing about engines, and does not compute speaker vectors: `speaker_torch` and `speaker_ecapa_torch` do, from
`Voice.samples`.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
from safetensors.numpy import load_file, save

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.config import BUILTIN_VOICES

ASSETS = Path(__file__).parent / "assets" / "voices"

VOICE_DB = (
    -22.0
)  # dBFS rms: the mean of the corpus that the bundled models learnt from, -21.9; built-ins -24.4 to -21.2
MIN_SECONDS = 1.0
MAX_SECONDS = 15.0
CUT_SECONDS = 3.0  # a recording that is too long is cut at the quietest place in this much before MAX_SECONDS
SILENCE_DB = -60.0  # dBFS: a recording whose loudest 10 ms are below this has nobody speaking in it
FORMAT = "vivavoce-voice"


@dataclass(frozen=True, eq=False)
class Voice:
    """Who speaks.

    samples: reference recording, float32 [S] at 24 kHz. transcript: what is said in it, or None where that is not
    known. embedding: speaker vector, float32 [V], or None where it has not been computed: 256 numbers of length 1 for
    the bundled models, 192 of SpeechBrain's ECAPA-TDNN for published WhisperSpeech, which compute their own of samples
    where V is another.
    licence: under which the voice may be used. language: ISO 639 code.
    Raises ValueError where samples or embedding are not such arrays.
    """

    name: str
    samples: Samples
    transcript: str | None = None
    embedding: npt.NDArray[np.float32] | None = None
    licence: str = "not stated"
    description: str = ""
    language: str = "en"

    def __post_init__(self) -> None:
        for field in ("samples", "embedding"):
            value = getattr(self, field)
            if field == "embedding" and value is None:
                continue
            array = np.asarray(value)
            if array.ndim != 1 or not array.size or array.dtype.kind != "f" or not np.isfinite(array).all():
                shape = f"{array.dtype} {list(array.shape)}"
                raise ValueError(f"voice {self.name!r}: {field} are {shape}; one axis of finite floats is needed")
            object.__setattr__(self, field, array.astype(np.float32, copy=False))

    @property
    def sample_rate(self) -> int:
        """Hz, of `samples`."""
        return audio.SAMPLE_RATE

    @property
    def duration(self) -> float:
        """Seconds, of `samples`."""
        return len(self.samples) / self.sample_rate

    @classmethod
    def from_file(cls, path: audio.Source, text: str | None = None) -> Voice:
        """A voice from a recording of one person, best 5 to 12 s of clean speech.

        path: sound of any format, rate and channel count that libsndfile reads, or a file object. It is brought to
        24 kHz mono, trimmed of silence, and levelled to VOICE_DB. Above 15 s only the start is used, cut at a quiet
        place, with a UserWarning; `text` is then left out, because it no longer says what is heard.
        text: what is said in the recording, word for word.
        The embedding is left at None.
        Raises ValueError, naming the file, when it is missing, unreadable, silent, holds under 1 s of sound or NaN,
        or when `text` is blank.
        """
        given = isinstance(path, str | os.PathLike)
        where = os.fspath(path) if given else str(getattr(path, "name", "recording"))  # type: ignore[arg-type]
        if text is not None and not text.strip():
            raise ValueError(f"{where}: the transcript is blank; give what is said in the recording, or None")
        wave = audio.read(path, audio.SAMPLE_RATE)
        wave = wave - wave.mean()  # a constant offset would count as sound
        loudest = float(audio.frame_db(wave, audio.SAMPLE_RATE).max())
        if loudest < SILENCE_DB:
            raise ValueError(f"{where}: silent (never above {SILENCE_DB:.0f} dB); a voice needs 1 to 15 s of speech")
        seconds = len(audio.trim_silence(wave, audio.SAMPLE_RATE, margin=0.0)) / audio.SAMPLE_RATE
        if seconds < MIN_SECONDS:
            raise ValueError(f"{where}: {seconds:.2f} s of sound; a voice needs 1 to 15 s of speech")
        wave = audio.trim_silence(wave, audio.SAMPLE_RATE)
        transcript = None if text is None else " ".join(text.split())
        if len(wave) > MAX_SECONDS * audio.SAMPLE_RATE:
            whole = len(wave) / audio.SAMPLE_RATE
            wave = _cut(wave, audio.SAMPLE_RATE)
            notice = f"{where}: {whole:.1f} s long; only the first {len(wave) / audio.SAMPLE_RATE:.1f} s are used"
            if transcript is not None:
                notice += ", and its text is left out, for it says more than they do"
            warnings.warn(notice, UserWarning, stacklevel=2)
            transcript = None
        wave = audio.fade(audio.level(wave, VOICE_DB), audio.SAMPLE_RATE)
        name = Path(where).stem or "recording"
        return cls(name, wave, transcript, description="from a recording")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the voice to one file, which `Voice.load` reads: safetensors, with the words as its metadata.

        Raises ValueError for a missing folder, OSError where the system refuses to write.
        """
        tensors = {"samples": np.ascontiguousarray(self.samples)}
        if self.embedding is not None:
            tensors["embedding"] = np.ascontiguousarray(self.embedding)
        words = {"format": FORMAT, "version": "1", "sample_rate": str(self.sample_rate)}
        words |= {"name": self.name, "licence": self.licence}
        words |= {"description": self.description, "language": self.language}
        if self.transcript is not None:
            words["transcript"] = self.transcript
        audio.write_whole(Path(os.fspath(path)), save(tensors, metadata=words))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Voice:
        """Read what `save` wrote. Raises ValueError, naming the file, when it is missing or not a saved voice."""
        name = os.fspath(path)
        if not os.path.isfile(name):
            raise ValueError(f"{name[:200]}: no such file")
        try:
            with safetensors.safe_open(name, framework="numpy") as file:
                words: dict[str, str] = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(f"{name}: not a saved voice ({error})") from None
        if words.get("format") != FORMAT or "samples" not in tensors:
            raise ValueError(f"{name}: a safetensors file, but not a saved voice (Voice.save writes one)")
        if (words.get("version"), words.get("sample_rate")) != ("1", str(audio.SAMPLE_RATE)):
            found = f"version {words.get('version')}, {words.get('sample_rate')} Hz"
            raise ValueError(f"{name}: a saved voice of {found}; this release reads version 1, {audio.SAMPLE_RATE} Hz")
        about = {key: words[key] for key in ("licence", "description", "language") if key in words}
        transcript, embedding = words.get("transcript"), tensors.get("embedding")
        return cls(words.get("name", Path(name).stem), tensors["samples"], transcript, embedding, **about)


def voices() -> list[Voice]:
    """The built-in voices, in order of their names."""
    return [get(name) for name in BUILTIN_VOICES]


def get(name: str) -> Voice:
    """A built-in voice. Raises ValueError, naming them all, where there is none of that name."""
    if name not in BUILTIN_VOICES:
        raise ValueError(f"unknown voice {name!r}; built in are {', '.join(BUILTIN_VOICES)}")
    table: list[dict[str, Any]] = json.loads((ASSETS / "voices.json").read_text(encoding="utf-8"))["voices"]
    entry = next(e for e in table if e["name"] == name)
    about = {key: entry[key] for key in ("transcript", "licence", "description", "language")}
    vectors = load_file(ASSETS / "vectors.safetensors")
    return Voice(name, audio.read(ASSETS / f"{name}.ogg"), embedding=vectors[name], **about)


def _cut(wave: Samples, sample_rate: int) -> Samples:
    """The start of `wave`, up to the quietest 50 ms between 12 and 15 s, or the last of several. [S] -> [S']

    Half the power more than the quietest is as quiet: pauses differ by chance, and more of the voice is kept.
    """
    size = round(0.01 * sample_rate)
    levels = audio.frame_db(wave[: int(MAX_SECONDS * sample_rate)], sample_rate)
    power = np.convolve(10 ** (levels / 10), np.full(5, 0.2), mode="same")
    first = int((MAX_SECONDS - CUT_SECONDS) * 100)
    # Not the last frames, whose mean would take in the nothing behind them.
    window = power[first:-3]
    quietest = first + int(np.flatnonzero(window <= 1.5 * window.min() + 1e-15)[-1])
    return wave[: quietest * size + size // 2]
