"""The trainer: a resumed run equals an uninterrupted one, and errors are one line.

Models of a few thousand weights, on a corpus of tones.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.corpus import BAD, samples, write_shard
from helpers.training import MODELS, newest, recipe, rows, run, same, send_signal, steps, write
from torch import Tensor, nn

from vivavoce.data.samples import Features
from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.config import TrainConfig
from vivavoce.train.ema import EMA
from vivavoce.train.tasks import duration, vocoder
from vivavoce.train.tasks.base import Task
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer, train

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- stopped and resumed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_a_resumed_run_is_the_uninterrupted_run(tmp_path: Path, shards: list[str], kind: str, cache: bool) -> None:
    settings = {"cache": cache, "accumulate": 2 if kind == "duration" else 1}
    whole = run(kind, shards, tmp_path / "whole", max_steps=8, **settings)
    run(kind, shards, tmp_path / "parts", max_steps=3, **settings)
    parts = run(kind, shards, tmp_path / "parts", max_steps=8, **settings)
    assert whole["step"] == 8 and whole["epoch"] >= 1  # the resumed part crosses into another epoch
    assert len(set(whole["recent"])) == 8
    same(whole, parts)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_streamed_run_may_be_resumed_anywhere(tmp_path: Path, shards: list[str], workers: int) -> None:
    settings = {"cache": False, "workers": workers}
    whole = run("nanospeech", shards, tmp_path / "whole", max_steps=6, **settings)
    for stop in range(1, 7):
        parts = run("nanospeech", shards, tmp_path / "parts", max_steps=stop, **settings)
    same(whole, parts)


def test_a_single_worker_or_none_gives_the_same_run(tmp_path: Path, shards: list[str]) -> None:
    whole = run("nanospeech", shards, tmp_path / "whole", cache=False)
    for stop in range(1, 5):
        parts = run("nanospeech", shards, tmp_path / "parts", max_steps=stop, cache=False, workers=stop % 2)
    same(whole, parts)


def test_a_run_may_switch_between_memory_and_streaming(tmp_path: Path, shards: list[str], capsys: Any) -> None:
    run("duration", shards, tmp_path / "run", max_steps=2)
    for cache, reported in (
        (False, "held in memory before"),
        (True, "the run was streamed before: epoch 0 starts over"),
    ):
        state = run("duration", shards, tmp_path / "run", max_steps=5 if cache else 3, cache=cache)
        assert reported in capsys.readouterr().err
    assert state["step"] == 5 and len(state["recent"]) == 5


def test_an_unusable_batch_does_not_shift_a_resumed_run(tmp_path: Path, monkeypatch: Any) -> None:
    # two utterances, the longest ones, whose text the vocabulary lacks: batches of their own, and empty
    odd = [{"flac": samples(1)[0].get("flac", s), "txt": "你好".encode()} for s in (samples(1, start=3)[0]["wav"],) * 2]
    shards = [write_shard(tmp_path / "a.tar", [*odd, *samples(5)])]
    whole = run("duration", shards, tmp_path / "whole", frames_per_batch=80, max_steps=12, cache=False)
    for stop in range(1, 13):
        parts = run("duration", shards, tmp_path / "parts", frames_per_batch=80, max_steps=stop, cache=False)
    same(whole, parts)


def test_max_minutes_leaves_a_checkpoint(tmp_path: Path, shards: list[str], capsys: Any) -> None:
    whole = run("duration", shards, tmp_path / "whole")
    for step in range(1, 5):
        parts = run("duration", shards, tmp_path / "parts", minutes=1e-9)
        assert parts["step"] == step
    same(whole, parts)
    before = steps(tmp_path / "parts"), rows(tmp_path / "parts") if (tmp_path / "parts/log.jsonl").exists() else []
    run("duration", shards, tmp_path / "parts", minutes=1e-9)
    assert "nothing left to do: max_steps is 4" in capsys.readouterr().err
    assert before == (steps(tmp_path / "parts"), [])


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_a_checkpoint(
    tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any, times: int
) -> None:
    whole = run("vocoder", shards, tmp_path / "whole")
    with monkeypatch.context() as patch:
        send_signal(patch, vocoder.VocoderTask, at=3, times=times)
        with pytest.raises(KeyboardInterrupt):
            run("vocoder", shards, tmp_path / "parts")
    # once: the step is finished; twice: it is given up, and nothing of it is in the checkpoint
    assert steps(tmp_path / "parts") == [3 if times == 1 else 2]
    assert "the same command resumes from here" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    same(whole, run("vocoder", shards, tmp_path / "parts"))


def test_sigterm_leaves_a_checkpoint_as_ctrl_c_does(
    tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any
) -> None:
    whole = run("vocoder", shards, tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        send_signal(patch, vocoder.VocoderTask, at=3, number=signal.SIGTERM)
        with pytest.raises(SystemExit) as stop:
            run("vocoder", shards, tmp_path / "parts")
    assert stop.value.code == 143 and steps(tmp_path / "parts") == [3]
    assert "the same command resumes from here" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    same(whole, run("vocoder", shards, tmp_path / "parts"))


def test_a_run_outside_the_main_thread_trains_without_signals(tmp_path: Path, shards: list[str]) -> None:
    thread = threading.Thread(target=run, args=("duration", shards, tmp_path / "run"))
    thread.start()
    thread.join()
    assert steps(tmp_path / "run") == [4]


def test_a_second_trainer_on_a_run_is_refused_while_the_first_one_works(
    tmp_path: Path, shards: list[str], monkeypatch: Any
) -> None:
    """Two trainers on one folder would write every log row twice and overwrite each other's checkpoints."""
    loss = duration.DurationTask.loss
    refused: list[str] = []

    def busy(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        with pytest.raises(ValueError, match=r"run is in use by this process; .* give another output$") as error:
            run("duration", shards, tmp_path / "run")
        refused.append(str(error.value))
        return loss(self, model, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(duration.DurationTask, "loss", busy)
        run("duration", shards, tmp_path / "run")
    assert len(refused) == 4 and not (tmp_path / "run" / ".lock").exists()
    assert run("duration", shards, tmp_path / "run", max_steps=5)["step"] == 5


def test_leftovers_of_a_killed_trainer_are_removed(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run")
    names = [".lock", ".recipe.json.0123abcd.part", "features/.features-0123abcd.pt.0123abcd.part"]
    names += ["checkpoints/.step-00000005.pt.0123abcd.part", "checkpoints/step-00000005.tmp"]
    for name in names:
        (tmp_path / "run" / name).write_bytes(b"half")
    assert run("duration", shards, tmp_path / "run", max_steps=5)["step"] == 5
    assert not any((tmp_path / "run" / name).exists() for name in names)


def test_ctrl_c_while_reading_the_corpus_leaves_no_partial_files(
    tmp_path: Path, shards: list[str], monkeypatch: Any
) -> None:
    def interrupted(*_: Any) -> Features:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on after Ctrl-C")

    with monkeypatch.context() as patch:
        patch.setattr(duration.DurationTask, "featurize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("duration", shards, tmp_path / "run")
    assert not list(tmp_path.glob("run/**/*.pt")) and not list(tmp_path.glob("run/**/*.tmp"))
    assert run("duration", shards, tmp_path / "run")["step"] == 4


def test_an_error_in_a_step_keeps_the_steps_before_it(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    whole = run("duration", shards, tmp_path / "whole")
    calls, loss = [0], duration.DurationTask.loss

    def failing(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        calls[0] += 1
        if calls[0] == 4:
            raise MemoryError
        return loss(self, model, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(duration.DurationTask, "loss", failing)
        with pytest.raises(MemoryError):
            run("duration", shards, tmp_path / "parts")
    assert steps(tmp_path / "parts") == [3]
    same(whole, run("duration", shards, tmp_path / "parts"))


def test_an_error_during_the_update_saves_nothing(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    def failing(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(EMA, "update", failing)  # the weights are a step ahead of their average
    with pytest.raises(MemoryError):
        run("duration", shards, tmp_path / "run")
    assert steps(tmp_path / "run") == []


def test_checkpoints_are_saved_by_the_clock_and_the_newest_kept(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run", checkpoint_minutes=1e-9, keep_checkpoints=3, max_steps=5)
    assert steps(tmp_path / "run") == [3, 4, 5]
    assert not list((tmp_path / "run").glob("**/*.tmp"))


def test_the_log_of_a_resumed_run_has_every_step_once(tmp_path: Path, shards: list[str]) -> None:
    out, settings = tmp_path / "run", {"checkpoint_minutes": 1e-9, "keep_checkpoints": 9, "validate_every": 1}
    run("duration", shards, out, valid=shards[:1], **settings)
    whole = [{k: v for k, v in row.items() if k != "minutes"} for row in rows(out)]
    assert [row["step"] for row in whole] == [1, 2, 3, 4]
    for path in Checkpoints(out, 1).all()[2:]:
        path.unlink()  # as if the machine had stopped before they were written
    with open(out / "log.jsonl", "a") as log:
        log.write('{"step": 5, "lo')
    run("duration", shards, out, valid=shards[:1], **settings)
    assert [{k: v for k, v in row.items() if k != "minutes"} for row in rows(out)] == whole


# ---- refused --------------------------------------------------------------------------------------------------------


def test_a_changed_recipe_is_refused_naming_the_setting(tmp_path: Path, shards: list[str]) -> None:
    run("nanospeech", shards, tmp_path / "run", max_steps=1)
    with pytest.raises(ValueError, match=r"different: train\.learning_rate, train\.ema\);"):
        run("nanospeech", shards, tmp_path / "run", learning_rate=0.5, ema=0.5, max_steps=9, keep_checkpoints=3)
    values = recipe("nanospeech", max_steps=1)
    values["model"] = {**values["model"], "mel": {"floor": 1e-7}}
    with pytest.raises(ValueError, match=r"different: model\.mel\.floor\);"):
        train("nanospeech", write(tmp_path / "other.json", values), shards, tmp_path / "run")
    with pytest.raises(ValueError, match=r"different: task\);"):
        run("vocoder", shards, tmp_path / "run")
    assert run("nanospeech", shards, tmp_path / "run", max_steps=2)["step"] == 2  # and none of this did any harm


def test_a_recipe_older_than_a_setting_still_resumes(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run", max_steps=1)
    kept = json.loads((tmp_path / "run" / "recipe.json").read_text())
    del kept["train"]["clip_norm"], kept["model"]["rotary"]
    write(tmp_path / "run" / "recipe.json", kept)
    assert run("duration", shards, tmp_path / "run", max_steps=2)["step"] == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}"])
def test_a_run_without_a_readable_recipe_is_refused(tmp_path: Path, shards: list[str], damage: str) -> None:
    run("duration", shards, tmp_path / "run", max_steps=1)
    path = tmp_path / "run" / "recipe.json"
    path.write_text(damage) if damage else path.unlink()
    with pytest.raises(ValueError, match=r"recipe\.json: missing or unreadable.*give another --out$"):
        run("duration", shards, tmp_path / "run")


def test_an_unreadable_checkpoint_is_named(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run", checkpoint_minutes=1e-9)
    path = Checkpoints(tmp_path / "run", 1).all()[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=r"step-00000004\.pt: unreadable checkpoint \(.*; delete it to resume"
    ) as error:
        run("duration", shards, tmp_path / "run", max_steps=5)
    assert "\n" not in str(error.value)
    torch.save({"model": {"x": torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match=r"step-00000004\.pt: not a checkpoint of this run") as error:
        run("duration", shards, tmp_path / "run", max_steps=5)
    assert "\n" not in str(error.value)
    path.unlink()
    assert run("duration", shards, tmp_path / "run", max_steps=5)["step"] == 5


@pytest.mark.parametrize("cache", [True, False])
def test_a_corpus_without_a_usable_utterance_is_refused(tmp_path: Path, cache: bool) -> None:
    shards = [write_shard(tmp_path / "a.tar", [*BAD["no text"], *BAD["empty text"]])]
    with pytest.raises(ValueError, match=r"no usable utterance \(0 utterances; 3 skipped: empty text; 1 skipped: no t"):
        run("duration", shards, tmp_path / "run", cache=cache)
    assert steps(tmp_path / "run") == []
    with pytest.raises(ValueError, match="data is empty"):
        run("duration", [], tmp_path / "run")


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_ends_the_run_unsaved(
    tmp_path: Path, shards: list[str], monkeypatch: Any, broken: str
) -> None:
    calls, loss = [0], duration.DurationTask.loss

    def failing(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        calls[0] += 1
        value = loss(self, model, *rest)
        if calls[0] < 3:
            return value
        weight = next(model.parameters())
        # the square root's slope at 0 is infinite, though its value is fine
        return value * float("nan") if broken == "loss" else value + (weight * 0).sum().sqrt()

    monkeypatch.setattr(duration.DurationTask, "loss", failing)
    expected = "the loss is nan .*at step 2; lower learning_rate" if broken == "loss" else "norm is (nan|inf) at step 2"
    with pytest.raises(ValueError, match=expected):
        run("duration", shards, tmp_path / "run")
    assert steps(tmp_path / "run") == []
    with pytest.raises(ValueError, match="at step 0"):
        run("duration", shards, tmp_path / "run", checkpoint_minutes=1e-9)


def test_a_full_disk_is_one_line(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    save = torch.save

    def full(values: Any, file: Any, **options: Any) -> None:
        if not isinstance(file, Path):
            return save(values, file, **options)
        file.write_bytes(b"as much as there was room for")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 0 vs 1\nmore")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"features-.*\.pt: cannot be written \(.*\); is the disk full\?$"):
        run("duration", shards, tmp_path / "run")
    with pytest.raises(OSError, match=r"step-00000004\.pt: cannot be written"):
        run("duration", shards, tmp_path / "run", cache=False)
    assert not [p for p in (tmp_path / "run").glob("**/*") if p.suffix in (".pt", ".tmp")]


# ---- progress -------------------------------------------------------------------------------------------------------


def test_progress_goes_to_stderr_and_reports_what_was_read(tmp_path: Path, capsys: Any) -> None:
    shards = [write_shard(tmp_path / "a.tar", [*BAD["no text"], *samples(4)])]
    run("duration", shards, tmp_path / "kept")
    run("duration", shards, tmp_path / "streamed", cache=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert "corpus: 4 utterances; 1 skipped: no text" in err
    assert "epoch 0: 4 utterances; 1 skipped: no text" in err
    assert "step 4 of 4" in err


# ---- arithmetic -----------------------------------------------------------------------------------------------------


class Line(Task):
    """Fits a line to what its two loaders know: a loss that is the mean over its items."""

    name = "line"

    def __init__(self, values: TrainConfig):
        self.mel = load_task("vocoder", recipe("vocoder")).mel
        self.recipe = vocoder.VocoderRecipe(train=values)

    def build(self) -> nn.Module:
        return nn.Linear(1, 1)

    def featurize(self, utterance: Any) -> Features:
        return {"x": float(len(utterance.samples)) / 24_000, "length": 10}

    def fingerprint(self) -> str:
        return "line"

    def collate(self, items: list[Features]) -> dict[str, Tensor]:
        return {"x": torch.tensor([[item["x"]] for item in items])}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], discriminators: nn.Module | None = None) -> Tensor:
        return (model(batch["x"]) - 3 * batch["x"]).square().mean()


def test_accumulated_batches_equal_one_joined_batch(tmp_path: Path, shards: list[str]) -> None:
    states = []
    for budget, accumulate in ((80, 1), (50, 2)):  # 5 items and 3
        values = TrainConfig(
            frames_per_batch=budget, accumulate=accumulate, max_steps=5, mixed_precision="no", workers=0, warmup_steps=0
        )
        Trainer(Line(values), shards, [], tmp_path / str(budget)).run(None)
        states.append(newest(tmp_path / str(budget)))
    one, two = states
    assert one["frames"] == two["frames"] == 5 * 80
    assert one["recent"] == pytest.approx(two["recent"], abs=1e-5)
    for name in one["model"]:
        torch.testing.assert_close(one["model"][name], two["model"][name], rtol=0, atol=1e-5)


def test_runs_in_one_process_may_differ_in_precision(tmp_path: Path, shards: list[str]) -> None:
    for precision in ("no", "bf16", "no"):
        state = run("duration", shards, tmp_path / precision, max_steps=2, mixed_precision=precision)
        assert {tensor.dtype for tensor in state["model"].values()} == {torch.float32}


# ---- export and fine-tuning -----------------------------------------------------------------------------------------


# ---- the best of a run ----------------------------------------------------------------------------------------------


# ---- the command line -----------------------------------------------------------------------------------------------


# ---- several processes ----------------------------------------------------------------------------------------------
