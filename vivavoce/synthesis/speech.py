"""`Speech`: the samples of a spoken text, and what is known about them."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples
from vivavoce.audio.io import encode, write
from vivavoce.audio.playback import Player, why_silent
from vivavoce.systems.interface import Word

if TYPE_CHECKING:
    from vivavoce.synthesis.checks import Check
    from vivavoce.text.pieces import Piece


@dataclass(frozen=True, eq=False)
class Speech:
    """Spoken text. Notebooks display it as a player."""

    samples: Samples  # float32 [S], mono, -1 to 1
    sample_rate: int  # Hz
    text: str = ""  # as given for a whole speech, as the model read it for a part of a stream; "" for silence
    pieces: tuple[Piece, ...] = ()  # what the model read, piece by piece
    seed: int | None = None  # with the same options, it gives the same samples again
    words: tuple[Word, ...] = ()  # with times from the start of `samples`; () if the model gives no times
    checks: tuple[Check, ...] = ()  # of each piece: the number of attempts, the faults, the transcript

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.samples)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Give NumPy the samples: `np.asarray(speech)`."""
        return np.array(self.samples, dtype=dtype, copy=True) if copy else np.asarray(self.samples, dtype=dtype)

    def __repr__(self) -> str:
        return f"Speech({self.text!r}, {self.duration:.2f} s at {self.sample_rate} Hz)"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a wav, flac, ogg, opus or mp3 file; the extension gives the format.

        Raises ValueError and OSError as `audio.write` does.
        """
        write(path, self.samples, self.sample_rate)

    def wav(self) -> bytes:
        """Return the bytes of a WAV file, 16-bit PCM."""
        return encode(self.samples, self.sample_rate, "wav")

    def play(self) -> None:
        """Play the speech on the default sound device and return when it has ended (extra `play`).

        Raises ValueError, with the reason, if this machine cannot play sound.
        """
        if (reason := why_silent()) is not None:
            raise ValueError(f"the speech cannot be played: {reason}")
        with Player(self.sample_rate) as player:
            player.play(self.samples)

    def _repr_html_(self) -> str:
        encoded = base64.b64encode(self.wav()).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{encoded}"></audio>'

    @classmethod
    def join(cls, parts: Iterable[Speech], text: str | None = None) -> Speech:
        """Join the parts of a stream. text: of the whole; None: the texts of the parts, separated by spaces.

        Raises ValueError if there are no parts or if their sample rates differ.
        """
        parts = list(parts)
        rates = sorted({p.sample_rate for p in parts})
        if len(rates) != 1:
            raise ValueError(f"parts with sample rates {rates} cannot be joined; there must be one rate")
        words: list[Word] = []
        samples = 0
        for p in parts:
            start = samples / rates[0]
            words += [word.later(start) for word in p.words]
            samples += len(p)
        return cls(
            samples=np.concatenate([p.samples for p in parts]),
            sample_rate=rates[0],
            text=" ".join(p.text for p in parts if p.text) if text is None else text,
            pieces=tuple(piece for p in parts for piece in p.pieces),
            seed=parts[0].seed,
            words=tuple(words),
            checks=tuple(check for p in parts for check in p.checks),
        )
