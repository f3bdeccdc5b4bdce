"""The one training loop, on Accelerate: any task, any number of processes, stopped and resumed at will.

Every random number of step n comes from the seed, n and the process, and the order of batches from the seed and the
epoch, so a run that was interrupted goes on exactly as if it had not been. Batches of one step, of all processes and
all accumulated parts, have the gradient that they would have as one.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from torch import Tensor, nn

from vivavoce import audio
from vivavoce.config import TrainConfig
from vivavoce.train.codec import CodecTask, fit_codec
from vivavoce.train.data import Corpus, Stream, epoch_seed, load_corpus, make_batches
from vivavoce.train.shards import Features, expand
from vivavoce.train.start import begin
from vivavoce.train.state import Average, Checkpoints, differences, parted, whole
from vivavoce.train.task import Batch, Task
from vivavoce.train.tasks import load_task

# settings that may differ between a run and its continuation; any other would make it another run
MAY_CHANGE = (
    "max_steps",
    "decay_steps",
    "checkpoint_minutes",
    "validate_every",
    "patience",
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


def train(
    task: str,
    config: Path,
    data: Sequence[str],
    out: Path,
    max_minutes: float | None = None,
    valid: Sequence[str] = (),
    threads: int | None = None,
    start_from: str | None = None,
) -> None:
    """Train `task` by the recipe in `config` on the shards `data`; a run that `out` already holds is continued.

    Checkpoints, log.jsonl, TensorBoard events and samples go to `out`. Ends after the recipe's `max_steps`, after
    `max_minutes` of training (reading the corpus does not count), where `patience` validations in a row were no better
    than the best, or at Ctrl-C, each time with a checkpoint.
    `start_from` names the model whose weights a new run begins with, as `start.begin` takes it.
    Raises ValueError for unusable settings, data or checkpoints, and where the loss is no longer a number.
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
    if isinstance(chosen, CodecTask):
        if start_from is not None:
            raise ValueError(f"--from {start_from}: a codec is fitted anew, it cannot begin with another model")
        fit_codec(chosen, expand(data), expand(valid), Path(out))
        return
    Run(chosen, expand(data), expand(valid), Path(out), start_from).go(max_minutes)


class Run:
    """One training run, from its folder."""

    def __init__(self, task: Task, data: list[str], valid: list[str], out: Path, start_from: str | None = None):
        self.task, self.out = task, out
        self.config: TrainConfig = task.recipe.train
        precision = self.config.mixed_precision
        if precision == "auto":
            precision = "bf16" if torch.cuda.is_available() else "no"
        AcceleratorState._reset_state()  # a notebook may train one model after another, each in its own precision
        self.accelerator = Accelerator(mixed_precision=precision)
        # `accumulate` does it; a launcher's setting would divide the loss once more
        self.accelerator.gradient_accumulation_steps = 1
        self.sharded = self.accelerator.distributed_type == DistributedType.FSDP
        if self.sharded and not self.accelerator.is_fsdp2:
            raise ValueError("fsdp_version is 1; it must be 2: accelerate launch --fsdp_version 2")
        self.main = self.accelerator.is_main_process
        self.console = Console(stderr=True)
        self.checkpoints = Checkpoints(out, self.config.keep_checkpoints)
        if self.main:
            out.mkdir(parents=True, exist_ok=True)
            self._check_same_run()
        self.accelerator.wait_for_everyone()
        data, valid = task.check_data(data, valid)

        torch.manual_seed(self.config.seed)
        model = task.build()
        state = self.checkpoints.load()
        if state is None and start_from is None:
            task.check_fresh()
        elif state is None and start_from is not None:
            for line in begin(start_from, task, model):
                self.say(line)
        self.average = Average(model, self.config.ema)
        optimizer = torch.optim.AdamW(
            self._groups(model), lr=self.config.learning_rate, betas=self.config.betas[:2], eps=1e-8
        )
        self.fresh = state is None and start_from is None  # the model has not seen anything yet
        self.step, self.trained_seconds, self.frames = 0, 0.0, 0
        self.best, self.best_step, self.worse = math.inf, 0, 0  # validation loss, its step, validations since
        self.recent: deque[float] = deque(maxlen=50)  # losses
        if state is not None:
            self._restore(state, model, optimizer)
        self.sane = True  # whether weights, average and optimizer are all of step `self.step`
        self.validated = -1  # the last step that was
        self.stopped = False  # by Ctrl-C
        self.writer: Any = None
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        if self.sharded:
            self.average.shard(self.model)
            if state is not None:
                self.optimizer.load_state_dict(parted(state["optimizer"], self.optimizer))
        self.average.model.to(self.accelerator.device if self.main or not self.sharded else "meta")
        self.critics, self.critics_optimizer = self._critics(state)
        size = sum(p.numel() for p in model.parameters())
        self.say(
            f"{task.name}: {size / 1e6:.2f} M parameters, {'going on' if state else 'starting'} at step {self.step}"
        )
        if start_from is not None and state is not None:
            self.say(f"{start_from} is not read again: the run has begun")
        if self.main:
            self._forget_later_rows()

        self.corpus = self._corpus(data)
        if state is not None:
            # runs that were begun by version 0.1 keep the place of a corpus in memory beside the step
            kept = state.get("data", {n: state[n] for n in ("epoch", "position", "processes") if n in state})
            notice = self.corpus.resume(kept, state["epoch"])
            if notice:
                self.say(notice)
        # in the data, after step `self.step`: the places of all processes, and the epoch of the first
        self.places, self.epoch = self._of_all(self.corpus.place), self.corpus.epoch
        self.valid = self._validation(valid)

    def say(self, text: str) -> None:
        if self.main:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    # ---- setting up -----------------------------------------------------------------------------------------------

    def _check_same_run(self) -> None:
        """Refuse to continue somebody else's run: the recipe is kept beside the checkpoints."""
        path = self.out / "recipe.json"
        recipe = {"task": self.task.name, **self.task.recipe.to_dict()}
        if self.checkpoints.all():
            try:
                old = json.loads(path.read_text(encoding="utf-8"))
                task = old.pop("task")
            except (OSError, ValueError, AttributeError, KeyError, TypeError):
                raise ValueError(
                    f"{path}: missing or unreadable, so what {self.out} was trained with is unknown; give another --out"
                ) from None
            changed = ["task"]
            if task == self.task.name:
                filled = type(self.task.recipe).from_dict(old, str(path)).to_dict()  # with what is new since then
                names = differences(filled, self.task.recipe.to_dict())
                # how an exported model is to be sampled has no part in its training
                changed = [
                    n for n in names if n.removeprefix("train.") not in MAY_CHANGE and not n.startswith("sampling.")
                ]
            if changed:
                raise ValueError(
                    f"{self.out} holds a run with another recipe (different: {', '.join(changed)}); "
                    "give another --out, or the old settings"
                )
        audio.write_whole(path, json.dumps(recipe, indent=1, ensure_ascii=False).encode())

    def _restore(self, state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        try:
            model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            self.step, self.trained_seconds, self.frames = state["step"], state["seconds"], state["frames"]
            about = state.get("about_data", {})  # runs that were begun by version 0.1 do not have it
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{self.checkpoints.all()[-1]}: not a checkpoint of this run ({reason})") from None
        if about != self.task.about_data():
            raise ValueError(f"{self.out} holds a run on other tokens; give another --out, or the old shards")
        self.recent.extend(state.get("recent", ()))
        self.best, self.best_step, self.worse = state.get("best", (math.inf, 0, 0))

    def _forget_later_rows(self) -> None:
        """Drop from log.jsonl what an interrupted run logged after its last checkpoint: it is going to come again."""
        path = self.out / "log.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that was cut off by a crash
                if json.loads(line)["step"] <= self.step and self.step > 0:
                    kept.append(line + "\n")
        audio.write_whole(path, "".join(kept).encode())

    def _groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels only; gains, biases and the like go without.

        So do embeddings where the task has factors on the rate: a decay that grew with theirs would wear rare rows off.
        """
        factors = self.task.learning_rates(model)
        spared = [id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding) and factors]
        groups = []
        for factor in sorted({1.0, *factors.values()}):
            own = [p for name, p in model.named_parameters() if factors.get(name, 1.0) == factor and p.requires_grad]
            decayed = [p for p in own if p.ndim >= 2 and id(p) not in spared]
            plain = [p for p in own if p.ndim < 2 or id(p) in spared]
            groups.append({"params": decayed, "weight_decay": self.config.weight_decay, "factor": factor})
            groups.append({"params": plain, "weight_decay": 0.0, "factor": factor})
        return groups

    def _critics(self, state: dict[str, Any] | None) -> tuple[nn.Module | None, Any]:
        """What is trained against the model, with its optimizer; None where the task has no such thing."""
        critics = self.task.critics()
        if critics is None:
            return None, None
        optimizer = torch.optim.AdamW(critics.parameters(), lr=self.config.learning_rate, betas=(0.8, 0.99))
        if state is not None:
            critics.load_state_dict(state["critics"])
            optimizer.load_state_dict(state["critics_optimizer"])
        # Not wrapped for several processes: a step asks some of them only, which wrappers take for a mistake.
        return critics.to(self.accelerator.device), self.accelerator.prepare_optimizer(optimizer)

    def _corpus(self, shards: list[str]) -> Corpus | Stream:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if not self.config.cache:
            return Stream(shards, self.task, self.config, rank, world)
        with self.accelerator.main_process_first():
            corpus = self._load(shards, rank, world)
        self.say(f"corpus: {corpus.report}")
        return corpus

    def _load(self, shards: list[str], rank: int = 0, world: int = 1) -> Corpus:
        with self._progress() as bar:
            line = bar.add_task("reading the corpus", total=len(shards), note="shards")
            return load_corpus(
                shards, self.task, self.config, rank, world, self.out / "features",
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
        """Train until the steps, the minutes, the recipe's patience or the user's are used up."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        config, first = self.config, self.step
        if first >= config.max_steps:
            self.say(f"nothing left to do: max_steps is {config.max_steps}")
            return
        if self._any(self._out_of_patience()):
            self.say(f"nothing left to do: {self._no_better()}")
            return
        if self.main:
            self.writer = SummaryWriter(str(self.out / "tensorboard"), purge_step=first + 1 if first else None)
        began = saved = time.monotonic()
        before, over = self.trained_seconds, False
        previous = signal.signal(signal.SIGINT, self._interrupt)
        try:
            with self._progress() as bar:
                line = bar.add_task("training", total=config.max_steps, completed=first, note="")
                batches = self._forever()
                while self.step < config.max_steps and not over:
                    self._train_step(batches)
                    now = time.monotonic()
                    self.trained_seconds = before + now - began
                    loss = float(np.mean(self.recent))
                    bar.update(line, completed=self.step, note=f"loss {loss:.4f}")
                    if self.step % 50 == 0:
                        self._log(loss=loss, lr=learning_rate(self.step, config))
                    if self.step % config.validate_every == 0:
                        self._validate()
                    late = max_minutes is not None and now - began > 60 * max_minutes
                    over = self._any(self.stopped or late or self._out_of_patience())
                    if self._any(now - saved > 60 * config.checkpoint_minutes):
                        self._save()
                        saved = time.monotonic()
                if not self.stopped:
                    self._validate()
            self._save()
        except BaseException as error:
            # What bad input or a broken loss leaves behind is not worth keeping; the last checkpoint stands.
            # Nor is there anything to keep where each process has but a part of it, and may be alone with its error.
            worth = self.sane and self.step > first and not isinstance(error, ValueError)
            if worth and self.main and not self.sharded:
                with contextlib.suppress(OSError):
                    self.checkpoints.save(self.step, self._state())
            raise
        finally:
            signal.signal(signal.SIGINT, previous)
            if self.writer is not None:
                self.writer.close()
            self.accelerator.end_training()
        if self._out_of_patience():
            self.say(self._no_better())
        self.say(f"step {self.step} of {config.max_steps}, {self.trained_seconds / 60:.1f} minutes; {self.out}")
        if self.stopped:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt  # asked twice: do not finish the step
        self.stopped = True
        self.say("stopping after this step; the same command goes on from here")

    def _out_of_patience(self) -> bool:
        """In the main process, which validates; in others never."""
        return self.config.patience is not None and self.worse >= self.config.patience

    def _no_better(self) -> str:
        return f"patience is {self.config.patience}, and no validation was better than that of step {self.best_step}"

    def _any(self, wish: bool) -> bool:
        """Whether any process wishes it: their clocks differ, and what one does alone leaves the others waiting."""
        return any(one for (one,) in self._of_all([int(wish)]))

    def _of_all(self, numbers: list[int]) -> list[list[int]]:
        """The numbers that each process gives, a row each; equally many."""
        if self.accelerator.num_processes == 1:
            return [numbers]
        return self.accelerator.gather(torch.tensor([numbers], device=self.accelerator.device)).tolist()

    def _forever(self) -> Iterator[list[Features]]:
        share = "" if self.accelerator.num_processes == 1 else ", in the first process's share"
        for items in self.corpus.endless():
            for epoch, report in self.corpus.through():
                self.say(f"epoch {epoch}: {report}{share}")
            yield items

    def _train_step(self, endless: Iterator[list[Features]]) -> None:
        config, accelerator = self.config, self.accelerator
        torch.manual_seed(epoch_seed(config.seed, self.step, 1 + accelerator.process_index))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config) * group.get("factor", 1.0)  # none in older checkpoints
        self.task.step = self.step
        self.model.train()
        items = [next(endless) for _ in range(config.accumulate)]
        batches = [self._to_device(self.task.collate(i)) for i in items]
        if self.fresh:
            self.task.start(accelerator.unwrap_model(self.model), batches)
            self.fresh = False
        # A loss is a mean over its batch, and processes average their gradients: the share of the step's whole weight
        # makes of it what the batches, joined to one, would give.
        weights = [self.task.weight(b) for b in batches]
        rows = self._of_all([sum(weights), sum(i["length"] for part in items for i in part), *self.corpus.place])
        everything = max(1, sum(row[0] for row in rows))
        total = 0.0
        for part, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
            # gradients travel between processes once a step, with the last part
            apart = accelerator.no_sync(self.model) if part + 1 < len(batches) else contextlib.nullcontext()
            with apart:
                with accelerator.autocast():
                    loss = self.task.loss(self.model, batch, self.critics) * (weight / everything)
                accelerator.backward(loss * len(rows))
            total += loss.item()
        if len(rows) > 1:
            total = float(accelerator.reduce(torch.tensor(total, device=accelerator.device), "sum"))
        norm = float(accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm))
        self.sane = False
        # fp16's gradients overflow now and then; its scaler then leaves the step out by itself
        if not math.isfinite(total) or not (math.isfinite(norm) or accelerator.scaler is not None):
            raise ValueError(
                f"the loss is {total} and the gradient's norm {norm} at step {self.step}; "
                "lower learning_rate or check the data"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.critics is not None:
            self._train_critics(self.critics, batches)
        self.step += 1
        self.average.update(accelerator.unwrap_model(self.model), self.step)
        self.places, self.epoch = [row[2:] for row in rows], self.corpus.epoch
        self.frames += sum(row[1] for row in rows)
        self.recent.append(total)
        self.sane = True

    def _train_critics(self, critics: nn.Module, batches: list[Batch]) -> None:
        self.critics_optimizer.zero_grad(set_to_none=True)  # of what the model's step left there
        for group in self.critics_optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        for batch in batches:
            with self.accelerator.autocast():
                loss = self.task.critics_loss(self.model, batch, critics) / len(batches)
            self.accelerator.backward(loss)
        if self.accelerator.num_processes > 1:
            for parameter in critics.parameters():
                own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.accelerator.reduce(own, "mean")
        self.critics_optimizer.step()

    def _validate(self) -> None:
        if self.validated == self.step:
            return
        self.validated = self.step
        self.average.collect()
        if not self.valid:
            return
        with torch.no_grad(), self.accelerator.autocast():
            metrics = self.task.validate(self.average.model, self.valid)
        self._log(**{f"valid_{k}": v for k, v in metrics.items()})
        self.say(f"step {self.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
        self._compare(next(iter(metrics.values())))
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

    def _compare(self, loss: float) -> None:
        """Keep the averaged weights where they are the best so far."""
        self.worse += self.step % self.config.validate_every == 0  # not those that an interruption adds
        if loss < self.best:
            self.best, self.best_step, self.worse = loss, self.step, 0
            average = self.average.model.state_dict()
            self.checkpoints.save_best(
                {"average": average, "step": self.step, "valid_loss": loss, "about_data": self.task.about_data()}
            )

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

    def _state(self) -> dict[str, Any]:
        """What a checkpoint holds. Where the model is sharded, all processes must ask for it at once."""
        self.average.collect()
        return {
            "model": self.accelerator.get_state_dict(self.model),
            "average": self.average.model.state_dict(),
            "optimizer": whole(self.optimizer.state_dict()),
            "step": self.step,
            "epoch": self.epoch,
            "data": self.corpus.keep(self.places),
            "processes": self.accelerator.num_processes,
            "seconds": self.trained_seconds,
            "frames": self.frames,
            "recent": list(self.recent),
            "best": (self.best, self.best_step, self.worse),
            "about_data": self.task.about_data(),
            **self._critics_state(),
        }

    def _critics_state(self) -> dict[str, Any]:
        if self.critics is None:
            return {}
        return {"critics": self.critics.state_dict(), "critics_optimizer": self.critics_optimizer.state_dict()}

    def _save(self) -> None:
        if self.main or self.sharded:
            state = self._state()
        if self.main:
            self.checkpoints.save(self.step, state)
        self.accelerator.wait_for_everyone()

    def _progress(self) -> Progress:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        return Progress(*columns, TextColumn("{task.fields[note]}"), console=self.console, disable=not self.main)


def _picture(mel: np.ndarray) -> Tensor:
    """Log-mel [N, M] → grey picture [1, M, N], low frequencies at the bottom."""
    scaled = torch.from_numpy(np.ascontiguousarray(mel)).T.flip(0)
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min()).clamp(min=1e-6)
    return scaled[None]
