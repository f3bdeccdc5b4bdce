"""The state of a run of train-voice, in its folder: written by the run, read by whoever watches it.

progress.json    what is being done, or why the run ended
stages/*.json    what each finished stage has found
listen/*         a held-out recording and what the checkpoints make of it: KEY.flac, and KEY.json with its title
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vivavoce import locks
from vivavoce.audio.dsp import Samples
from vivavoce.audio.files import atomic_write, write_json
from vivavoce.audio.io import encode
from vivavoce.train_voice import fit, report

STAGES = {
    "clips": "cutting and transcribing",
    "check": "checking for noise, other speakers, enough speech",
    "prepare": "preparing, holding out",
    "durations": "training the duration model",
    "model": "training the model",
    "choose": "choosing the best checkpoint",
    "bundle": "writing the voice",
    "speak": "speaking, writing the report",
}
FILE, LISTEN = "progress.json", "listen"
EVERY = 0.5  # seconds between two writes within a stage
POINTS = 200  # of a curve, at most


# ---- written by the run ----------------------------------------------------------------------------------------------


class Progress:
    """Writes progress.json of a run."""

    def __init__(self, out: Path, minutes: float) -> None:
        self._path, self._minutes, self._written, self._stage = out / FILE, minutes, 0.0, ""
        self._first: tuple[float, float] | None = None  # when a part of the stage was first known, and the part

    def show(self, stage: str, doing: str = "", done: float = 0.0) -> None:
        """Note what is being done. done: the part of the stage, 0 to 1."""
        now = time.monotonic()
        if stage == self._stage and now - self._written < EVERY:
            return
        if stage != self._stage:
            self._first = None
        self._written, self._stage = now, stage
        done = min(1.0, max(0.0, done))
        self._first = self._first or (now, done)  # an earlier run may have done some of it
        began, part = self._first
        left = (now - began) * (1 - done) / (done - part) if done > part else None
        more = {} if left is None else {"left": round(left)}
        self._write("running", stage=stage, doing=doing, done=round(done, 3), **more)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Note how the block ends."""
        try:
            yield
        except Exception as error:
            self._write("failed", error=str(error) or type(error).__name__)
            raise
        except BaseException:  # Ctrl-C, SIGTERM
            self._write("stopped")
            raise
        self._write("done")

    def _write(self, status: str, **more: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # a full disk ends the run where it matters
            write_json(self._path, {"status": status, "minutes": self._minutes, **more})


def keep_sound(out: Path, key: str, title: str, text: str, samples: Samples, sample_rate: int) -> None:
    """Write a sound to listen to. key: a file name, in whose order the sounds are listed."""
    folder = out / LISTEN
    folder.mkdir(exist_ok=True)
    atomic_write(folder / f"{key}.flac", encode(samples, sample_rate, "flac"))
    write_json(folder / f"{key}.json", {"title": title, "text": text})


# ---- read by others --------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """A stage of a run."""

    name: str
    title: str
    done: bool = False
    seconds: float = 0.0
    line: str = ""  # what it has found
    notices: list[str] = field(default_factory=list)


@dataclass
class RunState:
    """The progress of a run. status: new, running, stopped, failed or done."""

    status: str = "new"
    error: str = ""
    stages: list[Stage] = field(default_factory=list)
    stage: str = ""  # the one that is being done
    doing: str = ""
    done: float = 0.0  # part of that stage, 0 to 1
    left: float | None = None  # seconds of that stage; None: unknown
    trained: float = 0.0  # minutes
    minutes: float = 0.0  # of training, at most
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # losses over minutes, first is 1
    checkpoints: list[dict[str, Any]] = field(default_factory=list)  # those that were judged: `choose.Candidate`
    chosen: str = ""  # name of the best of them
    sounds: list[dict[str, str]] = field(default_factory=list)  # key, title and text


def read_state(out: Path, running: bool | None = None) -> RunState:
    """Read the progress of the run in `out`. running: whether it is running; None: as its lock says."""
    found = RunState()
    for name, title in STAGES.items():
        values = _read(out / "stages" / f"{name}.json")
        more = {key: values[key] for key in ("seconds", "line", "notices") if key in values} if values else {}
        found.stages.append(Stage(name, title, values is not None, **more))
    told = _read(out / FILE) or {}
    found.status, found.error = told.get("status", "new"), told.get("error", "")
    found.stage, found.doing, found.done = told.get("stage", ""), told.get("doing", ""), told.get("done", 0.0)
    found.minutes = told.get("minutes", 0.0)
    if running is None:
        running = locks.owner(out) is not None
    if running:
        found.status, found.error = "running", ""
    elif found.status == "running":  # it was killed
        found.status = "stopped"
    rows = {name: fit.log_rows(out / "training" / name) for name in ("durations", "nanospeech")}
    found.trained = sum(float(log[-1].get("minutes", 0.0)) for log in rows.values() if log)
    found.left = told.get("left") if running else None
    if found.stage in ("durations", "model"):
        found.done, found.left = _trained(out, found.stage, found.minutes)
    found.curves = {name: _thinned(points) for name, points in report.loss_curves(rows).items()}
    found.checkpoints = [one for path in sorted((out / "training").glob("judged-*.json")) if (one := _read(path))]
    found.chosen = (_read(out / "stages" / "choose.json") or {}).get("after", {}).get("name", "")
    for path in sorted((out / LISTEN).glob("*.json")):
        if (sound := _read(path)) and path.with_suffix(".flac").is_file():
            found.sounds.append({"key": path.stem, "title": sound["title"], "text": sound["text"]})
    return found


def _trained(out: Path, stage: str, minutes: float) -> tuple[float, float | None]:
    """Return the part of a training stage that is done, and the seconds left; it ends with its minutes or its steps."""
    run = out / "training" / ("nanospeech" if stage == "model" else stage)
    share = fit.DURATION_SHARE if stage == "durations" else 1 - fit.DURATION_SHARE
    rows = fit.log_rows(run)
    spent, step = (float(rows[-1].get("minutes", 0.0)), int(rows[-1].get("step", 0))) if rows else (0.0, 0)
    steps = ((_read(run.with_name(f"{run.name}.json")) or {}).get("train") or {}).get("max_steps", fit.ENDLESS)
    by_time = spent / (share * minutes) if minutes else 0.0
    done = min(1.0, max(by_time, step / steps))
    return done, 60 * spent * (1 - done) / done if done and spent else None


def _read(path: Path) -> Any:
    """Return the content of a JSON file; None if it is missing."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    step = -(-len(points) // POINTS)
    return points if step < 2 else [*points[:-1:step], points[-1]]
