"""Flags of `vivavoce evaluate`: what is measured, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vivavoce.cli.options import WHOLE, Flags
from vivavoce.config import DTYPES


@dataclass(frozen=True)
class SubjectFlags(Flags):
    """What is measured."""

    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...",
            help="Models (nanospeech, a folder, a Hugging Face name), folders of audio (VOICE/NAME.wav beside "
            "NAME.txt), or .tar shards of recordings.",
        ),
    ]
    sentences: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...", help="Text files with the sentences to speak, one on each line; a table for each file."
        ),
    ] = None
    voices: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Built-in voices, or .safetensors files of saved ones (default: all built-in voices)."
        ),
    ] = None
    speakers: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="TAR...",
            help="Shards of recordings: clone each speaker from 5 s of one, and compare with another.",
        ),
    ] = None
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VOICE=FILE...",
            help="Recording to compare a voice with, instead of the built-in one. Its transcript is FILE's .txt.",
        ),
    ] = None
    copy_synthesis: Annotated[
        bool,
        typer.Option(
            "--copy-synthesis",
            help="Also measure the shards' recordings after analysis and resynthesis by the models' mel or codec and "
            "vocoder.",
        ),
    ] = False
    lang: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="Language of sentences and audio, such as es. Tags switch it within a sentence; shards carry their "
            "own.",
        ),
    ] = "en"


@dataclass(frozen=True)
class RunFlags(Flags):
    """How the speech is generated and judged."""

    seed: Annotated[int, typer.Option(**WHOLE, help="Line i is spoken with seed SEED + i, i from 0.")] = 0
    backend: Annotated[str, typer.Option(help="auto, torch, mlx or onnx.")] = "auto"
    device: Annotated[str, typer.Option(help="auto, cpu, cuda (cuda:1 is the second GPU) or mps.")] = "auto"
    dtype: Annotated[str, typer.Option(help=f"One of {', '.join(DTYPES)}.")] = DTYPES[0]
    vocoder: Annotated[
        str | None,
        typer.Option(help="Use another vocoder: a folder, a Hugging Face name or bundled (default: the model's own)."),
    ] = None
    bits: Annotated[
        int | None, typer.Option(**WHOLE, help="Quantise the model's weights to 4 or 8 bits; needs --backend mlx.")
    ] = None
    asr: Annotated[
        str,
        typer.Option(
            envvar="VIVAVOCE_ASR", help="Whisper: a size that faster-whisper downloads, or a CTranslate2 folder."
        ),
    ] = "base"
    threads: Annotated[
        int | None,
        typer.Option(
            parser=WHOLE["parser"], metavar="N", help="Clips judged at once (default: one per core, at most 8)."
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            parser=WHOLE["parser"], metavar="N", help="Use only the first N sentences, recordings and audio files."
        ),
    ] = None
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep audio and scores in this folder, and reuse what is already there."),
    ] = None
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all figures and the scores of every clip as JSON.")
    ] = None
