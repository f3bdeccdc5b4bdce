"""Prosody as numbers: how a stretch of speech differs from the voice's own reading.

Everything is relative to the voice's own reading, so the same numbers mean the same for a deep voice and a high one,
and the neutral ones change nothing. Knows nothing about models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vivavoce.config import PROSODY_LIMITS

# What a network reads for each character. Each number is about -1 to 1, and 0 is neutral.
CHANNELS = ("pitch", "range", "energy", "pace", "stress", "hidden")
# The limits that models are trained in, where a number is 1
PITCH = 3.0  # semitones
RANGE = 1.5
ENERGY = 6.0  # dB
PACE = 1.25


class ProsodyRange(ValueError):
    """A number out of range. right: the range in words."""

    def __init__(self, message: str, right: str = "") -> None:  # with `message` alone, as pickle makes it
        super().__init__(message)
        self.right = right


class NoProsody(ValueError):
    """A pitch or a range was requested from a model without prosody conditions."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}, but this model has no prosody conditions; the bundled nanospeech has them, and energy and pace "
            "can be changed with any model"
        )
        self.what = what

    def __reduce__(self) -> tuple[type[NoProsody], tuple[str]]:  # for processes: `args` is the whole message
        return NoProsody, (self.what,)


@dataclass(frozen=True)
class Prosody:
    """How a stretch of speech differs from the voice's own reading; the defaults are neutral."""

    pitch: float = 0.0  # semitones
    range: float = 1.0  # factor on the distance of the pitch from its mean, in semitones
    energy: float = 0.0  # dB
    pace: float = 1.0  # factor on the speed
    stress: float = 0.0  # 1: an emphasised word

    def __post_init__(self) -> None:
        for name, low, high, unit in LIMITS:
            value = getattr(self, name)
            if not low <= value <= high:
                right = f"from {low:g} to {high:g}{unit}"
                raise ProsodyRange(f"{name} is {value}; it must be {right}", right)

    @property
    def neutral(self) -> bool:
        return self == Prosody()

    def within(self, outer: Prosody) -> Prosody:
        """Return this prosody inside another one: pitches and dB add up, factors multiply, within the limits."""
        values = {
            "pitch": self.pitch + outer.pitch,
            "range": self.range * outer.range,
            "energy": self.energy + outer.energy,
            "pace": self.pace * outer.pace,
            "stress": self.stress + outer.stress,
        }
        return Prosody(**{name: min(high, max(low, values[name])) for name, low, high, _ in LIMITS})

    def options(self) -> dict[str, float]:
        """Return the options of `TTS.speak` that request it; emphasis has none."""
        return {"pitch": self.pitch, "pitch_range": self.range, "energy": self.energy, "pace": self.pace}

    def numbers(self) -> tuple[float, ...]:
        """Return the channels of a character."""
        return (
            self.pitch / PITCH,
            math.log(self.range) / math.log(RANGE),
            self.energy / ENERGY,
            math.log(self.pace) / math.log(PACE),
            self.stress,
            0.0,
        )


LIMITS = (
    ("pitch", *PROSODY_LIMITS["pitch"], " semitones"),
    ("range", *PROSODY_LIMITS["pitch_range"], ""),
    ("energy", *PROSODY_LIMITS["energy"], " dB"),
    ("pace", *PROSODY_LIMITS["pace"], ""),
    ("stress", -1.0, 1.0, ""),
)
NEUTRAL = Prosody()
HIDDEN = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # of a character whose prosody is not stated, only in training


def channels(characters: Iterable[Prosody]) -> np.ndarray:
    """Return what a network reads for the prosody of each character: float32 [T, 6]."""
    known: dict[Prosody, tuple[float, ...]] = {}
    rows = []
    for prosody in characters:
        if prosody not in known:
            known[prosody] = prosody.numbers()
        rows.append(known[prosody])
    return np.array(rows, np.float32).reshape(-1, len(CHANNELS))


def parse_pitch(written: str) -> float:
    """Return semitones from "+2", "-1.5st" or "2 st". Raises ValueError for anything else, and out of range."""
    return _parse(written, "pitch", r"st|semitones?", "+2st")


def parse_energy(written: str) -> float:
    """Return dB from "+3", "-6dB" or "3 dB". Raises ValueError for anything else, and out of range."""
    return _parse(written, "energy", r"dB|db", "+3dB")


def parse_factor(written: str, name: str) -> float:
    """Return a factor on the "range" or the "pace" from "1.3". Raises ValueError for anything else."""
    return _parse(written, name, "", "1.3")


def _parse(written: str, name: str, unit: str, example: str) -> float:
    # U+2212 is the minus of typesetters
    plain = written.strip().replace("\u2212", "-")
    m = re.fullmatch(rf"([+-]?(?:\d{{1,3}}(?:\.\d{{0,9}})?|\.\d{{1,9}}))(?:\s?(?:{unit}))?", plain, re.ASCII)
    if m is None:
        raise ValueError(f"{name} is {written!r}; use a form such as {example}")
    return float(getattr(Prosody(**{name: float(m[1])}), name))


def described(prosody: Prosody) -> list[str]:
    """Return what differs from neutral, in words: "pitch +2", "emphasis"."""
    found = [f"pitch {prosody.pitch:+g}"] if prosody.pitch else []
    found += [f"range {prosody.range:g}"] if prosody.range != 1 else []
    found += [f"energy {prosody.energy:+g}"] if prosody.energy else []
    found += [f"pace {prosody.pace:g}"] if prosody.pace != 1 else []
    return found + (["emphasis"] if prosody.stress else [])


# Named for what they do. They are not emotions: a flat pitch does not sound sad.
STYLES = {
    "calm": Prosody(pitch=-0.5, range=0.8, energy=-2.0, pace=0.92),
    "lively": Prosody(pitch=0.5, range=1.35, energy=1.5, pace=1.05),
    "flat": Prosody(range=0.6),
    "soft": Prosody(pitch=-0.3, range=0.85, energy=-5.0, pace=0.95),
    "firm": Prosody(pitch=-0.8, range=1.1, energy=3.0, pace=0.97),
}


def parse_style(name: str) -> Prosody:
    """Return the prosody of a style. Raises ValueError for an unknown one."""
    if name not in STYLES:
        raise ValueError(f"style is {name!r}; it must be one of {', '.join(STYLES)}")
    return STYLES[name]


# Words of an instruction in plain English, and what they request.
WORDS: dict[str, Prosody] = {
    **STYLES,
    **dict.fromkeys(("calmly", "relaxed"), STYLES["calm"]),
    **dict.fromkeys(("livelier", "animated", "expressive", "energetic", "energetically"), STYLES["lively"]),
    **dict.fromkeys(("flatly", "flatter", "monotone", "monotonous"), STYLES["flat"]),
    **dict.fromkeys(("softly", "softer", "gently", "gentle"), STYLES["soft"]),
    **dict.fromkeys(("firmly",), STYLES["firm"]),
    **dict.fromkeys(("slowly", "slow", "slower"), Prosody(pace=0.85)),
    **dict.fromkeys(("fast", "faster", "quickly", "quick", "quicker"), Prosody(pace=1.18)),
    **dict.fromkeys(("loudly", "loud", "louder"), Prosody(energy=4.0)),
    **dict.fromkeys(("quietly", "quiet", "quieter"), Prosody(energy=-5.0)),
    **dict.fromkeys(("higher", "high-pitched"), Prosody(pitch=2.0)),
    **dict.fromkeys(("lower", "deeper", "low-pitched"), Prosody(pitch=-2.0)),
}
_FILLERS = frozenset(
    "speak say talk read be sound in with a an the and but very more please voice tone way manner this it text at pace "
    "pitch speed volume".split()
)
# also "isn't" and the like; "less" and "too" reverse what follows them
_NEGATIONS = frozenset(
    "not no never cannot neither nor none nothing without avoid avoids avoiding refrain stop hardly less too "
    "dont cant isnt arent mustnt shouldnt".split()
)


def parse_instructions(text: str) -> tuple[Prosody, list[str]]:
    """Return what an instruction in plain English requests, and its words that are not understood.

    No word of a sentence with a negation is understood, because it is not clear how far the negation reaches.
    """
    known, unknown = _understood(text)
    found = NEUTRAL
    for prosody in dict.fromkeys(WORDS[word] for word in known):
        found = prosody.within(found)
    return found, unknown


def without_conditions(text: str) -> list[str]:
    """Return the known words of an instruction that a model without prosody conditions cannot follow. A word that
    requests nothing else is named, otherwise its part: "higher", "pitch and range of calm".
    """
    found = []
    for word in dict.fromkeys(_understood(text)[0]):
        asked = WORDS[word]
        lost = ["pitch"] * bool(asked.pitch) + ["range"] * (asked.range != 1)
        if lost:
            whole = asked == Prosody(pitch=asked.pitch, range=asked.range)
            found.append(word if whole else f"{' and '.join(lost)} of {word}")
    return found


def _understood(text: str) -> tuple[list[str], list[str]]:
    """Return the words of an instruction that are in WORDS, and those that are not understood."""
    known: list[str] = []
    unknown: list[str] = []
    for sentence in re.split(r"[.!?;\n]", text.lower().replace("\u2019", "'")):
        words = re.findall(r"[\w'-]+", sentence)
        if any(word in _NEGATIONS or word.endswith("n't") for word in words):
            unknown += words
            continue
        known += [word for word in words if word in WORDS]
        unknown += [word for word in words if word not in WORDS and word not in _FILLERS]
    return known, unknown
