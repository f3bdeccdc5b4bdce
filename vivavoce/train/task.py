"""What a model's training is to `loop.py`; the tasks themselves are in `tasks.py` and `tasks_*.py`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vivavoce.config import MelConfig
from vivavoce.train.shards import Features, Reader, Utterance
from vivavoce.train.tokens import sound_shards

Batch = dict[str, Tensor]
Metrics = dict[str, float]


class Task(Reader):
    """One model's training. Instances are pickled to the worker processes, so helpers that hold weights are lazy."""

    name: ClassVar[str]
    training_only: ClassVar[tuple[str, ...]] = ()  # how names of weights begin that serve training alone
    addable: ClassVar[tuple[str, ...]] = ()  # and of parts that a model which a run begins with may lack, or have alone
    recipe: Any
    mel: MelConfig
    step: int = 0  # that is being trained; the loop keeps it

    @property
    def sample_rate(self) -> int:
        return self.mel.sample_rate

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        """Which of the shards are for this task, before any is read, or ValueError where they will not do."""
        return sound_shards(shards), sound_shards(valid)

    def about_data(self) -> dict[str, Any]:
        """What the exported model's config.json tells of the data, after `check_data`; a run keeps to it."""
        return {}

    def build(self) -> nn.Module:
        """A new model with fresh weights."""
        raise NotImplementedError

    def check_fresh(self) -> None:
        """ValueError where a new run cannot begin with random weights alone."""

    def start(self, model: nn.Module, batches: list[Batch]) -> None:
        """Look at the first step's batches before a new run begins."""

    def learning_rates(self, model: nn.Module) -> dict[str, float]:
        """Factors on the learning rate of parameters, by name; those without one have 1."""
        return {}

    def featurize(self, utterance: Utterance) -> Features:
        """What training needs of the utterance; "length" is its size in frames. ValueError: why it is skipped."""
        raise NotImplementedError

    def length(self, seconds: float) -> int:
        """The "length" that `featurize` will give to an utterance of so many seconds, or slightly more."""
        return int(seconds * self.mel.frame_rate) + 2

    def fingerprint(self) -> str:
        """Changes when `featurize` would give something else."""
        raise NotImplementedError

    def collate(self, items: list[Features]) -> Batch:
        """Features → padded tensors."""
        raise NotImplementedError

    def critics(self) -> nn.Module | None:
        """What is trained against the model, if anything."""
        return None

    def loss(self, model: nn.Module, batch: Batch, critics: nn.Module | None = None) -> Tensor:
        """Scalar to minimise. Randomness comes from torch's global generator, which the loop seeds for each step."""
        return model(**batch)

    def critics_loss(self, model: nn.Module, batch: Batch, critics: nn.Module) -> Tensor:
        """Scalar that the critics minimise in their own step, which follows the model's."""
        raise NotImplementedError

    def weight(self, batch: Batch) -> int:
        """Over how many things `loss` is a mean: what batches of one step weigh against each other. Here: items."""
        return len(next(iter(batch.values())))

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Figures on held-out batches; the first one listed is the loss."""
        losses = []
        for number, batch in enumerate(batches):
            torch.manual_seed(number)
            losses.append(self.loss(model, batch).item())
        return {"loss": float(np.mean(losses))}

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        """Named pictures (log-mel [N, M]) or sounds ([S]) that show what the model does now."""
        return {}

    def export(self) -> dict[str, Any]:
        """What config.json of the exported model holds besides the weights' task."""
        return {"model": self.recipe.model.to_dict()}
