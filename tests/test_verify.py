"""What becomes of a piece that failed, by its sound or by what a recogniser hears in it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from test_synthesis import LONG, RATE, Tones

from vivavoce import audio, generate, verify
from vivavoce.audio import Samples
from vivavoce.checks import Check
from vivavoce.pieces import Job, Made, Piece
from vivavoce.synthesis import TTS, Speech, SynthesisError
from vivavoce.verify import Reader
from vivavoce.voices import Voice, get

ROOT = Path(__file__).parents[1]
SENTENCE = "Nobody spoke for a long time."


class Tuned(Tones):
    """Tones whose pieces can be spoilt: `spoil` says how the n-th that is made is changed, n from 0."""

    def __init__(self, spoil: Callable[[int, Samples], Samples]) -> None:
        super().__init__()
        self.spoil = spoil

    def waves(self, jobs: list[Job], progress: Callable[[float], None] | None = None) -> list[Made]:
        first = len(self.asked)
        made = super().waves(jobs, progress)
        return [dataclasses.replace(m, samples=self.spoil(first + i, m.samples)) for i, m in enumerate(made)]


def cut(samples: Samples) -> Samples:
    return samples[len(samples) // 5 :]


def holed(samples: Samples) -> Samples:
    middle = len(samples) // 2
    return np.concatenate((samples[: middle - RATE // 2], np.zeros(RATE, np.float32), samples[middle + RATE // 2 :]))


class Ear:
    """A recogniser that hears what it is told to, one text after another, and the last for ever."""

    def __init__(self, *heard: str) -> None:
        self.heard = list(heard)
        self.asked: list[str | None] = []

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
        assert sample_rate == RATE and len(np.asarray(samples))
        self.asked.append(language)
        return self.heard.pop(0) if len(self.heard) > 1 else self.heard[0]


@pytest.fixture
def voice() -> Voice:
    return Voice("tester", np.sin(np.arange(2 * RATE) * 0.05).astype(np.float32))


def quiet(speak: Callable[[], Speech]) -> Speech:
    """Speech of which nothing is told."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return speak()


# ---- by its sound -------------------------------------------------------------------------------------------------


def test_sound_speech_is_made_once_and_nothing_is_told(voice: Voice) -> None:
    tts = TTS(Tones())
    speech = quiet(lambda: tts.speak(LONG, voice, seed=4))
    assert speech.checks == (Check(1),) * len(speech.pieces)
    assert len(tts.system.asked) == len(speech.pieces)  # type: ignore[attr-defined]


def test_a_piece_that_is_made_again_well_is_no_news(voice: Voice) -> None:
    system = Tuned(lambda n, samples: cut(samples) if n == 1 else samples)
    speech = quiet(lambda: TTS(system).speak(LONG, voice, seed=4))
    assert [check.tries for check in speech.checks] == [1, 2] + [1] * (len(speech.pieces) - 2)
    assert not any(check.faults for check in speech.checks)
    assert system.asked[1].piece == system.asked[2].piece and system.asked[1].seed != system.asked[2].seed


def test_the_best_try_is_taken_and_its_piece_and_fault_are_named(voice: Voice) -> None:
    made: list[Samples] = []

    def spoil(n: int, samples: Samples) -> Samples:
        made.append([holed(cut(samples)), holed(samples), holed(cut(samples))][n])
        return made[-1]

    text = "The old man rose and took his hat from the table."
    with pytest.warns(UserWarning, match="'The old man rose .*', the best of 3 tries, may be faulty: a hole of 1.0 s"):
        speech = TTS(Tuned(spoil)).speak(text, voice)
    (check,) = speech.checks
    assert check.tries == 3 and [fault.name for fault in check.faults] == ["hole"]
    assert len(speech.samples) == len(made[1])


def test_the_same_seed_fails_and_mends_alike(voice: Voice) -> None:
    def spoil(n: int, samples: Samples) -> Samples:  # by the sound, as a model would, and not by the number
        return cut(samples) if np.argmax(samples) % 2 else samples

    def spoken(seed: int) -> Speech:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = TTS(Tuned(spoil)).speak(LONG, voice, seed=seed, retries=3)
            parts = Speech.join(TTS(Tuned(spoil)).stream(LONG, voice, seed=seed, retries=3))
        assert np.array_equal(whole.samples, parts.samples) and whole.checks == parts.checks
        return whole

    first, again = spoken(5), spoken(5)
    assert np.array_equal(first.samples, again.samples)
    assert max(check.tries for check in first.checks) > 1


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_retries_are_counted(retries: int, voice: Voice) -> None:
    system = Tuned(lambda n, samples: cut(samples))
    with pytest.warns(UserWarning, match="cut off at the start"):
        speech = TTS(system).speak(SENTENCE, voice, retries=retries)
    assert len(system.asked) == speech.checks[0].tries == retries + 1


def test_what_the_next_piece_goes_on_from_is_of_the_try_that_was_taken(voice: Voice) -> None:
    system = Tuned(lambda n, samples: cut(samples) if n == 0 else samples)
    waves = system.waves
    system.waves = lambda jobs, progress=None: [  # type: ignore[method-assign]
        dataclasses.replace(made, memory=job.seed) for job, made in zip(jobs, waves(jobs, progress), strict=True)
    ]
    TTS(system).speak(LONG, voice)
    assert system.asked[2].memory == system.asked[1].seed


def test_what_the_model_tells_of_its_own_work_is_a_fault(voice: Voice) -> None:
    system = Tones()
    waves = system.waves

    def telling(jobs: list[Job], progress: object = None) -> list[Made]:
        fault = "" if len(system.asked) else "speech without an end"
        return [dataclasses.replace(made, fault=fault) for made in waves(jobs)]

    system.waves = telling  # type: ignore[method-assign]
    speech = quiet(lambda: TTS(system).speak(SENTENCE, voice))
    assert speech.checks[0].tries == 2
    system.asked.clear()
    with pytest.warns(UserWarning, match="speech without an end"):
        TTS(system).speak(SENTENCE, voice, retries=0)


def test_silence_is_no_speech(voice: Voice) -> None:
    system = Tuned(lambda n, samples: samples if n == 1 else 0 * samples)
    assert TTS(system).speak(SENTENCE, voice).checks[0].tries == 2
    with pytest.raises(SynthesisError, match="the model made silence for 'Nobody spoke"):
        TTS(Tuned(lambda n, samples: 0 * samples)).speak(SENTENCE, voice)


# ---- by what is heard -----------------------------------------------------------------------------------------------

listening = pytest.mark.skipif(importlib.util.find_spec("jiwer") is None, reason="needs the extra eval")


@listening
def test_a_word_that_is_not_heard_is_said_again(voice: Voice) -> None:
    ear = Ear("Nobody spoke for a time.", "Nobody spoke, for a long time!")
    speech = quiet(lambda: TTS(Tones()).speak(SENTENCE, voice, verify=ear))
    assert speech.checks == (Check(2, (), "Nobody spoke, for a long time!"),)


@listening
@pytest.mark.parametrize(
    ("heard", "name", "told"),
    [
        ("Nobody spoke for a time.", "dropped", "'long' left out"),
        ("Nobody spoke for a long long time.", "repeated", "'long' said again"),
        ("Oh buddy sport for lawn dime.", "misheard", "heard as 'Oh buddy sport"),
        ("", "misheard", "nothing is heard"),
    ],
)
def test_words_that_stay_wrong_are_told(heard: str, name: str, told: str, voice: Voice) -> None:
    with pytest.warns(UserWarning, match=f"best of 2 tries, may be faulty: .*{told}"):
        speech = TTS(Tones()).speak(SENTENCE, voice, verify=Ear(heard), retries=1)
    assert [fault.name for fault in speech.checks[0].faults] == [name]
    assert speech.checks[0].heard == heard


@listening
def test_the_try_with_the_fewest_wrong_words_is_taken(voice: Voice) -> None:
    ear = Ear("Nobody for a time.", "Nobody spoke for a time.", "Nobody for a time.")
    with pytest.warns(UserWarning, match="'long' left out"):
        speech = TTS(Tones()).speak(SENTENCE, voice, verify=ear)
    assert speech.checks[0].heard == "Nobody spoke for a time."


@listening
def test_a_word_that_is_heard_as_another_is_not_the_speechs_fault(voice: Voice) -> None:
    speech = quiet(lambda: TTS(Tones()).speak(SENTENCE, voice, verify=Ear("Nobody spoke for a lawn time.")))
    assert speech.checks == (Check(1, (), "Nobody spoke for a lawn time."),)


@listening
def test_figures_are_heard_right_however_they_are_written(voice: Voice) -> None:
    ear = Ear("Flight BA117 departs at 23:05 from gate A9.")
    speech = quiet(lambda: TTS(Tones()).speak("Flight BA117 departs at 23:05 from gate A9.", voice, verify=ear))
    assert speech.checks[0].tries == 1


@listening
def test_each_language_is_listened_to_as_itself_and_a_mixture_is_not(voice: Voice) -> None:
    ear = Ear("Bonjour à tous.")
    with pytest.warns(UserWarning, match="'à' is read as 'a'"):  # which the recogniser's spelling is not held against
        speech = TTS(Tones()).speak([("fr", "Bonjour à tous.")], voice, verify=ear)
    assert not speech.checks[0].faults
    assert (ear.asked, speech.checks[0].heard) == (["fr"], "Bonjour à tous.")
    wave = np.ones(RATE, np.float32)
    mixed = Piece("Bonjour and good morning.", 0.0, (("fr", 8), ("en", 17)))
    assert Reader(ear, "en").read(wave, RATE, mixed, mixed.text) == (None, [])


@listening
def test_nobody_listens_to_silence(voice: Voice) -> None:
    ear = Ear(SENTENCE)
    system = Tuned(lambda n, samples: samples if n == 1 else 0 * samples)
    assert TTS(system).speak(SENTENCE, voice, verify=ear).checks[0].heard == SENTENCE
    assert len(ear.asked) == 1


def test_whisper_is_asked_for_by_its_name(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    tts = TTS(Tones())
    made: list[Ear] = []

    def load() -> Ear:
        made.append(Ear(SENTENCE))
        return made[-1]

    monkeypatch.setattr("vivavoce.synthesis.recogniser", load)
    for _ in range(2):
        assert tts.speak(SENTENCE, voice, verify="asr").checks[0].heard == SENTENCE
    assert len(made) == 1
    with pytest.raises(ValueError, match="verify is 'whisper'; it must be asr"):
        tts.stream(SENTENCE, voice, verify="whisper")


def test_without_the_extra_it_says_in_a_line_what_to_install(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    verify.evaluation._normaliser.cache_clear()
    for name in ("faster_whisper", "jiwer", "whisper_normalizer", "whisper_normalizer.english"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"^verify asr: .*pip install vivavoce\[eval\]$"):
        TTS(Tones()).stream(SENTENCE, voice, verify="asr")
    monkeypatch.undo()


def test_a_whisper_that_is_not_there_is_named(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("jiwer")
    monkeypatch.setenv("VIVAVOCE_ASR", "/no/such/folder")
    with pytest.raises(ValueError, match=r"verify asr: /no/such/folder: neither a folder"):
        TTS(Tones()).speak(SENTENCE, voice, verify="asr")


@listening
def test_the_command_line_says_what_is_not_well_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("vivavoce.generate.load", lambda **_: TTS(Tones()))
    monkeypatch.setattr("vivavoce.synthesis.recogniser", lambda: Ear("Nobody spoke for a time."))
    output = tmp_path / "a.wav"
    assert generate.run(generate.app, [SENTENCE, "-o", str(output), "--retries", "1", "--verify", "asr"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"notice: {SENTENCE!r}, the best of 2 tries, may be faulty: 'long' left out"
    assert output.exists()


def test_speech_says_what_was_found_of_each_piece(voice: Voice) -> None:
    parts = list(TTS(Tones()).stream(LONG, voice))
    assert all(len(part.checks) == len(part.pieces) == 1 for part in parts)
    assert Speech.join(parts).checks == tuple(part.checks[0] for part in parts)
    assert audio.rms_db(parts[0].samples) > -40


# ---- benchmarks/repair.py -------------------------------------------------------------------------------------------


@listening
def test_what_is_gained_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("repair", ROOT / "benchmarks" / "repair.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "repair", module)
    spec.loader.exec_module(module)

    class Deaf(Ear):
        """Hears all right but for every first reading of a text."""

        def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
            if len(self.asked) == 0:
                said = "Dr. Smith paid $3.50 for 2 kilograms of apples."
            else:
                said = "Dr. Smith paid $3.50 for 2 kilograms of apples at 10:30 a.m."
            self.asked.append(language)
            return said

    system = Tuned(lambda n, samples: cut(samples) if n < 2 else samples)
    monkeypatch.setattr(module.vivavoce, "load", lambda *_: TTS(system))
    monkeypatch.setattr(module.verify, "recogniser", lambda: Deaf(""))
    written = tmp_path / "clips.json"
    flags = ["--lists", "hard-30", "--voices", "celeste", "--limit", "1", "--json", str(written)]
    assert module.main(flags) == 0
    once, again, listened = json.loads(written.read_text(encoding="utf-8"))
    assert once["text"].startswith("Doctor Smith paid three dollars")
    assert (once["pieces"], once["words"], once["tries"]) == ([["cut start"]], ["dropped"], 1)
    assert (again["pieces"], again["words"], again["tries"]) == ([[]], [], 2)
    assert listened["tries"] == 1 and listened["errors"][0] == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:4]] == [
        ["hard-30", w] for w in ("once", "retries")
    ]


@pytest.mark.slow
@listening
@pytest.mark.skipif(not os.environ.get("VIVAVOCE_ASR"), reason="VIVAVOCE_ASR names no folder with a Whisper model")
def test_whisper_misses_what_is_not_said() -> None:
    pytest.importorskip("faster_whisper")
    reader = Reader(verify.recogniser(), "en")
    voice = get("celeste")
    assert voice.transcript is not None
    piece = Piece(voice.transcript, 0.0)
    heard, faults = reader.read(voice.samples, voice.sample_rate, piece, piece.text)
    assert heard and not faults
    half = voice.samples[: len(voice.samples) * 2 // 3]
    assert [fault.name for fault in reader.read(half, voice.sample_rate, piece, piece.text)[1]] == ["dropped"]
