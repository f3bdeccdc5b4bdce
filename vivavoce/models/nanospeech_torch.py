"""Nanospeech in PyTorch: characters and a reference voice → log-mel frames, by flow matching.

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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.audio.mel import mel_tops
from vivavoce.models import solvers
from vivavoce.models.nanospeech import PROSODY, SLOTS, DurationConfig, NanospeechConfig


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a bool mask [B, size] that is True inside each item, from lengths [B]."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


# ---- position, time and text --------------------------------------------------------------------------------------


def rotary_table(size: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [size, dim / 2] of the rotary position embedding (RoFormer, arXiv:2104.09864)."""
    frequency = 10_000 ** (-torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    angle = torch.arange(size, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate neighbouring pairs of the last axis of x [B, H, N, head_dim]."""
    cos, sin = (part.to(x.dtype) for part in table)
    # whole rows: strided reads are several times slower on a CPU
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return x * cos.repeat_interleave(2, -1) + swapped * torch.stack((-sin, sin), dim=-1).flatten(-2)


class TimeEmbedding(nn.Module):
    """Embed flow times [B], 0 to 1, as [B, D], through 256 sinusoids."""

    def __init__(self, dim: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, time: Tensor) -> Tensor:
        half = 128
        frequency = torch.exp(torch.arange(half, device=time.device) * (-math.log(10_000) / (half - 1)))
        angle = 1000 * time.float()[:, None] * frequency
        waves = torch.cat((angle.sin(), angle.cos()), dim=-1)
        return self.mlp(waves.to(next(self.mlp.parameters()).dtype))


class GlobalResponseNorm(nn.Module):
    """Let channels compete by their energy over the sequence (ConvNeXt V2, arXiv:2301.00808).

    The energy is a sum over the sequence, so `mask` excludes padding.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, N, D], [B, N, 1]
        # Without the tiny number, the gradient of a channel without energy is NaN.
        energy = ((x * mask).float().square().sum(1, keepdim=True) + 1e-30).sqrt()
        # In the precision of x: in training on a CPU these lines take longer than the layers around them.
        scale = 1 + self.gamma * (energy / (energy.mean(-1, keepdim=True) + 1e-6))
        return x * scale.to(x.dtype) + self.beta.to(x.dtype)


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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.conv((x * mask).transpose(1, 2)).transpose(1, 2)
        y = self.grn(F.gelu(self.expand(self.norm(y))), mask)
        return x + self.dropout(self.contract(y))


def text_positions(size: int, dim: int, device: torch.device) -> Tensor:
    """Return the absolute positions [size, dim] of the published text encoder: cosines, then sines."""
    return torch.cat(rotary_table(size, dim, device), dim=-1)


def character_index(durations: Tensor, tokens: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the index of each token's character [B, size], and how far into the character its middle is, 0 to 1.

    `durations` [B, T] are 0 or more, in any unit. They are stretched over `tokens` [B] tokens; `size` is at least the
    longest. With equal durations the index is floor((k + 0.5) * T / tokens), which is average upsampling.
    """
    ends = durations.cumsum(-1)
    ends = ends * tokens[:, None] / ends[:, -1:].clamp(min=1e-6)  # in this order, integer durations end exactly
    middle = torch.arange(size, device=ends.device) + 0.5
    index = (middle[None, :, None] >= ends[:, None, :]).sum(-1).clamp(max=durations.shape[1] - 1)
    end = ends.gather(1, index)
    start = torch.where(index > 0, ends.gather(1, (index - 1).clamp(min=0)), torch.zeros_like(end))
    return index, ((middle - start) / (end - start).clamp(min=1e-3)).clamp(0, 1)


def zero_embedding(rows: int, dim: int) -> nn.Embedding:
    """Return an embedding of zeros, which changes nothing before it is trained."""
    made = nn.Embedding(rows, dim)
    nn.init.zeros_(made.weight)
    return made


def zero_projection(channels: int, dim: int) -> nn.Linear:
    """Return a projection to zeros, which changes nothing before it is trained."""
    made = nn.Linear(channels, dim, bias=False)
    nn.init.zeros_(made.weight)
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
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, dim * 2, dropout) for _ in range(layers))
        if align != "pad":
            self.place = nn.Linear(2, dim)

    def forward(
        self,
        text: Tensor,
        tokens: Tensor,
        size: int,
        durations: Tensor | None,
        keep: Tensor,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> Tensor:
        """Encode the text for items of `tokens` [B] tokens; `keep` [B] is 1, or 0 to drop the text, for guidance.

        `languages` [B, T], `phones` [B, T, 2] and `prosody` [B, T, 6] as for `embedded`.
        """
        ids = text + 1
        if self.align == "pad":
            # Text that is longer than the frames is truncated, as published: it could not be spoken anyway.
            ids = F.pad(ids[:, :size], (0, max(0, size - ids.shape[1]))) * keep.long()[:, None]
            return self._encode(self.embed(ids), length_mask(tokens, size))
        present = ids > 0
        x = self.characters(text, languages, phones, prosody)
        weights = present.float() if self.align == "average" or durations is None else durations * present
        index, share = character_index(weights, tokens, size)
        width = weights.gather(1, index) * (tokens / weights.sum(-1).clamp(min=1e-6))[:, None]  # tokens per character
        x = x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
        place = self.place(torch.stack((share - 0.5, width.log1p()), dim=-1).to(self.place.weight.dtype))
        return (x + place) * keep[:, None, None].to(x.dtype)

    def characters(
        self,
        text: Tensor,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> Tensor:
        """Encode ids [B, T], padded with -1, as one vector for each character [B, T, text_dim], without stretching."""
        return self._encode(self.embedded(text, languages, phones, prosody), text >= 0)

    def embedded(
        self,
        text: Tensor,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> Tensor:
        """Embed ids [B, T], padded with -1, and what else is known of them: [B, T, text_dim].

        languages: [B, T]; None means the first language. phones: [B, T, 2]; 0 or None is unknown: the letters decide.
        prosody: [B, T, 6], `text.prosody.channels`; None or zeros are neutral.
        """
        x = self.embed(text + 1)
        if self.language_embed is not None:
            spoken = torch.zeros_like(text) if languages is None else languages
            x = x + self.language_embed(spoken) * (text >= 0)[..., None]
        if self.phone_embed is not None and phones is not None:
            second = torch.tensor([0, self.phone_embed.weight.shape[0] // SLOTS], device=phones.device)
            x = x + (self.phone_embed(phones + second) * (phones > 0)[..., None]).sum(2)
        if self.prosody_embed is not None and prosody is not None:
            x = x + self.prosody_embed(prosody.to(x.dtype))
        return x

    def _encode(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.blocks:
            x = x + text_positions(x.shape[1], x.shape[-1], x.device).to(x.dtype)
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
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, dim * 2, config.dropout) for _ in range(config.code_layers))
        self.place = nn.Linear(1, dim)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, codes: Tensor, size: int, keep: Tensor) -> Tensor:
        """Encode `codes`, padded with -1, for `size` tokens; `keep` [B] is 1, or 0 to drop the codes."""
        middle = (torch.arange(size, device=codes.device) + 0.5) * self.codes_per_token
        index = middle.long()[None].minimum((codes >= 0).sum(1, keepdim=True) - 1).clamp(min=0)
        x = self.at(codes, index, (middle % 1 - 0.5)[:, None])
        return x * keep[:, None, None].to(x.dtype)

    def at(self, codes: Tensor, index: Tensor, place: Tensor) -> Tensor:
        """Encode codes [B, C]; `index` [B, K] is the code of each token, `place` [K, 1] where in the code it is."""
        x = self.project(self.embed(codes.clamp(min=0)))
        for block in self.blocks:
            x = block(x, (codes >= 0)[..., None])
        x = x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
        return self.out(x + self.place(place.to(self.place.weight.dtype)))


# ---- transformer --------------------------------------------------------------------------------------------------


class PositionConv(nn.Module):
    """Two grouped convolutions that encode the relative positions of frames (wav2vec 2.0, arXiv:2006.11477)."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv1d(dim, dim, kernel_size=31, padding=15, groups=16)
        self.conv2 = nn.Conv1d(dim, dim, kernel_size=31, padding=15, groups=16)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, N, D], [B, N, 1]
        y = F.mish(self.conv1((x * mask).transpose(1, 2)))
        return F.mish(self.conv2(y * mask.transpose(1, 2))).transpose(1, 2)


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

    def forward(self, x: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:  # [B, N, D], [B, N]
        query, key, value = (
            project(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        query, key = self._turn(query, table), self._turn(key, table)
        # A mask is slow, and some devices have no fast kernel for it. A single item has no padding and needs none.
        bias = None if x.shape[0] == 1 else mask[:, None, None]
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.out(y.transpose(1, 2).flatten(-2))

    def _turn(self, x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:  # [B, H, N, head_dim]
        if self.turned_heads == self.heads:
            return rotate(x, table)
        return torch.cat((rotate(x[:, : self.turned_heads], table), x[:, self.turned_heads :]), dim=1)


class FeedForward(nn.Module):
    def __init__(self, dim: int, mult: int, dropout: float = 0.0):
        super().__init__()
        self.expand = nn.Linear(dim, dim * mult)
        self.contract = nn.Linear(dim * mult, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(self.dropout(F.gelu(self.expand(x), approximate="tanh")))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without parameters, then shift and scale [B, D] from the condition (AdaLN, arXiv:2212.09748)."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


class DiTBlock(nn.Module):
    """Attention and feed-forward, both modulated and gated by time and speaker."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        # "shared": the DiT holds one projection for all blocks, and each block only learns an offset to it.
        shared = config.adaln == "shared"
        self.adaln = nn.Identity() if shared else nn.Linear(config.dim, config.dim * 6)
        self.offset = nn.Parameter(torch.zeros(config.dim * 6)) if shared else None
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """Apply the block. `condition` is [B, D] after its SiLU, or with shared AdaLN its projection [B, 6 D]."""
        parts = self.adaln(condition) if self.offset is None else condition + self.offset
        shift1, scale1, gate1, shift2, scale2, gate2 = parts.chunk(6, dim=-1)
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
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.final_adaln = nn.Linear(config.dim, config.dim * 2)
        self.out = nn.Linear(config.dim, channels, bias=False)
        # Every block starts as the identity and the velocity at zero, which stabilises early training.
        for name, parameter in self.named_parameters():
            new = name.startswith(("bandwidth_embed.", "step_embed.mlp.2."))  # what is added to a trained model
            if "adaln." in name or name == "out.weight" or new:
                nn.init.zeros_(parameter)

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        text: Tensor,
        lengths: Tensor,
        *,
        durations: Tensor | None = None,
        prompt: Tensor | None = None,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
        bandwidth: Tensor | None = None,
        codes: Tensor | None = None,
        keep_text: Tensor | None = None,
        keep_codes: Tensor | None = None,
        keep_voice: Tensor | None = None,
        encoded: Tensor | None = None,
        end: Tensor | None = None,
    ) -> Tensor:
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
        ones = x.new_ones(batch)
        keep_text = ones if keep_text is None else keep_text.to(x.dtype)
        keep_voice = ones if keep_voice is None else keep_voice.to(x.dtype)
        size = -(-frames // config.patch)  # tokens, the last one padded
        tokens = -(-lengths // config.patch)
        mask = length_mask(tokens, size)

        # The last token may extend past the end of its item; frames of a longer item must not leak into it.
        x = x * length_mask(lengths, frames)[..., None]
        channels = [self._tokens(x, size)]
        if config.audio_prompt:
            known = torch.zeros_like(x) if prompt is None else prompt * keep_voice[:, None, None]
            channels.append(self._tokens(known, size))
        if encoded is None:
            encoded = self.encode_text(
                text, lengths, frames, durations=durations, languages=languages, phones=phones,
                prosody=prosody, codes=codes, keep_text=keep_text, keep_codes=keep_codes,
            )  # fmt: skip
        channels.append(encoded)
        h = self.input(torch.cat(channels, dim=-1))
        h = h + self.position(h, mask[..., None])

        condition = self.time_embed(time)
        if self.step_embed is not None and end is not None:
            step = end - time  # scales its embedding: a step of zero length changes nothing
            condition = condition + self.step_embed(step) * step[:, None]
        if config.speaker_dim and speaker is not None:
            condition = condition + self.speaker_embed(speaker.to(x.dtype)) * keep_voice[:, None]
        if self.bandwidth_embed is not None and bandwidth is not None:
            missing = 1 - bandwidth.clamp(max=config.mel.sample_rate / 2) / (config.mel.sample_rate / 2)
            known = torch.stack(((missing > 0).float(), missing.float()), dim=-1).to(x.dtype)
            condition = condition + self.bandwidth_embed(known) * keep_voice[:, None]
        condition = F.silu(condition)
        modulation = self.adaln(condition) if config.adaln == "shared" else condition
        table = rotary_table(size, config.head_dim, x.device)
        for block in self.blocks:
            h = block(h, modulation, mask, table)
        scale, shift = self.final_adaln(condition).chunk(2, dim=-1)
        velocity = self.out(modulate(h, shift, scale))
        return velocity.unflatten(-1, (config.patch, -1)).flatten(1, 2)[:, :frames]

    def encode_text(
        self,
        text: Tensor,
        lengths: Tensor,
        frames: int,
        *,
        durations: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
        codes: Tensor | None = None,
        keep_text: Tensor,
        keep_codes: Tensor | None = None,
    ) -> Tensor:
        """Encode text and codes for each token [B, K, text_dim], once for all passes; arguments as for `forward`.

        An item with both gets their mean, because the codes learn to give what the text gives (`Nanospeech.imitation`).
        """
        tokens, size = -(-lengths // self.config.patch), -(-frames // self.config.patch)
        encoded = self.text_encoder(text, tokens, size, durations, keep_text, languages, phones, prosody)
        if self.code_encoder is not None and codes is not None:
            keep_codes = keep_text if keep_codes is None else keep_codes
            share = 1 / (keep_text.to(encoded.dtype) + keep_codes.to(encoded.dtype)).clamp(min=1)
            encoded = (encoded + self.code_encoder(codes, size, keep_codes)) * share[:, None, None]
        return encoded

    def _tokens(self, x: Tensor, size: int) -> Tensor:  # [B, N, M] → [B, K, patch * M]
        x = F.pad(x, (0, 0, 0, size * self.config.patch - x.shape[1]))
        return x.unflatten(1, (size, self.config.patch)).flatten(2)


# ---- flow matching ------------------------------------------------------------------------------------------------


class Nanospeech(nn.Module):
    """The flow-matching model: `loss` for training, `sample` for synthesis."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        self.config = config
        self.transformer = DiT(config)
        self.bin_tops = mel_tops(config.mel)  # [M], Hz

    def scaled(self, mel: Tensor) -> Tensor:
        """Scale log-mels to the network's range."""
        return (mel - self.config.mel_mean) * self.config.mel_scale

    def unscaled(self, x: Tensor) -> Tensor:
        """Invert `scaled`."""
        return x / self.config.mel_scale + self.config.mel_mean

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return a loss, because wrappers such as DDP and FSDP hook `forward`."""
        return self.mean_velocity_loss(*args, **kwargs) if "end" in kwargs else self.loss(*args, **kwargs)

    def mean_velocity_loss(
        self, x: Tensor, time: Tensor, end: Tensor, wanted: Tensor, text: Tensor, lengths: Tensor, **given: Tensor
    ) -> Tensor:
        """Return the mean squared error of the mean velocity from `time` to `end`, each [B].

        x: states at `time` [B, N, M], scaled. wanted: mean velocities [B, N, M]. The others as for `DiT.forward`.
        """
        velocity = self.transformer(x, time, text, lengths, end=end, **given)
        inside = length_mask(lengths, x.shape[1])
        return ((velocity.float() - wanted).square().mean(-1) * inside).sum() / inside.sum().clamp(min=1)

    def loss(
        self,
        mel: Tensor,
        text: Tensor,
        lengths: Tensor,
        *,
        durations: Tensor | None = None,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
        bandwidth: Tensor | None = None,
        codes: Tensor | None = None,
        drop: float = 0.1,
        drop_text: float = 0.0,
        drop_codes: float = 0.0,
        wrong_codes: float = 0.0,
        time: Tensor | None = None,
        noise: Tensor | None = None,
        sway: float = 0.0,
        teacher: Nanospeech | None = None,
        guidance: float = 0.0,
        imitation: float = 0.0,
        imitation_only: bool = False,
    ) -> Tensor:
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
        device = target.device
        valid = length_mask(lengths, frames)
        if time is None:
            even = (torch.randperm(batch, device=device) + torch.rand(batch, device=device)) / batch
            time = even + sway * (torch.cos(math.pi / 2 * even) - 1 + even)
        noise = torch.randn_like(target) if noise is None else noise
        t = time[:, None, None]
        x = (1 - t) * noise + t * target

        kept = torch.rand(batch, device=device) >= drop
        keep_voice = kept
        prompt, scored = None, valid
        if self.config.audio_prompt:
            hidden = self._hidden_span(lengths, frames)
            prompt = torch.where(hidden[..., None], torch.zeros_like(target), target) * valid[..., None]
            scored = hidden & valid
            if drop > 0:  # F5 drops the prompt more often than the text
                keep_voice = kept & (torch.rand(batch, device=device) >= 0.3)
        keep_text = keep_codes = kept
        if codes is not None:
            draw = torch.rand(batch, device=device)
            keep_text = kept & (draw >= drop_text)
            keep_codes = kept & ((draw < drop_text) | (draw >= drop_text + drop_codes))
            wrong = (torch.rand(codes.shape, device=device) < wrong_codes) & (codes >= 0)
            codes = torch.where(wrong, torch.randint_like(codes, self.config.codes), codes)
        copied: Tensor | float = 0.0
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
            with torch.no_grad():
                if teacher is None:
                    null = self.transformer(x, time, text, lengths, **given, keep_text=0 * time, keep_voice=0 * time)
                    guided = wanted + guidance / (1 + guidance) * (velocity.detach() - null).float()
                else:
                    guided = teacher.guided(x, time, text, lengths, guidance, **given).float()
            wanted = torch.where(kept[:, None, None], guided, wanted)
        error = (velocity.float() - wanted).square()
        if bandwidth is None:
            error = error.mean(-1)
        else:
            present = torch.from_numpy(self.bin_tops).to(device)[None] <= bandwidth[:, None]  # [B, M]
            error = (error * present[:, None]).sum(-1) / present.sum(-1).clamp(min=1)[:, None]
        return (error * scored).sum() / scored.sum().clamp(min=1) + copied

    def imitation(self, text: Tensor, lengths: Tensor, codes: Tensor, **of_text: Tensor | None) -> Tensor:
        """Return how far the encoding of the codes is from the text's: the share of its variance that is not explained.

        The transformer can already read texts, so codes with the same encoding are spoken without further training.
        Only the code encoder learns from it. text: ids [B, T]. lengths: mel frames [B]. codes: [B, C]. of_text:
        durations, languages and phones of the characters, as for `loss`; codes say little about the prosody.
        """
        transformer = self.transformer
        assert transformer.code_encoder is not None
        patch, all_kept = self.config.patch, torch.ones(len(text), device=text.device)
        tokens, size = -(-lengths // patch), -(-int(lengths.max()) // patch)
        with torch.no_grad():
            wanted = transformer.text_encoder(
                text, tokens, size, of_text.get("durations"), all_kept, of_text.get("languages"), of_text.get("phones")
            ).float()
        inside = length_mask(tokens, size)
        error = (transformer.code_encoder(codes, size, all_kept).float() - wanted).square().mean(-1)
        return (error * inside).sum() / inside.sum() / wanted[inside].var(0).mean().clamp(min=1e-6)

    def _hidden_span(self, lengths: Tensor, frames: int) -> Tensor:
        """Return a mask [B, N] that hides a random span of 70 to 100 % of each item."""
        share = 0.7 + 0.3 * torch.rand(len(lengths), device=lengths.device)
        span = (share * lengths).long()
        start = (torch.rand(len(lengths), device=lengths.device) * (lengths - span + 1)).long()
        position = torch.arange(frames, device=lengths.device)[None]
        return (position >= start[:, None]) & (position < (start + span)[:, None])

    def guided(
        self, x: Tensor, time: Tensor, text: Tensor, lengths: Tensor, cfg: float, **given: Tensor | None
    ) -> Tensor:
        """Return the velocity [B, N, M] with classifier-free guidance (arXiv:2207.12598): v + cfg (v - v_null).

        Arguments as for `DiT.forward`; `given` holds its conditions, `encoded` as returned by `_encoded`.
        """
        if cfg <= 1e-5:
            return self.transformer(x, time, text, lengths, **given)
        # both passes in one batch: the second half has no conditions
        encoded = given.pop("encoded", None)  # covers both passes
        twice = {name: None if value is None else torch.cat((value, value)) for name, value in given.items()}
        twice["encoded"] = encoded
        keep = torch.arange(2 * len(x), device=x.device) < len(x)
        x, time, text, lengths = (torch.cat((value, value)) for value in (x, time, text, lengths))
        v, v_null = self.transformer(x, time, text, lengths, **twice, keep_text=keep, keep_voice=keep).chunk(2)
        return v + cfg * (v - v_null)

    def _encoded(
        self, text: Tensor, lengths: Tensor, frames: int, cfg: float, keep: Tensor, **given: Tensor | None
    ) -> Tensor:
        """Encode the text for each token [B, K, text_dim]; with guidance [2 B, ...], the second half without text."""
        keep_codes = torch.ones_like(keep)
        if cfg > 1e-5:
            given = {name: None if value is None else torch.cat((value, value)) for name, value in given.items()}
            text, lengths = torch.cat((text, text)), torch.cat((lengths, lengths))
            keep, keep_codes = (torch.cat((value, torch.zeros_like(value))) for value in (keep, keep_codes))
        return self.transformer.encode_text(text, lengths, frames, **given, keep_text=keep, keep_codes=keep_codes)

    @torch.inference_mode()
    def sample(
        self,
        noise: Tensor,
        text: Tensor,
        lengths: Tensor,
        *,
        times: Sequence[float],
        method: str = "euler",
        cfg: float = 0.0,
        durations: Tensor | None = None,
        prompt: Tensor | None = None,
        prompt_lengths: Tensor | None = None,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
        codes: Tensor | None = None,
        keep_text: Tensor | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
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
        noise = noise[:, : int(lengths.max())]  # a single item attends without a mask, so it must have no padding
        batch, frames, _ = noise.shape
        known = None
        if prompt is not None:
            inside = prompt_lengths
            if inside is None:
                inside = torch.full((batch,), prompt.shape[1], device=noise.device)
            if bool((inside >= lengths).any()):
                raise ValueError(
                    f"reference of {inside.tolist()} frames in speech of {lengths.tolist()}; it must be shorter"
                )
            known = F.pad(self.scaled(prompt), (0, 0, 0, max(0, frames - prompt.shape[1])))[:, :frames]
            known = (known * length_mask(inside, frames)[..., None]).to(noise.dtype)
        of_text = {"durations": durations, "languages": languages, "phones": phones, "prosody": prosody, "codes": codes}
        keep = noise.new_ones(batch) if keep_text is None else keep_text.to(noise.dtype)
        given = {"prompt": known, "speaker": speaker}
        given["encoded"] = self._encoded(text, lengths, frames, cfg, keep, **of_text)

        def velocity(t: float, x: Tensor, end: float) -> Tensor:
            time = x.new_full((len(x),), t)
            if self.config.mean_velocity:
                given["end"] = x.new_full((len(x),), end)
            return self.guided(x, time, text, lengths, cfg, **given)

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
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.dim, config.dim * 2, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, 1)
        nn.init.constant_(self.out.bias, 5.0)  # softplus(5) ≈ 5 frames, the usual length of a character

    def predict(
        self,
        text: Tensor,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> Tensor:
        """Predict the mel frames of each character [B, T], 0 for padding.

        text: ids [B, T], padded with -1. speaker: vectors [B, V]. languages [B, T], phones [B, T, 2] and prosody
        [B, T, 6] as for `TextEncoder.embedded`.
        """
        present = text >= 0
        x = self.text_encoder.embedded(text, languages, phones, prosody)
        if self.speaker_embed is not None and speaker is not None:
            x = x + self.speaker_embed(speaker.to(x.dtype))[:, None]
        for block in self.blocks:
            x = block(x, present[..., None])
        return F.softplus(self.out(self.norm(x))[..., 0].float()) * present

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.loss(*args, **kwargs)

    def loss(
        self,
        text: Tensor,
        spans: Tensor,
        frames: Tensor,
        *,
        letters: Tensor | None = None,
        speaker: Tensor | None = None,
        languages: Tensor | None = None,
        phones: Tensor | None = None,
        prosody: Tensor | None = None,
    ) -> Tensor:
        """Return the mean absolute error of log(1 + frames) over spans, over items, and over characters if known.

        spans: the span of each character [B, T]. frames: the length of each span [B, S], or -1 for padding.
        letters: the frames of each character [B, T]. The others as for `predict`.
        """
        predicted = self.predict(text, speaker, languages, phones, prosody)
        known = frames >= 0
        sums = torch.zeros_like(frames).scatter_add(1, spans, predicted)
        by_span = (sums.log1p() - frames.clamp(min=0).log1p()).abs()
        whole = (predicted.sum(1).log1p() - (frames.clamp(min=0)).sum(1).log1p()).abs()
        loss = (by_span * known).sum() / known.sum().clamp(min=1) + whole.mean()
        if letters is None:
            return loss
        present = text >= 0
        return loss + ((predicted.log1p() - letters.log1p()).abs() * present).sum() / present.sum()


class DurationBlock(nn.Module):
    """Transformer block without conditions."""

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def forward(self, x: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(F.layer_norm(x, x.shape[-1:], eps=1e-6), mask, table)
        return x + self.ff(F.layer_norm(x, x.shape[-1:], eps=1e-6))


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
        self.blocks = nn.ModuleList(DurationBlock(config) for _ in range(config.depth))
        self.norm_out = nn.RMSNorm(config.dim)
        self.out = nn.Linear(config.dim, 1, bias=False)

    def predict(self, mel: Tensor, text: Tensor, lengths: Tensor, known: Tensor | None = None) -> Tensor:
        """Predict seconds [B] from log-mels [B, N, M], ids [B, T] and lengths [B].

        `known` [B] hides the frames after it.
        """
        size = mel.shape[1]
        mask = length_mask(lengths, size)
        seen = mask if known is None else length_mask(known, size)
        encoded = self.text_encoder(text, lengths, size, None, mel.new_ones(len(mel)))
        x = self.input(torch.cat((mel * seen[..., None], encoded), dim=-1))
        x = x + self.position(x, mask[..., None])
        table = rotary_table(size, self.config.head_dim, mel.device)
        for block in self.blocks:
            x = block(x, mask, table)
        x = (self.norm_out(x) * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).clamp(min=1)
        return F.softplus(self.out(x))[:, 0]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.loss(*args, **kwargs)

    def loss(self, mel: Tensor, text: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean absolute error in seconds, with the frames after a random position hidden."""
        known = (torch.rand(len(lengths), device=mel.device) * lengths).long()
        seconds = lengths.float() / self.config.mel.frame_rate
        return F.l1_loss(self.predict(mel, text, lengths, known).float(), seconds)


def duration_model(config: DurationConfig) -> CharacterDurations | DurationTransformer:
    """Return a new duration model of the configured kind."""
    return CharacterDurations(config) if config.kind == "characters" else DurationTransformer(config)
