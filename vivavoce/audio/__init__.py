"""Sound on disk and in memory: reading, writing, resampling, loudness, silence, the mel filterbank, chapter tags."""

from vivavoce.audio.dsp import (
    FADE,
    SAMPLE_RATE,
    Samples,
    fade,
    frame_db,
    join,
    level,
    pcm,
    resample,
    rms_db,
    speech_span,
    trim_silence,
)
from vivavoce.audio.files import atomic_write
from vivavoce.audio.io import FORMATS, Source, Writer, blocks, encode, read, write
from vivavoce.audio.mel import mel_filterbank

__all__ = [
    "FADE",
    "FORMATS",
    "SAMPLE_RATE",
    "Samples",
    "Source",
    "Writer",
    "atomic_write",
    "blocks",
    "encode",
    "fade",
    "frame_db",
    "join",
    "level",
    "mel_filterbank",
    "pcm",
    "read",
    "resample",
    "rms_db",
    "speech_span",
    "trim_silence",
    "write",
]
