"""Commands around training: `prepare` the data, `train`, `train-voice`, and `export` or `convert` the models."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.batch_flags import RayFlags
from vivavoce.cli.options import NUMBER, WHOLE, takes
from vivavoce.cli.prepare_flags import PlaceFlags, RecordingFlags, TokenFlags, VocabFlags
from vivavoce.cli.terminal import print_line, progress_bar, requires, resumable
from vivavoce.cli.train_voice_flags import TrainVoiceFlags


def train(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="vocoder, duration, nanospeech, aligner, semantic, codec, t2s or s2a.")
    ],
    config: Annotated[Path, typer.Option(metavar="FILE", help="JSON config of the model and the run.")],
    data: Annotated[
        list[str], typer.Option(metavar="SHARD...", help="Training shards: paths, globs or URLs (https, s3, hf).")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for checkpoints, logs and samples.")],
    max_minutes: Annotated[
        float | None,
        typer.Option(parser=NUMBER["parser"], metavar="N", help="Save a checkpoint and stop after N minutes."),
    ] = None,
    valid: Annotated[list[str] | None, typer.Option(metavar="SHARD...", help="Validation shards.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(parser=WHOLE["parser"], metavar="N", help="CPU threads (default: chosen by PyTorch)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Resume the run in --out, or refuse if there is one.")
    ] = True,
    init_from: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Initialise a new run from these weights: nanospeech, the folder of a model or run, or a Hugging Face "
            "name.",
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Copy checkpoints to this URL (s3://, hf://); resume from there if --out lacks them."
        ),
    ] = None,
) -> None:
    """Train a model on shards, or resume an interrupted run."""
    if not resume and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"--no-resume: {out} is not empty; give another --out, or empty it")
    with requires("train", "train"):
        from vivavoce.train import trainer
    trainer.train(task, config, data, out, max_minutes, valid or [], threads, init_from, checkpoints)


@takes(TrainVoiceFlags)
def train_voice(flags: TrainVoiceFlags) -> None:
    """Train a voice from recordings of yourself, or of someone who agrees, or resume an interrupted run."""
    from vivavoce.train_voice import run as training
    from vivavoce.train_voice.settings import TrainVoiceConfig

    check_training_packages("train-voice")
    settings = TrainVoiceConfig(**flags.settings())
    out = flags.out or Path(f"{settings.name}-voice")
    with resumable("stages"):
        made = training.train_voice(flags.recordings, out, settings, bar=progress_bar, say=print_line)
    print(f'{made.voice}\n{made.report}\nspeak with it: vivavoce --voice "{settings.name}" "Hello."')


def check_training_packages(what: str) -> None:
    """Raise ValueError if a package that training needs is missing: now, not after the recordings."""
    for package in ("torch", "accelerate", "fsspec"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"{what}: the package {package} is missing: pip install vivavoce[train,eval]")


@takes(PlaceFlags, RayFlags, RecordingFlags, VocabFlags, TokenFlags)
def prepare(
    place: PlaceFlags, ray: RayFlags, recordings: RecordingFlags, vocab: VocabFlags, tokens: TokenFlags
) -> None:
    """Make training shards from recordings, or resume an interrupted run."""
    if tokens.tokens:
        _make_tokens(place, ray, {**recordings.given(), **vocab.given()}, tokens)
    else:
        _make_shards(place, ray, recordings, vocab, tokens)


def _make_shards(
    place: PlaceFlags, ray: RayFlags, recordings: RecordingFlags, vocab: VocabFlags, tokens: TokenFlags
) -> None:
    from vivavoce.prepare.report import summary
    from vivavoce.prepare.run import prepare as make_shards
    from vivavoce.prepare.settings import PrepareConfig

    for flag in tokens.given():
        raise ValueError(f"--{flag} needs --tokens")
    if place.out is None:
        raise ValueError("OUT is missing: a folder for the shards")
    settings = PrepareConfig(**recordings.settings())
    cluster = ray.cluster(place.workers)
    with resumable("shards"), progress_bar("reading the input") as show:
        report = make_shards(
            place.source, place.out, settings, workers=place.workers, ray=cluster, vocab=vocab.vocab, progress=show
        )
    print(f"{summary(report)}\n{place.out / 'report.json'}")


def _make_tokens(place: PlaceFlags, ray: RayFlags, unused: dict[str, Any], flags: TokenFlags) -> None:
    from vivavoce.prepare import tokens

    if place.out is not None:
        raise ValueError(f"--tokens: no OUT ({place.out}); token shards lie beside the shards in IN")
    for name in unused:
        flag = name.replace("_", "-")
        raise ValueError(f"--{flag} cannot be combined with --tokens; --semantic, --codec, --whisper and --workers can")
    if flags.whisper is None:
        raise ValueError("--tokens needs --whisper FILE: the checkpoint that the semantic model was trained for")
    semantic, codec = flags.semantic or "bundled", flags.codec or "bundled"
    cluster = ray.cluster(place.workers)
    with resumable("token shards"), progress_bar("loading the models") as show:
        report = tokens.make_tokens(
            place.source, semantic, codec, flags.whisper, workers=place.workers, ray=cluster, progress=show
        )
    print(tokens.summary(report))


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder written by 'vivavoce train'; with --format onnx, nanospeech or a model folder."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the model; pass it to --model.")],
    weights: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="average: moving average of the weights; model: weights of the last step; best: the average with the "
            "best validation loss.",
        ),
    ] = "average",
    format: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="safetensors: a model folder. onnx: graphs that --backend onnx speaks with, without PyTorch.",
        ),
    ] = "safetensors",
    int8: Annotated[
        bool, typer.Option("--int8", help="With --format onnx: 8-bit weights, a quarter of the size.")
    ] = False,
    no_weights: Annotated[
        bool,
        typer.Option(
            "--no-weights",
            help="With --format onnx: only the graphs; the weights stay in the model's own files. Write them to the "
            "folder 'onnx' in DIR.",
        ),
    ] = False,
) -> None:
    """Write a trained model as safetensors and config.json, or a model as ONNX graphs."""
    if format not in ("safetensors", "onnx"):
        raise ValueError(f"--format is {format!r}; it must be safetensors or onnx")
    if format == "onnx":
        _export_onnx(source, out, int8, no_weights)
        return
    for flag, given in (("--int8", int8), ("--no-weights", no_weights)):
        if given:
            raise ValueError(f"{flag} needs --format onnx")
    with requires("export", "train"):
        from vivavoce.train.export import export as write_model  # loads torch
    write_model(Path(source), out, weights)


def _export_onnx(model: str, out: Path, int8: bool, no_weights: bool) -> None:
    with requires("export", "onnx-export"):
        from vivavoce.checkpoints.onnx_torch import export_onnx, export_structure
    from vivavoce.checkpoints.resolve import find

    if (Path(model) / "recipe.json").exists():
        raise ValueError(f"{model} is a training run; export it as safetensors first, then that folder as onnx")
    if no_weights and int8:
        raise ValueError("--no-weights writes the graphs with 8-bit weights, too; leave out --int8")

    def show(name: str) -> None:
        print_line(f"writing {name}.onnx")

    if no_weights:
        export_structure(find(model), out, show)
    else:
        export_onnx(find(model), out, int8, show)


def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="IN...", help="WhisperSpeech files: t2s-*.model, s2a-*.model, both, or whisper-vq-stoks-*.model."
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; with a t2s and an s2a, pass it to --model.")
    ],
    whisper: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For whisper-vq-stoks: the openai-whisper .pt file of the model it names."),
    ] = None,
) -> None:
    """Convert published WhisperSpeech files, which are pickles, to safetensors and config.json."""
    with requires("convert", "torch"):
        from vivavoce.checkpoints.whisperspeech_torch import convert as write_model

    print(write_model(files, out, whisper))
