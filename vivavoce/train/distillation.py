"""Distillation to fewer passes: the student learns the mean velocity of its teacher over long steps.

The teacher integrates from noise in small Euler steps. The mean velocity between any two points of its trajectory is
their difference over the time between them, so the student learns by plain regression, without Jacobian products and
without recordings: it only needs texts, their durations and speaker vectors (IntMeanFlow, arXiv:2510.07979;
ZipVoice-Distill, arXiv:2506.13053).
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivavoce.models import solvers
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.models.nanospeech_torch import Nanospeech

VIEWS = 2  # steps that the student learns from each trajectory; a trajectory costs more than a step


def step_sizes(steps: int) -> list[int]:
    """Return how many of the teacher's steps the student may take at once: the divisors of `steps`."""
    return [size for size in range(1, steps + 1) if steps % size == 0]


@torch.no_grad()
def trajectory_batch(
    teacher: Nanospeech, batch: dict[str, Tensor], steps: int, sampling: SamplingConfig
) -> dict[str, Tensor]:
    """Return the arguments of `Nanospeech.mean_velocity_loss` for VIEWS steps of each item.

    batch: text [B, T], lengths [B] and the conditions of `DiT.forward`; mel [B, N, M] only gives the shape. The teacher
    takes `steps` Euler steps, from noise and at times as in synthesis. Half of the steps that are no longer than the
    teacher's have no length: their velocity is the teacher's at that time, which the student must not forget.
    """
    given = {name: value for name, value in batch.items() if name not in ("mel", "bandwidth", "ssl_features")}
    text, lengths, mel = given.pop("text"), given.pop("lengths"), batch["mel"]
    size, frames = mel.shape[:2]
    schedule = solvers.schedule(steps, sampling.sway_coef)
    noise = sampling.temperature * torch.randn(mel.shape, device=mel.device)
    read = ("durations", "languages", "phones", "prosody", "codes")
    of_text = {name: given[name] for name in read if name in given}
    encoded = teacher.transformer.encode_text(text, lengths, frames, keep_text=noise.new_ones(size), **of_text)
    states: list[Tensor] = []

    def velocity(t: float, x: Tensor, _: float) -> Tensor:
        states.append(x)
        time = x.new_full((size,), t)
        return teacher.transformer(x, time, text, lengths, speaker=given.get("speaker"), encoded=encoded)

    states.append(solvers.integrate(velocity, noise, schedule))
    path = torch.stack(states)  # [steps + 1, B, N, M]
    times = torch.tensor(schedule, device=mel.device)

    sizes = torch.tensor(step_sizes(steps), device=mel.device)
    taken = sizes[torch.randint(len(sizes), (VIEWS * size,), device=mel.device)]
    first = (torch.rand(VIEWS * size, device=mel.device) * (steps // taken)).long() * taken
    item = torch.arange(size, device=mel.device).repeat(VIEWS)
    start, end = path[first, item], path[first + taken, item]
    time, until = times[first], times[first + taken]
    wanted = (end - start) / (until - time)[:, None, None]
    at_once = (taken == 1) & (torch.rand(len(taken), device=mel.device) < 0.5)
    made = {"x": start, "time": time, "end": torch.where(at_once, time, until), "wanted": wanted}
    repeated = {"text": text, "lengths": lengths, **given}
    return made | {name: value.repeat(VIEWS, *[1] * (value.ndim - 1)) for name, value in repeated.items()}
