"""Reading aloud every day: the clipboard, web pages, pause and stop while it plays."""

from __future__ import annotations

import os
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tones import RATE, Tones

from vivavoce.audio.playback import Player
from vivavoce.books import web
from vivavoce.books.book import Book, Chapter
from vivavoce.cli import clipboard, keys, main
from vivavoce.cli.terminal import run


class Device:
    """Stands for the package sounddevice; keeps what is played."""

    def __init__(self) -> None:
        self.played: list[np.ndarray] = []
        self.slow = 0.0

    def query_devices(self, kind: str) -> dict[str, str]:
        return {"name": "loudspeaker"}

    def OutputStream(self, samplerate: int, channels: int, dtype: str) -> Any:
        def write(block: np.ndarray) -> None:
            self.played.append(block)
            time.sleep(self.slow)

        nothing = lambda: None  # noqa: E731
        return types.SimpleNamespace(write=write, start=nothing, stop=nothing, close=nothing)

    @property
    def seconds(self) -> float:
        return sum(map(len, self.played)) / RATE


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Device:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIVAVOCE_CONFIG", "")
    found = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", found)
    return found


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Tones:
    made = Tones()
    monkeypatch.setitem(sys.modules, "vivavoce.systems.load", types.SimpleNamespace(load_system=lambda *_: made))
    monkeypatch.setattr("vivavoce.synthesis.synthesizer.check", lambda *_, **__: [])
    return made


def until(what: Callable[[], bool], seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.01)


# --- pause and stop --------------------------------------------------------------------------------------------------


def test_playback_pauses_resumes_and_stops(device: Device) -> None:
    device.slow = 0.01
    with Player(RATE) as player:
        player.play(np.ones(20 * RATE, np.float32))
        until(lambda: device.seconds > 0.3)
        assert player.pause()
        time.sleep(0.1)
        before = device.seconds
        time.sleep(0.2)
        assert device.seconds == before
        assert not player.pause()
        until(lambda: device.seconds > before)
        player.stop()
        assert player.stopped
    assert device.seconds < 20


def test_a_paused_player_can_be_stopped(device: Device) -> None:
    with Player(RATE) as player:
        player.pause()
        player.play(np.ones(RATE, np.float32))
        player.stop()
    assert device.seconds == 0


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_keys_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    above, below = pty.openpty()
    pressed: list[str] = []
    with os.fdopen(below, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        with keys.listen(pressed.append) as there:
            assert there
            os.write(above, b" ")
            until(lambda: pressed == [" "])
            os.write(above, b"q")
            until(lambda: pressed == [" ", "q"])
    os.close(above)


def test_without_a_terminal_there_are_no_keys() -> None:
    with keys.listen(lambda key: None) as there:
        assert not there


def test_stop_ends_the_work_that_only_plays(device: Device, system: Tones, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    @contextlib.contextmanager
    def stopping(pressed: Callable[[str], None]) -> Any:
        threading.Timer(0.3, lambda: pressed("q")).start()
        yield True

    device.slow = 0.05
    monkeypatch.setattr(keys, "listen", stopping)
    assert run(main.app, ["This is a sentence of some length, to be stopped. " * 200]) == 0
    assert device.seconds < 60 and len(system.asked) < 200


# --- the clipboard ---------------------------------------------------------------------------------------------------


def test_the_clipboard_is_read(device: Device, system: Tones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "read", lambda primary=False: "Copied words.")
    assert run(main.app, ["--clipboard", "-o", "a.wav"]) == 0
    assert [request.piece.text for request in system.asked] == ["Copied words."]


def test_an_empty_clipboard(
    device: Device, system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clipboard, "read", lambda primary=False: " ")
    assert run(main.app, ["--clipboard"]) == 2 and "the clipboard is empty" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs of Linux desktops")
def test_the_program_of_the_desktop_prints_the_clipboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ValueError, match=r"install wl-clipboard \(Wayland\), or xclip or xsel"):
        clipboard.read()
    program = tmp_path / "xsel"
    program.write_text('#!/bin/sh\nprintf "ünï\\r\\n%s" "$*"\n', encoding="utf-8")
    program.chmod(0o755)
    assert clipboard.read() == "ünï\n--output --clipboard" and clipboard.read(True).endswith("--primary")


def test_only_what_is_copied_after_the_start_is_read() -> None:
    states = iter(["old", "old", "new", "new", "  ", "newer", "newer"])
    found = clipboard.changes(look=lambda primary: next(states), wait=lambda seconds: None)
    assert [next(found), next(found)] == ["new", "newer"]


def test_watch_reads_what_is_copied_until_ctrl_c(
    device: Device, system: Tones, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def copied(primary: bool = False) -> Any:
        yield "First words."
        yield "Second words."
        raise KeyboardInterrupt

    monkeypatch.setattr(clipboard, "changes", copied)
    monkeypatch.setattr(clipboard, "command", lambda primary=False: ["xsel"])
    assert run(main.app, ["watch", "--voice", "nash"]) == 130
    assert [request.piece.text for request in system.asked] == ["First words.", "Second words."]
    assert device.seconds > 0.5 and "Ctrl-C" in capsys.readouterr().err


# --- web pages -------------------------------------------------------------------------------------------------------


def test_a_page_is_read(device: Device, system: Tones, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def read_url(url: str, **options: Any) -> Book:
        asked.append((url, options))
        return Book("Page", (Chapter("", "Words of a page."),))

    monkeypatch.setattr(web, "read_url", read_url)
    assert run(main.app, ["--url", "https://example.org/", "-o", "a.wav"]) == 0
    assert asked == [("https://example.org/", {"allow_private": False})]
    assert system.asked[0].piece.text == "Words of a page."


def test_an_address_as_the_only_argument_is_not_spoken(
    device: Device, system: Tones, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main.app, ["https://example.org/a"]) == 2
    assert "to read the page: --url https://example.org/a" in capsys.readouterr().err
    assert not system.asked


def test_an_address_is_read_after_yes(device: Device, system: Tones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "read_url", lambda url, **_: Book("Page", (Chapter("", "Words of a page."),)))
    monkeypatch.setattr("vivavoce.cli.inputs.confirm", lambda question: True)
    assert run(main.app, ["https://example.org/a", "-o", "a.wav"]) == 0
    assert system.asked[0].piece.text == "Words of a page."
