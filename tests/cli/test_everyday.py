"""What people meet every day: help, version, completion, defaults from a file and the environment, names of files."""

from __future__ import annotations

import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.tones import Tones

from vivavoce.cli import main, speak
from vivavoce.cli.audiobook_flags import parse_series
from vivavoce.cli.terminal import completion_script, run
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult

Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    system = Tones()
    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", types.SimpleNamespace(load_system=lambda *_: system))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setattr("vivavoce.synthesis.synthesizer.check", lambda *_, **__: [])
    run_main: Any = lambda *arguments: run(main.app, arguments)  # noqa: E731
    run_main.system = system
    return run_main


def config(text: str) -> None:
    path = Path("config/vivavoce/config.toml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def last(command: Command) -> SynthesisRequest:
    return command.system.asked[-1]  # type: ignore[attr-defined, no-any-return]


def test_short_flags_for_help_and_version(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("-v") == 0 and capsys.readouterr().out.startswith("vivavoce ")
    assert command("-h") == 0 and "Commands" in capsys.readouterr().out
    assert command("speak", "-h") == 0 and "--loudness" in capsys.readouterr().out
    assert command("voices", "-h") == 0 and "List the voices" in capsys.readouterr().out


def test_the_default_name_overwrites_nothing(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        assert command("Hello there.", "--seed", "1") == 0
    assert [path.name for path in sorted(Path().glob("*.wav"))] == ["speech-2.wav", "speech-3.wav", "speech.wav"]
    assert "written to speech-3.wav" in capsys.readouterr().out


def test_a_config_file_has_defaults_and_flags_come_first(command: Command) -> None:
    config('voice = "rhea"\nspeed = 1.5\nlexicon = "words.tsv"\n')
    Path("config/vivavoce/words.tsv").write_text("nginx\tengine ex\n")
    assert command("I use nginx.", "-o", "a.wav") == 0
    request = last(command)
    assert (request.voice.name, request.options.speed) == ("rhea", 1.5) and "engine ex" in request.piece.text
    assert command("Hello there.", "-o", "a.wav", "--voice", "nash", "--speed", "1") == 0
    assert (last(command).voice.name, last(command).options.speed) == ("nash", 1.0)


def test_the_environment_comes_before_the_file(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    config('voice = "rhea"')
    monkeypatch.setenv("VIVAVOCE_VOICE", "luna")
    assert command("Hello there.", "-o", "a.wav") == 0 and last(command).voice.name == "luna"
    monkeypatch.delenv("VIVAVOCE_VOICE")
    monkeypatch.setenv("VIVAVOCE_CONFIG", "")
    assert command("Hello there.", "-o", "a.wav") == 0 and last(command).voice.name == "celeste"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("voice = rhea", "config.toml: Invalid value"),
        ('voices = "rhea"', "unknown key 'voices'; known are voice, model, speed, lexicon"),
        ('speed = "fast"', "speed is 'fast'; it must be a number"),
        ('voice = "nobody"', "unknown voice 'nobody'"),
    ],
)
def test_a_wrong_config_file_is_one_line(
    text: str, problem: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    config(text)
    assert command("Hello there.", "-o", "a.wav") == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts(shell: str, command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("completion", shell) == 0
    assert "_VIVAVOCE_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [("vivavoce spea", "speak"), ("vivavoce chap", "chapters"), ("vivavoce speak --loud", "--loudness")],
)
def test_a_shell_completes_commands_and_flags(
    words: str, expected: str, command: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_VIVAVOCE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        command()
    assert expected in capsys.readouterr().out.split()


def test_an_unknown_shell() -> None:
    with pytest.raises(ValueError, match="shell is 'tcsh'; it must be bash, zsh, fish or powershell"):
        completion_script("tcsh")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process can handle")
def test_a_signal_to_terminate_leaves_nothing(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    system = command.system  # type: ignore[attr-defined]

    def stopped(jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not stopped")

    system.synthesize = stopped
    assert command("Hello there.", "-o", "a.mp3") == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert [path.name for path in Path().iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("-o", "a.flac", "--bitrate", "64"), "bitrate is 64, but flac has none"),
        (("-o", "a.mp3", "--loudness", "5"), "loudness is 5; it must be between -40 and -5"),
        (("-o", "a.mp3", "--cue", "word"), "--cue is for subtitles"),
        (("-o", "a.mp3", "--cue", "line", "--subtitles", "a.vtt"), "--cue is 'line'; it must be one of phrase, word"),
        (("-o", "a.mp3", "--cover", "none.jpg"), "none.jpg: No such file"),
        (("-o", "-", "--title", "A"), "--title is for a file; give its name with --output"),
    ],
)
def test_wrong_flags_of_audiobooks(
    arguments: tuple[str, ...], problem: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("Hello there.", *arguments) == 2
    assert problem in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_a_series_and_a_number_in_it() -> None:
    assert parse_series("Barchester #2") == ("Barchester", "2") and parse_series("Barchester") == ("Barchester", "")


def test_the_module_has_the_defaults_too(command: Command) -> None:
    config('voice = "rhea"')
    assert speak.run(speak.app, ["Hello there.", "-o", "a.wav"]) == 0
    assert last(command).voice.name == "rhea"


def test_a_dialogue_is_read_in_two_voices_and_its_table_corrected(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.txt").write_text("“How late it is,” said Alice.\n\n“Then hurry, hurry now,” said Tom.", encoding="utf-8")
    Path("cast.tsv").write_text("Alice\tluna\n")
    line = ("--file", "a.txt", "--cast", "cast.tsv", "--dialogue", "rhea", "-o", "a.wav")
    assert command(*line, "--lines-out", "lines.tsv") == 0
    assert "2 lines in dialogue: Alice 1 (luna), Tom 1 (rhea)" in capsys.readouterr().err
    assert not Path("a.wav").exists()
    Path("lines.tsv").write_text(Path("lines.tsv").read_text("utf-8").replace("Tom\trhea", "Tom\torion"), "utf-8")
    assert command(*line, "--lines", "lines.tsv", "--voice", "nash") == 0
    voices = [request.voice.name for request in command.system.asked]  # type: ignore[attr-defined]
    assert voices == ["luna", "nash", "orion", "nash"]
    assert command("Hello.", "--dialogue", "nobody", "-o", "b.wav") == 2
    assert "unknown voice 'nobody'" in capsys.readouterr().err


def test_a_preview_lists_the_chapters(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.md").write_text("# One\n\nHello there.\n\n# Two\n\nGood-bye.\n")
    assert command("preview", "--file", "a.md") == 0
    assert ["1", "One", "3"] in [line.split("\t")[:3] for line in capsys.readouterr().out.splitlines()]
