"""What happens to a faulty piece: faults of its sound, and differences between its transcript and its text."""

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
from helpers.tones import LONG, RATE, Tones

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.cli import speak
from vivavoce.metrics import words
from vivavoce.synthesis import verify
from vivavoce.synthesis.checks import Check
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.tts import TTS
from vivavoce.synthesis.verify import TranscriptChecker
from vivavoce.systems.interface import SynthesisError, SynthesisRequest, SynthesisResult
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice, get

ROOT = Path(__file__).parents[2]
SENTENCE = "Nobody spoke for a long time."


class Tuned(Tones):
    """Tones that are damaged on purpose: `spoil(n, samples)` returns the n-th result as it is submitted, n from 0."""

    def __init__(self, spoil: Callable[[int, Samples], Samples]) -> None:
        super().__init__()
        self.spoil = spoil

    def synthesize(
        self, jobs: list[SynthesisRequest], progress: Callable[[float], None] | None = None
    ) -> list[SynthesisResult]:
        first = len(self.asked)
        made = super().synthesize(jobs, progress)
        return [dataclasses.replace(m, samples=self.spoil(first + i, m.samples)) for i, m in enumerate(made)]


def cut(samples: Samples) -> Samples:
    return samples[len(samples) // 5 :]


def holed(samples: Samples) -> Samples:
    middle = len(samples) // 2
    return np.concatenate((samples[: middle - RATE // 2], np.zeros(RATE, np.float32), samples[middle + RATE // 2 :]))


class FakeRecognizer:
    """A recogniser that returns the given transcripts one after another, and repeats the last."""

    def __init__(self, *heard: str) -> None:
        self.heard = list(heard)
        self.asked: list[str | None] = []

    def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
        assert sample_rate == RATE and len(np.asarray(samples))
        self.asked.append(language)
        return self.heard.pop(0) if len(self.heard) > 1 else self.heard[0]


def quiet(speak: Callable[[], Speech]) -> Speech:
    """Speak without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return speak()


# ---- by its sound -------------------------------------------------------------------------------------------------


def test_good_speech_needs_one_attempt_and_gives_no_warning(voice: Voice) -> None:
    tts = TTS(Tones())
    speech = quiet(lambda: tts.speak(LONG, voice, seed=4))
    assert speech.checks == (Check(1),) * len(speech.pieces)
    assert len(tts.system.asked) == len(speech.pieces)  # type: ignore[attr-defined]


def test_a_successful_retry_gives_no_warning(voice: Voice) -> None:
    system = Tuned(lambda n, samples: cut(samples) if n == 1 else samples)
    speech = quiet(lambda: TTS(system).speak(LONG, voice, seed=4))
    assert [check.tries for check in speech.checks] == [1, 2] + [1] * (len(speech.pieces) - 2)
    assert not any(check.faults for check in speech.checks)
    assert system.asked[1].piece == system.asked[2].piece and system.asked[1].seed != system.asked[2].seed


def test_the_best_attempt_is_kept_and_the_warning_names_its_fault(voice: Voice) -> None:
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


def test_the_same_seed_gives_the_same_retries(voice: Voice) -> None:
    def spoil(n: int, samples: Samples) -> Samples:  # by the samples, as a real model would, not by the number
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
def test_the_number_of_retries_is_limited(retries: int, voice: Voice) -> None:
    system = Tuned(lambda n, samples: cut(samples))
    with pytest.warns(UserWarning, match="cut off at the start"):
        speech = TTS(system).speak(SENTENCE, voice, retries=retries)
    assert len(system.asked) == speech.checks[0].tries == retries + 1


def test_the_next_piece_continues_from_the_attempt_that_was_kept(voice: Voice) -> None:
    system = Tuned(lambda n, samples: cut(samples) if n == 0 else samples)
    synthesize = system.synthesize
    system.synthesize = lambda jobs, progress=None: [  # type: ignore[method-assign]
        dataclasses.replace(made, memory=job.seed) for job, made in zip(jobs, synthesize(jobs, progress), strict=True)
    ]
    TTS(system).speak(LONG, voice)
    assert system.asked[2].memory == system.asked[1].seed


def test_a_fault_that_the_engine_reports_counts(voice: Voice) -> None:
    system = Tones()
    synthesize = system.synthesize

    def telling(jobs: list[SynthesisRequest], progress: object = None) -> list[SynthesisResult]:
        fault = "" if len(system.asked) else "speech without an end"
        return [dataclasses.replace(made, fault=fault) for made in synthesize(jobs)]

    system.synthesize = telling  # type: ignore[method-assign]
    speech = quiet(lambda: TTS(system).speak(SENTENCE, voice))
    assert speech.checks[0].tries == 2
    system.asked.clear()
    with pytest.warns(UserWarning, match="speech without an end"):
        TTS(system).speak(SENTENCE, voice, retries=0)


def test_silence_is_retried(voice: Voice) -> None:
    system = Tuned(lambda n, samples: samples if n == 1 else 0 * samples)
    assert TTS(system).speak(SENTENCE, voice).checks[0].tries == 2
    with pytest.raises(SynthesisError, match="the model made silence for 'Nobody spoke"):
        TTS(Tuned(lambda n, samples: 0 * samples)).speak(SENTENCE, voice)


# ---- by the transcript ---------------------------------------------------------------------------------------------

transcribes = pytest.mark.skipif(importlib.util.find_spec("jiwer") is None, reason="needs the extra eval")


@transcribes
def test_a_missing_word_is_retried(voice: Voice) -> None:
    recognizer = FakeRecognizer("Nobody spoke for a time.", "Nobody spoke, for a long time!")
    speech = quiet(lambda: TTS(Tones()).speak(SENTENCE, voice, verify=recognizer))
    assert speech.checks == (Check(2, (), "Nobody spoke, for a long time!"),)


@transcribes
@pytest.mark.parametrize(
    ("transcript", "name", "message"),
    [
        ("Nobody spoke for a time.", "dropped", "'long' left out"),
        ("Nobody spoke for a long long time.", "repeated", "'long' said again"),
        ("Oh buddy sport for lawn dime.", "misheard", "heard as 'Oh buddy sport"),
        ("", "misheard", "nothing is heard"),
    ],
)
def test_words_that_stay_wrong_are_reported(transcript: str, name: str, message: str, voice: Voice) -> None:
    with pytest.warns(UserWarning, match=f"best of 2 tries, may be faulty: .*{message}"):
        speech = TTS(Tones()).speak(SENTENCE, voice, verify=FakeRecognizer(transcript), retries=1)
    assert [fault.name for fault in speech.checks[0].faults] == [name]
    assert speech.checks[0].heard == transcript


@transcribes
def test_the_attempt_with_the_fewest_wrong_words_is_kept(voice: Voice) -> None:
    recognizer = FakeRecognizer("Nobody for a time.", "Nobody spoke for a time.", "Nobody for a time.")
    with pytest.warns(UserWarning, match="'long' left out"):
        speech = TTS(Tones()).speak(SENTENCE, voice, verify=recognizer)
    assert speech.checks[0].heard == "Nobody spoke for a time."


@transcribes
def test_a_substituted_word_is_not_a_fault(voice: Voice) -> None:
    speech = quiet(lambda: TTS(Tones()).speak(SENTENCE, voice, verify=FakeRecognizer("Nobody spoke for a lawn time.")))
    assert speech.checks == (Check(1, (), "Nobody spoke for a lawn time."),)


@transcribes
def test_the_spelling_of_numbers_is_not_a_fault(voice: Voice) -> None:
    recognizer = FakeRecognizer("Flight BA117 departs at 23:05 from gate A9.")
    speech = quiet(lambda: TTS(Tones()).speak("Flight BA117 departs at 23:05 from gate A9.", voice, verify=recognizer))
    assert speech.checks[0].tries == 1


@transcribes
def test_each_language_is_transcribed_as_itself_and_a_mixture_is_not(voice: Voice) -> None:
    recognizer = FakeRecognizer("Bonjour à tous.")
    with pytest.warns(UserWarning, match="'à' is read as 'a'"):  # the transcript may keep the accent
        speech = TTS(Tones()).speak([("fr", "Bonjour à tous.")], voice, verify=recognizer)
    assert not speech.checks[0].faults
    assert (recognizer.asked, speech.checks[0].heard) == (["fr"], "Bonjour à tous.")
    wave = np.ones(RATE, np.float32)
    mixed = Piece("Bonjour and good morning.", 0.0, (("fr", 8), ("en", 17)))
    assert TranscriptChecker(recognizer, "en").check(wave, RATE, mixed, mixed.text) == (None, [])


@transcribes
def test_silence_is_not_transcribed(voice: Voice) -> None:
    recognizer = FakeRecognizer(SENTENCE)
    system = Tuned(lambda n, samples: samples if n == 1 else 0 * samples)
    assert TTS(system).speak(SENTENCE, voice, verify=recognizer).checks[0].heard == SENTENCE
    assert len(recognizer.asked) == 1


def test_whisper_is_chosen_by_name_and_loaded_once(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    tts = TTS(Tones())
    made: list[FakeRecognizer] = []

    def load() -> FakeRecognizer:
        made.append(FakeRecognizer(SENTENCE))
        return made[-1]

    monkeypatch.setattr("vivavoce.synthesis.tts.load_recognizer", load)
    for _ in range(2):
        assert tts.speak(SENTENCE, voice, verify="asr").checks[0].heard == SENTENCE
    assert len(made) == 1
    with pytest.raises(ValueError, match="verify is 'whisper'; it must be asr"):
        tts.stream(SENTENCE, voice, verify="whisper")


def test_a_missing_extra_names_what_to_install(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    words._normaliser.cache_clear()
    for name in ("faster_whisper", "jiwer", "whisper_normalizer", "whisper_normalizer.english"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"^verify asr: .*pip install vivavoce\[eval\]$"):
        TTS(Tones()).stream(SENTENCE, voice, verify="asr")
    monkeypatch.undo()


def test_a_missing_whisper_model_is_named(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("jiwer")
    monkeypatch.setenv("VIVAVOCE_ASR", "/no/such/folder")
    with pytest.raises(ValueError, match=r"verify asr: /no/such/folder: neither a folder"):
        TTS(Tones()).speak(SENTENCE, voice, verify="asr")


@transcribes
def test_the_command_line_reports_faulty_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("vivavoce.cli.speak.load", lambda **_: TTS(Tones()))
    monkeypatch.setattr("vivavoce.synthesis.tts.load_recognizer", lambda: FakeRecognizer("Nobody spoke for a time."))
    output = tmp_path / "a.wav"
    assert speak.run(speak.app, [SENTENCE, "-o", str(output), "--retries", "1", "--verify", "asr"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"notice: {SENTENCE!r}, the best of 2 tries, may be faulty: 'long' left out"
    assert output.exists()


def test_speech_carries_the_check_of_each_piece(voice: Voice) -> None:
    parts = list(TTS(Tones()).stream(LONG, voice))
    assert all(len(part.checks) == len(part.pieces) == 1 for part in parts)
    assert Speech.join(parts).checks == tuple(part.checks[0] for part in parts)
    assert audio.rms_db(parts[0].samples) > -40


# ---- benchmarks/repair.py -------------------------------------------------------------------------------------------


@transcribes
def test_the_benchmark_compares_the_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("repair", ROOT / "benchmarks" / "repair.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "repair", module)
    spec.loader.exec_module(module)

    class Deaf(FakeRecognizer):
        """Misses the end of every first reading of a text."""

        def transcribe(self, samples: npt.ArrayLike, sample_rate: int, language: str | None = None) -> str:
            if len(self.asked) == 0:
                said = "Dr. Smith paid $3.50 for 2 kilograms of apples."
            else:
                said = "Dr. Smith paid $3.50 for 2 kilograms of apples at 10:30 a.m."
            self.asked.append(language)
            return said

    system = Tuned(lambda n, samples: cut(samples) if n < 2 else samples)
    monkeypatch.setattr(module.vivavoce, "load", lambda *_: TTS(system))
    monkeypatch.setattr(module.verify, "load_recognizer", lambda: Deaf(""))
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
@transcribes
@pytest.mark.skipif(not os.environ.get("VIVAVOCE_ASR"), reason="VIVAVOCE_ASR names no folder with a Whisper model")
def test_whisper_misses_words_that_are_cut_off() -> None:
    pytest.importorskip("faster_whisper")
    checker = TranscriptChecker(verify.load_recognizer(), "en")
    voice = get("celeste")
    assert voice.transcript is not None
    piece = Piece(voice.transcript, 0.0)
    heard, faults = checker.check(voice.samples, voice.sample_rate, piece, piece.text)
    assert heard and not faults
    half = voice.samples[: len(voice.samples) * 2 // 3]
    assert [fault.name for fault in checker.check(half, voice.sample_rate, piece, piece.text)[1]] == ["dropped"]
