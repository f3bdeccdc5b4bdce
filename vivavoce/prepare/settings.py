"""What `vivavoce prepare` was asked to do: part of its report, and what a resumed run must agree with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivavoce.config import Config

KINDS = ("folder", "ljspeech", "libritts", "shards", "huggingface")
FORMATS = ("flac", "ogg", "wav")


@dataclass(frozen=True)
class PrepareConfig(Config):
    """Which recordings are kept, how they are stored, and which of them are for validation.

    Of the three ways to choose validation, `valid_speakers` and `valid_speaker_share` leave `valid_share` unused.
    """

    kind: Literal["auto", "folder", "ljspeech", "libritts", "shards", "huggingface"] = "auto"
    format: Literal["flac", "ogg", "wav"] = "flac"  # of the stored sound; ogg is Opus
    lang: str = "en"  # of recordings that do not say
    speaker: str | None = None  # of all recordings; None: what the input says
    min_seconds: float = 0.3  # after trimming, as the other limits
    max_seconds: float = 20.0
    max_pause: float = 3.0  # seconds of silence between words
    max_clipping: float = 0.001  # share of the samples at full scale
    min_rate: float = 3.0  # characters of normalised text a second
    max_rate: float = 30.0
    valid_share: float = 0.01  # of the utterances
    valid_speakers: tuple[str, ...] = ()
    valid_speaker_share: float = 0.0  # of the speakers
    shard_utterances: int = 1000
    shard_mb: float = 256.0  # megabytes; a shard is closed at whichever comes first
    grow_vocab: bool = False  # add letters of the data that the vocabulary lacks
    # of a Hugging Face dataset; None: chosen by the usual names
    config: str | None = None
    split: str = "train"
    audio_column: str | None = None
    text_column: str | None = None
    speaker_column: str | None = None

    def __post_init__(self) -> None:
        self.require(self.kind in ("auto", *KINDS), "kind", "one of " + ", ".join(("auto", *KINDS)))
        self.require(self.format in FORMATS, "format", "one of " + ", ".join(FORMATS))
        self.require(bool(self.lang.strip()), "lang", "a language code such as en")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "at least 0 and below max_seconds")
        self.require(self.max_pause > 0, "max_pause", "above 0 seconds")
        self.require(0 <= self.max_clipping <= 1, "max_clipping", "from 0 to 1")
        self.require(0 <= self.min_rate < self.max_rate, "min_rate", "at least 0 and below max_rate")
        self.require(0 <= self.valid_share < 1, "valid_share", "from 0 to below 1")
        self.require(0 <= self.valid_speaker_share < 1, "valid_speaker_share", "from 0 to below 1")
        self.require(all(self.valid_speakers), "valid_speakers", "names with commas between them")
        self.require(
            not (self.valid_speakers and self.valid_speaker_share),
            "valid_speaker_share",
            "left out where valid_speakers are named",
        )
        self.require(self.shard_utterances > 0, "shard_utterances", "positive")
        self.require(self.shard_mb > 0, "shard_mb", "positive")
