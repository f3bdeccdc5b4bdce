"""Run by test_distributed.py in two processes: python -m torch.distributed.run --nproc-per-node=2 … DATA OUT

A single launch covers all tests, because starting takes most of the time. Also holds what both sides use.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import Tensor, nn

from helpers.training import CHARACTERS, recipe
from vivavoce.data.fetch import expand
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.nanospeech_torch import Nanospeech, length_mask
from vivavoce.train import trainer
from vivavoce.train.tasks import nanospeech
from vivavoce.train.tasks.base import Batch
from vivavoce.train.tasks.registry import load_task


class Recorded(nanospeech.NanospeechTask):
    """Records which process gets which utterance. Its loss has no randomness, so that batches can be joined."""

    seen: list[list[str]]

    def build(self) -> Nanospeech:
        model = super().build()
        model._hidden_span = length_mask  # type: ignore[method-assign]
        with torch.no_grad():
            for parameter in model.parameters():  # many start at zero, and block gradients
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    def featurize(self, utterance: Utterance) -> Features:
        return {**super().featurize(utterance), "key": utterance.key}

    def fingerprint(self) -> str:
        return f"recorded {super().fingerprint()}"

    def collate(self, items: list[Features]) -> Batch:
        self.seen.append([item["key"] for item in items])
        return super().collate(items)

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        noise, time = (37 * batch["mel"]).sin(), (batch["lengths"] % 7 + 0.5) / 7
        return model(**batch, drop=0.0, noise=noise, time=time)


def recorded(**settings: Any) -> Recorded:
    values = recipe("nanospeech", **settings)
    values["model"] = {**values["model"], "dropout": 0.0}
    task = Recorded(nanospeech.NanospeechRecipe.from_dict({**values, "characters": CHARACTERS}))
    task.seen = []
    return task


def joined(**settings: Any) -> Recorded:
    """The task with exactly two batches in the corpus, one with more frames than the other."""
    return recorded(frames_per_batch=1300, max_steps=1, **settings)


def streamed(**settings: Any) -> Recorded:
    return recorded(frames_per_batch=130, cache=False, **settings)


def gradients(task: Recorded, data: list[str], out: Path) -> dict[str, Tensor]:
    """Return the gradients of the first step, before clipping."""
    run, found = trainer.Trainer(task, data, [], out), {}
    clip = run.accelerator.clip_grad_norm_

    def noting(*arguments: Any) -> Any:
        for name, parameter in run.accelerator.unwrap_model(run.model).named_parameters():
            gradient: Any = parameter.grad
            found[name] = (gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient).clone()
        return clip(*arguments)

    run.accelerator.clip_grad_norm_ = noting
    go(run)
    return found


def go(run: trainer.Trainer) -> None:
    run.accelerator.end_training = lambda: None  # it would end the process group, and more runs follow
    run.run(None)


class Sharding(trainer.Accelerator):
    """Accelerate shards models on GPUs only; this one does it on CPUs."""

    def __init__(self, **settings: Any):
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=["DiTBlock"]
        )
        super().__init__(**settings)
        self.state.distributed_type = DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        AcceleratorState._shared_state["distributed_type"] = DistributedType.FSDP
        AcceleratorState._shared_state["fsdp_plugin"] = plugin


def main(data: list[str], out: Path) -> None:
    rank = PartialState(cpu=True).process_index
    found = gradients(joined(), data, out / "joined")
    task = streamed(max_steps=4)
    go(trainer.Trainer(task, data, [], out / "streamed"))
    (out / f"seen-{rank}.json").write_text(json.dumps(task.seen))

    values = {**recipe("vocoder"), "adversarial_weight": 0.1, "matching_weight": 0.1}
    run = trainer.Trainer(load_task("vocoder", values), data, [], out / "adversarial")
    assert run.adversary is not None
    before = [parameter.detach().clone() for parameter in run.adversary.discriminators.parameters()]
    go(run)
    torch.save(
        [before, [parameter.detach() for parameter in run.adversary.discriminators.parameters()]],
        out / f"discriminators-{rank}.pt",
    )

    whole = [recorded(frames_per_batch=300, max_steps=steps) for steps in (4, 2, 4)]
    go(trainer.Trainer(whole[0], data, data[:1], out / "replicated"))
    accelerator, trainer.Accelerator = trainer.Accelerator, Sharding  # type: ignore[misc]
    for task in whole[1:]:
        go(trainer.Trainer(task, data, data[:1], out / "sharded"))
    parts = gradients(joined(), data, out / "parts")
    trainer.Accelerator = accelerator  # type: ignore[misc]
    if rank == 0:
        torch.save({"replicated": found, "sharded": parts}, out / "gradients.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(expand([sys.argv[1]]), Path(sys.argv[2]))
