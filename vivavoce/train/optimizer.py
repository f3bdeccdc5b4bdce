"""The learning rate schedule, and which parameters decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vivavoce.train.config import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate at `step`: linear warm-up, plateau, linear decay over the last `decay_steps`.

    With `decay_steps` None, the decay starts right after the warm-up.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    decay = config.max_steps - config.warmup_steps if config.decay_steps is None else config.decay_steps
    left = min(1.0, (config.max_steps - step) / max(1, decay))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * max(0.0, left)


def make_optimizer(model: nn.Module, config: TrainConfig, factors: dict[str, float]) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters; `factors` scale the learning rate of parameters by name."""
    groups = parameter_groups(model, config.weight_decay, factors)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.betas[0], config.betas[1]), eps=1e-8)


def parameter_groups(model: nn.Module, weight_decay: float, factors: dict[str, float]) -> list[dict[str, Any]]:
    """Split the parameters by learning rate factor, and into those with weight decay and those without.

    Matrices and kernels decay; gains, biases and the like do not. Neither do embeddings if the task scales rates: decay
    grows with the rate and would wear the rows of rare symbols away.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} if factors else set()
    groups = []
    for factor in sorted({1.0, *factors.values()}):
        own = [p for name, p in model.named_parameters() if factors.get(name, 1.0) == factor and p.requires_grad]
        decayed = [p for p in own if p.ndim >= 2 and id(p) not in embeddings]
        plain = [p for p in own if p.ndim < 2 or id(p) in embeddings]
        groups.append({"params": decayed, "weight_decay": weight_decay, "factor": factor})
        groups.append({"params": plain, "weight_decay": 0.0, "factor": factor})
    return groups


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Set the rate of every group, scaled by the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)  # checkpoints of version 0.1 have no factor
