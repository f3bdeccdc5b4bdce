"""Shared by tests: from what was in test_nanospeech.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vivavoce.config import MelConfig
from vivavoce.models import solvers
from vivavoce.models.nanospeech import FILLER, PROSODY, NanospeechConfig
from vivavoce.models.nanospeech_torch import Nanospeech

M = 20  # mels: fewer than in use, for speed
TINY = NanospeechConfig(
    mel=MelConfig(n_mels=M), vocab_size=11, dim=32, depth=2, heads=3, head_dim=16, text_dim=24, text_layers=2,
    mel_mean=-4.0, mel_scale=0.5,
)  # fmt: skip
CONFIGS = {
    "published": TINY,
    "average": TINY.replace(text_align="average", rotary="all_heads", adaln="shared", speaker_dim=6, patch=2),
    "durations": TINY.replace(
        text_align="durations", rotary="all_heads", adaln="shared", speaker_dim=6, audio_prompt=False, patch=2
    ),
    "languages, phones": TINY.replace(
        text_align="letters",
        rotary="all_heads",
        speaker_dim=6,
        audio_prompt=False,
        patch=2,
        bandwidth=True,
        languages=("en", "es", "fr"),
        phones=("a", "ˈa", "b", "k", "s"),
        prosody=True,
    ),
    "mean velocity": TINY.replace(
        text_align="durations", rotary="all_heads", speaker_dim=6, audio_prompt=False, patch=2, mean_velocity=True
    ),
    "codes": TINY.replace(
        text_align="letters", rotary="all_heads", speaker_dim=6, audio_prompt=False, patch=2, codes=9, code_width=5
    ),
    "durations, prompt, single frames": TINY.replace(text_align="durations", speaker_dim=6),
    "published, patches": TINY.replace(patch=3),
}
EVERY_CONFIG = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def randomised(model: Any, seed: int = 0) -> Any:
    """The model in inference mode with every parameter random: new ones start as the identity and hide faults."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=draw)
            p.copy_(noise / p[0].numel() ** 0.5 if p.ndim > 1 and "embed.weight" not in name else 0.3 * noise)
    return model.eval()


def characters(*lengths: int, seed: int = 0) -> Tensor:
    """Random ids [B, T], padded with -1."""
    draw = torch.Generator().manual_seed(seed)
    text = torch.full((len(lengths), max(lengths)), FILLER)
    for row, length in zip(text, lengths, strict=True):
        row[:length] = torch.randint(0, 11, (length,), generator=draw)
    return text


def batch(config: NanospeechConfig, seed: int = 0) -> dict[str, Any]:
    """Three items unequal in everything: frames, characters, reference; what is padding holds rubbish."""
    draw = torch.Generator().manual_seed(seed)
    made: dict[str, Any] = {
        "noise": torch.randn(3, 37, M, generator=draw),
        "text": characters(6, 17, 9),
        "lengths": torch.tensor([24, 37, 13]),
    }
    if config.by_durations:
        made["durations"] = 5 * torch.rand(3, 17, generator=draw)
    if config.audio_prompt:
        made["prompt"] = torch.randn(3, 15, M, generator=draw) - 4
        made["prompt_lengths"] = torch.tensor([11, 15, 4])
    if config.speaker_dim:
        made["speaker"] = torch.randn(3, config.speaker_dim, generator=draw)
    if config.languages:
        made["languages"] = torch.randint(0, len(config.languages), (3, 17), generator=draw)
    if config.phones:
        made["phones"] = torch.randint(0, len(config.phones) + 2, (3, 17, 2), generator=draw)
    if config.prosody:
        made["prosody"] = torch.randn(3, 17, PROSODY, generator=draw)
    if config.codes:
        made["codes"] = torch.randint(0, config.codes, (3, 9), generator=draw)
        made["codes"][0, 6:] = made["codes"][2, 3:] = FILLER  # 25 a second
    return made


def alone(items: dict[str, Any], i: int) -> dict[str, Any]:
    """Item `i` of a batch without its padding."""
    one = {name: value[i : i + 1] for name, value in items.items()}
    one["noise"] = one["noise"][:, : one["lengths"].item()]
    size = int((one["text"] >= 0).sum())
    one["text"] = one["text"][:, :size]
    for name in ("durations", "languages", "phones", "prosody"):
        if name in one:
            one[name] = one[name][:, :size]
    if "codes" in one:
        one["codes"] = one["codes"][:, : int((one["codes"] >= 0).sum())]
    if "prompt" in one:
        one["prompt"] = one["prompt"][:, : one["prompt_lengths"].item()]
    return one


def sampled(model: Nanospeech, items: dict[str, Any], **options: Any) -> Tensor:
    settings = {"times": solvers.schedule(3, -1.0), "method": "midpoint", "cfg": 2.0, **options}
    return model.sample(items["noise"], items["text"], items["lengths"], **settings, **{
        k: v for k, v in items.items() if k not in ("noise", "text", "lengths")
    })  # fmt: skip
