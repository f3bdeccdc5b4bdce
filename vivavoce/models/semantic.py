"""Configs of the semantic tokens: quantised Whisper."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vivavoce.config import Config
from vivavoce.text.languages import WHISPER_LANGUAGES

FRAME_RATE = 50  # of Whisper's encoder, frames per second


@dataclass(frozen=True)
class WhisperConfig(Config):
    """Dimensions of an OpenAI Whisper checkpoint, with its names. The defaults are those of "base"."""

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
        self.require(self.n_audio_state % 2 == 0, "n_audio_state", "even, because positions are pairs")

    @property
    def end_token(self) -> int:
        """<|endoftext|>, the first special token; smaller ids are text."""
        return 50_257 if self.multilingual else 50_256

    @property
    def multilingual(self) -> bool:
        return self.n_vocab >= 51_865

    def start_tokens(self, language: str = "en") -> list[int]:
        """Return the ids of the tokens that start a transcription without timestamps.

        Raises ValueError for a language that Whisper does not know.
        """
        count = self.n_vocab - 51_765 - self.multilingual  # newer models have one more language
        start = self.end_token + 1
        last = start + count + 6  # <|notimestamps|>, after translate, transcribe, startoflm, startofprev and nospeech
        if not self.multilingual:
            return [start, last]
        if language not in WHISPER_LANGUAGES:
            raise ValueError(f"language is {language!r}; Whisper knows {', '.join(WHISPER_LANGUAGES)}")
        return [start, start + 1 + WHISPER_LANGUAGES.index(language), start + count + 2, last]


@dataclass(frozen=True)
class SemanticConfig(Config):
    """Quantised Whisper: pairs of encoder frames pass through a codebook and back to the decoder."""

    whisper: WhisperConfig = field(default_factory=WhisperConfig)
    codes: int = 512
    code_width: int = 64
    downsample: int = 2  # of the encoder's 50 frames per second
    heads: int = 8
    ff_mult: int = 4
    depth: int = 1  # blocks after the codebook
    query_mult: float = 2.0
    init_std: float = 1.5
    embedding_std: float = 0.045
    # an extra row of the codebook for padding. "apart": never chosen for sound; "among": as published, it
    # may be chosen like the others; "none": no such row; code 0 is the padding.
    padding_code: Literal["apart", "among", "none"] = "apart"
    decay: float = 0.9  # of the codebook's moving averages
    commitment: float = 1.0  # weight of this loss
    kl: float = 1.0  # weight of the KL divergence from the decoder's output for unquantised frames

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
        """Number of codes in Whisper's 30 s window."""
        return self.whisper.n_audio_ctx // self.downsample

    @property
    def rate(self) -> float:
        """Codes per second: 25 for the defaults."""
        return FRAME_RATE / self.downsample
