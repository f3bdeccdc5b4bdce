"""`vivavoce train t2s` and `s2a`: the two stages of whisperspeech, trained on token shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.config import Config
from vivavoce.data.samples import Features
from vivavoce.data.tokens import TokenItem, TokensHeader
from vivavoce.models.whisperspeech import S2AConfig, T2SConfig, TokenSamplingConfig
from vivavoce.models.whisperspeech_torch import PADDING, S2A, T2S
from vivavoce.train.alignment import align
from vivavoce.train.auxiliary_models import S2AWithAuxiliaryLosses, T2SWithAuxiliaryLosses, attention_on_words
from vivavoce.train.config import TrainConfig
from vivavoce.train.tasks.base import Batch, Metrics, Task
from vivavoce.train.tasks.codes import initialise_codes
from vivavoce.train.tasks.token_source import TokenSource


@dataclass(frozen=True)
class T2SRecipe(Config):
    """How `vivavoce train t2s` trains."""

    model: T2SConfig = field(default_factory=T2SConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sampling: TokenSamplingConfig = field(default_factory=TokenSamplingConfig)  # written into the exported model
    semantic: str = ""  # folder of a semantic model, or "bundled": initialises the code embeddings with its codebook
    text_weight: float = 0.1  # weight of the text encoder's next-byte loss
    guide: float = 0.0  # weight of guided attention, where words have times
    guide_steps: int | None = None  # it fades linearly over so many steps; null: it stays
    noise: float = 0.0  # share of the previous codes that are random
    drop: float = 0.0  # share of utterances whose text is dropped, for classifier-free guidance
    join: float = 0.0  # share of batches whose utterances are joined in pairs of one speaker
    mix: float = 0.0  # share of batches whose utterances are joined in pairs of two languages
    cross: float = 0.0  # share of batches whose utterances swap their ends in pairs of one language

    def __post_init__(self) -> None:
        for name in ("text_weight", "guide"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        for name in ("noise", "drop", "join", "mix", "cross"):
            self.require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        self.require(self.join + self.mix <= 1, "mix", "at most 1 together with join")
        self.require(self.join + self.mix + self.cross <= 1, "cross", "at most 1 together with join and mix")
        self.require(self.guide_steps is None or self.guide_steps > 0, "guide_steps", "positive, or null")
        guided = self.model.alignment_layer is not None
        self.require(guided or not self.guide, "guide", "0 if the model has no alignment_layer")
        self.require(bool(self.semantic) or not self.model.frozen_codes, "semantic", "given if the codes are frozen")


@dataclass(frozen=True)
class S2ARecipe(Config):
    """How `vivavoce train s2a` trains."""

    model: S2AConfig = field(default_factory=S2AConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    sampling: TokenSamplingConfig = field(default_factory=TokenSamplingConfig)  # written into the exported model
    semantic: str = ""  # folder of a semantic model, or "bundled": initialises the code embeddings with its codebook
    noise: float = 0.0  # share of the previous acoustic codes that are random
    semantic_noise: float = 0.0  # share of the semantic codes that are random
    drop: float = 0.0  # share of utterances whose semantic codes are dropped, for classifier-free guidance
    join: float = 0.0  # share of batches whose utterances are joined in pairs of one speaker

    def __post_init__(self) -> None:
        for name in ("noise", "semantic_noise", "drop", "join"):
            self.require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        self.require(bool(self.semantic) or not self.model.frozen_codes, "semantic", "given if the codes are frozen")


Fits = Callable[[Features, Features], bool]


def in_pairs(items: list[Features], fits: Fits, join: Callable[[Features, Features], Features]) -> list[Features]:
    """Return the items in random order, joined in pairs where `fits` allows it; the others stay single."""
    left = [items[i] for i in torch.randperm(len(items)).tolist()]
    joined = []
    while left:
        first = left.pop()
        partner = next((n for n, other in enumerate(left) if fits(first, other)), None)
        joined.append(first if partner is None else join(first, left.pop(partner)))
    return joined


class TokenTask(TokenSource, Task):
    """What the two stages have in common."""

    def __init__(self, recipe: Any):
        self.recipe = recipe

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        found = super().check_data(shards, valid)
        for name, ours, theirs in self.requirements(self.header):
            if ours != theirs:
                raise ValueError(f"{name} is {ours:g} in the recipe, but {theirs:g} in the tokens of {found[0][0]}")
        return found

    def requirements(self, header: TokensHeader) -> list[tuple[str, float, float]]:
        """Return settings on which recipe and tokens must agree: name, the recipe's value, the tokens'."""
        raise NotImplementedError

    def data_info(self) -> dict[str, Any]:
        return {"tokens": self.header.to_dict()}

    def learning_rates(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, T2S | S2A)
        return model.learning_rates()

    def weight(self, batch: Batch) -> int:
        return int((batch["codes"] != PADDING).sum())

    def export(self) -> dict[str, Any]:
        return {**super().export(), "sampling": self.recipe.sampling.to_dict()}

    def initialise_codes(self, table: nn.Embedding) -> None:
        """Initialise the embeddings of semantic codes with the codebook of the recipe's semantic model, if it has one.

        Raises ValueError if there is no such model, or the number or the width of its codes differs.
        """
        if self.recipe.semantic:
            initialise_codes(table, self.recipe.semantic)


# ---- text to semantic tokens ----------------------------------------------------------------------------------------


class T2STask(TokenTask):
    """Text to semantic tokens."""

    name = "t2s"
    recipe: T2SRecipe

    def build(self) -> T2SWithAuxiliaryLosses:
        model = T2SWithAuxiliaryLosses(self.recipe.model)
        self.initialise_codes(model.code_embed.table)
        return model

    def data_info(self) -> dict[str, Any]:
        # the codec and the speaker encoder do not matter to it
        kept = {name: value for name, value in self.header.to_dict().items() if name.startswith("semantic")}
        return {"tokens": kept}

    def requirements(self, header: TokensHeader) -> list[tuple[str, float, float]]:
        return [("model.codes", self.recipe.model.codes, header.semantic_codes)]

    def length(self, seconds: float) -> int:
        return int(seconds * self.header.semantic_rate) + 2

    def fingerprint(self) -> str:
        config = self.recipe.model
        about = (config.languages, config.lowercase, config.text_length, config.code_length, self.header)
        return f"t2s {about}"

    def token_features(self, item: TokenItem) -> Features:
        config = self.recipe.model
        words = config.reads(item["text"]).split()
        if not words:
            raise ValueError("no text")
        text = " ".join(words)
        codes = torch.from_numpy(item["semantic"].astype(np.int16))
        count = len(text.encode())
        if count > config.max_bytes:
            raise ValueError(f"more than {config.max_bytes} bytes of text")
        if len(codes) >= config.code_length:
            raise ValueError(f"more than {config.code_length - 1} semantic codes")
        times = [(config.reads(word), start, end) for word, start, end in item["words"]]
        return {
            "text": torch.tensor(list(text.encode()), dtype=torch.uint8),
            "languages": torch.full((count,), config.language(item["lang"]), dtype=torch.int16),
            "codes": codes,
            "spans": self._spans(words, times, item["seconds"], len(codes)),
            "characters": len(text),
            "seconds": item["seconds"],
            "speaker": item["name"],
            "length": len(codes) + 1,
        }

    def _spans(self, words: list[str], times: list[tuple[str, float, float]], seconds: float, codes: int) -> Tensor:
        """Return the bytes being spoken at each code and at the end [N + 1, 2]: start and end, end exclusive.

        The byte before the text, which stands for silence, is -1. All spans are empty if no word has times.
        """
        characters, lengths = align(words, times, seconds)
        if len(lengths) < 2:
            return torch.zeros(codes + 1, 2, dtype=torch.int16)
        sizes = [len(character.encode()) for character in " " + " ".join(words) + " "]
        before = np.concatenate(([0], np.cumsum(sizes))) - 1  # bytes before each character; the space in front is -1
        numbers = np.asarray(characters)
        first = before[np.searchsorted(numbers, np.arange(len(lengths)), "left")]
        behind = before[np.searchsorted(numbers, np.arange(len(lengths)), "right")]
        middles = (np.arange(codes + 1) + 0.5) / self.header.semantic_rate
        spoken = np.searchsorted(np.cumsum(lengths), middles, "right").clip(max=len(lengths) - 1)
        spoken[-1] = len(lengths) - 1  # the end belongs to the silence after the text
        return torch.from_numpy(np.stack((first[spoken], behind[spoken]), axis=1).astype(np.int16))

    def collate(self, items: list[Features]) -> Batch:
        draw = float(torch.rand(()))
        if draw < self.recipe.join:
            items = in_pairs(items, self._same_speaker, self._join)
        elif draw < self.recipe.join + self.recipe.mix:
            items = in_pairs(items, self._other_language, self._join)
        elif draw < self.recipe.join + self.recipe.mix + self.recipe.cross:
            items = self._crossed(items)
        return {
            "text": pad_sequence([i["text"].long() for i in items], True, PADDING),
            "languages": pad_sequence([i["languages"].long() for i in items], True),
            "pace": torch.tensor([i["characters"] / i["seconds"] for i in items]),
            "codes": pad_sequence([i["codes"].long() for i in items], True, PADDING),
            # the wrapped text starts with a zero; an empty span stays empty
            "spans": pad_sequence([i["spans"].long() + 1 for i in items], True),
        }

    def _same_speaker(self, a: Features, b: Features) -> bool:
        return a["speaker"] == b["speaker"] != "" and self._room(a, b)

    def _other_language(self, a: Features, b: Features) -> bool:
        return bool(a["languages"][0] != b["languages"][0]) and self._room(a, b)

    def _room(self, a: Features, b: Features) -> bool:
        config = self.recipe.model
        text, codes = len(a["text"]) + 1 + len(b["text"]), len(a["codes"]) + len(b["codes"])
        return text <= config.max_bytes and codes < config.code_length

    def _join(self, a: Features, b: Features) -> Features:
        """Join two utterances with a space, which is in the second's language."""
        offset = len(a["text"]) + 1
        moved = torch.where(b["spans"][:, :1] < b["spans"][:, 1:], b["spans"] + offset, b["spans"])
        return {
            "text": torch.cat((a["text"], torch.tensor([32], dtype=torch.uint8), b["text"])),
            "languages": torch.cat((a["languages"], b["languages"][:1], b["languages"])),
            "codes": torch.cat((a["codes"], b["codes"])),
            "spans": torch.cat((a["spans"][:-1], moved)),
            "characters": a["characters"] + 1 + b["characters"],
            "seconds": a["seconds"] + b["seconds"],
            "speaker": a["speaker"],
            "length": a["length"] + b["length"],
        }

    def _crossed(self, items: list[Features]) -> list[Features]:
        """Return the items in random order, spliced in pairs at a word: the start of one, the end of the other.

        In such nonsense sentences only the text predicts the next word, so the model must read it.
        """
        items = [items[i] for i in torch.randperm(len(items)).tolist()]
        for n in range(0, len(items) - 1, 2):
            a, b = items[n : n + 2]
            starts = [self._word_starts(item) for item in (a, b)]
            if a["languages"][0] != b["languages"][0] or not all(map(len, starts)):
                continue
            at = [int(found[torch.randint(len(found), ())]) for found in starts]
            items[n : n + 2] = self._cross(a, b, *at), self._cross(b, a, *at[::-1])
        return items

    def _word_starts(self, item: Features) -> Tensor:
        """Return the bytes at which words with a known first code begin, without the first word's."""
        starts = item["spans"][:, 0].long().unique()
        starts = starts[(starts > 0) & (starts < len(item["text"]))]
        return starts[(item["text"][starts - 1] == ord(" ")) & (item["text"][starts] != ord(" "))]

    def _cross(self, a: Features, b: Features, a_byte: int, b_byte: int) -> Features:
        """Splice `a`, up to the start of a word, and `b`, from the start of a word; return `a` if that is too long."""
        # the spoken byte never moves back, so these are the words' first codes
        a_code, b_code = int((a["spans"][:, 0] < a_byte).sum()), int((b["spans"][:, 0] < b_byte).sum())
        text = torch.cat((a["text"][:a_byte], b["text"][b_byte:]))
        codes = torch.cat((a["codes"][:a_code], b["codes"][b_code:]))
        if len(text) > self.recipe.model.max_bytes or len(codes) >= self.recipe.model.code_length:
            return a
        return {
            **a,
            "text": text,
            "languages": torch.cat((a["languages"][:a_byte], b["languages"][b_byte:])),
            "codes": codes,
            "spans": torch.cat((a["spans"][:a_code], b["spans"][b_code:] + (a_byte - b_byte))),
            "characters": len(bytes(text.tolist()).decode()),
            "seconds": len(codes) / self.header.semantic_rate,
            "length": len(codes) + 1,
        }

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        recipe = self.recipe
        fade = 1.0 if recipe.guide_steps is None else max(0.0, 1 - self.step / recipe.guide_steps)
        return model(
            **batch, text_weight=recipe.text_weight, guide=recipe.guide * fade, noise=recipe.noise, drop=recipe.drop
        )

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Return `loss`, `accuracy`: the share of correctly predicted codes with teacher forcing, and `on_word`: the
        share of the attention that falls on the word being spoken, if words have times; from 0.5 on, the model
        reads."""
        assert isinstance(model, T2S)
        layer = self.recipe.model.alignment_layer
        sums = torch.zeros(5)
        for batch in batches:
            given = {name: batch[name] for name in ("text", "languages", "pace", "codes")}
            target = model.target(batch["codes"])
            predicted = model.logits(**given)
            sums[:3] += scores(predicted, target).cpu()
            if layer is not None:
                share, known = attention_on_words(model.alignment(**given), batch["spans"][:, :-1])
                sums[3:] += torch.stack(((share * known).sum(), known.sum())).cpu()
        metrics = {"loss": float(sums[0] / sums[2]), "accuracy": float(sums[1] / sums[2])}
        if sums[4]:
            metrics["on_word"] = float(sums[3] / sums[4])
        return metrics

    def samples(self, model: nn.Module, batch: Batch) -> dict[str, np.ndarray]:
        """Return pictures of the attention, codes from left to right and bytes upwards."""
        assert isinstance(model, T2S)
        if self.recipe.model.alignment_layer is None:
            return {}
        few = {name: batch[name][:2] for name in ("text", "languages", "pace", "codes")}
        attention = model.alignment(**few)
        sizes = [
            (int((c != PADDING).sum()), int((t != PADDING).sum()) + 2)
            for c, t in zip(few["codes"], few["text"], strict=True)
        ]
        return {f"{i}-attention": attention[i, :n, :s].cpu().numpy() for i, (n, s) in enumerate(sizes)}


def scores(logits: Tensor, target: Tensor) -> Tensor:
    """Return summed cross-entropy, correct predictions and codes [3] of logits [..., C] and padded targets [...]."""
    present = target != PADDING
    loss = F.cross_entropy(logits[present].float(), target[present], reduction="sum")
    right = (logits.argmax(-1) == target) & present
    return torch.stack((loss, right.sum().float(), present.sum().float()))


# ---- semantic to acoustic tokens ------------------------------------------------------------------------------------


class S2ATask(TokenTask):
    """Semantic to acoustic tokens."""

    name = "s2a"
    recipe: S2ARecipe

    def build(self) -> S2AWithAuxiliaryLosses:
        model = S2AWithAuxiliaryLosses(self.recipe.model)
        self.initialise_codes(model.semantic_embed)
        return model

    def requirements(self, header: TokensHeader) -> list[tuple[str, float, float]]:
        config = self.recipe.model
        return [
            ("model.semantic_codes", config.semantic_codes, header.semantic_codes),
            ("model.codes", config.codes, header.codec_codes),
            # the first few codebooks are a coarser codec of their own
            ("model.quantizers", config.quantizers, min(config.quantizers, header.quantizers)),
            ("model.frames_per_code", config.frames_per_code, header.codec_rate / header.semantic_rate),
            ("model.speaker_dim", config.speaker_dim, header.speaker_dim),
        ]

    def length(self, seconds: float) -> int:
        return int(seconds * self.header.codec_rate) + 2 + self.recipe.model.quantizers

    def fingerprint(self) -> str:
        config = self.recipe.model
        about = (config.semantic_length, config.frame_length, config.frames_per_code, config.quantizers, self.header)
        return f"s2a {about}"

    def token_features(self, item: TokenItem) -> Features:
        config = self.recipe.model
        semantic = torch.from_numpy(item["semantic"].astype(np.int16))
        if len(semantic) > config.max_codes:
            raise ValueError(f"more than {config.max_codes} semantic codes")
        # as many frames as the model writes for these codes; the codec's last one may be padding alone
        frames = config.frames(len(semantic))
        acoustic = torch.from_numpy(item["acoustic"][: config.quantizers, :frames].astype(np.int16))
        return {
            "semantic": semantic,
            "codes": acoustic,
            "vector": torch.from_numpy(item["speaker"].astype(np.float32)),
            "speaker": item["name"],
            "length": acoustic.shape[1] + config.quantizers,
        }

    def collate(self, items: list[Features]) -> Batch:
        if float(torch.rand(())) < self.recipe.join:
            items = in_pairs(items, self._same_speaker, self._join)
        return {
            "semantic": pad_sequence([i["semantic"].long() for i in items], True, PADDING),
            "speaker": torch.stack([i["vector"] for i in items]),
            "codes": pad_sequence([i["codes"].long().T for i in items], True, PADDING).transpose(1, 2),
        }

    def _same_speaker(self, a: Features, b: Features) -> bool:
        room = len(a["semantic"]) + len(b["semantic"]) <= self.recipe.model.max_codes
        return a["speaker"] == b["speaker"] != "" and room

    def _join(self, a: Features, b: Features) -> Features:
        return {
            "semantic": torch.cat((a["semantic"], b["semantic"])),
            "codes": torch.cat((a["codes"], b["codes"]), dim=1),
            "vector": a["vector"],
            "speaker": a["speaker"],
            "length": a["length"] + b["length"],
        }

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        recipe = self.recipe
        return model(**batch, noise=recipe.noise, semantic_noise=recipe.semantic_noise, drop=recipe.drop)

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Return `loss` and `accuracy_1`, …: the share of correctly predicted codes of each codebook."""
        assert isinstance(model, S2A)
        sums = torch.zeros(model.codebooks, 3)
        for batch in batches:
            predicted = model.logits(**batch)
            parts = [scores(predicted[:, q], batch["codes"][:, q]) for q in range(model.codebooks)]
            sums += torch.stack(parts).cpu()
        right = {f"accuracy_{q + 1}": float(row[1] / row[2]) for q, row in enumerate(sums)}
        return {"loss": float(sums[:, 0].sum() / sums[:, 2].sum()), **right}
