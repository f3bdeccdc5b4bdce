"""The command `vivavoce train-voice`, killed by the system in each of its stages: the same command goes on and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.own_voice import tiny_base, write_recordings

from vivavoce.train_voice.state import STAGES, read_state
from vivavoce.voices import BUNDLE, VARIABLE, Voice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL"),
]

# Whisper and DNSMOS, if they are installed, would need weights and minutes; the recordings have texts.
COMMAND = """
import sys
sys.modules["faster_whisper"] = sys.modules["speechmos"] = None
from vivavoce.cli.main import main
sys.exit(main())
"""


def start(folder: Path) -> subprocess.Popen[str]:
    arguments = [
        str(folder / "recordings"),
        "--name",
        "me",
        "--out",
        str(folder / "run"),
        "--from",
        str(folder / "base"),
    ]
    arguments += ["--minutes", "0.05", "--threads", "1", "--consent", "I agree."]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "train-voice", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, VARIABLE: str(folder / "voices"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def kill_when(process: subprocess.Popen[str], there: Callable[[], bool]) -> str:
    """Kill the process as soon as something is there, and return what it has printed."""
    while not there():
        if process.poll() is not None:
            pytest.fail(f"it ended before: {process.communicate()[0]}")
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.communicate()[0]


def made(run: Path) -> dict[Path, tuple[int, int]]:
    """Identify the finished results in the folder of a run: a file that is written again has another inode or time."""
    patterns = ("stages/*.json", "clips/*", "checked/*", "prepared/*.tar", "training/candidate-*/model.safetensors",
                "training/durations-best/*", "training/judged-*.json")  # fmt: skip
    files = [path for pattern in patterns for path in run.glob(pattern)]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_killed_in_each_stage_it_goes_on_and_makes_nothing_twice(tmp_path: Path, root: Path) -> None:
    write_recordings(root, tmp_path / "recordings")
    tiny_base(tmp_path / "base")
    run = tmp_path / "run"
    training, voices = run / "training", tmp_path / "voices"
    within = {  # what there is in the middle of a stage
        "clips": lambda: len(list((run / "clips").glob("*.json"))) >= 2,
        "check": lambda: (run / "stages" / "clips.json").exists(),
        "prepare": lambda: (run / "stages" / "check.json").exists(),
        "durations": lambda: (training / "durations" / "log.jsonl").exists(),
        "model": lambda: (training / "candidate-1" / "model.safetensors").exists(),
        "choose": lambda: (training / "judged-base.json").exists(),
        "bundle": lambda: (voices / f"me{BUNDLE}").exists() or (run / f"me{BUNDLE}").exists(),
        "speak": lambda: (run / "samples").exists(),
    }
    assert list(within) == list(STAGES)
    killed = []
    before: dict[Path, tuple[int, int]] = {}
    for stage, there in within.items():
        if (run / "stages" / f"{stage}.json").exists():  # the kill before came too late
            continue
        printed = kill_when(start(tmp_path), there)
        assert before.items() <= made(run).items(), stage
        before = made(run)
        if not (run / "stages" / f"{stage}.json").exists():
            killed.append(stage)
            assert read_state(run).status == "stopped"
        if stage == "check":
            assert "transcribing …" in printed
        if stage == "choose":
            assert "resuming at step" in printed and "starting at step" not in printed
    assert {"clips", "model", "choose"} <= set(killed) and len(killed) >= 6, killed

    process = start(tmp_path)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0, printed
    assert before.items() <= made(run).items()
    assert "minutes of usable speech" in printed and "--ref-audio" in printed  # what to expect of so little
    assert "cutting and transcribing …" not in printed and "is ignored" not in printed
    assert {path.stem for path in (run / "stages").iterdir()} == set(STAGES) and read_state(run).status == "done"
    assert [path.name for path in voices.iterdir()] == [f"me{BUNDLE}"]
    assert Voice.load(voices / f"me{BUNDLE}").consent == "I agree."
    assert not [path for path in run.rglob("*") if path.name.endswith(".part")]
