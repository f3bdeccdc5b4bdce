"""The task `vivavoce train duration`: the length of the speech, or of each character."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.config import Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.nanospeech import FILLER, DurationConfig
from vivavoce.models.nanospeech_torch import CharacterDurations, duration_model
from vivavoce.train.config import TrainConfig
from vivavoce.train.tasks.base import Batch, Metrics
from vivavoce.train.tasks.text import TextTask


@dataclass(frozen=True)
class DurationRecipe(Config):
    """The recipe of `vivavoce train duration`."""

    model: DurationConfig = field(default_factory=DurationConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    characters: str = ""
    aligner: str = ""  # "bundled" or a folder: finds the frames of the characters; empty: learn from words only
    hidden_phones: float = 0.3  # share of words whose phones are hidden
    hidden_prosody: float = 0.3  # share of samples whose prosody is not stated
    embedding_rate: float = 1.0  # factor on the learning rate of the language, phone and prosody embeddings

    def __post_init__(self) -> None:
        for name in ("hidden_phones", "hidden_prosody"):
            self.require(0 <= getattr(self, name) <= 1, name, "from 0 to 1")
        self.require(self.embedding_rate > 0, "embedding_rate", "positive")
        self.require(
            bool(self.aligner) == self.model.letters, "aligner", "given if, and only if, the model's letters is true"
        )


class DurationTask(TextTask):
    """Trains either duration model."""

    name = "duration"
    addable = ("text_encoder.language_embed.", "text_encoder.phone_embed.", "text_encoder.prosody_embed.")

    def __init__(self, recipe: DurationRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)

    def build(self) -> nn.Module:
        return duration_model(self.recipe.model)

    def featurize(self, utterance: Utterance) -> Features:
        item = self.read(utterance)
        if self.recipe.model.kind == "transformer":
            item["mel"] = self.mel_of(utterance).half()
        elif self.aligner is not None:
            self.place_letters(item, self.mel_of(utterance))
        item["length"] = int(sum(item["frames"]))
        return item

    def fingerprint(self) -> str:
        return f"duration {self.recipe.model.kind} {super().fingerprint()}"

    def collate(self, items: list[Features]) -> Batch:
        text = pad_sequence([i["text"].long() for i in items], True, FILLER)
        if self.recipe.model.kind == "transformer":
            lengths = torch.tensor([len(i["mel"]) for i in items])
            return {"mel": pad_sequence([i["mel"].float() for i in items], True), "text": text, "lengths": lengths}
        batch = {
            "text": text,
            "spans": pad_sequence([i["spans"].long() for i in items], True),
            "frames": pad_sequence([i["frames"] for i in items], True, -1.0),
        }
        if self.aligner is not None:
            batch["letters"] = pad_sequence([i["letters"] for i in items], True)
        return batch | self.text_channels(items)

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        metrics = super().validate(model, batches)
        if isinstance(model, CharacterDurations):
            errors = []
            for batch in batches:
                total = batch["frames"].clamp(min=0).sum(1)
                given = {name: batch.get(name) for name in ("speaker", "languages", "phones", "prosody")}
                errors.append((model.predict(batch["text"], **given).sum(1) / total - 1).abs())
            metrics["total_error"] = torch.cat(errors).mean().item()  # relative error of the total length
        return metrics
