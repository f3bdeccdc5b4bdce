"""Scoring a clip: words, similarity to references, speaking rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.scoring import words

from vivavoce.evaluate.judge import Clip, Judge
from vivavoce.evaluate.table import summarise
from vivavoce.metrics.mos import Opinion

RATE = 24_000


class FakeRecognizer:
    """Returns prepared transcripts, whatever the audio."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def transcribe(self, samples: Any, sample_rate: int, language: str) -> str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class FakeEncoder:
    """A voice is its first sample: 0.1 for the first voice, 0.2 for the second, …"""

    def embed(self, samples: Any, sample_rate: int) -> np.ndarray:
        vector = np.zeros(8, dtype=np.float32)
        vector[round(float(samples[0]) * 10)] = float(np.any(samples))
        return vector


class FakeOpinion:
    def score(self, samples: Any, sample_rate: int) -> Opinion:
        return Opinion(3.0, 3.5, 4.0)


def clip(voice: str, text: str = "the cat sat", first: float = 0.1, key: str = "a") -> Clip:
    return Clip(key, voice, text, np.full(RATE, first, dtype=np.float32), RATE)


def judge(*answers: str) -> Judge:
    made = Judge(FakeRecognizer(*answers), FakeEncoder(), FakeOpinion())
    made.add_reference("luna", np.full(9, 0.1), RATE)
    made.add_reference("nash", np.full(9, 0.2), RATE)
    return made


@words
def test_likeness_names_the_nearest_reference() -> None:
    clips = [clip("luna", first=0.1), clip("nash", first=0.1), clip("guest", first=0.1)]
    found = summarise(map(judge("the cat sat").score, clips))
    luna, nash, guest = found.scores
    assert (luna.nearest, luna.similarity, luna.right_voice) == ("luna", 1.0, 1.0)
    assert (nash.nearest, nash.similarity, nash.right_voice) == ("luna", 0.0, 0.0)
    assert (guest.nearest, guest.similarity, guest.right_voice) == (None, None, None)
    assert found.mean is not None and found.mean.right_voice == pytest.approx(0.5)


@words
def test_a_silent_clip_is_like_nobody() -> None:
    found = judge("").score(clip("luna", first=0.0))
    assert found.similarity == 0.0 and found.right_voice == 0.0 and found.wer == 1.0


@words
def test_the_rate_is_that_of_the_reference_s_own_words() -> None:
    made = Judge(FakeRecognizer("the cat sat"), FakeEncoder())
    made.add_reference("luna", np.full(2 * RATE, 0.1), RATE, "The cat sat on a mat.")  # 15 letters in 2 s
    made.add_reference("nash", np.full(RATE, 0.2), RATE)
    assert made.score(clip("luna")).rate == pytest.approx(9 / 7.5)
    assert made.score(clip("nash")).rate is None  # the reference's text is unknown
    assert made.score(clip("guest")).rate is None


@pytest.mark.parametrize(("samples", "what"), [([], "missing"), ([0.1, float("nan")], "not all finite")])
def test_a_broken_clip_is_named(samples: list[float], what: str) -> None:
    broken = Clip("0007", "luna", "hello", np.array(samples, dtype=np.float32), RATE)
    with pytest.raises(ValueError, match=f"clip 0007 of luna: samples are {what}"):
        judge("hello").score(broken)


@words
def test_a_second_encoder_and_distillmos_are_reported_beside_the_first() -> None:
    class Second(FakeEncoder):
        def embed(self, samples: Any, sample_rate: int) -> np.ndarray:
            return np.array([0.6, 0.8], dtype=np.float32)

    class Mos:
        def score(self, samples: Any, sample_rate: int) -> float:
            return 4.25

    both = Judge(FakeRecognizer("the cat sat"), FakeEncoder(), dvector=Second(), mos=Mos())
    both.add_reference("luna", np.full(9, 0.1), RATE)
    found = both.score(clip("luna"))
    assert (found.similarity, found.dvector, found.mos) == (1.0, pytest.approx(1.0), 4.25)
