"""The settings of `vivavoce prepare`. They are part of its report; a resumed run must have the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vivavoce.config import Config

KINDS = ("folder", "ljspeech", "libritts", "shards", "huggingface")
FORMATS = ("flac", "ogg", "wav")


@dataclass(frozen=True)
class PrepareConfig(Config):
    """Which recordings to keep, how to store them, and which to hold out for validation.

    With `valid_speakers` or `valid_speaker_share`, `valid_share` is not used.
    """

    kind: Literal["auto", "folder", "ljspeech", "libritts", "shards", "huggingface"] = "auto"
    format: Literal["flac", "ogg", "wav"] = "flac"  # of the stored audio; ogg is Opus
    lang: str = "en"  # of recordings that do not state one
    speaker: str | None = None  # of all recordings; None: as the input states
    min_seconds: float = 0.3  # after trimming, like the other limits
    max_seconds: float = 20.0
    max_pause: float = 3.0  # seconds of silence between words
    max_clipping: float = 0.001  # share of the samples at full scale
    min_rate: float = 3.0  # characters of normalised text per second
    max_rate: float = 30.0
    valid_share: float = 0.01  # of the utterances
    valid_speakers: tuple[str, ...] = ()
    valid_speaker_share: float = 0.0  # of the speakers
    shard_utterances: int = 1000
    shard_mb: float = 256.0  # megabytes; a shard is closed at whichever limit comes first
    grow_vocab: bool = False  # add letters that the vocabulary lacks
    damaged_shards: Literal["skip", "fail"] = "skip"  # skip: use them as far as readable
    # of a Hugging Face dataset; None: the first column with a usual name
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
            "left out if valid_speakers are named",
        )
        self.require(self.damaged_shards in ("skip", "fail"), "damaged_shards", "skip or fail")
        self.require(self.shard_utterances > 0, "shard_utterances", "positive")
        self.require(self.shard_mb > 0, "shard_mb", "positive")
