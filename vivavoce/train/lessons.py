"""What nanospeech learns beside speech. The layers that it takes are thrown away after training.

Pronunciation: few hours of speech hold a few thousand words, and English spelling does not tell how the others sound. A
pronouncing dictionary does: its words, strung together as if they were text, go through the text encoder, and a linear
layer on top of it is trained to give each word's phones (CTC; Graves et al. 2006).

Hearing: what a block in the middle makes of text and noise is led to what Whisper's encoder hears in the recording
(representation alignment, arXiv:2410.06940; for speech A-DMA, arXiv:2505.19595), so that what is to be said is worked
out before how it sounds.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.config import NanospeechConfig
from vivavoce.engines.nanospeech_torch import Nanospeech, length_mask
from vivavoce.train.lexicon import SLOTS


class TaughtNanospeech(Nanospeech):
    """The model with its lessons. Its `forward` takes a batch of the lexicon, and Whisper's frames, beside the speech.

    `phones` is the number of phones, `heard` the width of Whisper's frames, 0 for a lesson that is not given; the
    weights are those of the lessons' losses beside that of the speech. Hearing is learned in block `block`, from 1 on.
    """

    def __init__(
        self,
        config: NanospeechConfig,
        *,
        phones: int = 0,
        phones_weight: float = 0.0,
        heard: int = 0,
        heard_weight: float = 0.0,
        block: int = 1,
    ):
        super().__init__(config)
        self.phones_weight, self.heard_weight = phones_weight, heard_weight
        self.pronunciation = nn.Linear(config.text_dim, SLOTS * (phones + 1)) if phones else None
        self.hearing = None
        if heard:
            self.hearing = nn.Sequential(nn.Linear(config.dim, heard), nn.SiLU(), nn.Linear(heard, heard))
            # a method, not a function: the copy whose weights are averaged is to look at its own block
            self.transformer.blocks[block - 1].register_forward_hook(self._look)
        self.states: list[Tensor] = []  # [B, K, D] of that block, from each pass of a loss that did not use them

    def forward(
        self,
        *args: Tensor,
        words: Tensor | None = None,
        places: Tensor | None = None,
        phones: Tensor | None = None,
        heard: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        self.states.clear()
        loss = self.loss(*args, **kwargs)
        if heard is not None:  # in the first pass: others are without conditions, for guidance
            loss = loss + self.heard_weight * self.hearing_loss(self.states[0], heard, kwargs["lengths"])
            self.states.clear()
        if words is not None and places is not None and phones is not None:
            loss = loss + self.phones_weight * self.pronunciation_loss(words, places, phones)
        return loss

    def _look(self, block: nn.Module, given: Any, states: Tensor) -> None:
        self.states.append(states)

    def pronunciation_loss(self, words: Tensor, places: Tensor, phones: Tensor) -> Tensor:
        """Mean CTC loss of a phone, for a batch as `Lexicon.batch` makes it."""
        assert self.pronunciation is not None
        encoded = self.transformer.text_encoder.characters(words)  # [L, T, text_dim]
        present = places >= 0
        x = encoded.flatten(0, 1)[places.clamp(min=0)]  # [W, C, text_dim]
        logits = self.pronunciation(x).float().unflatten(-1, (SLOTS, -1)).flatten(1, 2)  # [W, C * SLOTS, phones + 1]
        sizes = (phones > 0).sum(1)
        losses = F.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1), phones, SLOTS * present.sum(1), sizes, reduction="none"
        )
        return losses.sum() / sizes.sum()

    def hearing_loss(self, states: Tensor, heard: Tensor, lengths: Tensor) -> Tensor:
        """1 - cosine of what is made of a block's states [B, K, D] and `heard` [B, K, W]; `lengths` are in frames."""
        assert self.hearing is not None
        likeness = F.cosine_similarity(self.hearing(states).float(), heard.float(), dim=-1)
        inside = length_mask(-(-lengths // self.config.patch), states.shape[1])
        return 1 - (likeness * inside).sum() / inside.sum()
