"""A tiny Whisper with random weights and a tokenizer of a few words, as files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from vivavoce.models.semantic import SemanticConfig, WhisperConfig
from vivavoce.models.semantic_torch import Whisper

SMALL = WhisperConfig(
    n_mels=80, n_audio_ctx=100, n_audio_state=16, n_audio_head=2, n_audio_layer=1,
    n_vocab=51865, n_text_ctx=24, n_text_state=16, n_text_head=2, n_text_layer=1,
)  # fmt: skip
CONFIG = SemanticConfig(whisper=SMALL, codes=12, code_width=6, heads=2, ff_mult=2)
WORDS = "the cat sat a dog ran off no birds sing at dawn we go home now so it is".split()


def save_whisper(path: Path, config: WhisperConfig = SMALL) -> Path:
    """Write a checkpoint as openai-whisper does. SMALL has a window of two seconds."""
    torch.manual_seed(0)
    model = Whisper(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5 if parameter.ndim > 1 else 0.1)
    torch.save({"dims": config.to_dict(), "model_state_dict": model.state_dict()}, path)
    return path


def save_tokenizer(path: Path) -> Path:
    """A tokenizer.json that gives each of the words a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["?", *WORDS])}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path))
    return path
