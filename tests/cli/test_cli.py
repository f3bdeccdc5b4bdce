"""The command line, with a stand-in for the model."""

from __future__ import annotations

import os
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer.main
from helpers.command_line import Out, recording, stdin, vivavoce
from helpers.tones import LONG, RATE, Tones

from vivavoce import audio
from vivavoce.cli import main, speak, terminal
from vivavoce.config import BACKENDS, DTYPES, SpeakOptions
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.serve.settings import ServeConfig

pytestmark = pytest.mark.usefixtures("system")


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
    assert terminal.run(speak.app, ["--text", "Hello there.", "-o", "a.wav", "--seed", "3", "--voice", "luna"]) == 0
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
    flags += " --energy +3dB"
    assert vivavoce("Hello there.", "-o", "a.wav", *flags.split()) == 0
    expected = SpeakOptions("celeste", 5, "euler", 0.0, -0.25, temperature=0.5, speed=1.5, energy=3.0, seed=9)
    assert system.asked[0].options == expected


def test_settings_of_the_model_reach_load(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    fake = types.SimpleNamespace(load_system=lambda *arguments: asked.append(arguments) or Tones())
    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", fake)
    flags = "--model here --backend mlx --device cpu --dtype float16 --compile --vocoder there --bits 8"
    assert vivavoce("Hello there.", "-o", "a.wav", *flags.split()) == 0
    assert vivavoce("Hello there.", "-o", "a.wav") == 0
    assert asked == [
        ("here", "mlx", "cpu", "float16", True, "there", 8),
        ("bundled", "auto", "auto", "auto", False, None, None),
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


def shown_help(command: str, capsys: Out) -> str:
    """What `--help` prints, without the frames and line breaks around it."""
    assert vivavoce(*command.split(), "--help") == 0
    return " ".join(re.sub("[│╭╮╰╯─]", " ", capsys.readouterr().out).split())


GROUP: Any = typer.main.get_command(main.app)


@pytest.mark.parametrize("name", ["", *GROUP.commands])
def test_help_shows_every_text_as_it_is_written(name: str, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # no text is broken between two lines
    command = GROUP.commands[name] if name else GROUP
    described = [command, *command.params, *getattr(command, "commands", {}).values()]
    texts = [" ".join(each.help.split()) for each in described if getattr(each, "help", None)]
    assert texts
    shown = shown_help(name, capsys)
    assert [text for text in texts if text not in shown] == []


def test_help_keeps_square_brackets(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    shown = shown_help("speak", capsys)
    assert "vivavoce[eval]" in shown and "[pause 500ms]" in shown and "[fr]bonjour[en]" in shown


@pytest.mark.parametrize(("command", "settings"), [("serve", ServeConfig()), ("prepare", PrepareConfig())])
def test_help_states_the_defaults_of_the_settings(command: str, settings: Any) -> None:
    defaults = settings.to_dict()
    stated = {}
    for flag in GROUP.commands[command].params:
        default = re.search(r"\(default: ([\w.]+)\)", getattr(flag, "help", None) or "")
        if default and isinstance(defaults.get(flag.name), str | int | float):  # others are described in words
            stated[flag.name] = default[1]
    assert len(stated) > 8
    assert stated == {name: f"{defaults[name]}".removesuffix(".0") for name in stated}


def test_flags_name_the_librarys_choices(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    shown = shown_help("speak", capsys)
    assert ", ".join(BACKENDS) in shown and ", ".join(DTYPES) in shown


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["speek", "Hello"], "did you mean 'speak'?"),
        (["Voices"], "did you mean 'voices'?"),
        (["trian", "vocoder"], "did you mean 'train'?"),
        (["sevre", "--port", "80"], "did you mean 'serve'?"),
        (["help"], "vivavoce --help"),
        (["help", "speak"], "vivavoce --help"),
    ],
)
def test_a_misspelt_command_gets_a_suggestion_and_speaks_nothing(
    arguments: list[str], named: str, system: Tones, capsys: Out
) -> None:
    assert vivavoce(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: unknown command ") and named in line
    assert system.asked == [] and os.listdir() == []


@pytest.mark.parametrize("text", ["Hello", "speek to me", "Welcome.", "Ja!", "voices of spring"])
def test_other_words_are_spoken(text: str, system: Tones) -> None:
    assert vivavoce(text, "-o", "a.wav") == 0
    assert system.asked


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
