"""Several processes (gloo, on the CPU) train as one: same gradients, same data, exact resume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, run, same, steps, write
from helpers.two_processes import Recorded, joined, recorded, streamed

from vivavoce.train import trainer
from vivavoce.train.batches import load_corpus

KEYS = [f"u{n:03d}" for n in range(18)]
HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "ACCELERATE_USE_CPU": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")]),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_corpus(tmp_path_factory.mktemp("corpus"), 18, 6, words=True)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, shards: list[str]) -> Path:
    """What two_processes.py left."""
    out = tmp_path_factory.mktemp("launched")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(HERE.parent / "helpers" / "two_processes.py"), str(Path(shards[0]).parent), str(out)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


pytestmark = pytest.mark.usefixtures("one_thread")


def go_on(task: Recorded, shards: list[str], out: Path) -> list[str]:
    """Train here, alone, and return the utterances that were used."""
    trainer.Trainer(task, shards, [], out).run(None)
    return [key for batch in task.seen for key in batch]


# ---- one launch of two processes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["replicated", "sharded"])
def test_two_processes_have_the_gradients_of_their_joined_batch(launched: Path, shards: list[str], kind: str) -> None:
    task = joined()
    corpus = load_corpus(shards, task, task.recipe.train)
    frames = [sum(item["length"] for item in batch) for batch in corpus.batches(0)]
    assert len(frames) == 2 and max(frames) > 1.5 * min(frames)  # or a plain mean of both losses would do

    torch.manual_seed(0)
    model = task.build().train()
    task.loss(model, task.collate(corpus.items)).backward()
    found = torch.load(launched / "gradients.pt", weights_only=True)[kind]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-5, name
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_one_process_resumes_in_the_data_where_two_stopped(launched: Path, shards: list[str]) -> None:
    shares = [json.loads((launched / f"seen-{rank}.json").read_text()) for rank in range(2)]
    seen = [key for share in shares for batch in share for key in batch]
    assert all(len(share) == 4 for share in shares)  # as many steps
    assert len(set(seen)) == len(seen) < len(KEYS)  # in the midst of the first epoch, and nothing twice
    state = newest(launched / "streamed")
    assert state["processes"] == 2 and state["epoch"] == 0
    rest = go_on(streamed(max_steps=30), shards, launched / "streamed")
    left = len(KEYS) - len(seen)
    assert sorted(seen + rest[:left]) == KEYS
    assert sorted(rest[left : left + len(KEYS)]) == KEYS  # and the epoch after it
    assert newest(launched / "streamed")["processes"] == 1


def test_a_sharded_run_that_was_interrupted_is_the_replicated_run(launched: Path, shards: list[str]) -> None:
    whole, parts = newest(launched / "replicated"), newest(launched / "sharded")
    same(whole, parts, tolerance=1e-5)
    one = recorded(frames_per_batch=300, max_steps=5)
    trainer.Trainer(one, shards, [], launched / "sharded").run(None)  # a single process resumes it unsharded
    assert newest(launched / "sharded")["step"] == 5


def test_two_processes_train_the_same_discriminators(launched: Path) -> None:
    (before, after), others = (
        torch.load(launched / f"discriminators-{rank}.pt", weights_only=True) for rank in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(before + after, others[0] + others[1], strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


# ---- the launcher that users have -----------------------------------------------------------------------------------


def launch(task: str, config: Path, out: Path, data: list[str], *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
    command += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    command += ["-m", "vivavoce.train", task, "--config", str(config), "--out", str(out), "--data", *data, *more]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finished(process: subprocess.Popen[str]) -> str:
    _, messages = process.communicate(timeout=200)
    assert process.returncode == 0, messages[-3000:]
    return messages


@pytest.mark.slow
def test_two_processes_stop_and_resume_together(tmp_path: Path, shards: list[str]) -> None:
    config = write(tmp_path / "r.json", recipe("vocoder", validate_every=2))
    messages = finished(launch("vocoder", config, tmp_path / "whole", shards, "--valid", shards[0]))
    assert messages.count("starting at step 0") == 1  # of the main process alone
    finished(launch("vocoder", config, tmp_path / "parts", shards, "--valid", shards[0], "--max-minutes", "1e-9"))
    assert steps(tmp_path / "parts") == [1]
    finished(launch("vocoder", config, tmp_path / "parts", shards, "--valid", shards[0]))
    whole = newest(tmp_path / "whole")
    assert whole["processes"] == 2 and whole["step"] == 4
    same(whole, newest(tmp_path / "parts"), tolerance=1e-5)
    one = run("vocoder", shards, tmp_path / "parts", validate_every=2, max_steps=6)  # and then alone
    assert one["step"] == 6 and one["processes"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("cache", [True, False])
def test_a_kill_loses_only_the_steps_since_the_last_checkpoint(tmp_path: Path, shards: list[str], cache: bool) -> None:
    settings: dict[str, Any] = {"cache": cache, "workers": 0 if cache else 2, "frames_per_batch": 130}
    settings |= {"max_steps": 400, "decay_steps": 100, "checkpoint_minutes": 1e-9, "keep_checkpoints": 1000}
    config = write(tmp_path / "r.json", recipe("duration", **settings))
    finished(launch("duration", config, tmp_path / "whole", shards))
    process = launch("duration", config, tmp_path / "killed", shards)
    while len(steps(tmp_path / "killed")) < 20:
        assert process.poll() is None
        time.sleep(0.01)
    for each in (*psutil.Process(process.pid).children(recursive=True), process):
        each.kill()
    process.communicate(timeout=60)
    left = steps(tmp_path / "killed")
    assert left == list(range(1, len(left) + 1)) and 20 <= len(left) < 400
    for step in left:  # each of them is whole
        torch.load(tmp_path / "killed" / "checkpoints" / f"step-{step:08d}.pt", weights_only=True)
    messages = finished(launch("duration", config, tmp_path / "killed", shards))
    assert f"resuming at step {len(left)}" in messages
    same(newest(tmp_path / "whole"), newest(tmp_path / "killed"), tolerance=0)


@pytest.mark.slow
def test_bad_input_is_one_line_under_a_launcher(tmp_path: Path, shards: list[str]) -> None:
    process = launch("vocoder", tmp_path / "none.json", tmp_path / "run", shards)
    _, messages = process.communicate(timeout=200)
    assert process.returncode != 0
    assert f"error: {tmp_path / 'none.json'}: no such file" in messages.splitlines()
