"""`vivavoce train semantic`: a bottleneck in Whisper, trained against Whisper's own frozen decoder.

Neighbouring clips of a shard are packed into Whisper's 30 s windows, each in one language. A corpus in memory holds,
for each window, the encoder's frames and the decoder's states (1.5 MB), computed once; a streamed corpus (`"cache":
false`) computes them every time.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.checkpoints.whisperspeech_torch import load_whisper
from vivavoce.config import Config
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.semantic import SemanticConfig
from vivavoce.models.semantic_torch import (
    HOP,
    PADDING,
    PAUSE,
    SAMPLE_RATE,
    Semantic,
    Whisper,
    joined,
    length_mask,
    lost_variance,
    pack,
)  # fmt: skip
from vivavoce.text.languages import WHISPER_LANGUAGES
from vivavoce.train.alignment import align
from vivavoce.train.auxiliary_models import SemanticWithAuxiliaryLosses
from vivavoce.train.config import TrainConfig
from vivavoce.train.precision import usable
from vivavoce.train.tasks.base import Batch, Metrics, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class SemanticRecipe(Config):
    """How `vivavoce train semantic` trains."""

    model: SemanticConfig = field(default_factory=SemanticConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    whisper: str = "base.pt"  # a checkpoint of openai-whisper
    tokenizer: str = "tokenizer.json"  # of the same Whisper, for Hugging Face's tokenizers
    read: int = 4  # validation windows that Whisper transcribes each time
    reading: float = 1.0  # weight of the loss through Whisper's decoder; 0: skip the decoder, ten times as fast
    likeness: float = 0.0  # weight of the share of the frames' variance that is lost
    letters: float = 0.0  # weight of predicting the spoken letter from each code, where words have times
    alphabet: str = "abcdefghijklmnopqrstuvwxyzñ"  # of those letters; others lose their accents
    hold_codes: bool = False  # freeze the codebook and what leads to it: with --from, tokens stay the same

    def __post_init__(self) -> None:
        for name in ("read", "reading", "likeness", "letters"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        decoded = self.reading or self.likeness  # losses after the codes
        self.require(bool(decoded or self.letters), "reading", "positive if likeness and letters are 0")
        self.require(bool(decoded) or not self.hold_codes, "reading", "positive if hold_codes is true")
        self.require(0 < len(set(self.alphabet)) == len(self.alphabet), "alphabet", "letters without repetition")


class SemanticTask(Task):
    """The bottleneck. Whisper and its tokenizer are loaded when needed and are not part of the model."""

    name = "semantic"
    training_only = ("letters.",)

    def __init__(self, recipe: SemanticRecipe):
        self.recipe = recipe
        self._whisper: Whisper | None = None
        self._tokenizer: Tokenizer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_whisper": None, "_tokenizer": None}  # each process loads its own

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE

    @property
    def whisper(self) -> Whisper:
        if self._whisper is None:
            self._whisper = load_whisper(Path(self.recipe.whisper))
            if self._whisper.config != self.recipe.model.whisper:
                raise ValueError(f"{self.recipe.whisper}: its dimensions differ from the recipe's model.whisper")
        return self._whisper

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            try:
                from tokenizers import Tokenizer
            except ModuleNotFoundError:
                raise ValueError("the package tokenizers is missing: pip install vivavoce[train]") from None
            try:
                tokenizer = Tokenizer.from_file(self.recipe.tokenizer)
            except Exception as error:  # the package raises plain Exceptions
                raise ValueError(f"{self.recipe.tokenizer}: not a tokenizer.json ({error})") from None
            # some files count the end-of-text token as a plain token
            if tokenizer.get_vocab_size(with_added_tokens=False) > self.recipe.model.whisper.end_token + 1:
                raise ValueError(f"{self.recipe.tokenizer}: has more tokens than this Whisper")
            self._tokenizer = tokenizer
        return self._tokenizer

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        for setting in ("whisper", "tokenizer"):
            path = Path(getattr(self.recipe, setting))
            if not path.is_file():
                raise ValueError(
                    f"{setting} is {str(path)!r}: no such file; recipes/whisperspeech/README.md links to it"
                )
        return super().check_data(shards, valid)

    def build(self) -> SemanticWithAuxiliaryLosses:
        model = SemanticWithAuxiliaryLosses(self.recipe.model, len(self.recipe.alphabet))
        if self.recipe.hold_codes:
            for part in (model.ff, model.ff_norm, model.project_in, model.letters):
                part.requires_grad_(False)
        return model

    def learning_rates(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, Semantic)
        return model.learning_rates()

    # ---- data

    def featurize(self, utterance: Utterance) -> Features:
        """Return a clip: its wave, tokens and letters. `pack` turns clips into windows."""
        whisper = self.recipe.model.whisper
        if utterance.lang not in WHISPER_LANGUAGES:
            raise ValueError(f"in a language that Whisper does not know ({utterance.lang})")
        if len(utterance.samples) < self._grid:
            raise ValueError("shorter than one code")
        ids = self.tokenizer.encode(" " + utterance.text, add_special_tokens=False).ids
        if len(utterance.samples) > whisper.n_audio_ctx * 2 * HOP or len(ids) > self._room:
            raise ValueError("longer than Whisper's window")
        wave = torch.from_numpy(utterance.samples)
        words, places = self._letters(utterance)
        return {
            "wave": wave, "ids": ids, "text": utterance.text, "lang": utterance.lang, "words": words, "places": places
        }  # fmt: skip

    def _letters(self, utterance: Utterance) -> tuple[Tensor, Tensor]:
        """Return the letters of the word at each code [T, L], and which one it is if all take equally long [T]."""
        text = utterance.text.split()
        seconds = len(utterance.samples) / SAMPLE_RATE
        count = len(utterance.samples) // self._grid
        characters, lengths = align(text, utterance.words, seconds)
        spelt: list[list[int]] = [[] for _ in lengths]
        for character, span in zip(" " + " ".join(text) + " ", characters, strict=True):
            spelt[span] += self._letter(character)
        middles = (np.arange(count) + 0.5) * self._grid / SAMPLE_RATE
        ends = np.cumsum(lengths)
        spans = np.searchsorted(ends, middles, "right").clip(max=len(lengths) - 1)
        words = torch.full((count, max(1, *map(len, spelt))), PADDING, dtype=torch.int8)
        places = torch.zeros(count)
        if len(lengths) < 2:  # no word has times
            return words[:, :1], places
        for code, (span, middle) in enumerate(zip(spans.tolist(), middles.tolist(), strict=True)):
            here = spelt[span] or [0]
            words[code, : len(here)] = torch.tensor(here)
            share = 1 - (ends[span] - middle) / max(lengths[span], 1e-3)
            places[code] = min(max(share, 0.0), 1.0) * len(here) - 0.5
        return words, places

    def _letter(self, character: str) -> list[int]:
        """Return the number of a character's letter in the alphabet, or nothing."""
        character = character.lower()
        if character not in self.recipe.alphabet:
            character = unicodedata.normalize("NFD", character)[:1]
        return [self.recipe.alphabet.index(character) + 1] if character in self.recipe.alphabet else []

    def length(self, seconds: float) -> int:
        return int((seconds + PAUSE / SAMPLE_RATE) * 50) + 2

    def fingerprint(self) -> str:
        files = [zlib.crc32(Path(name).read_bytes()) for name in (self.recipe.whisper, self.recipe.tokenizer)]
        return f"semantic {files} {self.recipe.alphabet} {self._bfloat16}"

    @property
    def _bfloat16(self) -> bool:
        return usable(self.recipe.train.mixed_precision, on_cpu=True)[0] == "bf16"

    @property
    def _grid(self) -> int:
        return HOP * 2 * self.recipe.model.downsample

    @property
    def _room(self) -> int:
        """The number of text tokens that fit between the start and end tokens."""
        return self.recipe.model.whisper.n_text_ctx - 4

    @torch.no_grad()
    def pack(self, items: list[Features]) -> list[Features]:
        """Pack clips into windows, each of one language, with Whisper's frames and decoder states."""
        config = self.recipe.model.whisper
        windows: list[Features] = []
        for lang in sorted({item["lang"] for item in items}):
            clips = [item for item in items if item["lang"] == lang]
            lengths, counts = [len(c["wave"]) for c in clips], [len(c["ids"]) for c in clips]
            for places in pack(lengths, self.whisper.window, self._grid, PAUSE, counts, self._room):
                chosen = [clips[i] for i, _ in places]
                start = config.start_tokens(lang)
                targets = [*(i for clip in chosen for i in clip["ids"]), config.end_token]
                before = torch.tensor([*start, *targets[:-1]])
                after = torch.tensor([PADDING] * (len(start) - 1) + targets)
                wave = joined([clip["wave"] for clip in chosen], [at for _, at in places])
                with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
                    frames, sounds = self.whisper.frames([wave])
                    states = self.whisper.decoder.states(before[None], self.whisper.decoder.context(frames))
                windows.append({
                    "frames": frames[0].half(), "states": states[0].half(), "sound": int(sounds[0]),
                    "before": before.int(), "after": after.int(), "length": config.n_audio_ctx,
                    **self._placed(chosen, [at // self._grid for _, at in places]),
                })  # fmt: skip
        return windows

    def _placed(self, clips: list[Features], starts: list[int]) -> Features:
        """Return the clips' letters at their places in the window."""
        size = max(clip["words"].shape[1] for clip in clips)
        words = torch.full((self.recipe.model.length, size), PADDING, dtype=torch.int8)
        places = torch.zeros(self.recipe.model.length)
        for clip, start in zip(clips, starts, strict=True):
            here = slice(start, start + len(clip["places"]))
            words[here, : clip["words"].shape[1]] = clip["words"]
            places[here] = clip["places"]
        return {"words": words, "places": places}

    def collate(self, items: list[Features]) -> Batch:
        size = max(i["words"].shape[1] for i in items)
        return {
            "words": torch.stack(
                [F.pad(i["words"].long(), (0, size - i["words"].shape[1]), value=PADDING) for i in items]
            ),
            "places": torch.stack([i["places"] for i in items]),
            "frames": torch.stack([i["frames"] for i in items]).float(),
            "sounds": torch.tensor([i["sound"] for i in items]),
            "before": pad_sequence([i["before"].long() for i in items], True, PADDING),
            "after": pad_sequence([i["after"].long() for i in items], True, PADDING),
            "states": pad_sequence([i["states"].float() for i in items], True),
        }

    # ---- training

    def initialise(self, model: nn.Module, batches: list[Batch]) -> None:
        """Start with the principal components of the frames and the centres of their clusters."""
        assert isinstance(model, Semantic)
        model.fit(torch.cat([b["frames"] for b in batches]), torch.cat([b["sounds"] for b in batches]))

    def loss(self, model: nn.Module, batch: Batch, discriminators: nn.Module | None = None) -> Tensor:
        recipe = self.recipe
        names = ("frames", "sounds", "words", "places", "before", "after", "states")
        return model(
            self.whisper.to(batch["frames"].device), *(batch[name] for name in names),
            read=recipe.reading, likeness=recipe.likeness, letters=recipe.letters, hold=recipe.hold_codes,
        )  # fmt: skip

    def validate(self, model: nn.Module, batches: list[Batch]) -> Metrics:
        """Return `loss`; `lost`: the share of the frames' variance; `used`: the share of the codes; `perplexity`: the
        effective number of codes; `wer`: of Whisper's transcripts of a few windows from their codes; `wer_audio`: from
        their audio."""
        assert isinstance(model, Semantic)
        metrics = super().validate(model, batches)
        config = model.config
        counts = torch.zeros(config.codes)
        lost = []
        for batch in batches:
            codes, inside = model.codes(batch["frames"], batch["sounds"])
            counts += torch.bincount(codes[inside].cpu(), minlength=config.codes)[: config.codes]
            within = length_mask(batch["sounds"], config.whisper.n_audio_ctx)
            read = model.dequantise(codes.masked_fill(~inside, PADDING))
            lost.append(lost_variance(read[within], batch["frames"][within]).item())
        share = counts / counts.sum().clamp(min=1)
        metrics["lost"] = float(np.mean(lost))
        metrics["used"] = (counts > 0).float().mean().item()
        metrics["perplexity"] = float(torch.special.entr(share).sum().exp())
        return metrics | self._word_errors(model, batches)

    def _word_errors(self, model: Semantic, batches: list[Batch]) -> Metrics:
        if not self.recipe.read:
            return {}
        whisper, begin = self.whisper, len(self.recipe.model.whisper.start_tokens())
        errors: dict[str, list[int]] = {"wer": [], "wer_audio": []}
        words = 0
        left = self.recipe.read
        for batch in batches:
            for n in range(min(left, len(batch["frames"]))):
                frames, sounds, given = (batch[name][n : n + 1] for name in ("frames", "sounds", "before"))
                language = "en"
                if whisper.config.multilingual:
                    language = WHISPER_LANGUAGES[int(given[0, 1]) - whisper.config.end_token - 2]
                reference = self._words(given[0, begin:].tolist())
                codes, inside = model.codes(frames, sounds)
                through = model.dequantise(codes.masked_fill(~inside, PADDING))
                for name, input_frames in (("wer", through), ("wer_audio", frames)):
                    text = whisper.transcribe(input_frames, language)[0]
                    errors[name].append(Levenshtein.distance(reference, self._words(text)))
                words += len(reference)
                left -= 1
        return {name: sum(found) / max(1, words) for name, found in errors.items()}

    def _words(self, ids: list[int]) -> list[str]:
        text = self.tokenizer.decode([i for i in ids if i != PADDING])
        return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())
