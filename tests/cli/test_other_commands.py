"""The command line: training, processes and serving."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import Out, vivavoce

from vivavoce.cli import main

pytestmark = pytest.mark.usefixtures("system")


# --- training --------------------------------------------------------------------------------------------------------


def test_train_passes_shards_that_the_shell_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    loop = types.SimpleNamespace(train=lambda *arguments: asked.append(arguments))
    monkeypatch.setitem(sys.modules, "vivavoce.train.trainer", loop)
    monkeypatch.setattr("vivavoce.train.trainer", loop, raising=False)
    line = "train vocoder --config c.json --data a.tar b.tar c.tar --out run --max-minutes 5 --valid v.tar --threads 2"
    assert vivavoce(*line.split(), "--from", "old") == 0
    data = ["a.tar", "b.tar", "c.tar"]
    assert asked == [("vocoder", Path("c.json"), data, Path("run"), 5.0, ["v.tar"], 2, "old", None)]


def test_train_without_resume_leaves_an_old_run_alone(capsys: Out) -> None:
    Path("run").mkdir()
    Path("run/log.jsonl").touch()
    line = "train vocoder --config c.json --data a.tar --out run --no-resume"
    assert vivavoce(*line.split()) == 2
    assert "run is not empty" in capsys.readouterr().err


def test_train_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "vivavoce.train.trainer":
                raise ModuleNotFoundError("No module named 'accelerate'", name="accelerate")

    monkeypatch.delitem(sys.modules, "vivavoce.train.trainer", raising=False)
    monkeypatch.delattr("vivavoce.train.trainer", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    line = "train vocoder --config c.json --data a.tar --out run"
    assert vivavoce(*line.split()) == 2
    assert "accelerate is missing: pip install vivavoce[train]" in capsys.readouterr().err


def test_export_without_its_extra_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "vivavoce.train.export":
                raise ModuleNotFoundError("No module named 'braceexpand'", name="braceexpand")

    monkeypatch.delitem(sys.modules, "vivavoce.train.export", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert vivavoce("export", "run", "model") == 2
    assert "export: the package braceexpand is missing: pip install vivavoce[train]" in capsys.readouterr().err


def test_export_passes_its_folders_and_which_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, Path, str]] = []
    fake = types.SimpleNamespace(export=lambda *given: asked.append(given))
    monkeypatch.setitem(sys.modules, "vivavoce.train.export", fake)
    assert vivavoce("export", "run", "model") == vivavoce("export", "run", "model", "--weights", "best") == 0
    assert asked == [(Path("run"), Path("model"), weights) for weights in ("average", "best")]


# --- as a process ----------------------------------------------------------------------------------------------------


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2])}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("module", ["vivavoce", "vivavoce.generate", "vivavoce.cli.main"])
def test_the_modules_run(module: str) -> None:
    done = process(module, "--text", "Hello.", "-o", "a.aac")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --output a.aac: unknown extension .aac") and done.stderr.count("\n") == 1


def test_the_trainer_runs_as_a_module_for_launchers() -> None:
    done = process("vivavoce.train", "vocoder", "--config", "none.json", "--data", "x", "--out", "y")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: none.json: no such file\n")


@pytest.mark.skipif(os.name != "posix", reason="the shell's notation for a closed descriptor")
@pytest.mark.parametrize("arguments", ["--version", "--help", "voices", "-o a.wav Hello", "serve --help"])
def test_a_closed_stdout_is_no_error(arguments: str) -> None:
    done = closed_stdout(arguments.replace("-o a.wav", "--voice nobody -o a.wav"))
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if "Hello" in arguments else 0)


@pytest.mark.skipif(os.name != "posix", reason="the shell's notation for a closed descriptor")
def test_wav_for_a_closed_stdout_is_one_line() -> None:
    done = closed_stdout("-o - Hello")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output, which is closed" in done.stderr


def closed_stdout(arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(main.__file__).parents[2])}
    command = f'"{sys.executable}" -m vivavoce {arguments} >&-'
    return subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, env=environment)


def test_version() -> None:
    done = process("vivavoce", "--version")
    assert done.returncode == 0 and done.stdout.startswith("vivavoce")


# --- serving ---------------------------------------------------------------------------------------------------------


def test_flags_of_serve_reach_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    run = pytest.importorskip("vivavoce.serve.run")
    asked: list[Any] = []
    monkeypatch.setattr(run, "serve", lambda settings, *_: asked.append(settings))
    assert vivavoce("serve") == 0
    line = (
        "serve --port 0 --model nanospeech --model whisperspeech --api-key k --max-chars 9 --max-seconds 5 --queue 0 "
        "--allow-origin https://a.example --voices here --voice-aliases a.json --log-level error --max-connections 8 "
        "--max-connections-per-client 2 --workers 3 --timeout 7 --max-upload-mb 2"
    )
    assert vivavoce(*line.split()) == 0
    ServeConfig = type(asked[0])
    assert asked[0] == ServeConfig()
    assert asked[1] == ServeConfig(
        port=0, models=("nanospeech", "whisperspeech"), api_key="k", max_chars=9, max_seconds=5.0, queue=0,
        allow_origins=("https://a.example",), voices="here", voice_aliases="a.json", log_level="error",
        max_connections=8, max_connections_per_client=2, workers=3, timeout=7.0, max_upload_mb=2.0,
    )  # fmt: skip
