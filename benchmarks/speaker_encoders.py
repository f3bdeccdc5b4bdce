"""The equal error rate of both speaker encoders on recordings of several speakers.

    python benchmarks/speaker_encoders.py FOLDER

FOLDER holds audio files named SPEAKER-ANYTHING.flac (or another format), as LibriSpeech's are, in it or below. Every
pair of recordings is compared. At the equal error rate, the share of pairs of one speaker that are rejected equals the
share of pairs of two speakers that are accepted. Needs the extra `eval`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vivavoce import audio
from vivavoce.metrics.similarity import GE2E, DVector, SpeakerEncoder


def pairs(encoder: SpeakerEncoder, files: list[Path]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the similarity of each pair of files [P], and whether both are by one speaker [P]."""
    vectors = [encoder.embed(audio.read(file), audio.SAMPLE_RATE) for file in files]
    speakers = [file.name.split("-")[0] for file in files]
    chosen = list(itertools.combinations(range(len(files)), 2))
    return np.array([vectors[i] @ vectors[j] for i, j in chosen], np.float64), np.array(
        [speakers[i] == speakers[j] for i, j in chosen]
    )


def equal_error_rate(similarity: npt.NDArray[np.float64], same: npt.NDArray[np.bool_]) -> float:
    """Return the equal error rate of similarities [P] of pairs that are by one speaker or not [P], from 0 to 1."""
    thresholds = np.sort(similarity)
    rejected = np.searchsorted(np.sort(similarity[same]), thresholds) / same.sum()
    accepted = 1 - np.searchsorted(np.sort(similarity[~same]), thresholds) / (~same).sum()
    best = np.argmin(np.abs(rejected - accepted))
    return float(rejected[best] + accepted[best]) / 2


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args(arguments).folder
    files = sorted(f for f in folder.rglob("*") if f.suffix[1:].lower() in audio.FORMATS)
    if len({f.name.split("-")[0] for f in files}) < 2 or len(files) < 3:
        print(
            f"{folder}: {len(files)} audio files; several by each of two speakers or more are needed", file=sys.stderr
        )
        return 2
    for name, encoder in (("GE2E", GE2E()), ("d-vector", DVector())):
        similarity, same = pairs(encoder, files)
        print(
            f"{name:9} {len(files)} recordings, equal error rate {100 * equal_error_rate(similarity, same):.1f} %, "
            f"one speaker {similarity[same].mean():.3f}, two speakers {similarity[~same].mean():.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
