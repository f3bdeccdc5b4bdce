"""`vivavoce train codec`: the quantizer of the bundled codec, fitted by k-means on log-mel frames.

It has no steps and no gradients, so the trainer's loop does not run it. The run folder is written at the end, or not at
all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor

from vivavoce.audio.files import atomic_write
from vivavoce.config import Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.codec import CodecConfig
from vivavoce.models.codec_torch import MelQuantizer, fit
from vivavoce.models.mel_torch import LogMel
from vivavoce.train.batches import load_corpus
from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.config import TrainConfig
from vivavoce.train.run_log import RunLog
from vivavoce.train.tasks.base import Task


@dataclass(frozen=True)
class CodecRecipe(Config):
    """How `vivavoce train codec` fits. It uses only the seed, the workers and the length limits of `train`."""

    model: CodecConfig = field(default_factory=CodecConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    frames: int = 200_000  # stacked frames to fit on, drawn at random
    rounds: int = 20  # of k-means for each codebook

    def __post_init__(self) -> None:
        self.require(self.frames >= self.model.codes, "frames", f"at least model.codes ({self.model.codes})")
        self.require(self.rounds > 0, "rounds", "positive")


class CodecTask(Task):
    """The quantizer of the codec."""

    name = "codec"
    closed_form = True

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

    def fit(self, data: list[str], valid: list[str], out: Path) -> None:
        """Fit on the shards `data`, and write recipe.json, log.jsonl and a checkpoint for `export`.

        Does nothing if `out` holds the same fit already. Raises ValueError if it holds something else, and for data
        with fewer frames than codes.
        """
        log, checkpoints, recipe = RunLog(out), Checkpoints(out, keep=1), self.recipe
        settings = {"task": self.name, **recipe.to_dict()}
        if checkpoints.all():
            _check_same(out, settings)
            log.print(f"nothing left to do: {out} holds this codec")
            return
        data, valid = self.check_data(data, valid)
        started = time.monotonic()
        with log.progress() as bar:
            mels = self._mels(data, bar, "reading the corpus")
            held_out = self._mels(valid, bar, "reading the validation data") if valid else []
            line = bar.add_task("fitting", total=None, note="")
            generator = torch.Generator().manual_seed(recipe.train.seed)
            model = fit(
                recipe.model,
                draw(mels, recipe.frames * recipe.model.stack, generator),
                rounds=recipe.rounds,
                generator=generator,
                progress=lambda done, total: bar.update(line, completed=done, total=total),
            )
        row: dict[str, Any] = {"step": 1, "frames": sum(map(len, mels))}
        row["minutes"] = round((time.monotonic() - started) / 60, 2)
        if held_out:
            row["valid_lost"] = [round(share, 5) for share in lost_variance(model, held_out).tolist()]
            shares = ", ".join(f"{count}: {100 * share:.1f} %" for count, share in enumerate(row["valid_lost"], 1))
            log.print(f"lost variance by number of codebooks: {shares}")
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / "recipe.json", json.dumps(settings, indent=1, ensure_ascii=False).encode())
        atomic_write(out / "log.jsonl", (json.dumps(row) + "\n").encode())
        checkpoints.save(1, {"model": model.state_dict(), "average": model.state_dict(), "step": 1})
        log.print(f"fitted in {row['minutes']} minutes; {out}")

    def _mels(self, shards: list[str], bar: Progress, what: str) -> list[Tensor]:
        """Return the log-mels [N, M] of the shards."""
        line = bar.add_task(what, total=len(shards), note="shards")
        corpus = load_corpus(
            shards, self, self.recipe.train, progress=lambda done, total: bar.update(line, completed=done)
        )
        return [item["mel"].float() for item in corpus.items]


def _check_same(out: Path, settings: dict[str, Any]) -> None:
    """Raise ValueError if the run in `out` has other settings."""
    try:
        stored = json.loads((out / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        stored = None
    if stored != json.loads(json.dumps(settings)):
        raise ValueError(f"{out} holds a run with another recipe; give another --out, or the old settings")


def draw(mels: Sequence[Tensor], frames: int, generator: torch.Generator) -> list[Tensor]:
    """Return mels [N, M] in random order, cut off at `frames` frames in total."""
    chosen: list[Tensor] = []
    for index in torch.randperm(len(mels), generator=generator).tolist():
        if frames <= 0:
            break
        chosen.append(mels[index][:frames])
        frames -= len(mels[index])
    return chosen


def lost_variance(model: MelQuantizer, mels: Sequence[Tensor]) -> Tensor:
    """Return the share of the mels' variance that is lost with 1, 2, … codebooks [Q]."""
    stack = model.config.stack
    whole = [mel[: len(mel) // stack * stack] for mel in mels]
    return model.unexplained(torch.cat(whole)[None])
