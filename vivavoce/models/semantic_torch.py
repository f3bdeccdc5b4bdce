"""Semantic tokens in PyTorch: the output of Whisper's encoder, 25 times per second, as one of a few hundred codes.

Whisper (arXiv:2212.04356) is frozen. A bottleneck between its encoder and its decoder is trained, as in
collabora/WhisperSpeech, whose checkpoints load here: neighbouring frames are averaged, the nearest vector of a codebook
by cosine similarity replaces them, and a transformer block restores frames that the decoder can read.

Shapes: B batch, N encoder frames (50 per second), T codes, D Whisper's width, M mel bins, K text tokens, V vocabulary.
Knows nothing about strings or files: it gets 16 kHz samples and returns integer ids, of text as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivavoce.audio.mel import mel_filterbank
from vivavoce.models.semantic import SemanticConfig, WhisperConfig
from vivavoce.models.transformer_torch import (
    Block,
    KeysValues,
    initialise,
    learning_rates,
    length_mask,
    rotary_table,
    sinusoids,
)

PADDING = -1  # id of a position without a value, in arguments
SAMPLE_RATE = 16_000  # Hz, of Whisper's input
HOP = 160  # samples between its mel frames; two of them make an encoder frame
SILENCE = -1.5  # value of its log-mel frames in digital silence
PAUSE = SAMPLE_RATE // 5  # samples of silence between waves that share a window
FORGOTTEN = 0.01  # a code with a lower usage, by moving average, is reassigned


# ---- Whisper --------------------------------------------------------------------------------------------------------


class WhisperMel(nn.Module):
    """Compute Whisper's log-mel frames [S // 160, M] from samples [S] at 16 kHz."""

    window: Tensor
    filterbank: Tensor

    def __init__(self, n_mels: int, n_fft: int = 400):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        bank = torch.from_numpy(mel_filterbank(SAMPLE_RATE, n_fft, n_mels, scale="slaney", norm="slaney"))
        self.register_buffer("filterbank", bank, persistent=False)  # [n_fft // 2 + 1, M]

    def forward(self, wave: Tensor) -> Tensor:
        """Return log-mels of `wave`, -1 to 1. Raises ValueError for less than half a window of samples."""
        if wave.ndim != 1 or len(wave) <= self.n_fft // 2:
            raise ValueError(
                f"waveform of shape {tuple(wave.shape)}; it must be [samples] with more than {self.n_fft // 2} samples"
            )
        padded = F.pad(wave[None, None].float(), (self.n_fft // 2,) * 2, mode="reflect")[0, 0]
        frames = padded.unfold(0, self.n_fft, HOP)[:-1] * self.window
        mel = (torch.fft.rfft(frames).abs().square() @ self.filterbank).clamp(min=1e-10).log10()
        return (torch.maximum(mel, mel.max() - 8) + 4) / 4  # limit the range to 80 dB


class WhisperEncoder(nn.Module):
    """Encode log-mel frames [B, 2 N, M] of at most a 30 s window as [B, N, D]."""

    positions: Tensor

    def __init__(self, config: WhisperConfig):
        super().__init__()
        width, heads = config.n_audio_state, config.n_audio_head
        self.conv1 = nn.Conv1d(config.n_mels, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.register_buffer("positions", sinusoids(config.n_audio_ctx, width), persistent=False)
        self.blocks = nn.ModuleList(
            Block(width, heads, 4, (width // heads) ** -0.5) for _ in range(config.n_audio_layer)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel.transpose(1, 2))))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class WhisperDecoder(nn.Module):
    """Predict the logits of the next token from text tokens and encoder frames."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        width, self.heads = config.n_text_state, config.n_text_head
        self.token_embed = nn.Embedding(config.n_vocab, width)
        self.positions = nn.Parameter(torch.zeros(config.n_text_ctx, width))
        self.blocks = nn.ModuleList(
            Block(width, self.heads, 4, (width // self.heads) ** -0.5, cross=True) for _ in range(config.n_text_layer)
        )
        self.norm = nn.LayerNorm(width)

    def context(self, frames: Tensor) -> list[KeysValues]:
        """Return keys and values of each layer's cross-attention for frames [B, N, D]."""
        layers = []
        for block in self.blocks:
            assert isinstance(block, Block) and block.cross is not None
            layers.append(block.cross.keys_values(frames))
        return layers

    def forward(
        self,
        tokens: Tensor,
        context: list[KeysValues],
        cache: list[KeysValues] | None = None,
        start: int = 0,
    ) -> Tensor:
        """Return logits [B, K, V], float32, for tokens [B, K]; with a `cache`, their positions begin at `start`."""
        return self.logits(self.states(tokens, context, cache, start))

    def logits(self, states: Tensor) -> Tensor:
        """Return logits [..., V], float32, of states [..., D]."""
        return F.linear(states, self.token_embed.weight).float()

    def states(
        self, tokens: Tensor, context: list[KeysValues], cache: list[KeysValues] | None = None, start: int = 0
    ) -> Tensor:
        """Return the states [B, K, D] from which `forward` computes the logits."""
        count = tokens.shape[1]
        positions = torch.arange(start, start + count, device=tokens.device)
        mask = None
        if start:
            mask = torch.arange(start + count, device=tokens.device) <= positions[:, None]
        x = self.token_embed(tokens) + self.positions[start : start + count]
        for number, block in enumerate(self.blocks):
            x = block(
                x,
                mask=mask,
                causal=mask is None and count > 1,
                context=context[number],
                cache=None if cache is None else cache[number],
                positions=positions,
            )
        return self.norm(x)


class Whisper(nn.Module):
    """OpenAI's speech recogniser, frozen; its encoder and decoder are used separately."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.config = config
        self.mel = WhisperMel(config.n_mels)
        self.encoder = WhisperEncoder(config)
        self.decoder = WhisperDecoder(config)

    @property
    def window(self) -> int:
        """Samples in its window of 30 s."""
        return self.config.n_audio_ctx * 2 * HOP

    def frames(self, waves: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encode waves [S] of at most 30 s: frames [B, N, D] of the whole window, and how many are sound [B]."""
        size = self.config.n_audio_ctx * 2
        for wave in waves:
            if len(wave) > self.window:
                raise ValueError(f"{len(wave)} samples; Whisper's window holds at most {self.window}")
        mels = [self.mel(wave) for wave in waves]
        padded = torch.stack([F.pad(mel, (0, 0, 0, size - len(mel)), value=SILENCE) for mel in mels])
        sounds = torch.tensor([len(mel) // 2 for mel in mels], device=padded.device)
        return self.encoder(padded.to(self.encoder.conv1.weight.dtype)), sounds

    @torch.inference_mode()
    def transcribe(self, frames: Tensor, language: str = "en", limit: int = 200) -> list[list[int]]:
        """Return the text token ids of frames [B, N, D], the encoder's or restored ones, by greedy decoding."""
        config = self.config
        batch = len(frames)
        begin = config.start_tokens(language)
        limit = min(limit, config.n_text_ctx - len(begin))
        context = self.decoder.context(frames)
        shape = (batch, config.n_text_head, len(begin) + limit, config.n_text_state // config.n_text_head)
        cache = [(frames.new_zeros(shape), frames.new_zeros(shape)) for _ in context]
        given = torch.tensor([begin] * batch, device=frames.device)
        tokens = given
        for _ in range(limit):
            logits = self.decoder(given, context, cache, start=tokens.shape[1] - given.shape[1])
            given = logits[:, -1, : config.end_token + 1].argmax(-1)[:, None]  # special tokens are not text
            tokens = torch.cat((tokens, given), dim=1)
            if bool((tokens == config.end_token).any(1).all()):
                break
        texts = [row[len(begin) :] for row in tokens.tolist()]
        return [row[: row.index(config.end_token)] if config.end_token in row else row for row in texts]


# ---- windows --------------------------------------------------------------------------------------------------------


def pack(
    lengths: Sequence[int], room: int, grid: int, pause: int, weights: Sequence[int] = (), most: int = 0
) -> list[list[tuple[int, int]]]:
    """Pack waves into windows of `room` samples, each into the first window with enough space.

    Returns for each window the indices of its waves and their start samples, which are multiples of `grid` and at
    least `pause` samples after the previous wave. With `weights`, their sum in a window is at most `most`. Waves that
    do not fit into an empty window are omitted.
    """
    windows: list[list[tuple[int, int]]] = []
    ends: list[int] = []  # earliest start of the next wave in each window
    loads: list[int] = []
    for index, length in enumerate(lengths):
        weight = weights[index] if weights else 0
        if length > room or weight > most:
            continue
        fitting = (n for n, end in enumerate(ends) if end + length <= room and loads[n] + weight <= most)
        chosen = next(fitting, len(windows))
        if chosen == len(windows):
            windows.append([])
            ends.append(0)
            loads.append(0)
        windows[chosen].append((index, ends[chosen]))
        ends[chosen] = -(-(ends[chosen] + length + pause) // grid) * grid
        loads[chosen] += weight
    return windows


def joined(waves: Sequence[Tensor], starts: Sequence[int]) -> Tensor:
    """Join waves [S] at their start samples, with silence between them: [S]."""
    wave = waves[0].new_zeros(starts[-1] + len(waves[-1]))
    for part, start in zip(waves, starts, strict=True):
        wave[start : start + len(part)] = part
    return wave


# ---- bottleneck -----------------------------------------------------------------------------------------------------


class Codebook(nn.Module):
    """Unit vectors [C, W]. The code of a vector is the nearest one by cosine similarity.

    They are updated by moving averages, as in VQ-VAE (arXiv:1711.00937, appendix A), on the unit sphere.
    """

    vectors: Tensor
    average: Tensor

    def __init__(self, rows: int, width: int, choices: int, decay: float):
        super().__init__()
        self.choices, self.decay = choices, decay
        vectors = F.normalize(torch.randn(rows, width), dim=-1)
        self.register_buffer("vectors", vectors)
        self.register_buffer("average", vectors.clone())

    def nearest(self, x: Tensor) -> Tensor:
        """Return the codes [...] of vectors [..., W]."""
        return (F.normalize(x.float(), dim=-1) @ self.vectors[: self.choices].T).argmax(-1)

    @torch.no_grad()
    def follow(self, x: Tensor, codes: Tensor) -> None:
        """Move the codebook towards the means of the unit vectors x [P, W] with these codes [P]."""
        total = torch.zeros_like(self.average).index_add_(0, codes, x.float())
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
        self.average.lerp_(total, 1 - self.decay)
        self.vectors.copy_(F.normalize(self.average, dim=-1))

    @torch.no_grad()
    def revive(self, x: Tensor) -> None:
        """Replace codebook vectors that have long been unused by some of the vectors x [P, W]."""
        dead = (self.average[: self.choices].norm(dim=-1) < FORGOTTEN).nonzero()[:, 0]
        chosen = x.float()[torch.randint(len(x), (len(dead),), device=x.device)]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.broadcast(chosen, 0)
        self.vectors[dead] = self.average[dead] = chosen

    @torch.no_grad()
    def fit(self, x: Tensor, rounds: int = 20) -> None:
        """Initialise with k-means on vectors x [P, W]; P is at least the number of codes."""
        if len(x) < self.choices:
            raise ValueError(f"{len(x)} vectors for {self.choices} codes; there must be at least as many")
        x = F.normalize(x.float(), dim=-1)
        centres = x[torch.randperm(len(x), device=x.device)[: self.choices]]
        for _ in range(rounds):
            codes = (x @ centres.T).argmax(-1)
            moved = F.normalize(torch.zeros_like(centres).index_add_(0, codes, x), dim=-1)
            used = torch.bincount(codes, minlength=self.choices) > 0
            spare = x[torch.randint(len(x), (self.choices,), device=x.device)]
            centres = torch.where(used[:, None], moved, spare)  # an empty cluster restarts elsewhere
        self.vectors[: self.choices] = centres
        self.average.copy_(self.vectors)


class Semantic(nn.Module):
    """The bottleneck. Its methods take Whisper as an argument, because it is neither trained nor saved with it."""

    AFTER_CODES = (
        "project_out.",
        "positions.",
        "blocks.",
        "norm.",
    )  # prefixes of weights that are only needed to decode codes

    def __init__(self, config: SemanticConfig):
        super().__init__()
        self.config = config
        width = config.whisper.n_audio_state
        self.ff_norm = nn.LayerNorm(width)
        self.ff = nn.Sequential(
            nn.Linear(width, width * config.ff_mult), nn.GELU(), nn.Linear(width * config.ff_mult, width)
        )
        self.project_in = nn.Linear(width, config.code_width)
        self.project_out = nn.Linear(config.code_width, width)
        rows = config.codes + (config.padding_code != "none")
        choices = config.codes + (config.padding_code == "among")
        self.codebook = Codebook(rows, config.code_width, choices, config.decay)
        self.padding_row = config.codes if config.padding_code != "none" else 0
        self.positions = nn.Embedding(config.whisper.n_audio_ctx, width)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.ff_mult, config.attention_scale) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        initialise(self, config.init_std, config.embedding_std)

    def learning_rates(self) -> dict[str, float]:
        """Return learning rate factors of the trainable parameters, by name (muP, arXiv:2203.03466)."""
        base = round(self.config.whisper.n_audio_state / self.config.relative_width)
        return learning_rates(self, base, 1.0, projector_lr=base / self.config.whisper.n_audio_state)

    def before_codes(self, frames: Tensor) -> Tensor:
        """Return the unit vectors [B, T, W] to be quantised for Whisper's frames [B, N, D]."""
        x = frames.unflatten(1, (-1, self.config.downsample)).mean(2)
        x = x + self.ff(self.ff_norm(x))
        return F.normalize(self.project_in(x), dim=-1)

    def codes(self, frames: Tensor, sounds: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [B, T], and a mask of sound [B, T], for frames [B, N, D] whose first `sounds` [B] are sound."""
        inside = self._inside(sounds)
        return self.codebook.nearest(self.before_codes(frames)), inside

    @torch.no_grad()
    def fit(self, frames: Tensor, sounds: Tensor) -> None:
        """Initialise from frames [B, N, D], of which the first `sounds` [B] are sound, with linear algebra alone.

        Codes are clusters of the frames' principal components; the output for a code is the best linear prediction of
        its frames. Feed-forward and attention layers add nothing yet.
        """
        within = length_mask(sounds, self.config.whisper.n_audio_ctx)
        pooled = frames.unflatten(1, (-1, self.config.downsample)).mean(2)[self._inside(sounds)].float()
        mean, std = frames[within].float().mean(0), frames[within].float().std(0).clamp(min=1e-4)
        scaled = (pooled - mean) / std
        _, directions = torch.linalg.eigh(scaled.T @ scaled)  # in ascending order of variance
        self.project_in.weight.copy_(directions.T.flip(0)[: self.config.code_width] / std)
        self.project_in.bias.copy_(-self.project_in.weight @ mean)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and name.endswith(("ff.2", "attention.out")):
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)
        vectors = self.before_codes(frames)[self._inside(sounds)]
        self.codebook.fit(vectors)
        chosen = self.codebook.vectors[self.codebook.nearest(vectors)]
        known = F.pad(chosen, (0, 1), value=1.0)
        solution = torch.linalg.lstsq(known, scaled).solution
        self.project_out.weight.copy_(solution[:-1].T)
        self.project_out.bias.copy_(solution[-1])
        explained = 1 - (known @ solution - scaled).square().mean()
        self.norm.weight.copy_(std * explained.clamp(min=0).sqrt())  # unknown directions are predicted as their mean
        self.norm.bias.copy_(mean)

    def _inside(self, sounds: Tensor) -> Tensor:
        return length_mask(sounds // self.config.downsample, self.config.length)

    def after_codes(self, vectors: Tensor) -> Tensor:
        """Return frames [B, N, D] for Whisper's decoder, from vectors [B, N, W] at the frame rate."""
        places = torch.arange(vectors.shape[1], device=vectors.device)
        x = self.project_out(vectors) + self.positions(places)
        table = rotary_table(places, self.config.head_dim)
        for block in self.blocks:
            x = block(x, table)
        return self.norm(x)

    def dequantise(self, codes: Tensor) -> Tensor:
        """Return frames of a whole window [B, N, D] for codes [B, T], padded with PADDING.

        Raises ValueError for more codes than a window holds.
        """
        if codes.shape[1] > self.config.length:
            raise ValueError(f"{codes.shape[1]} codes; Whisper's window holds {self.config.length}")
        codes = F.pad(codes, (0, self.config.length - codes.shape[1]), value=PADDING)
        codes = torch.where(codes == PADDING, torch.full_like(codes, self.padding_row), codes)
        return self.after_codes(self.codebook.vectors[codes].repeat_interleave(self.config.downsample, dim=1))

    @torch.inference_mode()
    def encode(self, whisper: Whisper, waves: Sequence[Tensor]) -> list[Tensor]:
        """Return the codes [T], 25 per second, of each wave [S] at 16 kHz.

        Waves longer than Whisper's 30 s are split into windows. Raises ValueError for a wave of less than 13 ms.
        """
        pieces = [piece for wave in waves for piece in self._windows(whisper, wave)]
        frames, sounds = whisper.frames(pieces)
        codes = self.codebook.nearest(self.before_codes(frames))
        found = [row[:count] for row, count in zip(codes, (sounds // self.config.downsample).tolist(), strict=True)]
        joined = []
        for wave in waves:
            count = len(self._windows(whisper, wave))
            joined.append(torch.cat(found[:count]))
            found = found[count:]
        return joined

    @torch.inference_mode()
    def encode_packed(self, whisper: Whisper, waves: Sequence[Tensor], batch: int = 1) -> list[Tensor]:
        """Encode like `encode`, but with several waves in each window, because a window has a constant cost.

        Waves in a window influence each other, so the codes differ slightly. `batch` windows are computed at once.
        """
        found: list[Tensor | None] = [None] * len(waves)
        grid = HOP * 2 * self.config.downsample
        windows = pack([len(wave) for wave in waves], whisper.window, grid, PAUSE)
        for first in range(0, len(windows), batch):
            some = windows[first : first + batch]
            frames, _ = whisper.frames([joined([waves[i] for i, _ in w], [start for _, start in w]) for w in some])
            for window, row in zip(some, self.codebook.nearest(self.before_codes(frames)), strict=True):
                for i, start in window:
                    found[i] = row[start // grid : start // grid + len(waves[i]) // grid]
        return [codes if codes is not None else self.encode(whisper, [wave])[0]
                for codes, wave in zip(found, waves, strict=True)]  # fmt: skip

    def _windows(self, whisper: Whisper, wave: Tensor) -> list[Tensor]:
        pieces = list(wave.split(whisper.window))
        shortest = HOP * 2 * self.config.downsample
        return pieces[:-1] if len(pieces) > 1 and len(pieces[-1]) < shortest else pieces  # the rest has no codes

    def decode_text(self, whisper: Whisper, codes: Tensor, language: str = "en") -> list[list[int]]:
        """Return the text token ids that Whisper decodes from codes [B, T], padded with PADDING."""
        with torch.inference_mode():
            return whisper.transcribe(self.dequantise(codes), language)

    def quantised(self, frames: Tensor, sounds: Tensor, hold: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise frames [B, N, D], of which the first `sounds` [B] are sound.

        Returns the vectors of the codes [B, T, W], a mask of sound [B, T], and the mean squared distance to the
        vectors. The gradient bypasses the codebook (straight-through). In training mode the codebook is updated, unless
        `hold` is True.
        """
        inside = self._inside(sounds)
        vectors = self.before_codes(frames)
        codes = self.codebook.nearest(vectors)
        nearest = self.codebook.vectors[codes]
        distance = (vectors.float() - nearest).square().mean(-1)
        commitment = (distance * inside).sum() / inside.sum().clamp(min=1)
        if self.training and not hold:
            heard = vectors.detach()[inside]
            self.codebook.follow(heard, codes[inside])
            self.codebook.revive(heard)
        return vectors + (nearest - vectors).detach(), inside, commitment

    def read_out(self, passed: Tensor, inside: Tensor) -> Tensor:
        """Return frames [B, N, D] for vectors [B, T, W] and their mask of sound [B, T], as from `quantised`."""
        nothing = self.codebook.vectors[self.padding_row].to(passed.dtype)
        passed = torch.where(inside[..., None], passed, nothing)
        return self.after_codes(passed.repeat_interleave(self.config.downsample, dim=1))

    def reading_loss(
        self,
        whisper: Whisper,
        read: Tensor,
        frames: Tensor,
        before: Tensor,
        after: Tensor,
        states: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of Whisper's decoding of the restored frames, `read` [B, N, D], against its own `frames`.

        before: input tokens of the decoder [B, K]. after: the tokens that follow them [B, K], or PADDING. states: the
        decoder's for its own frames [B, K, D], if known. The loss is the cross-entropy of `after`, plus `kl` times the
        divergence from Whisper's output for its own frames, summed over an item's tokens.
        """
        config = self.config
        tokens, said = before.clamp(min=0), after != PADDING
        if config.kl and states is None:
            with torch.no_grad():
                states = whisper.decoder.states(tokens, whisper.decoder.context(frames))
        answer = whisper.decoder.states(tokens, whisper.decoder.context(read))
        surely = whisper.decoder.logits(answer[said]).log_softmax(-1)  # [P, V], P the tokens of all items
        loss = -surely.gather(-1, after[said][:, None]).mean()
        if config.kl:
            assert states is not None
            with torch.no_grad():
                teacher = whisper.decoder.logits(states[said]).log_softmax(-1)
            divergence = F.kl_div(surely, teacher, reduction="sum", log_target=True) / len(frames)
            loss = loss + config.kl * divergence
        return loss


def lost_variance(made: Tensor, wanted: Tensor) -> Tensor:
    """Return the share of the variance of `wanted` [P, D] that `made` [P, D] lacks, averaged over D."""
    wanted = wanted.float()
    return ((made.float() - wanted).square().mean(0) / wanted.var(0, unbiased=False).clamp(min=1e-6)).mean()
