"""Choose the checkpoint that sounds most like the speaker and is understood. Knows nothing about how it is spoken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import Samples
from vivavoce.metrics.similarity import SpeakerEncoder

WORSE = 0.02  # word error rate above the base model's that costs nothing
COST = 4.0  # of each further 1.0 of word error rate, in shares of the way to the speaker

Speak = Callable[[str, int], tuple[Samples, int]]  # sentence, seed -> samples and their rate in Hz
WordErrors = Callable[[str, Samples, int], float]  # sentence, samples, rate -> word error rate, 0 to 1


@dataclass
class Ruler:
    """The scale of likeness for this speaker, by each encoder: 0 is the nearest built-in voice, 1 the speaker."""

    encoders: Mapping[str, SpeakerEncoder]
    targets: Mapping[str, npt.NDArray[np.float32]]  # mean vectors of the held-out recordings
    nearest: Mapping[str, float]  # likeness of the nearest built-in voice to the target
    own: Mapping[str, float]  # likeness of the speaker's training recordings to it

    @classmethod
    def make(
        cls,
        encoders: Mapping[str, SpeakerEncoder],
        held_out: Sequence[tuple[Samples, int]],
        recordings: Sequence[tuple[Samples, int]],
        others: Sequence[tuple[Samples, int]],
    ) -> Ruler:
        """held_out, recordings: of the speaker; others: one of each built-in voice."""
        targets, nearest, own = {}, {}, {}
        for name, encoder in encoders.items():
            mean = np.mean([encoder.embed(*sound) for sound in held_out], axis=0)
            targets[name] = target = (mean / max(1e-9, float(np.linalg.norm(mean)))).astype(np.float32)
            nearest[name] = max(float(encoder.embed(*sound) @ target) for sound in others)
            own[name] = float(np.mean([encoder.embed(*sound) @ target for sound in recordings]))
        return cls(encoders, targets, nearest, own)

    def likeness(self, samples: Samples, rate: int) -> dict[str, float]:
        """Return the likeness of a clip to the held-out recordings by each encoder, -1 to 1."""
        return {name: float(e.embed(samples, rate) @ self.targets[name]) for name, e in self.encoders.items()}

    def way(self, likeness: Mapping[str, float]) -> float:
        """Return how far a likeness is on the way from the nearest built-in voice to the speaker, on average."""
        ways = [
            (likeness[name] - self.nearest[name]) / max(0.05, self.own[name] - self.nearest[name])
            for name in self.encoders
        ]
        return float(np.mean(ways))

    def to_dict(self) -> dict[str, Any]:
        return {"nearest built-in": dict(self.nearest), "own recordings": dict(self.own)}


@dataclass
class Candidate:
    """A checkpoint and how it speaks."""

    name: str
    likeness: dict[str, float] = field(default_factory=dict)  # by encoder, to the held-out recordings
    way: float = 0.0  # as `Ruler.way`
    wer: float | None = None  # None: there is no recogniser

    def score(self, base: Candidate) -> float:
        """Return the way, minus a penalty for words that the base model says right."""
        if self.wer is None or base.wer is None:
            return self.way
        return self.way - COST * max(0.0, self.wer - base.wer - WORSE)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "likeness": self.likeness, "way": self.way, "wer": self.wer}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Candidate:
        return cls(values["name"], dict(values["likeness"]), values["way"], values["wer"])


def judge(name: str, speak: Speak, sentences: Sequence[str], ruler: Ruler, errors: WordErrors | None) -> Candidate:
    """Have a checkpoint speak the sentences, and measure them."""
    likenesses, wrong, words = [], 0.0, 0
    for seed, sentence in enumerate(sentences):
        samples, rate = speak(sentence, seed)
        likenesses.append(ruler.likeness(samples, rate))
        if errors is not None:
            count = len(sentence.split())
            wrong, words = wrong + count * errors(sentence, samples, rate), words + count
    likeness = {key: float(np.mean([one[key] for one in likenesses])) for key in ruler.encoders}
    return Candidate(name, likeness, ruler.way(likeness), wrong / words if words else None)


def best(candidates: Sequence[Candidate], base: Candidate) -> Candidate:
    """Return the candidate with the best score; of equal ones, the first."""
    return max(candidates, key=lambda candidate: candidate.score(base))
