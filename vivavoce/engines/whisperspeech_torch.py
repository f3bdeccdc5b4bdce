"""Whisperspeech in PyTorch: text bytes → semantic tokens (T2S), semantic tokens and a voice → acoustic tokens (S2A).

The design is that of collabora/WhisperSpeech, after SPEAR-TTS (arXiv:2302.03540), and its checkpoints load here. Two
encoder-decoders write one position after another; S2A writes several codebooks at once, each a position later than the
one before (MusicGen's delay, arXiv:2306.05284). What our own models do differently, by `padding="masked"`: padding is
hidden from the network, so short sentences are cheap and batches change nothing.

Shapes: B batch, T bytes or semantic codes of the input, N codes or frames of the output, Q codebooks, D width,
V speaker vector, H heads. Positions without a value hold PADDING.
Knows nothing about strings, files or sound: it gets and gives integer ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.config_whisperspeech import S2AConfig, T2SConfig, TokenSamplingConfig, TransformerConfig
from vivavoce.transformer_torch import (
    Block,
    KeysValues,
    RotaryTable,
    initialise,
    learning_rates,
    length_mask,
    rotary_table,
    sinusoids,
)

PADDING = -1  # id of a position without a value, in what callers give and get
WINDOW = 64  # a growing cache is looked at in steps of so many positions


def bucket(size: int) -> int:
    """The shape that a compiled step has for so many positions: few different ones, for each is compiled anew."""
    return max(128, 1 << (size - 1).bit_length())


class Generated(NamedTuple):
    """What a stage has written."""

    codes: Tensor  # [B, N] or [B, Q, N], PADDING after an item's end; the prompt is not in it
    lengths: Tensor  # [B]
    ended: Tensor  # bool [B]: False where the item was cut off at the limit


# ---- writing one position after another -----------------------------------------------------------------------------


class Draws:
    """Gumbel noise for the sampling, from a generator for each item, so that an item's draws know no neighbours."""

    def __init__(self, generators: Sequence[torch.Generator] | None, shape: tuple[int, int, int], device: torch.device):
        self.shape, self.device = shape, device  # [B, Q, choices]
        self.generators = list(generators) if generators is not None else [torch.Generator() for _ in range(shape[0])]
        if generators is None:
            for generator in self.generators:
                generator.manual_seed(int(torch.randint(2**62, ()).item()))  # from torch's own, which a caller may seed
        if len(self.generators) != shape[0]:
            raise ValueError(f"{len(self.generators)} generators for {shape[0]} items; there must be one for each")
        self.ready: list[Tensor] = []

    def next(self) -> Tensor:
        """Noise [B, Q, choices] for one position."""
        if not self.ready:  # drawn ahead on the generators' own device, so that another device is not waited for
            count = 16
            items = [
                torch.empty(count, *self.shape[1:], device=g.device).exponential_(generator=g).clamp_(min=1e-20)
                for g in self.generators
            ]
            self.ready = list((-torch.stack(items, 1).log()).to(self.device))[::-1]
        return self.ready.pop()


def choose(logits: Tensor, options: TokenSamplingConfig, draws: Draws | None) -> Tensor:
    """Logits [B, Q, choices] → ids [B, Q]: the likeliest, or drawn among the `top_k` likeliest (Gumbel-max)."""
    if draws is None:
        return logits.argmax(-1)
    logits = logits / options.temperature
    if 0 < options.top_k < logits.shape[-1]:
        least = logits.topk(options.top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return (logits + draws.next()).argmax(-1)


def guided(logits: Tensor, options: TokenSamplingConfig) -> Tensor:
    """Logits of the items and then of the same without their input [2B, Q, choices] → led away from these [B, Q, …].

    Classifier-free guidance (arXiv:2207.12598) of logits. What a model would write anyway, from its own codes before,
    counts less then; in speech that is what its slips come of (arXiv:2502.05236).
    """
    informed, blank = logits.chunk(2)
    books = options.cfg_codebooks or logits.shape[1]
    led = informed[:, :books] + options.cfg * (informed[:, :books] - blank[:, :books])
    return torch.cat((led, informed[:, books:]), dim=1)


@dataclass
class Context:
    """What the decoder knows of its input, made once for a sentence."""

    layers: list[KeysValues]  # of each layer's cross-attention
    mask: Tensor | None  # bool [B, 1, 1, T], True inside; None: all of it
    added: Tensor | None = None  # [B, 1, D], added to every position of the output

    def padded(self, size: int) -> Context:
        """The same with `size` positions, of which those that are new are hidden."""
        keys = self.layers[0][0]
        more = size - keys.shape[2]
        mask = keys.new_ones(keys.shape[0], 1, 1, keys.shape[2], dtype=torch.bool) if self.mask is None else self.mask
        layers = [(F.pad(k, (0, 0, 0, more)), F.pad(v, (0, 0, 0, more))) for k, v in self.layers]
        return Context(layers, F.pad(mask, (0, more)), self.added)


class Decoder(nn.Module):
    """Embedded positions of the output and the context → hidden positions."""

    def __init__(self, config: TransformerConfig, rotary: bool, key_step: float = 1.0):
        super().__init__()
        self.head_dim, self.heads = config.head_dim, config.heads
        self.rotary, self.key_step = rotary, key_step  # key_step: output positions in the time of one input position
        self.blocks = nn.ModuleList(
            Block(
                config.width, config.heads, config.ff_mult, config.attention_scale, cross=True, dropout=config.dropout
            )
            for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def context(self, encoded: Tensor) -> list[KeysValues]:
        """Encoded input [B, T, D] → keys and values of each layer's cross-attention."""
        positions = torch.arange(encoded.shape[1], device=encoded.device)
        table = self._table(positions * self.key_step)
        layers = []
        for block in self.blocks:
            assert isinstance(block, Block) and block.cross is not None
            layers.append(block.cross.keys_values(encoded, table))
        return layers

    def cache(self, batch: int, size: int, like: Tensor) -> list[KeysValues]:
        """Room for `size` positions of every layer."""
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
        """x [B, N, D] at `positions` [N], which start at 0 unless a `window`, the cache's filled part, is given.

        `looks` are lists, by the number of a layer, that are given its cross-attention's weights [B, H, N, T].
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
    """What both stages share: a decoder over columns of codes, and the loop that writes them."""

    decoder: Decoder
    blank: int  # of the input, what stands for an id that is hidden

    def __init__(self, config: TransformerConfig, codebooks: int, choices: int):
        super().__init__()
        self.codebooks, self.choices = codebooks, choices
        self.config: Any = config
        self._compiled: Callable[..., Tensor] | None = None

    def learning_rates(self) -> dict[str, float]:
        """Factor on the learning rate of each trainable parameter, by name (muP, arXiv:2203.03466)."""
        config = self.config
        base = round(config.width / config.relative_width)
        return learning_rates(self, base, config.embedding_lr, config.projector_lr)

    def compile_step(self, mode: str | None = None) -> None:
        """From here on every generated position is one compiled pass of static shapes; `mode` as in torch.compile."""
        import torch._dynamo  # here, for it takes a moment

        # both stages are compiled for each length of text and speech that `bucket` tells apart; 8 is the usual limit
        name = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
        setattr(torch._dynamo.config, name, max(64, getattr(torch._dynamo.config, name)))
        self._compiled = torch.compile(self.step, mode=mode, fullgraph=True, dynamic=False)

    def beside_blank(self, ids: Tensor) -> Tensor:
        """Input ids [B, T], padded → those, and the same with every id hidden [2B, T]."""
        return torch.cat((ids, ids.masked_fill(ids != PADDING, self.blank)))

    def embed(self, codes: Tensor, positions: Tensor) -> Tensor:
        """Codes [B, Q, N] at `positions` [N] → [B, N, D]."""
        raise NotImplementedError

    def read_out(self, x: Tensor) -> Tensor:
        """Hidden positions [B, N, D] → logits [B, Q, N, choices], float32."""
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
        """Codes [B, Q, N] at `positions` [N] → logits of what follows each [B, Q, N, choices].

        `looks` as the decoder's.
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
        """Fill `given` [B, Q, L] where it is PADDING; its first column is not. The other values stay as they are.

        `allowed` bool [choices] says what may be chosen. With an `end`, an item is over when the first codebook shows
        it, and everything when all items are. For guidance the context is of 2B: the items, and the same without their
        input. Returns the codes and the column of each item's end [B], L for none.
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
            for _ in range(first):  # by its column a draw is the same, however long a neighbour's prompt is
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
                # cloned, for a compiled step may reuse the memory of its last result
                logits = self._compiled(last, everything[here].clone(), context, cache, bucket(column + 1)).clone()
            else:
                window = min(size, (column // WINDOW + 1) * WINDOW)
                logits = self.step(last, everything[here], context, cache, window)
        return codes, ends


class CodeEmbedding(nn.Module):
    """Codes → vectors, and vectors → logits by the same table, which may be narrower than the network.

    A few special codes come after the others; their vectors [S, D] belong to the caller, who may share them.
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
    """Drop the first `lengths` [B] positions of each item: values [B, ..., N] → [B, ..., size], PADDING behind."""
    index = torch.arange(size, device=values.device) + lengths[:, None]  # [B, size]
    inside = index < values.shape[-1]
    index = index.clamp(max=values.shape[-1] - 1)
    while index.ndim < values.ndim:
        index, inside = index[:, None], inside[:, None]
    taken = values.gather(-1, index.expand(*values.shape[:-1], -1))
    return torch.where(inside, taken, torch.full_like(taken, PADDING))


# ---- text to semantic tokens ----------------------------------------------------------------------------------------


class T2S(TokenModel):
    """Bytes, each in its language, at a pace → semantic codes, and an end."""

    text_positions: Tensor
    code_positions: Tensor
    blank = 0  # the byte of a text that is hidden; it stands before and after every text

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
        """Bytes and languages [B, T] → the encoder's input with a zero before and after it, and where it is, [B, S].

        What stands outside the text has the language of its first byte.
        Raises ValueError for a text that is longer than the model's.
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
        """Wrapped bytes and languages [B, S], bool [B, S] True where they count → [B, S, D]."""
        x = self.text_embed(ids) + self.language_embed(languages) + self.text_positions[: ids.shape[1]]
        causal = self.config.causal_encoder  # then no byte sees the padding behind it
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
        """Logits [B, N + 1, codes + 1] of every code and of the end, each given those before it.

        `text` bytes [B, T] and `languages` rows [B, T], padded; `pace` characters a second [B]; `codes` [B, N], padded.
        Raises ValueError for a text or codes that are longer than the model's.
        """
        context, _, _, _ = self._context(text, languages, pace)
        return self._teach(context, codes)

    @torch.inference_mode()
    def alignment(self, text: Tensor, languages: Tensor, pace: Tensor, codes: Tensor) -> Tensor:
        """How much each code has to do with each byte [B, N, T + 2], the zeros before and after the text included.

        What the alignment layer's heads look at, on average, when the code is written. Arguments as for `logits`.
        Raises ValueError where no layer was taught that.
        """
        layer = self.config.alignment_layer
        if layer is None:
            raise ValueError("this model has no alignment_layer")
        found: list[Tensor] = []
        context, _, _, _ = self._context(text, languages, pace)
        self._teach(context, codes, {layer: found})
        return found[0].mean(1)[:, :-1, : text.shape[1] + 2]

    def target(self, codes: Tensor) -> Tensor:
        """Codes [B, N], padded → what `logits` are to say [B, N + 1]: each code, then the end, then PADDING."""
        lengths = (codes != PADDING).sum(1)
        places = torch.arange(codes.shape[1] + 1, device=codes.device)
        return F.pad(codes, (0, 1), value=PADDING).masked_fill(places == lengths[:, None], self.config.end_code)

    def _teach(self, context: Context, codes: Tensor, looks: dict[int, list[Tensor]] | None = None) -> Tensor:
        end = self.config.end_code
        if codes.shape[1] >= self.config.code_length:
            raise ValueError(f"{codes.shape[1]} codes; this model writes at most {self.config.code_length - 1} at once")
        before = F.pad(torch.where(codes == PADDING, torch.full_like(codes, end), codes), (1, 0), value=end)
        positions = torch.arange(before.shape[1], device=codes.device)
        return self.step(before[:, None], positions, context, looks=looks)[:, 0]

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, so that wrappers which hook `forward` (DDP, FSDP) see the training pass."""
        return self.loss(*args, **kwargs)

    def loss(
        self,
        text: Tensor,
        languages: Tensor,
        pace: Tensor,
        codes: Tensor,
        *,
        text_weight: float = 0.1,
        told: Tensor | None = None,
        looks: dict[int, list[Tensor]] | None = None,
    ) -> Tensor:
        """Cross-entropy of the codes and their end, a scalar, in nats a code. Arguments as for `logits`.

        Where the encoder is causal, `text_weight` times its cross-entropy of the next byte is added.
        `told` are codes that the decoder is told to have written, where they are not those that it should have.
        `looks` as the decoder's.
        """
        context, encoded, ids, inside = self._context(text, languages, pace)
        logits = self._teach(context, codes if told is None else told, looks)
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
        """Semantic codes of the text, until their end or `limit` codes, one number or one for each item.

        Text, languages and pace as for `logits`.

        `prompt` [B, P], padded, are the codes of what was said before; the text then starts with the text of it.
        `generators` give each item its own draws; `cached=False` computes all positions anew for each, to compare.
        Items of a batch may differ in all lengths and get what they would get alone.
        Raises ValueError for a text that is too long, or a limit that leaves no room beside the prompt.
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
        # one item has its limit sooner than another; what stands behind is never used
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
    """Semantic codes and a speaker vector → acoustic codes of all codebooks, each a position later than the last."""

    def __init__(self, config: S2AConfig):
        super().__init__(config, codebooks=config.quantizers, choices=config.codes + 2)
        self.config: S2AConfig = config
        width = config.width
        self.blank = config.semantic_codes  # of semantic codes that are hidden; it stands before and after all others
        self.nothing, self.start = config.codes, config.codes + 1  # special codes: behind the end, before the start
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
        """Semantic codes [B, T], padded, and speaker vectors [B, V] of any length → [B, S, D], bool [B, S].

        Raises ValueError for more codes than the model's.
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
        """Codes [B, Q, N] of frames `lengths` [B] → columns [B, Q, N + Q]: a start, then codebook q from column 1 + q.

        PADDING inside an item stays; behind it comes the code for nothing.
        """
        books, frames = codes.shape[1:]
        known = torch.where(length_mask(lengths, frames)[:, None], codes, torch.full_like(codes, self.nothing))
        rows = [
            F.pad(F.pad(known[:, q], (q + 1, 0), value=self.start), (0, books - 1 - q), value=self.nothing)
            for q in range(books)
        ]
        return torch.stack(rows, dim=1)

    def undelayed(self, columns: Tensor, frames: int) -> Tensor:
        """Columns [B, Q, N + Q, ...] → frames [B, Q, N, ...], the start left out."""
        return torch.stack([columns[:, q, q + 1 : q + 1 + frames] for q in range(self.codebooks)], dim=1)

    def logits(self, semantic: Tensor, speaker: Tensor, codes: Tensor) -> Tensor:
        """Logits [B, Q, N, codes + 2] of every acoustic code given those in the columns before it.

        `semantic` [B, T], padded; `speaker` vectors [B, V]; `codes` [B, Q, N], padded.
        Raises ValueError for more codes or frames than the model's, or another number of codebooks.
        """
        books, frames = codes.shape[1:]
        if books != self.codebooks:
            raise ValueError(f"codes of {books} codebooks; this model writes {self.codebooks}")
        if frames + books > self.config.frame_length:
            raise ValueError(f"{frames} frames; this model writes at most {self.config.frame_length - books} at once")
        columns = self.delayed(codes, (codes[:, 0] != PADDING).sum(1))[:, :, :-1]
        positions = torch.arange(columns.shape[-1], device=codes.device)
        logits = self.step(columns, positions, self._context(semantic, speaker))
        # column p tells of column p + 1, so everything stands one earlier than its code
        return self.undelayed(F.pad(logits, (0, 0, 1, 0)), frames)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss, so that wrappers which hook `forward` (DDP, FSDP) see the training pass."""
        return self.loss(*args, **kwargs)

    def loss(self, semantic: Tensor, speaker: Tensor, codes: Tensor, *, told: Tensor | None = None) -> Tensor:
        """Cross-entropy of the acoustic codes, a scalar, in nats a code. Arguments as for `logits`.

        `told` are codes that the decoder is told to have written, where they are not those that it should have.
        """
        logits = self.logits(semantic, speaker, codes if told is None else told)
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
        """Acoustic codes of the semantic codes [B, T], padded, in the voice of `speaker` [B, V].

        `prompt` [B, Q, P], padded, are the acoustic codes of what was said before; the semantic codes then start with
        the codes of it. `generators` and `cached` as in `T2S.generate`.
        Items of a batch may differ in all lengths and get what they would get alone.
        Raises ValueError for too many codes, or a prompt that leaves nothing to write.
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
            raise ValueError(
                f"prompt of {before.tolist()} frames in speech of {total.tolist()}: nothing is left to write"
            )
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
