"""Recordings from strangers → samples, in a process of its own that may use little memory and time.

`decoded` starts `python -m vivavoce.serve.decode`, gives it the recording and gets the voice's sound back: whatever a
broken or hostile file makes libsndfile do, it does there.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import math
import os
import sys
import warnings
from typing import Any

import numpy as np
import soundfile

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.voices import Voice

SECONDS = 20.0  # for the whole process
MEMORY = 2 << 30  # bytes of address space; libraries alone take a good part of it
MAX_CHANNELS = 8
RATES = (8_000, 192_000)  # Hz
READ_SECONDS = 60  # of the recording; a voice needs 15 at most


async def decoded(recording: bytes, transcript: str | None) -> tuple[Samples, str | None, list[str]]:
    """A recording's sound as `Voice.from_file` takes it [S], its transcript if that still fits, and notices.

    recording: the bytes of a file of any format that libsndfile reads.
    Raises ValueError, without any path in it, where it cannot be read or is no voice.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "vivavoce.serve.decode", str(MEMORY), str(math.ceil(SECONDS))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # libsndfile's MP3 decoder complains there of broken files
        # each thread of a linear algebra library reserves address space, and none is needed
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    head = json.dumps({"transcript": transcript}).encode() + b"\n"
    try:
        out, _ = await asyncio.wait_for(process.communicate(head + recording), SECONDS)
    except asyncio.TimeoutError:
        raise ValueError(f"the recording takes longer than {SECONDS:g} s to decode") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ValueError("the recording cannot be decoded within the limits of memory and time")
    about, _, sound = out.partition(b"\n")
    words = json.loads(about)
    if "error" in words:
        raise ValueError(words["error"])
    return np.frombuffer(sound, np.float32).copy(), words["transcript"], words["notices"]


def _limit(memory: int, seconds: int) -> None:
    """Hold this process to bytes of memory and seconds, and keep it from writing files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {resource.RLIMIT_AS: memory, resource.RLIMIT_CPU: seconds, resource.RLIMIT_FSIZE: 0}
    for what, most in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(what, (most, most))


def _voice(recording: bytes, transcript: str | None) -> Voice:
    try:
        with soundfile.SoundFile(io.BytesIO(recording)) as file:
            rate, channels = file.samplerate, file.channels
            if not RATES[0] <= rate <= RATES[1]:
                raise ValueError(f"the recording has {rate} samples a second; it must be {RATES[0]} to {RATES[1]}")
            if channels > MAX_CHANNELS:
                raise ValueError(f"the recording has {channels} channels; it must be {MAX_CHANNELS} at most")
            seconds = itertools.islice(audio.blocks(file, rate), READ_SECONDS)
            blocks = [block.mean(axis=1) for block in seconds]
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        reason = str(getattr(error, "error_string", "not a sound file")).rstrip(".")
        known = "wav, flac, ogg, opus, mp3, aiff and others"
        raise ValueError(f"the recording cannot be read as sound ({reason}); readable are {known}") from None
    if not blocks:
        raise ValueError("the recording has no samples")
    wave = np.concatenate(blocks)
    if not np.isfinite(wave).all():
        raise ValueError("the recording has samples that are not finite numbers")
    whole = io.BytesIO()
    soundfile.write(whole, wave, rate, format="WAV", subtype="FLOAT")
    whole.seek(0)
    return Voice.from_file(whole, transcript)


def main() -> None:
    _limit(*map(int, sys.argv[1:]))
    head, _, recording = sys.stdin.buffer.read().partition(b"\n")
    about: dict[str, Any]
    sound = b""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            voice = _voice(recording, json.loads(head)["transcript"])
        except ValueError as error:
            about = {"error": str(error)}
        else:
            notices = [str(w.message) for w in caught if w.category is UserWarning]
            about, sound = {"transcript": voice.transcript, "notices": notices}, voice.samples.tobytes()
    sys.stdout.buffer.write(json.dumps(about).encode() + b"\n" + sound)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
