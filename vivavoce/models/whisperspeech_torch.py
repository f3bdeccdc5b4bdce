"""Whisperspeech in PyTorch: text bytes → semantic tokens (T2S), semantic tokens and a voice → acoustic tokens (S2A).

The design is that of collabora/WhisperSpeech, after SPEAR-TTS (arXiv:2302.03540), whose checkpoints load here. Two
autoregressive encoder-decoders generate one position after another. S2A generates several codebooks at once, each
delayed by one more position (MusicGen, arXiv:2306.05284). Our own models have `padding="masked"`: padding is masked,
so short sentences cost less and batching does not change the result.

Shapes: B batch, T bytes or semantic codes of the input, N codes or frames of the output, Q codebooks, D width,
V speaker vector, H heads. Positions without a value hold PADDING.
Knows nothing about strings, files or sound: it gets and returns integer ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.models.transformer_torch import (
    Block,
    KeysValues,
    RotaryTable,
    initialise,
    learning_rates,
    length_mask,
    rotary_table,
    sinusoids,
)
from vivavoce.models.whisperspeech import S2AConfig, T2SConfig, TokenSamplingConfig, TransformerConfig

PADDING = -1  # id of a position without a value, in arguments and results
WINDOW = 64  # granularity in which attention covers a growing cache


def bucket(size: int) -> int:
    """Round a number of positions up to one of a few sizes, because each size needs its own compilation."""
    return max(128, 1 << (size - 1).bit_length())


class Generated(NamedTuple):
    """The output of a stage."""

    codes: Tensor  # [B, N] or [B, Q, N] without the prompt, PADDING after an item's end
    lengths: Tensor  # [B]
    ended: Tensor  # bool [B]: False if the item reached the limit


# ---- writing one position after another -----------------------------------------------------------------------------


class Draws:
    """Gumbel noise for sampling, from a generator per item, so that items do not influence each other."""

    def __init__(self, generators: Sequence[torch.Generator] | None, shape: tuple[int, int, int], device: torch.device):
        self.shape, self.device = shape, device  # [B, Q, choices]
        self.generators = list(generators) if generators is not None else [torch.Generator() for _ in range(shape[0])]
        if generators is None:
            for generator in self.generators:
                generator.manual_seed(
                    int(torch.randint(2**62, ()).item())
                )  # from torch's global generator, which a caller may seed
        if len(self.generators) != shape[0]:
            raise ValueError(f"{len(self.generators)} generators for {shape[0]} items; there must be one for each")
        self.ready: list[Tensor] = []

    def next(self) -> Tensor:
        """Return noise [B, Q, choices] for one position."""
        if not self.ready:  # drawn in advance on the generators' device, to avoid synchronising with another device
            count = 16
            items = [
                torch.empty(count, *self.shape[1:], device=g.device).exponential_(generator=g).clamp_(min=1e-20)
                for g in self.generators
            ]
            self.ready = list((-torch.stack(items, 1).log()).to(self.device))[::-1]
        return self.ready.pop()


def choose(logits: Tensor, options: TokenSamplingConfig, draws: Draws | None) -> Tensor:
    """Choose ids [B, Q] from logits [B, Q, choices]: the best, or sampled among the `top_k` best (Gumbel-max)."""
    if draws is None:
        return logits.argmax(-1)
    logits = logits / options.temperature
    if 0 < options.top_k < logits.shape[-1]:
        least = logits.topk(options.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return (logits + draws.next()).argmax(-1)


def guided(logits: Tensor, options: TokenSamplingConfig) -> Tensor:
    """Apply classifier-free guidance (arXiv:2207.12598) to logits [2B, Q, choices]: [B, Q, choices].

    The second half of the argument belongs to the same items without their input. Guidance reduces the influence of
    the previous codes, which cause most errors in generated speech (arXiv:2502.05236).
    """
    informed, blank = logits.chunk(2)
    books = options.cfg_codebooks or logits.shape[1]
    led = informed[:, :books] + options.cfg * (informed[:, :books] - blank[:, :books])
    return torch.cat((led, informed[:, books:]), dim=1)


@dataclass
class Context:
    """The encoded input, computed once for a sentence."""

    layers: list[KeysValues]  # keys and values of each layer's cross-attention
    mask: Tensor | None  # bool [B, 1, 1, T], True inside the item; None: no padding
    added: Tensor | None = None  # [B, 1, D], added to every output position

    def padded(self, size: int) -> Context:
        """Return the context padded to `size` positions, the new ones masked."""
        keys = self.layers[0][0]
        more = size - keys.shape[2]
        mask = keys.new_ones(keys.shape[0], 1, 1, keys.shape[2], dtype=torch.bool) if self.mask is None else self.mask
        layers = [(F.pad(k, (0, 0, 0, more)), F.pad(v, (0, 0, 0, more))) for k, v in self.layers]
        return Context(layers, F.pad(mask, (0, more)), self.added)


class Decoder(nn.Module):
    """Map embedded output positions and the context to hidden states."""

    def __init__(self, config: TransformerConfig, rotary: bool, key_step: float = 1.0):
        super().__init__()
        self.head_dim, self.heads = config.head_dim, config.heads
        self.rotary, self.key_step = rotary, key_step  # key_step: output positions per input position
        self.blocks = nn.ModuleList(
            Block(
                config.width, config.heads, config.ff_mult, config.attention_scale, cross=True, dropout=config.dropout
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def context(self, encoded: Tensor) -> list[KeysValues]:
        """Return keys and values of each layer's cross-attention for encoded input [B, T, D]."""
        positions = torch.arange(encoded.shape[1], device=encoded.device)
        table = self._table(positions * self.key_step)
        layers = []
        for block in self.blocks:
            assert isinstance(block, Block) and block.cross is not None
            layers.append(block.cross.keys_values(encoded, table))
        return layers

    def cache(self, batch: int, size: int, like: Tensor) -> list[KeysValues]:
        """Return an empty cache of `size` positions for every layer."""
        shape = (batch, self.heads, size, self.head_dim)
        return [(like.new_zeros(shape), like.new_zeros(shape)) for _ in self.blocks]

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        context: Context,
        cache: list[KeysValues] | None = None,
        window: int | None = None,
        looks: dict[int, list[Tensor]] | None = None,
    ) -> Tensor:
        """Return hidden states for x [B, N, D] at `positions` [N].

        Positions start at 0, unless a `window`, the filled part of the cache, is given. looks: by layer, lists to which
        the weights of its cross-attention [B, H, N, T] are appended.
        """
        table = self._table(positions)
        mask = None
        if window is not None:
            mask = torch.arange(window, device=x.device) <= positions[:, None]
        for number, block in enumerate(self.blocks):
            x = block(
                x,
                table,
                mask=mask,
                causal=window is None and x.shape[1] > 1,
                context=context.layers[number],
                context_mask=context.mask,
                cache=None if cache is None else cache[number],
                positions=positions,
                looks=None if looks is None else looks.get(number),
            )
        return self.norm(x)

    def _table(self, positions: Tensor) -> RotaryTable | None:
        return rotary_table(positions, self.head_dim) if self.rotary else None


class TokenModel(nn.Module):
    """Base of both stages: a decoder over columns of codes, and the loop that generates them."""

    decoder: Decoder
    blank: int  # of the input, the id that replaces a hidden one

    def __init__(self, config: TransformerConfig, codebooks: int, choices: int):
        super().__init__()
        self.codebooks, self.choices = codebooks, choices
        self.config: Any = config
        self._compiled: Callable[..., Tensor] | None = None

    def learning_rates(self) -> dict[str, float]:
        """Return learning rate factors of the trainable parameters, by name (muP, arXiv:2203.03466)."""
        config = self.config
        base = round(config.width / config.relative_width)
        return learning_rates(self, base, config.embedding_lr, config.projector_lr)

    def compile_step(self, mode: str | None = None) -> None:
        """Compile the pass for a generated position, with static shapes; `mode` as in torch.compile."""
        import torch._dynamo  # imported here because it is slow

        # both stages are compiled for every size that `bucket` returns, and the default limit is 8
        name = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
        setattr(torch._dynamo.config, name, max(64, getattr(torch._dynamo.config, name)))
        self._compiled = torch.compile(self.step, mode=mode, fullgraph=True, dynamic=False)

    def beside_blank(self, ids: Tensor) -> Tensor:
        """Append to input ids [B, T], padded, a copy with every id hidden: [2B, T]."""
        return torch.cat((ids, ids.masked_fill(ids != PADDING, self.blank)))

    def embed(self, codes: Tensor, positions: Tensor) -> Tensor:
        """Embed codes [B, Q, N] at `positions` [N]: [B, N, D]."""
        raise NotImplementedError

    def read_out(self, x: Tensor) -> Tensor:
        """Return logits [B, Q, N, choices], float32, of hidden states [B, N, D]."""
        raise NotImplementedError

    def step(
        self,
        codes: Tensor,
        positions: Tensor,
        context: Context,
        cache: list[KeysValues] | None = None,
        window: int | None = None,
        looks: dict[int, list[Tensor]] | None = None,
    ) -> Tensor:
        """Return the logits of the codes [B, Q, N, choices] that follow codes [B, Q, N] at `positions` [N].

        `looks` as for `Decoder.forward`.
        """
        x = self.embed(codes, positions)
        if context.added is not None:
            x = x + context.added
        return self.read_out(self.decoder(x, positions, context, cache, window, looks))

    def write(
        self,
        given: Tensor,
        context: Context,
        allowed: Tensor,
        options: TokenSamplingConfig,
        generators: Sequence[torch.Generator] | None,
        cached: bool,
        progress: Callable[[int], None] | None,
        end: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Fill the PADDING in `given` [B, Q, L], whose first column has none; other values stay unchanged.

        allowed: bool [choices], the codes that may be chosen. end: a code of the first codebook that ends an item;
        generation stops when all items have ended. For guidance, the context covers 2B items: the items, then the same
        without their input. Returns the codes and the column of each item's end [B], or L.
        """
        batch, _, size = given.shape
        device = given.device
        open_column = (given == PADDING).any(1).any(0)
        first = int(open_column.nonzero()[0]) if bool(open_column.any()) else size
        codes = given.clamp(min=0)
        ends = torch.full((batch,), size, device=device)
        if first == size:
            return codes, ends
        draws = None
        if options.temperature > 0:
            draws = Draws(generators, (batch, self.codebooks, self.choices), device)
            for _ in range(first):  # indexed by column, so an item's draws do not depend on the prompts of others
                draws.next()
        forbidden = torch.zeros(self.choices, device=device).masked_fill(~allowed, -torch.inf)
        like = context.layers[0][0]
        times = 2 if options.cfg else 1
        room = size if self._compiled is None else bucket(size)
        cache = self.decoder.cache(times * batch, room, like) if cached else None
        if self._compiled is not None:
            context = context.padded(bucket(like.shape[2]))
        everything = torch.arange(size, device=device)
        logits = self.step(codes[:, :, :first].repeat(times, 1, 1), everything[:first], context, cache)
        for column in range(first, size):
            said = guided(logits[:, :, -1], options) if options.cfg else logits[:, :, -1]
            chosen = choose(said + forbidden, options, draws)
            known = given[:, :, column]
            codes[:, :, column] = torch.where(known == PADDING, chosen, known)
            if end is not None:
                over = (known[:, 0] == PADDING) & (chosen[:, 0] == end)
                ends = torch.where(over & (ends == size), torch.full_like(ends, column), ends)
                if bool((ends < size).all()):
                    break
            if progress is not None:
                progress(column)
            if column + 1 == size:
                break
            here = slice(column, column + 1)
            last = codes[:, :, here].repeat(times, 1, 1)
            if not cached:
                logits = self.step(codes[:, :, : column + 1].repeat(times, 1, 1), everything[: column + 1], context)
            elif self._compiled is not None:
                # cloned, because a compiled step may reuse the memory of its last result
                logits = self._compiled(last, everything[here].clone(), context, cache, bucket(column + 1)).clone()
            else:
                window = min(size, (column // WINDOW + 1) * WINDOW)
                logits = self.step(last, everything[here], context, cache, window)
        return codes, ends


class CodeEmbedding(nn.Module):
    """Embed codes, and compute logits with the same table, which may be narrower than the network.

    Special codes follow the others; their vectors [S, D] belong to the caller, who may share them.
    """

    def __init__(self, codes: int, width: int, code_width: int = 0):
        super().__init__()
        narrow = bool(code_width) and code_width != width
        self.codes = codes
        self.table = nn.Embedding(codes, code_width or width)
        self.project_in = nn.Linear(code_width, width) if narrow else nn.Identity()
        self.project_out = nn.Linear(width, code_width) if narrow else nn.Identity()

    def forward(self, ids: Tensor, special: Tensor) -> Tensor:  # [B, N] → [B, N, D]
        usual = self.project_in(self.table(ids.clamp(max=self.codes - 1)))
        rare = F.embedding((ids - self.codes).clamp(min=0), special)
        return torch.where((ids >= self.codes)[..., None], rare, usual)

    def logits(self, x: Tensor, special: Tensor) -> Tensor:  # [..., D] → [..., codes + S]
        usual = F.linear(self.project_out(x), self.table.weight)
        return torch.cat((usual, F.linear(x, special)), dim=-1).float()


def shifted(values: Tensor, lengths: Tensor, size: int) -> Tensor:
    """Drop the first `lengths` [B] positions of values [B, ..., N]: [B, ..., size], with PADDING at the end."""
    index = torch.arange(size, device=values.device) + lengths[:, None]  # [B, size]
    inside = index < values.shape[-1]
    index = index.clamp(max=values.shape[-1] - 1)
    while index.ndim < values.ndim:
        index, inside = index[:, None], inside[:, None]
    taken = values.gather(-1, index.expand(*values.shape[:-1], -1))
    return torch.where(inside, taken, torch.full_like(taken, PADDING))


# ---- text to semantic tokens ----------------------------------------------------------------------------------------


class T2S(TokenModel):
    """Generate semantic codes and an end from bytes, their languages and a pace."""

    text_positions: Tensor
    code_positions: Tensor
    blank = 0  # the byte of hidden text; every text starts and ends with it

    def __init__(self, config: T2SConfig):
        super().__init__(config, codebooks=1, choices=config.codes + 1)
        self.config: T2SConfig = config
        width = config.width
        self.text_embed = nn.Embedding(256, width)
        self.language_embed = nn.Embedding(len(config.languages), width)
        self.pace_embed = nn.Embedding(config.pace_bins, width)
        self.encoder = nn.ModuleList(
            Block(width, config.heads, config.ff_mult, config.attention_scale, dropout=config.dropout)
            for _ in range(config.encoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(width)
        self.code_embed = CodeEmbedding(config.codes, width, config.code_width)
        self.special_embed = nn.Embedding(1, width)
        self.decoder = Decoder(config, rotary=False)
        self.register_buffer("text_positions", sinusoids(config.text_length, width), persistent=False)
        self.register_buffer("code_positions", sinusoids(config.code_length, width), persistent=False)
        initialise(self, config.init_std, config.embedding_std, projector_std=config.init_std)
        self.code_embed.table.weight.requires_grad_(not config.frozen_codes)

    def embed(self, codes: Tensor, positions: Tensor) -> Tensor:
        return self.code_embed(codes[:, 0], self.special_embed.weight) + self.code_positions[positions]

    def read_out(self, x: Tensor) -> Tensor:
        return self.code_embed.logits(x, self.special_embed.weight)[:, None] * self.config.logit_scale

    def wrap(self, text: Tensor, languages: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the encoder's input, bytes and languages [B, S] with a zero at either end of the text, and its mask.

        Positions outside the text have the language of its first byte. Raises ValueError for a text that is too long.
        """
        config = self.config
        batch, count = text.shape
        if count > config.max_bytes:
            raise ValueError(f"text of {count} bytes; this model reads at most {config.max_bytes} at once")
        size = config.text_length if config.padding == "fixed" else count + 2
        present = text != PADDING
        ids = text.new_zeros(batch, size)
        ids[:, 1 : count + 1] = torch.where(present, text, torch.zeros_like(text))
        spoken = languages[:, :1].expand(-1, size).clone()
        spoken[:, 1 : count + 1] = torch.where(present, languages, languages[:, :1])
        return ids, spoken, length_mask(present.sum(1) + 2, size)

    def encode(self, ids: Tensor, languages: Tensor, inside: Tensor | None) -> Tensor:
        """Encode wrapped bytes and languages [B, S] with their bool mask [B, S]: [B, S, D]."""
        x = self.text_embed(ids) + self.language_embed(languages) + self.text_positions[: ids.shape[1]]
        causal = self.config.causal_encoder  # so no byte attends to the padding after it
        mask = None if causal or inside is None else inside[:, None, None]
        for block in self.encoder:
            x = block(x, mask=mask, causal=causal)
        return self.encoder_norm(x)

    def _context(self, text: Tensor, languages: Tensor, pace: Tensor) -> tuple[Context, Tensor, Tensor, Tensor]:
        ids, spoken, inside = self.wrap(text, languages)
        seen = None if self.config.padding == "fixed" else inside
        encoded = self.encode(ids, spoken, seen)
        row = (pace.float() / self.config.pace_max * self.config.pace_bins).long()
        added = self.pace_embed(row.clamp(0, self.config.pace_bins - 1))[:, None]
        mask = None if seen is None else seen[:, None, None]
        return Context(self.decoder.context(encoded), mask, added), encoded, ids, inside

    def logits(self, text: Tensor, languages: Tensor, pace: Tensor, codes: Tensor) -> Tensor:
        """Return the logits [B, N + 1, codes + 1] of every code and the end, given the codes before it.

        text: bytes [B, T], padded. languages: rows of the embedding [B, T], padded. pace: characters per second [B].
        codes: [B, N], padded. Raises ValueError for text or codes that are too long.
        """
        context, _, _, _ = self._context(text, languages, pace)
        return self._teacher_forced(context, codes)

    @torch.inference_mode()
    def alignment(self, text: Tensor, languages: Tensor, pace: Tensor, codes: Tensor) -> Tensor:
        """Return the attention of each code to each byte [B, N, T + 2], including the zeros at both ends of the text.

        It is the mean over the heads of the alignment layer. Arguments as for `logits`. Raises ValueError if the model
        has no such layer.
        """
        layer = self.config.alignment_layer
        if layer is None:
            raise ValueError("this model has no alignment_layer")
        found: list[Tensor] = []
        context, _, _, _ = self._context(text, languages, pace)
        self._teacher_forced(context, codes, {layer: found})
        return found[0].mean(1)[:, :-1, : text.shape[1] + 2]

    def target(self, codes: Tensor) -> Tensor:
        """Return the targets of `logits` [B, N + 1] for codes [B, N], padded: the codes, the end, then PADDING."""
        lengths = (codes != PADDING).sum(1)
        places = torch.arange(codes.shape[1] + 1, device=codes.device)
        return F.pad(codes, (0, 1), value=PADDING).masked_fill(places == lengths[:, None], self.config.end_code)

    def _teacher_forced(self, context: Context, codes: Tensor, looks: dict[int, list[Tensor]] | None = None) -> Tensor:
        end = self.config.end_code
        if codes.shape[1] >= self.config.code_length:
            raise ValueError(f"{codes.shape[1]} codes; this model writes at most {self.config.code_length - 1} at once")
        before = F.pad(torch.where(codes == PADDING, torch.full_like(codes, end), codes), (1, 0), value=end)
        positions = torch.arange(before.shape[1], device=codes.device)
        return self.step(before[:, None], positions, context, looks=looks)[:, 0]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss, because wrappers such as DDP and FSDP hook `forward`."""
        return self.loss(*args, **kwargs)

    def loss(
        self,
        text: Tensor,
        languages: Tensor,
        pace: Tensor,
        codes: Tensor,
        *,
        text_weight: float = 0.1,
        decoder_input: Tensor | None = None,
        looks: dict[int, list[Tensor]] | None = None,
    ) -> Tensor:
        """Return the cross-entropy of the codes and their end, in nats per code. Arguments as for `logits`.

        text_weight: weight of the cross-entropy of the next byte, added if the encoder is causal. decoder_input: codes
        that the decoder reads, if they differ from the targets. looks: as for `Decoder.forward`.
        """
        context, encoded, ids, inside = self._context(text, languages, pace)
        logits = self._teacher_forced(context, codes if decoder_input is None else decoder_input, looks)
        loss = F.cross_entropy(logits.flatten(0, 1), self.target(codes).flatten(), ignore_index=PADDING)
        if self.config.causal_encoder and text_weight:
            following = ids[:, 1:].masked_fill(~inside[:, 1:], PADDING)
            guessed = F.linear(encoded[:, :-1], self.text_embed.weight).float() * self.config.logit_scale
            loss = loss + text_weight * F.cross_entropy(
                guessed.flatten(0, 1), following.flatten(), ignore_index=PADDING
            )
        return loss

    @torch.inference_mode()
    def generate(
        self,
        text: Tensor,
        languages: Tensor,
        pace: Tensor,
        options: TokenSamplingConfig | None = None,
        *,
        prompt: Tensor | None = None,
        limit: int | Sequence[int] | None = None,
        generators: Sequence[torch.Generator] | None = None,
        cached: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> Generated:
        """Generate semantic codes of the text, until its end or `limit` codes (one number, or one per item).

        text, languages, pace: as for `logits`. prompt: codes of the previous speech [B, P], padded; `text` then starts
        with its text. generators: one per item, for sampling. cached: False recomputes all positions at every step, for
        comparison. Items of different lengths get the same result as on their own.
        Raises ValueError for a text that is too long, or a limit that leaves no room after the prompt.
        """
        config = self.config
        options = options or TokenSamplingConfig()
        batch, device = len(text), text.device
        prompt = text.new_empty(batch, 0) if prompt is None else prompt
        before = (prompt != PADDING).sum(1)
        longest = int(before.max())
        most = config.code_length - 1 - before
        limits = most if limit is None else torch.as_tensor(limit, device=device).expand(batch)
        for known, asked, room in torch.stack((before, limits, most), 1).tolist():
            if not 1 <= asked <= room:
                raise ValueError(f"limit is {asked} codes after a prompt of {known}; it must be from 1 to {room}")
        given = torch.full((batch, 1, 1 + int((before + limits).max())), PADDING, device=device)
        given[:, 0, 0] = config.end_code
        given[:, 0, 1 : 1 + longest] = prompt[:, :longest]
        # items reach their limits at different positions; later values are not used
        after = torch.arange(given.shape[-1], device=device) > (before + limits)[:, None]
        given[:, 0].masked_fill_(after, config.end_code)

        if options.cfg:
            text, languages, pace = self.beside_blank(text), languages.repeat(2, 1), pace.repeat(2)
        context, _, _, _ = self._context(text, languages, pace)
        if context.mask is not None and bool(context.mask.all()):
            context.mask = None
        allowed = torch.arange(self.choices, device=device) < config.codes
        allowed[config.end_code] = True
        codes, ends = self.write(given, context, allowed, options, generators, cached, progress, config.end_code)
        lengths = torch.minimum(ends - 1 - before, limits)
        found = shifted(codes[:, 0], 1 + before, int(lengths.max()))
        inside = length_mask(lengths, found.shape[1])
        return Generated(found.masked_fill(~inside, PADDING), lengths, ends < given.shape[-1])


# ---- semantic to acoustic tokens ------------------------------------------------------------------------------------


class S2A(TokenModel):
    """Generate acoustic codes from semantic codes and a speaker vector, each codebook delayed by one more position."""

    def __init__(self, config: S2AConfig):
        super().__init__(config, codebooks=config.quantizers, choices=config.codes + 2)
        self.config: S2AConfig = config
        width = config.width
        self.blank = config.semantic_codes  # the id of hidden semantic codes; it is at both ends of the input
        self.nothing, self.start = config.codes, config.codes + 1  # special codes: after the end, before the start
        narrow = bool(config.semantic_width) and config.semantic_width != width
        self.semantic_embed = nn.Embedding(config.semantic_codes + 1, config.semantic_width or width)
        self.semantic_project = nn.Linear(config.semantic_width, width) if narrow else nn.Identity()
        self.speaker_embed = nn.Linear(config.speaker_dim, width)
        self.encoder = nn.ModuleList(
            Block(width, config.heads, config.ff_mult, config.attention_scale, dropout=config.dropout)
            for _ in range(config.encoder_layers)
        )
        self.encoder_norm = nn.LayerNorm(width)
        self.code_embeds = nn.ModuleList(
            CodeEmbedding(config.codes, width, config.code_width) for _ in range(config.quantizers)
        )
        self.special_embed = nn.Embedding(2, width)
        self.decoder = Decoder(config, rotary=True, key_step=config.frames_per_code)
        self.split = nn.Linear(width, width * config.quantizers)
        initialise(self, config.init_std, config.embedding_std)
        self.semantic_embed.weight.requires_grad_(not config.frozen_codes)

    def embed(self, codes: Tensor, positions: Tensor) -> Tensor:
        special = self.special_embed.weight
        parts = [embed(codes[:, q], special) for q, embed in enumerate(self.code_embeds)]
        return torch.stack(parts).sum(0)

    def read_out(self, x: Tensor) -> Tensor:
        parts = F.gelu(self.split(x)).chunk(self.codebooks, dim=-1)
        special = self.special_embed.weight
        logits = []
        for part, embed in zip(parts, self.code_embeds, strict=True):
            assert isinstance(embed, CodeEmbedding)
            logits.append(embed.logits(part, special))
        return torch.stack(logits, dim=1) * self.config.logit_scale

    def encode(self, semantic: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """Encode semantic codes [B, T], padded, and speaker vectors [B, V] of any norm: [B, S, D] and a mask [B, S].

        Raises ValueError for too many codes.
        """
        config = self.config
        batch, count = semantic.shape
        if count > config.max_codes:
            raise ValueError(f"{count} semantic codes; this model reads at most {config.max_codes} at once")
        size = config.semantic_length if config.padding == "fixed" else count + 2
        present = semantic != PADDING
        ids = semantic.new_full((batch, size), config.semantic_codes)
        ids[:, 1 : count + 1] = torch.where(present, semantic, torch.full_like(semantic, config.semantic_codes))
        inside = length_mask(present.sum(1) + 2, size)
        mask = None if config.padding == "fixed" or config.causal_encoder else inside[:, None, None]
        table = rotary_table(torch.arange(size, device=ids.device), config.head_dim)
        x = self.semantic_project(self.semantic_embed(ids))
        for block in self.encoder:
            x = block(x, table, mask=mask, causal=config.causal_encoder)
        voice = self.speaker_embed(F.normalize(speaker.to(x.dtype), dim=-1))
        return self.encoder_norm(x) + voice[:, None], inside

    def _context(self, semantic: Tensor, speaker: Tensor) -> Context:
        encoded, inside = self.encode(semantic, speaker)
        mask = None if self.config.padding == "fixed" else inside[:, None, None]
        return Context(self.decoder.context(encoded), mask)

    def delayed(self, codes: Tensor, lengths: Tensor) -> Tensor:
        """Delay codes [B, Q, N] of `lengths` [B] frames: columns [B, Q, N + Q], where codebook q starts at 1 + q.

        PADDING inside an item stays; after its end comes the code for nothing.
        """
        books, frames = codes.shape[1:]
        known = torch.where(length_mask(lengths, frames)[:, None], codes, torch.full_like(codes, self.nothing))
        rows = [
            F.pad(F.pad(known[:, q], (q + 1, 0), value=self.start), (0, books - 1 - q), value=self.nothing)
            for q in range(books)
        ]
        return torch.stack(rows, dim=1)

    def undelayed(self, columns: Tensor, frames: int) -> Tensor:
        """Turn columns [B, Q, N + Q, ...] into frames [B, Q, N, ...], without the start."""
        return torch.stack([columns[:, q, q + 1 : q + 1 + frames] for q in range(self.codebooks)], dim=1)

    def logits(self, semantic: Tensor, speaker: Tensor, codes: Tensor) -> Tensor:
        """Return the logits [B, Q, N, codes + 2] of every acoustic code, given the columns before it.

        semantic: codes [B, T], padded. speaker: vectors [B, V]. codes: acoustic codes [B, Q, N], padded.
        Raises ValueError for too many codes or frames, or another number of codebooks.
        """
        books, frames = codes.shape[1:]
        if books != self.codebooks:
            raise ValueError(f"codes of {books} codebooks; this model writes {self.codebooks}")
        if frames + books > self.config.frame_length:
            raise ValueError(f"{frames} frames; this model writes at most {self.config.frame_length - books} at once")
        columns = self.delayed(codes, (codes[:, 0] != PADDING).sum(1))[:, :, :-1]
        positions = torch.arange(columns.shape[-1], device=codes.device)
        logits = self.step(columns, positions, self._context(semantic, speaker))
        # column p predicts column p + 1, so each prediction is one position before its code
        return self.undelayed(F.pad(logits, (0, 0, 1, 0)), frames)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the loss, because wrappers such as DDP and FSDP hook `forward`."""
        return self.loss(*args, **kwargs)

    def loss(self, semantic: Tensor, speaker: Tensor, codes: Tensor, *, decoder_input: Tensor | None = None) -> Tensor:
        """Return the cross-entropy of the acoustic codes, in nats per code. Arguments as for `logits`.

        decoder_input: codes that the decoder reads, if they differ from the targets.
        """
        logits = self.logits(semantic, speaker, codes if decoder_input is None else decoder_input)
        return F.cross_entropy(logits.flatten(0, 2), codes.flatten(), ignore_index=PADDING)

    @torch.inference_mode()
    def generate(
        self,
        semantic: Tensor,
        speaker: Tensor,
        options: TokenSamplingConfig | None = None,
        *,
        prompt: Tensor | None = None,
        generators: Sequence[torch.Generator] | None = None,
        cached: bool = True,
        progress: Callable[[int], None] | None = None,
    ) -> Generated:
        """Generate acoustic codes for semantic codes [B, T], padded, in the voice of `speaker` [B, V].

        prompt: acoustic codes of the previous speech [B, Q, P], padded; `semantic` then starts with its codes.
        generators, cached: as for `T2S.generate`. Items of different lengths get the same result as on their own.
        Raises ValueError for too many codes, or a prompt that is not shorter than the speech.
        """
        config = self.config
        options = options or TokenSamplingConfig()
        batch, device = len(semantic), semantic.device
        prompt = semantic.new_empty(batch, self.codebooks, 0) if prompt is None else prompt
        if prompt.shape[1] != self.codebooks:
            raise ValueError(f"a prompt of {prompt.shape[1]} codebooks; this model writes {self.codebooks}")
        before = (prompt[:, 0] != PADDING).sum(1)
        counts = (semantic != PADDING).sum(1).tolist()
        total = torch.tensor([config.frames(n) for n in counts], device=device)
        if bool((before >= total).any()):
            raise ValueError(f"prompt of {before.tolist()} frames in speech of {total.tolist()}; it must be shorter")
        if options.cfg:
            semantic, speaker = self.beside_blank(semantic), speaker.repeat(2, 1)
        context = self._context(semantic, speaker)
        if context.mask is not None and bool(context.mask.all()):
            context.mask = None
        frames = int(total.max())
        given = torch.full((batch, self.codebooks, frames), PADDING, device=device)
        known = int(before.max())
        given[:, :, :known] = prompt[:, :, :known]
        given = self.delayed(given, total)
        allowed = torch.arange(self.choices, device=device) < config.codes
        columns, _ = self.write(given, context, allowed, options, generators, cached, progress)
        lengths = total - before
        found = shifted(self.undelayed(columns, frames), before, int(lengths.max()))
        inside = length_mask(lengths, found.shape[-1])[:, None]
        return Generated(found.masked_fill(~inside, PADDING), lengths, torch.ones_like(before, dtype=torch.bool))
