"""Configs of the nanospeech engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vivavoce.config import Config, MelConfig

FILLER = -1  # id of a position without a character; the embedding's row 0
SLOTS = 2  # phones that a letter may have
PROSODY = 6  # numbers of a letter's prosody: `text.prosody.CHANNELS`


def check_text_channels(config: Config) -> None:
    """Raise ValueError for a language or phone that is repeated or empty."""
    for name in ("languages", "phones"):
        listed = getattr(config, name)
        config.require(len(set(listed)) == len(listed) and all(listed), name, "a list without repetitions")


@dataclass(frozen=True)
class NanospeechConfig(Config):
    """The flow-matching transformer over mel frames (E2-TTS, arXiv:2406.18009; F5-TTS, arXiv:2410.06885).

    The defaults match the published nanospeech checkpoint; config.json of the bundled model holds its own.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    vocab_size: int = 256  # characters; row 0 of the embedding is the filler, so it has vocab_size + 1 rows
    dim: int = 512
    depth: int = 18
    heads: int = 12
    head_dim: int = 64
    ff_mult: int = 2
    text_dim: int = 512
    text_layers: int = 4  # ConvNeXt-V2 blocks over the text
    # "pad": the text is padded at its end to the number of frames, as in E2, F5 and nanospeech.
    # "average": all characters get the same number of frames (ZipVoice, arXiv:2506.13053).
    # "durations": the duration model, or the word times of the data, set the frames of each word, which its characters
    # share equally. "letters": each character has its own frames, from the duration model or an aligner.
    text_align: Literal["pad", "average", "durations", "letters"] = "pad"
    rotary: Literal["first_head", "all_heads"] = "first_head"  # published: before the split into heads
    adaln: Literal["per_block", "shared"] = "per_block"
    audio_prompt: bool = True  # a channel for the reference's mel frames, for infilling
    speaker_dim: int = 0  # length of the speaker vector added to the time embedding; 0: none
    patch: int = 1  # mel frames per token
    mel_mean: float = 0.0  # the network sees (mel - mel_mean) * mel_scale
    mel_scale: float = 1.0
    dropout: float = 0.0
    languages: tuple[str, ...] = ()  # codes, the default language first; empty: English only, no embedding
    phones: tuple[str, ...] = ()  # inventory for the phones of letters (`text.phones`); empty: letters only
    codes: int = 0  # semantic codes that the model may read besides or instead of the text; 0: none
    code_width: int = 64  # of their embedding
    code_rate: float = 25.0  # codes per second
    code_layers: int = 2  # ConvNeXt blocks of their encoder
    prosody: bool = False  # whether letters may have a pitch, range, energy, pace and emphasis (`text.prosody`)
    bandwidth: bool = False  # whether a recording's bandwidth is a condition, and the mel bins above it have no loss
    # Whether the end of each step is a condition: the network predicts the mean velocity of the step, which few Euler
    # steps follow exactly (MeanFlow, arXiv:2505.13447), instead of the velocity at its start. Without that condition,
    # the same weights predict the velocity at a time, and can be fine-tuned like any others.
    mean_velocity: bool = False

    def __post_init__(self) -> None:
        check_text_channels(self)
        for name in ("vocab_size", "dim", "depth", "heads", "head_dim", "ff_mult", "text_dim", "patch"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.text_layers >= 0, "text_layers", "0 or more")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, because the rotary embedding rotates pairs")
        self.require(self.text_dim % 2 == 0, "text_dim", "even, because the position embedding consists of pairs")
        self.require(self.dim % 16 == 0, "dim", "a multiple of 16, because the position convolution has 16 groups")
        self.require(self.speaker_dim >= 0, "speaker_dim", "0 or more")
        self.require(self.mel_scale > 0, "mel_scale", "positive")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")
        self.require(self.audio_prompt or self.speaker_dim > 0, "audio_prompt", "true if there is no speaker vector")
        for name in ("languages", "phones"):
            stretched = self.text_align != "pad" and not self.audio_prompt
            self.require(stretched or not getattr(self, name), name, "empty with padded text or an audio prompt")
        self.require(self.codes >= 0, "codes", "0 or more")
        stretched = self.text_align != "pad" and not self.audio_prompt
        self.require(stretched or not self.prosody, "prosody", "false with padded text or an audio prompt")
        self.require(stretched or not self.codes, "codes", "0 with padded text or an audio prompt")
        self.require(self.code_width > 0, "code_width", "positive")
        self.require(self.code_layers >= 0, "code_layers", "0 or more")
        self.require(self.code_rate > 0, "code_rate", "positive")

    @property
    def by_durations(self) -> bool:
        """Whether the model needs the number of frames of each character."""
        return self.text_align in ("durations", "letters")


@dataclass(frozen=True)
class DurationConfig(Config):
    """A duration model.

    kind: "transformer", the published one, which predicts one number from the reference's frames and the text; or
    "characters", our own, a ConvNeXt that predicts the frames of each character.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    kind: Literal["transformer", "characters"] = "transformer"
    vocab_size: int = 256
    dim: int = 512
    depth: int = 12
    heads: int = 8
    head_dim: int = 64
    ff_mult: int = 2
    text_dim: int = 512
    text_layers: int = 0
    rotary: Literal["first_head", "all_heads"] = "first_head"
    speaker_dim: int = 0
    dropout: float = 0.0
    letters: bool = False  # whether "characters" was trained on characters' lengths, not only words' and pauses'
    languages: tuple[str, ...] = ()  # as in NanospeechConfig
    phones: tuple[str, ...] = ()
    prosody: bool = False

    def __post_init__(self) -> None:
        check_text_channels(self)
        for name in ("languages", "phones"):
            known = self.kind == "characters" or not getattr(self, name)
            self.require(known, name, 'empty if kind is "transformer"')
        self.require(self.kind == "characters" or not self.prosody, "prosody", 'false if kind is "transformer"')
        for name in ("vocab_size", "dim", "depth", "heads", "head_dim", "ff_mult", "text_dim"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("text_layers", "speaker_dim"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(self.text_dim % 2 == 0, "text_dim", "even, because the position embedding consists of pairs")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, because the rotary embedding rotates pairs")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")
        self.require(not self.letters or self.kind == "characters", "letters", 'false if kind is "transformer"')


@dataclass(frozen=True)
class SamplingConfig(Config):
    """The model's values for `SpeakOptions` fields that are None. The defaults are the published nanospeech's."""

    steps: int = 7  # steps=8 of the published code counts points: 7 intervals
    method: Literal["euler", "midpoint", "rk4"] = "rk4"
    cfg: float = 2.0
    sway_coef: float = -1.0
    temperature: float = 1.0  # scale of the initial noise; lower is less varied (Matcha-TTS, arXiv:2309.03199)
    max_seconds: float = 20.0  # longest piece
    min_seconds: float = 0.0  # a shorter piece is joined to its neighbour, if it has one; 0: never

    OPTIONS = ("steps", "method", "cfg", "sway_coef", "temperature")  # the `SpeakOptions` fields that it uses

    def __post_init__(self) -> None:
        self.require(1 <= self.steps <= 256, "steps", "from 1 to 256")
        self.require(0 <= self.cfg <= 10, "cfg", "from 0 to 10")
        self.require(-1 <= self.sway_coef <= 1, "sway_coef", "from -1 to 1")
        self.require(0 < self.temperature <= 2, "temperature", "above 0 and at most 2")
        self.require(1 <= self.max_seconds <= 43, "max_seconds", "from 1 to 43 (4096 frames)")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "0 or more, below max_seconds")
