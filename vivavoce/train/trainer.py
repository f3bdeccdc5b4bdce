"""The training loop, on Accelerate: any task, any number of processes, interrupted and resumed at any step.

Every random number of step n comes from the seed, n and the process, and the order of batches from the seed and the
epoch, so a resumed run equals an uninterrupted one. The batches of one step, of all processes and all accumulated
parts, have the gradient of one joined batch.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn

from vivavoce.data.fetch import expand
from vivavoce.data.samples import Features
from vivavoce.locks import lock_folder
from vivavoce.train.adversarial import AdversarialTraining
from vivavoce.train.batches import Corpus, epoch_seed, load_corpus, make_batches
from vivavoce.train.checkpoint import Checkpoints, gather_full, shard_like
from vivavoce.train.config import TrainConfig
from vivavoce.train.early_stopping import EarlyStopping
from vivavoce.train.ema import EMA
from vivavoce.train.init_from import initialise
from vivavoce.train.interrupt import StopSignal
from vivavoce.train.mirror import Mirror
from vivavoce.train.optimizer import learning_rate, make_optimizer, set_learning_rate
from vivavoce.train.precision import usable
from vivavoce.train.run_folder import open_run
from vivavoce.train.run_log import RunLog
from vivavoce.train.stream import Stream
from vivavoce.train.tasks.base import Batch, Task
from vivavoce.train.tasks.registry import load_task


def train(
    task: str,
    config: Path,
    data: Sequence[str],
    out: Path,
    max_minutes: float | None = None,
    valid: Sequence[str] = (),
    threads: int | None = None,
    init_from: str | None = None,
    checkpoints: str | None = None,
    of_minutes: float | None = None,
) -> None:
    """Train `task` with the recipe in `config` on the shards `data`, or resume the run that `out` holds.

    Checkpoints, log.jsonl, TensorBoard events and samples go to `out`. The run ends after the recipe's `max_steps`,
    after `max_minutes` of training (reading the corpus does not count), after `patience` validations in a row without
    progress, or on Ctrl-C or SIGTERM, each time with a checkpoint.
    `init_from` names the model whose weights a new run starts with; `init_from.initialise` describes it.
    `checkpoints` is a URL that gets a copy of each checkpoint; the run resumes from there if `out` has none as new.
    `of_minutes`: what all calls for this run may take, if this is one of several; only the time left that is shown
    depends on it.
    Raises ValueError for unusable settings, data or checkpoints, for a run that another process works on, and if the
    loss is no longer finite.
    """
    if not data:
        raise ValueError("data is empty; it must name at least one shard")
    if max_minutes is not None and max_minutes <= 0:
        raise ValueError(f"max_minutes is {max_minutes}; it must be positive")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads is {threads}; it must be 1 or more")
        torch.set_num_threads(threads)
    chosen = load_task(task, config)
    if chosen.closed_form:
        if init_from is not None:
            raise ValueError(f"--from {init_from}: a {task} is fitted from scratch, it cannot start with another model")
        if checkpoints is not None:
            raise ValueError(f"--checkpoints {checkpoints}: fitting a {task} takes one pass and has no checkpoints")
        with lock_folder(Path(out)):
            chosen.fit(expand(data), expand(valid), Path(out))
        return
    shards = expand(data), expand(valid)
    main = os.environ.get("RANK", "0") == "0"  # of the processes that a launcher started
    with lock_folder(Path(out)) if main else contextlib.nullcontext():
        Trainer(chosen, *shards, Path(out), init_from, checkpoints).run(max_minutes, of_minutes)


class Trainer:
    """One training run in its folder: create it or resume it, then `run`."""

    def __init__(
        self,
        task: Task,
        data: list[str],
        valid: list[str],
        out: Path,
        init_from: str | None = None,
        checkpoints: str | None = None,
    ):
        self.task, self.out = task, out
        self.config: TrainConfig = task.recipe.train
        precision, notice = usable(self.config.mixed_precision, on_cpu=not torch.cuda.is_available())
        self.accelerator = _accelerator(precision)
        self.sharded = self.accelerator.distributed_type == DistributedType.FSDP
        if self.sharded and not self.accelerator.is_fsdp2:
            raise ValueError("fsdp_version is 1; it must be 2: accelerate launch --fsdp_version 2")
        self.main = self.accelerator.is_main_process
        self.log = RunLog(out, self.main)
        if notice:
            self.log.print(notice)
        self.checkpoints = Checkpoints(out, self.config.keep_checkpoints)
        self.stop = StopSignal(lambda: self.log.print("stopping after this step; the same command resumes from here"))
        self.mirror = Mirror(checkpoints, out, self.config.keep_checkpoints) if checkpoints is not None else None
        if self.mirror is not None and self.accelerator.is_local_main_process:  # each node has its own disk
            self.mirror.restore()
        if self.main:
            open_run(out, task, self.checkpoints)
        self.accelerator.wait_for_everyone()
        data, valid = task.check_data(data, valid)

        state = self.checkpoints.load()
        self.step, self.trained_seconds, self.frames = 0, 0.0, 0
        self.recent_losses: deque[float] = deque(maxlen=50)
        self.early_stopping = EarlyStopping(self.config.patience)
        self.untouched = state is None and init_from is None  # the model has not seen any data yet
        self.consistent = True  # whether weights, EMA and optimizer are all of step `self.step`
        self.validated_step = -1
        self._check_steps(0 if state is None else state.get("step", 0))
        self._prepare_model(state, init_from)
        self.log.drop_rows_after(self.step)
        self._prepare_data(data, valid, state)

    # ---- setting up -------------------------------------------------------------------------------------------------

    def _check_steps(self, step: int) -> None:
        """Raise ValueError if the processes, perhaps on nodes with disks of their own, resume at different steps."""
        steps = sorted({found for (found,) in self._gather([step])})
        if len(steps) > 1:
            raise ValueError(
                f"the nodes hold different checkpoints, of steps {', '.join(map(str, steps))}; all need the same --out "
                "on a shared disk, or the same --checkpoints URL"
            )

    def _prepare_model(self, state: dict[str, Any] | None, init_from: str | None) -> None:
        """Build the model, its EMA, the optimizer and the discriminators: new, or as the checkpoint has them."""
        torch.manual_seed(self.config.seed)
        model = self.task.build()
        if state is None and init_from is None:
            self.task.check_fresh()
        elif state is None and init_from is not None:
            for line in initialise(init_from, self.task, model):
                self.log.print(line)
        self.ema = EMA(model, self.config.ema)
        optimizer = make_optimizer(model, self.config, self.task.learning_rates(model))
        if state is not None:
            self._restore(state, model, optimizer)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        if self.sharded:
            self.ema.shard(self.model)
            if state is not None:
                self.optimizer.load_state_dict(shard_like(state["optimizer"], self.optimizer))
        self.ema.model.to(self.accelerator.device if self.main or not self.sharded else "meta")
        self.adversary: AdversarialTraining | None = None
        if (discriminators := self.task.discriminators()) is not None:
            rate = self.config.learning_rate
            self.adversary = AdversarialTraining(self.task, discriminators, self.accelerator, rate, state)
        size = sum(p.numel() for p in model.parameters())
        how = "resuming" if state is not None else "starting"
        self.log.print(f"{self.task.name}: {size / 1e6:.2f} M parameters, {how} at step {self.step}")
        if state is not None and init_from is not None:
            self.log.print(f"--from {init_from} is ignored: the run has already begun")

    def _restore(self, state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        try:
            model.load_state_dict(state["model"])
            self.ema.model.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            self.step, self.trained_seconds, self.frames = state["step"], state["seconds"], state["frames"]
            data_info = state.get("about_data", {})  # runs of version 0.1 do not have it
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{self.checkpoints.all()[-1]}: not a checkpoint of this run ({reason})") from None
        if data_info != self.task.data_info():
            raise ValueError(f"{self.out} holds a run on other tokens; give another --out, or the old shards")
        self.recent_losses.extend(state.get("recent", ()))
        if "best" in state:
            self.early_stopping.load(state["best"])

    def _prepare_data(self, data: list[str], valid: list[str], state: dict[str, Any] | None) -> None:
        """Open the training data at the checkpoint's position, and collate the validation batches."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        self.corpus: Corpus | Stream
        if self.config.cache:
            with self.accelerator.main_process_first():
                self.corpus = corpus = self._load(data, rank, world)
            self.log.print(f"corpus: {corpus.report}")
        else:
            self.corpus = Stream(data, self.task, self.config, rank, world)
        if state is not None:
            # runs of version 0.1 store the position of a corpus in memory beside the step
            old = {n: state[n] for n in ("epoch", "position", "processes") if n in state}
            notice = self.corpus.load_state(state.get("data", old), state["epoch"])
            if notice:
                self.log.print(notice)
        # After step `self.step`: the positions of all processes in the data, and the epoch of this one
        self.positions, self.epoch = self._gather(self.corpus.position), self.corpus.epoch
        self.valid = self._validation_batches(valid)

    def _load(self, shards: list[str], rank: int = 0, world: int = 1) -> Corpus:
        with self.log.progress() as bar:
            line = bar.add_task("reading the corpus", total=len(shards), note="shards")
            return load_corpus(
                shards, self.task, self.config, rank, world, self.out / "features",
                progress=lambda done, total: bar.update(line, completed=done),
            )  # fmt: skip

    def _validation_batches(self, shards: list[str]) -> list[Batch]:
        """Return the held-out batches, collated once so that every validation sees the same crops.

        Only the main process validates; the others get none.
        """
        if not shards or not self.main:
            return []
        items = self._load(shards).items
        torch.manual_seed(self.config.seed)
        batches = make_batches([i["length"] for i in items], self.config.frames_per_batch, self.config.seed)
        return [self._to_device(self.task.collate([items[i] for i in b])) for b in batches]

    def _to_device(self, batch: Batch) -> Batch:
        return {k: v.to(self.accelerator.device, non_blocking=True) for k, v in batch.items()}

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def run(self, max_minutes: float | None = None, of_minutes: float | None = None) -> None:
        """Train until the steps, the minutes or the patience are used up, or a signal stops the run.

        of_minutes: as for `train`.
        Raises KeyboardInterrupt after Ctrl-C, SystemExit after SIGTERM, both with a checkpoint saved.
        """
        if self.step >= self.config.max_steps:
            self.log.print(f"nothing left to do: max_steps is {self.config.max_steps}")
            return
        if self._any(self.early_stopping.exhausted):
            self.log.print(f"nothing left to do: {self.early_stopping.reason()}")
            return
        first = self.step
        self.log.open(first)
        try:
            with self.stop:
                try:
                    self._loop(max_minutes, of_minutes)
                    self._save()
                except BaseException as error:
                    self._rescue(first, error)
                    # SIGTERM to a whole process group also kills the data workers, which the DataLoader reports so
                    if not (self.stop.requested and isinstance(error, RuntimeError)):
                        raise
        finally:
            self.log.close()
            self.accelerator.end_training()
        if self.early_stopping.exhausted:
            self.log.print(self.early_stopping.reason())
        minutes = self.trained_seconds / 60
        self.log.print(f"step {self.step} of {self.config.max_steps}, {minutes:.1f} minutes; {self.out}")
        self.stop.raise_requested()

    def _loop(self, max_minutes: float | None, of_minutes: float | None) -> None:
        config = self.config
        started = saved = time.monotonic()
        first, trained_before, over = self.step, self.trained_seconds, False
        limit = trained_before + 60 * max_minutes if max_minutes is not None else math.inf
        limit = 60 * of_minutes if of_minutes is not None else limit
        batches = self._endless_batches()
        with self.log.progress() as bar:
            line = bar.add_task("training", total=None, completed=self.step, note="")
            while self.step < config.max_steps and not over:
                self._train_step(batches)
                now = time.monotonic()
                self.trained_seconds = trained_before + now - started
                loss = float(np.mean(self.recent_losses))
                pace = (self.step - first) / max(now - started, 1e-6)  # steps a second
                last = min(config.max_steps, self.step + max(0.0, limit - self.trained_seconds) * pace)
                bar.update(line, completed=self.step, total=max(self.step, round(last)), note=f"loss {loss:.4f}")
                if self.step % 50 == 0:
                    self._log_scalars(loss=loss, lr=learning_rate(self.step, config))
                if self.step % config.validate_every == 0:
                    self._validate()
                late = max_minutes is not None and now - started > 60 * max_minutes
                over = self._any(self.stop.requested or late or self.early_stopping.exhausted)
                if self._any(now - saved > 60 * config.checkpoint_minutes):
                    self._save()
                    saved = time.monotonic()
            if not self.stop.requested:
                self._validate()

    def _endless_batches(self) -> Iterator[list[Features]]:
        share = "" if self.accelerator.num_processes == 1 else ", in the first process's share"
        for items in self.corpus.endless():
            for epoch, report in self.corpus.finished_epochs():
                self.log.print(f"epoch {epoch}: {report}{share}")
            yield items

    def _train_step(self, endless: Iterator[list[Features]]) -> None:
        config, accelerator = self.config, self.accelerator
        torch.manual_seed(epoch_seed(config.seed, self.step, 1 + accelerator.process_index))
        set_learning_rate(self.optimizer, learning_rate(self.step, config))
        self.task.step = self.step
        self.model.train()
        items = [next(endless) for _ in range(config.accumulate)]
        batches = [self._to_device(self.task.collate(i)) for i in items]
        if self.untouched:
            self.task.initialise(accelerator.unwrap_model(self.model), batches)
            self.untouched = False
        weights = [self.task.weight(b) for b in batches]
        frames = sum(i["length"] for part in items for i in part)
        rows = self._gather([sum(weights), frames, *self.corpus.position])
        loss, norm = self._backward(batches, weights, total_weight=max(1, sum(row[0] for row in rows)))
        self.consistent = False
        # fp16 gradients overflow now and then; the gradient scaler then skips the step by itself
        if not math.isfinite(loss) or not (math.isfinite(norm) or accelerator.scaler is not None):
            raise ValueError(
                f"the loss is {loss} and the gradient norm is {norm} at step {self.step}; "
                "lower learning_rate or check the data"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.adversary is not None:
            self.adversary.step(self.model, batches, learning_rate(self.step, config))
        self.step += 1
        self.ema.update(accelerator.unwrap_model(self.model), self.step)
        self.positions, self.epoch = [row[2:] for row in rows], self.corpus.epoch
        self.frames += sum(row[1] for row in rows)
        self.recent_losses.append(loss)
        self.consistent = True

    def _backward(self, batches: list[Batch], weights: list[int], total_weight: int) -> tuple[float, float]:
        """Accumulate the gradients of one step; return its loss over all processes and the clipped gradient norm.

        A loss is the mean over its batch, and processes average their gradients. Weighting each batch by its share of
        the step gives what all batches, joined into one, would give.
        """
        accelerator = self.accelerator
        discriminators = self.adversary.discriminators if self.adversary is not None else None
        total = 0.0
        for part, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            last = part + 1 == len(batches)  # processes exchange gradients once a step, with the last part
            with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
                with accelerator.autocast():
                    loss = self.task.loss(self.model, batch, discriminators) * (weight / total_weight)
                accelerator.backward(loss * accelerator.num_processes)
            total += loss.item()
        if accelerator.num_processes > 1:
            total = float(accelerator.reduce(torch.tensor(total, device=accelerator.device), "sum"))
        return total, float(accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))

    # ---- validation -------------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Validate the EMA weights once a step, keep them if they are the best so far, and write samples."""
        if self.validated_step == self.step:
            return
        self.validated_step = self.step
        self.ema.gather()
        if not self.valid:
            return
        with torch.no_grad(), self.accelerator.autocast():
            metrics = self.task.validate(self.ema.model, self.valid)
        self._log_scalars(**{f"valid_{k}": v for k, v in metrics.items()})
        self.log.print(f"step {self.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
        loss, scheduled = next(iter(metrics.values())), self.step % self.config.validate_every == 0
        if self.early_stopping.update(loss, self.step, scheduled):
            weights = self.ema.model.state_dict()
            self.checkpoints.save_best(
                {"average": weights, "step": self.step, "valid_loss": loss, "about_data": self.task.data_info()}
            )
        with torch.no_grad():
            samples = self.task.samples(self.ema.model, self.valid[0])
        for name, values in samples.items():
            self.log.sample(self.step, name, values, self.task.sample_rate if values.ndim == 1 else None)

    def _log_scalars(self, **figures: float) -> None:
        minutes = round(self.trained_seconds / 60, 2)
        self.log.scalars({"step": self.step, "epoch": self.epoch, "minutes": minutes, "frames": self.frames}, figures)

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Write a checkpoint; every process must call it."""
        if self.main or self.sharded:
            state = self._state()
        if self.main:
            self.checkpoints.save(self.step, state)
            if self.mirror is not None and (problem := self.mirror.save()):
                self.log.print(f"{problem}; training continues, and the next one will be tried")
        self.accelerator.wait_for_everyone()

    def _rescue(self, first: int, error: BaseException) -> None:
        """Save the steps since `first` when an error ends the run, if they are worth it.

        What bad input or a diverged loss left behind is not. A sharded model cannot be saved: each process holds only a
        part of it and may be alone with its error.
        """
        worth_it = self.consistent and self.step > first and not isinstance(error, ValueError)
        if worth_it and self.main and not self.sharded:
            with contextlib.suppress(OSError):
                self.checkpoints.save(self.step, self._state())

    def _state(self) -> dict[str, Any]:
        """Return what a checkpoint holds. If the model is sharded, every process must call it."""
        self.ema.gather()
        return {
            "model": self.accelerator.get_state_dict(self.model),
            "average": self.ema.model.state_dict(),
            "optimizer": gather_full(self.optimizer.state_dict()),
            "step": self.step,
            "epoch": self.epoch,
            "data": self.corpus.state(self.positions),
            "processes": self.accelerator.num_processes,
            "seconds": self.trained_seconds,
            "frames": self.frames,
            "recent": list(self.recent_losses),
            "best": self.early_stopping.state(),
            "about_data": self.task.data_info(),
            **(self.adversary.state() if self.adversary is not None else {}),
        }

    # ---- several processes ------------------------------------------------------------------------------------------

    def _any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process. Clocks differ, and a process must not leave the loop alone."""
        return any(one for (one,) in self._gather([int(flag)]))

    def _gather(self, numbers: list[int]) -> list[list[int]]:
        """Return the numbers of every process, one row each; all must give equally many."""
        if self.accelerator.num_processes == 1:
            return [numbers]
        return self.accelerator.gather(torch.tensor([numbers], device=self.accelerator.device)).tolist()


def _accelerator(precision: str) -> Accelerator:
    AcceleratorState._reset_state()  # a notebook may train several models in a row, each in its own precision
    accelerator = Accelerator(mixed_precision=precision)
    # The trainer accumulates by itself; a launcher's setting would divide the loss a second time
    accelerator.gradient_accumulation_steps = 1
    return accelerator
