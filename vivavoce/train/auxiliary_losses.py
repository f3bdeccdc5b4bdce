"""Auxiliary losses of nanospeech. Their layers are dropped after training.

Pronunciation: a few hours of speech contain a few thousand words, and English spelling does not determine how others
sound. A pronunciation dictionary does: lines of its words pass through the text encoder, and a linear layer on top is
trained to predict the phones of each word (CTC; Graves et al., 2006).

Representation alignment (arXiv:2410.06940; A-DMA for speech, arXiv:2505.19595): the states of a middle block are
trained to predict self-supervised features of the recording, the output of Whisper's encoder, so that content is
resolved before acoustic detail.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.models.nanospeech import NanospeechConfig
from vivavoce.models.nanospeech_torch import Nanospeech, length_mask
from vivavoce.train.pronunciations import SLOTS


class NanospeechWithAuxiliaryLosses(Nanospeech):
    """The model with auxiliary losses; `forward` also takes a batch of the lexicon and the features of the recordings.

    phones: the number of phones. ssl_dim: the width of the features. 0 disables that loss. phones_weight, ssl_weight:
    weights of the losses. block: the block whose states predict the features, counted from 1.
    """

    def __init__(
        self,
        config: NanospeechConfig,
        *,
        phones: int = 0,
        phones_weight: float = 0.0,
        ssl_dim: int = 0,
        ssl_weight: float = 0.0,
        block: int = 1,
    ):
        super().__init__(config)
        self.phones_weight, self.ssl_weight = phones_weight, ssl_weight
        self.pronunciation = nn.Linear(config.text_dim, SLOTS * (phones + 1)) if phones else None
        self.ssl_head = None
        if ssl_dim:
            self.ssl_head = nn.Sequential(nn.Linear(config.dim, ssl_dim), nn.SiLU(), nn.Linear(ssl_dim, ssl_dim))
            # a method, not a function: the EMA copy must read its own block
            self.transformer.blocks[block - 1].register_forward_hook(self._record_states)
        self.states: list[Tensor] = []  # [B, K, D] of that block, one entry per pass

    def forward(
        self,
        *args: Tensor,
        words: Tensor | None = None,
        places: Tensor | None = None,
        phones: Tensor | None = None,
        ssl_features: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        self.states.clear()
        loss = self.loss(*args, **kwargs)
        if ssl_features is not None:  # of the first pass; later ones have no conditions, for guidance
            loss = loss + self.ssl_weight * self.ssl_loss(self.states[0], ssl_features, kwargs["lengths"])
            self.states.clear()
        if words is not None and places is not None and phones is not None:
            loss = loss + self.phones_weight * self.pronunciation_loss(words, places, phones)
        return loss

    def _record_states(self, block: nn.Module, given: Any, states: Tensor) -> None:
        self.states.append(states)

    def pronunciation_loss(self, words: Tensor, places: Tensor, phones: Tensor) -> Tensor:
        """Return the mean CTC loss per phone, for a batch from `Lexicon.batch`."""
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

    def ssl_loss(self, states: Tensor, ssl_features: Tensor, lengths: Tensor) -> Tensor:
        """Return 1 - cosine of the prediction from a block's states [B, K, D] and the features [B, K, W]."""
        assert self.ssl_head is not None
        likeness = F.cosine_similarity(self.ssl_head(states).float(), ssl_features.float(), dim=-1)
        inside = length_mask(-(-lengths // self.config.patch), states.shape[1])
        return 1 - (likeness * inside).sum() / inside.sum()
