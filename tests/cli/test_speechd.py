"""The module of Speech Dispatcher, with a scripted client that speaks its protocol."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.own_voices import add_own_voices
from helpers.tones import RATE, Tones

from vivavoce.cli.speechd_module import Module, audio_message, install, to_ssml
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisRequest, SynthesisResult
from vivavoce.voices import get


class Client:
    """Speech Dispatcher's side of the two pipes."""

    def __init__(self, system: Tones) -> None:
        below, above = os.pipe()
        self.commands = os.fdopen(above, "wb", buffering=0)
        source = os.fdopen(below, "rb")
        below, above = os.pipe()
        self.answers, target = os.fdopen(below, "rb"), os.fdopen(above, "wb")
        module = Module(lambda: TTS(system), get("nash"), 1.0, source, target)
        self.thread = threading.Thread(target=module.run, daemon=True)
        self.thread.start()

    def send(self, *lines: str) -> None:
        self.commands.write("".join(f"{line}\n" for line in lines).encode())

    def read(self) -> tuple[str, np.ndarray | None]:
        """Return a line, or "705 AUDIO" and the samples."""
        line = self.answers.readline()
        if not line.startswith(b"705-bits"):
            return line.decode().rstrip("\n"), None
        head = {}
        while not line.startswith(b"705-AUDIO\0"):
            key, _, value = line.decode().removeprefix("705-").strip().partition("=")
            head[key] = int(value)
            line = self.answers.readline()
        data = line.removeprefix(b"705-AUDIO\0").removesuffix(b"\n")
        assert self.answers.readline() == b"705 AUDIO\n"
        plain, escaped = bytearray(), False
        for byte in data:
            if escaped:
                plain.append(byte ^ 0x20)
            elif byte != 0x7D:
                plain.append(byte)
            escaped = byte == 0x7D and not escaped
        samples = np.frombuffer(bytes(plain), "<i2")
        assert (head["bits"], head["sample_rate"], head["num_samples"]) == (16, RATE, len(samples))
        return "705 AUDIO", samples

    def until(self, start: str) -> list[str]:
        lines: list[str] = []
        while not lines or not lines[-1].startswith(start):
            lines.append(self.read()[0])
            assert lines[-1]
        return lines

    def speak(self, text: str, command: str = "SPEAK") -> tuple[list[str], np.ndarray]:
        """Speak to the end. Returns the lines and the sound."""
        self.send(command, text, ".")
        lines, sound = list[str](), [np.zeros(0, np.int16)]
        while not lines or lines[-1][:3] not in ("702", "703", "704", "301"):
            line, samples = self.read()
            lines.append(line)
            if samples is not None:
                sound.append(samples)
        return lines, np.concatenate(sound)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Tones:
    monkeypatch.setattr("vivavoce.synthesis.synthesizer.check", lambda *_, **__: [])
    return Tones()


@pytest.fixture
def client(system: Tones) -> Iterator[Client]:
    made = Client(system)
    made.send("INIT")
    assert made.until("299 ")[-1] == "299 OK LOADED SUCCESSFULLY"
    system.asked.clear()
    yield made
    made.send("QUIT")
    assert made.until("210")[-1] == "210 OK QUIT"
    made.thread.join(5)
    assert not made.thread.is_alive()


def test_a_message_is_spoken(client: Client, system: Tones) -> None:
    client.send("AUDIO", "audio_output_method=server", ".", "LOGLEVEL", "log_level=3", ".")
    assert client.until("203 OK LOG")[:2] == ["207 OK RECEIVING AUDIO SETTINGS", "203 OK AUDIO INITIALIZED"]
    lines, sound = client.speak("<speak>Hello there.</speak>")
    assert lines[:3] == ["202 OK RECEIVING MESSAGE", "200 OK SPEAKING", "701 BEGIN"] and lines[-1] == "702 END"
    assert len(sound) > 0.5 * RATE and sound.any()
    assert [request.piece.text for request in system.asked] == ["Hello there."]


def test_settings(client: Client, system: Tones) -> None:
    client.send("SET", "rate=100", "volume=0", "synthesis_voice=rhea", "punctuation_mode=none", ".")
    client.until("203 OK SETTINGS")
    quiet = client.speak("<speak>Hello there.</speak>")[1]
    assert system.asked[0].options.speed == pytest.approx(3.0) and system.asked[0].voice.name == "rhea"
    client.send("SET", "rate=-100", "volume=100", "synthesis_voice=NULL", ".")
    client.until("203 OK SETTINGS")
    loud = client.speak("<speak>Hello there.</speak>")[1]
    assert system.asked[1].options.speed == pytest.approx(1 / 3) and system.asked[1].voice.name == "nash"
    assert np.abs(loud).max() > 1.5 * np.abs(quiet).max()


def test_the_voices_are_listed(client: Client) -> None:
    client.send("LIST VOICES")
    assert "200-rhea\ten\tnone" in client.until("200 OK VOICE")


def test_the_users_voices_are_listed_and_chosen(
    client: Client, system: Tones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_own_voices(tmp_path / "own", monkeypatch)
    client.send("LIST VOICES")
    listed = client.until("200 OK VOICE")
    assert "200-My own\tes\tnone" in listed and "200-celeste\ten\tnone" in listed and len(listed) == 7
    for name in ("my OWN", "broken"):  # the damaged one leaves the voice as it was
        client.send("SET", f"synthesis_voice={name}", ".")
        client.until("203 OK SETTINGS")
        client.speak("<speak>Hello there.</speak>")
    assert [request.voice.name for request in system.asked] == ["My own", "nash"]


@pytest.mark.parametrize(
    ("command", "text", "spoken"),
    [("CHAR", "b", "B."), ("CHAR", "space", "space"), ("KEY", "Control_x", "Control x"), ("SPEAK", "a < b", "a b")],
)
def test_characters_keys_and_what_is_no_ssml(
    command: str, text: str, spoken: str, client: Client, system: Tones
) -> None:
    assert client.speak(text, command)[0][-1] == "702 END"
    words = " ".join(request.piece.text for request in system.asked)
    assert words.lower().strip(" .") == spoken.lower().strip(" .") or spoken.split()[0].lower() in words.lower()


@pytest.mark.parametrize(("command", "event"), [("STOP", "703 STOP"), ("PAUSE", "704 PAUSE")])
def test_stop_is_answered_while_the_model_works(
    command: str, event: str, client: Client, system: Tones, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def slow(jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        release.wait(10)
        return Tones.synthesize(system, jobs, progress)

    monkeypatch.setattr(system, "synthesize", slow, raising=False)
    client.send("SPEAK", "<speak>A long text.</speak>", ".")
    client.until("701")
    started = time.monotonic()
    client.send(command)
    assert client.until("70") == [event]
    assert time.monotonic() - started < 2  # far less than the model takes
    release.set()
    lines, _ = client.speak("<speak>The next one.</speak>")
    assert lines[-1] == "702 END" and event not in lines


def test_the_model_stops_soon_after_a_stop(client: Client, system: Tones, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, finished = threading.Event(), threading.Event()

    def slow(jobs: list[SynthesisRequest], progress: Any = None) -> list[SynthesisResult]:
        for part in range(1000):
            passes.set()
            time.sleep(0.02)
            progress(part / 1000)
        finished.set()
        return []

    with monkeypatch.context() as patched:
        patched.setattr(system, "synthesize", slow, raising=False)
        client.send("SPEAK", "<speak>A long text.</speak>", ".")
        assert passes.wait(10)
        client.send("STOP")
        assert client.until("703")
    assert client.speak("<speak>The next one.</speak>")[0][-1] == "702 END" and not finished.is_set()


def test_a_long_message_begins_with_a_short_piece(client: Client, system: Tones) -> None:
    text = "You have three new messages, two of them are from your bank. The first was sent this morning by the branch."
    client.speak(f"<speak>{text}</speak>")
    pieces = [request.piece.text for request in system.asked]
    assert pieces[0] == "You have three new messages," and " ".join(pieces) == text


def test_a_short_message_is_made_once(client: Client, system: Tones) -> None:
    first, again = client.speak("b", "CHAR"), client.speak("b", "CHAR")
    assert len(system.asked) == 1 and first[0] == again[0] and np.array_equal(first[1], again[1])
    client.send("SET", "synthesis_voice=rhea", ".")
    client.until("203 OK SETTINGS")
    client.speak("b", "CHAR")
    assert [request.voice.name for request in system.asked] == ["nash", "rhea"]


def test_a_new_message_replaces_the_old_one(client: Client) -> None:
    client.send("SPEAK", "<speak>" + "One sentence after another. " * 30 + "</speak>", ".")
    client.until("701")
    lines = client.speak("<speak>New.</speak>")[0]
    assert lines.count("702 END") == 1 and lines[-1] == "702 END"


def test_wrong_commands_and_empty_messages(client: Client) -> None:
    client.send("NONSENSE")
    assert client.until("300") == ["300 ERR UNKNOWN COMMAND"]
    assert client.speak(" ")[0][-1] == "301 ERROR CANT SPEAK"
    assert client.speak("..hidden file\n..")[0][-1] == "702 END"  # dots at the start of a line are doubled


def test_a_model_that_cannot_be_loaded() -> None:
    class Broken(Tones):
        def __init__(self) -> None:
            raise ValueError("no such model")

    below, above = os.pipe()
    answers, target = os.pipe()
    with os.fdopen(above, "wb") as commands:
        commands.write(b"INIT\nQUIT\n")
    with os.fdopen(below, "rb") as source, os.fdopen(target, "wb") as out:
        Module(lambda: TTS(Broken()), get("nash"), 1.0, source, out).run()
    with os.fdopen(answers, "rb") as file:
        assert file.read().decode().splitlines() == ["399-no such model", "399 ERR CANT INIT MODULE", "210 OK QUIT"]


def test_bytes_that_would_end_a_line_are_escaped() -> None:
    samples = np.array([0x0A7D / 32768, 0x7D0A / 32768], np.float32)
    body = audio_message(samples, RATE).split(b"\0", 1)[1].removesuffix(b"\n705 AUDIO\n")
    assert b"\n" not in body and len(body) == 8


def test_texts_of_screen_readers_are_escaped() -> None:
    assert to_ssml("CHAR", "<") == '<speak><say-as interpret-as="characters">&lt;</say-as></speak>'
    assert to_ssml("SPEAK", "a & b") == "<speak>a &amp; b</speak>"


@pytest.mark.skipif(os.name == "nt", reason="Speech Dispatcher runs on Linux")
def test_the_installation_keeps_what_is_there(tmp_path: Path) -> None:
    general = tmp_path / "etc"
    general.mkdir()
    (general / "speechd.conf").write_text("DefaultVolume 100\n")
    done = install(tmp_path, general)
    main = tmp_path / ".config/speech-dispatcher/speechd.conf"
    program = tmp_path / ".local/libexec/speech-dispatcher-modules/sd_vivavoce"
    assert "DefaultVolume 100" in main.read_text() and f'AddModule "vivavoce" "{program}"' in main.read_text()
    assert program.stat().st_mode & stat.S_IXUSR and "speechd" in program.read_text()
    assert "spd-say -o vivavoce" in done[-1]
    before = main.read_text()
    install(tmp_path, general)
    assert main.read_text() == before
    main.write_text("DefaultVolume 50\n")
    assert any("add these lines" in line for line in install(tmp_path, general))
    assert main.read_text() == "DefaultVolume 50\n"
