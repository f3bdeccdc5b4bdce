"""A text in the manner of a recording, with recordings whose pace, range and energy are known."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Out
from helpers.command_line import vivavoce as vivavoce_command
from helpers.tones import RATE, Tones

import vivavoce
from vivavoce import audio
from vivavoce.synthesis.like import EDGES, Manner
from vivavoce.synthesis.manner import contour, heard
from vivavoce.synthesis.planner import Planner
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.text.prosody import Prosody
from vivavoce.voices import Voice

pytestmark = pytest.mark.filterwarnings("ignore:.*may be faulty")  # of square waves

WORDS = "the road was empty and nobody spoke for a long time"


def spoken(
    syllables: int = 20, rate: float = 5.0, spread: float = 2.5, rise: float = -3.0, hertz: float = 150.0
) -> np.ndarray:
    """Syllables at a rate, of vowels between closures, whose pitch moves by `spread` semitones and level by `rise`."""
    length = round(syllables / rate * RATE)
    place = np.arange(length) / length
    pitch = np.sqrt(2) * spread * np.sin(2 * np.pi * 3 * place)  # a sine's deviation is its height over the root of two
    cycles = np.cumsum(hertz * 2 ** (pitch / 12)) / RATE
    wave = sum(np.cos(2 * np.pi * k * cycles + k) / k for k in range(1, 12))
    vowel = np.clip(1.6 * np.sin(np.pi * ((place * syllables) % 1)), 0.05, 1)
    return (0.05 * wave * vowel * 10 ** (rise * (place - 0.5) / 20)).astype(np.float32)


def voice(spread: float = 2.5) -> Voice:
    return Voice("tester", spoken(spread=spread), embedding=np.ones(4, np.float32))


@pytest.mark.parametrize("rate", [3.5, 5.0, 6.5])
@pytest.mark.parametrize("gain", [0.01, 1.0])
def test_what_is_heard_of_a_recording(rate: float, gain: float) -> None:
    found = heard(contour(gain * spoken(rate=rate, spread=1.8, rise=-8), RATE))
    assert found.rate * 0.84 == pytest.approx(rate, rel=0.1)  # more are counted than in real speech
    # 10th to 90th percentile of a sine, over that of a normal distribution
    assert found.spread == pytest.approx(1.8 * 2 * 1.345 / 2.56, rel=0.12)
    assert found.rise == pytest.approx(-8, abs=1)


def test_neither_the_rate_of_the_samples_nor_the_pitch_of_the_speaker_matters() -> None:
    low, high = spoken(hertz=100), audio.resample(spoken(hertz=220), RATE, 44_100)
    one, other = heard(contour(low, RATE)), heard(contour(high, 44_100))
    assert dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(other), rel=0.1)


@pytest.fixture
def follows(system: Tones) -> TTS:
    """A stand-in for a model with prosody conditions."""
    system.prosody = True
    return TTS(system)


def planned(tts: TTS, **options: object) -> Planner:
    return tts.planner(voice(), seed=1, **options)[0]  # type: ignore[arg-type]


def manner(tts: TTS, **options: object) -> Manner:
    like = planned(tts, **options).like
    assert like is not None
    return like.manner


@pytest.mark.parametrize(("spread", "right"), [(2.5, 1.0), (3.25, 1.3), (1.75, 0.7), (0.5, 0.67), (7.0, 1.5)])
def test_the_range_is_that_of_the_recording_against_that_of_the_voice(
    follows: TTS, spread: float, right: float
) -> None:
    planner = planned(follows, like=(spoken(spread=spread), RATE))
    assert planner.options.pitch_range == pytest.approx(right, abs=0.07)
    assert planner.options.pitch == 0 and planner.options.energy == 0


@pytest.mark.parametrize("pace", [0.85, 1.0, 1.2])
def test_with_its_words_the_pace_of_a_recording_is_known(tts: TTS, pace: float) -> None:
    predicted = tts.system.predict_durations([vivavoce.text.pieces.Piece(WORDS, 0.0)], voice(), 1.0)[0] - EDGES
    recording = spoken(12, 12 / predicted * pace)
    with pytest.warns(UserWarning, match="the pitch of the recording is not followed"):
        planner = planned(tts, like=(recording, RATE), like_text=WORDS)
    assert planner.options.pace == pytest.approx(pace, abs=0.03)
    assert planner.options.pitch_range == 1.0  # which this model cannot change


def test_without_its_words_a_faster_recording_gives_a_faster_pace(follows: TTS) -> None:
    slow, fast = (manner(follows, like=(spoken(rate=rate), RATE)).pace for rate in (5.0, 6.5))
    assert fast / slow == pytest.approx(1.3, rel=0.12) or fast == 1.25


def test_an_option_beside_it_is_followed_instead(follows: TTS) -> None:
    recording = (spoken(spread=3.25, rate=6.5, rise=10), RATE)
    both = planned(follows, like=recording, pace=1.0, pitch_range=0.9, pitch=2.0)
    assert (both.options.pace, both.options.pitch_range, both.options.pitch) == (1.0, 0.9, 2.0)
    assert planned(follows, like=recording, pace=1.0).options.pitch_range == pytest.approx(1.3, abs=0.07)
    assert manner(follows, like=recording).rise == 6.0
    speech = follows.speak(WORDS, voice(), like=recording, energy=0.0, seed=1)
    assert {prosody.energy for prosody, _ in speech.pieces[0].prosody} <= {0.0}


@pytest.mark.filterwarnings("ignore:this model has no prosody")
def test_the_energy_rises_through_the_text_as_in_the_recording(tts: TTS, system: Tones) -> None:
    text = f"{WORDS}. {WORDS}. {WORDS}. {WORDS}. {WORDS}."
    speech = tts.speak(text, voice(), like=(spoken(rise=6), RATE), seed=1)
    energies = [p.energy for piece in speech.pieces for p, count in piece.prosody for _ in range(count)]
    assert len(speech.pieces) > 1 and np.all(np.diff(energies) >= 0)
    assert energies[-1] - energies[0] == pytest.approx(5, abs=1.2)  # 9 dB more than usual, of which 4 are ordinary
    assert sum(energies) / len(energies) == pytest.approx(0, abs=0.3)
    falls = tts.speak(text, voice(), like=(spoken(rise=-3), RATE), seed=1)
    assert all(not piece.prosody for piece in falls.pieces)


def test_a_stream_has_the_pace_and_the_range(follows: TTS) -> None:
    list(follows.stream(iter([f"{WORDS}. ", f"{WORDS}."]), voice(), like=(spoken(spread=3.25), RATE), seed=1))
    asked: list[SynthesisRequest] = follows.system.asked  # type: ignore[attr-defined]
    assert all(job.piece.prosody[0][0].range == pytest.approx(1.3, abs=0.07) for job in asked)


# --- the same words --------------------------------------------------------------------------------------------------


class Letters(Tones):
    """Speaks each letter as long as it is told, at 200 Hz."""

    by_letters = True

    def synthesize(self, jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        self.asked += jobs
        made = []
        for job in jobs:
            count = len(job.piece.text)
            seconds = np.array(job.piece.seconds or [0.1, *[0.05] * count, 0.1])
            time = np.arange(round(seconds.sum() * RATE)) / RATE
            tone = (0.2 * np.sign(np.sin(2 * np.pi * 200 * time))).astype(np.float32)
            edges = np.cumsum(seconds)
            made.append(SynthesisResult(tone, edges[1:-1].astype(np.float32), start=float(edges[0])))
        return made


class Timer:
    """Finds letters of 80 ms, after 0.2 s of silence."""

    def seconds(self, text: str, languages: Sequence[str], *_: object) -> np.ndarray:
        return np.array([0.2, *[0.08] * (len(text) - 2), 0.2], np.float32)


TEXT = "the road was empty and nobody spoke for a long time"
STRESSED = TEXT.index("empty")


def reading() -> np.ndarray:
    """A recording of TEXT, of which one word is 2 semitones higher and 6 dB louder."""
    count = len(TEXT)
    letter = np.repeat(np.arange(count), round(0.08 * RATE))
    inside = (letter >= STRESSED) & (letter < STRESSED + 5)
    cycles = np.cumsum(120 * 2 ** (np.where(inside, 2, 0) / 12)) / RATE
    wave = 0.1 * np.sign(np.sin(2 * np.pi * cycles)) * np.where(inside, 2, 1)
    silence = np.zeros(round(0.2 * RATE))
    return np.concatenate([silence, wave, silence]).astype(np.float32)


def letters(prosody: bool) -> TTS:
    system = Letters()
    system.prosody = prosody
    tts = TTS(system)
    tts._letter_timer = Timer()
    return tts


def runs(speech: vivavoce.Speech) -> list[Prosody]:
    (piece,) = speech.pieces
    return [prosody for prosody, count in piece.prosody for _ in range(count)]


def test_the_same_words_are_spoken_word_by_word() -> None:
    tts, recording = letters(True), (reading(), RATE)
    speech = tts.speak(TEXT, voice(), like=recording, like_text=f"{TEXT.capitalize()}.", seed=1, retries=0)
    assert speech.duration == pytest.approx(len(reading()) / RATE, abs=0.01)
    assert speech.words[3].text == "empty" and speech.words[3].start == pytest.approx(0.2 + 0.08 * STRESSED, abs=0.1)
    told = runs(speech)
    pitch, energy = np.array([p.pitch for p in told]), np.array([p.energy for p in told])
    middle, others = STRESSED + 2, [0, 1, 2, *range(STRESSED + 12, len(TEXT))]
    assert pitch[middle] - pitch[others].mean() == pytest.approx(2, abs=0.6)
    assert energy[middle] - energy[others].mean() == pytest.approx(6, abs=1.5)
    assert abs(pitch.mean()) < 0.5 and abs(energy.mean()) < 0.8  # the speakers keep their own means


def test_without_prosody_conditions_the_lengths_and_the_energy_are_followed() -> None:
    with pytest.warns(UserWarning, match="the pitch of the recording is not followed"):
        speech = letters(False).speak(TEXT, voice(), like=(reading(), RATE), like_text=TEXT, seed=1, retries=0)
    assert {p.pitch for p in runs(speech)} == {0.0} and max(p.energy for p in runs(speech)) > 3
    word, after = speech.words[3], speech.words[6]
    levels = [
        audio.rms_db(speech.samples[round(w.start * RATE) + 500 : round(w.end * RATE) - 500]) for w in (word, after)
    ]
    assert levels[0] - levels[1] > 3


def test_options_are_followed_instead_of_the_recordings_words() -> None:
    given = {"like": (reading(), RATE), "like_text": TEXT, "seed": 1, "retries": 0}
    slower = letters(True).speak(TEXT, voice(), speed=0.8, **given)
    assert slower.duration == pytest.approx(len(reading()) / RATE / 0.8, abs=0.02)
    own = letters(True).speak(TEXT, voice(), pace=1.0, **given)
    assert own.duration == pytest.approx(0.2 + 0.05 * len(TEXT), abs=0.02)
    flat = letters(True).speak(TEXT, voice(), pitch_range=1.0, pitch=1.0, energy=0.0, **given)
    assert {(p.pitch, p.range, p.energy) for p in runs(flat)} == {(1.0, 1.0, 0.0)}


def test_other_words_are_not_spoken_word_by_word() -> None:
    tts = letters(True)
    speech = tts.speak("and then he left", voice(), like=(reading(), RATE), like_text=TEXT, seed=1, retries=0)
    assert not speech.pieces[0].seconds


def test_with_the_bundled_aligner_and_model(tmp_path: Path, capsys: Out) -> None:
    pytest.importorskip("torch")
    text = "The quick brown fox jumps over the lazy dog."
    tts = vivavoce.load(backend="onnx")
    slow = tts.speak(text, "celeste", seed=1, speed=0.8)
    slow.save(tmp_path / "slow.wav")
    line = [text, "--like", str(tmp_path / "slow.wav"), "--like-text", text, "--voice", "nash", "--backend", "onnx"]
    assert vivavoce_command(*line, "-o", str(tmp_path / "out.wav"), "--seed", "1") == 0
    assert "slow.wav: word by word" in capsys.readouterr().err
    assert len(audio.read(tmp_path / "out.wav", RATE)) == pytest.approx(len(slow), abs=0.03 * RATE)
    assert tts.speak(text, "nash", seed=1).duration < slow.duration - 0.2
    assert vivavoce_command(*line[:3], "-o", str(tmp_path / "out.wav"), "--seed", "1") == 0
    assert "slow.wav: pace" in capsys.readouterr().err


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:this model has no prosody")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"like": (spoken(2), RATE)}, "the recording to speak like lasts 0.4 s; it must last 1 to 120 s"),
        ({"like": (np.zeros(48_000, np.float32), RATE)}, "the recording is silent"),
        (
            {"like": (0.1 * np.random.default_rng(0).normal(size=48_000).astype(np.float32), RATE)},
            "0.. s of the recording are voiced speech; at least 0.3 s are needed",
        ),
        ({"like_text": WORDS}, "like_text is the transcript of like; give the recording, too"),
        ({"like": (spoken(), RATE), "like_text": WORDS}, "this model cannot follow a recording word by word"),
    ],
)
def test_bad_recordings_are_refused(tts: TTS, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        tts.speak(WORDS, voice(), **options)  # type: ignore[arg-type]


def test_word_by_word_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    tts = vivavoce.load(backend="onnx")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "vivavoce.systems.letter_times_torch", raising=False)
    with pytest.raises(ValueError, match=r"finding a text in a recording needs PyTorch: pip install vivavoce\[torch\]"):
        tts.speak(WORDS, like=(spoken(), RATE), like_text=WORDS)


def test_the_command_line_checks_the_recording_first(capsys: Out) -> None:
    assert vivavoce_command("Hello.", "--like", "none.wav", "-o", "out.wav") == 2
    assert "none.wav: no such file" in capsys.readouterr().err
    assert vivavoce_command("Hello.", "--like-text", "Hello.", "-o", "out.wav") == 2
    assert "--like-text is the transcript of --like" in capsys.readouterr().err
