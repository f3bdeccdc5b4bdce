"""Speech recognition: the protocol that the package relies on, and Whisper as its implementation."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy.typing as npt

from vivavoce.audio.dsp import resample
from vivavoce.metrics.packages import require

SAMPLE_RATE = 16_000  # Hz, Whisper's input


class Recognizer(Protocol):
    """Anything that transcribes speech."""

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
        """Return the transcript of samples [S] in -1 to 1, "" if there is no speech.

        language: the code of the spoken language; None: the recognizer's default.
        """


# A transcript is unsure if the probabilities of its words have a lower mean, or one of them is lower, than these
MEAN_PROBABILITY, LEAST_PROBABILITY = 0.8, 0.2


@dataclass(frozen=True)
class Transcript:
    """A transcript with the times of its words."""

    text: str
    words: tuple[tuple[str, float, float], ...] = ()  # word, start and end in seconds
    probabilities: tuple[float, ...] = ()  # of the words, 0 to 1

    def doubt(self) -> str:
        """Return why the transcript cannot be trusted word for word; "" if it can."""
        if not self.words:
            return "no words heard"
        if re.search(r"[^\w\s.,;:?!'’\"“”…-]|\d", self.text):
            return "digits or signs, which may be read in several ways"
        if sum(self.probabilities) / len(self.probabilities) < MEAN_PROBABILITY:
            return "an unsure transcript"
        if min(self.probabilities) < LEAST_PROBABILITY:
            return "an unsure word"
        return ""


class WordRecognizer(Recognizer, Protocol):
    """A recognizer that also knows when each word was said, and how sure it is of it."""

    def transcribe_words(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> Transcript:
        """Return the transcript of samples [S] with its words' times and probabilities."""


class WhisperRecognizer:
    """Whisper on faster-whisper with greedy decoding: the same sound always gives the same words."""

    def __init__(
        self,
        path_or_size: str | os.PathLike[str] = "base",
        language: str = "en",
        threads: int = 0,
        workers: int = 1,
    ) -> None:
        """Load the model.

        path_or_size: a folder with a CTranslate2 Whisper model, or a size that faster-whisper downloads. threads: CPU
        threads for one clip; 0 leaves the choice to CTranslate2, which respects OMP_NUM_THREADS. workers: how many
        threads may call `transcribe` at once. Computes in float32 on the CPU: int8 weights take two thirds of the time
        but mishear more words (4.1 % instead of 3.0 % on 100 recordings).
        Raises ValueError if the extra `eval` is missing, if the name is neither, or if the model cannot be loaded.
        """
        faster_whisper = require("faster_whisper")
        name = os.fspath(path_or_size)
        sizes = faster_whisper.available_models()
        if not Path(name).is_dir() and name not in sizes:
            raise ValueError(f"{name}: neither a folder with a CTranslate2 Whisper model nor one of {', '.join(sizes)}")
        try:
            self.model = faster_whisper.WhisperModel(
                name, device="cpu", compute_type="float32", cpu_threads=threads, num_workers=workers
            )
        except Exception as error:  # CTranslate2, the hub client and the tokenizer each raise types of their own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{name}: Whisper cannot be loaded ({reason})") from None
        self.language = language
        self._numerals: list[int] | None = None  # tokens with digits and signs, once `transcribe_words` needs them

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
        """As `Recognizer.transcribe`."""
        segments, _ = self.model.transcribe(
            resample(samples, sample_rate, SAMPLE_RATE),
            language=language or self.language,
            beam_size=1,
            best_of=1,
            temperature=0.0,  # a single value disables the fallback to sampling
            condition_on_previous_text=False,
            vad_filter=False,
        )
        return "".join(segment.text for segment in segments).strip()

    def transcribe_words(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> Transcript:
        """Return the transcript of samples [S] with its words' times and probabilities.

        More exact than `transcribe`, and slower. Numbers are written as the words that are spoken.
        """
        if self._numerals is None:
            vocabulary = self.model.hf_tokenizer.get_vocab()
            self._numerals = [number for token, number in vocabulary.items() if re.search(r"^[^<]*[\d%$£€]", token)]
        segments, _ = self.model.transcribe(
            resample(samples, sample_rate, SAMPLE_RATE),
            language=language or self.language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            suppress_tokens=[-1, *self._numerals],
        )
        words = [word for segment in segments for word in segment.words or ()]
        return Transcript(
            "".join(word.word for word in words).strip(),
            tuple((word.word.strip(), round(word.start, 3), round(word.end, 3)) for word in words),
            tuple(word.probability for word in words),
        )
