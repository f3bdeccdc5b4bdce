"""The models of whisperspeech with what only their training needs: auxiliary losses, input noise and dropped inputs.

They share the weights of the exported models, under the same names.

Letters (semantic model): clusters of Whisper's frames separate voices and rooms before they separate sounds, so codes
that start as such clusters are hard to read, and the gradient through Whisper's decoder improves them slowly. Where
words have times, an auxiliary classifier predicts from each code the letter being spoken, and its neighbours in the
word. The position within the word is unknown; it is taken to be the most likely one under the classifier itself, near
where it would be if all letters of the word took equally long.

Guided attention (arXiv:1710.08969) draws a text-to-speech model's attention to the diagonal, as if text and speech
advanced evenly. Here word times are known, so the attention is drawn to the word being spoken, in one layer of the
decoder and on the average of its heads, by the negative logarithm of the share that falls on the word. The position
within the word, and all attention in other layers, stays free. Without guidance a decoder long predicts codes from the
previous codes alone, and learns to read the text many times later, if at all.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.models.semantic import SemanticConfig
from vivavoce.models.semantic_torch import Semantic, Whisper, lost_variance
from vivavoce.models.transformer_torch import length_mask
from vivavoce.models.whisperspeech_torch import PADDING, S2A, T2S


def add_noise(codes: Tensor, share: float, choices: int) -> Tensor:
    """Replace a `share` of the codes by random ones, drawn by torch's global generator; PADDING stays.

    With teacher forcing alone, a model does not learn to continue from its own errors.
    """
    if not share:
        return codes
    # draw on the CPU, so that every device gets the same
    replaced = (torch.rand(codes.shape) < share).to(codes.device) & (codes != PADDING)
    return torch.where(replaced, torch.randint(choices, codes.shape).to(codes), codes)


def drop_inputs(ids: Tensor, share: float, blank: int) -> tuple[Tensor, Tensor]:
    """Replace all ids [B, T] of a `share` of the items by `blank`; return them, and which items they are, bool [B].

    PADDING stays, so the model still knows the length of its input. This is the unconditional model of classifier-free
    guidance (arXiv:2207.12598, `TokenSamplingConfig.cfg`). Drawn by torch's global generator.
    """
    if not share:
        return ids, ids.new_zeros(len(ids), dtype=torch.bool)
    dropped = (torch.rand(len(ids)) < share).to(ids.device)
    return ids.masked_fill(dropped[:, None] & (ids != PADDING), blank), dropped


def attention_on_words(attention: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of the attention [B, N, S] that falls on the spans [B, N, 2], and which spans are known, [B, N].

    A span is (start, end) in the wrapped text, end exclusive; if it is empty, the word being spoken is unknown.
    """
    places = torch.arange(attention.shape[-1], device=attention.device)
    first, behind = spans[..., :1], spans[..., 1:]
    inside = (places >= first) & (places < behind)
    return (attention * inside).sum(-1), (behind > first)[..., 0]


NEIGHBOURS = 0.3  # weight of the previous and of the next letter, beside 1 for the one being spoken


class SemanticWithAuxiliaryLosses(Semantic):
    """Semantic with a classifier that predicts, from each code alone, the letter being spoken and its neighbours.

    Letter 0 is silence; those of the alphabet start at 1.
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
        """Return the training loss, a scalar.

        It is the commitment loss, plus `read` times `reading_loss`, `likeness` times the share of the frames' variance
        that is lost, and `letters` times the classifier's loss.

        frames: Whisper's [B, N, D], of which the first `sounds` [B] are sound. words: the letters [B, T, L] of the word
        being spoken at each code, padded with PADDING, and PADDING alone if it is unknown. places: [B, T], which of
        them it would be if all took equally long, from 0, fractional. reading: the other arguments of `reading_loss`.
        In training mode the codebook moves. With `hold`, the codes and what leads to them stay as they are.
        """
        with torch.set_grad_enabled(not hold and torch.is_grad_enabled()):
            passed, inside, commitment = self.quantised(frames, sounds, hold)
        loss = self.config.commitment * commitment
        if letters:
            loss = loss + letters * self.letter_loss(passed, inside, words, places)
        if not (read or likeness):
            return loss
        made = self.read_out(passed, inside)
        if likeness:
            within = length_mask(sounds, self.config.whisper.n_audio_ctx)
            loss = loss + likeness * lost_variance(made[within], frames[within])
        if read:
            loss = loss + read * self.reading_loss(whisper, made, frames, *reading)
        return loss

    def letter_loss(self, vectors: Tensor, inside: Tensor, words: Tensor, places: Tensor) -> Tensor:
        """Return the cross-entropy of the letters given the vectors [B, T, W], in nats a code, a scalar."""
        known = inside & (words[..., 0] != PADDING)
        words, places = words[known], places[known]
        scaled = vectors[known].float() * self.config.code_width**0.5  # to unit variance
        log_probs = self.letters(scaled).unflatten(-1, (3, self.choices)).log_softmax(-1)
        if not len(words):
            return log_probs.sum()
        center = log_probs[:, 1].detach().gather(-1, words.clamp(min=0))
        away = torch.arange(words.shape[1], device=words.device) - places[:, None]
        spoken = (center - away.square() / 2).masked_fill(words == PADDING, -torch.inf).argmax(-1, keepdim=True)
        around = F.pad(words.clamp(min=0), (1, 1))  # silence before and after a word
        targets = torch.cat([around.gather(-1, spoken + offset) for offset in range(3)], dim=-1)
        loss = -log_probs.gather(-1, targets[..., None])[..., 0].mean(0)
        return loss @ loss.new_tensor([NEIGHBOURS, 1.0, NEIGHBOURS])


class T2SWithAuxiliaryLosses(T2S):
    """T2S with guided attention in its alignment layer, noise in its previous codes, and dropped texts."""

    def loss(
        self,
        *args: Any,
        spans: Tensor | None = None,
        guide: float = 0.0,
        noise: float = 0.0,
        drop: float = 0.0,
        **kwargs: Any,
    ) -> Tensor:
        """Return `T2S.loss` plus `guide` times the loss of guided attention, a scalar.

        spans: of the wrapped text [B, N + 1, 2]. noise: the share of the previous codes that are random. drop: the
        share of the items whose text is dropped, all but its length.
        """
        kwargs["decoder_input"] = add_noise(kwargs["codes"], noise, self.config.codes)
        kwargs["text"], dropped = drop_inputs(kwargs["text"], drop, self.blank)
        layer = self.config.alignment_layer
        if layer is None or spans is None or not guide:
            return super().loss(*args, **kwargs)
        found: list[Tensor] = []
        loss = super().loss(*args, looks={layer: found}, **kwargs)
        share, known = attention_on_words(found[0].mean(1), spans)
        known = known & ~dropped[:, None]
        missed = -share.clamp(min=1e-5).log() * known
        return loss + guide * missed.sum() / known.sum().clamp(min=1)


class S2AWithAuxiliaryLosses(S2A):
    """S2A with noise in its semantic codes and its previous acoustic codes, and dropped semantic codes."""

    def loss(
        self, *args: Any, noise: float = 0.0, semantic_noise: float = 0.0, drop: float = 0.0, **kwargs: Any
    ) -> Tensor:
        """Return `S2A.loss`, a scalar.

        noise, semantic_noise: the shares of the previous acoustic codes and of the semantic codes that are random.
        drop: the share of the items whose semantic codes are dropped, all but their number.
        """
        kwargs["decoder_input"] = add_noise(kwargs["codes"], noise, self.config.codes)
        kwargs["semantic"] = add_noise(kwargs["semantic"], semantic_noise, self.config.semantic_codes)
        kwargs["semantic"], _ = drop_inputs(kwargs["semantic"], drop, self.blank)
        return super().loss(*args, **kwargs)
