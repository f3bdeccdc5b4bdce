"""Pre-norm transformer blocks for token models in PyTorch, with muP-style scales and a key/value cache.

Shapes: B batch, N query positions, L key positions, D width, H heads. A cache is a pair of tensors [B, H, L, D / H] of
constant size, so that a step is compiled only once.
Knows nothing about tokens, text or sound.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KeysValues = tuple[Tensor, Tensor]  # each [B, H, L, D / H]
RotaryTable = tuple[Tensor, Tensor]  # cosines and sines, each [N, head_dim / 2]


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a bool mask [B, size] that is True inside each item, from lengths [B]."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


def sinusoids(size: int, width: int) -> Tensor:
    """Return absolute positions [size, width] as in Whisper (arXiv:2212.04356): sines, then cosines."""
    half = width // 2
    frequency = torch.exp(torch.arange(half) * -(math.log(10_000) / (half - 1)))
    angle = torch.arange(size)[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=1)


def rotary_table(positions: Tensor, dim: int) -> RotaryTable:
    """Return the table of the rotary position embedding (arXiv:2104.09864) at `positions` [N], integer or not."""
    frequency = 1 / 10_000 ** (torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32) / dim)
    angle = positions.float()[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: RotaryTable | None) -> Tensor:
    """Rotate the first half of each head against the second: x [B, H, N, head_dim]."""
    if table is None:
        return x
    cos, sin = (part.to(x.dtype) for part in table)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    """Multi-head attention; its keys and values come from `keys_values`, or from a cache of them."""

    def __init__(self, width: int, heads: int, scale: float):
        super().__init__()
        self.heads, self.scale = heads, scale
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # a bias would shift all logits of a query equally
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def keys_values(self, x: Tensor, table: RotaryTable | None = None) -> KeysValues:
        """Return keys, rotated by `table`, and values of x [B, L, D], each [B, H, L, D / H]."""
        return rotate(self._split(self.key(x)), table), self._split(self.value(x))

    def forward(
        self, x: Tensor, known: KeysValues, table: RotaryTable | None, mask: Tensor | None, causal: bool = False
    ) -> Tensor:
        """Let x [B, N, D] attend to `known` where the bool `mask`, which broadcasts to [B, H, N, L], is True."""
        query = rotate(self._split(self.query(x)), table)
        y = F.scaled_dot_product_attention(query, *known, attn_mask=mask, is_causal=causal, scale=self.scale)
        return self.out(y.transpose(1, 2).flatten(-2))

    def weights(self, x: Tensor, known: KeysValues, table: RotaryTable | None, mask: Tensor | None) -> Tensor:
        """Return the attention weights of x [B, N, D] on the known positions, float32 [B, H, N, L]; rows sum to 1."""
        query = rotate(self._split(self.query(x)), table)
        scores = (query @ known[0].transpose(-1, -2)).float() * self.scale
        return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)

    def _split(self, x: Tensor) -> Tensor:  # [B, N, D] → [B, H, N, D / H]
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, optional cross-attention, feed-forward."""

    def __init__(self, width: int, heads: int, ff_mult: int, scale: float, cross: bool = False, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)  # of each residual branch
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, scale)
        self.cross_norm = nn.LayerNorm(width) if cross else None
        self.cross = Attention(width, heads, scale) if cross else None
        self.ff_norm = nn.LayerNorm(width)
        self.ff = nn.Sequential(nn.Linear(width, width * ff_mult), nn.GELU(), nn.Linear(width * ff_mult, width))

    def forward(
        self,
        x: Tensor,
        table: RotaryTable | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        context: KeysValues | None = None,
        context_mask: Tensor | None = None,
        cache: KeysValues | None = None,
        positions: Tensor | None = None,
        looks: list[Tensor] | None = None,
    ) -> Tensor:
        """Apply the block to x [B, N, D].

        context: keys and values of the cross-attention. context_mask: bool [B, 1, 1, L]. looks: a list to which the
        weights of the cross-attention [B, H, N, L] are appended. cache: the new keys and values are written to it at
        `positions` [N]; with a mask, attention covers the first `mask.shape[-1]` positions of the cache, without one
        only the new positions.
        """
        y = self.attention_norm(x)
        known = self.attention.keys_values(y, table)
        if cache is not None:
            assert positions is not None
            for kept, new in zip(cache, known, strict=True):
                kept.index_copy_(2, positions, new.to(kept.dtype))
            if mask is not None:
                known = (cache[0][:, :, : mask.shape[-1]], cache[1][:, :, : mask.shape[-1]])
        x = x + self.dropout(self.attention(y, known, table, mask, causal))
        if self.cross is not None and self.cross_norm is not None:
            assert context is not None
            y = self.cross_norm(x)
            if looks is not None:
                looks.append(self.cross.weights(y, context, table, context_mask))
            x = x + self.dropout(self.cross(y, context, table, context_mask))
        return x + self.dropout(self.ff(self.ff_norm(x)))


def initialise(model: nn.Module, std: float, embedding_std: float, projector_std: float | None = None) -> None:
    """Set muP-style initial weights: std / fan-in for linear layers, zero for queries, so attention starts uniform.

    `projector_std` replaces that for linear layers named `project_in` and `project_out`.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            _truncated_normal(module.weight, embedding_std)
        elif isinstance(module, nn.Linear):
            apart = projector_std is not None and name.endswith(("project_in", "project_out"))
            spread = projector_std if apart and projector_std is not None else std / module.in_features
            _truncated_normal(module.weight, spread)
            if module.bias is not None:
                _truncated_normal(module.bias, 0.0 if apart else spread)
            if name.endswith(".query"):
                nn.init.zeros_(module.weight)


def _truncated_normal(tensor: Tensor, std: float) -> None:
    nn.init.trunc_normal_(tensor, std=std, a=-3 * std, b=3 * std) if std else nn.init.zeros_(tensor)


def learning_rates(model: nn.Module, base_width: int, embedding_lr: float, projector_lr: float) -> dict[str, float]:
    """Return learning rate factors of trainable parameters, by name: base_width / fan-in for linear layers (muP)."""
    factors: dict[str, float] = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if not parameter.requires_grad:
                continue
            if isinstance(module, nn.Embedding):
                factors[name] = embedding_lr
            elif isinstance(module, nn.Linear):
                apart = prefix.endswith(("project_in", "project_out"))
                factors[name] = projector_lr if apart else base_width / module.in_features
            else:
                factors[name] = 1.0
    return factors
