"""Vocoders that imitate a larger one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, same
from helpers.vocoders import SMALL, vocoder
from safetensors.torch import save_file

from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.train.export import export
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer

torch.set_num_threads(1)

CONFIG = SMALL.replace(num_layers=3, harmonic_bins=64, harmonic_dim=16, harmonic_layers=3)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a vocoder with three layers."""
    folder = tmp_path_factory.mktemp("teacher")
    save_file(vocoder(CONFIG).state_dict(), folder / "model.safetensors")
    config = {"format": 1, "kind": "vocoder", "model": CONFIG.to_dict()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def values(teacher: str, steps: int = 4, **model: Any) -> dict[str, Any]:
    made = recipe("vocoder", max_steps=steps, frames_per_batch=3 * 21)
    size = CONFIG.replace(num_layers=2, harmonic_layers=2).to_dict()
    return made | {"model": {**size, **model}, "crop": 20, "teacher": teacher}


def test_a_student_starts_with_the_first_and_the_last_layer_of_its_teacher(teacher: str) -> None:
    theirs, ours = load_vocoder(teacher), load_task("vocoder", values(teacher)).build()
    for one, other in ((ours.backbone, theirs.backbone), (ours.harmonics.backbone, theirs.harmonics.backbone)):
        for layer, place in ((0, 0), (1, 2)):
            torch.testing.assert_close(one.convnext[layer].state_dict(), other.convnext[place].state_dict())
    torch.testing.assert_close(ours.head.out.weight, theirs.head.out.weight)


def test_a_narrower_student_starts_with_its_own_weights(teacher: str) -> None:
    ours = load_task("vocoder", values(teacher, dim=8, intermediate_dim=16)).build()
    assert ours.head.out.weight.shape[1] == 8
    torch.testing.assert_close(ours.harmonics.out.weight, load_vocoder(teacher).harmonics.out.weight)


def test_the_distance_is_small_for_the_teacher_itself_and_falls_in_training(teacher: str, tmp_path: Path) -> None:
    whole = load_task("vocoder", values(teacher, num_layers=3, harmonic_layers=3))
    task = load_task("vocoder", values(teacher))
    torch.manual_seed(0)
    batch = {"wave": 0.1 * torch.randn(2, 20 * 256)}
    assert 3 * whole.loss(whole.build(), batch) < task.loss(task.build(), batch)

    student = task.build()
    optimizer = torch.optim.Adam(student.parameters(), 3e-4)
    losses = []
    for _ in range(60):
        loss = task.loss(student, batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_a_run_resumes_exactly_and_its_model_speaks(teacher: str, tmp_path: Path) -> None:
    shards = write_corpus(tmp_path / "corpus", 6, 1)
    for name, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            Trainer(load_task("vocoder", values(teacher, stop)), shards, shards[:1], tmp_path / name).run(None)
    same(newest(tmp_path / "whole"), newest(tmp_path / "parts"))
    export(tmp_path / "parts", tmp_path / "model")
    assert load_vocoder(str(tmp_path / "model"))(torch.zeros(1, 20, 100)).shape == (1, 19 * 256)


def test_a_teacher_that_does_not_fit_is_refused(teacher: str) -> None:
    with pytest.raises(ValueError, match=r"its harmonic_bins is 64, the model's is 0"):
        load_task("vocoder", values(teacher, harmonic_bins=0)).build()
    with pytest.raises(ValueError, match="no-such-model"):
        load_task("vocoder", values("./no-such-model")).build()
