"""benchmarks/prosody.py: what it makes of speech that follows its controls, and of speech that does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.scoring import script
from rich.console import Console

from vivavoce.synthesis.speech import Speech
from vivavoce.systems.interface import Word

prosody = script("prosody")
RATE = 24_000


def tracker(samples: Any, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """The pitch of a tone, from its zero crossings, every 10 ms."""
    size = sample_rate // 50
    starts = np.arange(0, len(samples) - size, sample_rate // 100)
    crossings = np.array([np.sum(np.diff(np.signbit(samples[s : s + size]))) for s in starts])
    return (starts + size / 2) / sample_rate, np.where(crossings > 1, crossings * sample_rate / size / 2, 0.0)


class Singer:
    """Speaks each word as a tone of 400 Hz that moves by a fifth, and follows its options; `deaf`: not the pitch."""

    def __init__(self, deaf: bool = False) -> None:
        self.system, self.deaf = SimpleNamespace(prosody=True), deaf

    def speak(self, text: str, voice: str, **options: Any) -> Speech:
        pitch, wide = (0.0 if self.deaf else options.get("pitch", 0.0)), options.get("pitch_range", 1.0)
        seconds = 0.4 / options.get("pace", 1.0)
        waves, words = [], []
        for place, word in enumerate(text.split()):
            up = pitch + wide * (3.5 if place % 2 else -3.5) + (4 if "[em]" in word else 0)
            time = np.arange(int(seconds * RATE)) / RATE
            tone = 0.1 * np.sin(2 * np.pi * 400 * 2 ** (up / 12) * time) * 10 ** (options.get("energy", 0) / 20)
            words.append(Word(word, place * seconds, (place + 1) * seconds))
            waves.append(tone)
        return Speech(np.concatenate(waves).astype(np.float32), RATE, text, words=tuple(words))


def results(tts: Any) -> tuple[list[Any], list[Any]]:
    clips, found = [], []
    for some, emphasis in prosody.read(tts, ["One two three four five six."], ["celeste"], tracker, None, 0):
        clips += some
        found.append(emphasis)
    return clips, found


def test_speech_that_follows_has_a_correlation_and_slope_of_one_and_no_side_effects() -> None:
    clips, found = results(Singer())
    assert len(clips) == 16 and found == [(True, False)]
    for control, row in prosody.summary(clips).items():
        assert row["correlation"] > 0.97 and row["slope"] == pytest.approx(1, abs=0.12), control
        assert all(abs(value) < 0.15 for name, value in row.items() if name.startswith("on ")), control


def test_speech_that_does_not_follow_is_told_from_one_that_does() -> None:
    row = prosody.summary(results(Singer(deaf=True))[0])["pitch"]
    assert abs(row["slope"]) < 0.01 and row["correlation"] == 0


def test_a_model_without_conditions_is_measured_for_energy_and_pace() -> None:
    singer = Singer()
    singer.system.prosody = False
    clips, found = results(singer)
    assert {clip.control for clip in clips} == {"energy", "pace"} and found == [None]
    console = Console(record=True, width=120)
    prosody.show(clips, [], console)
    assert "energy" in console.export_text() and "emphasised" not in console.export_text()


def test_the_emphasised_word_keeps_its_punctuation_outside() -> None:
    assert prosody.emphasised('He said "no," twice.', 2) == 'He said "[em]no[/em]," twice.'
    assert prosody.word_to_stress("a b c") == prosody.word_to_stress("a b c") < 3
