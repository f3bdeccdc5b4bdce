"""The options of a run of `vivavoce train-voice`."""

from __future__ import annotations

from dataclasses import dataclass

from vivavoce.config import Config


@dataclass(frozen=True)
class TrainVoiceConfig(Config):
    """The settings of one run. A resumed run may have other `minutes`, `threads` and texts."""

    name: str
    minutes: float = 60.0  # of training, at most
    base: str = "bundled"  # the model that the voice is trained from
    lang: str = "en"
    licence: str = "private"
    consent: str = ""  # "": a default with the date
    description: str = ""
    asr: str = "base"  # Whisper's size or folder
    threads: int = 0  # of training; 0: chosen by PyTorch
    rank: bool = False  # store the weights as factors of low rank: a smaller file, and slightly less similar

    def __post_init__(self) -> None:
        self.require(0 < self.minutes <= 10_000, "minutes", "above 0 and at most 10000")
        self.require(0 <= self.threads <= 256, "threads", "from 0 to 256")
        self.require(bool(self.lang.strip()), "lang", "a language code such as en")


# Minutes of usable speech
CLONE_BELOW, EXPECT_BELOW, LEAST = 3.0, 30.0, 0.25


def advice(minutes: float, name: str) -> str:
    """Return what to expect of so many minutes of speech; "" if there are plenty."""
    if minutes < CLONE_BELOW:
        return (
            f"{minutes:.1f} minutes of usable speech: expect the sound of the voice, hardly its way of speaking. "
            "Cloning it from one good sentence (--ref-audio) takes no time; the report has both to compare. Record "
            f"{EXPECT_BELOW:.0f} minutes for more: vivavoce record"
        )
    if minutes < EXPECT_BELOW:
        return (
            f"{minutes:.1f} minutes of usable speech: expect the sound of the voice and some of its melody; rare words "
            f"may be read in the base model's way. {EXPECT_BELOW:.0f} minutes are better: vivavoce record"
        )
    return ""
