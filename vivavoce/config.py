"""Every setting of every model, trainer and sentence, as frozen dataclasses that check themselves.

A config is written as JSON beside its weights and read back with `from_dict`; a key that no field has is refused,
and the names that would have been right are given, because a misspelt setting that is silently ignored costs a run.
Knows nothing about tensors, files or devices.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

C = TypeVar("C", bound="Config")

BUILTIN_VOICES = ("celeste", "luna", "nash", "orion", "rhea")


def exact_div(a: int, b: int, what: str) -> int:
    """a / b, which must be whole: a rate that was rounded once drifts for ever."""
    if a % b:
        raise ValueError(f"{what}: {a} is not a multiple of {b}")
    return a // b


@dataclass(frozen=True)
class Config:
    """Base of all configs: strict reading from plain dicts, writing to plain dicts, type and choice checks."""

    @classmethod
    def from_dict(cls: type[C], values: dict[str, Any], where: str = "") -> C:
        """Build the config from a JSON object. `where` names the file in error messages.

        Raises ValueError for an unknown key (naming the nearest valid ones), a value of the wrong type or out of range.
        """
        place = where or cls.__name__
        if not isinstance(values, dict):
            raise ValueError(f"{place}: expected an object with settings, found {type(values).__name__}")
        hints = typing.get_type_hints(cls)
        names = [f.name for f in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                near = difflib.get_close_matches(key, names, n=1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                raise ValueError(f"{place}: unknown setting {key!r}{hint}; valid are {', '.join(names)}")
        built = {k: _convert(v, hints[k], f"{place}: {k}") for k, v in values.items()}
        try:
            return cls(**built)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        except TypeError:
            required = [
                f.name
                for f in dataclasses.fields(cls)
                if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            ]
            missing = [n for n in required if n not in values]
            raise ValueError(f"{place}: missing setting {', '.join(missing)}") from None

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON-ready values, every field written out."""
        return dataclasses.asdict(self)

    def replace(self: C, **changes: Any) -> C:
        """A copy with some fields changed; unknown names are refused as in `from_dict`."""
        names = [f.name for f in dataclasses.fields(self)]
        for key in changes:
            if key not in names:
                raise ValueError(f"{type(self).__name__}: unknown setting {key!r}; valid are {', '.join(names)}")
        return dataclasses.replace(self, **changes)

    def require(self, condition: bool, name: str, right: str) -> None:
        """Raise ValueError naming the field, its value and what would be right."""
        if not condition:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {right}")


def _convert(value: Any, hint: Any, where: str) -> Any:
    """`value` from JSON as the type that the field's annotation asks for."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            if type(None) in args:
                return None
            raise ValueError(f"{where} must not be null")
        return _convert(value, next(a for a in args if a is not type(None)), where)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{where} is {value!r}; it must be one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} is {value!r}; it must be a list")
        return tuple(_convert(v, args[0], where) for v in value)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else hint.from_dict(value, where)  # type: ignore[union-attr,arg-type]
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):  # Python's JSON reads NaN and Infinity
            raise ValueError(f"{where} is {value!r}; it must be a finite number")
        return float(value)
    if hint in (int, float, str, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ValueError(f"{where} is {value!r}; it must be {'a' if hint is not int else 'an'} {hint.__name__}")
    return value


@dataclass(frozen=True)
class MelConfig(Config):
    """Log-mel front end. The defaults are Vocos' (24 kHz, hop 256, 100 HTK mels, magnitude not power)."""

    sample_rate: int = 24_000  # Hz
    n_fft: int = 1024  # samples, also the window's length
    hop: int = 256  # samples between frames
    n_mels: int = 100
    floor: float = 1e-5  # magnitudes are clamped to this before the logarithm; published Vocos uses 1e-7

    def __post_init__(self) -> None:
        self.require(self.sample_rate >= 8000, "sample_rate", "at least 8000 Hz")
        self.require(self.n_fft > 0 and self.n_fft % 2 == 0, "n_fft", "positive and even")
        self.require(0 < self.hop <= self.n_fft, "hop", f"between 1 and n_fft ({self.n_fft})")
        self.require(self.n_mels > 0, "n_mels", "positive")
        self.require(0 < self.floor < 1, "floor", "between 0 and 1")

    @property
    def frame_rate(self) -> float:
        """Frames a second: 93.75 for the defaults, never rounded."""
        return self.sample_rate / self.hop


@dataclass(frozen=True)
class VocoderConfig(Config):
    """Vocos (Siuzdak 2023, arXiv:2306.00814): ConvNeXt backbone and inverse-STFT head."""

    mel: MelConfig = field(default_factory=MelConfig)
    input: Literal["mel", "codes"] = "mel"
    dim: int = 512
    intermediate_dim: int = 1536
    num_layers: int = 8
    padding: Literal["center", "same"] = "center"  # of the inverse STFT
    # the head's transform; for mel input the same as mel's, for EnCodec codes 1280 / 320
    n_fft: int = 1024
    hop: int = 256
    # codes only: EnCodec's codebooks [codebooks * codebook_size, codebook_dim], bandwidths choose the AdaLN row
    codebooks: int = 16
    codebook_size: int = 1024
    codebook_dim: int = 128
    bandwidths: tuple[float, ...] = ()  # kbit/s; empty: no AdaLN
    # Mel only: so many of the lowest bins come from a backbone of their own, with phases relative to the voice's
    # harmonics, whose pitch it hears, too. 0: all bins alike, as published.
    harmonic_bins: int = 0
    harmonic_dim: int = 256
    harmonic_layers: int = 5

    def __post_init__(self) -> None:
        names = ("dim", "intermediate_dim", "num_layers", "codebooks", "codebook_size", "codebook_dim")
        for name in (*names, "harmonic_dim", "harmonic_layers"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.n_fft > 0 and self.n_fft % 2 == 0, "n_fft", "positive and even")
        self.require(0 < self.hop <= self.n_fft, "hop", f"between 1 and n_fft ({self.n_fft})")
        self.require(all(b > 0 for b in self.bandwidths), "bandwidths", "positive numbers of kbit/s")
        most = self.n_fft // 2 + 1 if self.input == "mel" else 0
        self.require(0 <= self.harmonic_bins <= most, "harmonic_bins", f"from 0 to {most} with input {self.input!r}")
        if self.input == "mel":
            self.require(self.hop == self.mel.hop, "hop", f"the mel's hop ({self.mel.hop})")

    @property
    def input_channels(self) -> int:
        return self.mel.n_mels if self.input == "mel" else self.codebook_dim


@dataclass(frozen=True)
class NanospeechConfig(Config):
    """Flow-matching transformer over mel frames (E2-TTS arXiv:2406.18009, F5-TTS arXiv:2410.06885).

    The defaults are the published nanospeech checkpoint's; the bundled model's are in its config.json.
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
    # "pad": text padded at its end to the number of frames, as E2, F5 and nanospeech do.
    # "average": each character gets the same number of frames (ZipVoice arXiv:2506.13053).
    # "durations": each word gets the frames that the duration model, or the data's word times, give it, and each of its
    # characters the same share. "letters": each character gets its own, from the duration model or an aligner.
    text_align: Literal["pad", "average", "durations", "letters"] = "pad"
    rotary: Literal["first_head", "all_heads"] = "first_head"  # published: applied before the split into heads
    adaln: Literal["per_block", "shared"] = "per_block"
    audio_prompt: bool = True  # a channel with the reference's mel frames, for infilling
    speaker_dim: int = 0  # length of the speaker vector added to the time embedding; 0: none
    patch: int = 1  # mel frames per token
    mel_mean: float = 0.0  # the network sees (mel - mel_mean) * mel_scale
    mel_scale: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "depth", "heads", "head_dim", "ff_mult", "text_dim", "patch"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.text_layers >= 0, "text_layers", "0 or more")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, for the rotary embedding turns pairs")
        self.require(self.text_dim % 2 == 0, "text_dim", "even, for the position embedding comes in pairs")
        self.require(self.dim % 16 == 0, "dim", "a multiple of 16, for the position convolution has 16 groups")
        self.require(self.speaker_dim >= 0, "speaker_dim", "0 or more")
        self.require(self.mel_scale > 0, "mel_scale", "positive")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")
        self.require(self.audio_prompt or self.speaker_dim > 0, "audio_prompt", "true where there is no speaker vector")

    @property
    def by_durations(self) -> bool:
        """Whether it is to be told how many frames the characters have."""
        return self.text_align in ("durations", "letters")


@dataclass(frozen=True)
class DurationConfig(Config):
    """How long the speech is. "transformer": nanospeech's published model, which reads the reference's frames and the
    whole text and gives one number. "characters": ours, ConvNeXt over the characters, frames for each of them."""

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
    letters: bool = False  # whether "characters" has learned how long each character is, or only words and pauses

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "depth", "heads", "head_dim", "ff_mult", "text_dim"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("text_layers", "speaker_dim"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(self.text_dim % 2 == 0, "text_dim", "even, for the position embedding comes in pairs")
        self.require(self.head_dim % 2 == 0, "head_dim", "even, for the rotary embedding turns pairs")
        self.require(0 <= self.dropout < 1, "dropout", "from 0 to below 1")
        self.require(not self.letters or self.kind == "characters", "letters", 'false where kind is "transformer"')


@dataclass(frozen=True)
class SpeakerConfig(Config):
    """The speaker encoder's dimensions and front end. The defaults are those of Resemblyzer's weights."""

    sample_rate: int = 16_000  # Hz
    n_fft: int = 400  # samples: 25 ms
    hop: int = 160  # samples: 10 ms
    n_mels: int = 40
    hidden_dim: int = 256
    num_layers: int = 3
    speaker_dim: int = 256
    partial_frames: int = 160  # 1.6 s, the length that the network was trained on
    partials_per_second: float = 1.3
    min_coverage: float = 0.75  # share of the last partial that must be sound for it to count
    volume_db: float = -30.0  # quieter sound is raised to this rms, louder is left

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "hop", "n_mels", "hidden_dim", "num_layers", "speaker_dim"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(1 <= self.partial_step <= self.partial_frames, "partials_per_second", "such that partials touch")
        self.require(0 < self.min_coverage <= 1, "min_coverage", "above 0, at most 1")

    @property
    def partial_step(self) -> int:
        """Frames from one partial's start to the next: 77 for the defaults."""
        return round(exact_div(self.sample_rate, self.hop, "sample_rate") / self.partials_per_second)


@dataclass(frozen=True)
class SpeakOptions(Config):
    """How to speak: the one place where the defaults of the command line, the library and the servers stand.

    None means: what the model's config.json recommends.
    """

    voice: str = "celeste"
    steps: int | None = None  # intervals of the flow, not points
    method: Literal["euler", "midpoint", "rk4"] | None = None
    cfg: float | None = None  # classifier-free guidance strength; 0: none, and half the work
    sway_coef: float | None = None  # F5-TTS' sway sampling, -1 to 1; 0: evenly spaced steps
    temperature: float | None = None  # of the noise at the start or, for whisperspeech, of the tokens; lower: plainer
    top_k: int | None = None  # whisperspeech: draw among so many of the likeliest tokens; 0: among all
    speed: float = 1.0  # 2.0: twice as fast
    seed: int | None = None  # None: another reading each time

    ENGINE = ("steps", "method", "cfg", "sway_coef", "temperature", "top_k")  # those that not every engine has

    def __post_init__(self) -> None:
        self.require(self.steps is None or 1 <= self.steps <= 256, "steps", "from 1 to 256")
        self.require(self.method in (None, "euler", "midpoint", "rk4"), "method", "euler, midpoint or rk4")
        self.require(self.cfg is None or 0 <= self.cfg <= 10, "cfg", "from 0 to 10")
        self.require(self.sway_coef is None or -1 <= self.sway_coef <= 1, "sway_coef", "from -1 to 1")
        self.require(self.temperature is None or 0 <= self.temperature <= 2, "temperature", "from 0 to 2")
        self.require(self.top_k is None or self.top_k >= 0, "top_k", "0 or more")
        self.require(0.25 <= self.speed <= 4, "speed", "from 0.25 to 4")
        self.require(self.seed is None or 0 <= self.seed < 2**63, "seed", "from 0 to 2**63 - 1")

    def check_engine(self, own: tuple[str, ...]) -> None:
        """Raise ValueError for a choice that the engine does not have; its `own` are the OPTIONS of its sampling."""
        for name in self.ENGINE:
            value = getattr(self, name)
            if value is not None and name not in own:
                raise ValueError(f"{name} is {value!r}, but this model has no such option; it has {', '.join(own)}")


@dataclass(frozen=True)
class SamplingConfig(Config):
    """What a model recommends where the caller left a `SpeakOptions` field at None. The defaults are nanospeech's."""

    steps: int = 7  # published steps=8 counts points: 7 intervals
    method: Literal["euler", "midpoint", "rk4"] = "rk4"
    cfg: float = 2.0
    sway_coef: float = -1.0
    temperature: float = 1.0  # scale of the noise at the start; below 1 is plainer (Matcha-TTS, arXiv:2309.03199)
    max_seconds: float = 20.0  # the longest piece that the model is asked for at once
    min_seconds: float = 0.0  # what is shorter is joined to its neighbour, where it has one; 0: nothing

    OPTIONS = ("steps", "method", "cfg", "sway_coef", "temperature")  # of `SpeakOptions`, what this engine has

    def __post_init__(self) -> None:
        self.require(1 <= self.steps <= 256, "steps", "from 1 to 256")
        self.require(0 <= self.cfg <= 10, "cfg", "from 0 to 10")
        self.require(-1 <= self.sway_coef <= 1, "sway_coef", "from -1 to 1")
        self.require(0 < self.temperature <= 2, "temperature", "above 0 and at most 2")
        self.require(1 <= self.max_seconds <= 43, "max_seconds", "from 1 to 43 (4096 frames)")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "0 or more, below max_seconds")


@dataclass(frozen=True)
class TrainConfig(Config):
    """One training run. Model settings are in the task's own config; this is what every task shares."""

    seed: int = 0
    frames_per_batch: int = 8_000  # mel frames in one optimizer step of one process, padding counted
    accumulate: int = 1  # batches per optimizer step
    max_steps: int = 100_000
    warmup_steps: int = 500
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0  # reached linearly at the end
    decay_steps: int | None = None  # how many of the last steps the rate falls; null: all after the warm-up
    weight_decay: float = 0.01
    betas: tuple[float, ...] = (0.9, 0.95)
    clip_norm: float = 1.0
    ema: float = 0.999
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"  # auto: bf16 where there is a GPU, else float32
    checkpoint_minutes: float = 5.0
    validate_every: int = 1000  # steps
    patience: int | None = None  # the run ends after so many validations in a row without a better loss; null: not so
    keep_checkpoints: int = 2
    workers: int = 2  # processes that decode audio; 0: in the training process
    cache: bool = True  # keep decoded features in memory after the first epoch (a few hours of speech fit)
    min_seconds: float = 0.3
    max_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name in ("frames_per_batch", "accumulate", "max_steps", "validate_every", "keep_checkpoints"):
            self.require(getattr(self, name) > 0, name, "positive")
        for name in ("warmup_steps", "workers", "seed"):
            self.require(getattr(self, name) >= 0, name, "0 or more")
        self.require(self.decay_steps is None or self.decay_steps >= 0, "decay_steps", "0 or more, or null")
        self.require(self.patience is None or self.patience > 0, "patience", "positive, or null")
        self.require(self.learning_rate > 0, "learning_rate", "positive")
        self.require(
            0 <= self.final_learning_rate <= self.learning_rate, "final_learning_rate", "from 0 to learning_rate"
        )
        self.require(
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "betas", "two numbers from 0 to below 1"
        )
        self.require(self.weight_decay >= 0, "weight_decay", "0 or more")
        self.require(self.clip_norm > 0, "clip_norm", "positive")
        self.require(0 <= self.ema < 1, "ema", "from 0 to below 1")
        self.require(self.checkpoint_minutes > 0, "checkpoint_minutes", "positive")
        self.require(0 <= self.min_seconds < self.max_seconds, "min_seconds", "at least 0 and below max_seconds")
