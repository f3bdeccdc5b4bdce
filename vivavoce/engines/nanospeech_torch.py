"""Nanospeech in PyTorch: characters and a reference voice → log-mel frames, by flow matching.

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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce import solvers
from vivavoce.config import DurationConfig, NanospeechConfig

FILLER = -1  # id of a position without a character; the embedding's row 0


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Lengths [B] → bool [B, size], True inside each item."""
    return torch.arange(size, device=lengths.device)[None] < lengths[:, None]


# ---- position, time and text --------------------------------------------------------------------------------------


def rotary_table(size: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [size, dim / 2] of the rotary position embedding (RoFormer, arXiv:2104.09864)."""
    frequency = 10_000 ** (-torch.arange(0, dim, 2, device=device, dtype=torch.float32) / dim)
    angle = torch.arange(size, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn neighbouring pairs of the last axis: x [B, H, N, head_dim]."""
    cos, sin = (part.to(x.dtype) for part in table)
    # whole rows, for CPUs read every other number several times slower
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return x * cos.repeat_interleave(2, -1) + swapped * torch.stack((-sin, sin), dim=-1).flatten(-2)


class TimeEmbedding(nn.Module):
    """Flow time [B] in 0…1 → [B, D], through 256 sinusoids."""

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
    """Channels compete by their energy over the sequence (ConvNeXt V2, arXiv:2301.00808).

    The energy sums over the sequence, so padding has to be zero: `ConvNeXtBlock` sees to it.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, N, D], [B, N, 1]
        # The tiny number gives a channel without energy a gradient of 0; sqrt alone gives it NaN.
        energy = ((x * mask).float().square().sum(1, keepdim=True) + 1e-30).sqrt()
        # Kept as narrow as x: in training on a CPU these lines take longer than the layers beside them.
        scale = 1 + self.gamma * (energy / (energy.mean(-1, keepdim=True) + 1e-6))
        return x * scale.to(x.dtype) + self.beta.to(x.dtype)


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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.conv((x * mask).transpose(1, 2)).transpose(1, 2)
        y = self.grn(F.gelu(self.expand(self.norm(y))), mask)
        return x + self.dropout(self.contract(y))


def text_positions(size: int, dim: int, device: torch.device) -> Tensor:
    """The published text encoder's absolute positions [size, dim]: cosines, then sines."""
    return torch.cat(rotary_table(size, dim, device), dim=-1)


def character_index(durations: Tensor, tokens: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which character each token belongs to.

    `durations` [B, T] ≥ 0 in any unit, `tokens` [B] the number of tokens that they are stretched over, `size` ≥ max.
    Returns indices [B, size] and the share 0…1 of its character that lies before each token's middle [B, size].
    With equal durations the index is floor((k + 0.5) * T / tokens), average upsampling.
    """
    ends = durations.cumsum(-1)
    ends = ends * tokens[:, None] / ends[:, -1:].clamp(min=1e-6)  # in this order, whole durations end exactly
    middle = torch.arange(size, device=ends.device) + 0.5
    index = (middle[None, :, None] >= ends[:, None, :]).sum(-1).clamp(max=durations.shape[1] - 1)
    end = ends.gather(1, index)
    start = torch.where(index > 0, ends.gather(1, (index - 1).clamp(min=0)), torch.zeros_like(end))
    return index, ((middle - start) / (end - start).clamp(min=1e-3)).clamp(0, 1)


class TextEncoder(nn.Module):
    """Character ids [B, T] → one vector for each token [B, K, text_dim].

    "pad" runs its blocks over the padded frames, as published. The stretched modes run them over the characters, which
    are few, and then hand each token the vector of its character, with its place in that character.
    """

    def __init__(self, vocab_size: int, dim: int, layers: int, align: str = "pad", dropout: float = 0.0):
        super().__init__()
        self.align = align
        self.embed = nn.Embedding(vocab_size + 1, dim)
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, dim * 2, dropout) for _ in range(layers))
        if align != "pad":
            self.place = nn.Linear(2, dim)

    def forward(self, text: Tensor, tokens: Tensor, size: int, durations: Tensor | None, keep: Tensor) -> Tensor:
        """`tokens` [B]: each item's length; `keep` [B]: 0 drops the text (for guidance), 1 keeps it."""
        ids = text + 1
        if self.align == "pad":
            # Text longer than the frames cannot be heard in any case: it is cut, as published.
            ids = F.pad(ids[:, :size], (0, max(0, size - ids.shape[1]))) * keep.long()[:, None]
            return self._encode(ids, length_mask(tokens, size))
        present = ids > 0
        x = self.characters(text)
        weights = present.float() if self.align == "average" or durations is None else durations * present
        index, share = character_index(weights, tokens, size)
        width = weights.gather(1, index) * (tokens / weights.sum(-1).clamp(min=1e-6))[:, None]  # tokens a character
        x = x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
        place = self.place(torch.stack((share - 0.5, width.log1p()), dim=-1).to(self.place.weight.dtype))
        return (x + place) * keep[:, None, None].to(x.dtype)

    def characters(self, text: Tensor) -> Tensor:
        """Ids [B, T], padded with -1 → one vector for each character [B, T, text_dim], before any stretching."""
        return self._encode(text + 1, text >= 0)

    def _encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.embed(ids)
        if self.blocks:
            x = x + text_positions(ids.shape[1], x.shape[-1], x.device).to(x.dtype)
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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # [B, N, D], [B, N, 1]
        y = F.mish(self.conv1((x * mask).transpose(1, 2)))
        return F.mish(self.conv2(y * mask.transpose(1, 2))).transpose(1, 2)


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

    def forward(self, x: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:  # [B, N, D], [B, N]
        query, key, value = (
            project(x).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        query, key = self._turn(query, table), self._turn(key, table)
        # A mask costs time and on some devices the fast kernel. A lone item needs none: callers give it no padding.
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
    """Attention and feed-forward, each modulated and gated by time and speaker."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        # "shared": one projection for all blocks lives in the DiT, and each block only learns an offset to it.
        shared = config.adaln == "shared"
        self.adaln = nn.Identity() if shared else nn.Linear(config.dim, config.dim * 6)
        self.offset = nn.Parameter(torch.zeros(config.dim * 6)) if shared else None
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        """`condition` [B, D] after its SiLU or, where AdaLN is shared, the shared projection of it [B, 6 D]."""
        parts = self.adaln(condition) if self.offset is None else condition + self.offset
        shift1, scale1, gate1, shift2, scale2, gate2 = parts.chunk(6, dim=-1)
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
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.final_adaln = nn.Linear(config.dim, config.dim * 2)
        self.out = nn.Linear(config.dim, channels, bias=False)
        # Every block starts as the identity and the velocity at zero, so early training is calm.
        for name, parameter in self.named_parameters():
            if "adaln." in name or name == "out.weight":
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
        keep_text: Tensor | None = None,
        keep_voice: Tensor | None = None,
    ) -> Tensor:
        """Velocity [B, N, M] at noised scaled mels `x` [B, N, M], flow time [B], ids [B, T], frames `lengths` [B].

        `durations` [B, T] weigh the stretching; `prompt` [B, N, M] holds the known frames, zero elsewhere; `speaker`
        [B, V]. `keep_text` and `keep_voice` [B] are 1, or 0 to drop that condition for an item.
        """
        config = self.config
        batch, frames, _ = x.shape
        ones = x.new_ones(batch)
        keep_text = ones if keep_text is None else keep_text.to(x.dtype)
        keep_voice = ones if keep_voice is None else keep_voice.to(x.dtype)
        size = -(-frames // config.patch)  # tokens, the last one padded
        tokens = -(-lengths // config.patch)
        mask = length_mask(tokens, size)

        # The last token may reach past the end of its item: what a longer neighbour has there is not to be seen.
        x = x * length_mask(lengths, frames)[..., None]
        channels = [self._tokens(x, size)]
        if config.audio_prompt:
            known = torch.zeros_like(x) if prompt is None else prompt * keep_voice[:, None, None]
            channels.append(self._tokens(known, size))
        channels.append(self.text_encoder(text, tokens, size, durations, keep_text))
        h = self.input(torch.cat(channels, dim=-1))
        h = h + self.position(h, mask[..., None])

        condition = self.time_embed(time)
        if config.speaker_dim and speaker is not None:
            condition = condition + self.speaker_embed(speaker.to(x.dtype)) * keep_voice[:, None]
        condition = F.silu(condition)
        modulation = self.adaln(condition) if config.adaln == "shared" else condition
        table = rotary_table(size, config.head_dim, x.device)
        for block in self.blocks:
            h = block(h, modulation, mask, table)
        scale, shift = self.final_adaln(condition).chunk(2, dim=-1)
        velocity = self.out(modulate(h, shift, scale))
        return velocity.unflatten(-1, (config.patch, -1)).flatten(1, 2)[:, :frames]

    def _tokens(self, x: Tensor, size: int) -> Tensor:  # [B, N, M] → [B, K, patch * M]
        x = F.pad(x, (0, 0, 0, size * self.config.patch - x.shape[1]))
        return x.unflatten(1, (size, self.config.patch)).flatten(2)


# ---- flow matching ------------------------------------------------------------------------------------------------


class Nanospeech(nn.Module):
    """The flow-matching model: `loss` to train it, `sample` to speak."""

    def __init__(self, config: NanospeechConfig):
        super().__init__()
        self.config = config
        self.transformer = DiT(config)

    def scaled(self, mel: Tensor) -> Tensor:
        """Log-mel → the values that the network sees."""
        return (mel - self.config.mel_mean) * self.config.mel_scale

    def unscaled(self, x: Tensor) -> Tensor:
        """The inverse of `scaled`."""
        return x / self.config.mel_scale + self.config.mel_mean

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, so that wrappers which hook `forward` (DDP, FSDP) see the training pass."""
        return self.loss(*args, **kwargs)

    def loss(
        self,
        mel: Tensor,
        text: Tensor,
        lengths: Tensor,
        *,
        durations: Tensor | None = None,
        speaker: Tensor | None = None,
        drop: float = 0.1,
        time: Tensor | None = None,
        noise: Tensor | None = None,
        sway: float = 0.0,
        teacher: Nanospeech | None = None,
        guidance: float = 0.0,
    ) -> Tensor:
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
        velocity = self.transformer(
            x, time, text, lengths, durations=durations, prompt=prompt, speaker=speaker,
            keep_text=kept, keep_voice=keep_voice,
        )  # fmt: skip
        wanted = target - noise
        if guidance > 0:
            given = {"durations": durations, "prompt": prompt, "speaker": speaker}
            with torch.no_grad():
                if teacher is None:
                    null = self.transformer(x, time, text, lengths, **given, keep_text=0 * time, keep_voice=0 * time)
                    guided = wanted + guidance / (1 + guidance) * (velocity.detach() - null).float()
                else:
                    guided = teacher.guided(x, time, text, lengths, guidance, **given).float()
            wanted = torch.where(kept[:, None, None], guided, wanted)
        error = (velocity.float() - wanted).square().mean(-1)
        return (error * scored).sum() / scored.sum().clamp(min=1)

    def _hidden_span(self, lengths: Tensor, frames: int) -> Tensor:
        """A random span of 70 to 100 % of each item, True where the frames are hidden [B, N]."""
        share = 0.7 + 0.3 * torch.rand(len(lengths), device=lengths.device)
        span = (share * lengths).long()
        start = (torch.rand(len(lengths), device=lengths.device) * (lengths - span + 1)).long()
        position = torch.arange(frames, device=lengths.device)[None]
        return (position >= start[:, None]) & (position < (start + span)[:, None])

    def guided(
        self, x: Tensor, time: Tensor, text: Tensor, lengths: Tensor, cfg: float, **given: Tensor | None
    ) -> Tensor:
        """Velocity [B, N, M] with classifier-free guidance (arXiv:2207.12598) of strength w: v + w (v - v_null).

        Arguments as for `DiT.forward`; `given` are its conditions.
        """
        if cfg <= 1e-5:
            return self.transformer(x, time, text, lengths, **given)
        # both passes in one batch: the second half has everything dropped
        twice = {name: None if value is None else torch.cat((value, value)) for name, value in given.items()}
        keep = torch.arange(2 * len(x), device=x.device) < len(x)
        x, time, text, lengths = (torch.cat((value, value)) for value in (x, time, text, lengths))
        v, v_null = self.transformer(x, time, text, lengths, **twice, keep_text=keep, keep_voice=keep).chunk(2)
        return v + cfg * (v - v_null)

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
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Log-mel frames [B, max(lengths), M] from Gaussian `noise` [B, N, M].

        `text` ids [B, T] padded with -1; `lengths` [B] frames of prompt and speech together; `times` as made by
        `solvers.schedule`; `cfg` the guidance strength w in v + w (v - v_null), 0 for none. `prompt` log-mel [B, P, M]
        with `prompt_lengths` [B] is the reference; the caller cuts its frames off the result, which holds something
        else there. Items of a batch may differ in all lengths and get what they would get alone.
        Raises ValueError where a prompt is not shorter than its item.
        """
        noise = noise[:, : int(lengths.max())]  # a lone item attends without a mask, so it must not carry padding
        batch, frames, _ = noise.shape
        known = None
        if prompt is not None:
            inside = prompt_lengths
            if inside is None:
                inside = torch.full((batch,), prompt.shape[1], device=noise.device)
            if bool((inside >= lengths).any()):
                raise ValueError(
                    f"reference of {inside.tolist()} frames in speech of {lengths.tolist()}: nothing is left to say"
                )
            known = F.pad(self.scaled(prompt), (0, 0, 0, max(0, frames - prompt.shape[1])))[:, :frames]
            known = (known * length_mask(inside, frames)[..., None]).to(noise.dtype)
        given = {"durations": durations, "prompt": known, "speaker": speaker}

        def velocity(t: float, x: Tensor) -> Tensor:
            return self.guided(x, x.new_full((len(x),), t), text, lengths, cfg, **given)

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
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.dim, config.dim * 2, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, 1)
        nn.init.constant_(self.out.bias, 5.0)  # softplus(5) ≈ 5 frames, a character's usual length

    def predict(self, text: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Ids [B, T], padded with -1, and speaker vectors [B, V] → mel frames of each character [B, T], padding 0."""
        present = text >= 0
        x = self.text_encoder.embed(text + 1)
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
    ) -> Tensor:
        """Mean absolute error of log(1 + frames), over spans and over whole items alike, and over characters if known.

        `spans` [B, T] says which span each character belongs to, `frames` [B, S] how long that span is (-1: no span),
        `letters` [B, T] how long each character is.
        """
        predicted = self.predict(text, speaker)
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
    """Transformer block without conditioning."""

    def __init__(self, config: DurationConfig):
        super().__init__()
        self.attention = Attention(config.dim, config.heads, config.head_dim, config.rotary)
        self.ff = FeedForward(config.dim, config.ff_mult, config.dropout)

    def forward(self, x: Tensor, mask: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(F.layer_norm(x, x.shape[-1:], eps=1e-6), mask, table)
        return x + self.ff(F.layer_norm(x, x.shape[-1:], eps=1e-6))


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
        self.blocks = nn.ModuleList(DurationBlock(config) for _ in range(config.depth))
        self.norm_out = nn.RMSNorm(config.dim)
        self.out = nn.Linear(config.dim, 1, bias=False)

    def predict(self, mel: Tensor, text: Tensor, lengths: Tensor, known: Tensor | None = None) -> Tensor:
        """Log-mel [B, N, M], ids [B, T], frames `lengths` [B] → seconds [B]. `known` [B] hides the frames after it."""
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
        """Mean absolute error in seconds, with the frames after a random place hidden."""
        known = (torch.rand(len(lengths), device=mel.device) * lengths).long()
        seconds = lengths.float() / self.config.mel.frame_rate
        return F.l1_loss(self.predict(mel, text, lengths, known).float(), seconds)


def duration_model(config: DurationConfig) -> CharacterDurations | DurationTransformer:
    """The duration model that the config names."""
    return CharacterDurations(config) if config.kind == "characters" else DurationTransformer(config)
