"""Distillation to fewer passes: what the student learns from, and that it learns it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.nanospeech import CONFIGS, batch, randomised

from vivavoce.models import solvers
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.models.nanospeech_torch import Nanospeech, length_mask
from vivavoce.train.distillation import VIEWS, step_sizes, trajectory_batch
from vivavoce.train.tasks.nanospeech import NanospeechRecipe

CONFIG = CONFIGS["mean velocity"]
SAMPLING = SamplingConfig(steps=2, method="euler", cfg=0.0, sway_coef=-1.0, temperature=0.8)


def items() -> dict[str, Any]:
    made = batch(CONFIG)
    return {"mel": made.pop("noise"), **made}


def test_the_end_of_a_step_has_no_effect_before_training_or_on_a_step_of_no_length() -> None:
    fresh, trained, given = Nanospeech(CONFIG), randomised(Nanospeech(CONFIG)), items()
    x, time = given["mel"], torch.tensor([0.0, 0.4, 0.7])

    def velocity(model: Nanospeech, end: torch.Tensor | None) -> torch.Tensor:
        with torch.no_grad():
            return model.transformer(x, time, given["text"], given["lengths"], speaker=given["speaker"], end=end)

    with torch.no_grad():
        fresh.transformer.out.weight.normal_()  # starts at zero, which would hide everything
    assert torch.equal(velocity(fresh, None), velocity(fresh, torch.ones(3)))
    assert torch.equal(velocity(trained, None), velocity(trained, time))
    assert (velocity(trained, None) - velocity(trained, torch.ones(3))).abs().max() > 0.1


def test_each_step_leads_from_one_state_of_the_teacher_to_another() -> None:
    teacher, given = randomised(Nanospeech(CONFIG.replace(mean_velocity=False))), items()
    torch.manual_seed(3)
    noise = SAMPLING.temperature * torch.randn(given["mel"].shape)
    torch.manual_seed(3)
    lesson = trajectory_batch(teacher, given, 4, SAMPLING)
    options: dict[str, Any] = {"durations": given["durations"], "speaker": given["speaker"]}
    times = solvers.schedule(4, SAMPLING.sway_coef)
    states = [teacher.scaled(teacher.unscaled(noise))]
    for n in range(1, 5):
        made = teacher.sample(noise, given["text"], given["lengths"], times=times[: n + 1], **options)
        states.append(teacher.scaled(made))
    assert len(lesson["x"]) == VIEWS * 3
    for number, (x, time, end, wanted) in enumerate(
        zip(*(lesson[k] for k in ("x", "time", "end", "wanted")), strict=True)
    ):
        first, last = (min(range(5), key=lambda i: abs(times[i] - float(t))) for t in (time, end))
        inside = length_mask(given["lengths"], 37)[number % 3]
        assert (x - states[first][number % 3])[inside].abs().max() < 1e-4
        if last == first:  # a step of no length: the velocity there, by which the teacher reaches its next state
            last, end = first + 1, torch.tensor(times[first + 1])
        assert last - first in step_sizes(4) == [1, 2, 4] and first % (last - first) == 0
        assert (x + (end - time) * wanted - states[last][number % 3])[inside].abs().max() < 1e-4


def test_the_teacher_reads_semantic_codes_if_it_has_a_channel_for_them() -> None:
    config = CONFIGS["codes"].replace(mean_velocity=True)
    teacher, made = randomised(Nanospeech(config)), batch(config)
    given = {"mel": made.pop("noise"), **made}
    targets = []
    for codes in (given["codes"], given["codes"].clamp(max=0)):
        torch.manual_seed(3)
        targets.append(trajectory_batch(teacher, {**given, "codes": codes}, 4, SAMPLING)["wanted"])
    assert (targets[0] - targets[1]).abs().max() > 0.1


def test_a_student_comes_nearer_to_its_teacher_in_half_the_passes() -> None:
    torch.manual_seed(0)
    given = items()
    teacher = randomised(Nanospeech(CONFIG))
    student = Nanospeech(CONFIG)
    student.load_state_dict({**student.state_dict(), **{
        name: value for name, value in teacher.state_dict().items() if "step_embed" not in name
    }})  # fmt: skip
    teacher.transformer.step_embed = None
    rest: dict[str, Any] = {"durations": given["durations"], "speaker": given["speaker"]}
    noise = SAMPLING.temperature * torch.randn(given["mel"].shape)
    inside = length_mask(given["lengths"], 37)

    def distance(steps: int) -> float:
        made = [
            model.sample(noise, given["text"], given["lengths"], times=solvers.schedule(n, SAMPLING.sway_coef), **rest)
            for model, n in ((student, steps), (teacher, 4))
        ]
        return float((made[0] - made[1])[inside].square().mean())

    before = distance(2)
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3)
    for _ in range(60):
        optimiser.zero_grad()
        student(**trajectory_batch(teacher, given, 4, SAMPLING)).backward()
        optimiser.step()
    assert distance(2) < 0.5 * before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"teacher": ""}, "teacher"),
        ({"guidance": 2.0}, "guidance"),
        ({"distil_steps": 1}, "distil_steps"),
        ({"model": {"mean_velocity": False}}, "mean_velocity"),
    ],
)
def test_settings_that_contradict_are_refused(root: Path, changes: dict[str, Any], named: str) -> None:
    values = json.loads((root / "recipes" / "nanospeech" / "distil.json").read_text(encoding="utf-8"))
    model = {**values["model"], **changes.pop("model", {})}
    with pytest.raises(ValueError, match=named):
        NanospeechRecipe.from_dict({**values, "model": model, **changes}, "distil.json")
