"""The task `vivavoce train aligner`: find the frames of each character, from recordings and their texts alone.

Training starts with equal shares. In the end a silent letter has hardly any frames, and a long vowel has most of its
word. nanospeech and its duration model are trained on the result and need not learn the alignment themselves; equal
shares are the less accurate the longer a word is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.config import Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.aligner import AlignerConfig
from vivavoce.models.aligner_torch import Aligner
from vivavoce.train.config import TrainConfig
from vivavoce.train.tasks.base import Batch
from vivavoce.train.tasks.text import TextTask


@dataclass(frozen=True)
class AlignerRecipe(Config):
    """The recipe of `vivavoce train aligner`."""

    model: AlignerConfig = field(default_factory=AlignerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    characters: str = ""
    even_steps: int = 100  # initial steps with equal shares

    def __post_init__(self) -> None:
        self.require(self.even_steps >= 0, "even_steps", "0 or more")


class AlignerTask(TextTask):
    """Trains the aligner."""

    name = "aligner"
    addable = ("text_encoder.language_embed.",)

    def __init__(self, recipe: AlignerRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)

    def build(self) -> Aligner:
        return Aligner(self.recipe.model)

    def featurize(self, utterance: Utterance) -> Features:
        item, mel = self.read(utterance), self.mel_of(utterance)
        return item | {"mel": mel.half(), "length": len(mel)}

    def fingerprint(self) -> str:
        return f"aligner {super().fingerprint()}"

    def collate(self, items: list[Features]) -> Batch:
        return self.speech(items) | {
            "spans": pad_sequence([i["spans"].long() for i in items], True),
            "frames": pad_sequence([i["frames"] for i in items], True, -1.0),
        }

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        return model(**batch, evenly=self.step < self.recipe.even_steps)

    def weight(self, batch: Batch) -> int:
        return int(batch["lengths"].sum())
