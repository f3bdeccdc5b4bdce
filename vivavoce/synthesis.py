"""The whole story of a text: normalised, fitted to the model's characters, cut into pieces, each piece spoken by the
engine, levelled, faded and joined: a `Speech`, or a stream of them.

Knows nothing about tensors, devices or engines: a `System` from `checkpoints.py` hides those.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import os
import secrets
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.config import SamplingConfig, SpeakOptions
from vivavoce.text import Change, CharTokenizer, Piece, normalise, split
from vivavoce.voices import VOICE_DB, Voice, get, voices

Progress = Callable[[float], None]  # called with the part that is done, 0 to 1

BACKENDS = ("auto", "torch", "mlx")
DEVICES = ("auto", "cpu", "cuda", "mps")  # and cuda:0, cuda:1, ...
DTYPES = ("float32", "bfloat16", "float16")

SILENCE_DB = -70.0  # what is quieter than this over a whole piece is no speech

# A text that takes longer than LONG_SECONDS begins with a piece of FIRST_SECONDS where a clause ends in time, so that
# a listener to the stream hears something soon; a shorter text is not worth the seam. No first piece is cut under
# SHORTEST_SECONDS, for models speak single words badly.
LONG_SECONDS = 8.0
FIRST_SECONDS = 3.0
SHORTEST_SECONDS = 1.0

CALIBRATION = 200  # characters that the duration model is asked about to learn how fast the voice speaks
MARGIN = 1.1  # pieces are planned this much longer than estimated, for some have slower words than the sample


class SynthesisError(RuntimeError):
    """The engine made something that is not speech: NaN, silence, an impossible length."""


class System(Protocol):
    """A loaded model with all that belongs to it, on whatever backend: what `checkpoints.load_system` returns."""

    @property
    def sample_rate(self) -> int:
        """Hz, of what `waves` returns."""

    @property
    def tokenizer(self) -> CharTokenizer: ...

    @property
    def sampling(self) -> SamplingConfig: ...

    @property
    def uses_transcript(self) -> bool:
        """Whether the voice's transcript must be known."""

    def embedded(self, voice: Voice) -> Voice:
        """The voice with the speaker vector that this system needs, if any: computed once for all pieces."""

    def seconds(self, texts: list[str], voice: Voice, speed: float) -> list[float]:
        """The predicted length of each text at `speed`."""

    def waves(
        self,
        texts: list[str],
        voice: Voice,
        options: SpeakOptions,
        seeds: list[int],
        progress: Progress | None,
    ) -> list[Samples]:
        """Each text spoken, float32 [S]. Texts hold tokenizer characters only, `options` has no None."""


@dataclass(frozen=True, eq=False)
class Speech:
    """Spoken text. In a notebook it shows itself as a player."""

    samples: Samples  # float32 [S], mono, -1 to 1
    sample_rate: int  # Hz
    text: str = ""  # what was spoken: as given for a whole speech, as the model read it for a piece of a stream
    pieces: tuple[Piece, ...] = ()  # what the model read, piece by piece
    seed: int | None = None  # with the same options, it makes the same samples again

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.samples)

    def __repr__(self) -> str:
        return f"Speech({self.text!r}, {self.duration:.2f} s at {self.sample_rate} Hz)"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as wav, flac, ogg, opus or mp3, by the extension. Raises ValueError or OSError as `audio.write`."""
        audio.write(path, self.samples, self.sample_rate)

    def wav(self) -> bytes:
        """The bytes of a WAV file, 16-bit PCM."""
        return audio.encode(self.samples, self.sample_rate, "wav")

    def _repr_html_(self) -> str:
        encoded = base64.b64encode(self.wav()).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{encoded}"></audio>'

    @classmethod
    def join(cls, parts: Iterable[Speech], text: str | None = None) -> Speech:
        """The parts of a stream as one Speech. `text`: what it stands for; None: the parts' texts, with spaces between.

        Raises ValueError where there are no parts or their sample rates differ.
        """
        parts = list(parts)
        rates = sorted({p.sample_rate for p in parts})
        if len(rates) != 1:
            raise ValueError(f"parts with sample rates {rates} cannot be joined; there must be one rate")
        return cls(
            samples=np.concatenate([p.samples for p in parts]),
            sample_rate=rates[0],
            text=" ".join(p.text for p in parts) if text is None else text,
            pieces=tuple(piece for p in parts for piece in p.pieces),
            seed=parts[0].seed,
        )


@dataclass(frozen=True)
class _Plan:
    """All that is decided before the engine is asked: what to say, who says it, how."""

    pieces: tuple[Piece, ...]
    voice: Voice
    options: SpeakOptions  # nothing in it is None
    seed: int


class TTS:
    """A loaded model that speaks. `load()` makes one."""

    def __init__(self, system: System) -> None:
        self.system = system

    @property
    def sample_rate(self) -> int:
        """Hz, of all speech from this model."""
        return self.system.sample_rate

    @property
    def voices(self) -> list[Voice]:
        """The built-in voices."""
        return voices()

    def speak(
        self, text: str, voice: str | Voice | None = None, *, progress: Progress | None = None, **options: Any
    ) -> Speech:
        """Speak `text`, of any length, and return all of it.

        voice: the name of a built-in voice, or a `Voice`, as of `Voice.from_file`; None: the default of `SpeakOptions`.
        progress: called with the part that is done, 0 to 1.
        options: the other fields of `SpeakOptions`: steps, method, cfg, sway_coef, speed, seed. Same seed, same
        machine, same options: the same samples.
        Warns of characters that the model does not know. Raises ValueError for text with nothing to say in it, an
        unknown voice or option and values out of range, SynthesisError where the engine makes no speech.
        """
        return Speech.join(self.stream(text, voice, progress=progress, **options), text)

    def stream(
        self, text: str, voice: str | Voice | None = None, *, progress: Progress | None = None, **options: Any
    ) -> Iterator[Speech]:
        """Speak `text` piece by piece, the first one short: each `Speech` is made when it is asked for.

        The silence after a piece is its end, so the pieces one after another are what `speak` returns with the same
        seed, sample by sample. Arguments, warnings and errors as of `speak`; bad arguments raise here, not later.
        """
        return self._pieces(self._plan(text, voice, options), progress)

    def _plan(self, text: str, voice: str | Voice | None, options: dict[str, Any]) -> _Plan:
        chosen = SpeakOptions.from_dict(options, "speak")
        speaker = voice if isinstance(voice, Voice) else get(chosen.voice if voice is None else voice)
        if self.system.uses_transcript and not (speaker.transcript or "").strip():
            raise ValueError(
                f"voice {speaker.name!r}: this model needs the transcript of the reference recording "
                f"(text= of Voice.from_file, --ref-text on the command line)"
            )
        sampling = self.system.sampling
        recommended = {
            f.name: getattr(sampling, f.name)
            for f in dataclasses.fields(sampling)
            if getattr(chosen, f.name, ...) is None
        }
        seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
        complete = chosen.replace(voice=speaker.name, seed=seed, **recommended)
        speaker = self.system.embedded(speaker)
        return _Plan(tuple(self._read(text, speaker, complete.speed)), speaker, complete, seed)

    def _read(self, text: str, voice: Voice, speed: float) -> list[Piece]:
        """`text` as pieces in the model's characters, with a warning that names what cannot be spoken as written."""
        if not isinstance(text, str):
            raise ValueError(f"text is of type {type(text).__name__}; it must be a str")
        if not text.strip():
            raise ValueError("the text is empty")
        normal, changes = normalise(text)
        sample = self.system.tokenizer.fit(normal)[0]
        if not _has_words(sample):
            raise ValueError(f"the text {_shorten(text)!r} has nothing in it that this model can speak")
        pieces = []
        for piece in self._split(normal, sample, voice, speed):
            fitted, more = self.system.tokenizer.fit(piece.text)
            pieces.append(dataclasses.replace(piece, text=fitted))
            changes += more
        told = _describe(changes)
        if told:
            warnings.warn(told, stacklevel=4)
        return _spoken(pieces)

    def _split(self, text: str, sample: str, voice: Voice, speed: float) -> list[Piece]:
        limit = self.system.sampling.max_seconds
        if len(sample) > CALIBRATION:
            sample = sample[:CALIBRATION].rsplit(" ", 1)[0]
        predicted = self.system.seconds([sample], voice, speed)[0]
        if not 0 < predicted < math.inf:
            raise SynthesisError(f"the model predicts {predicted} seconds for {_shorten(sample)!r}")
        # One rate for all: a duration model that reads every candidate would cost more than it tells.
        rate = predicted / len(sample) * MARGIN

        def measure(piece: str) -> float:
            return len(piece) * rate

        pieces = split(text, limit, measure)
        if measure(text) > LONG_SECONDS:
            pieces[:1] = _short_start(pieces[0], limit, measure)
        return pieces

    def _pieces(self, plan: _Plan, progress: Progress | None) -> Iterator[Speech]:
        total = sum(len(piece.text) for piece in plan.pieces)
        done = 0
        for index, piece in enumerate(plan.pieces):
            report = None if progress is None else _part(progress, done / total, len(piece.text) / total)
            seed = piece_seed(plan.seed, index)
            # One piece a call: the same samples whether they are streamed or not.
            made = self.system.waves([piece.text], plan.voice, plan.options, [seed], report)[0]
            yield Speech(self._finish(made, piece), self.sample_rate, piece.text, (piece,), plan.seed)
            done += len(piece.text)
            if progress is not None:
                progress(done / total)

    def _finish(self, wave: Samples, piece: Piece) -> Samples:
        """One piece from the engine as it goes into the speech: checked, levelled, faded, its pause at its end."""
        wave = np.asarray(wave, dtype=np.float32)
        if not np.isfinite(wave).all():
            raise SynthesisError(f"the model made NaN or infinite samples for {_shorten(piece.text)!r}")
        if audio.rms_db(wave) < SILENCE_DB:
            raise SynthesisError(f"the model made silence for {_shorten(piece.text)!r}")
        return audio.join([audio.level(wave, VOICE_DB)], [piece.pause], self.sample_rate)


def load(
    model: str = "bundled",
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "float32",
    compile: bool = False,
    vocoder: str | None = None,
    bits: int | None = None,
) -> TTS:
    """Load a model.

    model: "bundled", a folder (as `vivavoce export` or the published nanospeech writes it), or the name of one on the
    Hugging Face hub. backend: torch, mlx, or auto: mlx on Apple silicon where it is installed, else torch. device:
    auto, cpu, cuda (cuda:1 for the second) or mps. dtype: float32, bfloat16 or float16. compile: let torch.compile or
    mx.compile make it faster, after a slow first sentence. vocoder: "bundled", a folder or a hub name, in place of the
    one that the model asks for. bits: 4 or 8 to quantise the model's weights, with mlx only.
    Raises ValueError, naming the value, for anything else and for files that are missing or not as they should be.
    """
    _require_choice("backend", backend, BACKENDS)
    _require_choice("device", device if not device.removeprefix("cuda:").isdecimal() else "cuda", DEVICES)
    _require_choice("dtype", dtype, DTYPES)
    from vivavoce.checkpoints import load_system  # here, for it is what loads torch or mlx

    return TTS(load_system(model, backend, device, dtype, compile, vocoder, bits))


def piece_seed(seed: int, index: int) -> int:
    """The seed of a speech's piece `index`, 0 to 2**63 - 1: pieces differ from each other and do not depend on the
    number of them, so that speaking, streaming and a longer text begin alike."""
    return int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def _short_start(first: Piece, limit: float, measure: Callable[[str], float]) -> list[Piece]:
    """The first piece of a long text as a short piece and the rest of it, where it can be cut at a clause."""
    for longer in (1.0, 1.5, 2.0, 3.0):  # words of one clause belong together, even at some delay
        head, *rest = split(first.text, limit, measure, first_limit=min(limit, longer * FIRST_SECONDS))
        if rest and not head.text[-1].isalnum() and measure(head.text) >= SHORTEST_SECONDS:
            return [head, *rest[:-1], dataclasses.replace(rest[-1], pause=first.pause)]
    return [first]


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _spoken(pieces: list[Piece]) -> list[Piece]:
    """The pieces that have something to say in them; what is punctuation only leaves its pause to the one before."""
    spoken: list[Piece] = []
    for piece in pieces:
        if _has_words(piece.text):
            spoken.append(piece)
        elif spoken:
            spoken[-1] = dataclasses.replace(spoken[-1], pause=max(spoken[-1].pause, piece.pause))
    # Silence after the last word is nobody's pause.
    spoken[-1] = dataclasses.replace(spoken[-1], pause=0.0)
    return spoken


def _part(progress: Progress, start: float, share: float) -> Progress:
    """`progress` for a part of the whole that begins at `start` and is `share` of it."""
    return lambda fraction: progress(start + share * fraction)


def _describe(changes: list[Change]) -> str:
    """One line about what is not spoken as written: characters that no rule reads or the model lacks. "": none.

    Punctuation and case are not told of: they have no sound, and a model without the dash takes the comma.
    """
    lost = [c for c in changes if c.rule in ("unspeakable", "fit") and c.before.lower() != c.after.lower()]
    seen = dict.fromkeys((c.before.strip(), c.after.strip()) for c in lost if not all(map(_is_punctuation, c.before)))
    told = [f"{before!r} is read as {after!r}" if after else f"{before!r} is left out" for before, after in seen]
    if not told:
        return ""
    more = f" and {len(told) - 8} more" if len(told) > 8 else ""
    return f"the model cannot speak all that is written: {', '.join(told[:8])}{more}"


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZ" or character.isspace()


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
