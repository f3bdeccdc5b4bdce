"""Nanospeech in MLX: characters and a reference voice → log-mel frames, by flow matching.

A diffusion transformer (DiT) learns the velocity that carries noise to speech: E2-TTS (arXiv:2406.18009), F5-TTS
(arXiv:2410.06885) and lucasnewman/nanospeech, whose checkpoints load here. What our own models do differently, each by
a field of `NanospeechConfig`: text stretched over the frames (ZipVoice, arXiv:2506.13053), a speaker vector in place of
a prompt, several frames in one token, scaled mels. Two duration models say how long the speech is.

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

from vivavoce import solvers
from vivavoce.config import DurationConfig, NanospeechConfig

FILLER = -1  # id of a position without a character; the embedding's row 0


def length_mask(lengths: mx.array, size: int) -> mx.array:
    """Lengths [B] → bool [B, size], True inside each item."""
    return mx.arange(size)[None] < lengths[:, None]


# ---- position, time and text --------------------------------------------------------------------------------------


def rotary_table(size: int, dim: int) -> tuple[mx.array, mx.array]:
    """Cosines and sines [size, dim / 2] of the rotary position embedding (RoFormer, arXiv:2104.09864)."""
    frequency = 10_000 ** (-mx.arange(0, dim, 2, dtype=mx.float32) / dim)
    angle = mx.arange(size, dtype=mx.float32)[:, None] * frequency
    return mx.cos(angle), mx.sin(angle)


def rotate(x: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:
    """Turn neighbouring pairs of the last axis: x [B, H, N, head_dim]."""
    cos, sin = (part.astype(x.dtype) for part in table)
    # whole rows, for CPUs read every other number several times slower
    swapped = x.reshape(*x.shape[:-1], -1, 2)[..., ::-1].flatten(-2)
    return x * mx.repeat(cos, 2, axis=-1) + swapped * mx.stack([-sin, sin], axis=-1).flatten(-2)


class TimeEmbedding(nn.Module):
    """Flow time [B] in 0…1 → [B, D], through 256 sinusoids."""

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
    """Channels compete by their energy over the sequence (ConvNeXt V2, arXiv:2301.00808).

    The energy sums over the sequence, so padding has to be zero: `ConvNeXtBlock` sees to it.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = mx.zeros((dim,))
        self.beta = mx.zeros((dim,))

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:  # [B, N, D], [B, N, 1]
        # The tiny number gives a channel without energy a gradient of 0; sqrt alone gives it NaN.
        energy = mx.sqrt(mx.square((x * mask).astype(mx.float32)).sum(axis=1, keepdims=True) + 1e-30)
        # Kept as narrow as x: in training on a CPU these lines take longer than the layers beside them.
        scale = 1 + self.gamma * (energy / (energy.mean(axis=-1, keepdims=True) + 1e-6))
        return x * scale.astype(x.dtype) + self.beta.astype(x.dtype)


class ConvNeXtBlock(nn.Module):
    """ConvNeXt-V2 block over a sequence [B, N, D]; positions outside `mask` neither give nor get anything."""

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
    """The published text encoder's absolute positions [size, dim]: cosines, then sines."""
    return mx.concatenate(list(rotary_table(size, dim)), axis=-1)


def character_index(durations: mx.array, tokens: mx.array, size: int) -> tuple[mx.array, mx.array]:
    """Which character each token belongs to.

    `durations` [B, T] ≥ 0 in any unit, `tokens` [B] the number of tokens that they are stretched over, `size` ≥ max.
    Returns indices [B, size] and the share 0…1 of its character that lies before each token's middle [B, size].
    With equal durations the index is floor((k + 0.5) * T / tokens), average upsampling.
    """
    ends = durations.cumsum(-1)
    ends = ends * tokens[:, None] / mx.maximum(ends[:, -1:], 1e-6)  # in this order, whole durations end exactly
    middle = mx.arange(size) + 0.5
    index = mx.minimum((middle[None, :, None] >= ends[:, None, :]).sum(-1), durations.shape[1] - 1)
    end = mx.take_along_axis(ends, index, axis=1)
    start = mx.where(index > 0, mx.take_along_axis(ends, mx.maximum(index - 1, 0), axis=1), mx.zeros_like(end))
    return index, mx.clip((middle - start) / mx.maximum(end - start, 1e-3), 0, 1)


class TextEncoder(nn.Module):
    """Character ids [B, T] → one vector for each token [B, K, text_dim].

    "pad" runs its blocks over the padded frames, as published. The stretched modes run them over the characters, which
    are few, and then hand each token the vector of its character, with its place in that character.
    """

    def __init__(self, vocab_size: int, dim: int, layers: int, align: str = "pad", dropout: float = 0.0):
        super().__init__()
        self.align = align
        self.embed = nn.Embedding(vocab_size + 1, dim)
        self.blocks = [ConvNeXtBlock(dim, dim * 2, dropout) for _ in range(layers)]
        if align != "pad":
            self.place = nn.Linear(2, dim)

    def __call__(
        self, text: mx.array, tokens: mx.array, size: int, durations: mx.array | None, keep: mx.array
    ) -> mx.array:
        """`tokens` [B]: each item's length; `keep` [B]: 0 drops the text (for guidance), 1 keeps it."""
        ids = text + 1
        if self.align == "pad":
            # Text longer than the frames cannot be heard in any case: it is cut, as published.
            ids = mx.pad(ids[:, :size], [(0, 0), (0, max(0, size - ids.shape[1]))]) * keep.astype(mx.int32)[:, None]
            return self._encode(ids, length_mask(tokens, size))
        present = ids > 0
        x = self.characters(text)
        weights = present.astype(mx.float32) if self.align == "average" or durations is None else durations * present
        index, share = character_index(weights, tokens, size)
        width = mx.take_along_axis(weights, index, axis=1)
        width = width * (tokens / mx.maximum(weights.sum(-1), 1e-6))[:, None]  # tokens a character
        x = mx.take_along_axis(x, index[..., None], axis=1)
        place = self.place(mx.stack([share - 0.5, mx.log1p(width)], axis=-1).astype(self.place.bias.dtype))
        return (x + place) * keep[:, None, None].astype(x.dtype)

    def characters(self, text: mx.array) -> mx.array:
        """Ids [B, T], padded with -1 → one vector for each character [B, T, text_dim], before any stretching."""
        return self._encode(text + 1, text >= 0)

    def _encode(self, ids: mx.array, mask: mx.array) -> mx.array:
        x = self.embed(ids)
        if self.blocks:
            x = x + text_positions(ids.shape[1], x.shape[-1]).astype(x.dtype)
        for block in self.blocks:
            x = block(x, mask[..., None])
        return x


# ---- transformer --------------------------------------------------------------------------------------------------


class PositionConv(nn.Module):
    """Two grouped convolutions whose output tells where a frame stands among its neighbours (wav2vec 2.0)."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv1d(dim, dim, kernel_size=31, padding=15, groups=16)
        self.conv2 = nn.Conv1d(dim, dim, kernel_size=31, padding=15, groups=16)

    def __call__(self, x: mx.array, mask: mx.array) -> mx.array:  # [B, N, D], [B, N, 1]
        y = nn.mish(self.conv1(x * mask))
        return nn.mish(self.conv2(y * mask))


class Attention(nn.Module):
    """Self-attention of all frames to all frames of their item."""

    def __init__(self, dim: int, heads: int, head_dim: int, rotary: str):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        # Bound to the published checkpoints: there the rotary embedding comes before the split into heads, so only the
        # first head knows positions. Our models turn all of them.
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
        # A mask costs time and on some devices the fast kernel. A lone item needs none: callers give it no padding.
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
    """Attention and feed-forward, each modulated and gated by time and speaker."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        # "shared": one projection for all blocks lives in the DiT, and each block only learns an offset to it.
        shared = config.adaln == "shared"
        self.adaln = nn.Identity() if shared else nn.Linear(config.dim, config.dim * 6)
        self.offset = mx.zeros((config.dim * 6,)) if shared else None
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def __call__(self, x: mx.array, condition: mx.array, mask: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:
        """`condition` [B, D] after its SiLU or, where AdaLN is shared, the shared projection of it [B, 6 D]."""
        parts = self.adaln(condition) if self.offset is None else condition + self.offset
        shift1, scale1, gate1, shift2, scale2, gate2 = mx.split(parts, 6, axis=-1)
        x = x + gate1[:, None] * self.attention(modulate(x, shift1, scale1), mask, table)
        return x + gate2[:, None] * self.ff(modulate(x, shift2, scale2))


class DiT(nn.Module):
    """Noised frames, text and condition → velocity."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        self.config = config
        channels = config.mel.n_mels * config.patch
        self.time_embed = TimeEmbedding(config.dim)
        if config.speaker_dim:
            self.speaker_embed = nn.Linear(config.speaker_dim, config.dim)
        self.text_encoder = TextEncoder(
            config.vocab_size, config.text_dim, config.text_layers, config.text_align, config.dropout
        )
        self.input = nn.Linear(channels * (1 + config.audio_prompt) + config.text_dim, config.dim)
        self.position = PositionConv(config.dim)
        if config.adaln == "shared":
            self.adaln = nn.Linear(config.dim, config.dim * 6)
        self.blocks = [DiTBlock(config) for _ in range(config.depth)]
        self.final_adaln = nn.Linear(config.dim, config.dim * 2)
        self.out = nn.Linear(config.dim, channels, bias=False)

        # Every block starts as the identity and the velocity at zero, so early training is calm.
        def calm(name: str, parameter: mx.array) -> mx.array:
            return mx.zeros_like(parameter) if "adaln." in name or name == "out.weight" else parameter

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
        keep_text: mx.array | None = None,
        keep_voice: mx.array | None = None,
    ) -> mx.array:
        """Velocity [B, N, M] at noised scaled mels `x` [B, N, M], flow time [B], ids [B, T], frames `lengths` [B].

        `durations` [B, T] weigh the stretching; `prompt` [B, N, M] holds the known frames, zero elsewhere; `speaker`
        [B, V]. `keep_text` and `keep_voice` [B] are 1, or 0 to drop that condition for an item.
        """
        config = self.config
        batch, frames, _ = x.shape
        ones = mx.ones((batch,), x.dtype)
        keep_text = ones if keep_text is None else keep_text.astype(x.dtype)
        keep_voice = ones if keep_voice is None else keep_voice.astype(x.dtype)
        size = -(-frames // config.patch)  # tokens, the last one padded
        tokens = -(-lengths // config.patch)
        mask = length_mask(tokens, size)

        # The last token may reach past the end of its item: what a longer neighbour has there is not to be seen.
        x = x * length_mask(lengths, frames)[..., None]
        channels = [self._tokens(x, size)]
        if config.audio_prompt:
            known = mx.zeros_like(x) if prompt is None else prompt * keep_voice[:, None, None]
            channels.append(self._tokens(known, size))
        channels.append(self.text_encoder(text, tokens, size, durations, keep_text))
        h = self.input(mx.concatenate(channels, axis=-1))
        h = h + self.position(h, mask[..., None])

        condition = self.time_embed(time)
        if config.speaker_dim and speaker is not None:
            condition = condition + self.speaker_embed(speaker.astype(x.dtype)) * keep_voice[:, None]
        condition = nn.silu(condition)
        modulation = self.adaln(condition) if config.adaln == "shared" else condition
        table = rotary_table(size, config.head_dim)
        for block in self.blocks:
            h = block(h, modulation, mask, table)
        scale, shift = mx.split(self.final_adaln(condition), 2, axis=-1)
        velocity = self.out(modulate(h, shift, scale))
        return mx.unflatten(velocity, -1, (config.patch, -1)).flatten(1, 2)[:, :frames]

    def _tokens(self, x: mx.array, size: int) -> mx.array:  # [B, N, M] → [B, K, patch * M]
        x = mx.pad(x, [(0, 0), (0, size * self.config.patch - x.shape[1]), (0, 0)])
        return mx.unflatten(x, 1, (size, self.config.patch)).flatten(2)


# ---- flow matching ------------------------------------------------------------------------------------------------


class Nanospeech(nn.Module):
    """The flow-matching model: `loss` to train it, `sample` to speak."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        self.config = config
        self.transformer = DiT(config)

    def scaled(self, mel: mx.array) -> mx.array:
        """Log-mel → the values that the network sees."""
        return (mel - self.config.mel_mean) * self.config.mel_scale

    def unscaled(self, x: mx.array) -> mx.array:
        """The inverse of `scaled`."""
        return x / self.config.mel_scale + self.config.mel_mean

    def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
        """The loss, so that wrappers which hook `forward` (DDP, FSDP) see the training pass."""
        return self.loss(*args, **kwargs)

    def loss(
        self,
        mel: mx.array,
        text: mx.array,
        lengths: mx.array,
        *,
        durations: mx.array | None = None,
        speaker: mx.array | None = None,
        drop: float = 0.1,
        time: mx.array | None = None,
        noise: mx.array | None = None,
        sway: float = 0.0,
        teacher: Nanospeech | None = None,
        guidance: float = 0.0,
    ) -> mx.array:
        """Conditional flow-matching loss (arXiv:2210.02747), a scalar: mean squared error of the velocity.

        `mel` log-mel [B, N, M], `text` ids [B, T], frames `lengths` [B], `durations` [B, T], `speaker` [B, V].
        `drop` is the share of *samples* that lose their conditions, for guidance; 0 keeps them all. `time` [B] and
        `noise` [B, N, M] fix what is otherwise drawn: times one from each of B equal parts of 0…1, so that every batch
        has seen them all (arXiv:2107.00630), and moved by `sway` as the sampler's are (`solvers.schedule`). With an
        audio prompt, 70 to 100 % of the frames are hidden and bear the loss; a model with a speaker vector alone has
        loss on every frame.

        With `guidance` w the velocity to learn is the guided one, so that one pass a step comes to do what takes two. A
        `teacher`, a trained model that stays as it is, says what that is: v + w (v - v_null). Without one the model is
        its own (model guidance, arXiv:2502.12154): its v already has the guidance, so the data's velocity is moved by
        w / (1 + w) (v - v_null). Samples without their conditions learn the data's velocity, as ever.
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
        velocity = self.transformer(
            x, time, text, lengths, durations=durations, prompt=prompt, speaker=speaker,
            keep_text=kept, keep_voice=keep_voice,
        )  # fmt: skip
        wanted = target - noise
        if guidance > 0:
            given = {"durations": durations, "prompt": prompt, "speaker": speaker}
            if teacher is None:
                null = self.transformer(x, time, text, lengths, **given, keep_text=0 * time, keep_voice=0 * time)
                guided = wanted + guidance / (1 + guidance) * (velocity - null).astype(mx.float32)
            else:
                guided = teacher.guided(x, time, text, lengths, guidance, **given).astype(mx.float32)
            wanted = mx.stop_gradient(mx.where(kept[:, None, None], guided, wanted))
        error = (velocity.astype(mx.float32) - wanted).square().mean(-1)
        return (error * scored).sum() / mx.maximum(scored.sum(), 1)

    def _hidden_span(self, lengths: mx.array, frames: int) -> mx.array:
        """A random span of 70 to 100 % of each item, True where the frames are hidden [B, N]."""
        share = 0.7 + 0.3 * mx.random.uniform(shape=lengths.shape)
        span = (share * lengths).astype(mx.int32)
        start = (mx.random.uniform(shape=lengths.shape) * (lengths - span + 1)).astype(mx.int32)
        position = mx.arange(frames)[None]
        return (position >= start[:, None]) & (position < (start + span)[:, None])

    def guided(
        self, x: mx.array, time: mx.array, text: mx.array, lengths: mx.array, cfg: float, **given: mx.array | None
    ) -> mx.array:
        """Velocity [B, N, M] with classifier-free guidance (arXiv:2207.12598) of strength w: v + w (v - v_null).

        Arguments as for `DiT.forward`; `given` are its conditions.
        """
        if cfg <= 1e-5:
            return self.transformer(x, time, text, lengths, **given)
        # both passes in one batch: the second half has everything dropped
        twice = {name: None if value is None else mx.concatenate([value, value]) for name, value in given.items()}
        keep = mx.arange(2 * len(x)) < len(x)
        x, time, text, lengths = (mx.concatenate([value, value]) for value in (x, time, text, lengths))
        v, v_null = mx.split(self.transformer(x, time, text, lengths, **twice, keep_text=keep, keep_voice=keep), 2)
        return v + cfg * (v - v_null)

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
        progress: Callable[[float], None] | None = None,
    ) -> mx.array:
        """Log-mel frames [B, max(lengths), M] from Gaussian `noise` [B, N, M].

        `text` ids [B, T] padded with -1; `lengths` [B] frames of prompt and speech together; `times` as made by
        `solvers.schedule`; `cfg` the guidance strength w in v + w (v - v_null), 0 for none. `prompt` log-mel [B, P, M]
        with `prompt_lengths` [B] is the reference; the caller cuts its frames off the result, which holds something
        else there. Items of a batch may differ in all lengths and get what they would get alone.
        Raises ValueError where a prompt is not shorter than its item.
        """
        noise = noise[:, : lengths.max().item()]  # a lone item attends without a mask, so it must not carry padding
        batch, frames, _ = noise.shape
        known = None
        if prompt is not None:
            inside = prompt_lengths
            if inside is None:
                inside = mx.full((batch,), prompt.shape[1])
            if (inside >= lengths).any().item():
                raise ValueError(
                    f"reference of {inside.tolist()} frames in speech of {lengths.tolist()}: nothing is left to say"
                )
            known = mx.pad(self.scaled(prompt), [(0, 0), (0, max(0, frames - prompt.shape[1])), (0, 0)])[:, :frames]
            known = (known * length_mask(inside, frames)[..., None]).astype(noise.dtype)
        given = {"durations": durations, "prompt": known, "speaker": speaker}

        def velocity(t: float, x: mx.array) -> mx.array:
            v = self.guided(x, mx.full((len(x),), t, x.dtype), text, lengths, cfg, **given)
            mx.eval(v)  # MLX is lazy: without this, all steps would be one graph, run at the very end
            return v

        return self.unscaled(solvers.integrate(velocity, noise, times, method, progress))


# ---- durations ----------------------------------------------------------------------------------------------------


class CharacterDurations(nn.Module):
    """Our duration model: ConvNeXt over the characters, mel frames for each of them.

    Trained on the lengths of whatever spans the data marks: words and pauses where it has word times, else the whole.
    """

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(config.vocab_size, config.dim, 0)
        self.speaker_embed = nn.Linear(config.speaker_dim, config.dim) if config.speaker_dim else None
        self.blocks = [ConvNeXtBlock(config.dim, config.dim * 2, config.dropout) for _ in range(config.depth)]
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, 1)
        self.out.bias = mx.full((1,), 5.0)  # softplus(5) ≈ 5 frames, a character's usual length

    def predict(self, text: mx.array, speaker: mx.array | None = None) -> mx.array:
        """Ids [B, T], padded with -1, and speaker vectors [B, V] → mel frames of each character [B, T], padding 0."""
        present = text >= 0
        x = self.text_encoder.embed(text + 1)
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
    ) -> mx.array:
        """Mean absolute error of log(1 + frames), over spans and over whole items alike, and over characters if known.

        `spans` [B, T] says which span each character belongs to, `frames` [B, S] how long that span is (-1: no span),
        `letters` [B, T] how long each character is.
        """
        predicted = self.predict(text, speaker)
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
    """Transformer block without conditioning."""

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def __call__(self, x: mx.array, mask: mx.array, table: tuple[mx.array, mx.array]) -> mx.array:
        x = x + self.attention(mx.fast.layer_norm(x, None, None, 1e-6), mask, table)
        return x + self.ff(mx.fast.layer_norm(x, None, None, 1e-6))


class DurationTransformer(nn.Module):
    """The published duration model: the reference's frames and the text of reference and speech → seconds of both.

    Bound to the checkpoint: text beyond the number of frames is cut off, so the caller pads a short reference.
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
        """Log-mel [B, N, M], ids [B, T], frames `lengths` [B] → seconds [B]. `known` [B] hides the frames after it."""
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
        """Mean absolute error in seconds, with the frames after a random place hidden."""
        known = (mx.random.uniform(shape=lengths.shape) * lengths).astype(mx.int32)
        seconds = lengths.astype(mx.float32) / self.config.mel.frame_rate
        return mx.abs(self.predict(mel, text, lengths, known).astype(mx.float32) - seconds).mean()


def duration_model(config: DurationConfig) -> CharacterDurations | DurationTransformer:
    """The duration model that the config names."""
    return CharacterDurations(config) if config.kind == "characters" else DurationTransformer(config)
