"""The base of all configs, which validate themselves, and the options of speaking."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import numbers
import os
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

C = TypeVar("C", bound="Config")
ASSETS = Path(__file__).parent / "assets"  # bundled weights and voices
BUILTIN_VOICES = ("celeste", "luna", "nash", "orion", "rhea")
BACKENDS = ("auto", "torch", "mlx", "onnx")
DEVICES = ("auto", "cpu", "cuda", "mps")  # and cuda:0, cuda:1, ...
FLOATS = ("float32", "bfloat16", "float16")
# int8: 8-bit weights, with onnx only. auto: those if the model's config says so, else float32.
DTYPES = ("auto", *FLOATS, "int8")
SPEEDS = (0.25, 4.0)  # speaking rates, 1 is usual
MAX_THREADS = 4  # of one computation: the matrices of these models are too small for more


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError, listing the choices, for another value."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be {', '.join(choices[:-1])} or {choices[-1]}")


def available_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compute_threads() -> int:
    """Return the number of threads for one computation: OMP_NUM_THREADS, or the cores, at most MAX_THREADS.

    The limit of a container (cgroup v2) counts too: with more threads than its share of the machine, they wait for
    each other.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdecimal() and int(asked):
        return int(asked)
    cores = float(min(available_cores(), MAX_THREADS))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, float(quota) / float(period))  # "max" is not a number
    return max(1, int(cores))


def exact_div(a: int, b: int, what: str) -> int:
    """Return a / b, which must be a whole number: a rounded rate drifts. Raises ValueError naming `what`."""
    if a % b:
        raise ValueError(f"{what}: {a} is not a multiple of {b}")
    return a // b


@dataclass(frozen=True)
class Config:
    """A frozen dataclass that is read strictly from JSON objects and written to them."""

    @classmethod
    def from_dict(cls: type[C], values: dict[str, Any], where: str = "") -> C:
        """Build the config from a JSON object; `where` names the file in error messages.

        Raises ValueError for an unknown key, naming the closest valid one, and for a value that is missing, out of
        range or of the wrong type.
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
        """Return the config as a JSON object with every field."""
        return dataclasses.asdict(self)

    def replace(self: C, **changes: Any) -> C:
        """Return a copy with some fields changed. Raises ValueError for unknown names."""
        names = [f.name for f in dataclasses.fields(self)]
        for key in changes:
            if key not in names:
                raise ValueError(f"{type(self).__name__}: unknown setting {key!r}; valid are {', '.join(names)}")
        return dataclasses.replace(self, **changes)

    def require(self, condition: bool, name: str, right: str) -> None:
        """Raise ValueError, naming the field, its value and what is `right`, unless the condition holds."""
        if not condition:
            raise ValueError(f"{name} is {_shown(getattr(self, name))}; it must be {right}")


def _shown(value: Any) -> str:
    """Return the repr of a value, shortened to fit into a message."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


_TYPES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Convert a value from JSON to the type of a field's annotation."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            if type(None) in args:
                return None
            raise ValueError(f"{where} must not be null")
        return _convert(value, next(a for a in args if a is not type(None)), where)
    if origin is Literal:
        if not isinstance(value, str | int | float | None) or value not in args:  # a list cannot be looked up
            raise ValueError(f"{where} is {_shown(value)}; it must be one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} is {_shown(value)}; it must be a list")
        return tuple(_convert(v, args[0], where) for v in value)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else hint.from_dict(value, where)  # type: ignore[union-attr,arg-type]
    if hint in (int, float):
        return _number(value, hint, where)
    if hint in _TYPES and not isinstance(value, hint):
        raise ValueError(f"{where} is {_shown(value)}; it must be {_TYPES[hint]}")
    return value


def _number(value: Any, hint: type, where: str) -> int | float:
    """Convert a number, NumPy's too, to int or float. Booleans are no numbers."""
    fits = isinstance(value, numbers.Integral if hint is int else numbers.Real) and not isinstance(value, bool)
    if not fits:
        raise ValueError(f"{where} is {_shown(value)}; it must be {_TYPES[hint]}")
    if hint is int:
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):  # Python's JSON reads NaN and Infinity
        raise ValueError(f"{where} is {_shown(value)}; it must be a finite number")
    return number


@dataclass(frozen=True)
class MelConfig(Config):
    """Settings of the log-mel front end. The defaults are Vocos' (24 kHz, hop 256, 100 HTK mels, magnitude not power).

    The upper limits are far beyond any use: they keep a damaged config from filling the memory.
    """

    sample_rate: int = 24_000  # Hz
    n_fft: int = 1024  # samples, also the window's length
    hop: int = 256  # samples between frames
    n_mels: int = 100
    floor: float = 1e-5  # magnitudes are clamped to this before the logarithm; published Vocos uses 1e-7

    def __post_init__(self) -> None:
        self.require(8000 <= self.sample_rate <= 384_000, "sample_rate", "from 8000 to 384000 Hz")
        self.require(0 < self.n_fft <= 65_536 and self.n_fft % 2 == 0, "n_fft", "even, from 2 to 65536")
        self.require(0 < self.hop <= self.n_fft, "hop", f"between 1 and n_fft ({self.n_fft})")
        self.require(0 < self.n_mels <= 1024, "n_mels", "from 1 to 1024")
        self.require(0 < self.floor < 1, "floor", "between 0 and 1")

    @property
    def frame_rate(self) -> float:
        """Frames per second: 93.75 for the defaults, never rounded."""
        return self.sample_rate / self.hop


# Models are trained with less: 3 semitones, 0.6 to 1.5, 6 dB, 0.8 to 1.25. Speech that is more than 8 dB louder than
# VOICE_DB would clip.
PROSODY_LIMITS = {"pitch": (-6.0, 6.0), "pitch_range": (0.3, 2.0), "energy": (-12.0, 8.0), "pace": (0.5, 2.0)}


@dataclass(frozen=True)
class SpeakOptions(Config):
    """How to speak: the defaults of the command line, the library and the server.

    None stands for what the model's config.json recommends.
    """

    voice: str = "celeste"
    steps: int | None = None  # intervals of the flow, not points
    method: Literal["euler", "midpoint", "rk4"] | None = None
    cfg: float | None = None  # strength of classifier-free guidance; 0: none, at half the cost
    sway_coef: float | None = None  # F5-TTS' sway sampling, -1 to 1; 0: evenly spaced steps
    temperature: float | None = None  # scale of the initial noise, or of the tokens for whisperspeech; lower is plainer
    top_k: int | None = None  # whisperspeech: sample from this many of the most likely tokens; 0: from all
    speed: float = 1.0  # 2.0 is twice as fast
    pitch: float = 0.0  # semitones above or below the voice's own pitch
    pitch_range: float = 1.0  # factor on how far the pitch moves; below 1 is flatter, above 1 livelier
    energy: float = 0.0  # dB louder or softer
    pace: float = 1.0  # as speed, but the model chooses which sounds and pauses to shorten, if it can
    seed: int | None = None  # None: a new one each time

    ENGINE = ("steps", "method", "cfg", "sway_coef", "temperature", "top_k")  # not every engine has these

    def __post_init__(self) -> None:
        self.require(self.steps is None or 1 <= self.steps <= 256, "steps", "from 1 to 256")
        self.require(self.method in (None, "euler", "midpoint", "rk4"), "method", "euler, midpoint or rk4")
        self.require(self.cfg is None or 0 <= self.cfg <= 10, "cfg", "from 0 to 10")
        self.require(self.sway_coef is None or -1 <= self.sway_coef <= 1, "sway_coef", "from -1 to 1")
        self.require(self.temperature is None or 0 <= self.temperature <= 2, "temperature", "from 0 to 2")
        self.require(self.top_k is None or self.top_k >= 0, "top_k", "0 or more")
        self.require(SPEEDS[0] <= self.speed <= SPEEDS[1], "speed", "from 0.25 to 4")
        for name, (low, high) in PROSODY_LIMITS.items():
            self.require(low <= getattr(self, name) <= high, name, f"from {low:g} to {high:g}")
        self.require(self.seed is None or 0 <= self.seed < 2**63, "seed", "from 0 to 2**63 - 1")

    def check_engine(self, own: tuple[str, ...]) -> None:
        """Raise ValueError for an option that the engine lacks. own: the OPTIONS of its sampling config."""
        for name in self.ENGINE:
            value = getattr(self, name)
            if value is not None and name not in own:
                raise ValueError(f"{name} is {value!r}, but this model has no such option; it has {', '.join(own)}")
