"""`vivavoce record`: read sentences aloud, one after another, into a folder for `vivavoce train-voice`."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vivavoce.audio.dsp import Samples
from vivavoce.audio.playback import Player, why_silent
from vivavoce.audio.recording import Recorder, why_deaf
from vivavoce.cli.options import Flags, takes
from vivavoce.cli.terminal import print_line
from vivavoce.train_voice import scripts

_HELP = "Enter keeps it, r records it again, p plays it, s skips the sentence, q ends"


@dataclass(frozen=True)
class RecordFlags(Flags):
    """What is read, and where the recordings go."""

    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", show_default=False, help="Folder for the recordings; in an existing one, recording resumes."
        ),
    ]
    sentences: Annotated[
        str,
        typer.Option(
            metavar="50|200|500|FILE",
            help="How many of the English sentences, which cover the sounds of the language, or a file with one "
            "sentence on each line. 200 are about 20 minutes.",
        ),
    ] = "200"


@takes(RecordFlags)
def record(flags: RecordFlags) -> None:
    """Record sentences for train-voice, one after another, with a level meter, playback and retakes."""
    sentences = scripts.read_script(flags.sentences)
    if (why := why_deaf()) is not None:
        raise ValueError(f"record: {why}")
    flags.out.mkdir(parents=True, exist_ok=True)
    left = scripts.missing(flags.out, sentences)
    print_line(f"{len(sentences) - len(left)} of {len(sentences)} sentences are recorded. Read as if to one person.")
    for number in left:
        print(f"\n{number} of {len(sentences)}\n\n    {sentences[number - 1]}\n", file=sys.stderr)
        if not _one(flags.out, number, sentences[number - 1]):
            break
    done = len(sentences) - len(scripts.missing(flags.out, sentences))
    print(f"{done} of {len(sentences)} sentences are in {flags.out}")
    if done == len(sentences):
        print(f"train with them: vivavoce train-voice {flags.out} --name NAME")


def _one(folder: Path, number: int, sentence: str) -> bool:
    """Record one sentence until a take is kept or skipped. Returns whether to go on."""
    while True:
        if _ask("Enter starts, q ends: ") == "q":
            return False
        samples, rate = _take()
        wrong = scripts.faults(samples, rate, sentence)
        for fault in wrong:
            print_line(fault)
        while (answer := _ask(f"{len(samples) / rate:.1f} s. {_HELP}: ")) == "p":
            _play(samples, rate)
        if answer == "q":
            return False
        if answer == "s":
            return True
        if answer != "r" and len(samples):
            scripts.store(folder, number, sentence, samples, rate)
            return True


def _take() -> tuple[Samples, int]:
    """Record until Enter, and show the level."""

    def show(peak: float) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(f"\r{scripts.meter(peak)}  Enter ends", end="", file=sys.stderr, flush=True)

    with Recorder(show) as recorder:
        _ask("")
    print("\r" + " " * 70 + "\r", end="", file=sys.stderr, flush=True)
    return recorder.samples, recorder.sample_rate


def _play(samples: Samples, rate: int) -> None:
    if (why := why_silent()) is not None:
        print_line(f"cannot play: {why}")
        return
    with Player(rate) as player:
        player.play(samples)
        player.wait()


def _ask(question: str) -> str:
    """Return the answer, in lower case; q at the end of the input."""
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline() if sys.stdin is not None else ""
    return line.strip().lower() if line else "q"
