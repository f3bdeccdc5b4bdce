"""Shared by tests: from what was in test_whisperspeech.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from vivavoce.models.whisperspeech import S2AConfig, T2SConfig

T2S_TINY = T2SConfig(
    heads=2, head_dim=8, ff_mult=2, encoder_layers=1, decoder_layers=2, languages=("en", "fr"), text_length=40,
    codes=20, end_code=20, code_length=64, code_width=6,
)  # fmt: skip
S2A_TINY = S2AConfig(
    heads=2, head_dim=8, ff_mult=2, encoder_layers=1, decoder_layers=2, semantic_codes=20, semantic_length=32,
    speaker_dim=5, quantizers=3, codes=16, frames_per_code=1.875, frame_length=64,
)  # fmt: skip


def lively(model: Any, seed: int = 0) -> Any:
    """Weights that make what is written change from position to position."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                sharp = 3 / module.in_features**0.5
                module.weight.copy_(torch.randn(module.weight.shape, generator=draw) * sharp)
            elif isinstance(module, nn.Embedding):
                module.weight.copy_(torch.randn(module.weight.shape, generator=draw))
        model.decoder.norm.weight.copy_(torch.randn(model.decoder.norm.weight.shape, generator=draw))
    return model.eval()
