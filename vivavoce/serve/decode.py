"""Decode uploaded recordings in a separate process with limited memory and time.

`decode_recording` starts `python -m vivavoce.serve.decode`, sends it the recording and receives the samples, so that a
damaged or hostile file can only crash that process.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import sys
import warnings
from typing import Any

import numpy as np
import soundfile

from vivavoce.audio.dsp import SAMPLE_RATE, Samples, resample
from vivavoce.audio.io import blocks
from vivavoce.serve import sandbox
from vivavoce.voices import Voice

SECONDS = 20.0  # lifetime of the process
MEMORY = 2 << 30  # bytes of address space, much of which the libraries take
MAX_CHANNELS = 8
RATES = (8_000, 192_000)  # Hz
READ_SECONDS = 60  # of the recording; a voice uses at most 15


async def decode_recording(recording: bytes, transcript: str | None) -> tuple[Samples, str | None, list[str]]:
    """Return the samples [S] as `Voice.from_file` prepares them, the transcript if it still fits, and notices.

    recording: a file in any format that libsndfile reads.
    Raises ValueError, without any path in the message, if it cannot be decoded or holds no voice.
    """
    samples, about = await _decoded({"transcript": transcript}, recording)
    return samples, about["transcript"], about["notices"]


async def decode_whole(recording: bytes, max_seconds: float) -> Samples:
    """Return a whole recording as samples [S] at SAMPLE_RATE. Raises ValueError, also for one that is too long."""
    samples, _ = await _decoded({"max_seconds": max_seconds}, recording)
    return samples


async def decode_own_rate(recording: bytes, max_seconds: float) -> tuple[Samples, int]:
    """Return a whole recording as samples [S], and its rate, which is SAMPLE_RATE at most. Raises as `decode_whole`."""
    samples, about = await _decoded({"max_seconds": max_seconds, "own_rate": True}, recording)
    return samples, about["rate"]


async def _decoded(asked: dict[str, Any], recording: bytes) -> tuple[Samples, dict[str, Any]]:
    head = json.dumps(asked).encode() + b"\n"
    try:
        out = await sandbox.run("vivavoce.serve.decode", head + recording, MEMORY, SECONDS)
    except TimeoutError:
        raise ValueError(f"decoding the recording took longer than {SECONDS:g} s") from None
    if out is None:
        raise ValueError("the recording cannot be decoded within the memory and time limits")
    head, _, samples = out.partition(b"\n")
    about = json.loads(head)
    if "error" in about:
        raise ValueError(about["error"])
    return np.frombuffer(samples, np.float32).copy(), about


def _voice(recording: bytes, transcript: str | None) -> Voice:
    """Return the voice of a recording. Raises ValueError."""
    wave, rate = _wave(recording, READ_SECONDS)
    whole = io.BytesIO()
    soundfile.write(whole, wave, rate, format="WAV", subtype="FLOAT")
    whole.seek(0)
    return Voice.from_file(whole, transcript)


def _whole(recording: bytes, max_seconds: float, own_rate: bool) -> tuple[Samples, int]:
    """Return the samples of a recording, and their rate: SAMPLE_RATE, or its own if that is lower. Raises ValueError.

    own_rate: keep a rate below SAMPLE_RATE, which tells what the recording cannot hold.
    """
    wave, rate = _wave(recording, math.ceil(max_seconds) + 1)
    if len(wave) > max_seconds * rate:
        raise ValueError(f"the recording is longer than {max_seconds:g} s, which this server accepts")
    target = min(rate, SAMPLE_RATE) if own_rate else SAMPLE_RATE
    return resample(wave, rate, target), target


def _wave(recording: bytes, most: int) -> tuple[Samples, int]:
    """Return the first `most` seconds of a recording, and its rate. Raises ValueError."""
    try:
        with soundfile.SoundFile(io.BytesIO(recording)) as file:
            rate, channels = file.samplerate, file.channels
            if not RATES[0] <= rate <= RATES[1]:
                raise ValueError(f"the sample rate is {rate} Hz; it must be between {RATES[0]} and {RATES[1]}")
            if channels > MAX_CHANNELS:
                raise ValueError(f"the recording has {channels} channels; it must have at most {MAX_CHANNELS}")
            seconds = itertools.islice(blocks(file, rate), most)
            parts = [block.mean(axis=1) for block in seconds]
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = str(getattr(error, "error_string", "not an audio file")).rstrip(".")
        known = "wav, flac, ogg, opus, mp3 and aiff"
        raise ValueError(f"the recording cannot be decoded ({reason}); supported formats include {known}") from None
    if not parts:
        raise ValueError("the recording has no samples")
    wave = np.concatenate(parts)
    if not np.isfinite(wave).all():
        raise ValueError("the recording has samples that are NaN or infinite")
    return wave, rate


def main() -> None:
    """Decode the recording on standard input, under the limits given as arguments."""
    sandbox.limit(*map(int, sys.argv[1:]))
    head, _, recording = sys.stdin.buffer.read().partition(b"\n")
    about: dict[str, Any]
    sound = b""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        asked = json.loads(head)
        try:
            if "max_seconds" in asked:
                wave, rate = _whole(recording, asked["max_seconds"], asked.get("own_rate", False))
                about, sound = {"rate": rate}, wave.tobytes()
            else:
                voice = _voice(recording, asked["transcript"])
                notices = [str(w.message) for w in caught if w.category is UserWarning]
                about, sound = {"transcript": voice.transcript, "notices": notices}, voice.samples.tobytes()
        except ValueError as error:
            about = {"error": str(error)}
    sys.stdout.buffer.write(json.dumps(about).encode() + b"\n" + sound)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
