"""Flags of `vivavoce train-voice`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.options import NUMBER, WHOLE, Flags


@dataclass(frozen=True)
class TrainVoiceFlags(Flags):
    """Fields of `TrainVoiceConfig`, and where a run reads and writes."""

    recordings: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDINGS",
            show_default=False,
            help="A folder of one person's recordings, of any length and format, with or without a .txt beside each, "
            "or in LJSpeech's or LibriTTS' layout.",
        ),
    ]
    name: Annotated[str, typer.Option(help="What to call the voice: --voice NAME speaks it.")]
    minutes: Annotated[float | None, typer.Option(**NUMBER, help="Minutes of training, at most (default: 60).")] = None
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the run, with report.html (default: NAME-voice)."),
    ] = None
    base: Annotated[
        str | None,
        typer.Option("--from", metavar="MODEL", help="Model that the voice is trained from (default: nanospeech)."),
    ] = None
    lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of the recordings (default: en).")] = None
    licence: Annotated[str | None, typer.Option(help="Terms of the voice, stored in its file (default: private).")] = (
        None
    )
    consent: Annotated[
        str | None, typer.Option(help="What the speaker agreed to, and when; stored in the voice's file.")
    ] = None
    description: Annotated[str | None, typer.Option(help="A few words about the voice.")] = None
    asr: Annotated[str | None, typer.Option(help="Whisper that transcribes: a size or a folder (default: base).")] = (
        None
    )
    threads: Annotated[int | None, typer.Option(**WHOLE, help="CPU threads of training.")] = None
    rank: Annotated[
        bool, typer.Option("--small", help="Store the weights as factors of low rank: a smaller, less exact file.")
    ] = False

    def settings(self) -> dict[str, Any]:
        """Return the fields of `TrainVoiceConfig` that are given."""
        return {name: value for name, value in self.given().items() if name not in ("recordings", "out")}
