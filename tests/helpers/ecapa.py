"""Shared by tests: from what was in test_speaker_ecapa.py."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

FILE = "embedding_model.ckpt"
SMALL = {"n_mels": 80, "channels": 16, "scale": 4, "se": 6, "pooled": 24, "attention": 5, "numbers": 192}


def state(sizes: dict[str, int]) -> dict[str, Tensor]:
    """All tensors, running statistics too, of numbers that have no pattern and are the same everywhere."""
    found: dict[str, Tensor] = {}

    def numbers(*shape: int) -> Tensor:
        places = torch.arange(math.prod(shape), dtype=torch.float64)
        return torch.sin(1.7 * places + 0.9 * places.square() % 6.25 + len(found)).float().view(shape)

    def conv(name: str, outside: int, inside: int, kernel: int = 1) -> None:
        found[f"{name}.conv.weight"] = numbers(outside, inside, kernel) * (4 / (inside * kernel)) ** 0.5
        found[f"{name}.conv.bias"] = 0.1 * numbers(outside)

    def norm(name: str, channels: int) -> None:
        found[f"{name}.norm.weight"] = 1 + 0.3 * numbers(channels)
        found[f"{name}.norm.bias"] = 0.1 * numbers(channels)
        found[f"{name}.norm.running_mean"] = 0.3 * numbers(channels)
        found[f"{name}.norm.running_var"] = 1.5 + numbers(channels)
        found[f"{name}.norm.num_batches_tracked"] = torch.tensor(7)

    def tdnn(name: str, outside: int, inside: int, kernel: int = 1) -> None:
        conv(f"{name}.conv", outside, inside, kernel)
        norm(f"{name}.norm", outside)

    channels, scale, pooled = sizes["channels"], sizes["scale"], sizes["pooled"]
    tdnn("blocks.0", channels, sizes["n_mels"], 5)
    for block in ("blocks.1", "blocks.2", "blocks.3"):
        tdnn(f"{block}.tdnn1", channels, channels)
        for group in range(scale - 1):
            tdnn(f"{block}.res2net_block.blocks.{group}", channels // scale, channels // scale, 3)
        tdnn(f"{block}.tdnn2", channels, channels)
        conv(f"{block}.se_block.conv1", sizes["se"], channels)
        conv(f"{block}.se_block.conv2", channels, sizes["se"])
    tdnn("mfa", pooled, 3 * channels)
    tdnn("asp.tdnn", sizes["attention"], 3 * pooled)
    conv("asp.conv", pooled, sizes["attention"])
    norm("asp_bn", 2 * pooled)
    conv("fc", sizes["numbers"], 2 * pooled)
    return found


def put(folder: Path, **changes: int) -> Path:
    """The file as the hub's repository has it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state({**SMALL, **changes}), folder / FILE)
    return folder / FILE
