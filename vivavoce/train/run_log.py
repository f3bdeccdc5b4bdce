"""What a run reports: lines on stderr, a progress bar, log.jsonl, TensorBoard events and validation samples."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor

from vivavoce.audio.files import atomic_write
from vivavoce.audio.io import write


class RunLog:
    """The reports of one run. Silent in every process but the main one."""

    def __init__(self, out: Path, main: bool = True):
        self.out, self.main = out, main
        self.console = Console(stderr=True)
        self.writer: Any = None  # TensorBoard's, once opened

    def print(self, text: str) -> None:
        if self.main:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def progress(self) -> Progress:
        """Return a progress bar; its tasks need a field `note`."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        return Progress(*columns, TextColumn("{task.fields[note]}"), console=self.console, disable=not self.main)

    def open(self, step: int) -> None:
        """Start TensorBoard's events, without what an interrupted run wrote after `step`."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        if self.main:
            self.writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=step + 1 if step else None)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def drop_rows_after(self, step: int) -> None:
        """Remove from log.jsonl what an interrupted run logged after its last checkpoint: those steps come again."""
        path = self.out / "log.jsonl"
        if not self.main or not path.exists():
            return
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that a crash cut off
                if 0 < json.loads(line)["step"] <= step:
                    rows.append(line + "\n")
        atomic_write(path, "".join(rows).encode())

    def scalars(self, row: dict[str, Any], figures: dict[str, float]) -> None:
        """Append `row`, which names the step, and the figures to log.jsonl; the figures also go to TensorBoard."""
        if not self.main:
            return
        assert self.writer is not None
        for name, value in figures.items():
            self.writer.add_scalar(name.replace("valid_", "valid/"), value, row["step"])
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps({**row, **{k: round(v, 6) for k, v in figures.items()}}) + "\n")

    def sample(self, step: int, name: str, values: np.ndarray, sample_rate: int | None) -> None:
        """Write a validation sample: a sound [S] as .wav, a log-mel or another picture [N, M] as .safetensors."""
        folder = self.out / "samples" / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        if values.ndim == 1:
            assert sample_rate is not None
            write(folder / f"{name}.wav", values, sample_rate)
            if self.writer is not None:
                self.writer.add_audio(name, values[None], step, sample_rate)
        else:
            save_file({"mel": torch.from_numpy(np.ascontiguousarray(values))}, str(folder / f"{name}.safetensors"))
            if self.writer is not None:
                self.writer.add_image(name, _picture(values), step)


def _picture(mel: np.ndarray) -> Tensor:
    """Turn a log-mel [N, M] into a grey picture [1, M, N] with the low frequencies at the bottom."""
    scaled = torch.from_numpy(np.ascontiguousarray(mel)).T.flip(0)
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min()).clamp(min=1e-6)
    return scaled[None]
