"""Voices that are being made in the studio of the server: recordings, their checks, and the training in a process.

Each has a folder of its name:

    recordings/ID.flac, ID.txt    what `train-voice` learns from; a sentence of the script has its number as its ID
    checks/ID.json                seconds, and what is wrong with the recording
    run/                          the folder of `train-voice`
    log.txt                       what it has printed

The training is `vivavoce train-voice` in a separate process, which a server that starts again finds by its lock.
Knows nothing about HTTP.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy.typing as npt

from vivavoce import locks
from vivavoce.audio.files import make_private, write_json
from vivavoce.bundles import read_bundle
from vivavoce.train_voice import fit, recordings, scripts
from vivavoce.train_voice.refusals import Busy, Changed, Full, Missing
from vivavoce.train_voice.settings import LEAST, TrainVoiceConfig, advice
from vivavoce.train_voice.state import FILE, LISTEN, RunState, read_state
from vivavoce.voices import BUNDLE, VARIABLE, check_name, own_path

COMMAND = (sys.executable, "-m", "vivavoce", "train-voice")
MAX_PROJECTS, MAX_RECORDINGS = 100, 2_000
MAX_HOURS = 20.0  # of recordings of one voice
GRACE = 30.0  # seconds that a stopped training has to save a checkpoint
KILL = -9  # exit status of a process that was killed
KILLED = "the system has killed the training, probably because memory ran out; it can be resumed"

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}", re.IGNORECASE)

P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate["Studio", P], R]


def _alone(method: Method[P, R]) -> Method[P, R]:
    """Run one call at a time: requests run in threads, and a check must still hold when it is acted upon."""

    @functools.wraps(method)
    def locked(self: Studio, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


@dataclass
class Take:
    """A recording of a voice."""

    id: str
    seconds: float
    text: str = ""  # "": Whisper will write it
    sentence: int | None = None  # its number in the script, from 1
    faults: list[str] = field(default_factory=list)


@dataclass
class Project:
    """A voice that is being made."""

    name: str
    takes: list[Take]
    minutes: float
    advice: str
    state: RunState
    changed: bool  # whether the recordings differ from those that the run learns from
    voice: bool  # whether the finished voice is among those of the user


class Studio:
    """A folder of voices that are being made. Raises ValueError if it cannot be created or others can read it."""

    def __init__(self, folder: Path, voices: Path) -> None:
        self.folder, self.voices = folder.absolute(), voices.absolute()
        make_private(folder, "choose a folder with --studio-folder")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.RLock()

    # ---- voices

    def names(self) -> list[str]:
        """Return the names of the voices, in alphabetical order."""
        return sorted(path.parent.name for path in self.folder.glob("*/recordings"))

    @_alone
    def create(self, name: str) -> str:
        """Create a voice, and return its name. Raises ValueError for an unusable name or one that is in use."""
        name = check_name(" ".join(name.split()))
        if any(name.casefold() == other.casefold() for other in self.names()):
            raise ValueError(f"there is a voice {name!r} in the studio already")
        if own_path(name, self.voices) is not None:
            raise ValueError(f"there is a voice {name!r} already; choose another name")
        if len(self.names()) >= MAX_PROJECTS:
            raise Full(f"the studio holds {MAX_PROJECTS} voices already; delete one")
        for part in ("recordings", "checks"):
            (self.folder / name / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        return name

    @_alone
    def delete(self, name: str) -> None:
        """Delete the recordings and the run of a voice. The finished voice stays. Raises Missing and Busy."""
        folder = self._folder(name)
        if self.running(name):
            raise Busy(f"the training of {name!r} is running; stop it first")
        self._processes.pop(name, None)
        shutil.rmtree(folder)

    def project(self, name: str) -> Project:
        """Describe a voice. Raises Missing."""
        folder = self._folder(name)
        takes = self._takes(folder)
        minutes = sum(take.seconds for take in takes) / 60
        state = self.state(name)
        changed = state.status not in ("new", "running") and self._changed(folder)
        told = advice(minutes, name) if takes else ""
        return Project(name, takes, minutes, told, state, changed, self._own(name, folder) is not None)

    def state(self, name: str) -> RunState:
        """Return the progress of a voice's training. Raises Missing."""
        folder = self._folder(name)
        found = read_state(folder / "run", self.running(name))
        if found.status in ("new", "stopped") and (code := self._failed(name)):
            found.status, found.error = "failed", KILLED if code == KILL else self._last_line(folder)
        return found

    # ---- recordings

    @_alone
    def add(
        self, name: str, samples: npt.ArrayLike, sample_rate: int, text: str, sentence: int | None, filename: str
    ) -> Take:
        """Store a recording [S], check it, and return it.

        sentence: the number of the script's sentence that it reads, whose earlier recording it replaces; None: any
        other speech, with its words in `text` if they are known. Raises Missing, Busy, Full, and ValueError for a
        sentence that the script does not have, one with a text, and a text without words.
        """
        folder = self._folder(name)
        if self.running(name):
            raise Busy(f"the training of {name!r} is running; stop it first, or record afterwards")
        takes = self._takes(folder)
        script = scripts.read_script(str(scripts.SIZES[-1]))
        if sentence is not None and not 1 <= sentence <= len(script):
            raise ValueError(f"sentence is {sentence}; it must be from 1 to {len(script)}")
        if sentence is not None and text.strip():
            raise ValueError("text and sentence are given; a sentence has its own text, so give only one of them")
        if text.strip() and not any(map(str.isalnum, text)):
            raise ValueError(f"text is {text.strip()[:40]!r}; it must be the words of the recording")
        seconds = len(samples) / sample_rate  # type: ignore[arg-type]
        if len(takes) >= MAX_RECORDINGS or sum(t.seconds for t in takes) + seconds > 3600 * MAX_HOURS:
            raise Full(f"a voice has at most {MAX_RECORDINGS} recordings and {MAX_HOURS:g} hours")
        text = script[sentence - 1] if sentence is not None else " ".join(text.split())
        known = {take.id for take in takes}
        identifier = f"{sentence:04d}" if sentence is not None else _free(_slug(filename), known)
        faults = scripts.faults(samples, sample_rate, text if sentence is not None else "")
        if text and seconds > recordings.WHOLE:
            faults.append(f"longer than {recordings.WHOLE:g} s: Whisper writes its words, not the text that is given")
        take = Take(identifier, round(seconds, 2), text, sentence, faults)
        sound, words = (folder / "recordings" / f"{identifier}.{kind}" for kind in ("flac", "txt"))
        scripts.store_sound(sound, samples, sample_rate)
        if text:
            scripts.store_text(words, text)
        else:
            words.unlink(missing_ok=True)
        write_json(folder / "checks" / f"{identifier}.json", asdict(take))
        return take

    @_alone
    def remove(self, name: str, identifier: str) -> None:
        """Delete a recording. Raises Missing and Busy."""
        sound = self.sound(name, identifier)
        if self.running(name):
            raise Busy(f"the training of {name!r} is running; stop it first")
        (self._folder(name) / "checks" / f"{identifier}.json").unlink(missing_ok=True)
        sound.unlink(missing_ok=True)
        sound.with_suffix(".txt").unlink(missing_ok=True)

    def sound(self, name: str, identifier: str) -> Path:
        """Return the file of a recording. Raises Missing."""
        return _file(self._folder(name) / "recordings", identifier, _ID)

    # ---- training

    def check_lang(self, lang: str) -> None:
        """Raise ValueError for a language that the model from which voices are trained does not speak."""
        fit.check_lang(fit.find_base(TrainVoiceConfig.base), lang)

    @_alone
    def start(self, name: str, minutes: float, consent: str, licence: str, lang: str, again: bool = False) -> None:
        """Start the training of a voice, or resume it.

        again: delete the run of other recordings, and its voice. Raises Missing, Busy, Changed, and ValueError if the
        recordings are too few or the voice's name is taken.
        """
        folder = self._folder(name)
        settings = TrainVoiceConfig(name, minutes=minutes, lang=lang, licence=licence, consent=consent)
        self.check_lang(lang)
        for other in self.names():
            if self.running(other):
                raise Busy(f"the training of {other!r} is running; one voice is trained at a time")
        takes = self._takes(folder)
        seconds = sum(take.seconds for take in takes)
        if seconds < 60 * LEAST:
            raise ValueError(f"{seconds:.0f} s of recordings; training needs {60 * LEAST:.0f} s at least")
        unread = [take.id for take in takes if not take.text or take.seconds > recordings.WHOLE]
        if unread and importlib.util.find_spec("faster_whisper") is None:
            raise ValueError(
                f"some recordings have no text, or are longer than {recordings.WHOLE:g} s: {', '.join(unread[:3])}; "
                "Whisper, which would write it, is not installed: pip install vivavoce[eval], or record the sentences "
                "shown here"
            )
        run = folder / "run"
        if again:
            if (own := self._own(name, folder)) is not None:
                own.unlink()
            shutil.rmtree(run, ignore_errors=True)
        elif (run / "run.json").exists() and self._changed(folder):
            raise Changed(
                "the recordings have changed since the training began; train again from the start (again: true)"
            )
        elif (before := self._lang(folder)) not in ("", lang):
            raise Changed(f"the training began with lang {before!r}; train again from the start (again: true)")
        elif own_path(name, self.voices) is not None and self._own(name, folder) is None:
            raise ValueError(f"there is a voice {name!r} already; delete it with: vivavoce voices remove {name}")
        (run / FILE).unlink(missing_ok=True)
        command = [
            *COMMAND, str(folder / "recordings"), "--name", name, "--out", str(run), "--minutes", f"{minutes:g}",
            "--lang", settings.lang, "--consent", consent, "--licence", licence,
        ]  # fmt: skip
        with open(folder / "log.txt", "wb") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, VARIABLE: str(self.voices)},
            )  # fmt: skip

    def running(self, name: str) -> bool:
        """Return whether the training of a voice is running, started by this server or another one."""
        process = self._processes.get(name)
        if process is not None:
            return process.poll() is None
        return (self.folder / name / "run").is_dir() and locks.owner(self.folder / name / "run") is not None

    def stop(self, name: str) -> None:
        """Stop the training, which saves a checkpoint first, and wait until it has ended. Raises Missing."""
        folder = self._folder(name)
        process = self._processes.get(name)
        number = process.pid if process is not None else locks.owner(folder / "run")
        if not self.running(name) or number is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)  # training saves a checkpoint; other stages lose their current work
        end = time.monotonic() + GRACE
        while self.running(name) and time.monotonic() < end:
            time.sleep(0.05)
        if self.running(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
            if process is not None:
                process.wait()
                self._processes.pop(name, None)  # it was stopped, and has not failed

    def close(self) -> list[str]:
        """Stop what this server has started, and return the names: each can be resumed."""
        stopped = [name for name in self._processes if self.running(name)]
        for name in stopped:
            self.stop(name)
        return stopped

    # ---- results

    def listen(self, name: str, key: str) -> Path:
        """Return the file of a sound of `RunState.sounds`. Raises Missing."""
        return _file(self._folder(name) / "run" / LISTEN, key, _KEY)

    def bundle(self, name: str) -> Path:
        """Return the file of the finished voice. Raises Missing."""
        path = self._folder(name) / "run" / f"{name}{BUNDLE}"
        if not path.is_file():
            raise Missing(f"the voice {name!r} is not finished yet")
        return path

    def report(self, name: str) -> Path:
        """Return report.html of the finished voice. Raises Missing."""
        path = self._folder(name) / "run" / "report.html"
        if not path.is_file():
            raise Missing(f"the voice {name!r} has no report yet")
        return path

    # ---- inside

    def _folder(self, name: str) -> Path:
        if name not in self.names():  # so no name can lead out of the folder
            raise Missing(f"there is no voice {name!r} in the studio")
        return self.folder / name

    def _takes(self, folder: Path) -> list[Take]:
        found = []
        for path in sorted((folder / "checks").glob("*.json")):
            if (folder / "recordings" / f"{path.stem}.flac").is_file():
                with contextlib.suppress(OSError, ValueError, TypeError):
                    found.append(Take(**json.loads(path.read_text(encoding="utf-8"))))
        return found

    def _changed(self, folder: Path) -> bool:
        try:
            told = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
            return bool(
                told.get("recordings") != recordings.identity(recordings.find_recordings(folder / "recordings"))
            )
        except (OSError, ValueError, KeyError):
            return False

    def _lang(self, folder: Path) -> str:
        """Return the language of the run; "": it has not begun."""
        try:
            return str(json.loads((folder / "run" / "run.json").read_text(encoding="utf-8")).get("lang", ""))
        except (OSError, ValueError):
            return ""

    def _own(self, name: str, folder: Path) -> Path | None:
        """Return the file among the user's voices that this run has put there."""
        own, made = own_path(name, self.voices), folder / "run" / f"{name}{BUNDLE}"
        if own is None or not made.is_file():
            return None
        try:
            same = read_bundle(own).training.get("run") == read_bundle(made).training.get("run")
        except (OSError, ValueError):
            return None
        return own if same else None

    def _failed(self, name: str) -> int:
        """Return the exit status of a training that has failed; 0: none has."""
        process = self._processes.get(name)
        code = 0 if process is None else process.poll() or 0
        return 0 if code in (130, 143, -signal.SIGINT, -signal.SIGTERM) else code

    def _last_line(self, folder: Path) -> str:
        try:
            lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "the training ended without a word")


def _file(folder: Path, name: str, form: re.Pattern[str]) -> Path:
    path = folder / f"{name}.flac"
    if not form.fullmatch(name) or not path.is_file():
        raise Missing(f"there is no recording {name!r}")
    return path


def _slug(filename: str) -> str:
    """Return an ID for a file that was dropped, which no sentence has."""
    stem = re.sub(r"[^a-z0-9]+", "-", Path(filename.replace("\\", "/")).stem.lower()).strip("-")[:40].strip("-")
    return f"file-{stem or 'recording'}"


def _free(identifier: str, known: set[str]) -> str:
    number, found = 1, identifier
    while found in known:
        number += 1
        found = f"{identifier}-{number}"
    return found
