"""Flags of `vivavoce prepare`: recordings to training shards, and shards to token shards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.options import NUMBER, WHOLE, Flags


@dataclass(frozen=True)
class PlaceFlags(Flags):
    """What is read and written, and by how many processes."""

    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A folder (recordings with .txt beside them, the layout of LJSpeech or LibriTTS-R, or .tar shards), a "
            "glob of shards, or a Hugging Face dataset as owner/name.",
        ),
    ]
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="Folder for shards, vocab.txt and report.json. Omit it with --tokens."),
    ] = None
    workers: Annotated[int | None, typer.Option(**WHOLE, help="Number of processes (default: one for each CPU).")] = (
        None
    )


@dataclass(frozen=True)
class RecordingFlags(Flags):
    """Which recordings are used, and how they are stored: fields of `PrepareConfig`."""

    kind: Annotated[
        str | None,
        typer.Option(help="folder, ljspeech, libritts, shards or huggingface (default: detected from IN)."),
    ] = None
    format: Annotated[str | None, typer.Option(help="Stored audio format: flac, ogg (Opus) or wav.")] = None
    lang: Annotated[str | None, typer.Option(help="Language of recordings without a language field (default: en).")] = (
        None
    )
    speaker: Annotated[
        str | None, typer.Option(help="Speaker of all recordings (default: as given by the dataset).")
    ] = None
    min_seconds: Annotated[float | None, typer.Option(**NUMBER, help="Drop shorter recordings (default: 0.3).")] = None
    max_seconds: Annotated[float | None, typer.Option(**NUMBER, help="Drop longer recordings (default: 20).")] = None
    max_pause: Annotated[
        float | None,
        typer.Option(**NUMBER, help="Drop recordings with a longer inner silence, in seconds (default: 3)."),
    ] = None
    max_clipping: Annotated[
        float | None,
        typer.Option(**NUMBER, help="Drop recordings with a larger share of clipped samples (default: 0.001)."),
    ] = None
    min_rate: Annotated[
        float | None, typer.Option(**NUMBER, help="Drop recordings with fewer characters per second (default: 3).")
    ] = None
    max_rate: Annotated[
        float | None, typer.Option(**NUMBER, help="Drop recordings with more characters per second (default: 30).")
    ] = None
    valid_share: Annotated[
        float | None,
        typer.Option(**NUMBER, help="Share of utterances held out for validation, chosen by a hash (default: 0.01)."),
    ] = None
    valid_speakers: Annotated[
        str | None, typer.Option(metavar="A,B", help="Hold out all utterances of these speakers instead.")
    ] = None
    valid_speaker_share: Annotated[
        float | None, typer.Option(**NUMBER, help="Hold out all utterances of this share of the speakers instead.")
    ] = None
    shard_utterances: Annotated[int | None, typer.Option(**WHOLE, help="Utterances in each shard (default: 1000).")] = (
        None
    )
    shard_mb: Annotated[
        float | None, typer.Option(**NUMBER, help="Maximum size of a shard in megabytes (default: 256).")
    ] = None
    grow_vocab: Annotated[
        bool | None,
        typer.Option("--grow-vocab", help="Add unknown letters to the vocabulary instead of dropping recordings."),
    ] = None
    damaged_shards: Annotated[
        str | None, typer.Option(help="Damaged .tar shards: skip (use what is readable) or fail (default: skip).")
    ] = None
    config: Annotated[str | None, typer.Option(help="Hugging Face: configuration of the dataset.")] = None
    split: Annotated[str | None, typer.Option(help="Hugging Face: split of the dataset (default: train).")] = None
    audio_column: Annotated[str | None, typer.Option(help="Hugging Face: column with the audio.")] = None
    text_column: Annotated[str | None, typer.Option(help="Hugging Face: column with the text.")] = None
    speaker_column: Annotated[str | None, typer.Option(help="Hugging Face: column with the speaker.")] = None

    def settings(self) -> dict[str, Any]:
        """Return the arguments of `PrepareConfig`."""
        given = self.given()
        if self.valid_speakers is not None:
            given["valid_speakers"] = tuple(name.strip() for name in self.valid_speakers.split(","))
        return given


@dataclass(frozen=True)
class VocabFlags(Flags):
    """The vocabulary that the shards are checked against."""

    vocab: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A vocab.txt or a model's config.json (default: nanospeech's vocabulary)."),
    ] = None


@dataclass(frozen=True)
class TokenFlags(Flags):
    """How token shards are made."""

    tokens: Annotated[
        bool,
        typer.Option(
            "--tokens",
            help="Write the token shards that train t2s and s2a: NAME.tokens.tar beside each NAME.tar in IN.",
        ),
    ] = False
    semantic: Annotated[
        str | None, typer.Option(metavar="MODEL", help="--tokens: folder of the semantic model (default: bundled).")
    ] = None
    codec: Annotated[
        str | None, typer.Option(metavar="MODEL", help="--tokens: folder of the codec (default: bundled).")
    ] = None
    whisper: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="--tokens: openai-whisper .pt file that the semantic model was trained for."),
    ] = None
