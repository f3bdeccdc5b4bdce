"""Flags of `vivavoce batch`: which texts, and where the speech goes; and those of commands that may use Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vivavoce.cli.options import WHOLE, Flags

if TYPE_CHECKING:
    from vivavoce.cluster import RayCluster


@dataclass(frozen=True)
class BatchFlags(Flags):
    """The table, the output and what the rows have in common."""

    table: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="Table of texts: .csv, .tsv, .jsonl, .parquet, .tar shards or a Hugging Face data set as owner/name; "
            "a path or a URL. Columns: text and, if wanted, id, voice, lang, speed, seed and reference (a recording "
            "whose voice is cloned).",
        ),
    ]
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="Folder or URL (s3://, hf://) for the speech, the manifest, errors.jsonl and batch.json.",
        ),
    ]
    voice: Annotated[str | None, typer.Option(help="Built-in voice of rows without one (default: celeste).")] = None
    lang: Annotated[str | None, typer.Option(metavar="CODE", help="Language of rows without one (default: en).")] = None
    format: Annotated[str | None, typer.Option(help="Audio format: wav, flac, ogg, opus or mp3 (default: wav).")] = None
    output: Annotated[
        str | None,
        typer.Option(
            help="files: audio files; webdataset: shards for 'vivavoce train'; parquet: audio and fields in Parquet "
            "(default: files)."
        ),
    ] = None
    manifest: Annotated[str | None, typer.Option(help="jsonl or parquet (default: jsonl).")] = None
    shard_rows: Annotated[
        int | None,
        typer.Option(**WHOLE, help="Rows in each shard, Parquet file or folder (default: up to 256, 256 and 16)."),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(**WHOLE, help="Seed from which, with their ids, rows without a seed get theirs (default: 0)."),
    ] = None
    retries: Annotated[
        int | None, typer.Option(**WHOLE, help="Attempts with another seed if the audio has a fault (default: 2).")
    ] = None
    verify: Annotated[str | None, typer.Option(metavar="asr", help="Compare the speech with its transcript.")] = None
    batch_size: Annotated[
        int | None,
        typer.Option(**WHOLE, help="Texts of similar length in one pass of the network, for GPUs (default: 1)."),
    ] = None
    split: Annotated[str | None, typer.Option(help="Hugging Face: split of the data set (default: train).")] = None
    config: Annotated[str | None, typer.Option(help="Hugging Face: configuration of the data set.")] = None
    workers: Annotated[
        int | None,
        typer.Option(
            **WHOLE, help="Number of processes, each with one thread (default: as many as there is room for)."
        ),
    ] = None


@dataclass(frozen=True)
class RayFlags(Flags):
    """On which cluster a command runs."""

    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on a Ray cluster: auto (the one of this machine, or a new one for this run), HOST:PORT or "
            "ray://HOST:PORT.",
        ),
    ] = None
    resources: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=N,...", help="--ray: what each worker reserves, such as CPU=1,GPU=0.5 (default: CPU=1)."
        ),
    ] = None

    def cluster(self, workers: int | None = None) -> RayCluster | None:
        """Return the cluster, None without --ray. Raises ValueError."""
        from vivavoce.cluster import RayCluster, parse_resources

        if self.ray is None:
            if self.resources is not None:
                raise ValueError("--resources needs --ray")
            return None
        return RayCluster(self.ray, workers, parse_resources(self.resources or ""))
