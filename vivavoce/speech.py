"""`Speech`, what comes of a text, and `System`, the loaded model that makes it: all that the rest agrees on.

Knows nothing about how a text becomes pieces.
"""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.checks import Check
from vivavoce.config import SamplingConfig
from vivavoce.config_whisperspeech import WhisperspeechConfig
from vivavoce.pieces import Job, Made, Piece, Word
from vivavoce.text import ByteTokenizer, CharTokenizer
from vivavoce.voices import Voice

Progress = Callable[[float], None]  # called with the part that is done, 0 to 1


class SynthesisError(RuntimeError):
    """The engine made something that is not speech: NaN, silence, an impossible length."""


class System(Protocol):
    """A loaded model with all that belongs to it, on whatever backend: what `checkpoints.load_system` returns."""

    @property
    def sample_rate(self) -> int:
        """Hz, of what `waves` returns."""

    @property
    def tokenizer(self) -> CharTokenizer | ByteTokenizer: ...

    @property
    def sampling(self) -> SamplingConfig | WhisperspeechConfig: ...

    @property
    def uses_transcript(self) -> bool:
        """Whether the voice's transcript must be known."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages that it speaks, the usual one first."""

    def embedded(self, voice: Voice) -> Voice:
        """The voice with the speaker vector that this system needs, if any: computed once for all pieces."""

    def seconds(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        """The predicted length of each piece at `speed`, without the pause after it."""

    def waves(self, jobs: list[Job], progress: Progress | None = None) -> list[Made]:
        """Each job spoken. Texts hold tokenizer characters only. Jobs may differ in piece, voice, seed, speed, memory.

        Raises ValueError where they differ in another option, and for languages that are not in `languages`. What
        `progress` raises comes through, and ends the work.
        """


@dataclass(frozen=True, eq=False)
class Speech:
    """Spoken text. In a notebook it shows itself as a player."""

    samples: Samples  # float32 [S], mono, -1 to 1
    sample_rate: int  # Hz
    text: str = ""  # what was spoken: as given for a whole speech, as the model read it for a piece of a stream
    pieces: tuple[Piece, ...] = ()  # what the model read, piece by piece
    seed: int | None = None  # with the same options, it makes the same samples again
    words: tuple[Word, ...] = ()  # when each is heard, from the start of `samples`; () where the model cannot tell
    checks: tuple[Check, ...] = ()  # of each piece: how often it was made, what is wrong with it, what was heard

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
        words: list[Word] = []
        samples = 0
        for p in parts:
            start = samples / rates[0]
            words += [dataclasses.replace(w, start=w.start + start, end=w.end + start) for w in p.words]
            samples += len(p)
        return cls(
            samples=np.concatenate([p.samples for p in parts]),
            sample_rate=rates[0],
            text=" ".join(p.text for p in parts) if text is None else text,
            pieces=tuple(piece for p in parts for piece in p.pieces),
            seed=parts[0].seed,
            words=tuple(words),
            checks=tuple(check for p in parts for check in p.checks),
        )
