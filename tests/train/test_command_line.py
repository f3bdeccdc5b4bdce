"""`vivavoce train` and `vivavoce export` as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.corpus import BAD, write_corpus, write_shard
from helpers.training import newest, recipe, send_signal, steps, write

from vivavoce.checkpoints import weights_torch
from vivavoce.cli import main
from vivavoce.train.tasks import vocoder

pytestmark = pytest.mark.usefixtures("one_thread")


def vivavoce(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["vivavoce", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_the_command_line_trains_and_exports(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    config = write(tmp_path / "r.json", recipe("vocoder"))
    out = tmp_path / "run"
    command = ("train", "vocoder", "--config", config, "--data", *shards, "--out", out, "--max-minutes", "1e-9")
    assert vivavoce(monkeypatch, *command, "--threads", 1, "--valid", shards[0]) == 0
    assert vivavoce(monkeypatch, *command) == 0
    assert steps(out) == [1, 2]
    assert vivavoce(monkeypatch, *command, "--no-resume") == 2
    # the recipe that a run keeps is one that can be used
    again = ("train", "vocoder", "--config", out / "recipe.json", "--data", Path(shards[0]).parent, "--out", out)
    assert vivavoce(monkeypatch, *again) == 0
    assert newest(out)["step"] == 4
    assert vivavoce(monkeypatch, "export", out, tmp_path / "model") == 0
    assert weights_torch.load_vocoder(str(tmp_path / "model"))


def test_ctrl_c_on_the_command_line(tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any) -> None:
    config = write(tmp_path / "r.json", recipe("vocoder"))
    send_signal(monkeypatch, vocoder.VocoderTask, at=1)
    command = ("train", "vocoder", "--config", config, "--data", *shards, "--out", tmp_path / "run")
    assert vivavoce(monkeypatch, *command) == 130
    assert "Traceback" not in capsys.readouterr().err
    assert steps(tmp_path / "run") == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "singing"}, "task is 'singing'; it must be one of vocoder, duration, nanospeech"),
        ({"--config": "none.json"}, "none.json: no such file"),
        ({"--config": "bad.json"}, "bad.json: not a readable JSON file"),
        ({"--config": "list.json"}, "list.json: expected an object with settings, found list"),
        ({"--config": "typo.json"}, "unknown setting 'learning_rat' (did you mean 'learning_rate'?)"),
        ({"--config": "."}, "not a readable JSON file"),
        ({"--data": "none-*.tar"}, "no shard at 'none-*.tar'"),
        ({"--data": "empty.tar"}, "the shards hold no usable utterance"),
        ({"--valid": "none.tar"}, "no shard at 'none.tar'"),
        ({"--max-minutes": "-1"}, "max_minutes is -1.0; it must be positive"),
        ({"--threads": "0"}, "threads is 0; it must be 1 or more"),
        ({"--from": "nowhere"}, "no model 'nowhere'; give a folder"),
        ({"--out": "r.json"}, "r.json"),
    ],
)
def test_bad_input_gets_one_line(
    tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any, change: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "r.json", recipe("vocoder"))
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    write(tmp_path / "typo.json", {**recipe("vocoder"), "train": {"learning_rat": 1}})
    write_shard(tmp_path / "empty.tar", BAD["no text"])
    flags = {"--config": "r.json", "--data": shards[0], "--out": "run", **change}
    task = flags.pop("task", "vocoder")
    assert vivavoce(monkeypatch, "train", task, *(part for flag in flags.items() for part in flag)) == 2
    err = capsys.readouterr().err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0] and "Traceback" not in err
    assert err.splitlines()[-1] == errors[0]


@pytest.mark.slow
def test_sigterm_to_the_whole_process_group_leaves_a_checkpoint(tmp_path: Path) -> None:
    """As systemd and Slurm stop a job: the data workers get the signal, too."""
    shards = write_corpus(tmp_path, 50, 2)
    config = write(tmp_path / "r.json", recipe("vocoder", max_steps=10**6, workers=2, cache=False))
    command = [sys.executable, "-m", "vivavoce", "train", "vocoder", "--config", config, "--out", tmp_path / "run"]
    command += ["--data", *shards]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "run" / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in messages, messages
    assert messages.count("stopping after this step") == 1 and len(steps(tmp_path / "run")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("during", ["training", "reading"])
def test_ctrl_c_stops_the_workers_and_only_the_main_process_reports(tmp_path: Path, during: str) -> None:
    shards = write_corpus(tmp_path, 200, 2)  # so many that the workers are at work most of the time
    config = write(tmp_path / "r.json", recipe("vocoder", max_steps=10**6, workers=2, cache=during == "reading"))
    out = tmp_path / "run"
    data = shards if during == "training" else [f"pipe:touch {tmp_path}/begun; sleep 60", *shards]
    command = [sys.executable, "-m", "vivavoce", "train", "vocoder", "--config", config, "--out", out, "--data", *data]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    begun = out / "log.jsonl" if during == "training" else tmp_path / "begun"
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in messages
    assert messages.count("stopping after this step") == (1 if during == "training" else 0)
    assert len(steps(out)) == (1 if during == "training" else 0)
