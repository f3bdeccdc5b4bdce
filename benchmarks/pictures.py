"""Draw the figures of the documents: spectrograms of the voices and of recordings, and training curves.

pip install "vivavoce[docs]"
python benchmarks/pictures.py voices --out docs/voices.png
python benchmarks/pictures.py beside --recordings SHARD.tar --out docs/beside-teacher.png
python benchmarks/pictures.py curves RUN/log.jsonl … --out docs/curves.png
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from common import exit_status, parser
from matplotlib import pyplot

import vivavoce
from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.config import BUILTIN_VOICES, MelConfig
from vivavoce.data.fetch import expand
from vivavoce.data.samples import Report, audio_of, metadata_of, raw_samples

SENTENCE = "The quick brown fox jumps over the lazy dog."


def log_mel(samples: Samples) -> np.ndarray:
    """Return the log-mel frames [N, M] with the defaults of `MelConfig`, in numpy."""
    mel = MelConfig()
    padded = np.pad(samples, mel.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, mel.n_fft)[:: mel.hop]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(mel.n_fft + 1)[:-1]))
    return np.log(np.maximum(spectrum @ audio.mel_filterbank(mel.sample_rate, mel.n_fft, mel.n_mels), mel.floor))


def draw(rows: list[tuple[str, list[tuple[str, Samples]]]], path: Path) -> None:
    """Draw spectrograms, one row for each (label, [(title, samples), …]), into `path`."""
    columns = len(rows[0][1])
    figure, axes = pyplot.subplots(len(rows), columns, figsize=(5.5 * columns, 1.7 * len(rows)), squeeze=False)
    for line, (label, sounds) in zip(axes, rows, strict=True):
        for axis, (title, samples) in zip(line, sounds, strict=True):
            seconds = len(samples) / 24_000
            axis.imshow(
                log_mel(samples).T, origin="lower", aspect="auto", extent=(0, seconds, 0, 100), cmap="magma", vmin=-9
            )
            axis.set_title(title, fontsize=8, loc="left")
            axis.tick_params(labelsize=6)
        line[0].set_ylabel(f"{label}\nmel band", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    print(path)


def draw_voices(arguments: argparse.Namespace) -> None:
    """Draw one sentence in each built-in voice."""
    tts = vivavoce.load(arguments.model)
    rows = []
    for name in BUILTIN_VOICES:
        spoken = tts.speak(arguments.text, voice=name, seed=arguments.seed)
        rows.append((name, [(f"{name}: {arguments.text}", spoken.samples)]))
    draw(rows, arguments.out)


def draw_beside(arguments: argparse.Namespace) -> None:
    """Draw for each voice a recording, its copy by vocoder (and codec, if any), and the same words by the model."""
    tts = vivavoce.load(arguments.model)
    found: dict[str, tuple[str, bytes]] = {}
    for sample in raw_samples(expand([arguments.recordings]), Report()):
        meta = metadata_of(sample.files)
        if meta.speaker in BUILTIN_VOICES and 2 < (meta.duration or 0) < 5:
            found.setdefault(meta.speaker, (meta.text, audio_of(sample.files)))
    rows = []
    for name, (text, sound) in sorted(found.items()):
        recorded = audio.read(io.BytesIO(sound))
        spoken = tts.speak(text, voice=name, seed=arguments.seed)
        copied = tts.system.copy_synthesis(recorded)  # type: ignore[attr-defined]
        sounds = [(f"recording: {text[:60]}", recorded), ("copied", copied), ("spoken", spoken.samples)]
        rows.append((name, sounds))
    if not rows:
        raise ValueError(f"no recording of {', '.join(BUILTIN_VOICES)} of 2 to 5 s in {arguments.recordings}")
    draw(rows, arguments.out)


def draw_curves(arguments: argparse.Namespace) -> None:
    """Draw training and validation losses, and the other validation figures, by step; one row for each log."""
    figure, axes = pyplot.subplots(len(arguments.logs), 2, figsize=(11, 2.6 * len(arguments.logs)), squeeze=False)
    for line, path in zip(axes, arguments.logs, strict=True):
        rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
        found = {name for row in rows for name in row}
        losses = [name for name in ("loss", "valid_loss") if name in found]
        others = sorted(name for name in found - {*losses} if name.startswith("valid_"))
        for axis, names in zip(line, (losses, others), strict=True):
            for name in names:
                points = [(row["step"], row[name]) for row in rows if name in row]
                if len(points) > 1:
                    axis.plot(*zip(*points, strict=True), label=name, marker="." if name.startswith("valid_") else None)
            if axis.lines:
                axis.legend(fontsize=7)
            else:
                axis.set_visible(False)
            axis.set_yscale("log")
            axis.tick_params(labelsize=7, which="both")
            axis.set_xlabel("step", fontsize=7)
        line[0].set_title(path.parent.name, fontsize=9, loc="left")
    figure.tight_layout()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=90)
    print(arguments.out)


def main() -> int:
    parse = parser(__doc__)
    commands = parse.add_subparsers(dest="command", required=True)
    for name, run in (("voices", draw_voices), ("beside", draw_beside), ("curves", draw_curves)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--out", type=Path, required=True)
        if name == "curves":
            command.add_argument("logs", nargs="+", type=Path)
            continue
        command.add_argument("--model", default="nanospeech", help="(nanospeech)")
        command.add_argument("--seed", type=int, default=1, help="(1)")
        if name == "voices":
            command.add_argument("--text", default=SENTENCE)
        else:
            command.add_argument("--recordings", required=True)
    arguments = parse.parse_args()
    warnings.simplefilter("ignore")
    return exit_status(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
