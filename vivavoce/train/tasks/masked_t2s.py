"""`vivavoce train t2s` with `"alignment": "frames"`: T2S in step with the text.

It trains on recordings, whose aligner finds the time of each character, and on the token shards beside them, which have
their semantic codes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.checkpoints.resolve import read_config
from vivavoce.checkpoints.weights import NANOSPEECH_SETTINGS
from vivavoce.checkpoints.weights_torch import read_weights
from vivavoce.config import ASSETS, Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.masked_t2s_torch import MASKED, MaskedT2S
from vivavoce.models.nanospeech import FILLER, NanospeechConfig
from vivavoce.models.whisperspeech import MaskedSamplingConfig, MaskedT2SConfig
from vivavoce.train.config import TrainConfig
from vivavoce.train.tasks.base import Batch, Metrics
from vivavoce.train.tasks.codes import CodesBeside, initialise_codes
from vivavoce.train.tasks.text import TextTask

SHARES = (1.0, 0.5, 0.1)  # of the codes that are masked when the accuracy is measured


@dataclass(frozen=True)
class MaskedT2SRecipe(Config):
    """The recipe of `vivavoce train t2s` with `"alignment": "frames"`."""

    model: MaskedT2SConfig = field(default_factory=MaskedT2SConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sampling: MaskedSamplingConfig = field(default_factory=MaskedSamplingConfig)  # written to the exported model
    characters: str = ""
    aligner: str = ""  # "bundled" or a folder: the aligner that finds the frames of the characters
    semantic: str = ""  # folder of a semantic model, or "bundled": initialises the code embedding with its codebook
    nanospeech: str = ""  # folder of a nanospeech model: initialises the text encoder with its own
    hidden_phones: float = 0.3  # share of words whose phones are hidden, so that the model reads unknown words too
    embedding_rate: float = 1.0  # factor on the learning rate of the language and phone embeddings

    def __post_init__(self) -> None:
        self.require(0 <= self.hidden_phones <= 1, "hidden_phones", "from 0 to 1")
        self.require(self.embedding_rate > 0, "embedding_rate", "positive")
        self.require(bool(self.aligner), "aligner", '"bundled" or a folder')


class MaskedT2STask(CodesBeside, TextTask):
    """T2S in step with the text."""

    name = "t2s"
    addable = ("text_encoder.language_embed.", "text_encoder.phone_embed.")

    def __init__(self, recipe: MaskedT2SRecipe):
        super().__init__(recipe, recipe.model.speaker_dim)

    def build(self) -> MaskedT2S:
        model = MaskedT2S(self.recipe.model)
        if self.recipe.semantic:
            initialise_codes(model.code_embed, self.recipe.semantic)
        if self.recipe.nanospeech:
            initialise_text(model, self.recipe.nanospeech, self.recipe.characters)
        return model

    def featurize(self, utterance: Utterance) -> Features:
        item, mel = self.read(utterance), self.mel_of(utterance)
        self.place_letters(item, mel)
        item["length"] = self.recipe.model.count(len(mel))
        return item

    def length(self, seconds: float) -> int:
        return int(seconds * self.recipe.model.code_rate) + 2

    def fingerprint(self) -> str:
        return f"masked t2s {super().fingerprint()}{self.codes_fingerprint()}"

    def data_info(self) -> dict[str, Any]:
        return self.tokens_info()

    def collate(self, items: list[Features]) -> Batch:
        rate = self.recipe.model.codes_per_frame
        return {
            "codes": pad_sequence([i["codes"].long() for i in items], True, MASKED),
            "text": pad_sequence([i["text"].long() for i in items], True, FILLER),
            "durations": pad_sequence([i["letters"] * rate for i in items], True),
            **self.text_channels(items),
        }

    def weight(self, batch: Batch) -> int:
        return int((batch["codes"] != MASKED).sum())

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Return the metrics.

        loss, with shares of masked codes as in training; accuracy_100, _50 and _10: the share of masked codes whose
        most likely value is right, with so many per cent of the codes masked; and the first of them for each language,
        if there are several.
        """
        assert isinstance(model, MaskedT2S)
        losses: list[float] = []
        right: dict[str, float] = defaultdict(float)
        count: dict[str, float] = defaultdict(float)
        for number, batch in enumerate(batches):
            size, device = len(batch["codes"]), batch["codes"].device
            draw = torch.rand(batch["codes"].shape, generator=torch.Generator().manual_seed(number)).to(device)
            even = (torch.arange(size, device=device) + 0.5) / size
            losses.append(model.loss(**batch, share=torch.cos(math.pi / 2 * even), draw=draw).item())
            for share in SHARES:
                _, found, hidden = model.masked_scores(**batch, share=torch.full_like(even, share), draw=draw)
                name = f"accuracy_{100 * share:.0f}"
                right[name] += float(found.sum())
                count[name] += float(hidden.sum())
                if share == 1 and len(self.languages) > 1:
                    for row, lang in enumerate(batch["languages"][:, 0].tolist()):
                        right[f"{name}_{self.languages[lang]}"] += float(found[row].sum())
                        count[f"{name}_{self.languages[lang]}"] += float(hidden[row].sum())
        return {"loss": sum(losses) / len(losses), **{name: right[name] / max(1, count[name]) for name in right}}

    def export(self) -> dict[str, Any]:
        return {**super().export(), "sampling": self.recipe.sampling.to_dict()}


def initialise_text(model: MaskedT2S, name: str, characters: str) -> None:
    """Fill the text encoder with that of a nanospeech model, a folder or "bundled".

    Raises ValueError if there is no such model, or its text encoder reads something else or has another size.
    """
    folder = ASSETS / "nanospeech" if name == "bundled" else Path(name)
    values = read_config(folder, "nanospeech", NANOSPEECH_SETTINGS)
    theirs = NanospeechConfig.from_dict(values.get("model", {}), str(folder / "config.json"))
    ours = model.config
    if "".join(values.get("characters", "")) != characters:
        raise ValueError(f"{folder}: its characters differ from the recipe's")
    for setting in ("languages", "phones", "text_dim", "text_layers"):
        if (its := getattr(theirs, setting)) != getattr(ours, setting):
            raise ValueError(f"{folder}: its {setting} is {its!r}, the recipe's is {getattr(ours, setting)!r}")
    if theirs.text_align == "pad":
        raise ValueError(f"{folder}: its text is padded, not stretched")
    prefix = "transformer.text_encoder."
    weights: dict[str, Tensor] = read_weights(folder / "model.safetensors")
    found = {n.removeprefix(prefix): w.float() for n, w in weights.items() if n.startswith(prefix)}
    model.text_encoder.load_state_dict(found)
