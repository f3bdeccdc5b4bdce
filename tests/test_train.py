"""Training: what is stopped goes on exactly, what is wrong is said in one line, what is exported can be loaded.

Models of a few thousand weights, on the corpus of tones that test_data.py makes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from test_data import BAD, TEXTS, samples, sound, write_corpus, write_shard
from torch import Tensor, nn

from vivavoce import checkpoints, checkpoints_torch, cli
from vivavoce.config import TrainConfig
from vivavoce.train import tasks, tasks_vocoder
from vivavoce.train.export import export
from vivavoce.train.loop import Run, learning_rate, train
from vivavoce.train.shards import Features
from vivavoce.train.state import Average, Checkpoints
from vivavoce.train.tasks import load_task
from vivavoce.vocoder_torch import Vocoder

CHARACTERS = " abcdefghijklmnopqrstuvwxyz."
SMALL = {"vocab_size": len(CHARACTERS), "dim": 16, "depth": 1}
DIT = {"heads": 1, "head_dim": 16, "ff_mult": 1, "text_dim": 8}
MODELS: dict[str, dict[str, Any]] = {
    "vocoder": {"model": {"dim": 8, "intermediate_dim": 16, "num_layers": 1}, "crop": 8},
    "duration": {"model": {"kind": "characters", **SMALL, "dropout": 0.2}, "characters": CHARACTERS},
    "transformer": {"model": {"kind": "transformer", **SMALL, **DIT, "dropout": 0.2}, "characters": CHARACTERS},
    "nanospeech": {
        "model": {**SMALL, **DIT, "text_layers": 1, "text_align": "durations", "patch": 2, "dropout": 0.2},
        "characters": CHARACTERS,
    },
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_corpus(tmp_path_factory.mktemp("corpus"), 8, 2, words=True)


def recipe(kind: str, **settings: Any) -> dict[str, Any]:
    """A tiny run of 4 steps at a constant rate, in batches of two or three utterances; `settings` change it."""
    budget = 27 if kind == "vocoder" else 200
    common = {"frames_per_batch": budget, "max_steps": 4, "warmup_steps": 2, "decay_steps": 0, "learning_rate": 1e-2}
    common |= {"ema": 0.9, "mixed_precision": "no", "workers": 0, **settings}
    return {**MODELS[kind], "train": common}


def task_of(kind: str) -> str:
    return "duration" if kind == "transformer" else kind


def write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def run(
    kind: str, data: list[str], out: Path, *, valid: Any = (), minutes: Any = None, start: Any = None, **s: Any
) -> Any:
    """Train through `loop.train` and return the newest checkpoint."""
    out.parent.mkdir(parents=True, exist_ok=True)
    config = write(out.parent / f"{out.name}-recipe.json", recipe(kind, **s))
    train(task_of(kind), config, data, out, minutes, valid, start_from=None if start is None else str(start))
    return newest(out)


def newest(out: Path) -> Any:
    return torch.load(Checkpoints(out, 1).all()[-1], weights_only=True)


def steps(out: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in Checkpoints(out, 1).all()]


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def same(a: Any, b: Any, tolerance: float = 1e-6) -> None:
    """Two checkpoints agree in losses, weights, averages, optimizer state and place in the data."""
    for name in ("step", "epoch", "data", "frames"):
        assert a[name] == b[name], name
    assert a["recent"] == pytest.approx(b["recent"], abs=tolerance)
    for part in ("model", "average"):
        for name, tensor in a[part].items():
            torch.testing.assert_close(tensor, b[part][name], rtol=0, atol=tolerance, msg=f"{part} {name}")
    for number, state in a["optimizer"]["state"].items():
        for name, tensor in state.items():
            torch.testing.assert_close(tensor, b["optimizer"]["state"][number][name], rtol=0, atol=tolerance)


def press_ctrl_c(monkeypatch: pytest.MonkeyPatch, task: type[tasks.Task], at: int, times: int = 1) -> None:
    """SIGINT during the loss of step `at`, counted from 1."""
    calls, loss = [0], task.loss

    def interrupted(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        calls[0] += 1
        if calls[0] == at:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return loss(self, model, *rest)

    monkeypatch.setattr(task, "loss", interrupted)


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


def test_a_worker_more_or_less_changes_nothing_where_there_is_one_lane(tmp_path: Path, shards: list[str]) -> None:
    whole = run("nanospeech", shards, tmp_path / "whole", cache=False)
    for stop in range(1, 5):
        parts = run("nanospeech", shards, tmp_path / "parts", max_steps=stop, cache=False, workers=stop % 2)
    same(whole, parts)


def test_a_run_may_change_from_memory_to_streaming_and_back(tmp_path: Path, shards: list[str], capsys: Any) -> None:
    run("duration", shards, tmp_path / "run", max_steps=2)
    for cache, told in ((False, "in memory before"), (True, "the run was streamed before: epoch 0 begins anew")):
        state = run("duration", shards, tmp_path / "run", max_steps=5 if cache else 3, cache=cache)
        assert told in capsys.readouterr().err
    assert state["step"] == 5 and len(state["recent"]) == 5


def test_a_batch_that_is_no_use_does_not_shift_a_resumed_run(tmp_path: Path, monkeypatch: Any) -> None:
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
        press_ctrl_c(patch, tasks_vocoder.VocoderTask, at=3, times=times)
        with pytest.raises(KeyboardInterrupt):
            run("vocoder", shards, tmp_path / "parts")
    # once: the step is finished; twice: it is given up, and nothing of it is in the checkpoint
    assert steps(tmp_path / "parts") == [3 if times == 1 else 2]
    assert "the same command goes on from here" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    same(whole, run("vocoder", shards, tmp_path / "parts"))


def test_ctrl_c_while_the_corpus_is_read_leaves_nothing_half_done(
    tmp_path: Path, shards: list[str], monkeypatch: Any
) -> None:
    def interrupted(*_: Any) -> Features:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on after Ctrl-C")

    with monkeypatch.context() as patch:
        patch.setattr(tasks.DurationTask, "featurize", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("duration", shards, tmp_path / "run")
    assert not list(tmp_path.glob("run/**/*.pt")) and not list(tmp_path.glob("run/**/*.tmp"))
    assert run("duration", shards, tmp_path / "run")["step"] == 4


def test_an_error_in_a_step_keeps_the_steps_before_it(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    whole = run("duration", shards, tmp_path / "whole")
    calls, loss = [0], tasks.DurationTask.loss

    def failing(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        calls[0] += 1
        if calls[0] == 4:
            raise MemoryError
        return loss(self, model, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(tasks.DurationTask, "loss", failing)
        with pytest.raises(MemoryError):
            run("duration", shards, tmp_path / "parts")
    assert steps(tmp_path / "parts") == [3]
    same(whole, run("duration", shards, tmp_path / "parts"))


def test_an_error_within_the_update_saves_nothing(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    def failing(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Average, "update", failing)  # the weights are a step ahead of their average
    with pytest.raises(MemoryError):
        run("duration", shards, tmp_path / "run")
    assert steps(tmp_path / "run") == []


def test_checkpoints_come_by_the_clock_and_the_newest_are_kept(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run", checkpoint_minutes=1e-9, keep_checkpoints=3, max_steps=5)
    assert steps(tmp_path / "run") == [3, 4, 5]
    assert not list((tmp_path / "run").glob("**/*.tmp"))


def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path: Path, shards: list[str]) -> None:
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


def test_another_recipe_is_refused_by_the_name_of_the_setting(tmp_path: Path, shards: list[str]) -> None:
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


def test_a_recipe_from_before_a_setting_existed_still_goes_on(tmp_path: Path, shards: list[str]) -> None:
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
    with pytest.raises(ValueError, match=r"step-00000004\.pt: unreadable checkpoint \(.*; delete it to go on") as error:
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
def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(
    tmp_path: Path, shards: list[str], monkeypatch: Any, broken: str
) -> None:
    calls, loss = [0], tasks.DurationTask.loss

    def failing(self: Any, model: nn.Module, *rest: Any) -> Tensor:
        calls[0] += 1
        value = loss(self, model, *rest)
        if calls[0] < 3:
            return value
        weight = next(model.parameters())
        # the square root's slope at 0 is infinite, though its value is fine
        return value * float("nan") if broken == "loss" else value + (weight * 0).sum().sqrt()

    monkeypatch.setattr(tasks.DurationTask, "loss", failing)
    expected = "the loss is nan .*at step 2; lower learning_rate" if broken == "loss" else "norm (nan|inf) at step 2"
    with pytest.raises(ValueError, match=expected):
        run("duration", shards, tmp_path / "run")
    assert steps(tmp_path / "run") == []
    with pytest.raises(ValueError, match="at step 0"):
        run("duration", shards, tmp_path / "run", checkpoint_minutes=1e-9)


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
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


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("vocoder", {"crop": 4}, "crop is 4; it must be at least 5"),
        ("vocoder", {"crops": 8}, "unknown setting 'crops'.*did you mean 'crop'"),
        ("vocoder", {"stft_weight": -1.0}, "stft_weight is -1.0; it must be 0 or more"),
        ("nanospeech", {"drop": 1.0}, "drop is 1.0; it must be from 0 to below 1"),
        ("nanospeech", {"characters": "ab"}, f"vocab_size is {len(CHARACTERS)}, but characters has 2"),
        ("nanospeech", {"model": {"speaker_dim": 7, "vocab_size": 28}}, "speaker_dim is 7; it must be 256"),
        ("duration", {"characters": ""}, "characters is empty"),
        ("duration", {"task": "vocoder"}, "a recipe for 'vocoder', not for 'duration'"),
    ],
)
def test_wrong_recipes_are_refused(kind: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task(kind, {**recipe(kind), **change})


# ---- what is learned from -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["duration", "transformer", "nanospeech"])
def test_word_times_are_optional_and_used_where_they_are(tmp_path: Path, shards: list[str], kind: str) -> None:
    bare = write_corpus(tmp_path / "bare", 8, 2, words=False)
    timed = run(kind, shards, tmp_path / "timed")
    total = run(kind, bare, tmp_path / "total")
    mixed = run(kind, [*shards, *bare], tmp_path / "mixed")
    assert all(np.isfinite(r["recent"]).all() for r in (timed, total, mixed))
    if kind != "transformer":  # which knows totals only
        assert timed["recent"][1:] != total["recent"][1:]


def test_character_durations_are_learned_from_totals_alone(tmp_path: Path) -> None:
    made = [{"wav": sound(0.09 * len(text), n), "txt": text.encode()} for n, text in enumerate(TEXTS) if len(text) > 3]
    shards = [write_shard(tmp_path / "a.tar", made)]
    run("duration", shards, tmp_path / "run", valid=shards, max_steps=60)
    log = rows(tmp_path / "run")
    assert log[-1]["valid_total_error"] < 0.1  # of an untrained model: 0.4
    assert [row["step"] for row in log if "loss" in row] == [50]


def test_the_speaker_vector_comes_from_the_recording(tmp_path: Path, shards: list[str]) -> None:
    values = recipe("nanospeech")
    values["model"] = {**values["model"], "speaker_dim": 256, "audio_prompt": False}
    train("nanospeech", write(tmp_path / "r.json", values), shards[:1], tmp_path / "run")
    items = torch.load(next((tmp_path / "run" / "features").iterdir()), weights_only=True)[0]
    vectors = torch.stack([item["speaker"] for item in items])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(items)))
    assert "transformer.speaker_embed.weight" in newest(tmp_path / "run")["model"]


def test_samples_and_the_shuffled_text_measure_are_written(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(tasks, "ASSETS", tmp_path / "none")
    settings: dict[str, Any] = {"valid": shards[:1], "max_steps": 1, "frames_per_batch": 2000}
    run("nanospeech", shards, tmp_path / "silent", **settings)
    (row,) = rows(tmp_path / "silent")
    assert {"valid_loss", "valid_noisy_loss", "valid_text"} <= set(row)
    names = {path.name for path in (tmp_path / "silent/samples/step-00000001").iterdir()}
    assert names == {f"{i}-{n}-mel.safetensors" for i in range(2) for n in ("made", "recorded")}
    assert list((tmp_path / "silent" / "tensorboard").iterdir())

    # with a vocoder in the package, they can be heard
    (tmp_path / "assets" / "vocoder").mkdir(parents=True)
    (tmp_path / "assets" / "vocoder" / "config.json").write_text("{}")
    monkeypatch.setattr(tasks, "ASSETS", tmp_path / "assets")
    vocoder = Vocoder(load_task("vocoder", recipe("vocoder")).recipe.model).eval()
    monkeypatch.setattr(tasks, "load_vocoder", lambda name: vocoder)
    run("nanospeech", shards, tmp_path / "heard", **settings)
    folder = tmp_path / "heard/samples/step-00000001"
    for i in range(2):
        frames = load_file(folder / f"{i}-made-mel.safetensors")["mel"].shape[0]
        info = soundfile.info(folder / f"{i}-made.wav")
        assert info.samplerate == 24_000 and info.frames == (frames - 1) * 256


def test_vocoder_samples_are_sounds(tmp_path: Path, shards: list[str]) -> None:
    run("vocoder", shards, tmp_path / "run", valid=shards, max_steps=1)
    names = {path.name for path in (tmp_path / "run/samples/step-00000001").iterdir()}
    assert names == {f"{i}-{n}.wav" for i in range(2) for n in ("made", "recorded")}


def test_the_progress_goes_to_stderr_and_says_what_was_read(tmp_path: Path, capsys: Any) -> None:
    shards = [write_shard(tmp_path / "a.tar", [*BAD["no text"], *samples(4)])]
    run("duration", shards, tmp_path / "kept")
    run("duration", shards, tmp_path / "streamed", cache=False)
    out, err = capsys.readouterr()
    assert out == ""
    assert "corpus: 4 utterances; 1 skipped: no text" in err
    assert "epoch 0: 4 utterances; 1 skipped: no text" in err
    assert "step 4 of 4" in err


# ---- arithmetic -----------------------------------------------------------------------------------------------------


class Line(tasks.Task):
    """Fits a line to what its two loaders know: a loss that is the mean over its items."""

    name = "line"

    def __init__(self, values: TrainConfig):
        self.mel = load_task("vocoder", recipe("vocoder")).mel
        self.recipe = tasks_vocoder.VocoderRecipe(train=values)

    def build(self) -> nn.Module:
        return nn.Linear(1, 1)

    def featurize(self, utterance: Any) -> Features:
        return {"x": float(len(utterance.samples)) / 24_000, "length": 10}

    def fingerprint(self) -> str:
        return "line"

    def collate(self, items: list[Features]) -> dict[str, Tensor]:
        return {"x": torch.tensor([[item["x"]] for item in items])}

    def loss(self, model: nn.Module, batch: dict[str, Tensor], critics: nn.Module | None = None) -> Tensor:
        return (model(batch["x"]) - 3 * batch["x"]).square().mean()


def test_a_small_and_a_large_batch_are_one_batch(tmp_path: Path, shards: list[str]) -> None:
    states = []
    for budget, accumulate in ((80, 1), (50, 2)):  # 5 items and 3
        values = TrainConfig(
            frames_per_batch=budget, accumulate=accumulate, max_steps=5, mixed_precision="no", workers=0, warmup_steps=0
        )
        Run(Line(values), shards, [], tmp_path / str(budget)).go(None)
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


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainConfig(max_steps=100, warmup_steps=10, decay_steps=20, learning_rate=1.0, final_learning_rate=0.1)
    assert [learning_rate(s, config) for s in (0, 4, 9, 10, 50, 80)] == pytest.approx([0.1, 0.5, 1, 1, 1, 1])
    assert [learning_rate(s, config) for s in (90, 100, 200)] == pytest.approx([0.55, 0.1, 0.1])
    assert learning_rate(55, config.replace(decay_steps=None)) == pytest.approx(0.55)  # all that follows the warm-up
    assert learning_rate(99, config.replace(decay_steps=0)) == 1  # none


def test_the_average_follows_the_weights() -> None:
    model = nn.BatchNorm1d(1)
    average = Average(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
    model.running_mean.fill_(5.0)
    average.update(model, 0)  # young: (1 + 0) / (10 + 0) is less than 0.9
    assert average.model.weight.item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert average.model.running_mean.item() == 5  # buffers are taken over
    average.update(model, 1000)
    assert average.model.weight.item() == pytest.approx(0.9 * 1.9 + 0.1 * 2)
    assert not average.model.weight.requires_grad and not average.model.training


def test_the_vocoder_reads_and_judges_spectra_in_float32() -> None:
    task = load_task("vocoder", recipe("vocoder"))
    model, wave = task.build(), 0.1 * torch.randn(2, 8 * 256)
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert task.loss(model, {"wave": wave}).dtype == torch.float32
    torch.testing.assert_close(seen[0], task.log_mel(wave))


# ---- export and fine-tuning -----------------------------------------------------------------------------------------


def test_an_exported_vocoder_holds_the_average_in_half_precision(tmp_path: Path, shards: list[str]) -> None:
    state = run("vocoder", shards, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "out")
    export(tmp_path / "run", tmp_path / "out")  # over an earlier export
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert weights.keys() == state["average"].keys()
    for name, tensor in weights.items():
        assert tensor.dtype == torch.float16 and torch.equal(tensor, state["average"][name].half())
    assert any(not torch.equal(state["model"][n].half(), w) for n, w in weights.items())
    vocoder = checkpoints_torch.load_vocoder(str(tmp_path / "out"))
    assert vocoder(torch.zeros(1, 5, 100)).shape == (1, 4 * 256)
    export(tmp_path / "run", tmp_path / "raw", "model")
    assert torch.equal(
        load_file(tmp_path / "raw" / "model.safetensors")["head.out.bias"], state["model"]["head.out.bias"].half()
    )


def test_exported_models_load_as_a_system(tmp_path: Path, shards: list[str]) -> None:
    for kind in ("vocoder", "duration", "nanospeech"):
        run(kind, shards, tmp_path / "runs" / kind)
        export(tmp_path / "runs" / kind, tmp_path / kind)
    path = tmp_path / "nanospeech" / "config.json"
    write(path, {**json.loads(path.read_text()), "duration": "../duration"})
    system = checkpoints.load_system(str(tmp_path / "nanospeech"), vocoder=str(tmp_path / "vocoder"), device="cpu")
    assert "".join(system.tokenizer.characters) == CHARACTERS and system.sample_rate == 24_000


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_exported_files_can_be_read_by_all_whom_the_umask_lets(tmp_path: Path, shards: list[str]) -> None:
    run("duration", shards, tmp_path / "run", max_steps=1)
    before = os.umask(0o022)
    try:
        export(tmp_path / "run", tmp_path / "out")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_what_cannot_be_exported_is_refused(tmp_path: Path, shards: list[str]) -> None:
    with pytest.raises(ValueError, match="holds no training run"):
        export(tmp_path, tmp_path / "out")
    run("duration", shards, tmp_path / "run")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="in use and not an earlier export"):
        export(tmp_path / "run", tmp_path / "used")
    state, path = newest(tmp_path / "run"), Checkpoints(tmp_path / "run", 1).all()[-1]
    state["average"]["out.bias"].fill_(1e6)
    torch.save(state, path)
    with pytest.raises(ValueError, match="out.bias does not fit into float16"):
        export(tmp_path / "run", tmp_path / "out")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"step-00000004\.pt: "):
        export(tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    with pytest.raises(ValueError, match=r"recipe\.json: unreadable, or it does not name its task"):
        export(tmp_path / "run", tmp_path / "out")


def test_a_run_starts_from_exported_weights(tmp_path: Path, shards: list[str], capsys: Any) -> None:
    first = run("duration", shards, tmp_path / "first")
    export(tmp_path / "first", tmp_path / "model")
    settings: dict[str, Any] = {"start": tmp_path / "model", "learning_rate": 1e-9, "ema": 0.0}
    tuned = run("duration", shards, tmp_path / "tuned", max_steps=1, **settings)
    for name, tensor in first["average"].items():
        torch.testing.assert_close(tuned["model"][name], tensor.half().float(), rtol=0, atol=1e-7)
    assert not torch.equal(tuned["model"]["out.weight"], load_file(tmp_path / "model/model.safetensors")["out.weight"])
    run("duration", shards, tmp_path / "tuned", max_steps=2, **settings)  # the same command goes on
    assert "is not read again: the run has begun" in capsys.readouterr().err


# ---- the best of a run ----------------------------------------------------------------------------------------------


def worsening(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Validations that give these losses, one after another."""
    left = iter(losses)
    monkeypatch.setattr(tasks.DurationTask, "validate", lambda *_: {"loss": next(left), "total_error": 0.0})


def test_a_run_without_progress_ends_and_its_best_is_kept(
    tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any
) -> None:
    settings: dict[str, Any] = {"max_steps": 9, "validate_every": 1, "valid": [shards[0]]}
    run("duration", shards, tmp_path / "two", **settings | {"max_steps": 2})
    worsening(monkeypatch, [0.5, 0.4, 0.45, 0.4, 0.3, 0.4, 0.4, 0.4])
    last = run("duration", shards, tmp_path / "run", patience=2, **settings)
    assert last["step"] == 4 and [row["valid_loss"] for row in rows(tmp_path / "run") if "valid_loss" in row][-1] == 0.4
    assert "patience is 2, and no validation was better than that of step 2" in capsys.readouterr().err
    run("duration", shards, tmp_path / "run", patience=2, **settings)
    assert "nothing left to do: patience is 2" in capsys.readouterr().err

    export(tmp_path / "two", tmp_path / "second")
    export(tmp_path / "run", tmp_path / "last")
    export(tmp_path / "run", tmp_path / "best", "best")
    second, last, best = (load_file(tmp_path / name / "model.safetensors") for name in ("second", "last", "best"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in best.items())
    assert not all(torch.equal(tensor, last[name]) for name, tensor in best.items())

    assert run("duration", shards, tmp_path / "run", patience=3, **settings)["step"] == 8  # three after the 0.3


def test_patience_survives_an_interruption_and_does_not_count_it(
    tmp_path: Path, shards: list[str], monkeypatch: Any
) -> None:
    settings: dict[str, Any] = {"max_steps": 9, "validate_every": 2, "valid": [shards[0]], "patience": 2}
    worsening(monkeypatch, [0.4, 0.5, 0.6, 0.5])  # of the steps 2, 3 (where it is interrupted), 4, 6
    run("duration", shards, tmp_path / "run", **settings | {"max_steps": 3})
    assert run("duration", shards, tmp_path / "run", **settings)["step"] == 6


def test_the_best_of_a_run_without_validation_is_refused(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    run("duration", shards, tmp_path / "run")
    with pytest.raises(ValueError, match=r"best\.pt: no such file; .* \(--valid\)"):
        export(tmp_path / "run", tmp_path / "out", "best")
    assert vivavoce(monkeypatch, "export", tmp_path / "run", tmp_path / "out", "--weights", "worst") == 2


# ---- the command line -----------------------------------------------------------------------------------------------


def vivavoce(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr(sys, "argv", ["vivavoce", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
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
    assert checkpoints_torch.load_vocoder(str(tmp_path / "model"))


def test_ctrl_c_on_the_command_line(tmp_path: Path, shards: list[str], monkeypatch: Any, capsys: Any) -> None:
    config = write(tmp_path / "r.json", recipe("vocoder"))
    press_ctrl_c(monkeypatch, tasks_vocoder.VocoderTask, at=1)
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


# ---- several processes ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("during", ["training", "reading"])
def test_ctrl_c_reaches_the_workers_too_and_only_the_main_process_speaks(tmp_path: Path, during: str) -> None:
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
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in told
    assert told.count("stopping after this step") == (1 if during == "training" else 0)
    assert len(steps(out)) == (1 if during == "training" else 0)
