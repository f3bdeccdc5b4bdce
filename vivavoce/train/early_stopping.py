"""Early stopping: the best validation loss of a run, and when to give up waiting for a better one."""

from __future__ import annotations

import math


class EarlyStopping:
    """Tracks validation losses. With a `patience` of None it never ends a run."""

    def __init__(self, patience: int | None):
        self.patience = patience
        self.best_loss, self.best_step = math.inf, 0
        self.without_progress = 0  # validations in a row that were not better than the best

    def update(self, loss: float, step: int, scheduled: bool = True) -> bool:
        """Record a validation and return whether it is the best so far.

        A validation that an interruption adds is not `scheduled` and does not count against the patience.
        """
        self.without_progress += scheduled
        if not loss < self.best_loss:  # NaN included
            return False
        self.best_loss, self.best_step, self.without_progress = loss, step, 0
        return True

    @property
    def exhausted(self) -> bool:
        return self.patience is not None and self.without_progress >= self.patience

    def reason(self) -> str:
        return f"patience is {self.patience}, and no validation has improved on step {self.best_step}"

    def state(self) -> tuple[float, int, int]:
        """Return what a checkpoint stores."""
        return self.best_loss, self.best_step, self.without_progress

    def load(self, state: tuple[float, int, int]) -> None:
        self.best_loss, self.best_step, self.without_progress = state
