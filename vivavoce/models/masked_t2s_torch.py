"""Whisperspeech's T2S in step with the text, in PyTorch: characters of known durations → semantic codes.

A transformer that sees the whole sentence fills masked codes in a few passes, the most certain ones first (MaskGIT,
arXiv:2202.04200; SoundStorm, arXiv:2305.09636; MaskGCT, arXiv:2409.00750). The text is stretched over the codes, so
nothing is skipped or repeated, and the end needs no decision.

Shapes: B batch, T characters, C codes, K choices of a code, D width, V speaker vector.
Knows nothing about strings, files or sound: it gets and returns integer ids.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from vivavoce.models.nanospeech_torch import (
    Attention,
    FeedForward,
    PositionConv,
    TextEncoder,
    length_mask,
    rotary_table,
)
from vivavoce.models.whisperspeech import MaskedT2SConfig, left_masked

MASKED = -1  # id of a code that is masked, or padding


class MaskedBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: MaskedT2SConfig):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = Attention(config.dim, config.heads, config.head_dim, "all_heads")
        self.ff_norm = nn.LayerNorm(config.dim)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def forward(self, x: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(self.attention_norm(x), mask, table)
        return x + self.ff(self.ff_norm(x))


class MaskedT2S(nn.Module):
    """The model: `loss` for training, `generate` for synthesis."""

    def __init__(self, config: MaskedT2SConfig):
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(
            config.vocab_size,
            config.text_dim,
            config.text_layers,
            "letters",
            config.dropout,
            len(config.languages),
            len(config.phones),
        )
        self.speaker_embed = nn.Linear(config.speaker_dim, config.dim) if config.speaker_dim else None
        self.code_embed = nn.Embedding(config.codes + 1, config.code_width)  # the last row stands for a masked code
        self.input = nn.Linear(config.text_dim + config.code_width, config.dim)
        self.position = PositionConv(config.dim)
        self.blocks = nn.ModuleList(MaskedBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, config.codes)

    def encode_text(
        self,
        text: Tensor,
        durations: Tensor,
        size: int,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
    ) -> Tensor:
        """Encode the text for each code [B, size, text_dim], once for all passes; arguments as for `generate`."""
        spoken = durations * (text >= 0)
        ones = spoken.new_ones(len(text))
        return self.text_encoder(text, spoken.sum(-1), size, spoken, ones, languages, phones)

    def logits(self, codes: Tensor, lengths: Tensor, encoded: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Return the logits [B, C, K], float32, of all codes, from those that are known.

        codes: [B, C], MASKED where unknown. lengths: codes of each item [B]. encoded: as from `encode_text`. speaker:
        vectors [B, V].
        """
        size = codes.shape[1]
        mask = length_mask(lengths, size)
        known = self.code_embed(torch.where(codes >= 0, codes, self.config.codes))
        x = self.input(torch.cat((encoded, known), dim=-1))
        if self.speaker_embed is not None and speaker is not None:
            x = x + self.speaker_embed(speaker.to(x.dtype))[:, None]
        x = x + self.position(x, mask[..., None])
        table = rotary_table(size, self.config.head_dim, x.device)
        for block in self.blocks:
            x = block(x, mask, table)
        return self.out(self.norm(x)).float()

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss, because wrappers such as DDP and FSDP hook `forward`."""
        return self.loss(*args, **kwargs)

    def loss(self, codes: Tensor, text: Tensor, durations: Tensor, **given: Any) -> Tensor:
        """Return the mean cross-entropy of the masked codes; arguments as for `masked_scores`."""
        losses, _, hidden = self.masked_scores(codes, text, durations, **given)
        return (losses * hidden).sum() / hidden.sum().clamp(min=1)

    def masked_scores(
        self,
        codes: Tensor,
        text: Tensor,
        durations: Tensor,
        *,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        share: Tensor | None = None,
        draw: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mask codes and predict them: the cross-entropies, whether each is right, and which are masked, each [B, C].

        codes: [B, C], padded with MASKED. text, durations, languages and phones as for `generate`. share: of the codes
        to mask, for each item [B]; drawn with the density of the cosine schedule if None, stratified over the batch.
        draw [B, C]: uniform numbers below whose share a code is masked; drawn if None.
        """
        batch, size = codes.shape
        inside = codes >= 0
        lengths = inside.sum(1)
        if share is None:
            even = (torch.randperm(batch, device=codes.device) + torch.rand(batch, device=codes.device)) / batch
            share = torch.cos(math.pi / 2 * even)
        if draw is None:
            draw = torch.rand((batch, size), device=codes.device)
        least = torch.where(inside, draw, 2.0).amin(1, keepdim=True)
        hidden = inside & ((draw < share[:, None]) | (draw <= least))  # one at least
        encoded = self.encode_text(text, durations, size, languages, phones)
        logits = self.logits(torch.where(hidden, MASKED, codes), lengths, encoded, speaker)
        wanted = codes.clamp(min=0)
        losses = -logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
        return losses, (logits.argmax(-1) == wanted) & hidden, hidden

    @torch.inference_mode()
    def generate(
        self,
        text: Tensor,
        lengths: Tensor,
        durations: Tensor,
        *,
        passes: int = 4,
        temperature: float = 0.0,
        noise: Tensor | None = None,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
    ) -> Tensor:
        """Generate codes [B, max(lengths)], MASKED after the end of an item.

        text: ids [B, T], padded with -1. lengths: codes of each item [B]. durations: codes of each character [B, T],
        not rounded. passes: of the network; each keeps the codes that it is most certain of. noise: Gumbel noise
        [passes, B, C, K] for sampling, which `temperature` scales; None: the most likely codes. speaker: vectors
        [B, V]. languages [B, T] and phones [B, T, 2] of the characters, as numbers.
        Items of different lengths get the same result as on their own.
        """
        size = int(lengths.max())
        inside = length_mask(lengths, size)
        encoded = self.encode_text(text, durations, size, languages, phones)
        codes = torch.full((len(text), size), MASKED, device=text.device)
        for number in range(passes):
            logits = self.logits(codes, lengths, encoded, speaker)
            drawn = logits if noise is None else logits + temperature * noise[number, :, :size]
            chosen = drawn.argmax(-1)
            certainty = logits.log_softmax(-1).gather(-1, chosen[..., None])[..., 0]
            certainty = torch.where(inside, certainty, -math.inf)
            certainty = torch.where(codes >= 0, math.inf, certainty)
            rank = certainty.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
            known = lengths - left_masked(lengths, number + 1, passes)
            codes = torch.where((rank < known[:, None]) & (codes < 0), chosen, codes)
        return codes
