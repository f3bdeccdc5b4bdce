"""The token models with what only their training needs: noise in what they are told, and guided attention.

Both have the weights of the models that speak, under the same names.

Guided attention (arXiv:1710.08969) pulls a text-to-speech model's attention towards the diagonal, on which text and
speech would go on evenly. Here word times are known, so it is pulled to the word that is being said, in one layer of
the decoder and on the average of its heads, by the negative logarithm of the share that lies there: where within the
word is the model's own choice, and so is all attention in the other layers. Without it a decoder long learns from the
codes before alone, and comes to read the text, if ever, after many times the training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vivavoce.engines.whisperspeech_torch import PADDING, S2A, T2S


def noisy(codes: Tensor, share: float, choices: int) -> Tensor:
    """Codes with a `share` of them replaced by random ones, by torch's global generator; PADDING stays.

    A model that is told only what it should have written does not learn to go on from what it writes itself.
    """
    if not share:
        return codes
    # drawn on the CPU, so that every device gets the same
    replaced = (torch.rand(codes.shape) < share).to(codes.device) & (codes != PADDING)
    return torch.where(replaced, torch.randint(choices, codes.shape).to(codes), codes)


def on_words(attention: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the attention [B, N, S] that lies in the spans [B, N, 2], and where there is a span, bool; both [B, N].

    A span is (first, behind the last) in the wrapped text; an empty one: what is said there is not known.
    """
    places = torch.arange(attention.shape[-1], device=attention.device)
    first, behind = spans[..., :1], spans[..., 1:]
    inside = (places >= first) & (places < behind)
    return (attention * inside).sum(-1), (behind > first)[..., 0]


class TaughtT2S(T2S):
    """T2S with guided attention in its alignment layer, and noise in the codes that it is told to have written."""

    def loss(
        self, *args: Any, spans: Tensor | None = None, guide: float = 0.0, noise: float = 0.0, **kwargs: Any
    ) -> Tensor:
        """As `T2S.loss`, with `guide` times the guidance to the `spans` [B, N + 1, 2] of the wrapped text."""
        kwargs["told"] = noisy(kwargs["codes"], noise, self.config.codes)
        layer = self.config.alignment_layer
        if layer is None or spans is None or not guide:
            return super().loss(*args, **kwargs)
        found: list[Tensor] = []
        loss = super().loss(*args, looks={layer: found}, **kwargs)
        share, known = on_words(found[0].mean(1), spans)
        missed = -share.clamp(min=1e-5).log() * known
        return loss + guide * missed.sum() / known.sum().clamp(min=1)


class TaughtS2A(S2A):
    """S2A with noise in both kinds of codes that it is told."""

    def loss(self, *args: Any, noise: float = 0.0, semantic_noise: float = 0.0, **kwargs: Any) -> Tensor:
        """As `S2A.loss`; `noise` is in the acoustic codes that were written before."""
        kwargs["told"] = noisy(kwargs["codes"], noise, self.config.codes)
        kwargs["semantic"] = noisy(kwargs["semantic"], semantic_noise, self.config.semantic_codes)
        return super().loss(*args, **kwargs)
