"""Shared by tests: from what was in test_vocoder.py."""

from __future__ import annotations

import torch

from vivavoce.models.vocoder import VocoderConfig
from vivavoce.models.vocoder_torch import Vocoder

SMALL = VocoderConfig(dim=24, intermediate_dim=48, num_layers=2)


def vocoder(config: VocoderConfig) -> Vocoder:
    """Random in every parameter, so that none can be forgotten."""
    torch.manual_seed(0)
    model = Vocoder(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model
