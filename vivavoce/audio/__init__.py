"""Sound on disk and in memory.

dsp                             arithmetic on samples: resampling, levels, silence, fades, joins
io                              sound files: read, write, encode
files                           the atomic writer of the whole package
loudness                        loudness of a programme, and the gain to reach one
mel, pitch                      the mel filterbank; the fundamental frequency
tags, chapters                  what a file says about itself, in each format's own way
ogg, mp4, aac                   formats that libsndfile leaves incomplete
playback, recording, devices    the loudspeaker and the microphone
"""

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
