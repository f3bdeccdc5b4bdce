"""Books to sound files, with a stand-in for a model: a tone of 50 ms per character: narrate command."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.narration import BOOK, PARAGRAPHS, stop_after
from helpers.tones import Tones

from vivavoce.books import readers
from vivavoce.cli import main, speak
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult

pytestmark = pytest.mark.usefixtures("short_sections")


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, system: Tones) -> Callable[..., int]:
    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", types.SimpleNamespace(load_system=lambda *_: system))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    return lambda *arguments: speak.run(main.app, arguments)


@pytest.mark.parametrize("extension", ["txt", "md", "html", "srt"])
def test_speak_reads_files_of_every_kind(extension: str, command: Callable[..., int], system: Tones) -> None:
    text = {
        "html": "<title>T</title><p>Hello <b>there</b>.",
        "srt": "1\n00:00:01,000 --> 00:00:02,000\nHello there.",
        "md": "Hello *there*.",
    }
    Path(f"book.{extension}").write_text(text.get(extension, "Hello there."))
    assert command("--file", f"book.{extension}", "-o", "book.mp3", "--subtitles", "book.vtt") == 0
    assert [job.piece.text for job in system.asked] == ["Hello there."]
    assert soundfile.info("book.mp3").duration > 0.5 and "Hello there." in Path("book.vtt").read_text()


def test_ctrl_c_says_where_the_work_is_and_the_same_command_resumes(
    command: Callable[..., int], system: Tones, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book.md").write_text("\n\n".join(f"# {c.title}\n\n{PARAGRAPHS}" for c in BOOK.chapters))
    stop_after(system, 20, KeyboardInterrupt())
    line = ("speak", "--file", "book.md", "-o", "book.mp3", "--chapters", "files")
    assert command(*line) == 130
    notice, interrupted = capsys.readouterr().err.splitlines()
    assert "in book.mp3.partial; the same command resumes from there" in notice and interrupted == "interrupted"
    assert command(*line) == 0
    out = capsys.readouterr().out
    assert "of it from an earlier run" in out and "book-01 Chapter one.mp3 and book-02 Chapter two.mp3" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--file", "book.md", "-o", "a.mp3", "--chapters", "many"], "--chapters is 'many'; it must be one of marks"),
        (["--file", "book.md", "-o", "a.mp3", "--subtitles", "a.ass"], "srt, vtt"),
        (["--file", "wrong.md", "-o", "a.mp3"], "chapter 'Two': line 3, column 1: [pause]"),
        (["--file", "book.epub", "-o", "a.mp3"], "book.epub is not an epub"),
        (["--file", "none.epub", "-o", "a.mp3"], "--file none.epub: No such file"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], named: str, command: Callable[..., int], system: Tones, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book.md").write_text("Hello.")
    Path("wrong.md").write_text("# One\n\nA\n\n# Two\n\n[pause]")
    Path("book.epub").write_text("Hello.")
    before = sorted(Path().iterdir())
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line
    assert system.asked == [] and sorted(Path().iterdir()) == before


def test_what_is_left_out_of_a_file_is_reported(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book.md").write_text("Hello.\n\n```\ncode\n```\n")
    assert command("--file", "book.md", "-o", "a.wav") == 0
    assert "notice: left out, because it is not text to be read aloud: 1 block of code" in capsys.readouterr().err
    assert readers.read("book.md").notices


def test_chapters_are_listed_and_chosen(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    Path("book.md").write_text("# One\n\nHello there.\n\n# Two\n\nGood bye to you.\n\n```\ncode\n```\n")
    assert command("chapters", "book.md") == 0
    out, err = capsys.readouterr()
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[:3] for line in lines[1:]] == [["1", "One", "3"], ["2", "Two", "5"], ["", "all", "8"]]
    assert "1 block of code" in err
    assert command("--file", "book.md", "--only", "2", "--dry-run", "-o", "a.wav") == 0
    assert "Two" in capsys.readouterr().out and not Path("a.wav").exists()
    for flags, named in {
        ("--only", "3"): "the last chapter is 2",
        ("--skip", "1-2"): "no chapter remains",
        ("--include", "all"): "it must be front-matter",
        ("--footnotes", "x"): "chapter-end, inline, skip",
    }.items():
        assert command("--file", "book.md", "--dry-run", "-o", "a.wav", *flags) == 2
        assert named in capsys.readouterr().err


# --- benchmarks/long.py ----------------------------------------------------------------------------------------------


def test_long_speech_is_measured_at_both_ends(
    system: Tones, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("resource")
    spec = importlib.util.spec_from_file_location("long", root / "benchmarks" / "long.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "long", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.vivavoce, "load", lambda *_: TTS(system))
    monkeypatch.setattr(module, "PASSAGE", 4)
    waves, drift = system.synthesize, itertools.count()

    def slower(jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        """Make each piece a little longer than the one before."""
        extra = 1 + 0.01 * next(drift)
        return [
            SynthesisResult(np.resize(made.samples, round(extra * len(made.samples)))) for made in waves(jobs, progress)
        ]

    monkeypatch.setattr(system, "synthesize", slower)
    assert module.main(["--minutes", "0.5", "--by", "stream", "--json", "long.json"]) == 0
    found = json.loads(Path("long.json").read_text())
    assert found["first"]["words_a_minute"] > found["last"]["words_a_minute"] > 0
    assert found["drift_pace_percent"] < -2 and abs(found["drift_db"]) < 0.5
    assert found["book_mb"] >= found["peak_mb"] > 10
    assert "words a minute" in capsys.readouterr().out
