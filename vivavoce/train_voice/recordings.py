"""Find a person's recordings, read them, and cut long ones at pauses. Knows nothing about what is said in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from vivavoce.audio.aac import READABLE, read_av
from vivavoce.audio.dsp import SAMPLE_RATE, Samples, frame_db
from vivavoce.audio.io import read
from vivavoce.prepare.folders import LIBRITTS_TEXTS, list_files, ljspeech
from vivavoce.prepare.recordings import is_audio, key_of
from vivavoce.prepare.settings import PrepareConfig

LONGEST, SHORTEST = 12.0, 0.8  # seconds of a clip
WHOLE = 15.0  # seconds up to which a recording with a text stays whole
ENOUGH = 3.0  # seconds after which a clip ends at the next clear pause
PAUSE, CLEAR_PAUSE = 0.2, 0.5  # seconds
MARGIN = 0.15  # seconds that a clip keeps of the pauses around it
FRAME = 0.01  # seconds


@dataclass(frozen=True)
class Source:
    """A recording of the speaker."""

    key: str  # unique, and valid as a file name
    path: Path
    text: str = ""  # "": unknown


def find_recordings(folder: Path) -> list[Source]:
    """List the recordings below a folder, with the texts beside them, in the order of their names.

    Text comes from NAME.txt, LibriTTS' NAME.normalized.txt, or LJSpeech's metadata.csv. Raises ValueError if there are
    no recordings or a text is unreadable.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the folder that holds the recordings")
    if (folder / "metadata.csv").is_file():
        entries = ljspeech(str(folder), PrepareConfig()).entries
        return [Source(key, Path(e.path), e.text) for key, e in sorted(entries.items()) if e.path]
    files = list_files(folder)
    known = set(files)
    found: dict[str, Source] = {}
    for file in files:
        stem, extension = os.path.splitext(file)
        if not is_audio(file) and extension[1:].lower() not in READABLE:
            continue
        text = next((folder / (stem + end) for end in (*LIBRITTS_TEXTS, ".txt", ".TXT") if stem + end in known), None)
        key = key_of(stem) if key_of(stem) not in found else key_of(file)
        found[key] = Source(key, folder / file, "" if text is None else _read_text(text))
    if not found:
        raise ValueError(
            f"{folder}: no recordings in it; readable are wav, flac, ogg, mp3, aiff and {', '.join(READABLE)}"
        )
    return list(found.values())


def identity(sources: Sequence[Source]) -> str:
    """Return a hash of the recordings' names, sizes and texts."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.key}\0{source.path.stat().st_size}\0{source.text}\n".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def read_recording(path: Path) -> tuple[Samples, float]:
    """Return a recording as samples [S] at SAMPLE_RATE, and the highest frequency in Hz that its own rate can hold.

    Raises ValueError, naming the file, if it cannot be read.
    """
    if path.suffix[1:].lower() in READABLE:
        samples, rate = read_av(str(path), SAMPLE_RATE)
        return samples, rate / 2
    samples = read(path, SAMPLE_RATE)
    return samples, soundfile.info(str(path)).samplerate / 2


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8") from None


# ---- cutting --------------------------------------------------------------------------------------------------------


def cut(samples: Samples, sample_rate: int = SAMPLE_RATE) -> list[tuple[int, int]]:
    """Return the clips of a recording [S] as (start, end), in order: cut at pauses, at most LONGEST seconds each.

    A pause is at least PAUSE seconds that are much quieter than the speech. A clip ends at the first clear pause after
    ENOUGH seconds, or at the last pause before LONGEST; speech without any is cut at its quietest place.
    """
    spans = [part for span in _speech(samples, sample_rate) for part in _short_enough(samples, span, sample_rate)]
    clips: list[tuple[int, int]] = []
    longest, enough, clear = (round(seconds * sample_rate) for seconds in (LONGEST, ENOUGH, CLEAR_PAUSE))
    for start, end in spans:
        if clips:
            first, last = clips[-1]
            if end - first <= longest and not (last - first >= enough and start - last >= clear):
                clips[-1] = (first, end)
                continue
        clips.append((start, end))
    least = round(SHORTEST * sample_rate)
    ends = [(0, 0), *clips, (len(samples), len(samples))]
    margin = round(MARGIN * sample_rate)
    return [
        (
            max(0, start - min(margin, (start - before[1]) // 2)),
            min(len(samples), end + min(margin, (after[0] - end) // 2)),
        )
        for before, (start, end), after in zip(ends, clips, ends[2:], strict=False)
        if end - start >= least
    ]


def _speech(samples: Samples, sample_rate: int) -> list[tuple[int, int]]:
    """Return the stretches between pauses."""
    levels = frame_db(samples, sample_rate, FRAME)
    loud, floor = np.percentile(levels, 95), np.percentile(levels, 5)
    threshold = max(loud - 40.0, min(floor + 8.0, loud - 20.0))
    sounds = np.flatnonzero(levels > threshold)
    if not len(sounds) or loud < -60.0:
        return []
    size = max(1, round(sample_rate * FRAME))
    breaks = np.flatnonzero(np.diff(sounds) > PAUSE / FRAME)
    firsts, lasts = sounds[np.concatenate(([0], breaks + 1))], sounds[np.concatenate((breaks, [len(sounds) - 1]))]
    return [(int(a) * size, min(len(samples), (int(b) + 1) * size)) for a, b in zip(firsts, lasts, strict=True)]


def _short_enough(samples: Samples, span: tuple[int, int], sample_rate: int) -> list[tuple[int, int]]:
    """Cut a stretch without pauses at its quietest place in the second half of each LONGEST seconds."""
    start, end = span
    longest = round(LONGEST * sample_rate)
    parts = []
    while end - start > longest:
        levels = frame_db(samples[start + longest // 2 : start + longest], sample_rate, FRAME)
        middle = np.convolve(levels, np.full(5, 0.2), mode="same")[2:-2]
        place = start + longest // 2 + round((int(middle.argmin()) + 2.5) * FRAME * sample_rate)
        parts.append((start, place))
        start = place
    return [*parts, (start, end)]
