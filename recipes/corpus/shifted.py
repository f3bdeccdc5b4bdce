"""Recordings with changed pitch, range, energy and emphasis, made from existing shards.

    pip install praat-parselmouth
    python recipes/corpus/shifted.py corpus/en-train-*.tar --out prosody --speakers luna,nash,orion,rhea

Kokoro generates speech in about real time, so an hour with known prosody takes an hour for each voice. Changing
existing recordings of a voice is much faster: Praat (GPL, a tool of this recipe, not of the package) measures the pitch
and moves the periods by overlap-add (PSOLA; Moulines and Charpentier 1990, doi:10.1016/0167-6393(90)90021-Z), which
keeps the formants. The labels are those of `make.py shards --prosody`, except that the pace stays, and an emphasised
word is higher and louder but not longer. Lines with neutral labels keep their audio.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from make import exit_status, progress, tar
from prosody import WIDEST, Curve, Labels, draw, smoothed

from vivavoce.audio.files import atomic_write
from vivavoce.config import BUILTIN_VOICES
from vivavoce.data.samples import Report, audio_of, raw_samples

LOWEST, HIGHEST = 60.0, 500.0  # Hz, of the pitch
GRID = 0.01  # s between the points of a curve
RAMP = 0.02  # s over which a control changes at a word boundary


def labels_of(key: str, words: int, take: int = 0) -> Labels:
    """Draw the labels of a line; the same key and take always get the same ones."""
    labels = draw(f"shifted {key}", take, words)
    phrase = labels.phrase and (*labels.phrase[:2], dataclasses.replace(labels.phrase[2], pace=1.0))
    return dataclasses.replace(labels, whole=dataclasses.replace(labels.whole, pace=1.0), phrase=phrase)


def curves(labels: Labels, ends: Sequence[float], seconds: float) -> tuple[Curve, Curve, Curve]:
    """Return the change of pitch in semitones, the factor on the range and the gain in dB, every GRID seconds.

    ends: of each word, in seconds. A word's controls last from the end of the word before it.
    """
    times = np.arange(round(seconds / GRID) + 1) * GRID
    word = np.minimum(np.searchsorted(np.asarray(ends), times, side="right"), len(ends) - 1)
    each = np.array([labels.targets(number) for number in range(len(ends))])
    pitch, wide, gain = (smoothed(row, 2 * round(RAMP / GRID) + 1).astype(np.float32) for row in each[word].T)
    return pitch, wide, gain


def changed(samples: Curve, sample_rate: int, shift: Curve, wide: Curve, gain: Curve) -> Curve | None:
    """Return `samples` [S] with the curves of `curves`; None where Praat finds no pitch."""
    made: Curve = samples
    if np.abs(shift).max() > 0.05 or np.abs(wide - 1).max() > 0.01:
        import parselmouth
        from parselmouth.praat import call

        sound = parselmouth.Sound(samples.astype(np.float64), sample_rate)
        manipulation = call(sound, "To Manipulation", GRID, LOWEST, HIGHEST)
        tier = call(manipulation, "Extract pitch tier")
        count = call(tier, "Get number of points")
        if not count:
            return None
        times = np.array([call(tier, "Get time from index", i + 1) for i in range(count)])
        semitones = 12 * np.log2([call(tier, "Get value at index", i + 1) for i in range(count)])
        at = np.arange(len(shift)) * GRID
        mean = float(np.median(semitones))
        moved = np.clip((semitones - mean) * np.interp(times, at, wide), -WIDEST, WIDEST)
        new = 2 ** ((mean + moved + np.interp(times, at, shift)) / 12)
        other = call("Create PitchTier", "changed", 0, sound.duration)
        for time, value in zip(times, np.clip(new, 40, 700), strict=True):
            call(other, "Add point", float(time), float(value))
        call([other, manipulation], "Replace pitch tier")
        made = call(manipulation, "Get resynthesis (overlap-add)").values[0].astype(np.float32)[: len(samples)]
        made = np.pad(made, (0, len(samples) - len(made)))
    middles = np.arange(len(gain)) * GRID * sample_rate
    return made * (10 ** (np.interp(np.arange(len(made)), middles, gain) / 20)).astype(np.float32)


def shifted(
    shard: Path, speakers: Sequence[str], report: Report, take: int = 0
) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the key and the files of each changed utterance of a shard."""
    for sample in raw_samples([str(shard)], report):
        files: dict[str, Any] = dict(sample.files)
        meta = json.loads(files["json"])
        words = meta.get("words") or []
        if meta.get("speaker") not in speakers or "prosody" in meta or len(words) != len(meta["text"].split()):
            continue
        labels = labels_of(sample.key, len(words), take)
        samples, rate = soundfile.read(io.BytesIO(audio_of(files)), dtype="float32")
        made = changed(samples, rate, *curves(labels, [end for _, _, end in words], len(samples) / rate))
        if made is None:
            report.skipped["no pitch"] += 1
            continue
        peak = float(np.abs(made).max())
        if peak > 0.99:
            labels, made = labels.quieter(0.99 / peak), made * np.float32(0.99 / peak)
        sound = io.BytesIO()
        soundfile.write(sound, made, rate, format="FLAC", subtype="PCM_16")
        meta |= labels.meta()
        yield (
            f"shifted-{take}-{sample.key}",
            {"flac": sound.getvalue(), "json": json.dumps(meta, ensure_ascii=False).encode()},
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", type=Path, metavar="SHARD.tar")
    parser.add_argument("--out", required=True, type=Path, help="folder for shifted-NAME.tar of each shard")
    parser.add_argument(
        "--speakers", default=",".join(BUILTIN_VOICES), help="whose recordings are changed (the built-in voices)"
    )
    parser.add_argument("--take", type=int, default=0, metavar="N", help="other labels for the same recordings (0)")
    args = parser.parse_args()

    def run() -> None:
        report = Report()
        args.out.mkdir(parents=True, exist_ok=True)
        todo = [(shard, args.out / f"shifted-{args.take}-{shard.name}") for shard in args.shards]
        missing = next((shard for shard, _ in todo if not shard.is_file()), None)
        if missing:
            raise ValueError(f"{missing}: no such file")
        with progress("shards", len(todo)) as advance:
            for shard, out in todo:
                if not out.exists():
                    made = dict(shifted(shard, args.speakers.split(","), report, args.take))
                    if not made:
                        raise ValueError(f"{shard}: no recording of {args.speakers} with the times of its words in it")
                    atomic_write(out, tar(made))
                    print(f"{out}: {len(made)} recordings", file=sys.stderr)
                advance()
        for why, times in report.skipped.items():
            print(f"{times} left out: {why}", file=sys.stderr)

    return exit_status("shifted.py", run)


if __name__ == "__main__":
    sys.exit(main())
