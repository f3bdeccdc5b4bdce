"""Measure how much of speech is voiced: a whisper is hardly voiced at all.

    python recipes/corpus/make.py wavs teacher --sentences FILE.txt --voices af_nicole,celeste,rhea
    python recipes/corpus/voicing.py teacher/*

For each folder, the share of voiced frames outside pauses, in percent, and the mean pitch in Hz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from vivavoce.audio.io import read
from vivavoce.synthesis.manner import QUIET, contour


def main() -> int:
    folders = [Path(name) for name in sys.argv[1:]]
    if not folders:
        print(__doc__, file=sys.stderr)
        return 2
    for folder in folders:
        found = [contour(read(path, 24_000), 24_000) for path in sorted(folder.glob("*.wav"))]
        if not found:
            print(f"error: {folder}: no .wav files", file=sys.stderr)
            return 2
        voiced = np.concatenate([each.voiced[each.level > each.level.max() + QUIET] for each in found])
        pitch = np.nanmean(np.concatenate([each.pitch for each in found]))
        hertz = 100 * 2 ** (pitch / 12)
        print(f"{folder.name}: {len(found)} clips, {100 * voiced.mean():.0f} % voiced, {hertz:.0f} Hz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
