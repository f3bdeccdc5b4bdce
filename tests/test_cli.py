"""The command line, over the stand-in for a model of test_synthesis.py."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_synthesis import LONG, RATE, Tones

from vivavoce import audio, cli, generate
from vivavoce.config import SpeakOptions
from vivavoce.pieces import Made

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tones:
    """A model that loads at once, no sound, no terminal, nothing on standard input, an empty folder to work in."""
    tones = Tones()
    monkeypatch.setitem(sys.modules, "vivavoce.checkpoints", types.SimpleNamespace(load_system=lambda *_: tones))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.chdir(tmp_path)
    stdin(monkeypatch, b"")
    return tones


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, terminal: bool = False) -> None:
    stream = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", stream)


def vivavoce(*arguments: str) -> int:
    return generate.run(cli.app, arguments)


def recording(name: str = "me.wav", seconds: float = 3.0) -> str:
    rng = np.random.default_rng(0)
    soundfile.write(name, 0.1 * rng.standard_normal((round(seconds * 16_000), 2)), 16_000)
    return name


# --- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["Hello there.", "-o", "a.wav"],
        ["speak", "Hello there.", "--output", "a.wav"],
        ["--text", "Hello there.", "-o", "a.wav"],
        ["-o", "a.wav", "Hello there."],
        ["--file", "said.txt", "-o", "a.wav"],
        ["-o", "a.wav"],
        ["-o", "a.wav", "--file", "-"],
    ],
)
def test_text_from_everywhere(
    arguments: list[str], system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    Path("said.txt").write_text("Hello there.", encoding="utf-8")
    stdin(monkeypatch, "Hello there.\n".encode("utf-8-sig"))
    assert vivavoce(*arguments) == 0
    assert system.asked[0].piece.text == "Hello there."
    samples, rate = soundfile.read("a.wav")
    assert rate == RATE and np.abs(samples).max() > 0.01
    out, err = capsys.readouterr()
    assert "s of speech in" in out and "real-time factor" in out and "a.wav" in out
    assert err == ""


def test_generate_takes_the_same_flags(system: Tones) -> None:
    assert generate.run(generate.app, ["--text", "Hello there.", "-o", "a.wav", "--seed", "3", "--voice", "luna"]) == 0
    assert vivavoce("Hello there.", "-o", "b.wav", "--seed", "3", "--voice", "luna") == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert system.asked[0].voice.name == "luna"


def test_a_text_that_is_a_commands_name_needs_speak(system: Tones) -> None:
    assert vivavoce("speak", "voices", "-o", "a.wav") == 0
    assert system.asked[0].piece.text == "voices"


def test_a_text_that_starts_with_a_dash(system: Tones) -> None:
    assert vivavoce("-o", "a.wav", "--", "-five degrees") == 0
    assert "five degrees" in system.asked[0].piece.text


@pytest.mark.parametrize("extension", list(audio.FORMATS))
def test_output_in_every_format(extension: str) -> None:
    assert vivavoce("Hello there.", "-o", f"a.{extension.upper()}") == 0
    assert soundfile.info(f"a.{extension.upper()}").duration > 0.3


def test_options_reach_the_model(system: Tones) -> None:
    flags = "--steps 5 --method euler --cfg 0 --sway-coef -0.25 --temperature 0.5 --speed 1.5 --seed 9"
    assert vivavoce("Hello there.", "-o", "a.wav", *flags.split()) == 0
    expected = SpeakOptions("celeste", 5, "euler", 0.0, -0.25, temperature=0.5, speed=1.5, seed=9)
    assert system.asked[0].options == expected


def test_settings_of_the_model_reach_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    fake = types.SimpleNamespace(load_system=lambda *arguments: asked.append(arguments) or Tones())
    monkeypatch.setitem(sys.modules, "vivavoce.checkpoints", fake)
    flags = "--model here --backend mlx --device cpu --dtype float16 --compile --vocoder there --bits 8"
    assert vivavoce("Hello there.", "-o", "a.wav", *flags.split()) == 0
    assert vivavoce("Hello there.", "-o", "a.wav") == 0
    assert asked == [
        ("here", "mlx", "cpu", "float16", True, "there", 8),
        ("bundled", "auto", "auto", "float32", False, None, None),
    ]


def test_a_reference_recording_is_the_voice(system: Tones) -> None:
    assert vivavoce("Hello.", "-o", "a.wav", "--ref-audio", recording(), "--ref-text", "Noise.") == 0
    voice = system.asked[0].voice
    assert (voice.name, voice.transcript) == ("me", "Noise.")


def test_a_long_reference_gets_a_notice(system: Tones, capsys: Out) -> None:
    assert vivavoce("Hello.", "-o", "a.wav", "--ref-audio", recording(seconds=20)) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("notice: ") and "me.wav" in line


def test_without_output_or_sound_it_writes_speech_wav_and_says_so(capsys: Out) -> None:
    assert vivavoce("Hello there.") == 0
    assert "speech.wav" in capsys.readouterr().out
    assert soundfile.info("speech.wav").duration > 0.3


def test_dash_puts_wav_and_nothing_else_on_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert vivavoce("Hello there.", "-o", "-", "--seed", "1") == 0
    out, err = capfdbinary.readouterr()
    assert vivavoce("Hello there.", "-o", "a.wav", "--seed", "1") == 0
    assert out == Path("a.wav").read_bytes()
    assert b"real-time factor" in err and len(err.splitlines()) == 1


def test_the_progress_bar_is_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert vivavoce(LONG, "-o", "a.wav") == 0
    assert "speaking" in capsys.readouterr().err


def test_voices_are_listed_with_what_one_must_know(capsys: Out) -> None:
    assert vivavoce("voices") == 0
    head, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert head == ["name", "description", "language", "licence"]
    assert [row[0] for row in rows] == ["celeste", "luna", "nash", "orion", "rhea"]
    assert all(len(row) == 4 and all(row) for row in rows)


def test_alone_on_a_terminal_it_shows_help(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    stdin(monkeypatch, b"", terminal=True)
    assert vivavoce() == 0
    assert "Usage" in capsys.readouterr().out


def test_alone_in_a_pipe_it_speaks(monkeypatch: pytest.MonkeyPatch, system: Tones) -> None:
    stdin(monkeypatch, b"Hello from a pipe.")
    assert vivavoce() == 0
    assert system.asked[0].piece.text == "Hello from a pipe."


def test_help_names_every_flag(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert vivavoce("speak", "--help") == 0
    out = capsys.readouterr().out
    names = (
        "text file voice ref-audio ref-text output model backend device dtype compile bits steps method cfg sway-coef"
    )
    for name in f"{names} temperature top-k lang speed seed play".split():
        assert f"--{name}" in out


# --- sound -----------------------------------------------------------------------------------------------------------


class Device:
    """Stands for the package sounddevice; keeps what is played."""

    def __init__(self, error: Exception | None = None) -> None:
        self.played: list[np.ndarray] = []
        self.error = error

    def query_devices(self, kind: str) -> dict[str, str]:
        if self.error:
            raise self.error
        return {"name": "loudspeaker"}

    def OutputStream(self, samplerate: int, channels: int, dtype: str) -> Any:
        assert (samplerate, channels, dtype) == (RATE, 1, "float32")
        nothing = lambda: None  # noqa: E731
        return types.SimpleNamespace(write=self.played.append, start=nothing, stop=nothing, close=nothing)


def test_without_output_it_plays_where_there_is_sound(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    assert vivavoce(LONG, "--seed", "2") == 0
    assert "played" in capsys.readouterr().out
    assert not Path("speech.wav").exists()
    assert vivavoce(LONG, "--seed", "2", "-o", "a.wav") == 0
    played, written = np.concatenate(device.played)[:, 0], soundfile.read("a.wav")[0]
    assert played.shape == written.shape and np.abs(played - written).max() < 1e-4


def test_play_with_output_does_both(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    assert vivavoce("Hello there.", "--play", "-o", "a.wav") == 0
    assert device.played and Path("a.wav").exists()


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (None, "pip install vivavoce[play]"),
        (Device(OSError("PortAudio library not found")), "PortAudio library not found"),
        (Device(RuntimeError("Error querying device -1")), "no sound output device"),
    ],
)
def test_play_without_sound_says_what_is_missing(
    module: Any, named: str, system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    assert vivavoce("Hello there.", "--play") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --play: ") and named in line
    assert system.asked == []
    assert vivavoce("Hello there.") == 0 and Path("speech.wav").exists()


# --- what is wrong ---------------------------------------------------------------------------------------------------

BAD = {
    "an unknown flag": (["Hello.", "--stepz", "4"], "--stepz"),
    "an option of the other engine": (["Hello.", "--top-k", "5"], "top_k is 5, but this model has no such option"),
    "an unknown language": (["Hello.", "--lang", "xx"], "known are en"),
    "a flag without its value": (["Hello.", "--voice"], "--voice"),
    "steps that are no number": (["Hello.", "--steps", "many"], "'many' is not a whole number"),
    "a speed that is no number": (["Hello.", "--speed", "fast"], "'fast' is not a number"),
    "no steps": (["Hello.", "--steps", "0"], "steps is 0; it must be from 1 to 256"),
    "no speed": (["Hello.", "--speed", "0"], "speed is 0.0"),
    "speed nan": (["Hello.", "--speed", "nan"], "speed is nan"),
    "a negative seed": (["Hello.", "--seed", "-1"], "seed is -1"),
    "fewer retries than none": (["Hello.", "--retries", "-1"], "retries is -1; it must be from 0 to 100"),
    "an unknown listener": (["Hello.", "--verify", "yes"], "--verify is 'yes'; it must be asr"),
    "an unknown method": (["Hello.", "--method", "heun"], "euler, midpoint or rk4"),
    "an unknown voice": (["Hello.", "--voice", "alice"], "celeste, luna, nash, orion, rhea"),
    "an unknown backend": (["Hello.", "--backend", "jax"], "auto, torch, mlx"),
    "an unknown device": (["Hello.", "--device", "gpu"], "auto, cpu, cuda, mps"),
    "an unknown dtype": (["Hello.", "--dtype", "int8"], "float32, bfloat16, float16"),
    "two texts": (["Hello.", "and", "more"], "and"),
    "text twice": (["--text", "Hello.", "--file", "said.txt"], "--text and by --file"),
    "text as argument and option": (["Hello.", "--text", "Hello."], "the argument and by --text"),
    "an empty text": ([""], "the text is empty"),
    "an empty standard input": ([], "standard input is empty"),
    "a text without a word": (["?!"], "'?!' has nothing in it"),
    "a text that is not Unicode": (["caf\udce9"], "not UTF-8"),
    "no such file": (["--file", "none.txt"], "none.txt: No such file"),
    "a folder as file": (["--file", "."], "Is a directory"),
    "a file that is not UTF-8": (["--file", "latin.txt"], "latin.txt is not UTF-8 text (byte 0xe9 at 3)"),
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
    Path("latin.txt").write_bytes(b"caf\xe9")
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

    monkeypatch.setitem(sys.modules, "vivavoce.checkpoints", types.SimpleNamespace(load_system=refuse))
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

    monkeypatch.setattr(system, "waves", interrupt)
    assert vivavoce("Hello.", "-o", "a.wav") == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    assert os.listdir() == []


def test_a_fault_of_ours_asks_for_a_report_and_shows_its_traceback_on_demand(
    system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(system, "waves", lambda *_: {}["oops"])
    assert vivavoce("Hello.", "-o", "a.wav") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unexpected KeyError: 'oops'") and "VIVAVOCE_DEBUG=1" in line
    monkeypatch.setenv("VIVAVOCE_DEBUG", "1")
    assert vivavoce("Hello.", "-o", "a.wav") == 1
    assert "Traceback" in capsys.readouterr().err


def test_speech_that_fails_is_one_line_and_status_1(
    system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(system, "waves", lambda *_: [Made(np.full(RATE, np.nan, np.float32))])
    assert vivavoce("Hello.", "-o", "a.wav") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the model made NaN") and os.listdir() == []


# --- training --------------------------------------------------------------------------------------------------------


def test_train_passes_shards_that_the_shell_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    loop = types.SimpleNamespace(train=lambda *arguments: asked.append(arguments))
    monkeypatch.setitem(sys.modules, "vivavoce.train.loop", loop)
    monkeypatch.setattr("vivavoce.train.loop", loop, raising=False)
    line = "train vocoder --config c.json --data a.tar b.tar c.tar --out run --max-minutes 5 --valid v.tar --threads 2"
    assert vivavoce(*line.split(), "--from", "old") == 0
    data = ["a.tar", "b.tar", "c.tar"]
    assert asked == [("vocoder", Path("c.json"), data, Path("run"), 5.0, ["v.tar"], 2, "old")]


def test_train_without_resume_leaves_an_old_run_alone(capsys: Out) -> None:
    Path("run").mkdir()
    Path("run/log.jsonl").touch()
    line = "train vocoder --config c.json --data a.tar --out run --no-resume"
    assert vivavoce(*line.split()) == 2
    assert "run is not empty" in capsys.readouterr().err


def test_train_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "vivavoce.train.loop":
                raise ModuleNotFoundError("No module named 'accelerate'", name="accelerate")

    monkeypatch.delitem(sys.modules, "vivavoce.train.loop", raising=False)
    monkeypatch.delattr("vivavoce.train.loop", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    line = "train vocoder --config c.json --data a.tar --out run"
    assert vivavoce(*line.split()) == 2
    assert "accelerate is missing: pip install vivavoce[train]" in capsys.readouterr().err


def test_export_without_its_extra_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "vivavoce.train.export":
                raise ModuleNotFoundError("No module named 'braceexpand'", name="braceexpand")

    monkeypatch.delitem(sys.modules, "vivavoce.train.export", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert vivavoce("export", "run", "model") == 2
    assert "export: the package braceexpand is missing: pip install vivavoce[train]" in capsys.readouterr().err


def test_export_passes_its_folders_and_which_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, Path, str]] = []
    fake = types.SimpleNamespace(export=lambda *given: asked.append(given))
    monkeypatch.setitem(sys.modules, "vivavoce.train.export", fake)
    assert vivavoce("export", "run", "model") == vivavoce("export", "run", "model", "--weights", "best") == 0
    assert asked == [(Path("run"), Path("model"), weights) for weights in ("average", "best")]


# --- as a process ----------------------------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("module", ["vivavoce", "vivavoce.generate", "vivavoce.cli"])
def test_the_modules_run(module: str) -> None:
    done = process(module, "--text", "Hello.", "-o", "a.aac")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --output a.aac: unknown extension .aac") and done.stderr.count("\n") == 1


def test_the_trainer_runs_as_a_module_for_launchers() -> None:
    done = process("vivavoce.train", "vocoder", "--config", "none.json", "--data", "x", "--out", "y")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: none.json: no such file\n")


def test_version() -> None:
    done = process("vivavoce", "--version")
    assert done.returncode == 0 and done.stdout.startswith("vivavoce")
