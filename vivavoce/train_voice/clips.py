"""Clips with their words, in shards: recordings are cut and transcribed, and the clips are checked.

A shard of each recording is written whole or not at all, so an interrupted run resumes with the next recording.
"""

from __future__ import annotations

import functools
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import SAMPLE_RATE, Samples
from vivavoce.audio.files import write_json
from vivavoce.audio.io import encode, read
from vivavoce.data.samples import audio_of
from vivavoce.data.tar import ShardWriter, read_shard
from vivavoce.metrics.asr import WordRecognizer
from vivavoce.metrics.mos import OpinionModel
from vivavoce.metrics.similarity import SpeakerEncoder
from vivavoce.train_voice.recordings import LONGEST, SHORTEST, WHOLE, Source, cut, read_recording

# Likeness of a clip to the mean of all clips by GE2E, below which another person speaks: clips of one person among each
# other have 0.9, the nearest of five other voices 0.57 (readers of LibriSpeech)
OTHER_SPEAKER = 0.6
NOISY = 1.6  # DNSMOS BAK; a clip below it is dropped
NOISY_MEDIAN, REVERBERANT_MEDIAN = 3.0, 2.8  # DNSMOS BAK and SIG of all clips, below which a notice is given

Progress = Callable[[str, float], None]


@dataclass
class Clip:
    """A clip in a shard."""

    key: str
    samples: Samples  # [S] at SAMPLE_RATE
    meta: dict[str, Any]
    sound: bytes  # as stored

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass
class Tally:
    """The outcome of the recordings."""

    kept: int = 0
    seconds: float = 0.0
    dropped: Counter[str] = field(default_factory=Counter)
    transcribed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "kept": self.kept, "minutes": round(self.seconds / 60, 3), "dropped": dict(self.dropped.most_common()),
            "transcribed": self.transcribed,
        }  # fmt: skip


def make_clips(
    sources: Sequence[Source],
    out: Path,
    speaker: str,
    lang: str,
    recognizer: Callable[[], WordRecognizer],
    progress: Progress,
) -> Tally:
    """Write out/KEY.tar, the clips of each recording with their words, and return what there is.

    recognizer: loads the recogniser, for the first clip without a text. Raises ValueError if nothing is usable.
    """
    out.mkdir(parents=True, exist_ok=True)
    recognizer = functools.cache(recognizer)  # loaded if it is needed, and once
    total = Tally()
    for number, source in enumerate(sources):
        progress(f"{number} of {len(sources)} recordings", number / len(sources))
        name = source.key.replace("/", "+")
        done = out / f"{name}.json"
        if not done.exists():
            tally = _clips_of(source, out / f"{name}.tar", speaker, lang, recognizer)
            write_json(done, tally.to_dict())
        values = json.loads(done.read_text(encoding="utf-8"))
        total.kept += values["kept"]
        total.seconds += 60 * values["minutes"]
        total.transcribed += values["transcribed"]
        total.dropped.update(values["dropped"])
    if not total.kept:
        reasons = "; ".join(f"{count} {reason}" for reason, count in total.dropped.most_common())
        raise ValueError(f"no usable speech in the recordings ({reasons or 'they are silent'})")
    return total


def _clips_of(
    source: Source,
    target: Path,
    speaker: str,
    lang: str,
    recognizer: Callable[[], WordRecognizer],
) -> Tally:
    tally = Tally()
    try:
        wave, bandwidth = read_recording(source.path)
    except ValueError as error:
        if "pip install" in str(error):  # a package is missing: that is not the recording's fault
            raise
        tally.dropped["an unreadable recording"] += 1
        return tally
    text = source.text
    whole = len(wave) <= WHOLE * SAMPLE_RATE
    spans = [(0, len(wave))] if text and whole else cut(wave)
    if text and not whole:
        text = ""  # it belongs to all clips together; Whisper finds the words of each
    if not spans:
        tally.dropped["silent"] += 1
    writer = ShardWriter(target)
    try:
        for number, (start, end) in enumerate(spans):
            samples = wave[start:end]
            meta: dict[str, Any] = {"text": text, "text_source": "file"}
            if len(samples) < SHORTEST * SAMPLE_RATE:
                tally.dropped[f"shorter than {SHORTEST:g} s"] += 1
                continue
            if not text:
                found = recognizer().transcribe_words(samples, SAMPLE_RATE, lang)
                tally.transcribed += 1
                if doubt := found.doubt():
                    tally.dropped[doubt] += 1
                    continue
                meta = {"text": found.text, "words": found.words, "text_source": "Whisper"}
            meta |= {"lang": lang, "speaker": speaker, "duration": round(len(samples) / SAMPLE_RATE, 4)}
            if bandwidth < SAMPLE_RATE / 2:
                meta["bandwidth"] = bandwidth
            stem = source.key.replace("/", "+")
            files = {
                "flac": encode(samples, SAMPLE_RATE, "flac"),
                "json": json.dumps(meta, ensure_ascii=False).encode(),
            }
            writer.add(f"{stem}-{number:04d}", files)
            tally.kept += 1
            tally.seconds += len(samples) / SAMPLE_RATE
        writer.close()
    except BaseException:
        writer.discard()
        raise
    if not tally.kept:
        target.unlink()
    return tally


def read_clips(folder: Path, split: str = "") -> list[Clip]:
    """Read the clips in a folder of shards, in the order of their keys; split: only shards whose name begins so."""
    found = []
    for shard in sorted(folder.glob(f"{split}*.tar")):
        for sample in read_shard(shard):
            sound = audio_of(sample.files)
            found.append(Clip(sample.key, read(io.BytesIO(sound)), json.loads(sample.files["json"]), sound))
    return found


# ---- checks ---------------------------------------------------------------------------------------------------------


@dataclass
class Checked:
    """The clips that are good enough, and what was noticed."""

    clips: list[Clip]
    vectors: npt.NDArray[np.float32]  # speaker vectors of `clips` [N, V]
    dropped: Counter[str]
    notices: list[str]
    opinions: dict[str, float]  # medians of DNSMOS; empty if it is not installed

    @property
    def minutes(self) -> float:
        return sum(clip.seconds for clip in self.clips) / 60


def check_clips(
    clips: Sequence[Clip], encoder: SpeakerEncoder, dnsmos: OpinionModel | None, progress: Progress
) -> Checked:
    """Drop clips of other speakers and noise, and say what is wrong with the recordings as a whole.

    Raises ValueError if nothing is left.
    """
    vectors, opinions = [], []
    for number, clip in enumerate(clips):
        progress(f"{number} of {len(clips)} clips", number / max(1, len(clips)))
        vectors.append(encoder.embed(clip.samples, SAMPLE_RATE))
        opinions.append(None if dnsmos is None else dnsmos.score(clip.samples, SAMPLE_RATE))
    table = np.stack(vectors)
    own = np.ones(len(clips), bool)
    for _ in range(5):  # the mean of most clips, then of those that are like it
        center = table[own].mean(axis=0)
        likeness = table @ (center / max(1e-9, float(np.linalg.norm(center))))
        found = likeness >= min(OTHER_SPEAKER, float(np.median(likeness)))
        if (found == own).all():
            break
        own = found
    dropped: Counter[str] = Counter()
    kept = []
    for number, opinion in enumerate(opinions):
        if not own[number]:
            dropped["another speaker"] += 1
        elif opinion is not None and opinion.bak < NOISY:
            dropped["noise"] += 1
        else:
            kept.append(number)
    if not kept:
        raise ValueError(f"no clip passes the checks: {', '.join(f'{n} {why}' for why, n in dropped.items())}")
    notices, medians = [], {}
    if scored := [opinions[number] for number in kept if opinions[number] is not None]:
        medians = {name: float(np.median([getattr(o, name) for o in scored])) for name in ("ovrl", "sig", "bak")}
        if medians["bak"] < NOISY_MEDIAN:
            notices.append(
                f"the recordings are noisy (DNSMOS BAK {medians['bak']:.1f}): the voice will have the noise, too"
            )
        if medians["sig"] < REVERBERANT_MEDIAN:
            notices.append(
                f"the speech sounds distant or distorted (DNSMOS SIG {medians['sig']:.1f}): record nearer to the "
                "microphone, in a room with soft furnishings"
            )
    if dropped["another speaker"] > 0.1 * len(clips):
        notices.append("more than one person speaks in the recordings; only the one who speaks most is learned")
    return Checked([clips[n] for n in kept], table[kept], dropped, notices, medians)


def write_checked(checked: Checked, target: Path) -> None:
    """Write the clips that passed into one shard for `vivavoce prepare`, atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(target)
    try:
        for clip in checked.clips:
            meta = {name: value for name, value in clip.meta.items() if name != "duration"}
            writer.add(clip.key, {"flac": clip.sound, "json": json.dumps(meta, ensure_ascii=False).encode()})
        writer.close()
    except BaseException:
        writer.discard()
        raise


def best_reference(checked: Checked) -> Clip:
    """Return the clip of 4 to 12 s (or the longest) that is most similar to the mean of all clips."""
    center = mean_vector(checked.vectors)
    likeness = checked.vectors @ center
    good = [n for n, clip in enumerate(checked.clips) if 4.0 <= clip.seconds <= LONGEST]
    if not good:
        return max(checked.clips, key=lambda clip: clip.seconds)
    return checked.clips[max(good, key=lambda n: float(likeness[n]))]


def mean_vector(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the unit vector of the mean of unit vectors [N, V]."""
    center = vectors.mean(axis=0)
    return (center / np.linalg.norm(center)).astype(np.float32)
