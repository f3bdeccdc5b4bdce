"""`vivavoce record`, with a microphone that is not there."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.command_line import vivavoce

from vivavoce.audio.recording import RATE
from vivavoce.train_voice import scripts
from vivavoce.train_voice.recordings import find_recordings

GOOD = np.concatenate([np.zeros(RATE // 2), 0.3 * np.sin(np.arange(3 * RATE) / 20), np.zeros(RATE // 2)])


class Microphone:
    """Stands for sounddevice.InputStream: hears GOOD, or what the test sets."""

    sound: np.ndarray = GOOD

    def __init__(self, callback: Any, blocksize: int, **settings: Any) -> None:
        self.callback, self.blocksize = callback, blocksize

    def start(self) -> None:
        for start in range(0, len(self.sound), self.blocksize):
            block = self.sound[start : start + self.blocksize].astype(np.float32)[:, None]
            self.callback(block, len(block), None, None)

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Microphone, "sound", GOOD)
    device = SimpleNamespace(InputStream=Microphone, query_devices=lambda kind: {})
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    (tmp_path / "script.txt").write_text("One short sentence.\n\nAnd another.\n")
    return tmp_path


def say(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))


def record(folder: Path) -> int:
    return vivavoce("record", str(folder / "out"), "--sentences", str(folder / "script.txt"))


def test_sentences_are_recorded_with_retakes_and_a_later_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say(monkeypatch, "", "", "r", "", "", "", "q")  # a take, once more, kept; then no more
    assert record(folder) == 0
    printed = capsys.readouterr()
    assert "1 of 2 sentences are in" in printed.out and "dB" in printed.err
    samples, rate = soundfile.read(folder / "out" / "0001.flac")
    assert rate == RATE and len(samples) == len(GOOD)
    assert (folder / "out" / "0001.txt").read_text() == "One short sentence.\n"

    say(monkeypatch, "", "", "")
    assert record(folder) == 0
    printed = capsys.readouterr()
    assert "And another." in printed.err and "One short" not in printed.err and "train-voice" in printed.out
    assert [source.text for source in find_recordings(folder / "out")] == ["One short sentence.", "And another."]


def test_a_skipped_sentence_is_asked_for_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(monkeypatch, "", "", "s", "", "", "")
    assert record(folder) == 0
    assert scripts.missing(folder / "out", ["a", "b"]) == [1]


def test_a_machine_without_a_microphone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert vivavoce("record", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "vivavoce[play]" in error
    assert vivavoce("record", str(tmp_path / "out"), "--sentences", "51") == 2
    assert "50, 200, 500" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sound", "fault"),
    [
        (GOOD, ""),
        (4 * GOOD, "too loud"),
        (0.1 * GOOD, "too quiet"),
        (0 * GOOD, "nothing was heard"),
        (GOOD + 0.02 * np.random.default_rng(0).standard_normal(len(GOOD)), "noise"),
        (GOOD[RATE // 2 :], "begins or ends in a word"),
        (np.concatenate([GOOD[:RATE], np.zeros(RATE)]), "read to the end"),
    ],
)
def test_what_is_wrong_with_a_take_is_told(sound: np.ndarray, fault: str) -> None:
    found = scripts.faults(np.clip(sound, -1, 1), RATE, "A sentence of about forty characters, now.")
    assert (fault in " ".join(found)) if fault else not found


def test_the_built_in_sentences_cover_the_language_and_are_easy_to_read() -> None:
    script = scripts.read_script("500")
    assert len(set(script)) == 500 and all(4 <= len(line.split()) <= 14 for line in script)
    assert scripts.read_script("50") == script[:50]
    assert sum(line.endswith("?") for line in script[:50]) >= 4
    letters = set("".join(script[:200]).lower())
    assert set("abcdefghijklmnopqrstuvwxyz") <= letters


def test_the_meter_shows_loud_and_quiet() -> None:
    assert scripts.meter(1.0).count("#") == 40 and "TOO LOUD" in scripts.meter(1.0)
    assert scripts.meter(0.0).count("#") == 0
