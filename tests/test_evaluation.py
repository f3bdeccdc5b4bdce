"""evaluation.py and benchmarks/speed.py: what is counted, how it is averaged, what the user is told."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from vivavoce import evaluation
from vivavoce.evaluation import OTHERS, Clip, Judge, Opinion, Score, pace, spoken_letters, summarise, word_errors

ROOT = Path(__file__).parent.parent
RATE = 24_000


def has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


words = pytest.mark.skipif(
    not has("jiwer", "whisper_normalizer"), reason="jiwer or whisper-normalizer is missing: pip install vivavoce[eval]"
)


def script(name: str) -> ModuleType:
    """A file of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# --- words -----------------------------------------------------------------------------------------------------------


@words
@pytest.mark.parametrize(
    ("said", "heard", "wer"),
    [
        ("The cat sat on the mat.", "the cat sat on the mat", 0),
        ("There are fifteen kilometers of road.", "There are 15 kilometres of road", 0),
        ("Doctor Smith can't come.", "Dr. Smith can not come!", 0),
        ("one dog two cats", "one dog two hats", 0.25),  # normalised "1 dog 2 cats"
        ("Flight B A one seventeen leaves.", "Flight BA117 leaves.", 0),  # however the recogniser writes it
        ("On December thirtieth, King Henry the Eighth died.", "On December 30, King Henry VIII died.", 0),
        ("Flight B A one seventeen leaves.", "Flight BA118 leaves.", 1 / 6),
        ("She scored seven six, six four in two hours.", "She scored 7-6, 6-4 in 2 hours.", 0),
        ("She scored seven six, six four in two hours.", "She scored 7-6, 6-5 in 2 hours.", 1 / 9),
        ("It is too big for e-mail.", "it is too big for email", 0),  # the same but for the spaces
        ("It raises a ValueError here.", "It raises a value error here.", 0),
        ("One (as of twenty twenty).", "One, as of 2020.", 0),
        ("the cat sat", "the cat", 1 / 3),
        ("the cat sat", "the big cat sat", 1 / 3),
        ("the cat sat", "", 1),
        ("yes", "yes yes yes yes yes", 1),  # 4 insertions for 1 word: capped
        ("Hmm.", "", 0),  # the normaliser drops hesitations: nothing was to be heard
        ("Hmm.", "nonsense", 1),
    ],
)
def test_word_error_rate(said: str, heard: str, wer: float) -> None:
    assert word_errors(said, heard).wer == pytest.approx(wer)


@words
def test_words_of_another_language() -> None:
    assert word_errors("Tengo tres gatos en Perú.", "tengo 3 gatos en Perú", "es").wer == 0
    assert word_errors("Tengo tres gatos en Perú.", "Tengo 4 gatos en Perú.", "es").wer == pytest.approx(1 / 5)
    assert word_errors("¿Está aquí el señor?", "esta aquí el señor", "es").wer == pytest.approx(1 / 4), "accents count"
    assert word_errors("Es kostet 3 Mark.", "es kostet drei mark", "de").wer == pytest.approx(1 / 4)  # not spelled here
    assert spoken_letters("Son 21.", "es") == len("Sonveintiuno") and spoken_letters("Es sind 21.", "de") == 8


@words
def test_character_error_rate_counts_letters_and_is_capped() -> None:
    assert word_errors("abcde fghi", "abcde fghx").cer == pytest.approx(1 / 10)
    assert word_errors("no", "a very long story about nothing").cer == 1


@words
@pytest.mark.parametrize(
    ("said", "heard", "skipped", "repeated"),
    [
        ("the cat sat on the mat", "the cat sat on the mat", 0, 0),
        ("the cat sat on the mat", "the cat on the mat", 1, 0),
        ("the cat sat on the mat", "the cat sat", 3, 0),  # a phrase is missing
        ("the cat sat on the mat", "", 6, 0),
        ("the cat sat on the mat", "the the cat sat on the mat", 0, 1),
        ("the cat sat on the mat", "the the the cat sat on the mat", 0, 2),
        ("the cat sat on the mat", "the cat sat on the mat on the mat", 0, 3),
        ("the cat sat on the mat", "the cat sat the cat sat on the mat", 0, 3),
        ("the cat sat on the mat", "the cat the cat the cat sat on the mat", 0, 4),
        ("the cat sat on the mat", "the cat sat on the big mat", 0, 0),  # another word is no repetition
        ("the cat sat on the mat", "the cat sat on the mat sat", 0, 0),  # nor is one that was said before, elsewhere
        ("the cat sat on the mat", "the hat sat on the mat", 0, 0),  # a substitution is neither
        ("they see the sea", "they sea the see", 0, 0),
        ("the cat sat on the mat", "the the sat on the mat", 0, 0),  # heard in the place of "cat"
        ("no no my dear", "no no my dear", 0, 0),
        ("no no my dear", "no my dear", 1, 0),
        ("no no my dear", "no no no my dear", 0, 1),
        ("we go every day", "we go everyday", 0, 0),  # the same letters
        ("we go everyday", "we go every day", 0, 0),
        ("a b c d", "a a c d", 0, 0),
        ("the cat sat on the mat", "the the cat on the mat", 1, 1),
        ("red green blue", "red green blue " * 9, 0, 3),  # 24 too many for 3: capped
        ("Hmm.", "nonsense nonsense", 0, 0),
    ],
)
def test_skipped_and_repeated_words(said: str, heard: str, skipped: int, repeated: int) -> None:
    found = word_errors(said, heard)
    count = max(1, len(said.split()))
    assert found.skipped * count == pytest.approx(skipped)
    assert found.repeated * count == pytest.approx(repeated)


# --- pace ------------------------------------------------------------------------------------------------------------


def test_pace_counts_what_is_said_from_the_first_sound_to_the_last() -> None:
    assert spoken_letters("I paid $3.") == len("Ipaidthreedollars")
    quiet, sound = np.zeros(RATE, np.float32), np.full(RATE, 0.3, np.float32)
    assert pace(10, np.concatenate([quiet, sound, quiet, sound, quiet]), RATE) == pytest.approx(10 / 3)
    assert pace(10, quiet, RATE) is None and pace(0, sound, RATE) is None


# --- judging and averaging -------------------------------------------------------------------------------------------


class Hears:
    """A recogniser that hears what it is told, whatever the sound."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def transcribe(self, samples: Any, sample_rate: int, language: str) -> str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Embeds:
    """A voice is its first sample: 0.1 for the first voice, 0.2 for the second, …"""

    def embed(self, samples: Any, sample_rate: int) -> np.ndarray:
        vector = np.zeros(8, dtype=np.float32)
        vector[round(float(samples[0]) * 10)] = float(np.any(samples))
        return vector


class Rates:
    def score(self, samples: Any, sample_rate: int) -> Opinion:
        return Opinion(3.0, 3.5, 4.0)


def clip(voice: str, text: str = "the cat sat", first: float = 0.1, key: str = "a") -> Clip:
    return Clip(key, voice, text, np.full(RATE, first, dtype=np.float32), RATE)


def judge(*answers: str) -> Judge:
    made = Judge(Hears(*answers), Embeds(), Rates())
    made.add_reference("luna", np.full(9, 0.1), RATE)
    made.add_reference("nash", np.full(9, 0.2), RATE)
    return made


def score(voice: str, wer: float, **rest: Any) -> Score:
    return Score("k", voice, "t", "h", 1.0, wer, wer / 2, wer / 4, wer / 8, **rest)


def test_every_voice_counts_alike_in_the_mean() -> None:
    table = summarise([score("luna", 0.1), score("luna", 0.3), score("luna", 0.2), score("nash", 1.0)])
    assert [(row.voice, row.clips) for row in table.rows] == [("luna", 3), ("nash", 1)]
    assert table.rows[0].wer == pytest.approx(0.2)
    assert table.mean is not None and table.mean.wer == pytest.approx(0.6) and table.mean.clips == 4
    assert table.mean.cer == pytest.approx(0.3)
    assert table.mean.skipped == pytest.approx(0.15) and table.mean.repeated == pytest.approx(0.075)
    assert table.all_clips is not None and table.all_clips.wer == pytest.approx(0.4)


def test_gathered_speakers_are_no_voice_in_the_mean() -> None:
    table = summarise([score("luna", 0.2), score(OTHERS, 1.0)])
    assert table.mean is not None and table.mean.wer == pytest.approx(0.2)
    assert table.all_clips is not None and table.all_clips.wer == pytest.approx(0.6)
    only = summarise([score(OTHERS, 1.0)])
    assert only.mean is not None and only.mean.wer == 1.0


def test_what_was_not_judged_is_left_out_not_counted_as_zero() -> None:
    table = summarise([score("luna", 0.0, ovrl=3.0), score("luna", 0.0), score("nash", 0.0)])
    assert table.rows[0].ovrl == pytest.approx(3.0)
    assert table.rows[1].ovrl is None
    assert table.mean is not None and table.mean.ovrl == pytest.approx(3.0)


def test_no_clips_make_an_empty_table() -> None:
    table = summarise([])
    assert table.rows == () and table.mean is None
    assert table.rich().row_count == 0
    assert table.plain().splitlines()[1:] == ["  ".join(evaluation.HEAD)]


def test_tables_show_every_digit_at_80_columns_and_plain() -> None:
    table = summarise([score("[luna]", 1.0, similarity=0.875, rate=1.25), score("somebody with a long name", 0.5)], "T")
    out = io.StringIO()
    Console(file=out, width=80).print(table.rich())
    for text in (out.getvalue(), table.plain()):
        lines = [line.split() for line in text.splitlines()]
        assert ["[luna]", "1", "100.0", "50.0", "25.0", "12.5", "0.875", "–", "–", "1.25"] in lines
        assert any(line[-9:] == ["2", "75.0", "37.5", "18.8", "9.4", "0.875", "–", "–", "1.25"] for line in lines)


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
    made = Judge(Hears("the cat sat"), Embeds())
    made.add_reference("luna", np.full(2 * RATE, 0.1), RATE, "The cat sat on a mat.")  # 15 letters in 2 s
    made.add_reference("nash", np.full(RATE, 0.2), RATE)
    assert made.score(clip("luna")).rate == pytest.approx(9 / 7.5)
    assert made.score(clip("nash")).rate is None  # nobody knows what the reference says
    assert made.score(clip("guest")).rate is None


@pytest.mark.parametrize(("samples", "what"), [([], "missing"), ([0.1, float("nan")], "not all finite")])
def test_a_broken_clip_is_named(samples: list[float], what: str) -> None:
    broken = Clip("0007", "luna", "hello", np.array(samples, dtype=np.float32), RATE)
    with pytest.raises(ValueError, match=f"clip 0007 of luna: samples are {what}"):
        judge("hello").score(broken)


def test_a_missing_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "jiwer", None)
    for build in (evaluation.Recogniser, evaluation.Dnsmos, lambda: word_errors("a", "a")):
        with pytest.raises(ValueError, match=r"pip install vivavoce\[eval\]") as caught:
            build()
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not has("faster_whisper"), reason="faster-whisper is missing: pip install vivavoce[eval]")
def test_an_unknown_recogniser_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bass: neither a folder .* base"):
        evaluation.Recogniser("bass")
    with pytest.raises(ValueError, match=f"{tmp_path.name}: Whisper cannot be loaded"):
        evaluation.Recogniser(tmp_path)


# --- benchmarks/speed.py ---------------------------------------------------------------------------------------------


def test_passes_count_steps_order_and_guidance() -> None:
    speed = script("speed")
    assert speed.Schedule("euler", 8, 0.0).passes == 8
    assert speed.Schedule("euler", 8, 2.0).passes == 16
    assert speed.Schedule("midpoint", 8, 0.0).passes == 16
    assert speed.Schedule("rk4", 7, 2.0).passes == 56  # nanospeech's published default


def test_passes_are_those_of_the_bundled_weights_or_of_random_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speed = script("speed")
    monkeypatch.setattr(speed.checkpoints, "ASSETS", tmp_path)
    without = speed.arguments(["--passes"])
    assert without.random_weights and all(path.is_file() for path in without.random_weights)
    assert speed.arguments(["--passes", "--model", "mine"]).random_weights is None
    (tmp_path / "whisperspeech").mkdir()
    there = speed.arguments(["--passes"])
    assert there.model == "whisperspeech" and there.random_weights is None
    assert speed.arguments([]).model == "bundled"


def test_speed_prints_each_schedule_and_marks_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    import vivavoce
    from vivavoce.config import SamplingConfig

    speed = script("speed")
    asked = []

    class Fake:
        system = SimpleNamespace(sampling=SamplingConfig(steps=12, method="euler", cfg=1.5))

        def speak(self, text: str, **options: Any) -> SimpleNamespace:
            asked.append(options)
            return SimpleNamespace(duration=2.0)

        def stream(self, text: str, **options: Any) -> Any:
            yield SimpleNamespace(duration=1.0)

    monkeypatch.setattr(vivavoce, "load", lambda *args, **kwargs: Fake())
    out = tmp_path / "speed.json"
    assert speed.main(["--texts", "short", "--runs", "1", "--json", str(out)]) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["machine"]["threads"] >= 1 and told["machine"]["version"]
    assert [row["passes"] for row in told["timings"] if row["default"]] == [24]
    assert [row["passes"] for row in told["timings"]] == sorted(row["passes"] for row in told["timings"])
    assert {(o["method"], o["steps"], o["cfg"]) for o in asked} >= {("euler", 12, 1.5), ("rk4", 7, 0.0)}
    printed = capsys.readouterr().out
    assert "*24" in printed and "faster than real time" in printed


# --- with models -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not has("speechmos", "onnxruntime"), reason="speechmos is missing: pip install vivavoce[eval]")
def test_dnsmos_hears_noise() -> None:
    from vivavoce.voices import voices

    judge = evaluation.Dnsmos()
    clean = voices()[0].samples
    noise = np.random.default_rng(0).normal(size=len(clean)).astype(np.float32) * 0.05
    good, bad = judge.score(clean, RATE), judge.score(clean + noise, RATE)
    assert 3.0 < good.ovrl < 4.5 and bad.bak < good.bak - 0.5 and bad.ovrl < good.ovrl - 0.5


@pytest.mark.slow
@pytest.mark.skipif(not has("faster_whisper"), reason="faster-whisper is missing: pip install vivavoce[eval]")
@pytest.mark.skipif(not os.environ.get("VIVAVOCE_ASR"), reason="VIVAVOCE_ASR names no folder with a Whisper model")
@words
def test_whisper_understands_the_voices() -> None:
    from vivavoce.voices import voices

    recogniser = evaluation.Recogniser(os.environ["VIVAVOCE_ASR"], threads=1)
    voice = voices()[0]
    assert voice.transcript is not None
    assert word_errors(voice.transcript, recogniser.transcribe(voice.samples, voice.sample_rate)).wer < 0.15


@pytest.mark.slow
def test_the_speed_benchmark_starts_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "--json" in done.stdout, done.stderr
