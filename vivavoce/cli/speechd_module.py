"""An output module of Speech Dispatcher, through which Linux screen readers speak.

Speech Dispatcher starts the module and talks to it by lines on standard input and output (its manual, "Output modules",
and module_process.c of version 0.11). The sound goes back the same way, and Speech Dispatcher plays it. Stop and pause
are answered at once, and the model stops after its current pass. A message begins with a short piece, and short
messages, such as the characters that are typed and the names of keys, are cached: the second time, their sound is there
at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.sax.saxutils import escape

import numpy as np
from cachetools import LRUCache

from vivavoce.audio.dsp import Samples, pcm
from vivavoce.config import SPEEDS
from vivavoce.synthesis.prefetch import Stopped, StopToken, prefetch
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import run
from vivavoce.voices import Voice, get, names, voices

if TYPE_CHECKING:
    from vivavoce.synthesis.tts import TTS

NAME = "vivavoce"
BLOCK = 0.25  # seconds of sound in one message
SHORT = 48  # characters, tags included, of a message that is cached
KEPT = 128  # messages: 24 MB if each takes two seconds
_FASTEST = 3.0  # times the usual speed, at rate 100
_ESCAPE, _INVERT = 0x7D, 0x20
_KEYS = {"space": "space", "return": "enter", "underscore": "underscore", "double-quote": "double quote"}


def serve(
    load: Callable[[], TTS],
    voice: Voice,
    speed: float = 1.0,
    source: BinaryIO | None = None,
    target: BinaryIO | None = None,
) -> None:
    """Answer Speech Dispatcher until it says QUIT or closes the input. load: called at INIT.

    source, target: standard input and output by default. Whatever else is printed goes to standard error.
    """
    if target is None:
        target = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Module(load, voice, speed, source or sys.stdin.buffer, target).run()


class Module:
    """The state of the module: settings, the model, and the message that is spoken."""

    def __init__(self, load: Callable[[], TTS], voice: Voice, speed: float, source: BinaryIO, target: BinaryIO) -> None:
        self._load, self._voice, self._speed = load, voice, speed
        self._source, self._target = source, target
        self._tts: TTS | None = None
        self._settings: dict[str, str] = {}
        self._writing = threading.Lock()
        self._engine = threading.Lock()  # held by the message that the model works on
        self._kept: MutableMapping[tuple[Any, ...], list[Speech]] = LRUCache(KEPT)  # of short messages
        self._current: _Message | None = None

    def run(self) -> None:
        for line in self._lines():
            command, _, rest = line.partition(" ")
            if command == "QUIT":
                self._end("703 STOP")
                self._send("210 OK QUIT")
                return
            self._answer(command, rest)
        self._end(None)

    def _answer(self, command: str, rest: str) -> None:
        if command == "INIT":
            self._init()
        elif command in ("AUDIO", "SET", "LOGLEVEL"):
            first, last = {
                "AUDIO": ("207 OK RECEIVING AUDIO SETTINGS", "203 OK AUDIO INITIALIZED"),
                "SET": ("203 OK RECEIVING SETTINGS", "203 OK SETTINGS RECEIVED"),
                "LOGLEVEL": ("207 OK RECEIVING LOGLEVEL SETTINGS", "203 OK LOG LEVEL SET"),
            }[command]
            self._send(first)
            values = dict(part for line in self._data() if len(part := line.split("=", 1)) == 2)
            if command == "SET":
                self._settings.update(values)
            if command == "AUDIO" and values.get("audio_output_method", "server") != "server":
                self._send("300-this module needs Speech Dispatcher 0.11, which plays the sound itself")
                self._send("300 UNKNOWN ERROR")
                return
            self._send(last)
        elif command == "LIST":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a damaged one is left out; nobody reads stderr
                for voice in voices():
                    self._send(f"200-{voice.name}\t{voice.language}\tnone")
            self._send("200 OK VOICE LIST SENT")
        elif command in ("SPEAK", "CHAR", "KEY", "SOUND_ICON"):
            self._send("202 OK RECEIVING MESSAGE")
            text = "\n".join(self._data())
            if self._tts is None or not text.strip():
                self._send("301 ERROR CANT SPEAK")
                return
            self._end(None)
            self._send("200 OK SPEAKING")
            self._current = _Message(self, self._tts, command, text)
            self._current.start()
        elif command in ("STOP", "PAUSE"):
            self._end("703 STOP" if command == "STOP" else "704 PAUSE")
        elif command == "DEBUG":
            self._send("200 OK DEBUGGING ON" if rest.startswith("ON") else "200 OK DEBUGGING OFF")
        else:
            self._send("300 ERR UNKNOWN COMMAND")

    def _init(self) -> None:
        try:
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._tts = self._load()
                for _ in self._tts.stream("Ready.", self._voice):  # the first text is slower than all others
                    break
        except Exception as error:
            self._send(f"399-{' '.join(str(error).split())}")
            self._send("399 ERR CANT INIT MODULE")
            return
        self._send("299-vivavoce speaks offline")
        self._send("299 OK LOADED SUCCESSFULLY")

    def _end(self, event: str | None) -> None:
        """End the message that is spoken; report the event if it was not over."""
        message, self._current = self._current, None
        if message is not None and message.cancel() and event is not None:
            self._send(event)

    # ---- settings -------------------------------------------------------------------------------------------------

    def chosen_voice(self) -> Voice:
        wanted = self._settings.get("synthesis_voice", "").casefold()
        for name in names():
            if name.casefold() == wanted:
                with contextlib.suppress(ValueError, OSError):  # damaged since it was listed
                    return get(name)
        return self._voice

    def speed(self) -> float:
        return float(np.clip(self._speed * _FASTEST ** (self._number("rate", 0) / 100), *SPEEDS))

    def gain(self) -> float:
        return (self._number("volume", 100) + 100) / 200

    def _number(self, key: str, default: float) -> float:
        try:
            return float(np.clip(float(self._settings.get(key, default)), -100, 100))
        except ValueError:
            return default

    # ---- lines ----------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[str]:
        while line := self._source.readline():
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def _data(self) -> Iterator[str]:
        """Yield lines up to a single dot. A dot at the start of a line is doubled."""
        for line in self._lines():
            if line == ".":
                return
            yield line[1:] if line.startswith("..") else line

    def _send(self, line: str) -> None:
        self.write(line.encode("utf-8", "replace") + b"\n")

    def write(self, data: bytes) -> None:
        with self._writing, contextlib.suppress(BrokenPipeError):
            self._target.write(data)
            self._target.flush()


class _Message(threading.Thread):
    """Speaks one message, and reports its begin and end unless it is cancelled."""

    def __init__(self, module: Module, tts: TTS, command: str, text: str) -> None:
        super().__init__(daemon=True)
        self._module, self._tts, self._command, self._text = module, tts, command, text
        self._voice, self._speed, self._gain = module.chosen_voice(), module.speed(), module.gain()
        self._state = threading.Lock()
        self._over = False
        self._token = StopToken()

    def cancel(self) -> bool:
        """Stop speaking. Returns whether there was anything left to stop."""
        with self._state:
            was_over, self._over = self._over, True
        self._token.request()
        return not was_over

    def run(self) -> None:
        try:
            with self._module._engine:
                self._report(b"701 BEGIN\n")
                with contextlib.suppress(Stopped), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._speak()
        except Exception:
            traceback.print_exc()  # to the log of Speech Dispatcher
        self._report(b"702 END\n", last=True)

    def _speak(self) -> None:
        kept, key = self._module._kept, (self._command, self._text, self._voice.name, self._speed)
        played = []
        with contextlib.closing(self._parts()) as parts:
            for speech in kept.get(key, parts):
                played.append(speech)
                if not self._play(speech.samples, speech.sample_rate):
                    return
        if len(self._text) <= SHORT and not self._over:  # a message that was stopped may be incomplete
            kept[key] = played

    def _parts(self) -> Generator[Speech, None, None]:
        """Yield the speech, the first piece a short one. Nothing if there is nothing to say."""
        for ssml in (True, False):
            text = to_ssml(self._command, self._text) if ssml else to_plain(self._text)
            try:
                synthesizer = self._tts.begin(
                    text, self._voice, ssml=ssml, strict=False, speed=self._speed, retries=0, early=True
                )
            except ValueError:
                continue  # no valid SSML, or nothing to say
            with contextlib.closing(prefetch(run(synthesizer, None, self._token), self._token)) as parts:  # type: ignore[type-var]
                for speech, _ in parts:
                    if speech is not None:
                        yield speech
            return

    def _play(self, samples: Samples, sample_rate: int) -> bool:
        """Send a part of the speech. Returns whether the message continues."""
        size = round(BLOCK * sample_rate)
        for start in range(0, len(samples), size):
            if not self._report(audio_message(samples[start : start + size] * self._gain, sample_rate)):
                return False
        return not self._over

    def _report(self, data: bytes, last: bool = False) -> bool:
        with self._state:  # so that nothing follows the event of a stop
            if self._over:
                return False
            self._over = last
            self._module.write(data)
        return True


def audio_message(samples: Samples, sample_rate: int) -> bytes:
    """Return samples as Speech Dispatcher takes them: 16-bit, with line breaks and the escape byte escaped."""
    data = pcm(samples).astype("<i2").tobytes()
    for byte in (_ESCAPE, 0x0A):
        data = data.replace(bytes([byte]), bytes([_ESCAPE, byte ^ _INVERT]))
    head = f"705-bits=16\n705-num_channels=1\n705-sample_rate={sample_rate}\n705-num_samples={len(samples)}\n"
    return f"{head}705-big_endian=0\n705-AUDIO\0".encode() + data + b"\n705 AUDIO\n"


def to_ssml(command: str, text: str) -> str:
    """Return a message as SSML. SPEAK is SSML already; other commands name a character, a key or a sound."""
    if command == "SPEAK":
        return text if text.lstrip().startswith("<speak") else f"<speak>{escape(text)}</speak>"
    text = text.strip() or "space"
    if command == "CHAR" and len(text) == 1:
        return f'<speak><say-as interpret-as="characters">{escape(text)}</say-as></speak>'
    words = " ".join(_KEYS.get(part, part) for part in re.split(r"[_\s]+", text) if part)
    return f"<speak>{escape(words)}</speak>"


def to_plain(text: str) -> str:
    return re.sub(r"<[^<>]*>", " ", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


# --- installation ----------------------------------------------------------------------------------------------------


def install(home: Path | None = None, system: Path = Path("/etc/speech-dispatcher")) -> list[str]:
    """Write the module and its configuration for this user. Returns what was done and what to do, a line each."""
    home = home or Path.home()
    program = home / ".local" / "libexec" / "speech-dispatcher-modules" / f"sd_{NAME}"
    settings = home / ".config" / "speech-dispatcher"
    for folder in (program.parent, settings / "modules"):
        folder.mkdir(parents=True, exist_ok=True)
    command = shutil.which(NAME) or f"{sys.executable} -m {NAME}"
    start = shlex.quote(command) if shutil.which(NAME) else f"{shlex.quote(sys.executable)} -m {NAME}"
    program.write_text(f'#!/bin/sh\nexec {start} speechd "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    conf = settings / "modules" / f"{NAME}.conf"
    if not conf.exists():
        conf.write_text("# vivavoce takes its voice and model from ~/.config/vivavoce/config.toml\n", encoding="utf-8")
    lines = f'AddModule "{NAME}" "{program}" "{NAME}.conf"\nDefaultModule {NAME}\n'
    main = settings / "speechd.conf"
    done = [f"written: {program}", f"written: {conf}"]
    if main.exists():
        if f'"{NAME}"' not in main.read_text(encoding="utf-8", errors="replace"):
            return [*done, f"add these lines to {main}, then log out and in:", *lines.splitlines()]
    else:
        general = system / "speechd.conf"
        text = general.read_text(encoding="utf-8", errors="replace") if general.exists() else ""
        main.write_text(f"{text}\n{lines}", encoding="utf-8")
        done.append(f"written: {main}")
    return [*done, f'try it: spd-say -o {NAME} "Hello there."; a running speech-dispatcher must be ended first']
