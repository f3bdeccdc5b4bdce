"""Systems loaded from model folders speak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.checkpoint_tests import refusal
from helpers.published import (
    MODEL,
    OPTIONS,
    TEXT,
    job,
    speaking,
    speaking_published,
    spoken,
    write_own,
    write_published,
    write_vocos,
)
from torch import Tensor

from vivavoce.models.nanospeech_torch import DurationTransformer
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.systems.nanospeech_torch import NanospeechSystem
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

# --- fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_vocos(tmp_path / "vocos")
    return write_published(tmp_path / "published")


# --- speaking -----------------------------------------------------------------------------------------------------


def predicted(system: Any, text: str, voice: Voice, speed: float = 1.0) -> float:
    """Seconds."""
    return system.predict_durations([Piece(text, 0.0)], voice, speed)[0]


def seconds_of(wave: np.ndarray) -> float:
    return len(wave) / 24_000


def test_a_system_speaks_for_about_as_long_as_it_says(system: NanospeechSystem, voice: Voice) -> None:
    wave = spoken(system, TEXT, voice)
    assert wave.dtype == np.float32 and wave.ndim == 1
    assert np.isfinite(wave).all() and wave.std() > 1e-5
    seconds = predicted(system, TEXT, voice)
    assert seconds > 0.5
    assert seconds_of(wave) == pytest.approx(seconds, abs=0.02)


def test_one_seed_one_reading(system: NanospeechSystem, voice: Voice) -> None:
    first, again, other = (spoken(system, TEXT, voice, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert len(first) == len(other) and not np.allclose(first, other, atol=1e-4)


def test_twice_the_speed_half_the_length(system: NanospeechSystem, voice: Voice) -> None:
    slow, fast = (spoken(system, TEXT, voice, OPTIONS.replace(speed=s)) for s in (1.0, 2.0))
    assert seconds_of(fast) == pytest.approx(seconds_of(slow) / 2, abs=0.02)
    assert predicted(system, TEXT, voice, 2.0) == pytest.approx(predicted(system, TEXT, voice) / 2)


def test_jobs_of_one_batch_are_made_as_one_by_one(system: NanospeechSystem, voice: Voice) -> None:
    """With voices, references, speeds and seeds of their own."""
    half = len(voice.samples) // 2
    other = Voice("other", 0.5 * voice.samples[:half], "call me", np.eye(8, dtype=np.float32)[3])
    jobs = [
        job(TEXT, voice),
        job("me too.", other, OPTIONS.replace(speed=1.5), seed=2),
        job("call me a friend of nature, and of others.", other, OPTIONS.replace(speed=0.7), seed=3),
    ]
    for one, made in zip(jobs, system.synthesize(jobs), strict=True):
        (single,) = system.synthesize([one])
        assert len(single.samples) == len(made.samples)
        assert np.abs(single.samples - made.samples).max() < 1e-4
        assert (single.ends is None) == (made.ends is None)
        if single.ends is not None and made.ends is not None:
            assert made.ends == pytest.approx(single.ends, abs=1e-4)


@pytest.mark.parametrize("change", [{"steps": 3}, {"method": "midpoint"}, {"cfg": 0.0}, {"sway_coef": 0.0}])
def test_what_a_batch_has_in_common_may_not_differ(own: Path, voice: Voice, change: dict[str, Any]) -> None:
    jobs = [job(TEXT, voice), job(TEXT, voice, OPTIONS.replace(**change))]
    message = refusal(lambda: speaking(own).synthesize(jobs))
    (name,) = change
    assert f"{name} {getattr(OPTIONS, name)} and {change[name]}" in message


def test_a_language_and_an_option_that_the_model_lacks_are_refused(own: Path, voice: Voice) -> None:
    system = speaking(own)
    french = SynthesisRequest(Piece("me too.", 0.0, (("en", 3), ("fr", 4))), voice, OPTIONS, 1)
    assert "'fr'" in refusal(lambda: system.synthesize([french])) and system.languages == ("en",)
    assert "top_k is 5" in refusal(lambda: spoken(system, TEXT, voice, OPTIONS.replace(top_k=5)))


def test_characters_end_one_after_another_until_the_end(own: Path, voice: Voice) -> None:
    system = speaking(own)
    (made,) = system.synthesize([job(TEXT, voice)])
    assert made.ends is not None and made.ends.dtype == np.float32 and made.ends.shape == (len(TEXT),)
    assert 0 < made.start < made.ends[0] and (np.diff(made.ends) > 0).all()
    # the silence at both ends belongs to a space, which is no character of the text
    assert made.ends[-1] < seconds_of(made.samples)
    (slow,) = system.synthesize([job(TEXT, voice, OPTIONS.replace(speed=0.5))])
    assert slow.ends == pytest.approx(2 * made.ends, abs=0.05)
    (spaced,) = system.synthesize([job(f" {TEXT}", voice)])
    assert spaced.ends is not None and spaced.ends[1:] == pytest.approx(made.ends, abs=1e-4)


def test_a_model_without_durations_of_characters_tells_no_times(published: Path, voice: Voice) -> None:
    system = speaking_published(published)
    assert isinstance(system.duration, DurationTransformer)
    assert system._timed(np.zeros(9, np.float32), TEXT, np.ones(1)).ends is None


def test_a_temperature_of_0_leaves_nothing_to_the_seed(own: Path, voice: Voice) -> None:
    plain = OPTIONS.replace(temperature=0.0)
    first, other = (spoken(speaking(own), TEXT, voice, plain, seed) for seed in (1, 2))
    assert np.array_equal(first, other)
    assert not np.array_equal(first, spoken(speaking(own), TEXT, voice))


def test_longer_text_takes_longer(system: NanospeechSystem, voice: Voice) -> None:
    short, long = system.predict_durations([Piece("me too.", 0.0), Piece(TEXT, 0.0)], voice, 1.0)
    assert long > 2 * short


def test_progress_ends_at_1(system: NanospeechSystem, voice: Voice) -> None:
    told: list[float] = []
    system.synthesize([job(TEXT, voice)], told.append)
    assert told == [0.5, 1.0]


def test_a_text_beyond_the_models_reach_is_refused(system: NanospeechSystem, voice: Voice) -> None:
    assert "43.7 s" in refusal(lambda: spoken(system, "me too. " * 200, voice))


def test_a_model_that_continues_a_recording_needs_its_words(published: Path, own: Path, voice: Voice) -> None:
    unknown = Voice("stranger", voice.samples, None, voice.embedding)
    message = refusal(lambda: spoken(speaking_published(published), TEXT, unknown))
    assert "'stranger'" in message and "transcript" in message
    assert len(spoken(speaking(own), TEXT, unknown)) > 0


def test_the_characters_of_the_reference_get_its_frames(tmp_path: Path, voice: Voice) -> None:
    """A prompted model that stretches its text: reference words over reference frames, at any speed."""
    system = speaking(write_own(tmp_path / "own", MODEL.replace(audio_prompt=True)))
    given: list[tuple[Tensor, Tensor]] = []
    sample = system.model.sample

    def noted(noise: Tensor, text: Tensor, lengths: Tensor, **options: Any) -> Tensor:
        given.append((options["durations"], lengths))
        return sample(noise, text, lengths, **options)

    system.model.sample = noted  # type: ignore[method-assign]
    for speed in (1.0, 2.0):
        spoken(system, TEXT, voice, OPTIONS.replace(speed=speed))
    reference = len("some call me nature ")
    for durations, lengths in given:
        assert durations.shape[1] == reference + len(TEXT)
        assert durations[0, :reference].sum().item() == pytest.approx(24_000 // 256 + 1, rel=1e-4)
        assert durations.sum().item() == pytest.approx(lengths.item(), abs=1)
    assert torch.allclose(given[0][0][0, reference:], 2 * given[1][0][0, reference:])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_speaks_about_the_same(own: Path, voice: Voice, dtype: str) -> None:
    exact, half = (spoken(speaking(own, dtype=d), TEXT, voice) for d in ("float32", dtype))
    assert half.dtype == np.float32 and len(half) == len(exact)
    assert np.corrcoef(exact, half)[0, 1] > 0.95


def test_copy_synthesis_keeps_the_length(own: Path, voice: Voice) -> None:
    wave = speaking(own).copy_synthesis(voice.samples)
    assert abs(len(wave) - len(voice.samples)) < 256 and np.isfinite(wave).all()
