"""What the trainer needs to know of a model: how to build it, what it learns from, its loss and its validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vivavoce.config import MelConfig
from vivavoce.data.samples import Features, SampleSource, Utterance
from vivavoce.data.tokens import SUFFIX

Batch = dict[str, Tensor]
Metrics = dict[str, float]


class Task(SampleSource):
    """The training of one model. Instances are pickled to the worker processes, so they load other models lazily."""

    name: ClassVar[str]
    closed_form: ClassVar[bool] = False  # `fit` trains it in one go; most tasks are trained step by step
    training_only: ClassVar[tuple[str, ...]] = ()  # prefixes of weights that are not exported
    addable: ClassVar[tuple[str, ...]] = ()  # prefixes of parts that may be missing on one side of `init_from`
    recipe: Any
    mel: MelConfig
    step: int = 0  # the step being trained; the trainer sets it

    @property
    def sample_rate(self) -> int:
        return self.mel.sample_rate

    # ---- data

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        """Select this task's shards before any is read. Raises ValueError if they are unsuitable."""
        return recording_shards(shards), recording_shards(valid)

    def data_info(self) -> dict[str, Any]:
        """Return what the exported config.json says of the data, once `check_data` has seen it; constant in a run."""
        return {}

    def featurize(self, utterance: Utterance) -> Features:
        """Return what training needs of an utterance; "length" is its size in frames.

        Raises ValueError, whose message is the reason for skipping the utterance.
        """
        raise NotImplementedError

    def length(self, seconds: float) -> int:
        """Return the "length" that `featurize` gives an utterance of this duration, or slightly more."""
        return int(seconds * self.mel.frame_rate) + 2

    def fingerprint(self) -> str:
        """Return a string that changes whenever `featurize` would give other features."""
        raise NotImplementedError

    def collate(self, items: list[Features]) -> Batch:
        """Pad and stack features."""
        raise NotImplementedError

    # ---- the model

    def build(self) -> nn.Module:
        """Return a model with new weights."""
        raise NotImplementedError

    def check_fresh(self) -> None:
        """Raise ValueError if a new run cannot start from random weights alone."""

    def initialise(self, model: nn.Module, batches: list[Batch]) -> None:
        """Set weights of a new model from the first step's batches, before it is trained on them."""

    def learning_rates(self, model: nn.Module) -> dict[str, float]:
        """Return factors on the learning rate, by parameter name; parameters without one have 1."""
        return {}

    def discriminators(self) -> nn.Module | None:
        """Return discriminators to train against the model, if the task has any."""
        return None

    # ---- training

    def fit(self, data: list[str], valid: list[str], out: Path) -> None:
        """Train a `closed_form` task, and write a run folder that `export` reads."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        """Return the scalar to minimise. It may use torch's global generator, which the trainer seeds every step."""
        return model(**batch)

    def discriminator_loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module) -> Tensor:
        """Return the scalar that the discriminators minimise in their own step, after the model's."""
        raise NotImplementedError

    def weight(self, batch: Batch) -> int:
        """Return the number of things that `loss` averages over, by which batches are weighted. Here: items."""
        return len(next(iter(batch.values())))

    # ---- results

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Return figures on held-out batches. The first one is the loss, which selects the best checkpoint."""
        losses = []
        for number, batch in enumerate(batches):
            torch.manual_seed(number)
            losses.append(self.loss(model, batch).item())
        return {"loss": float(np.mean(losses))}

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        """Return named outputs of the model to look at and listen to: sounds [S], log-mels [N, M], other pictures."""
        return {}

    def export(self) -> dict[str, Any]:
        """Return what config.json of the exported model holds beside its format and kind."""
        return {"model": self.recipe.model.to_dict()}


def recording_shards(shards: list[str]) -> list[str]:
    """Return the shards of recordings, without the token shards beside them. Raises ValueError if none is left."""
    found = [shard for shard in shards if not shard.endswith(SUFFIX)]
    if shards and not found:
        raise ValueError(f"{shards[0]} holds tokens; this task trains on the shards of recordings beside it")
    return found
