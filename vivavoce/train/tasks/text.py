"""Base of the tasks that read text: nanospeech, its duration model and the aligner."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vivavoce.checkpoints.aligner_torch import load_aligner
from vivavoce.config import ASSETS
from vivavoce.data.samples import Features, Utterance
from vivavoce.models.aligner_torch import Aligner
from vivavoce.models.mel_torch import LogMel
from vivavoce.models.nanospeech import FILLER
from vivavoce.models.speaker import SpeakerConfig
from vivavoce.models.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.text.phones import PhoneChannel
from vivavoce.text.prosody import HIDDEN, Prosody, channels
from vivavoce.text.tokenizer import CharTokenizer
from vivavoce.train.alignment import align
from vivavoce.train.tasks.base import Batch, Task


class TextTask(Task):
    """Base task: ids, spans, speaker vectors, languages and phones of the text."""

    def __init__(self, recipe: Any, speaker_dim: int):
        self.recipe, self.mel, self.speaker_dim = recipe, recipe.model.mel, speaker_dim
        if not recipe.characters:
            raise ValueError("characters is empty; it must list the characters that the model reads")
        if len(recipe.characters) != recipe.model.vocab_size:
            raise ValueError(
                f"vocab_size is {recipe.model.vocab_size}, but characters has {len(recipe.characters)} of them"
            )
        if speaker_dim not in (0, SpeakerConfig.speaker_dim):
            raise ValueError(
                f"speaker_dim is {speaker_dim}; it must be {SpeakerConfig.speaker_dim}, the encoder's, or 0 for none"
            )
        self.tokenizer = CharTokenizer(recipe.characters)
        self.languages: tuple[str, ...] = recipe.model.languages
        phones: tuple[str, ...] = getattr(recipe.model, "phones", ())
        self.phones = PhoneChannel(phones) if phones else None
        self.prosody: bool = getattr(recipe.model, "prosody", False)
        self.log_mel = LogMel(self.mel)
        self._encoder: SpeakerEncoder | None = None
        self._voices: dict[str, np.ndarray] | None = None

    @functools.cached_property
    def aligner(self) -> Aligner | None:
        """The aligner of the recipe, or None."""
        name = getattr(self.recipe, "aligner", "")
        if not name:
            return None
        return load_aligner(name, self.recipe.characters, self.mel, self.speaker_dim, self.languages)

    def __getstate__(self) -> dict[str, Any]:
        # each data worker loads its own
        return {name: value for name, value in vars(self).items() if name != "aligner"}

    def read(self, utterance: Utterance) -> Features:
        """Return ids `text` [T], the span of each character `spans` [T], `frames` of each span [S] and `speaker` [V].

        A model with languages also has `languages` [T], one with phones `phones` [T, 2], one with prosody `prosody`
        [T, 6]. A recording whose prosody was changed gets the voice's own vector: a vector of its own would tell the
        model of the change.
        """
        if self.languages and utterance.lang not in self.languages:
            raise ValueError(f"in {utterance.lang}; the model has no such language")
        fitted = [self.tokenizer.fit(w)[0] for w in utterance.text.split()]
        words = [w for w in fitted if w]
        times = [(self.tokenizer.fit(w)[0], start, end) for w, start, end in utterance.words]
        if not words:
            raise ValueError("no character of the vocabulary in the text")
        if len(utterance.samples) <= self.mel.n_fft // 2:
            raise ValueError("shorter than half a mel window")
        line = " " + " ".join(words) + " "
        ids = self.tokenizer.encode(line)
        spans, seconds = align(words, times, len(utterance.samples) / self.mel.sample_rate)
        frames = torch.tensor(seconds) * self.mel.frame_rate
        vector = torch.zeros(0)
        if self.speaker_dim:
            if self._encoder is None:
                self._encoder = load_speaker_encoder()
            own = self._own_vector(utterance.speaker) if utterance.prosody else None
            if own is None:
                own = self._encoder.embed(utterance.samples, self.mel.sample_rate)
            vector = torch.from_numpy(own)
        text, numbers = torch.tensor(ids, dtype=torch.int16), torch.tensor(spans, dtype=torch.int16)
        item = {"text": text, "spans": numbers, "frames": frames, "speaker": vector}
        if self.languages:
            item["languages"] = torch.full_like(text, self.languages.index(utterance.lang))
        if self.phones is not None:
            item["phones"] = torch.from_numpy(self.phones.ids(line, [utterance.lang] * len(line)))
        if self.prosody:
            item["prosody"] = torch.from_numpy(channels(self._of_characters(fitted, utterance)))
        return item

    def _of_characters(self, fitted: list[str], utterance: Utterance) -> list[Prosody]:
        """Return the prosody of each character of a line; a space has that of the word before it, without stress."""
        of_words = [Prosody(*numbers) for numbers in utterance.prosody] or [Prosody()] * len(fitted)
        found: list[Prosody] = []
        for word, prosody in zip(fitted, of_words, strict=True):
            if word:
                space = dataclasses.replace(prosody, stress=0.0)
                found += [*([] if found else [space]), *[prosody] * len(word), space]
        return found

    def _own_vector(self, speaker: str) -> np.ndarray | None:
        """Return the speaker vector of a built-in voice; None for another speaker."""
        if self._voices is None:
            self._voices = load_file(ASSETS / "voices" / "vectors.safetensors")
        return self._voices.get(speaker)

    def mel_of(self, utterance: Utterance) -> Tensor:
        """Return log-mel frames [N, M]."""
        return self.log_mel(torch.from_numpy(utterance.samples)[None])[0]

    def place_letters(self, item: Features, mel: Tensor) -> None:
        """Add `letters`, the frames of each character [T], if there is an aligner."""
        if self.aligner is not None:
            item["letters"] = self.aligner.place(
                item["text"], mel, item["spans"], item["frames"], item["speaker"], item.get("languages")
            )

    def text_channels(self, items: list[Features]) -> Batch:
        """Collate the speaker vectors, languages, phones and prosody that the model reads.

        The phones of a random share of words, `hidden_phones` of the recipe, are hidden, so that the model also learns
        to read words that are not in the dictionary. So is the prosody of some items.
        """
        batch: Batch = {}
        if self.speaker_dim:
            batch["speaker"] = torch.stack([i["speaker"] for i in items])
        if self.languages:
            batch["languages"] = pad_sequence([i["languages"].long() for i in items], True)
        if self.phones is not None:
            hidden = [hide_words(i["phones"].long(), self.recipe.hidden_phones) for i in items]
            batch["phones"] = pad_sequence(hidden, True)
        if self.prosody:
            batch["prosody"] = pad_sequence([self._with_hidden(i["prosody"]) for i in items], True)
        return batch

    def _with_hidden(self, prosody: Tensor) -> Tensor:
        """Hide the prosody [T, 6] of a random share of the items, `hidden_prosody` of the recipe."""
        if float(torch.rand(())) < self.recipe.hidden_prosody:
            return torch.tensor(HIDDEN).expand_as(prosody)
        return prosody

    def speech(self, items: list[Features]) -> Batch:
        """Collate mels, texts, the lengths of the mels and `text_channels`."""
        return {
            "mel": pad_sequence([i["mel"].float() for i in items], True),
            "text": pad_sequence([i["text"].long() for i in items], True, FILLER),
            "lengths": torch.tensor([len(i["mel"]) for i in items]),
            **self.text_channels(items),
        }

    def fingerprint(self) -> str:
        placed = f" {self.aligner.fingerprint()}" if self.aligner is not None else ""
        spoken = f" {' '.join(self.languages)}" if self.languages else ""
        if self.phones is not None:
            spoken += f" {' '.join(self.recipe.model.phones)} {self.phones.fingerprint(self.languages or ('en',))}"
        if self.prosody:
            spoken += " prosody"
        return f"text {self.recipe.characters} {self.speaker_dim} {json.dumps(self.mel.to_dict())}{placed}{spoken}"

    def learning_rates(self, model: nn.Module) -> dict[str, float]:
        """Apply `embedding_rate` of the recipe to the embeddings that start at zero."""
        factor = getattr(self.recipe, "embedding_rate", 1.0)
        if factor == 1.0:
            return {}
        new = ("language_embed.weight", "phone_embed.weight", "prosody_embed.weight")
        return {name: factor for name, _ in model.named_parameters() if name.endswith(new)}

    def export(self) -> dict[str, Any]:
        return {"model": self.recipe.model.to_dict(), "characters": self.recipe.characters}


def hide_words(phones: Tensor, share: float) -> Tensor:
    """Remove the phones [T, 2] of a random `share` of words, which are runs of letters with phones."""
    inside = phones[:, 0] > 0
    starts = inside & ~torch.cat((inside.new_zeros(1), inside[:-1]))
    kept = torch.rand(int(starts.sum()) + 1) >= share
    return phones * (kept[starts.cumsum(0)] & inside)[:, None]
