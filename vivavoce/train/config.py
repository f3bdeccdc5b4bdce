"""The settings that every training task has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivavoce.config import Config


@dataclass(frozen=True)
class TrainConfig(Config):
    """One training run. The recipe of a task adds its model and its own settings."""

    seed: int = 0
    frames_per_batch: int = 8_000  # mel frames in one batch of one process, padding included
    accumulate: int = 1  # batches in one optimizer step
    max_steps: int = 100_000
    warmup_steps: int = 500
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0  # reached linearly at the end
    decay_steps: int | None = None  # the rate falls over the last so many steps; null: from the warm-up on
    weight_decay: float = 0.01
    betas: tuple[float, ...] = (0.9, 0.95)
    clip_norm: float = 1.0
    ema: float = 0.999
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"  # auto: bf16 on a GPU, else float32
    checkpoint_minutes: float = 5.0
    validate_every: int = 1000  # steps
    patience: int | None = None  # end the run after so many validations in a row without a better loss; null: never
    keep_checkpoints: int = 2
    workers: int = 2  # processes that decode audio; 0: decode in the training process
    cache: bool = True  # hold all features in memory (fine for a few hours of speech); false: stream them
    damaged_shards: Literal["skip", "fail"] = "skip"  # skip: use what is readable of them, with a warning
    min_seconds: float = 0.3
    max_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name in ("frames_per_batch", "accumulate", "max_steps", "validate_every", "keep_checkpoints"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("warmup_steps", "workers", "seed"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(self.decay_steps is None or self.decay_steps >= 0, "decay_steps", "0 or more, or null")
        self.require(self.patience is None or self.patience > 0, "patience", "positive, or null")
        self.require(self.learning_rate > 0, "learning_rate", "positive")
        self.require(
            0 <= self.final_learning_rate <= self.learning_rate, "final_learning_rate", "from 0 to learning_rate"
        )
        self.require(
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "betas", "two numbers from 0 to below 1"
        )
        self.require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self.require(self.clip_norm > 0, "clip_norm", "positive")
        self.require(0 <= self.ema < 1, "ema", "from 0 to below 1")
        self.require(self.damaged_shards in ("skip", "fail"), "damaged_shards", "skip or fail")
        self.require(self.checkpoint_minutes > 0, "checkpoint_minutes", "positive")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "at least 0 and below max_seconds")
