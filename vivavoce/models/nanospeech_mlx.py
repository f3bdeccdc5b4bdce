"""Nanospeech in MLX: characters and a reference voice → log-mel frames, by flow matching.

A diffusion transformer (DiT) learns the velocity field that turns noise into speech, as in E2-TTS (arXiv:2406.18009),
F5-TTS (arXiv:2410.06885) and lucasnewman/nanospeech, whose checkpoints load here. Our own models differ in these
points, each a field of `NanospeechConfig`: the text is stretched over the frames (ZipVoice, arXiv:2506.13053), a
speaker vector replaces the audio prompt, a token holds several frames, mels are scaled, and characters may have a
language and phones. Two duration models predict the length of the speech.

Shapes: B batch, N mel frames, K tokens (N / patch), T characters, M mel bins, D width, H heads, V speaker vector.
Knows nothing about strings, files or sound: it gets integer ids and mel frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map_with_path

from vivavoce.audio.mel import mel_tops
from vivavoce.models import solvers
from vivavoce.models.nanospeech import PROSODY, SLOTS, DurationConfig, NanospeechConfig


def length_mask(lengths: mx.array, size: int) -> mx.array:
    """Return a bool mask [B, size] that is True inside each item, from lengths [B]."""
    return mx.arange(size)[None] < lengths[:, None]


# ---- position, time and text --------------------------------------------------------------------------------------


def rotary_table(size: int, dim: int) -> tuple[mx.array, mx.array]:
    """Return cosines and sines [size, dim / 2] of the rotary position embedding (RoFormer, arXiv:2104.09864)."""
    frequency = 10_000 ** (-mx.arange(0, dim, 2, dtype=mx.float32) / dim)
    angle = mx.arange(size, dtype=mx.float32)[:, None] * frequency
    return mx.cos(angle), mx.sin(angle)


def rotate(x: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:
    """Rotate neighbouring pairs of the last axis of x [B, H, N, head_dim]."""
    cos, sin = (part.astype(x.dtype) for part in table)
    # whole rows: strided reads are several times slower on a CPU
    swapped = x.reshape(*x.shape[:-1], -1, 2)[..., ::-1].flatten(-2)
    return x * mx.repeat(cos, 2, axis=-1) + swapped * mx.stack([-sin, sin], axis=-1).flatten(-2)


class TimeEmbedding(nn.Module):
    """Embed flow times [B], 0 to 1, as [B, D], through 256 sinusoids."""

    def __init__(self, dim: int):
        super().__init__()
        self.mlp = [nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim)]

    def __call__(self, time: mx.array) -> mx.array:
        half = 128
        frequency = mx.exp(mx.arange(half) * (-math.log(10_000) / (half - 1)))
        angle = 1000 * time.astype(mx.float32)[:, None] * frequency
        waves = mx.concatenate([mx.sin(angle), mx.cos(angle)], axis=-1)
        x = waves.astype(self.mlp[0].bias.dtype)  # not its weight's, which may be quantised
        for layer in self.mlp:
            x = layer(x)
        return x


class GlobalResponseNorm(nn.Module):
    """Let channels compete by their energy over the sequence (ConvNeXt V2, arXiv:2301.00808).

    The energy is a sum over the sequence, so `mask` excludes padding.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = mx.zeros((dim,))
        self.beta = mx.zeros((dim,))

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:  # [B, N, D], [B, N, 1]
        # Without the tiny number, the gradient of a channel without energy is NaN.
        energy = mx.sqrt(mx.square((x * mask).astype(mx.float32)).sum(axis=1, keepdims=True) + 1e-30)
        # In the precision of x: in training on a CPU these lines take longer than the layers around them.
        scale = 1 + self.gamma * (energy / (energy.mean(axis=-1, keepdims=True) + 1e-6))
        return x * scale.astype(x.dtype) + self.beta.astype(x.dtype)


class ConvNeXtBlock(nn.Module):
    """ConvNeXt-V2 block over a sequence [B, N, D]; positions outside `mask` have no influence on the others."""

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.expand = nn.Linear(dim, hidden)
        self.grn = GlobalResponseNorm(hidden)
        self.contract = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:
        y = self.conv(x * mask)
        y = self.grn(nn.gelu(self.expand(self.norm(y))), mask)
        return x + self.dropout(self.contract(y))


def text_positions(size: int, dim: int) -> mx.array:
    """Return the absolute positions [size, dim] of the published text encoder: cosines, then sines."""
    return mx.concatenate(list(rotary_table(size, dim)), axis=-1)


def character_index(durations: mx.array, tokens: mx.array, size: int) -> tuple[mx.array, mx.array]:
    """Return the index of each token's character [B, size], and how far into the character its middle is, 0 to 1.

    `durations` [B, T] are 0 or more, in any unit. They are stretched over `tokens` [B] tokens; `size` is at least the
    longest. With equal durations the index is floor((k + 0.5) * T / tokens), which is average upsampling.
    """
    ends = durations.cumsum(-1)
    ends = ends * tokens[:, None] / mx.maximum(ends[:, -1:], 1e-6)  # in this order, integer durations end exactly
    middle = mx.arange(size) + 0.5
    index = mx.minimum((middle[None, :, None] >= ends[:, None, :]).sum(-1), durations.shape[1] - 1)
    end = mx.take_along_axis(ends, index, axis=1)
    start = mx.where(index > 0, mx.take_along_axis(ends, mx.maximum(index - 1, 0), axis=1), mx.zeros_like(end))
    return index, mx.clip((middle - start) / mx.maximum(end - start, 1e-3), 0, 1)


def zero_embedding(rows: int, dim: int) -> nn.Embedding:
    """Return an embedding of zeros, which changes nothing before it is trained."""
    made = nn.Embedding(rows, dim)
    made.weight = mx.zeros_like(made.weight)
    return made


def zero_projection(channels: int, dim: int) -> nn.Linear:
    """Return a projection to zeros, which changes nothing before it is trained."""
    made = nn.Linear(channels, dim, bias=False)
    made.weight = mx.zeros_like(made.weight)
    return made


class TextEncoder(nn.Module):
    """Encode character ids [B, T] as one vector for each token [B, K, text_dim].

    "pad" runs its blocks over the padded frames, as published. The stretched modes run them over the characters, which
    are fewer, and then give each token the vector of its character and its position in that character.

    `languages` and `phones` are the numbers of languages and phones that characters may have besides their ids, or 0.
    `prosody`: whether they may have numbers for their prosody. All three embeddings start at zero, so adding them to a
    trained model does not change its output.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int,
        layers: int,
        align: str = "pad",
        dropout: float = 0.0,
        languages: int = 0,
        phones: int = 0,
        prosody: bool = False,
    ):
        super().__init__()
        self.align = align
        self.embed = nn.Embedding(vocab_size + 1, dim)
        self.language_embed = zero_embedding(languages, dim) if languages else None
        # rows for each of a letter's two phones: unknown, silent, and the inventory
        self.phone_embed = zero_embedding(SLOTS * (phones + 2), dim) if phones else None
        self.prosody_embed = zero_projection(PROSODY, dim) if prosody else None
        self.blocks = [ConvNeXtBlock(dim, dim * 2, dropout) for _ in range(layers)]
        if align != "pad":
            self.place = nn.Linear(2, dim)

    def __call__(
        self,
        text: mx.array,
        tokens: mx.array,
        size: int,
        durations: mx.array | None,
        keep: mx.array,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
    ) -> mx.array:
        """Encode the text for items of `tokens` [B] tokens; `keep` [B] is 1, or 0 to drop the text, for guidance.

        `languages` [B, T], `phones` [B, T, 2] and `prosody` [B, T, 6] as for `embedded`.
        """
        ids = text + 1
        if self.align == "pad":
            # Text that is longer than the frames is truncated, as published: it could not be spoken anyway.
            ids = mx.pad(ids[:, :size], [(0, 0), (0, max(0, size - ids.shape[1]))]) * keep.astype(mx.int32)[:, None]
            return self._encode(self.embed(ids), length_mask(tokens, size))
        present = ids > 0
        x = self.characters(text, languages, phones, prosody)
        weights = present.astype(mx.float32) if self.align == "average" or durations is None else durations * present
        index, share = character_index(weights, tokens, size)
        width = mx.take_along_axis(weights, index, axis=1)
        width = width * (tokens / mx.maximum(weights.sum(-1), 1e-6))[:, None]  # tokens per character
        x = mx.take_along_axis(x, index[..., None], axis=1)
        place = self.place(mx.stack([share - 0.5, mx.log1p(width)], axis=-1).astype(self.place.bias.dtype))
        return (x + place) * keep[:, None, None].astype(x.dtype)

    def characters(
        self,
        text: mx.array,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
    ) -> mx.array:
        """Encode ids [B, T], padded with -1, as one vector for each character [B, T, text_dim], without stretching."""
        return self._encode(self.embedded(text, languages, phones, prosody), text >= 0)

    def embedded(
        self,
        text: mx.array,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
    ) -> mx.array:
        """Embed ids [B, T], padded with -1, and what else is known of them: [B, T, text_dim].

        languages: [B, T]; None means the first language. phones: [B, T, 2]; 0 or None is unknown: the letters decide.
        prosody: [B, T, 6], `text.prosody.channels`; None or zeros are neutral.
        """
        x = self.embed(text + 1)
        if self.language_embed is not None:
            spoken = mx.zeros_like(text) if languages is None else languages
            x = x + self.language_embed(spoken) * (text >= 0)[..., None]
        if self.phone_embed is not None and phones is not None:
            second = mx.array([0, self.phone_embed.weight.shape[0] // SLOTS])
            x = x + (self.phone_embed(phones + second) * (phones > 0)[..., None]).sum(2)
        if self.prosody_embed is not None and prosody is not None:
            x = x + self.prosody_embed(prosody.astype(x.dtype))
        return x

    def _encode(self, x: mx.array, mask: mx.array) -> mx.array:
        if self.blocks:
            x = x + text_positions(x.shape[1], x.shape[-1]).astype(x.dtype)
        for block in self.blocks:
            x = block(x, mask[..., None])
        return x


class CodeEncoder(nn.Module):
    """Encode semantic codes [B, C] as one vector for each token [B, K, text_dim], in place of the text's.

    The codes have a constant rate, so each token gets the vector of the code at its middle. The output starts at zero.
    """

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        dim = config.text_dim
        self.codes_per_token = config.patch * config.code_rate / config.mel.frame_rate
        self.embed = nn.Embedding(config.codes, config.code_width)
        self.project = nn.Linear(config.code_width, dim)
        self.blocks = [ConvNeXtBlock(dim, dim * 2, config.dropout) for _ in range(config.code_layers)]
        self.place = nn.Linear(1, dim)
        self.out = nn.Linear(dim, dim, bias=False)
        self.out.weight = mx.zeros_like(self.out.weight)

    def __call__(self, codes: mx.array, size: int, keep: mx.array) -> mx.array:
        """Encode `codes`, padded with -1, for `size` tokens; `keep` [B] is 1, or 0 to drop the codes."""
        middle = (mx.arange(size) + 0.5) * self.codes_per_token
        index = mx.maximum(mx.minimum(middle.astype(mx.int32)[None], (codes >= 0).sum(1, keepdims=True) - 1), 0)
        x = self.at(codes, index, (middle % 1 - 0.5)[:, None])
        return x * keep[:, None, None].astype(x.dtype)

    def at(self, codes: mx.array, index: mx.array, place: mx.array) -> mx.array:
        """Encode codes [B, C]; `index` [B, K] is the code of each token, `place` [K, 1] where in the code it is."""
        x = self.project(self.embed(mx.maximum(codes, 0)))
        for block in self.blocks:
            x = block(x, (codes >= 0)[..., None])
        x = mx.take_along_axis(x, index[..., None], axis=1)
        return self.out(x + self.place(place.astype(self.place.bias.dtype)))


# ---- transformer --------------------------------------------------------------------------------------------------


class PositionConv(nn.Module):
    """Two grouped convolutions that encode the relative positions of frames (wav2vec 2.0, arXiv:2006.11477)."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv1d(dim, dim, kernel_size=31, padding=15, groups=16)
        self.conv2 = nn.Conv1d(dim, dim, kernel_size=31, padding=15, groups=16)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:  # [B, N, D], [B, N, 1]
        y = nn.mish(self.conv1(x * mask))
        return nn.mish(self.conv2(y * mask))


class Attention(nn.Module):
    """Self-attention within each item."""

    def __init__(self, dim: int, heads: int, head_dim: int, rotary: str):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        # "first_head" exists for the published checkpoints: they apply the rotary embedding before the split into
        # heads, so only the first head knows positions. Our models rotate all heads.
        self.turned_heads = 1 if rotary == "first_head" else heads
        self.query = nn.Linear(dim, heads * head_dim)
        self.key = nn.Linear(dim, heads * head_dim)
        self.value = nn.Linear(dim, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, dim, bias=False)

    def __call__(self, x: mx.array, mask: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:  # [B, N, D], [B, N]
        query, key, value = (
            mx.unflatten(project(x), -1, (self.heads, self.head_dim)).swapaxes(1, 2)
            for project in (self.query, self.key, self.value)
        )
        query, key = self._turn(query, table), self._turn(key, table)
        # A mask is slow, and some devices have no fast kernel for it. A single item has no padding and needs none.
        bias = None if x.shape[0] == 1 else mask[:, None, None]
        y = mx.fast.scaled_dot_product_attention(query, key, value, scale=self.head_dim**-0.5, mask=bias)
        return self.out(y.swapaxes(1, 2).flatten(-2))

    def _turn(self, x: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:  # [B, H, N, head_dim]
        if self.turned_heads == self.heads:
            return rotate(x, table)
        return mx.concatenate([rotate(x[:, : self.turned_heads], table), x[:, self.turned_heads :]], axis=1)


class FeedForward(nn.Module):
    def __init__(self, dim: int, mult: int, dropout: float = 0.0):
        super().__init__()
        self.expand = nn.Linear(dim, dim * mult)
        self.contract = nn.Linear(dim * mult, dim)
        self.dropout = nn.Dropout(dropout)

    def __call__(self, x: mx.array) -> mx.array:
        return self.contract(self.dropout(nn.gelu_approx(self.expand(x))))


def modulate(x: mx.array, shift: mx.array, scale: mx.array) -> mx.array:
    """Layer norm without parameters, then shift and scale [B, D] from the condition (AdaLN, arXiv:2212.09748)."""
    return mx.fast.layer_norm(x, None, None, 1e-6) * (1 + scale[:, None]) + shift[:, None]


class DiTBlock(nn.Module):
    """Attention and feed-forward, both modulated and gated by time and speaker."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        # "shared": the DiT holds one projection for all blocks, and each block only learns an offset to it.
        shared = config.adaln == "shared"
        self.adaln = nn.Identity() if shared else nn.Linear(config.dim, config.dim * 6)
        self.offset = mx.zeros((config.dim * 6,)) if shared else None
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def __call__(self, x: mx.array, condition: mx.array, mask: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:
        """Apply the block. `condition` is [B, D] after its SiLU, or with shared AdaLN its projection [B, 6 D]."""
        parts = self.adaln(condition) if self.offset is None else condition + self.offset
        shift1, scale1, gate1, shift2, scale2, gate2 = mx.split(parts, 6, axis=-1)
        x = x + gate1[:, None] * self.attention(modulate(x, shift1, scale1), mask, table)
        return x + gate2[:, None] * self.ff(modulate(x, shift2, scale2))


class DiT(nn.Module):
    """Predict the velocity from noised frames, text and conditions."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        self.config = config
        channels = config.mel.n_mels * config.patch
        self.time_embed = TimeEmbedding(config.dim)
        self.step_embed = TimeEmbedding(config.dim) if config.mean_velocity else None
        if config.speaker_dim:
            self.speaker_embed = nn.Linear(config.speaker_dim, config.dim)
        self.bandwidth_embed = nn.Linear(2, config.dim, bias=False) if config.bandwidth else None
        self.text_encoder = TextEncoder(
            config.vocab_size,
            config.text_dim,
            config.text_layers,
            config.text_align,
            config.dropout,
            len(config.languages),
            len(config.phones),
            config.prosody,
        )
        self.code_encoder = CodeEncoder(config) if config.codes else None
        self.input = nn.Linear(channels * (1 + config.audio_prompt) + config.text_dim, config.dim)
        self.position = PositionConv(config.dim)
        if config.adaln == "shared":
            self.adaln = nn.Linear(config.dim, config.dim * 6)
        self.blocks = [DiTBlock(config) for _ in range(config.depth)]
        self.final_adaln = nn.Linear(config.dim, config.dim * 2)
        self.out = nn.Linear(config.dim, channels, bias=False)

        # Every block starts as the identity and the velocity at zero, which stabilises early training.
        def calm(name: str, parameter: mx.array) -> mx.array:
            new = name.startswith(("bandwidth_embed.", "step_embed.mlp.2."))  # what is added to a trained model
            return mx.zeros_like(parameter) if "adaln." in name or name == "out.weight" or new else parameter

        self.update(tree_map_with_path(calm, self.parameters()))

    def __call__(
        self,
        x: mx.array,
        time: mx.array,
        text: mx.array,
        lengths: mx.array,
        *,
        durations: mx.array | None = None,
        prompt: mx.array | None = None,
        speaker: mx.array | None = None,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
        bandwidth: mx.array | None = None,
        codes: mx.array | None = None,
        keep_text: mx.array | None = None,
        keep_codes: mx.array | None = None,
        keep_voice: mx.array | None = None,
        encoded: mx.array | None = None,
        end: mx.array | None = None,
    ) -> mx.array:
        """Return the velocity [B, N, M] for noised, scaled mels `x` [B, N, M] at flow times [B].

        text: ids [B, T], padded with -1. lengths: frames of each item [B]. durations: frames of each character [B, T],
        for the stretching. prompt: known frames [B, N, M], zero elsewhere. speaker: vectors [B, V]. languages [B, T]
        and phones [B, T, 2] of the characters. prosody: [B, T, 6], `text.prosody.channels`; None is neutral.
        bandwidth: of the recordings [B], Hz; None for clean ones.
        codes: semantic codes [B, C], padded with -1. keep_text, keep_codes, keep_voice: 1, or 0 to drop that condition,
        for each item [B]; keep_codes None equals keep_text. encoded: [B, K, text_dim], the result
        of `encode_text` for this text, which is then not encoded again. end: times [B] up to which the velocity is the
        mean, for a model with mean_velocity; None for the velocity at `time`.
        """
        config = self.config
        batch, frames, _ = x.shape
        ones = mx.ones((batch,), x.dtype)
        keep_text = ones if keep_text is None else keep_text.astype(x.dtype)
        keep_voice = ones if keep_voice is None else keep_voice.astype(x.dtype)
        size = -(-frames // config.patch)  # tokens, the last one padded
        tokens = -(-lengths // config.patch)
        mask = length_mask(tokens, size)

        # The last token may extend past the end of its item; frames of a longer item must not leak into it.
        x = x * length_mask(lengths, frames)[..., None]
        channels = [self._tokens(x, size)]
        if config.audio_prompt:
            known = mx.zeros_like(x) if prompt is None else prompt * keep_voice[:, None, None]
            channels.append(self._tokens(known, size))
        if encoded is None:
            encoded = self.encode_text(
                text, lengths, frames, durations=durations, languages=languages, phones=phones,
                prosody=prosody, codes=codes, keep_text=keep_text, keep_codes=keep_codes,
            )  # fmt: skip
        channels.append(encoded)
        h = self.input(mx.concatenate(channels, axis=-1))
        h = h + self.position(h, mask[..., None])

        condition = self.time_embed(time)
        if self.step_embed is not None and end is not None:
            step = end - time  # scales its embedding: a step of zero length changes nothing
            condition = condition + self.step_embed(step) * step[:, None]
        if config.speaker_dim and speaker is not None:
            condition = condition + self.speaker_embed(speaker.astype(x.dtype)) * keep_voice[:, None]
        if self.bandwidth_embed is not None and bandwidth is not None:
            missing = 1 - mx.minimum(bandwidth, config.mel.sample_rate / 2) / (config.mel.sample_rate / 2)
            known = mx.stack([(missing > 0).astype(x.dtype), missing.astype(x.dtype)], axis=-1)
            condition = condition + self.bandwidth_embed(known) * keep_voice[:, None]
        condition = nn.silu(condition)
        modulation = self.adaln(condition) if config.adaln == "shared" else condition
        table = rotary_table(size, config.head_dim)
        for block in self.blocks:
            h = block(h, modulation, mask, table)
        scale, shift = mx.split(self.final_adaln(condition), 2, axis=-1)
        velocity = self.out(modulate(h, shift, scale))
        return mx.unflatten(velocity, -1, (config.patch, -1)).flatten(1, 2)[:, :frames]

    def encode_text(
        self,
        text: mx.array,
        lengths: mx.array,
        frames: int,
        *,
        durations: mx.array | None = None,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
        codes: mx.array | None = None,
        keep_text: mx.array,
        keep_codes: mx.array | None = None,
    ) -> mx.array:
        """Encode text and codes for each token [B, K, text_dim], once for all passes; arguments as for `forward`.

        An item with both gets their mean, because the codes learn to give what the text gives (`Nanospeech.imitation`).
        """
        tokens, size = -(-lengths // self.config.patch), -(-frames // self.config.patch)
        encoded = self.text_encoder(text, tokens, size, durations, keep_text, languages, phones, prosody)
        if self.code_encoder is not None and codes is not None:
            keep_codes = keep_text if keep_codes is None else keep_codes
            share = 1 / mx.maximum(keep_text.astype(encoded.dtype) + keep_codes.astype(encoded.dtype), 1)
            encoded = (encoded + self.code_encoder(codes, size, keep_codes)) * share[:, None, None]
        return encoded

    def _tokens(self, x: mx.array, size: int) -> mx.array:  # [B, N, M] → [B, K, patch * M]
        x = mx.pad(x, [(0, 0), (0, size * self.config.patch - x.shape[1]), (0, 0)])
        return mx.unflatten(x, 1, (size, self.config.patch)).flatten(2)


# ---- flow matching ------------------------------------------------------------------------------------------------


class Nanospeech(nn.Module):
    """The flow-matching model: `loss` for training, `sample` for synthesis."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        self.config = config
        self.transformer = DiT(config)
        self.bin_tops = mel_tops(config.mel)  # [M], Hz

    def scaled(self, mel: mx.array) -> mx.array:
        """Scale log-mels to the network's range."""
        return (mel - self.config.mel_mean) * self.config.mel_scale

    def unscaled(self, x: mx.array) -> mx.array:
        """Invert `scaled`."""
        return x / self.config.mel_scale + self.config.mel_mean

    def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
        """Return a loss, because wrappers such as DDP and FSDP hook `forward`."""
        return self.mean_velocity_loss(*args, **kwargs) if "end" in kwargs else self.loss(*args, **kwargs)

    def mean_velocity_loss(
        self,
        x: mx.array,
        time: mx.array,
        end: mx.array,
        wanted: mx.array,
        text: mx.array,
        lengths: mx.array,
        **given: mx.array,
    ) -> mx.array:
        """Return the mean squared error of the mean velocity from `time` to `end`, each [B].

        x: states at `time` [B, N, M], scaled. wanted: mean velocities [B, N, M]. The others as for `DiT.forward`.
        """
        velocity = self.transformer(x, time, text, lengths, end=end, **given)
        inside = length_mask(lengths, x.shape[1])
        error = mx.square(velocity.astype(mx.float32) - wanted).mean(axis=-1)
        return (error * inside).sum() / mx.maximum(inside.sum(), 1)

    def loss(
        self,
        mel: mx.array,
        text: mx.array,
        lengths: mx.array,
        *,
        durations: mx.array | None = None,
        speaker: mx.array | None = None,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
        bandwidth: mx.array | None = None,
        codes: mx.array | None = None,
        drop: float = 0.1,
        drop_text: float = 0.0,
        drop_codes: float = 0.0,
        wrong_codes: float = 0.0,
        time: mx.array | None = None,
        noise: mx.array | None = None,
        sway: float = 0.0,
        teacher: Nanospeech | None = None,
        guidance: float = 0.0,
        imitation: float = 0.0,
        imitation_only: bool = False,
    ) -> mx.array:
        """Return the conditional flow-matching loss (arXiv:2210.02747), the mean squared error of the velocity.

        mel: log-mels [B, N, M]. text: ids [B, T], padded with -1. lengths: frames of each item [B]. durations [B, T],
        speaker [B, V], languages [B, T], phones [B, T, 2], prosody [B, T, 6] as for `DiT.forward`.
        bandwidth: of each recording [B], Hz; mel bins above it have no loss.
        drop: share of the *items* that lose their conditions, for guidance.
        codes: semantic codes [B, C], padded with -1. drop_text, drop_codes: shares of the items that lose only their
        text, or only their codes. wrong_codes: share of the codes that are replaced by random ones. imitation: weight
        of the loss `imitation`, which is added; with imitation_only, it is the whole loss.
        time [B], noise [B, N, M]: drawn at random if None; times are stratified, one from each of B equal parts of
        0 to 1 (arXiv:2107.00630), and shifted by `sway` as in sampling (`solvers.schedule`). With an audio prompt, 70
        to 100 % of the frames are hidden and have a loss; otherwise all frames do.

        With `guidance` w above 0, the model learns the guided velocity, so that sampling needs one pass instead of
        two. A frozen `teacher` supplies it: v + w (v - v_null). Without a teacher the model supplies it itself (model
        guidance, arXiv:2502.12154): as its v already includes the guidance, the data's velocity plus
        w / (1 + w) (v - v_null). Items without conditions learn the data's velocity.
        """
        target = self.scaled(mel)
        batch, frames, _ = target.shape
        valid = length_mask(lengths, frames)
        if time is None:
            even = (mx.random.permutation(batch) + mx.random.uniform(shape=(batch,))) / batch
            time = even + sway * (mx.cos(math.pi / 2 * even) - 1 + even)
        noise = mx.random.normal(target.shape) if noise is None else noise
        t = time[:, None, None]
        x = (1 - t) * noise + t * target

        kept = mx.random.uniform(shape=(batch,)) >= drop
        keep_voice = kept
        prompt, scored = None, valid
        if self.config.audio_prompt:
            hidden = self._hidden_span(lengths, frames)
            prompt = mx.where(hidden[..., None], mx.zeros_like(target), target) * valid[..., None]
            scored = hidden & valid
            if drop > 0:  # F5 drops the prompt more often than the text
                keep_voice = kept & (mx.random.uniform(shape=(batch,)) >= 0.3)
        keep_text = keep_codes = kept
        if codes is not None:
            draw = mx.random.uniform(shape=(batch,))
            keep_text = kept & (draw >= drop_text)
            keep_codes = kept & ((draw < drop_text) | (draw >= drop_text + drop_codes))
            wrong = (mx.random.uniform(shape=codes.shape) < wrong_codes) & (codes >= 0)
            codes = mx.where(wrong, mx.random.randint(0, self.config.codes, codes.shape), codes)
        copied: mx.array | float = 0.0
        if imitation > 0 and codes is not None:
            of_text = {"durations": durations, "languages": languages, "phones": phones}
            copied = imitation * self.imitation(text, lengths, codes, **of_text)
            if imitation_only:
                return copied
        velocity = self.transformer(
            x, time, text, lengths, durations=durations, prompt=prompt, speaker=speaker, languages=languages,
            phones=phones, prosody=prosody, bandwidth=bandwidth, codes=codes, keep_text=keep_text,
            keep_codes=keep_codes, keep_voice=keep_voice,
        )  # fmt: skip
        wanted = target - noise
        if guidance > 0:
            given = {"durations": durations, "prompt": prompt, "speaker": speaker}
            given |= {"languages": languages, "phones": phones, "prosody": prosody}
            given |= {"bandwidth": bandwidth, "codes": codes}
            if teacher is None:
                null = self.transformer(x, time, text, lengths, **given, keep_text=0 * time, keep_voice=0 * time)
                guided = wanted + guidance / (1 + guidance) * (velocity - null).astype(mx.float32)
            else:
                guided = teacher.guided(x, time, text, lengths, guidance, **given).astype(mx.float32)
            wanted = mx.stop_gradient(mx.where(kept[:, None, None], guided, wanted))
        error = (velocity.astype(mx.float32) - wanted).square()
        if bandwidth is None:
            error = error.mean(-1)
        else:
            present = mx.array(self.bin_tops)[None] <= bandwidth[:, None]  # [B, M]
            error = (error * present[:, None]).sum(-1) / mx.maximum(present.sum(-1), 1)[:, None]
        return (error * scored).sum() / mx.maximum(scored.sum(), 1) + copied

    def imitation(self, text: mx.array, lengths: mx.array, codes: mx.array, **of_text: mx.array | None) -> mx.array:
        """Return how far the encoding of the codes is from the text's: the share of its variance that is not explained.

        The transformer can already read texts, so codes with the same encoding are spoken without further training.
        Only the code encoder learns from it. text: ids [B, T]. lengths: mel frames [B]. codes: [B, C]. of_text:
        durations, languages and phones of the characters, as for `loss`; codes say little about the prosody.
        """
        transformer = self.transformer
        assert transformer.code_encoder is not None
        patch, all_kept = self.config.patch, mx.ones(len(text))
        tokens, size = -(-lengths // patch), -(-int(lengths.max()) // patch)
        wanted = transformer.text_encoder(
            text, tokens, size, of_text.get("durations"), all_kept, of_text.get("languages"), of_text.get("phones")
        )
        wanted = mx.stop_gradient(wanted.astype(mx.float32))
        inside = length_mask(tokens, size)[..., None]
        count = inside.sum()
        error = mx.square(transformer.code_encoder(codes, size, all_kept).astype(mx.float32) - wanted)
        mean = (wanted * inside).sum(axis=(0, 1)) / count
        variance = (mx.square(wanted - mean) * inside).sum(axis=(0, 1)) / mx.maximum(count - 1, 1)
        return (error.mean(axis=-1, keepdims=True) * inside).sum() / count / mx.maximum(variance.mean(), 1e-6)

    def _hidden_span(self, lengths: mx.array, frames: int) -> mx.array:
        """Return a mask [B, N] that hides a random span of 70 to 100 % of each item."""
        share = 0.7 + 0.3 * mx.random.uniform(shape=lengths.shape)
        span = (share * lengths).astype(mx.int32)
        start = (mx.random.uniform(shape=lengths.shape) * (lengths - span + 1)).astype(mx.int32)
        position = mx.arange(frames)[None]
        return (position >= start[:, None]) & (position < (start + span)[:, None])

    def guided(
        self, x: mx.array, time: mx.array, text: mx.array, lengths: mx.array, cfg: float, **given: mx.array | None
    ) -> mx.array:
        """Return the velocity [B, N, M] with classifier-free guidance (arXiv:2207.12598): v + cfg (v - v_null).

        Arguments as for `DiT.forward`; `given` holds its conditions, `encoded` as returned by `_encoded`.
        """
        if cfg <= 1e-5:
            return self.transformer(x, time, text, lengths, **given)
        # both passes in one batch: the second half has no conditions
        encoded = given.pop("encoded", None)  # covers both passes
        twice = {name: None if value is None else mx.concatenate([value, value]) for name, value in given.items()}
        twice["encoded"] = encoded
        keep = mx.arange(2 * len(x)) < len(x)
        x, time, text, lengths = (mx.concatenate([value, value]) for value in (x, time, text, lengths))
        v, v_null = mx.split(self.transformer(x, time, text, lengths, **twice, keep_text=keep, keep_voice=keep), 2)
        return v + cfg * (v - v_null)

    def _encoded(
        self, text: mx.array, lengths: mx.array, frames: int, cfg: float, keep: mx.array, **given: mx.array | None
    ) -> mx.array:
        """Encode the text for each token [B, K, text_dim]; with guidance [2 B, ...], the second half without text."""
        keep_codes = mx.ones_like(keep)
        if cfg > 1e-5:
            given = {name: None if value is None else mx.concatenate([value, value]) for name, value in given.items()}
            text, lengths = mx.concatenate([text, text]), mx.concatenate([lengths, lengths])
            keep, keep_codes = (mx.concatenate([value, mx.zeros_like(value)]) for value in (keep, keep_codes))
        return self.transformer.encode_text(text, lengths, frames, **given, keep_text=keep, keep_codes=keep_codes)

    def sample(
        self,
        noise: mx.array,
        text: mx.array,
        lengths: mx.array,
        *,
        times: Sequence[float],
        method: str = "euler",
        cfg: float = 0.0,
        durations: mx.array | None = None,
        prompt: mx.array | None = None,
        prompt_lengths: mx.array | None = None,
        speaker: mx.array | None = None,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
        codes: mx.array | None = None,
        keep_text: mx.array | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> mx.array:
        """Generate log-mel frames [B, max(lengths), M] from Gaussian `noise` [B, N, M].

        text: ids [B, T], padded with -1. lengths: frames of prompt and speech together [B]. times: from
        `solvers.schedule`. cfg: guidance strength w in v + w (v - v_null); 0 for none. durations: frames of each
        character [B, T]. prompt: log-mels of the reference [B, P, M] of `prompt_lengths` [B] frames; the caller removes
        these frames from the result, where their content is undefined. speaker: vectors [B, V]. languages [B, T],
        phones [B, T, 2], prosody [B, T, 6]: of the characters, as numbers. codes: semantic codes [B, C], padded
        with -1. keep_text [B]: 0 to speak an item from its codes alone.
        progress: called with the completed share, 0 to 1.
        Items of different lengths get the same result as on their own.
        Raises ValueError if a prompt is not shorter than its item.
        """
        noise = noise[:, : lengths.max().item()]  # a single item attends without a mask, so it must have no padding
        batch, frames, _ = noise.shape
        known = None
        if prompt is not None:
            inside = prompt_lengths
            if inside is None:
                inside = mx.full((batch,), prompt.shape[1])
            if (inside >= lengths).any().item():
                raise ValueError(
                    f"reference of {inside.tolist()} frames in speech of {lengths.tolist()}; it must be shorter"
                )
            known = mx.pad(self.scaled(prompt), [(0, 0), (0, max(0, frames - prompt.shape[1])), (0, 0)])[:, :frames]
            known = (known * length_mask(inside, frames)[..., None]).astype(noise.dtype)
        of_text = {"durations": durations, "languages": languages, "phones": phones, "prosody": prosody, "codes": codes}
        keep = mx.ones((batch,), noise.dtype) if keep_text is None else keep_text.astype(noise.dtype)
        given = {"prompt": known, "speaker": speaker}
        given["encoded"] = self._encoded(text, lengths, frames, cfg, keep, **of_text)

        def velocity(t: float, x: mx.array, end: float) -> mx.array:
            time = mx.full((len(x),), t, x.dtype)
            if self.config.mean_velocity:
                given["end"] = mx.full((len(x),), end, x.dtype)
            v = self.guided(x, time, text, lengths, cfg, **given)
            mx.eval(v)  # MLX is lazy: without this, all steps would be one graph, run at the very end
            return v

        return self.unscaled(solvers.integrate(velocity, noise, times, method, progress))


# ---- durations ----------------------------------------------------------------------------------------------------


class CharacterDurations(nn.Module):
    """Our duration model: a ConvNeXt that predicts the mel frames of each character.

    It is trained on the lengths of spans of characters: words and pauses if the data has word times, else whole texts.
    """

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(
            config.vocab_size,
            config.dim,
            0,
            languages=len(config.languages),
            phones=len(config.phones),
            prosody=config.prosody,
        )
        self.speaker_embed = nn.Linear(config.speaker_dim, config.dim) if config.speaker_dim else None
        self.blocks = [ConvNeXtBlock(config.dim, config.dim * 2, config.dropout) for _ in range(config.depth)]
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, 1)
        self.out.bias = mx.full((1,), 5.0)  # softplus(5) ≈ 5 frames, the usual length of a character

    def predict(
        self,
        text: mx.array,
        speaker: mx.array | None = None,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
    ) -> mx.array:
        """Predict the mel frames of each character [B, T], 0 for padding.

        text: ids [B, T], padded with -1. speaker: vectors [B, V]. languages [B, T], phones [B, T, 2] and prosody
        [B, T, 6] as for `TextEncoder.embedded`.
        """
        present = text >= 0
        x = self.text_encoder.embedded(text, languages, phones, prosody)
        if self.speaker_embed is not None and speaker is not None:
            x = x + self.speaker_embed(speaker.astype(x.dtype))[:, None]
        for block in self.blocks:
            x = block(x, present[..., None])
        return nn.softplus(self.out(self.norm(x))[..., 0].astype(mx.float32)) * present

    def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
        return self.loss(*args, **kwargs)

    def loss(
        self,
        text: mx.array,
        spans: mx.array,
        frames: mx.array,
        *,
        letters: mx.array | None = None,
        speaker: mx.array | None = None,
        languages: mx.array | None = None,
        phones: mx.array | None = None,
        prosody: mx.array | None = None,
    ) -> mx.array:
        """Return the mean absolute error of log(1 + frames) over spans, over items, and over characters if known.

        spans: the span of each character [B, T]. frames: the length of each span [B, S], or -1 for padding.
        letters: the frames of each character [B, T]. The others as for `predict`.
        """
        predicted = self.predict(text, speaker, languages, phones, prosody)
        known = frames >= 0
        rows = mx.arange(len(frames))[:, None]
        sums = mx.zeros_like(frames).at[rows, spans].add(predicted)
        by_span = mx.abs(mx.log1p(sums) - mx.log1p(mx.maximum(frames, 0)))
        whole = mx.abs(mx.log1p(predicted.sum(1)) - mx.log1p(mx.maximum(frames, 0).sum(1)))
        loss = (by_span * known).sum() / mx.maximum(known.sum(), 1) + whole.mean()
        if letters is None:
            return loss
        present = text >= 0
        return loss + (mx.abs(mx.log1p(predicted) - mx.log1p(letters)) * present).sum() / present.sum()


class DurationBlock(nn.Module):
    """Transformer block without conditions."""

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def __call__(self, x: mx.array, mask: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:
        x = x + self.attention(mx.fast.layer_norm(x, None, None, 1e-6), mask, table)
        return x + self.ff(mx.fast.layer_norm(x, None, None, 1e-6))


class DurationTransformer(nn.Module):
    """The published duration model: predicts seconds from the reference's frames and the text of reference and speech.

    As in the checkpoint, text beyond the number of frames is truncated, so the caller pads a short reference.
    """

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(config.vocab_size, config.text_dim, config.text_layers)
        self.input = nn.Linear(config.mel.n_mels + config.text_dim, config.dim)
        self.position = PositionConv(config.dim)
        self.blocks = [DurationBlock(config) for _ in range(config.depth)]
        self.norm_out = nn.RMSNorm(config.dim, eps=float(np.finfo(np.float32).eps))  # as torch, where none is named
        self.out = nn.Linear(config.dim, 1, bias=False)

    def predict(self, mel: mx.array, text: mx.array, lengths: mx.array, known: mx.array | None = None) -> mx.array:
        """Predict seconds [B] from log-mels [B, N, M], ids [B, T] and lengths [B].

        `known` [B] hides the frames after it.
        """
        size = mel.shape[1]
        mask = length_mask(lengths, size)
        seen = mask if known is None else length_mask(known, size)
        encoded = self.text_encoder(text, lengths, size, None, mx.ones((len(mel),), mel.dtype))
        x = self.input(mx.concatenate([mel * seen[..., None], encoded], axis=-1))
        x = x + self.position(x, mask[..., None])
        table = rotary_table(size, self.config.head_dim)
        for block in self.blocks:
            x = block(x, mask, table)
        x = (self.norm_out(x) * seen[..., None]).sum(1) / mx.maximum(seen.sum(1, keepdims=True), 1)
        return nn.softplus(self.out(x))[:, 0]

    def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
        return self.loss(*args, **kwargs)

    def loss(self, mel: mx.array, text: mx.array, lengths: mx.array) -> mx.array:
        """Return the mean absolute error in seconds, with the frames after a random position hidden."""
        known = (mx.random.uniform(shape=lengths.shape) * lengths).astype(mx.int32)
        seconds = lengths.astype(mx.float32) / self.config.mel.frame_rate
        return mx.abs(self.predict(mel, text, lengths, known).astype(mx.float32) - seconds).mean()


def duration_model(config: DurationConfig) -> CharacterDurations | DurationTransformer:
    """Return a new duration model of the configured kind."""
    return CharacterDurations(config) if config.kind == "characters" else DurationTransformer(config)
