"""One training sample: an audio file and KEY.json, which says what is spoken, by whom, and when.

A shard is a tar of KEY.ogg (or any format that libsndfile reads) with KEY.json or KEY.txt. The JSON object has the
fields of `Metadata`; all but `text` are optional. Unusable samples are counted by reason, damaged shards are named.
Knows nothing about models: a `SampleSource` turns an utterance into the features that its training task needs.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import soundfile

from vivavoce.audio.io import read
from vivavoce.data.fetch import open_shard, reason
from vivavoce.data.tar import DamagedShard, Sample, read_tar

Features = dict[str, Any]
Spans = tuple[tuple[str, float, float], ...]  # label, start, end in seconds

# Of each word: pitch in semitones, factor on the pitch range, energy in dB, factor on the pace, 1 if emphasised
Prosody = tuple[tuple[float, float, float, float, float], ...]

PROSODY_FIELDS = ("prosody", "prosody_spans", "stress")

AUDIO = ("wav", "flac", "ogg", "opus", "mp3", "aif", "aiff")  # extensions, in order of preference


# ---- what a sample says about itself --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metadata:
    """The fields of KEY.json."""

    text: str  # without white space at its ends, not empty
    speaker: str = ""
    lang: str = ""  # ISO 639 code; "": not stated
    words: Spans = ()  # word times; (): not stated
    # These are ignored if they have another form, as foreign data may use the names for something else:
    phones: Spans = ()  # phone times; (): not stated
    duration: float | None = None  # seconds
    bandwidth: float | None = None  # Hz: the recording has nothing above
    extra: Mapping[str, Any] = field(default_factory=dict)  # all other fields
    prosody: Prosody = ()  # how each word of `text.split()` differs from the speaker's usual prosody; (): not stated


def parse_metadata(values: Any) -> Metadata:
    """Check the JSON object of a sample. Raises ValueError; its message is the reason for skipping the sample."""
    if not isinstance(values, Mapping):
        raise ValueError("unreadable json")
    text = values.get("text")
    if text is None:
        raise ValueError("no text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("empty text")
    own = ("text", "speaker", "lang", "language", "words", "phones", "duration", "bandwidth", *PROSODY_FIELDS)
    return Metadata(
        text=text.strip(),
        speaker=_name(values.get("speaker")),
        lang=_name(values.get("lang") or values.get("language")),
        words=_words(values.get("words")),
        phones=_phones(values.get("phones")),
        duration=_positive(values.get("duration")),
        bandwidth=_positive(values.get("bandwidth")),
        prosody=_prosody(values, len(text.split())),
        extra={name: value for name, value in values.items() if name not in own},
    )


def metadata_of(files: Mapping[str, bytes]) -> Metadata:
    """Read a sample's KEY.json, or else KEY.txt, which holds the text alone. Raises ValueError as `parse_metadata`."""
    if "json" in files:
        try:
            values = json.loads(files["json"])
        except (ValueError, RecursionError):
            raise ValueError("unreadable json") from None
        return parse_metadata(values)
    if "txt" in files:
        return parse_metadata({"text": files["txt"].decode("utf-8-sig", "replace")})
    raise ValueError("no text")


def audio_of(files: Mapping[str, bytes]) -> bytes:
    """Return a sample's encoded audio. Raises ValueError if it has none."""
    sound = next((files[extension] for extension in AUDIO if extension in files), b"")
    if not sound:
        raise ValueError("no audio")
    return sound


def _name(value: Any) -> str:
    return "" if value is None else str(value)


def _words(values: Any) -> Spans:
    try:
        return _spans(values)
    except ValueError:
        raise ValueError("unreadable word times") from None


def _phones(values: Any) -> Spans:
    try:
        return _spans(values)
    except ValueError:
        return ()


def _spans(values: Any) -> Spans:
    try:
        spans = tuple((str(label), float(start), float(end)) for label, start, end in values or ())
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    if not all(math.isfinite(start) and math.isfinite(end) for _, start, end in spans):
        raise ValueError("times that are not finite")
    return spans


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < math.inf else None


def _prosody(values: Mapping[str, Any], words: int) -> Prosody:
    """Return the prosody of each word, from `prosody`, `prosody_spans` and `stress`."""
    try:
        whole, spans, stress = (values.get(name) or () for name in ("prosody", "prosody_spans", "stress"))
        if not whole and not stress:
            return ()
        found = [_controls(whole or {})] * words
        for first, end, controls in spans:
            found[first:end] = [_controls(controls)] * (min(end, words) - first)
        return tuple((*controls, float(number in stress)) for number, controls in enumerate(found))
    except (TypeError, ValueError, AttributeError):
        return ()


def _controls(values: Mapping[str, Any]) -> tuple[float, float, float, float]:
    pitch, wide, energy, pace = (
        float(values.get(name, usual)) for name, usual in (("pitch", 0), ("range", 1), ("energy", 0), ("pace", 1))
    )
    if not (math.isfinite(pitch) and math.isfinite(energy) and 0 < wide < math.inf and 0 < pace < math.inf):
        raise ValueError("a prosody out of range")
    return pitch, wide, energy, pace


# ---- reading shards -------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What reading shards found: used and skipped samples, by reason, and notices about whole shards."""

    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Add the counts of another process, and issue its notices as warnings."""
        self.kept += other.kept
        self.skipped.update(other.skipped)
        self.notices += other.notices
        for notice in other.notices:
            warnings.warn(notice, stacklevel=3)

    def __str__(self) -> str:
        reasons = "".join(f"; {count} skipped: {reason}" for reason, count in sorted(self.skipped.items()))
        return f"{self.kept} utterances{reasons}"


def raw_samples(shards: Iterable[str], report: Report) -> Iterator[Sample]:
    """Yield undecoded samples in the shards' order. A damaged shard yields what is readable, and a notice."""
    for shard in shards:
        try:
            with contextlib.closing(open_shard(shard)) as stream:
                yield from read_tar(stream)
        except (DamagedShard, OSError, ValueError) as error:
            why = f"{type(error).__name__}: {reason(error)}"
            report.skipped["(shards) damaged or out of reach"] += 1
            report.notices.append(f"{shard}: damaged or out of reach ({why}); used as far as readable")


# ---- utterances -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Utterance:
    """One decoded recording."""

    key: str
    samples: np.ndarray  # float32 [S]
    text: str
    speaker: str = ""
    words: Spans = ()
    lang: str = "en"
    phones: Spans = ()
    bandwidth: float | None = None
    prosody: Prosody = ()


class LengthLimits(Protocol):
    """The lengths of usable recordings; `TrainConfig` has them."""

    @property
    def min_seconds(self) -> float: ...

    @property
    def max_seconds(self) -> float: ...


def check_length(seconds: float, limits: LengthLimits) -> None:
    """Raise ValueError for a recording that is too short or too long."""
    if seconds < limits.min_seconds:
        raise ValueError(f"shorter than {limits.min_seconds} s")
    if seconds > limits.max_seconds:
        raise ValueError(f"longer than {limits.max_seconds} s")


def decode(sample: Sample, limits: LengthLimits, sample_rate: int) -> Utterance:
    """Decode a sample. Raises ValueError; its message is the reason for skipping it."""
    sound, meta = audio_of(sample.files), metadata_of(sample.files)
    try:
        samples = read(io.BytesIO(sound), sample_rate)
    except ValueError:
        raise ValueError("unreadable audio") from None
    check_length(len(samples) / sample_rate, limits)
    if not samples.any():
        raise ValueError("silent audio")
    return Utterance(
        sample.key, samples, meta.text, meta.speaker, meta.words, meta.lang or "en", meta.phones, meta.bandwidth,
        meta.prosody,
    )  # fmt: skip


def seconds_of(sample: Sample, limits: LengthLimits) -> float:
    """Return a sample's length by its headers. Raises ValueError as `decode`, for what needs no decoding."""
    sound = audio_of(sample.files)
    metadata_of(sample.files)
    try:
        seconds = soundfile.info(io.BytesIO(sound)).duration
    except (RuntimeError, TypeError):
        raise ValueError("unreadable audio") from None
    check_length(seconds, limits)
    return seconds


class SampleSource(Protocol):
    """What the readers of the data must know about a task. Instances are pickled to the worker processes.

    A task that learns from recordings inherits all but `featurize`, `length` and `fingerprint`.
    """

    @property
    def sample_rate(self) -> int:
        """Hz of the samples in the utterances that `featurize` gets."""
        ...

    def featurize(self, utterance: Utterance) -> Features:
        """Return the features for training; "length" is their size in frames. Raises ValueError: why it is skipped."""
        ...

    def length(self, seconds: float) -> int:
        """Return the size in frames that `featurize` gives an utterance of that length, or slightly more."""
        ...

    def fingerprint(self) -> str:
        """Return a string that changes whenever `featurize` would return something else."""
        ...

    def undecoded(self, shards: Iterable[str], report: Report) -> Iterator[Sample]:
        """Yield undecoded samples in the shards' order; damage is noted in the report."""
        return raw_samples(shards, report)

    def seconds(self, sample: Sample, limits: LengthLimits) -> float:
        """Return the length of an undecoded sample. Raises ValueError: why it is skipped, as far as is known."""
        return seconds_of(sample, limits)

    def features(self, sample: Sample, limits: LengthLimits) -> Features:
        """Decode and featurize a sample. Raises ValueError: why it is skipped."""
        return self.featurize(decode(sample, limits, self.sample_rate))

    def pack(self, items: list[Features]) -> list[Features]:
        """Return the items of batches, made from utterances that are neighbours in the data."""
        return items


def featurized(samples: Iterable[Sample], source: SampleSource, limits: LengthLimits, report: Report) -> list[Features]:
    """Return the features of the usable samples; the others are counted in `report`."""
    items = []
    for sample in samples:
        try:
            items.append(source.features(sample, limits))
        except ValueError as why:
            report.skipped[str(why)] += 1
        else:
            report.kept += 1
    return source.pack(items)
