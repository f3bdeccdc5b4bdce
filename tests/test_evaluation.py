"""evaluation.py and the two benchmarks: what is counted, how it is averaged, what the user is told."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vivavoce import audio, evaluation
from vivavoce.evaluation import OTHERS, Clip, Judge, Opinion, Score, evaluate, summarise, word_errors

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
def test_character_error_rate_counts_letters_and_is_capped() -> None:
    assert word_errors("abcde fghi", "abcde fghx").cer == pytest.approx(1 / 10)
    assert word_errors("no", "a very long story about nothing").cer == 1


# --- judging and averaging -------------------------------------------------------------------------------------------


class Hears:
    """A recogniser that hears what it is told, whatever the sound."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    def transcribe(self, samples: Any, sample_rate: int) -> str:
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
    return Score("k", voice, "t", "h", 1.0, wer, wer / 2, **rest)


def test_every_voice_counts_alike_in_the_mean() -> None:
    table = summarise([score("luna", 0.1), score("luna", 0.3), score("luna", 0.2), score("nash", 1.0)])
    assert [(row.voice, row.clips) for row in table.rows] == [("luna", 3), ("nash", 1)]
    assert table.rows[0].wer == pytest.approx(0.2)
    assert table.mean is not None and table.mean.wer == pytest.approx(0.6) and table.mean.clips == 4
    assert table.mean.cer == pytest.approx(0.3)
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


@words
def test_likeness_names_the_nearest_reference() -> None:
    found = evaluate([clip("luna", first=0.1), clip("nash", first=0.1), clip("guest", first=0.1)], judge("the cat sat"))
    luna, nash, guest = found.scores
    assert (luna.nearest, luna.similarity, luna.right_voice) == ("luna", 1.0, 1.0)
    assert (nash.nearest, nash.similarity, nash.right_voice) == ("luna", 0.0, 0.0)
    assert (guest.nearest, guest.similarity, guest.right_voice) == (None, None, None)
    assert found.mean is not None and found.mean.right_voice == pytest.approx(0.5)


@words
def test_a_silent_clip_is_like_nobody() -> None:
    found = judge("").score(clip("luna", first=0.0))
    assert found.similarity == 0.0 and found.right_voice == 0.0 and found.wer == 1.0


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


# --- benchmarks/quality.py -------------------------------------------------------------------------------------------


class FakeTTS:
    """Speaks two seconds of a constant, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.fails_at: dict[int, BaseException] = {}

    def speak(self, text: str, voice: str, **options: Any) -> SimpleNamespace:
        self.calls.append((text, voice, options))
        if error := self.fails_at.get(len(self.calls)):
            raise error
        return SimpleNamespace(samples=np.full(2 * RATE, 0.1, dtype=np.float32), sample_rate=RATE)


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The benchmark with a fake model, a fake recogniser and two voices."""
    module = script("quality")
    monkeypatch.setattr(module, "tts", FakeTTS(), raising=False)
    voices = [SimpleNamespace(name="luna"), SimpleNamespace(name="nash")]
    monkeypatch.setattr(module, "RECORDINGS", tmp_path / "none")
    monkeypatch.setattr(module, "load_tts", lambda args: module.tts)
    monkeypatch.setattr(module, "load_copy_synthesis", lambda args: lambda samples: samples * 0.5)
    monkeypatch.setattr(module, "load_judge", lambda args: judge("one cat"))
    monkeypatch.setattr(module, "builtin_voices", lambda: voices)
    return module


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_text("one cat\n\none dog\n", encoding="utf-8")
    return path


def shard(path: Path, items: dict[str, dict[str, Any]]) -> Path:
    """A WebDataset shard: KEY.ogg and KEY.json for each item."""
    sound = audio.encode(np.full(RATE, 0.1, dtype=np.float32), RATE, "ogg")
    with tarfile.open(path, "w") as tar:
        for key, about in items.items():
            for extension, data in (("ogg", sound), ("json", json.dumps(about).encode())):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


@words
def test_every_sentence_in_every_voice(quality: ModuleType, sentences: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.json"
    status = quality.main(["--sentences", str(sentences), "--steps", "4", "--seed", "10", "--json", str(out)])
    assert status == 0
    assert [(text, voice, options["seed"]) for text, voice, options in quality.tts.calls] == [
        ("one cat", "luna", 10),
        ("one cat", "nash", 10),
        ("one dog", "luna", 11),
        ("one dog", "nash", 11),
    ]
    assert all(options["steps"] == 4 and "cfg" not in options for _, _, options in quality.tts.calls)
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["complete"] is True
    (table,) = told["tables"]
    assert [(row["voice"], row["wer"]) for row in table["rows"]] == [("luna", 0.25), ("nash", 0.25)]
    assert table["mean"]["right_voice"] == 0.5  # everything sounds like luna
    assert table["scores"][2]["text"] == "one dog" and table["scores"][2]["heard"] == "one cat"
    printed = capsys.readouterr().out
    assert "luna" in printed and "25.0" in printed and "3.00" in printed


@words
def test_an_interrupted_run_keeps_what_was_scored(quality: ModuleType, sentences: Path, tmp_path: Path) -> None:
    quality.tts.fails_at = {4: KeyboardInterrupt()}
    out = tmp_path / "out.json"
    assert quality.main(["--sentences", str(sentences), "--json", str(out)]) == 130
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["complete"] is False
    assert len(told["tables"][0]["scores"]) == 3
    assert "after 3 of 4" in told["tables"][0]["title"]


@words
def test_a_sentence_without_speech_counts_as_all_wrong(quality: ModuleType, sentences: Path, capsys: Any) -> None:
    quality.tts.fails_at = {1: quality.SynthesisError("the model made silence")}
    assert quality.main(["--sentences", str(sentences), "--voices", "luna"]) == 0
    printed = capsys.readouterr().out
    assert "75.0" in printed  # 1 and 0.5
    assert "the model made silence" in printed


@words
def test_kept_speech_is_scored_alike_when_read_again(
    quality: ModuleType, sentences: Path, tmp_path: Path, capsys: Any
) -> None:
    kept = tmp_path / "kept"
    assert quality.main(["--sentences", str(sentences), "--keep", str(kept)]) == 0
    assert (kept / "spoken" / "nash" / "0002.txt").read_text(encoding="utf-8") == "one dog\n"
    again = tmp_path / "again.json"
    assert quality.main(["--wavs", str(kept / "spoken"), "--json", str(again)]) == 0
    (table,) = json.loads(again.read_text(encoding="utf-8"))["tables"]
    assert [(row["voice"], row["clips"], row["wer"]) for row in table["rows"]] == [("luna", 2, 0.25), ("nash", 2, 0.25)]


@words
def test_recordings_beside_the_vocoder_alone(quality: ModuleType, tmp_path: Path, capsys: Any) -> None:
    path = shard(
        tmp_path / "valid.tar",
        {"x/1.5": {"text": "one cat", "speaker": "luna"}, "x/2": {"text": "one dog", "speaker": "blend-7"}},
    )
    out = tmp_path / "out.json"
    assert quality.main(["--recordings", str(path), "--copy-synthesis", "--json", str(out)]) == 0
    recorded, copied = json.loads(out.read_text(encoding="utf-8"))["tables"]
    for table in (recorded, copied):
        assert [(row["voice"], row["wer"]) for row in table["rows"]] == [("luna", 0.0), (OTHERS, 0.5)]
        assert table["mean"]["wer"] == 0.0 and table["all_clips"]["wer"] == 0.25
    assert "WER +0.00 points" in capsys.readouterr().out


@words
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sentences", "{tmp}/absent.txt"], "absent.txt: cannot be read"),
        (["--sentences", "{tmp}/list.txt", "--voices", "lune"], "'lune' is no voice; there are luna, nash"),
        (["--recordings", "{tmp}/list.txt"], "list.txt: cannot be read as a tar file"),
        (["--recordings", "{tmp}/mute.tar"], "mute.tar: 1 has no 1.json with `text`"),
        (["--wavs", "{tmp}/absent"], "absent: no such folder"),
        (["--wavs", "{tmp}"], "no sounds in it"),
        (["--sentences", "{tmp}/list.txt", "--json", "{tmp}/absent/out.json"], "out.json: cannot be written"),
    ],
)
def test_bad_input_gets_one_line(
    quality: ModuleType, sentences: Path, tmp_path: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    shard(tmp_path / "mute.tar", {"1": {"speaker": "luna"}})
    assert quality.main([argument.replace("{tmp}", str(tmp_path)) for argument in arguments]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1 and message in errors[0]


def test_nothing_to_score_is_a_usage_error(quality: ModuleType, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        quality.main([])
    assert "--sentences" in capsys.readouterr().err


# --- benchmarks/speed.py ---------------------------------------------------------------------------------------------


def test_passes_count_steps_order_and_guidance() -> None:
    speed = script("speed")
    assert speed.Schedule("euler", 8, 0.0).passes == 8
    assert speed.Schedule("euler", 8, 2.0).passes == 16
    assert speed.Schedule("midpoint", 8, 0.0).passes == 16
    assert speed.Schedule("rk4", 7, 2.0).passes == 56  # nanospeech's published default


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
            return iter([SimpleNamespace(duration=1.0)])

    monkeypatch.setattr(vivavoce, "load", lambda *args, **kwargs: Fake())
    out = tmp_path / "speed.json"
    assert speed.main(["--texts", "short", "--runs", "1", "--json", str(out)]) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["machine"]["threads"] >= 1 and told["machine"]["torch"]
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
def test_scripts_start_without_the_extra() -> None:
    for name in ("quality", "speed"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and "--json" in done.stdout, done.stderr
