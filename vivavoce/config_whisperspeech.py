"""Settings of the whisperspeech engine: text → semantic tokens → acoustic tokens, and what makes those tokens.

The defaults and the sizes are collabora/WhisperSpeech's. Knows nothing about tensors, files or devices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from vivavoce.config import Config, MelConfig

M = TypeVar("M", bound="TransformerConfig")

# Whisper's language codes in the order of its tokenizer, which is the order of the published language embedding.
WHISPER_LANGUAGES = tuple(
    """
    en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml
    cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am
    yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su
    """.split()
)


@dataclass(frozen=True)
class TransformerConfig(Config):
    """What both stages share: an encoder-decoder whose scales hold for any width (muP, arXiv:2203.03466)."""

    heads: int = 6
    head_dim: int = 64
    ff_mult: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 6
    causal_encoder: bool = False
    # "masked": padding is hidden, so that it costs nothing and changes nothing.
    # "fixed": as published, everything is padded to its greatest length, and the decoder sees the padding.
    padding: Literal["masked", "fixed"] = "masked"
    query_mult: float = 1.0  # attention is scaled by 8 * query_mult / head_dim
    output_mult: float = 1.0  # logits are scaled by output_mult / (width / 192)
    init_std: float = 1.0  # of a weight, times its fan-in
    embedding_std: float = 0.01
    embedding_lr: float = 5.0  # learning rate of the embeddings, relative to that of a 192 wide layer
    projector_lr: float = 1.0  # the same of the layers between a frozen embedding and the width
    dropout: float = 0.0  # in training, of what each part of a layer adds

    def __post_init__(self) -> None:
        for name in ("heads", "head_dim", "ff_mult", "decoder_layers"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.encoder_layers >= 0, "encoder_layers", "0 or more")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, for the rotary embedding turns pairs")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")
        for name in ("query_mult", "output_mult", "init_std", "embedding_std", "embedding_lr", "projector_lr"):
            self.require(getattr(self, name) > 0, name, "positive")

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def relative_width(self) -> float:
        """Width by that of the smallest model, for which the published scales were found."""
        return self.heads / 3

    @property
    def attention_scale(self) -> float:
        return 8 * self.query_mult / self.head_dim

    @property
    def logit_scale(self) -> float:
        return self.output_mult / self.relative_width

    @classmethod
    def of_size(cls: type[M], size: str, **changes: Any) -> M:
        """The published dimensions by their name, with `changes`. Raises ValueError for a name that is none."""
        sizes: dict[str, tuple[int, int, int]] = cls.SIZES  # type: ignore[attr-defined]
        if size not in sizes:
            raise ValueError(f"size is {size!r}; it must be one of {', '.join(sizes)}")
        depth, heads, ff_mult = sizes[size]
        encoder = depth // 2  # a quarter of both
        model = cls(heads=heads, ff_mult=ff_mult, encoder_layers=encoder, decoder_layers=2 * depth - encoder)
        return model.replace(**changes)


@dataclass(frozen=True)
class T2SConfig(TransformerConfig):
    """Text to semantic tokens: UTF-8 bytes, each in a language, at a pace → codes, 25 a second."""

    SIZES = {"micro": (2, 3, 1), "tiny": (4, 6, 4), "base": (6, 8, 4), "small": (12, 12, 4)}  # noqa: RUF012

    causal_encoder: bool = True
    output_mult: float = 0.35
    projector_lr: float = 2.5
    languages: tuple[str, ...] = WHISPER_LANGUAGES
    text_length: int = 550  # bytes, with the zero before and the zero after them
    codes: int = 512
    end_code: int = 512  # also the start; `codes` where it has an embedding of its own
    code_length: int = 750  # 30 s
    code_width: int = 0  # of the semantic codebook's vectors, which are projected to the width; 0: no such
    frozen_codes: bool = False  # the codebook's vectors are not trained
    pace_bins: int = 32  # of characters a second
    pace_max: float = 20.0
    lowercase: bool = False  # it has seen no capitals: fewer words to learn
    alignment_layer: int | None = None  # decoder layer that was taught to look at what it says; null: none was

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("text_length", "codes", "code_length", "pace_bins", "pace_max"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.text_length > 2, "text_length", "3 or more")
        self.require(len(self.languages) > 0, "languages", "at least one code")
        self.require(len(set(self.languages)) == len(self.languages), "languages", "codes that differ")
        self.require(0 <= self.end_code <= self.codes, "end_code", f"from 0 to codes ({self.codes})")
        self.require(self.code_width >= 0, "code_width", "0 or more")
        self.require(self.width % 2 == 0, "heads", "such that the width is even")
        layer, layers = self.alignment_layer, self.decoder_layers
        self.require(layer is None or 0 <= layer < layers, "alignment_layer", f"from 0 to {layers - 1}, or null")

    @property
    def max_bytes(self) -> int:
        """The longest text."""
        return self.text_length - 2

    def reads(self, text: str) -> str:
        """The text whose UTF-8 bytes the model is to get."""
        return text.lower() if self.lowercase else text

    def language(self, code: str) -> int:
        """Row of a language's embedding. Raises ValueError, listing those that the model knows."""
        if code not in self.languages:
            raise ValueError(f"language is {code!r}; this model knows {', '.join(self.languages)}")
        return self.languages.index(code)


@dataclass(frozen=True)
class S2AConfig(TransformerConfig):
    """Semantic to acoustic tokens: codes and a speaker vector → stacked codebooks, one a frame later than another."""

    SIZES = {"micro": (4, 3, 2), "tiny": (4, 6, 4), "base": (6, 8, 4), "small": (12, 12, 4)}  # noqa: RUF012

    query_mult: float = 0.3
    output_mult: float = 5.6
    init_std: float = 9.0
    embedding_std: float = 0.2
    embedding_lr: float = 10.0
    semantic_codes: int = 512  # a further row of the embedding is for padding
    semantic_length: int = 750  # with a padding before and one after
    semantic_width: int = 0  # of the semantic codebook's vectors; 0: none are given, the width
    frozen_codes: bool = False  # the semantic codebook's vectors are not trained
    speaker_dim: int = 192
    quantizers: int = 4
    codes: int = 1024  # of each acoustic codebook
    code_width: int = 0  # of the acoustic codebooks' vectors; 0: none are given, the width
    frames_per_code: float = 3.0  # acoustic frames in the time of one semantic code: 75 / 25 with EnCodec
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
        """The longest sequence of semantic codes, by either length."""
        return min(self.semantic_length - 2, int((self.frame_length - self.quantizers) / self.frames_per_code))

    def frames(self, codes: int) -> int:
        """Acoustic frames of so many semantic codes."""
        return round(codes * self.frames_per_code)


@dataclass(frozen=True)
class TokenSamplingConfig(Config):
    """How a token is drawn from its logits, in either stage."""

    temperature: float = 0.7  # 0: always the likeliest
    top_k: int = 0  # only among so many of the likeliest; 0: all
    # classifier-free guidance strength w in l + w (l - l_blank), of a model that was trained with a share of its inputs
    # hidden (`drop`); 0: none, and half the work
    cfg: float = 0.0
    cfg_codebooks: int = 0  # guidance is of so many first codebooks; in the finer ones it roughens the voice; 0: of all

    def __post_init__(self) -> None:
        self.require(0 <= self.temperature <= 10, "temperature", "from 0 to 10")
        self.require(self.top_k >= 0, "top_k", "0 or more")
        self.require(0 <= self.cfg <= 10, "cfg", "from 0 to 10")
        self.require(self.cfg_codebooks >= 0, "cfg_codebooks", "0 or more")


@dataclass(frozen=True)
class WhisperspeechConfig(Config):
    """How a whole system speaks; how its tokens are drawn is in its parts' own settings."""

    max_seconds: float = 20.0  # the longest piece that it is asked for at once
    min_seconds: float = 0.0  # what is shorter is joined to its neighbour, where it has one; 0: nothing
    pace: float = 15.0  # characters a second at speed 1, without the silence at both ends
    silence: float = 0.0  # seconds of it in a piece
    # The speeds at which T2S is asked to write. For one beyond them semantic codes are repeated or left out.
    slowest: float = 0.75
    fastest: float = 1.25
    prompt_seconds: float = 10.0  # at most so much of the piece before is gone on from; 0: nothing

    OPTIONS = ("cfg", "temperature", "top_k")  # of `SpeakOptions`, what this engine has

    def __post_init__(self) -> None:
        self.require(1 <= self.max_seconds <= 30, "max_seconds", "from 1 to 30")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "0 or more, below max_seconds")
        self.require(self.pace > 0, "pace", "positive")
        self.require(0 <= self.silence <= 5, "silence", "from 0 to 5")
        self.require(0 < self.slowest <= 1, "slowest", "above 0 and at most 1")
        self.require(self.fastest >= 1, "fastest", "1 or more")
        self.require(0 <= self.prompt_seconds <= 30, "prompt_seconds", "from 0 to 30")

    def seconds(self, characters: int, speed: float) -> float:
        """How long a text is expected to take."""
        return (self.silence + max(1, characters) / self.pace) / speed

    def written(self, speed: float) -> float:
        """The speed that T2S is asked for, where speech is to have `speed`."""
        return min(max(speed, self.slowest), self.fastest)


@dataclass(frozen=True)
class WhisperConfig(Config):
    """Dimensions of an OpenAI Whisper checkpoint, by its own names. The defaults are those of "base"."""

    n_mels: int = 80
    n_audio_ctx: int = 1500
    n_audio_state: int = 512
    n_audio_head: int = 8
    n_audio_layer: int = 6
    n_vocab: int = 51865
    n_text_ctx: int = 448
    n_text_state: int = 512
    n_text_head: int = 8
    n_text_layer: int = 6

    def __post_init__(self) -> None:
        for name in self.to_dict():
            self.require(getattr(self, name) > 0, name, "positive")
        for state, head in (("n_audio_state", "n_audio_head"), ("n_text_state", "n_text_head")):
            self.require(getattr(self, state) % getattr(self, head) == 0, state, f"a multiple of {head}")
        self.require(self.n_audio_state % 2 == 0, "n_audio_state", "even, for the positions come in pairs")

    @property
    def end_token(self) -> int:
        """<|endoftext|>, the first of the special tokens: all before it are text."""
        return 50_257 if self.multilingual else 50_256

    @property
    def multilingual(self) -> bool:
        return self.n_vocab >= 51_865

    def start_tokens(self, language: str = "en") -> list[int]:
        """What a transcription without timestamps starts with, in its tokenizer's numbers.

        Raises ValueError for a language that Whisper does not know.
        """
        count = self.n_vocab - 51_765 - self.multilingual  # the later models have one language more
        start = self.end_token + 1
        last = start + count + 6  # <|notimestamps|>, after translate, transcribe, startoflm, startofprev and nospeech
        if not self.multilingual:
            return [start, last]
        if language not in WHISPER_LANGUAGES:
            raise ValueError(f"language is {language!r}; Whisper knows {', '.join(WHISPER_LANGUAGES)}")
        return [start, start + 1 + WHISPER_LANGUAGES.index(language), start + count + 2, last]


@dataclass(frozen=True)
class SemanticConfig(Config):
    """Quantised Whisper: its encoder's frames, two by two, through a codebook, and back for its decoder."""

    whisper: WhisperConfig = field(default_factory=WhisperConfig)
    codes: int = 512
    code_width: int = 64
    downsample: int = 2  # of the encoder's 50 frames a second
    heads: int = 8
    ff_mult: int = 4
    depth: int = 1  # blocks after the codebook
    query_mult: float = 2.0
    init_std: float = 1.5
    embedding_std: float = 0.045
    # a further row of the codebook for what is not there. "apart": never chosen for what is; "among": as published, it
    # may be chosen like the others; "none": there is no such row, and code 0 stands for nothing.
    padding_code: Literal["apart", "among", "none"] = "apart"
    decay: float = 0.9  # of the codebook's moving averages
    commitment: float = 1.0  # weight of that loss
    kl: float = 1.0  # weight of the divergence from what the decoder says of unquantised frames

    def __post_init__(self) -> None:
        for name in ("codes", "code_width", "downsample", "heads", "ff_mult", "query_mult", "init_std"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.depth >= 0, "depth", "0 or more")
        self.require(self.whisper.n_audio_state % self.heads == 0, "heads", "a divisor of Whisper's width")
        self.require(self.whisper.n_audio_ctx % self.downsample == 0, "downsample", "a divisor of n_audio_ctx")
        self.require(0 <= self.decay < 1, "decay", "from 0 to below 1")
        for name in ("commitment", "kl"):
            self.require(getattr(self, name) >= 0, name, "0 or more")

    @property
    def head_dim(self) -> int:
        return self.whisper.n_audio_state // self.heads

    @property
    def attention_scale(self) -> float:
        return 8 * self.query_mult / self.head_dim

    @property
    def relative_width(self) -> float:
        return self.heads / 3

    @property
    def length(self) -> int:
        """Codes of Whisper's 30 s window."""
        return self.whisper.n_audio_ctx // self.downsample

    @property
    def rate(self) -> float:
        """Codes a second: 25 for the defaults."""
        return self.length / 30


@dataclass(frozen=True)
class CodecConfig(Config):
    """The bundled codec: stacked log-mel frames, their principal components, residual codebooks."""

    mel: MelConfig = field(default_factory=MelConfig)
    stack: int = 2  # mel frames in one acoustic frame
    components: int = 64  # principal components that the codebooks see
    quantizers: int = 4
    codes: int = 1024

    def __post_init__(self) -> None:
        for name in ("stack", "components", "quantizers", "codes"):
            self.require(getattr(self, name) > 0, name, "positive")
        width = self.stack * self.mel.n_mels
        self.require(self.components <= width, "components", f"at most stack * n_mels ({width})")

    @property
    def frame_rate(self) -> float:
        """Acoustic frames a second: 46.875 for the defaults."""
        return self.mel.frame_rate / self.stack


@dataclass(frozen=True)
class EcapaConfig(Config):
    """The speaker encoder of published models and its front end. The defaults are spkrec-ecapa-voxceleb's."""

    sample_rate: int = 16_000  # Hz
    n_fft: int = 400  # samples: 25 ms
    hop: int = 160  # samples: 10 ms
    n_mels: int = 80
    channels: int = 1024
    depth: int = 3  # blocks after the first layer
    scale: int = 8  # groups of channels in a block
    se_channels: int = 128  # what a block's squeeze leaves
    pooled_channels: int = 3072
    attention_channels: int = 128
    speaker_dim: int = 192

    def __post_init__(self) -> None:
        for name in self.to_dict():
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.channels % self.scale == 0, "channels", f"a multiple of scale ({self.scale})")
