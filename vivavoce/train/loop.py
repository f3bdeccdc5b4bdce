"""The one training loop, on Accelerate: any task, any number of processes, stopped and resumed at will.

Every random number of step n comes from the seed and n, and the order of batches from the seed and the epoch, so a run
that was interrupted goes on exactly as if it had not been.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn

from vivavoce import audio
from vivavoce.config import TrainConfig
from vivavoce.train.data import Corpus, Features, Stream, epoch_seed, expand, load_corpus, make_batches
from vivavoce.train.tasks import Batch, Task, load_task

# settings that may differ between a run and its continuation; any other would make it another run
MAY_CHANGE = (
    "max_steps",
    "decay_steps",
    "checkpoint_minutes",
    "validate_every",
    "keep_checkpoints",
    "workers",
    "cache",
)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, plateau, then linear decay over the last `decay_steps` (None: all that follow the warm-up)."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    decay = config.max_steps - config.warmup_steps if config.decay_steps is None else config.decay_steps
    left = min(1.0, (config.max_steps - step) / max(1, decay))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * max(0.0, left)


class Average:
    """Exponential moving average of a model's weights; it follows closely at first, when the weights are still poor."""

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        ours, theirs = ([p.detach() for p in m.parameters()] for m in (self.model, model))
        torch._foreach_lerp_(ours, theirs, weight)
        for mine, other in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(other)


class Checkpoints:
    """A run's checkpoints: out/checkpoints/step-00001234.pt, written whole or not at all, the newest few kept."""

    def __init__(self, out: Path, keep: int):
        self.folder, self.keep = out / "checkpoints", keep

    def all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08d}.pt"
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)
        for old in self.all()[: -self.keep]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint. Raises ValueError where it cannot be read: starting over would hide that."""
        for path in reversed(self.all()):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise ValueError(
                    f"{path}: unreadable checkpoint ({error}); delete it to go on from the one before"
                ) from None
        return None


def train(
    task: str,
    config: Path,
    data: Sequence[str],
    out: Path,
    max_minutes: float | None = None,
    valid: Sequence[str] = (),
    threads: int | None = None,
    start_from: Path | None = None,
) -> None:
    """Train `task` by the recipe in `config` on the shards `data`; a run that `out` already holds is continued.

    Checkpoints, log.jsonl, TensorBoard events and samples go to `out`. Ends after `max_minutes` or the recipe's
    `max_steps`, or at Ctrl-C, each time with a checkpoint. Raises ValueError for unusable settings or data.
    """
    if max_minutes is not None and max_minutes <= 0:
        raise ValueError(f"max_minutes is {max_minutes}; it must be positive")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be 1 or more")
        torch.set_num_threads(threads)
    Run(load_task(task, config), expand(data), expand(valid), Path(out), start_from).go(max_minutes)


class Run:
    """One training run, from its folder."""

    def __init__(self, task: Task, data: list[str], valid: list[str], out: Path, start_from: Path | None = None):
        self.task, self.out = task, out
        self.config: TrainConfig = task.recipe.train
        precision = self.config.mixed_precision
        if precision == "auto":
            precision = "bf16" if torch.cuda.is_available() else "no"
        self.accelerator = Accelerator(mixed_precision=precision)
        self.main = self.accelerator.is_main_process
        self.console = Console(stderr=True)
        if self.main:
            out.mkdir(parents=True, exist_ok=True)
            self._check_same_run()
        self.accelerator.wait_for_everyone()

        torch.manual_seed(self.config.seed)
        model = task.build()
        if start_from is not None:
            self._start_from(model, start_from)
        self.average = Average(model, self.config.ema)
        optimizer = torch.optim.AdamW(
            self._groups(model), lr=self.config.learning_rate, betas=self.config.betas[:2], eps=1e-8
        )
        self.step, self.epoch, self.position, self.trained_seconds, self.frames = 0, 0, 0, 0.0, 0
        self.checkpoints = Checkpoints(out, self.config.keep_checkpoints)
        state = self.checkpoints.load()
        if state is not None:
            model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            self.step, self.epoch, self.trained_seconds = state["step"], state["epoch"], state["seconds"]
            self.frames = state["frames"]
            # a position counts batches of one process; with another number of processes it is converted
            self.position = state["position"] * state["processes"] // self.accelerator.num_processes
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.average.model.to(self.accelerator.device)
        size = sum(p.numel() for p in model.parameters())
        self.say(
            f"{task.name}: {size / 1e6:.2f} M parameters, {'going on' if state else 'starting'} at step {self.step}"
        )

        self.corpus = self._corpus(data)
        self.valid = self._validation(valid)
        self.stopped = False

    def say(self, text: str) -> None:
        if self.main:
            self.console.print(text, highlight=False)

    # ---- setting up -----------------------------------------------------------------------------------------------

    def _check_same_run(self) -> None:
        """Refuse to continue somebody else's run: the recipe is kept beside the checkpoints."""
        path = self.out / "recipe.json"
        recipe = {"task": self.task.name, **self.task.recipe.to_dict()}
        if path.exists() and any((self.out / "checkpoints").glob("step-*.pt")):
            old = json.loads(path.read_text(encoding="utf-8"))
            old, new = json.loads(json.dumps([old, recipe]))
            for values in (old["train"], new["train"]):
                for name in MAY_CHANGE:
                    values.pop(name, None)
            if old != new:
                changed = [
                    f"{k}.{s}" if isinstance(new[k], dict) else k for k in new for s in _differences(old.get(k), new[k])
                ]
                raise ValueError(
                    f"{self.out} holds a run with another recipe (different: {', '.join(changed)}); "
                    "give another --out, or the old settings"
                )
        text = json.dumps(recipe, indent=1, ensure_ascii=False)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)

    def _start_from(self, model: nn.Module, path: Path) -> None:
        from vivavoce.checkpoints_torch import load_weights  # here, for only a fine-tuning needs it

        model.load_state_dict(load_weights(path))

    def _groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels only; gains, biases and embeddings-like vectors go without."""
        decayed = [p for p in model.parameters() if p.ndim >= 2]
        plain = [p for p in model.parameters() if p.ndim < 2]
        return [{"params": decayed, "weight_decay": self.config.weight_decay}, {"params": plain, "weight_decay": 0.0}]

    def _corpus(self, shards: list[str]) -> Corpus | Stream:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if not self.config.cache:
            return Stream(shards, self.task.featurize, self.config, self.task.mel.sample_rate, rank, world)
        with self.accelerator.main_process_first():
            corpus = self._load(shards, rank, world)
        self.say(f"corpus: {corpus.report}")
        return corpus

    def _load(self, shards: list[str], rank: int = 0, world: int = 1) -> Corpus:
        with self._progress("reading the corpus") as bar:
            line = bar.add_task("reading the corpus", total=len(shards), note="")
            return load_corpus(
                shards, self.task.featurize, self.config, self.task.mel.sample_rate, rank, world,
                store=self.out / "features", fingerprint=self.task.fingerprint(),
                progress=lambda done, total: bar.update(line, completed=done),
            )  # fmt: skip

    def _validation(self, shards: list[str]) -> list[Batch]:
        """Held-out batches, collated once so that the same crops are judged every time; main process only."""
        if not shards or not self.main:
            return []
        items = self._load(shards).items
        torch.manual_seed(self.config.seed)
        batches = make_batches([i["length"] for i in items], self.config.frames_per_batch, self.config.seed)
        return [self._to_device(self.task.collate([items[i] for i in b])) for b in batches]

    def _to_device(self, batch: Batch) -> Batch:
        return {k: v.to(self.accelerator.device, non_blocking=True) for k, v in batch.items()}

    # ---- running --------------------------------------------------------------------------------------------------

    def go(self, max_minutes: float | None) -> None:
        """Train until the steps, the minutes or the user's patience are used up."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self.writer = SummaryWriter(str(self.out / "tensorboard")) if self.main else None
        began = saved = time.monotonic()
        before = self.trained_seconds
        previous = signal.signal(signal.SIGINT, self._interrupt)
        recent: list[float] = []
        try:
            with self._progress("training") as bar:
                line = bar.add_task("training", total=self.config.max_steps, completed=self.step, note="")
                batches = self._forever()
                while self.step < self.config.max_steps and not self.stopped:
                    recent.append(self._train_step(batches))
                    self.trained_seconds = before + time.monotonic() - began
                    bar.update(line, completed=self.step, note=f"loss {np.mean(recent[-50:]):.4f}")
                    if self.step % 50 == 0:
                        self._log(loss=float(np.mean(recent[-50:])), lr=learning_rate(self.step, self.config))
                    if self.step % self.config.validate_every == 0:
                        self._validate()
                    if time.monotonic() - saved > 60 * self.config.checkpoint_minutes:
                        self._save()
                        saved = time.monotonic()
                    if max_minutes is not None and time.monotonic() - began > 60 * max_minutes:
                        break
                self._validate()
        finally:
            signal.signal(signal.SIGINT, previous)
            self._save()
            if self.writer is not None:
                self.writer.close()
            self.accelerator.end_training()
        self.say(f"step {self.step} of {self.config.max_steps}, {self.trained_seconds / 60:.1f} minutes; {self.out}")
        if self.stopped:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt  # asked twice: do not finish the step
        self.stopped = True
        self.say("stopping after this step; the same command goes on from here")

    def _forever(self) -> Iterator[list[Features]]:
        while True:
            for items in self.corpus.batches(self.epoch, skip=self.position):
                self.position += 1
                yield items
            self.epoch, self.position = self.epoch + 1, 0

    def _train_step(self, batches: Iterator[list[Features]]) -> float:
        config, accelerator = self.config, self.accelerator
        torch.manual_seed(epoch_seed(config.seed, self.step, 1 + accelerator.process_index))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config)
        self.model.train()
        total = 0.0
        for part in range(config.accumulate):
            items = next(batches)
            self.frames += sum(i["length"] for i in items)
            batch = self._to_device(self.task.collate(items))
            # gradients travel between processes once a step, with the last part
            apart = accelerator.no_sync(self.model) if part + 1 < config.accumulate else contextlib.nullcontext()
            with apart:
                with accelerator.autocast():
                    loss = self.task.loss(self.model, batch) / config.accumulate
                accelerator.backward(loss)
            total += loss.item()
        if not np.isfinite(total):
            raise ValueError(f"the loss is {total} at step {self.step}; lower learning_rate or check the data")
        accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.average.update(accelerator.unwrap_model(self.model), self.step)
        return total

    def _validate(self) -> None:
        if not self.valid:
            return
        with torch.no_grad(), self.accelerator.autocast():
            metrics = self.task.validate(self.average.model, self.valid)
        self._log(**{f"valid_{k}": v for k, v in metrics.items()})
        self.say(f"step {self.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
        folder = self.out / "samples" / f"step-{self.step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            made = self.task.samples(self.average.model, self.valid[0])
        for name, values in made.items():
            if values.ndim == 1:
                audio.write(folder / f"{name}.wav", values, self.task.mel.sample_rate)
                if self.writer is not None:
                    self.writer.add_audio(name, values[None], self.step, self.task.mel.sample_rate)
            else:
                save_file({"mel": torch.from_numpy(np.ascontiguousarray(values))}, str(folder / f"{name}.safetensors"))
                if self.writer is not None:
                    self.writer.add_image(name, _picture(values), self.step)

    def _log(self, **figures: float) -> None:
        if not self.main:
            return
        assert self.writer is not None
        for name, value in figures.items():
            self.writer.add_scalar(name.replace("valid_", "valid/"), value, self.step)
        row = {
            "step": self.step,
            "epoch": self.epoch,
            "minutes": round(self.trained_seconds / 60, 2),
            "frames": self.frames,
        }
        with open(self.out / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps({**row, **{k: round(v, 6) for k, v in figures.items()}}) + "\n")

    def _save(self) -> None:
        if self.main:
            state = {
                "model": self.accelerator.unwrap_model(self.model).state_dict(),
                "average": self.average.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "epoch": self.epoch,
                "position": self.position,
                "processes": self.accelerator.num_processes,
                "seconds": self.trained_seconds,
                "frames": self.frames,
            }
            self.checkpoints.save(self.step, state)
        self.accelerator.wait_for_everyone()

    def _progress(self, what: str) -> Progress:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        return Progress(*columns, TextColumn("{task.fields[note]}"), console=self.console, disable=not self.main)


def _differences(old: Any, new: Any) -> list[str]:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return [] if old == new else [""]
    return [name for name in new if old.get(name) != new[name]]


def _picture(mel: np.ndarray) -> Tensor:
    """Log-mel [N, M] → grey picture [1, M, N], low frequencies at the bottom."""
    scaled = torch.from_numpy(np.ascontiguousarray(mel)).T.flip(0)
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min()).clamp(min=1e-6)
    return scaled[None]
