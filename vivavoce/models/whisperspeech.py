"""Configs of the whisperspeech engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from vivavoce.config import Config, MelConfig
from vivavoce.models.nanospeech import check_text_channels
from vivavoce.text.languages import WHISPER_LANGUAGES

M = TypeVar("M", bound="TransformerConfig")


@dataclass(frozen=True)
class TransformerConfig(Config):
    """Base of both stages: an encoder-decoder whose scales suit any width (muP, arXiv:2203.03466)."""

    heads: int = 6
    head_dim: int = 64
    ff_mult: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 6
    causal_encoder: bool = False
    # "masked": padding is masked, so it has no cost and no effect.
    # "fixed": as published, everything is padded to its maximum length, and the decoder attends to the padding.
    padding: Literal["masked", "fixed"] = "masked"
    query_mult: float = 1.0  # attention is scaled by 8 * query_mult / head_dim
    output_mult: float = 1.0  # logits are scaled by output_mult / (width / 192)
    init_std: float = 1.0  # of a weight, times its fan-in
    embedding_std: float = 0.01
    embedding_lr: float = 5.0  # learning rate of the embeddings, relative to a layer of width 192
    projector_lr: float = 1.0  # the same for the layers between a frozen embedding and the width
    dropout: float = 0.0  # in training, of each residual branch

    def __post_init__(self) -> None:
        for name in ("heads", "head_dim", "ff_mult", "decoder_layers"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.encoder_layers >= 0, "encoder_layers", "0 or more")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, because the rotary embedding rotates pairs")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")
        for name in ("query_mult", "output_mult", "init_std", "embedding_std", "embedding_lr", "projector_lr"):
            self.require(getattr(self, name) > 0, name, "positive")

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def relative_width(self) -> float:
        """Width relative to that of the smallest model, for which the published scales were tuned."""
        return self.heads / 3

    @property
    def attention_scale(self) -> float:
        return 8 * self.query_mult / self.head_dim

    @property
    def logit_scale(self) -> float:
        return self.output_mult / self.relative_width

    @classmethod
    def of_size(cls: type[M], size: str, **changes: Any) -> M:
        """Return the published dimensions of a named size, with `changes`. Raises ValueError for an unknown name."""
        sizes: dict[str, tuple[int, int, int]] = cls.SIZES  # type: ignore[attr-defined]
        if size not in sizes:
            raise ValueError(f"size is {size!r}; it must be one of {', '.join(sizes)}")
        depth, heads, ff_mult = sizes[size]
        encoder = depth // 2  # a quarter of both
        model = cls(heads=heads, ff_mult=ff_mult, encoder_layers=encoder, decoder_layers=2 * depth - encoder)
        return model.replace(**changes)


@dataclass(frozen=True)
class T2SConfig(TransformerConfig):
    """Text to semantic tokens: UTF-8 bytes, each in a language, and a pace → codes, 25 per second."""

    SIZES = {"micro": (2, 3, 1), "tiny": (4, 6, 4), "base": (6, 8, 4), "small": (12, 12, 4)}  # noqa: RUF012

    causal_encoder: bool = True
    output_mult: float = 0.35
    projector_lr: float = 2.5
    languages: tuple[str, ...] = WHISPER_LANGUAGES
    text_length: int = 550  # bytes, including a zero at either end
    codes: int = 512
    end_code: int = 512  # also the start; `codes` if it has its own embedding
    code_length: int = 750  # 30 s
    code_width: int = 0  # of the semantic codebook's vectors, which are projected to the width; 0: none
    frozen_codes: bool = False  # the codebook's vectors are not trained
    pace_bins: int = 32  # of characters per second
    pace_max: float = 20.0
    lowercase: bool = False  # trained without capitals: fewer words to learn
    alignment_layer: int | None = None  # decoder layer trained to attend to the current text; null: none

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("text_length", "codes", "code_length", "pace_bins", "pace_max"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.text_length > 2, "text_length", "3 or more")
        self.require(len(self.languages) > 0, "languages", "at least one code")
        self.require(len(set(self.languages)) == len(self.languages), "languages", "a list without repetitions")
        self.require(0 <= self.end_code <= self.codes, "end_code", f"from 0 to codes ({self.codes})")
        self.require(self.code_width >= 0, "code_width", "0 or more")
        self.require(self.width % 2 == 0, "heads", "a number that makes the width even")
        layer, layers = self.alignment_layer, self.decoder_layers
        self.require(layer is None or 0 <= layer < layers, "alignment_layer", f"from 0 to {layers - 1}, or null")

    @property
    def max_bytes(self) -> int:
        """Maximum length of a text."""
        return self.text_length - 2

    def reads(self, text: str) -> str:
        """Return the text in the form whose UTF-8 bytes the model reads."""
        return text.lower() if self.lowercase else text

    def language(self, code: str) -> int:
        """Return the row of a language's embedding. Raises ValueError for an unknown language."""
        if code not in self.languages:
            raise ValueError(f"language is {code!r}; this model knows {', '.join(self.languages)}")
        return self.languages.index(code)


@dataclass(frozen=True)
class MaskedT2SConfig(Config):
    """T2S in step with the text: characters with known durations → codes, filled in a few passes.

    The defaults of the text's fields are those of `NanospeechConfig`, whose text encoder it uses.
    """

    alignment: Literal["frames"] = "frames"  # tells its config.json apart from that of a `T2SConfig`
    mel: MelConfig = field(default_factory=MelConfig)  # of the duration model and the aligner, which count its frames
    vocab_size: int = 256  # characters
    dim: int = 256
    depth: int = 6
    heads: int = 4
    head_dim: int = 64
    ff_mult: int = 4
    text_dim: int = 256
    text_layers: int = 4
    speaker_dim: int = 256  # 0: no speaker vector
    codes: int = 512
    code_width: int = 64
    code_rate: float = 25.0  # codes per second
    dropout: float = 0.0
    languages: tuple[str, ...] = ()  # as in NanospeechConfig
    phones: tuple[str, ...] = ()
    prosody: ClassVar[bool] = False  # the codes say little about it

    def __post_init__(self) -> None:
        self.require(self.alignment == "frames", "alignment", '"frames"')
        check_text_channels(self)
        for name in ("vocab_size", "dim", "depth", "heads", "head_dim", "ff_mult", "text_dim", "codes", "code_width"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.code_rate > 0, "code_rate", "positive")
        for name in ("text_layers", "speaker_dim"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(self.text_dim % 2 == 0, "text_dim", "even, because the position embedding consists of pairs")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, because the rotary embedding rotates pairs")
        self.require(self.dim % 16 == 0, "dim", "a multiple of 16, because the position convolution has 16 groups")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")

    @property
    def codes_per_frame(self) -> float:
        """Codes per mel frame: 0.267 for the defaults."""
        return self.code_rate / self.mel.frame_rate

    def count(self, frames: float) -> int:
        """Return the number of codes of speech of so many mel frames, at least 1."""
        return max(1, round(frames * self.codes_per_frame))


def in_frames(values: Any) -> bool:
    """Return whether the config.json of a t2s, or a recipe for it, is of a `MaskedT2SConfig`."""
    model = values.get("model") if isinstance(values, dict) else None
    return isinstance(model, dict) and model.get("alignment") == "frames"


@dataclass(frozen=True)
class MaskedSamplingConfig(Config):
    """How `MaskedT2SConfig`'s model fills its codes."""

    passes: int = 4
    temperature: float = 0.0  # 0: always the most likely code

    def __post_init__(self) -> None:
        self.require(1 <= self.passes <= 64, "passes", "from 1 to 64")
        self.require(0 <= self.temperature <= 10, "temperature", "from 0 to 10")


def left_masked(lengths: Any, done: int, passes: int) -> Any:
    """Return how many of `lengths` codes, integers [B], stay masked after `done` of `passes` (cosine schedule)."""
    share = round(1024 * math.cos(math.pi / 2 * done / passes))  # integers, so that all backends round alike
    return lengths * share // 1024


@dataclass(frozen=True)
class S2AConfig(TransformerConfig):
    """Semantic to acoustic tokens: codes and a speaker vector → stacked codebooks, each delayed by one more frame."""

    SIZES = {"micro": (4, 3, 2), "tiny": (4, 6, 4), "base": (6, 8, 4), "small": (12, 12, 4)}  # noqa: RUF012

    query_mult: float = 0.3
    output_mult: float = 5.6
    init_std: float = 9.0
    embedding_std: float = 0.2
    embedding_lr: float = 10.0
    semantic_codes: int = 512  # the embedding has an extra row for padding
    semantic_length: int = 750  # including padding at either end
    semantic_width: int = 0  # of the semantic codebook's vectors; 0: the width
    frozen_codes: bool = False  # the semantic codebook's vectors are not trained
    speaker_dim: int = 192
    quantizers: int = 4
    codes: int = 1024  # of each acoustic codebook
    code_width: int = 0  # of the acoustic codebooks' vectors; 0: the width
    frames_per_code: float = 3.0  # acoustic frames per semantic code: 75 / 25 with EnCodec
    frame_length: int = 2250  # 30 s

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("semantic_codes", "speaker_dim", "quantizers", "codes", "frames_per_code", "frame_length"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.semantic_length > 2, "semantic_length", "3 or more")
        for name in ("semantic_width", "code_width"):
            self.require(getattr(self, name) >= 0, name, "0 or more")

    @property
    def max_codes(self) -> int:
        """Maximum number of semantic codes, by either length."""
        return min(self.semantic_length - 2, int((self.frame_length - self.quantizers) / self.frames_per_code))

    def frames(self, codes: int) -> int:
        """Return the number of acoustic frames for a number of semantic codes."""
        return round(codes * self.frames_per_code)


@dataclass(frozen=True)
class TokenSamplingConfig(Config):
    """How both stages sample a token from its logits."""

    temperature: float = 0.7  # 0: always the most likely token
    top_k: int = 0  # sample from the k most likely tokens; 0: from all
    # classifier-free guidance strength w in l + w (l - l_blank), for a model that was trained with `drop`; 0: none,
    # which halves the cost
    cfg: float = 0.0
    cfg_codebooks: int = 0  # guide only this many of the first codebooks, because the finer ones become rough; 0: all

    def __post_init__(self) -> None:
        self.require(0 <= self.temperature <= 10, "temperature", "from 0 to 10")
        self.require(self.top_k >= 0, "top_k", "0 or more")
        self.require(0 <= self.cfg <= 10, "cfg", "from 0 to 10")
        self.require(self.cfg_codebooks >= 0, "cfg_codebooks", "0 or more")


@dataclass(frozen=True)
class WhisperspeechConfig(Config):
    """How a whole system speaks; the configs of its parts say how they sample tokens."""

    max_seconds: float = 20.0  # longest piece
    min_seconds: float = 0.0  # a shorter piece is joined to its neighbour, if it has one; 0: never
    pace: float = 15.0  # characters per second at speed 1, without the silence at the ends
    silence: float = 0.0  # seconds of silence in a piece
    # The range of speeds for T2S. Beyond it, semantic codes are repeated or dropped.
    slowest: float = 0.75
    fastest: float = 1.25
    prompt_seconds: float = 10.0  # how much of the previous piece is used as a prompt, at most; 0: none

    OPTIONS = ("cfg", "temperature", "top_k")  # the `SpeakOptions` fields that it uses

    def __post_init__(self) -> None:
        self.require(1 <= self.max_seconds <= 30, "max_seconds", "from 1 to 30")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "0 or more, below max_seconds")
        self.require(self.pace > 0, "pace", "positive")
        self.require(0 <= self.silence <= 5, "silence", "from 0 to 5")
        self.require(0 < self.slowest <= 1, "slowest", "above 0 and at most 1")
        self.require(self.fastest >= 1, "fastest", "1 or more")
        self.require(0 <= self.prompt_seconds <= 30, "prompt_seconds", "from 0 to 30")

    def seconds(self, characters: int, speed: float) -> float:
        """Return the expected length of a text."""
        return (self.silence + max(1, characters) / self.pace) / speed

    def written(self, speed: float) -> float:
        """Return the speed to request from T2S for speech at `speed`."""
        return min(max(speed, self.slowest), self.fastest)
