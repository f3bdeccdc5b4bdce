"""The models of whisperspeech with what only their training needs: letters to be guessed, noise in what they are told,
guided attention.

They have the weights of the models that are exported, under the same names.

Letters: clusters of Whisper's frames tell voices and rooms apart before sounds, so codes that begin as such are hard
to read, and the way from there through Whisper's decoder is long. Where words have times, each code's vector is asked
which letter is being said, and which ones stand before and behind it in the word. Which letter of its word that is,
nobody knows; it is taken to be the one that the guess itself finds likeliest, near where it would be if all letters of
the word took equally long.

Guided attention (arXiv:1710.08969) pulls a text-to-speech model's attention towards the diagonal, on which text and
speech would go on evenly. Here word times are known, so it is pulled to the word that is being said, in one layer of
the decoder and on the average of its heads, by the negative logarithm of the share that lies there: where within the
word is the model's own choice, and so is all attention in the other layers. Without it a decoder long learns from the
codes before alone, and comes to read the text, if ever, after many times the training.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.config_whisperspeech import SemanticConfig
from vivavoce.engines.semantic_torch import Semantic, Whisper, lost_variance
from vivavoce.engines.whisperspeech_torch import PADDING, S2A, T2S
from vivavoce.transformer_torch import length_mask


def noisy(codes: Tensor, share: float, choices: int) -> Tensor:
    """Codes with a `share` of them replaced by random ones, by torch's global generator; PADDING stays.

    A model that is told only what it should have written does not learn to go on from what it writes itself.
    """
    if not share:
        return codes
    # drawn on the CPU, so that every device gets the same
    replaced = (torch.rand(codes.shape) < share).to(codes.device) & (codes != PADDING)
    return torch.where(replaced, torch.randint(choices, codes.shape).to(codes), codes)


def hidden(ids: Tensor, share: float, blank: int) -> tuple[Tensor, Tensor]:
    """Ids [B, T] with those of a `share` of the items replaced by `blank`, PADDING stays; and which items, bool [B].

    What a model says of nothing but the length of its input is what `TokenSamplingConfig.cfg` leads away from
    (arXiv:2207.12598). Drawn by torch's global generator.
    """
    if not share:
        return ids, ids.new_zeros(len(ids), dtype=torch.bool)
    gone = (torch.rand(len(ids)) < share).to(ids.device)
    return ids.masked_fill(gone[:, None] & (ids != PADDING), blank), gone


def on_words(attention: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the attention [B, N, S] that lies in the spans [B, N, 2], and where there is a span, bool; both [B, N].

    A span is (first, behind the last) in the wrapped text; an empty one: what is said there is not known.
    """
    places = torch.arange(attention.shape[-1], device=attention.device)
    first, behind = spans[..., :1], spans[..., 1:]
    inside = (places >= first) & (places < behind)
    return (attention * inside).sum(-1), (behind > first)[..., 0]


NEIGHBOURS = 0.3  # weight of guessing the letter before, and the one behind, beside 1 for the one being said


class TaughtSemantic(Semantic):
    """Semantic with a guess, from each code alone, at the letter that is being said and at those around it.

    Letters are 0 for silence and from 1 on those of an alphabet.
    """

    def __init__(self, config: SemanticConfig, alphabet: int):
        super().__init__(config)
        self.choices = alphabet + 1
        self.letters = nn.Linear(config.code_width, 3 * self.choices)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, so that wrappers which hook `forward` (DDP, FSDP) see the training pass."""
        return self.loss(*args, **kwargs)

    def loss(
        self,
        whisper: Whisper,
        frames: Tensor,
        sounds: Tensor,
        words: Tensor,
        places: Tensor,
        *reading: Tensor,
        read: float = 1.0,
        likeness: float = 0.0,
        letters: float = 0.0,
        hold: bool = False,
    ) -> Tensor:
        """How far the vectors are from their codes, plus `read` times `reading_loss`, `likeness` times the share of the
        frames' variance that is lost, and `letters` times what the guesses miss; a scalar.

        frames: Whisper's [B, N, D], of which the first `sounds` [B] are sound; words: letters [B, T, L] of what is
        being said at each code, PADDING behind and where nothing is known; places: [B, T], which of them it would be
        if all took equally long, counted from 0, in fractions; reading: what `reading_loss` is given besides frames.
        In training mode the codebook moves; where the codes are to `hold`, they and what leads to them stay as they
        are.
        """
        with torch.set_grad_enabled(not hold and torch.is_grad_enabled()):
            passed, inside, commitment = self.quantised(frames, sounds, hold)
        loss = self.config.commitment * commitment
        if letters:
            loss = loss + letters * self.guess(passed, inside, words, places)
        if not (read or likeness):
            return loss
        made = self.read_out(passed, inside)
        if likeness:
            within = length_mask(sounds, self.config.whisper.n_audio_ctx)
            loss = loss + likeness * lost_variance(made[within], frames[within])
        if read:
            loss = loss + read * self.reading_loss(whisper, made, frames, *reading)
        return loss

    def guess(self, vectors: Tensor, inside: Tensor, words: Tensor, places: Tensor) -> Tensor:
        """How surprising the letters are, given the vectors [B, T, W] alone: nats a code, a scalar."""
        known = inside & (words[..., 0] != PADDING)
        words, places = words[known], places[known]
        scaled = vectors[known].float() * self.config.code_width**0.5  # entries of a usual size
        guesses = self.letters(scaled).unflatten(-1, (3, self.choices)).log_softmax(-1)
        if not len(words):
            return guesses.sum()
        likely = guesses[:, 1].detach().gather(-1, words.clamp(min=0))
        away = torch.arange(words.shape[1], device=words.device) - places[:, None]
        said = (likely - away.square() / 2).masked_fill(words == PADDING, -torch.inf).argmax(-1, keepdim=True)
        around = F.pad(words.clamp(min=0), (1, 1))  # silence before a word and behind it
        targets = torch.cat([around.gather(-1, said + offset) for offset in range(3)], dim=-1)
        surprise = -guesses.gather(-1, targets[..., None])[..., 0].mean(0)
        return surprise @ surprise.new_tensor([NEIGHBOURS, 1.0, NEIGHBOURS])


class TaughtT2S(T2S):
    """T2S with guided attention in its alignment layer, noise in the codes that it is told to have written, and texts
    that are hidden."""

    def loss(
        self,
        *args: Any,
        spans: Tensor | None = None,
        guide: float = 0.0,
        noise: float = 0.0,
        drop: float = 0.0,
        **kwargs: Any,
    ) -> Tensor:
        """As `T2S.loss`, with `guide` times the guidance to the `spans` [B, N + 1, 2] of the wrapped text.

        `drop` is the share of the items whose text is hidden, all but its length.
        """
        kwargs["told"] = noisy(kwargs["codes"], noise, self.config.codes)
        kwargs["text"], gone = hidden(kwargs["text"], drop, self.blank)
        layer = self.config.alignment_layer
        if layer is None or spans is None or not guide:
            return super().loss(*args, **kwargs)
        found: list[Tensor] = []
        loss = super().loss(*args, looks={layer: found}, **kwargs)
        share, known = on_words(found[0].mean(1), spans)
        known = known & ~gone[:, None]  # nothing there tells one word from another
        missed = -share.clamp(min=1e-5).log() * known
        return loss + guide * missed.sum() / known.sum().clamp(min=1)


class TaughtS2A(S2A):
    """S2A with noise in both kinds of codes that it is told, and semantic codes that are hidden."""

    def loss(
        self, *args: Any, noise: float = 0.0, semantic_noise: float = 0.0, drop: float = 0.0, **kwargs: Any
    ) -> Tensor:
        """As `S2A.loss`; `noise` is in the acoustic codes that were written before.

        `drop` is the share of the items whose semantic codes are hidden, all but their number.
        """
        kwargs["told"] = noisy(kwargs["codes"], noise, self.config.codes)
        kwargs["semantic"] = noisy(kwargs["semantic"], semantic_noise, self.config.semantic_codes)
        kwargs["semantic"], _ = hidden(kwargs["semantic"], drop, self.blank)
        return super().loss(*args, **kwargs)
