"""Exponential moving average (EMA) of a model's weights.

`torch.optim.swa_utils.AveragedModel` cannot hold it: it deep-copies the model, which FSDP2 refuses for a sharded one,
and its first update copies the weights where the decay of a young average is wanted. Its averaging function is used.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vivavoce.train.checkpoint import is_sharded, shard_tensor_like


class EMA:
    """The average of a model's weights. It follows closely at first, while the weights are still poor."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.shards: list[Any] = []  # this process's part of each parameter, where the model is sharded

    def shard(self, model: nn.Module) -> None:
        """Follow a model that FSDP2 has sharded. From here on, `gather` updates `self.model`."""
        pairs = zip(self.model.parameters(), model.parameters(), strict=True)
        self.shards = [shard_tensor_like(average, current) for average, current in pairs]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights of `model` after training step `step`, and copy its buffers."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = zip(self.shards or self.model.parameters(), model.parameters(), strict=True)
        averages, weights = zip(*([_local(p.detach()) for p in pair] for pair in pairs), strict=True)
        get_ema_multi_avg_fn(decay)(list(averages), list(weights), None)
        for average, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(buffer)

    @torch.no_grad()
    def gather(self) -> None:
        """Collect the shards in `self.model`. A collective operation: every process must call it."""
        for average, shard in zip(self.model.parameters(), self.shards, strict=False):
            average.copy_(shard.full_tensor())


def _local(tensor: Any) -> Tensor:
    """Return the part of a tensor that this process holds."""
    return tensor.to_local() if is_sharded(tensor) else tensor
