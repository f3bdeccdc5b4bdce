"""The learning rate schedule and the average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vivavoce.train.config import TrainConfig
from vivavoce.train.ema import EMA
from vivavoce.train.optimizer import learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainConfig(max_steps=100, warmup_steps=10, decay_steps=20, learning_rate=1.0, final_learning_rate=0.1)
    assert [learning_rate(s, config) for s in (0, 4, 9, 10, 50, 80)] == pytest.approx([0.1, 0.5, 1, 1, 1, 1])
    assert [learning_rate(s, config) for s in (90, 100, 200)] == pytest.approx([0.55, 0.1, 0.1])
    assert learning_rate(55, config.replace(decay_steps=None)) == pytest.approx(0.55)  # all that follows the warm-up
    assert learning_rate(99, config.replace(decay_steps=0)) == 1  # none


def test_the_ema_follows_the_weights() -> None:
    model = nn.BatchNorm1d(1)
    average = EMA(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
    model.running_mean.fill_(5.0)
    average.update(model, 0)  # young: (1 + 0) / (10 + 0) is less than 0.9
    assert average.model.weight.item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert average.model.running_mean.item() == 5  # buffers are taken over
    average.update(model, 1000)
    assert average.model.weight.item() == pytest.approx(0.9 * 1.9 + 0.1 * 2)
    assert not average.model.weight.requires_grad and not average.model.training
