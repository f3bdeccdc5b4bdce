"""Recordings pass; copies of them that were damaged on purpose do not."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.synthesis.checks import check, says_twice, speech_level

RATE = audio.SAMPLE_RATE
RECORDINGS = Path(__file__).parents[2] / "benchmarks" / "recordings" / "validation.tar"


@dataclass(frozen=True)
class Recording:
    samples: Samples
    text: str
    words: list[tuple[str, float, float]]

    def faults(self, samples: Samples | None = None) -> set[str]:
        """Of the recording, or of what was made of it."""
        wave = self.samples if samples is None else np.asarray(samples, np.float32)
        return {fault.name for fault in check(wave, RATE, len(self.samples) / RATE, text=self.text)}


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    with tarfile.open(RECORDINGS) as shard:
        files = {m.name: shard.extractfile(m).read() for m in shard.getmembers()}  # type: ignore[union-attr]
    found = []
    for name in sorted(files):
        if name.endswith(".ogg"):
            told = json.loads(files[name.replace(".ogg", ".json")])
            found.append(Recording(audio.read(io.BytesIO(files[name])), told["text"], told["words"]))
    assert len(found) == 100
    return found


def test_good_recordings_pass(recordings: list[Recording]) -> None:
    wrong = [(recording.text, recording.faults()) for recording in recordings if recording.faults()]
    assert len(wrong) < 2, wrong


@pytest.mark.parametrize("change", [lambda w: 0.03 * w, lambda w: audio.resample(w, RATE, 16_000)])
def test_neither_loudness_nor_rate_makes_a_fault(
    recordings: list[Recording], change: Callable[[Samples], Samples]
) -> None:
    for r in recordings[::10]:
        wave = change(r.samples)
        rate = round(RATE * len(wave) / len(r.samples))
        assert check(wave, rate, len(r.samples) / RATE, text=r.text) == []


# ---- damage -------------------------------------------------------------------------------------------------------

Damage = Callable[[Recording, np.random.Generator], Samples]


def at(seconds: float) -> int:
    return round(seconds * RATE)


def without_end(r: Recording, random: np.random.Generator) -> Samples:
    _, start, end = r.words[-1]
    return r.samples[: at(start + (end - start) * random.uniform(0.3, 0.8))]


def without_start(r: Recording, random: np.random.Generator) -> Samples:
    _, start, end = r.words[0]
    return r.samples[at(start + (end - start) * random.uniform(0.2, 0.7)) :]


def with_hole(r: Recording, random: np.random.Generator) -> Samples:
    _, start, end = r.words[random.integers(len(r.words))]
    place = at(random.uniform(start, end))
    return np.concatenate((r.samples[:place], np.zeros(at(random.uniform(1.0, 1.5))), r.samples[place:]))


def with_noise(r: Recording, random: np.random.Generator) -> Samples:
    noise = random.standard_normal(at(random.uniform(0.5, 1.0)))
    return np.concatenate((r.samples, noise * 10 ** ((audio.rms_db(r.samples) + random.uniform(-25, -5)) / 20)))


def with_hum(r: Recording, random: np.random.Generator) -> Samples:
    hum = 0.05 * np.sin(2 * np.pi * random.uniform(50, 500) * np.arange(at(0.7)) / RATE)
    return np.concatenate((r.samples, hum))


def said_twice(r: Recording, random: np.random.Generator) -> Samples:
    """Two or three words once more, the second time a little slower."""
    first = random.integers(max(1, len(r.words) - 2))
    last = min(first + 2, len(r.words) - 1)
    start, end = at(r.words[first][1]), at(r.words[last][2])
    again = 0.7 * audio.resample(r.samples[start:end], RATE, round(RATE * 1.03))
    return np.concatenate((r.samples[:end], again, r.samples[end:]))


def clipped(r: Recording, random: np.random.Generator) -> Samples:
    return np.clip(random.uniform(3, 8) * r.samples / np.abs(r.samples).max(), -1, 1)


def half(r: Recording, random: np.random.Generator) -> Samples:
    return r.samples[: len(r.samples) // 3]


def twice_as_long(r: Recording, random: np.random.Generator) -> Samples:
    return np.concatenate((r.samples, r.samples, r.samples))


@pytest.mark.parametrize(
    ("damage", "name", "least"),  # least: of a hundred
    [
        (without_end, "cut end", 70),  # the rest end on a sound as soft as the end of a word
        (without_start, "cut start", 90),
        (with_hole, "hole", 95),
        (with_noise, "tail", 95),
        (with_hum, "tail", 95),
        (said_twice, "repeat", 85),
        (clipped, "clipping", 95),
        (half, "length", 95),
        (twice_as_long, "length", 90),
    ],
)
def test_damage_is_found(recordings: list[Recording], damage: Damage, name: str, least: int) -> None:
    random = np.random.default_rng(0)
    found = [name in r.faults(damage(r, random)) for r in recordings[::3]]
    assert 100 * np.mean(found) >= least


@pytest.mark.parametrize("damage", [with_hole, with_noise, said_twice, clipped])
def test_one_damage_is_seldom_taken_for_others(recordings: list[Recording], damage: Damage) -> None:
    random = np.random.default_rng(0)
    found = [r.faults(damage(r, random)) for r in recordings[::5]]
    assert np.mean([len(faults) for faults in found]) < 2


# ---- what there is besides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wave", [np.zeros(RATE), np.full(RATE, 1e-5), np.zeros(0), np.full(RATE, np.nan)])
def test_where_there_is_nothing_to_listen_to_nothing_else_is_told(wave: np.ndarray) -> None:
    (fault,) = check(wave.astype(np.float32), RATE, 1.0)
    assert fault.unusable


def test_a_text_that_says_something_twice_may_be_spoken_so(recordings: list[Recording]) -> None:
    r = recordings[2]
    wave = said_twice(r, np.random.default_rng(0)).astype(np.float32)
    assert [fault.name for fault in check(wave, RATE, len(wave) / RATE, text=r.text)] == ["repeat"]
    assert check(wave, RATE, len(wave) / RATE, text="On and on and on.") == []


@pytest.mark.parametrize(
    ("text", "twice"),
    [("No, no!", True), ("On and on and on.", True), ("The cat saw the dog.", False), ("No.", False), ("", False)],
)
def test_says_twice(text: str, twice: bool) -> None:
    assert says_twice(text) is twice


def test_slow_speech_may_have_longer_pauses(recordings: list[Recording]) -> None:
    r = recordings[0]
    wave = np.insert(r.samples, np.full(at(1.2), at(r.words[4][2] + 0.03)), 0.0)
    seconds = len(wave) / RATE
    assert "hole" in {fault.name for fault in check(wave, RATE, seconds)}
    assert check(wave, RATE, seconds, speed=0.5) == []


def test_sound_after_the_last_word_is_a_fault_where_the_end_is_known(recordings: list[Recording]) -> None:
    r = recordings[0]
    seconds = len(r.samples) / RATE
    assert check(r.samples, RATE, seconds, text=r.text, end=r.words[-1][2]) == []
    (fault,) = check(r.samples, RATE, seconds, text=r.text, end=r.words[-1][2] - 1.0)
    assert fault.name == "tail"


def test_the_louder_a_cut_the_worse_it_is(recordings: list[Recording]) -> None:
    r = recordings[0]
    size = at(0.05)
    place = max(range(at(0.5), at(3.0), size), key=lambda i: audio.rms_db(r.samples[i : i + size]))

    def weight(gain: float) -> float:
        wave = r.samples[: place + size].copy()
        wave[-size:] *= gain
        return sum(fault.weight for fault in check(wave, RATE, len(wave) / RATE, text=r.text))

    assert weight(1.0) > weight(0.3) > weight(0.0) == 0


def test_a_pause_does_not_count_for_the_level_of_speech(recordings: list[Recording]) -> None:
    wave = recordings[0].samples
    paused = np.concatenate((wave, np.zeros(5 * RATE, np.float32)))
    assert speech_level(paused, RATE) == pytest.approx(speech_level(wave, RATE), abs=0.05)
    assert speech_level(paused, RATE) > audio.rms_db(paused) + 3
