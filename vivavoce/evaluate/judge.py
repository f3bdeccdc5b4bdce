"""Score one clip: `Judge` turns a `Clip` (samples, what it should say, whose voice it should be) into a `Score`.

Knows nothing about models: recordings are scored exactly as generated speech is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples
from vivavoce.metrics.asr import Recognizer, WhisperRecognizer
from vivavoce.metrics.dsp import speaking_rate, spoken_letters
from vivavoce.metrics.mos import Dnsmos, MosModel, OpinionModel
from vivavoce.metrics.similarity import GE2E, DVector, SpeakerEncoder, Vector
from vivavoce.metrics.words import WordErrors, word_errors


@dataclass(frozen=True, eq=False)
class Clip:
    """Speech to be scored."""

    key: str
    voice: str  # whose voice it should be; the row of the table
    text: str  # what it should say
    samples: Samples  # [S], -1 to 1
    sample_rate: int  # Hz
    languages: tuple[str, ...] = ("en",)  # of the text, the one with most letters first
    letters: int = field(init=False)  # `spoken_letters` of the text

    def __post_init__(self) -> None:
        # Computed here because clips are scored in several threads and the front end is not thread-safe.
        object.__setattr__(self, "letters", spoken_letters(self.text, self.languages[0]))


@dataclass(frozen=True)
class Score:
    """The result for one clip. None: not measured, because there is no reference for the voice or no such judge."""

    key: str
    voice: str
    text: str
    heard: str  # the transcript
    seconds: float
    wer: float  # this and the next three from 0 to 1; see `word_errors`
    cer: float
    skipped: float
    repeated: float
    similarity: float | None = None  # to the voice's reference by GE2E, -1 to 1
    dvector: float | None = None  # the same by the d-vector encoder, which no model is conditioned on
    nearest: str | None = None  # the most similar reference by GE2E
    ovrl: float | None = None  # DNSMOS
    sig: float | None = None
    bak: float | None = None
    mos: float | None = None  # DistillMOS
    rate: float | None = None  # `speaking_rate` relative to that of the voice's reference; 1: equally fast
    failure: str | None = None  # why there is no speech to score; all words count as wrong and as skipped
    lang: str = "en"  # the language given to the recognizer

    @property
    def right_voice(self) -> float | None:
        """1.0 if the nearest reference is the voice's own, otherwise 0.0."""
        return None if self.nearest is None else float(self.nearest == self.voice)

    @classmethod
    def failed(cls, key: str, voice: str, text: str, failure: str) -> Score:
        """Return the score of a clip that could not be made: all words wrong and skipped, nothing else measured."""
        return cls(key, voice, text, "", 0.0, wer=1.0, cer=1.0, skipped=1.0, repeated=0.0, failure=failure)


class Reference(NamedTuple):
    """What a voice sounds like."""

    vector: Vector  # unit vector [V] by GE2E
    dvector: Vector | None  # unit vector by the d-vector encoder
    rate: float | None  # letters a second; None if the text is unknown


@dataclass
class Judge:
    """A recognizer and, optionally, speaker encoders and opinion models."""

    recognizer: Recognizer
    similarity: SpeakerEncoder | None = None
    dnsmos: OpinionModel | None = None
    dvector: SpeakerEncoder | None = None
    mos: MosModel | None = None
    references: dict[str, Reference] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)  # what is not measured, and the command that installs it

    def add_reference(self, voice: str, samples: npt.ArrayLike, sample_rate: int, text: str | None = None) -> None:
        """Add a recording [S] of `voice`, with its text if that is known. Raises ValueError without `similarity`."""
        if self.similarity is None:
            raise ValueError(f"a reference for {voice} needs a speaker encoder")
        self.references[voice] = Reference(
            self.similarity.embed(samples, sample_rate),
            self.dvector.embed(samples, sample_rate) if self.dvector else None,
            speaking_rate(spoken_letters(text or ""), samples, sample_rate),
        )

    def score(self, clip: Clip) -> Score:
        """Score one clip. Raises ValueError, naming the clip, if samples are missing or not finite."""
        if not len(clip.samples) or not np.isfinite(clip.samples).all():
            what = "not all finite" if len(clip.samples) else "missing"
            raise ValueError(f"clip {clip.key} of {clip.voice}: samples are {what}, so it cannot be scored")
        lang, heard, errors = self._words(clip)
        opinion = self.dnsmos.score(clip.samples, clip.sample_rate) if self.dnsmos else None
        return Score(
            key=clip.key,
            voice=clip.voice,
            text=clip.text,
            heard=heard,
            seconds=len(clip.samples) / clip.sample_rate,
            **errors._asdict(),
            **self._similarities(clip),
            ovrl=opinion.ovrl if opinion else None,
            sig=opinion.sig if opinion else None,
            bak=opinion.bak if opinion else None,
            mos=self.mos.score(clip.samples, clip.sample_rate) if self.mos else None,
            rate=self._rate(clip),
            lang=lang,
        )

    def _words(self, clip: Clip) -> tuple[str, str, WordErrors]:
        """Return the language given to the recognizer, the transcript and its errors.

        A recognizer transcribes one language, so a clip in several is transcribed once in each and the best match
        counts: given the wrong language, Whisper translates instead of transcribing.
        """
        candidates = []
        for language in clip.languages:
            heard = self.recognizer.transcribe(clip.samples, clip.sample_rate, language)
            candidates.append((language, heard, word_errors(clip.text, heard, language)))
        return min(candidates, key=lambda candidate: candidate[2].wer)

    def _similarities(self, clip: Clip) -> dict[str, Any]:
        reference = self.references.get(clip.voice)
        if self.similarity is None or reference is None:
            return {}
        vector = self.similarity.embed(clip.samples, clip.sample_rate)
        found = {name: float(vector @ other.vector) for name, other in self.references.items()}
        # A silent clip resembles nobody. "" is never a voice's name, so it counts as the wrong one.
        similarities: dict[str, Any] = {
            "similarity": found[clip.voice],
            "nearest": max(found, key=found.__getitem__) if np.any(vector) else "",
        }
        if self.dvector is not None and reference.dvector is not None:
            similarities["dvector"] = float(self.dvector.embed(clip.samples, clip.sample_rate) @ reference.dvector)
        return similarities

    def _rate(self, clip: Clip) -> float | None:
        reference = self.references.get(clip.voice)
        rate = speaking_rate(clip.letters, clip.samples, clip.sample_rate)
        return None if reference is None or reference.rate is None or rate is None else rate / reference.rate


def load_judge(asr: str, threads: int) -> Judge:
    """Load every judge for `threads` clips at once. asr: a Whisper size or folder.

    The d-vector encoder and DistillMOS are left out if their packages are missing, and named in `Judge.missing`.
    Raises ValueError if the extra `eval` is missing.
    """
    word_errors("one", "one")  # imports its packages now, so that a missing one is reported before the first clip
    from vivavoce.metrics.mos_torch import DistillMos

    recognizer = WhisperRecognizer(asr, threads=1, workers=threads)
    judge = Judge(recognizer, GE2E(), Dnsmos(threads=1))
    try:
        judge.dvector = DVector(threads=1)
    except ValueError:
        judge.missing.append(f"d-vec: pip install {DVector.INSTALL}")
    try:
        judge.mos = DistillMos()
    except ValueError:
        judge.missing.append(f"MOS: pip install {DistillMos.INSTALL}")
    return judge
