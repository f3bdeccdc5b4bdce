"""The discriminators' side of adversarial training: their optimizer, and their step after each step of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vivavoce.train.optimizer import set_learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

    from vivavoce.train.tasks.base import Batch, Task


class AdversarialTraining:
    """Trains the discriminators that `task` names, in step with the model."""

    def __init__(self, task: Task, discriminators: nn.Module, accelerator: Accelerator, learning_rate: float,
                 state: dict[str, Any] | None = None):  # fmt: skip
        self.task, self.accelerator = task, accelerator
        optimizer = torch.optim.AdamW(discriminators.parameters(), lr=learning_rate, betas=(0.8, 0.99))
        if state is not None:
            discriminators.load_state_dict(state["critics"])
            optimizer.load_state_dict(state["critics_optimizer"])
        # Not wrapped for several processes: each step uses only some of them, which DDP would report as an error.
        self.discriminators = discriminators.to(accelerator.device)
        self.optimizer = accelerator.prepare_optimizer(optimizer)

    def step(self, model: nn.Module, batches: list[Batch], rate: float) -> None:
        """Update the discriminators on the batches of the model's last step."""
        self.optimizer.zero_grad(set_to_none=True)  # the model's step left gradients here
        set_learning_rate(self.optimizer, rate)
        for batch in batches:
            with self.accelerator.autocast():
                loss = self.task.discriminator_loss(model, batch, self.discriminators) / len(batches)
            self.accelerator.backward(loss)
        if self.accelerator.num_processes > 1:
            for parameter in self.discriminators.parameters():
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(own, "mean")
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores, under the names that version 0.1 gave it."""
        return {"critics": self.discriminators.state_dict(), "critics_optimizer": self.optimizer.state_dict()}
