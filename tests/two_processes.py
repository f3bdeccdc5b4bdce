"""What test_distributed.py runs in two processes: python -m torch.distributed.run --nproc-per-node=2 … DATA OUT

One launch does it all, for most of its time goes into starting. Also the task and the bookkeeping that both sides use.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from test_train import CHARACTERS, recipe
from torch import Tensor, nn

from vivavoce.engines.nanospeech_torch import Nanospeech, length_mask
from vivavoce.train import loop, tasks
from vivavoce.train.shards import Features, Utterance, expand


class Noted(tasks.NanospeechTask):
    """Notes who gets which utterance; nothing in its loss is left to chance, so that batches can be joined."""

    seen: list[list[str]]

    def build(self) -> Nanospeech:
        model = super().build()
        model._hidden_span = length_mask  # type: ignore[method-assign]
        with torch.no_grad():
            for parameter in model.parameters():  # many are zero at first, and those before them without gradients
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    def featurize(self, utterance: Utterance) -> Features:
        return {**super().featurize(utterance), "key": utterance.key}

    def fingerprint(self) -> str:
        return f"noted {super().fingerprint()}"

    def collate(self, items: list[Features]) -> tasks.Batch:
        self.seen.append([item["key"] for item in items])
        return super().collate(items)

    def loss(self, model: nn.Module, batch: tasks.Batch, critics: nn.Module | None = None) -> Tensor:
        noise, time = (37 * batch["mel"]).sin(), (batch["lengths"] % 7 + 0.5) / 7
        return model(**batch, drop=0.0, noise=noise, time=time)


def noted(**settings: Any) -> Noted:
    values = recipe("nanospeech", **settings)
    values["model"] = {**values["model"], "dropout": 0.0}
    task = Noted(tasks.NanospeechRecipe.from_dict({**values, "characters": CHARACTERS}))
    task.seen = []
    return task


def joined(**settings: Any) -> Noted:
    """The task in batches of which the corpus makes exactly two, the one with more frames than the other."""
    return noted(frames_per_batch=1300, max_steps=1, **settings)


def streamed(**settings: Any) -> Noted:
    return noted(frames_per_batch=130, cache=False, **settings)


def gradients(task: Noted, data: list[str], out: Path) -> dict[str, Tensor]:
    """The first step's, as they are before they are clipped."""
    run, found = loop.Run(task, data, [], out), {}
    clip = run.accelerator.clip_grad_norm_

    def noting(*arguments: Any) -> Any:
        for name, parameter in run.accelerator.unwrap_model(run.model).named_parameters():
            gradient: Any = parameter.grad
            found[name] = (gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient).clone()
        return clip(*arguments)

    run.accelerator.clip_grad_norm_ = noting
    go(run)
    return found


def go(run: loop.Run) -> None:
    run.accelerator.end_training = lambda: None  # which would part the processes, and more is to come
    run.go(None)


class Sharding(loop.Accelerator):
    """Accelerate shards models on GPUs only; this one takes the CPUs for some."""

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
    go(loop.Run(task, data, [], out / "streamed"))
    (out / f"seen-{rank}.json").write_text(json.dumps(task.seen))

    values = {**recipe("vocoder"), "adversarial_weight": 0.1, "matching_weight": 0.1}
    run = loop.Run(tasks.load_task("vocoder", values), data, [], out / "critics")
    before = [parameter.detach().clone() for parameter in run.critics.parameters()]  # type: ignore[union-attr]
    go(run)
    assert run.critics is not None
    torch.save([before, [parameter.detach() for parameter in run.critics.parameters()]], out / f"critics-{rank}.pt")

    whole = [noted(frames_per_batch=300, max_steps=steps) for steps in (4, 2, 4)]
    go(loop.Run(whole[0], data, data[:1], out / "replicated"))
    accelerator, loop.Accelerator = loop.Accelerator, Sharding  # type: ignore[misc]
    for task in whole[1:]:
        go(loop.Run(task, data, data[:1], out / "sharded"))
    parts = gradients(joined(), data, out / "parts")
    loop.Accelerator = accelerator  # type: ignore[misc]
    if rank == 0:
        torch.save({"replicated": found, "sharded": parts}, out / "gradients.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(expand([sys.argv[1]]), Path(sys.argv[2]))
