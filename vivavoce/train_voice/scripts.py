"""Sentences to record, and what is wrong with a take of one. Knows nothing about microphones and terminals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import frame_db, speech_span
from vivavoce.audio.files import atomic_write
from vivavoce.audio.io import encode
from vivavoce.config import ASSETS

SIZES = (50, 200, 500)  # the most varied sentences come first
CLIPPED, QUIET = 0.98, 0.08  # peaks, 1 is full scale
NOISE_DB = -45.0  # dBFS of the quietest parts
FASTEST = 28.0  # characters a second


def read_script(what: str) -> list[str]:
    """Return the sentences of a built-in script, by its size, or the lines of a file. Raises ValueError."""
    if what.isdecimal():
        if int(what) not in SIZES:
            raise ValueError(f"sentences is {what}; it must be {', '.join(map(str, SIZES))} or a file")
        return (ASSETS / "scripts" / "en.txt").read_text(encoding="utf-8").splitlines()[: int(what)]
    try:
        lines = [line.strip() for line in Path(what).read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise ValueError(f"{what}: {error.strerror or error}; give {', '.join(map(str, SIZES))} or a file") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{what}: byte {error.start} is not UTF-8") from None
    if not any(lines):
        raise ValueError(f"{what}: has no sentences; it must have one on each line")
    return [line for line in lines if line]


def paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Return the files of the recording and the text of sentence `number`, from 1."""
    return folder / f"{number:04d}.flac", folder / f"{number:04d}.txt"


def missing(folder: Path, sentences: Sequence[str]) -> list[int]:
    """Return the numbers of the sentences that are not recorded yet, from 1."""
    return [n for n in range(1, len(sentences) + 1) if not all(path.is_file() for path in paths(folder, n))]


def store(folder: Path, number: int, sentence: str, samples: npt.ArrayLike, sample_rate: int) -> None:
    """Write a take and its text, each atomically: the text last, so that a recording without one is made again."""
    sound, text = paths(folder, number)
    store_sound(sound, samples, sample_rate)
    store_text(text, sentence)


def store_sound(path: Path, samples: npt.ArrayLike, sample_rate: int) -> None:
    """Write a take [S] as FLAC, atomically."""
    atomic_write(path, encode(samples, sample_rate, "flac"))


def store_text(path: Path, text: str) -> None:
    """Write the words of a take, atomically."""
    atomic_write(path, f"{text}\n".encode())


def faults(samples: npt.ArrayLike, sample_rate: int, sentence: str) -> list[str]:
    """Return what is wrong with a take [S], as messages for the speaker; [] if it is good.

    sentence: what was to be read; "" for a recording of any other speech, whose ends and length do not matter.
    """
    wave = np.asarray(samples, np.float32)
    peak = float(np.abs(wave).max(initial=0.0))
    if peak < QUIET / 10:
        return ["nothing was heard; is this the right microphone?"]
    found = []
    if peak >= CLIPPED:
        found.append("too loud: move back, or turn the microphone down")
    if peak < QUIET:
        found.append("too quiet: move nearer, or turn the microphone up")
    levels = frame_db(wave, sample_rate)
    if float(np.percentile(levels, 5)) > NOISE_DB:
        found.append("noise in the background")
    if not sentence:
        return found
    start, end, _ = speech_span(wave, sample_rate, margin=0.0)
    seconds = (end - start) / sample_rate
    if seconds * FASTEST < len(sentence):
        found.append(f"only {seconds:.1f} s: was it read to the end?")
    edge = round(0.05 * sample_rate)
    if start < edge or len(wave) - end < edge:
        found.append("it begins or ends in a word: wait a moment before the first and after the last")
    return found


def meter(peak: float, width: int = 40) -> str:
    """Return a level meter in text for a peak, 0 to 1."""
    decibels = 20 * math.log10(max(peak, 1e-5))
    full = round(width * max(0.0, 1 + decibels / 60))
    return f"[{'#' * full}{' ' * (width - full)}] {decibels:4.0f} dB{' TOO LOUD' if peak >= CLIPPED else '':9}"
