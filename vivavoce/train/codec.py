"""`vivavoce train codec`: the bundled codec's quantizer, fitted by k-means on the shards' log-mel frames.

There are no steps and no gradients, so this is nothing that the loop could run: the recordings are read, the quantizer
is fitted, and what `vivavoce export` needs is written at the end, or nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from vivavoce import audio
from vivavoce.config import Config, TrainConfig
from vivavoce.config_whisperspeech import CodecConfig
from vivavoce.engines.codec_torch import MelQuantizer, fit
from vivavoce.mel_torch import LogMel
from vivavoce.train.data import load_corpus
from vivavoce.train.shards import Features, Utterance
from vivavoce.train.state import Checkpoints
from vivavoce.train.task import Task


@dataclass(frozen=True)
class CodecRecipe(Config):
    """How `vivavoce train codec` fits. Of `train` it uses the seed, the workers and the limits on seconds."""

    model: CodecConfig = field(default_factory=CodecConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    frames: int = 200_000  # stacked frames, drawn from all, that the quantizer is fitted on
    rounds: int = 20  # of k-means, for each codebook

    def __post_init__(self) -> None:
        self.require(self.frames >= self.model.codes, "frames", f"at least model.codes ({self.model.codes})")
        self.require(self.rounds > 0, "rounds", "positive")


class CodecTask(Task):
    """Reads the data and names the model; `fit_codec` does the rest."""

    name = "codec"

    def __init__(self, recipe: CodecRecipe):
        self.recipe, self.mel = recipe, recipe.model.mel
        self.log_mel = LogMel(self.mel)

    def build(self) -> MelQuantizer:
        return MelQuantizer(self.recipe.model)

    def featurize(self, utterance: Utterance) -> Features:
        if len(utterance.samples) <= self.mel.n_fft // 2:
            raise ValueError("shorter than half a mel window")
        mel = self.log_mel(torch.from_numpy(utterance.samples)[None])[0].half()
        return {"mel": mel, "length": len(mel)}

    def fingerprint(self) -> str:
        return f"codec {json.dumps(self.mel.to_dict())}"


def fit_codec(task: CodecTask, data: list[str], valid: list[str], out: Path) -> None:
    """Fit on the shards `data`, and write recipe.json, log.jsonl and checkpoints, from which `export` makes a model.

    Does nothing where `out` holds the same fit already. Raises ValueError where it holds something else, and for data
    with fewer frames than codes.
    """
    console, recipe, began = Console(stderr=True), task.recipe, time.monotonic()
    settings = {"task": task.name, **recipe.to_dict()}
    path, checkpoints = out / "recipe.json", Checkpoints(out, keep=1)
    if checkpoints.all():
        if not path.exists() or json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(settings)):
            raise ValueError(f"{out} holds a run with another recipe; give another --out, or the old settings")
        console.print(f"nothing left to do: {out} holds this codec", markup=False, highlight=False)
        return
    data, valid = task.check_data(data, valid)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        mels = read(task, data, bar, "reading the corpus")
        held = read(task, valid, bar, "reading the validation data") if valid else []
        line = bar.add_task("fitting", total=None)
        generator = torch.Generator().manual_seed(recipe.train.seed)
        model = fit(
            recipe.model,
            some(mels, recipe.frames * recipe.model.stack, generator),
            rounds=recipe.rounds,
            generator=generator,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
        )
    figures = {"frames": sum(map(len, mels)), "minutes": round((time.monotonic() - began) / 60, 2)}
    lost = {}
    if held:
        lost = {"valid_lost": [round(share, 5) for share in unexplained(model, held).tolist()]}
        shares = ", ".join(f"{count}: {100 * share:.1f} %" for count, share in enumerate(lost["valid_lost"], 1))
        console.print(f"variance lost by number of codebooks: {shares}", markup=False, highlight=False)
    out.mkdir(parents=True, exist_ok=True)
    audio.write_whole(path, json.dumps(settings, indent=1, ensure_ascii=False).encode())
    audio.write_whole(out / "log.jsonl", (json.dumps({"step": 1, **figures, **lost}) + "\n").encode())
    checkpoints.save(1, {"model": model.state_dict(), "average": model.state_dict(), "step": 1})
    console.print(f"fitted in {figures['minutes']} minutes; {out}", markup=False, highlight=False)


def read(task: CodecTask, shards: list[str], bar: Progress, what: str) -> list[Tensor]:
    """The shards' log-mels [N, M]."""
    line = bar.add_task(what, total=len(shards))
    corpus = load_corpus(shards, task, task.recipe.train, progress=lambda done, total: bar.update(line, completed=done))
    return [item["mel"].float() for item in corpus.items]


def some(mels: Sequence[Tensor], frames: int, generator: torch.Generator) -> list[Tensor]:
    """Mels [N, M] in a random order, as many as together have so many frames."""
    chosen: list[Tensor] = []
    for index in torch.randperm(len(mels), generator=generator).tolist():
        if frames <= 0:
            break
        chosen.append(mels[index][:frames])
        frames -= len(mels[index])
    return chosen


def unexplained(model: MelQuantizer, mels: Sequence[Tensor]) -> Tensor:
    """Share of the variance of all the mels together that is lost with 1, 2, … codebooks [Q]."""
    stack = model.config.stack
    whole = [mel[: len(mel) // stack * stack] for mel in mels]
    return model.unexplained(torch.cat(whole)[None])
