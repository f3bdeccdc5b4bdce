"""The command line: bad input ends with one line and exit status 2."""

from __future__ import annotations

import errno
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.command_line import Out, recording, stdin, vivavoce
from helpers.tones import RATE, Tones

from vivavoce.systems.interface import SynthesisResult

pytestmark = pytest.mark.usefixtures("system")


# --- what is wrong ---------------------------------------------------------------------------------------------------
BAD = {
    "an unknown flag": (["Hello.", "--stepz", "4"], "--stepz"),
    "an option of the other engine": (["Hello.", "--top-k", "5"], "top_k is 5, but this model has no such option"),
    "an unknown language": (["Hello.", "--lang", "xx"], "it speaks en"),
    "a flag without its value": (["Hello.", "--voice"], "--voice"),
    "steps that are no number": (["Hello.", "--steps", "many"], "'many' is not a whole number"),
    "a speed that is no number": (["Hello.", "--speed", "fast"], "'fast' is not a number"),
    "no steps": (["Hello.", "--steps", "0"], "steps is 0; it must be from 1 to 256"),
    "no speed": (["Hello.", "--speed", "0"], "speed is 0.0"),
    "speed nan": (["Hello.", "--speed", "nan"], "speed is nan"),
    "a negative seed": (["Hello.", "--seed", "-1"], "seed is -1"),
    "fewer retries than none": (["Hello.", "--retries", "-1"], "retries is -1; it must be between 0 and 100"),
    "an unknown listener": (["Hello.", "--verify", "yes"], "--verify is 'yes'; it must be asr"),
    "a pitch in words": (["Hello.", "--pitch", "high"], "pitch is 'high'; use a form such as +2st"),
    "a pitch out of range": (["Hello.", "--pitch", "+9"], "pitch is 9.0; it must be from -6 to 6 semitones"),
    "a pitch for a model without": (["Hello.", "--pitch", "-2st"], "--pitch is -2, but this model has no prosody"),
    "a range for a model without": (["Hello.", "--range", "1.3"], "--range is 1.3, but this model has no prosody"),
    "a style for a model without": (["Hello.", "--style", "calm"], "--style is 'calm', but this model has no prosody"),
    "speed and pace": (["Hello.", "--speed", "4", "--pace", "2"], "speed is 4 and pace is 2; their product must be"),
    "an unknown style": (["Hello.", "--style", "sad"], "style is 'sad'; it must be one of calm, lively"),
    "an unknown method": (["Hello.", "--method", "heun"], "euler, midpoint or rk4"),
    "an unknown voice": (["Hello.", "--voice", "alice"], "celeste, luna, nash, orion, rhea"),
    "an unknown backend": (["Hello.", "--backend", "jax"], "auto, torch, mlx"),
    "an unknown device": (["Hello.", "--device", "gpu"], "auto, cpu, cuda or mps"),
    "an unknown dtype": (["Hello.", "--dtype", "int4"], "float32, bfloat16"),
    "two texts": (["Hello.", "and", "more"], "and"),
    "text twice": (["--text", "Hello.", "--file", "said.txt"], "--text and by --file"),
    "text as argument and option": (["Hello.", "--text", "Hello."], "the argument and by --text"),
    "an empty text": ([""], "the text is empty"),
    "an empty standard input": ([], "standard input is empty"),
    "a text without a word": (["?!"], "'?!' has nothing in it"),
    "a text that is not Unicode": (["caf\udce9"], "not UTF-8"),
    "no such file": (["--file", "none.txt"], "none.txt: No such file"),
    "a folder as file": (["--file", "."], "Is a directory"),
    "an empty file": (["--file", "empty.txt"], "empty.txt is empty"),
    "no extension": (["Hello.", "-o", "a"], "wav, flac, ogg, opus, mp3"),
    "an unknown extension": (["Hello.", "-o", "a.aac"], ".aac"),
    "a missing folder": (["Hello.", "-o", "no/a.wav"], "the folder no does not exist"),
    "a folder as output": (["Hello.", "-o", "folder.wav"], "this is a folder"),
    "a reference text alone": (["Hello.", "--ref-text", "Hi."], "--ref-audio, which is missing"),
    "an empty reference text": (["Hello.", "--ref-audio", "me.wav", "--ref-text", " "], "--ref-text is empty"),
    "two voices": (["Hello.", "--voice", "nash", "--ref-audio", "me.wav"], "give one of them"),
    "no such recording": (["Hello.", "--ref-audio", "none.wav"], "none.wav: no such file"),
    "a recording that is text": (["Hello.", "--ref-audio", "said.txt"], "said.txt: cannot be read as sound"),
    "a recording too short": (["Hello.", "--ref-audio", "short.wav"], "short.wav: 0.50 s"),
    "a silent recording": (["Hello.", "--ref-audio", "silent.wav"], "silent.wav: silent"),
    "no such saved voice": (["Hello.", "--voice", "none.safetensors"], "none.safetensors: no such file"),
    "voices with a flag": (["voices", "--all"], "--all"),
    "train without a config": (["train", "vocoder", "--data", "a.tar", "--out", "run"], "--config"),
    "export without a folder": (["export"], "DIR"),
}


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_status_2(arguments: list[str], named: str, system: Tones, capsys: Out) -> None:
    Path("said.txt").write_text("Hello.", encoding="utf-8")
    Path("empty.txt").write_text("\n")
    Path("folder.wav").mkdir()
    recording()
    recording("short.wav", 0.5)
    soundfile.write("silent.wav", np.zeros(48_000), 16_000)
    before = sorted(os.listdir())
    assert vivavoce(*arguments) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith("error: ") and named in line
    assert out == "" and system.asked == [] and sorted(os.listdir()) == before


def test_no_text_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    stdin(monkeypatch, b"", terminal=True)
    assert vivavoce("--voice", "nash") == 2
    assert capsys.readouterr().err.startswith("error: no text: give it as the argument")


def test_wav_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert vivavoce("Hello.", "-o", "-") == 2
    assert "terminal" in capsys.readouterr().err


def test_a_model_that_needs_the_transcript_asks_for_ref_text(system: Tones, capsys: Out) -> None:
    system.uses_transcript = True
    assert vivavoce("Hello.", "--ref-audio", recording()) == 2
    assert "--ref-text" in capsys.readouterr().err
    assert vivavoce("Hello.", "--ref-audio", "me.wav", "--ref-text", "Noise.") == 0


def test_an_error_of_load_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no/model: no such folder,\nand no model of that name on the hub")

    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", types.SimpleNamespace(load_system=refuse))
    assert vivavoce("Hello.", "--model", "no/model") == 2
    expected = "error: no/model: no such folder, and no model of that name on the hub"
    assert capsys.readouterr().err.splitlines() == [expected]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    Path("a.wav").write_text("the old one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    assert vivavoce("Hello.", "-o", "a.wav") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "a.wav: No space left on device" in line
    assert os.listdir() == ["a.wav"] and Path("a.wav").read_text() == "the old one"


def test_ctrl_c_is_one_line_and_leaves_no_file(system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(system, "synthesize", interrupt)
    assert vivavoce("Hello.", "-o", "a.wav") == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    assert os.listdir() == []


def test_a_fault_of_ours_asks_for_a_report_and_shows_its_traceback_on_demand(
    system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(system, "synthesize", lambda *_: {}["oops"])
    assert vivavoce("Hello.", "-o", "a.wav") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unexpected KeyError: 'oops'") and "VIVAVOCE_DEBUG=1" in line
    monkeypatch.setenv("VIVAVOCE_DEBUG", "1")
    assert vivavoce("Hello.", "-o", "a.wav") == 1
    assert "Traceback" in capsys.readouterr().err


def test_speech_that_fails_is_one_line_and_status_1(
    system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(system, "synthesize", lambda *_: [SynthesisResult(np.full(RATE, np.nan, np.float32))])
    assert vivavoce("Hello.", "-o", "a.wav") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the model made NaN") and os.listdir() == []
