"""The command line `vivavoce`: one function per command. `vivavoce "text"` is short for `vivavoce speak "text"`.

Bad input ends with one line on stderr and exit status 2 (`terminal.run`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.cli.batch_flags import BatchFlags, RayFlags
from vivavoce.cli.convert_voice import convert_voice
from vivavoce.cli.evaluate_flags import RunFlags, SubjectFlags
from vivavoce.cli.group import Command, Group
from vivavoce.cli.inputs import BookFlags, TextFlags, chosen_voice, print_chapters
from vivavoce.cli.options import NUMBER, WHOLE, Flags, MarkupFlags, ModelFlags, SamplingFlags, VoiceFlags, takes
from vivavoce.cli.prepare_flags import PlaceFlags, RecordingFlags, TokenFlags, VocabFlags
from vivavoce.cli.reading import completion, feed, speechd, watch
from vivavoce.cli.record import record
from vivavoce.cli.serve_flags import McpFlags, ServeFlags, WyomingFlags
from vivavoce.cli.speak import speak
from vivavoce.cli.terminal import print_line, progress_bar, rate_of, requires, resumable, run
from vivavoce.cli.train_voice_flags import TrainVoiceFlags
from vivavoce.cli.voices import app as voices
from vivavoce.voices import get as get_voice

app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)
for _function in (speak, watch, feed, speechd, completion):
    app.command(_function.__name__, cls=Command)(_function)
app.command("convert-voice", cls=Command)(convert_voice)
app.command("record", cls=Command)(record)
app.add_typer(voices, name="voices")


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"vivavoce {metadata.version('vivavoce')}")
        except metadata.PackageNotFoundError:
            print("vivavoce, version unknown: the package is not installed")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool,
        typer.Option("--version", "-v", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Text to speech. 'vivavoce "text"' is short for 'vivavoce speak "text"'; see 'vivavoce speak --help'."""


# --- speech ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PreviewFlags(Flags):
    """What the preview shows."""

    speed: Annotated[float | None, typer.Option(**NUMBER, help="Speaking rate; 2 is twice as fast.")] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what is written and what is spoken side by side, changes in colour.")
    ] = False


@app.command("preview", cls=Command)
@takes(TextFlags, VoiceFlags, MarkupFlags, ModelFlags, PreviewFlags)
def preview(source: TextFlags, voice: VoiceFlags, reading: MarkupFlags, model: ModelFlags, flags: PreviewFlags) -> None:
    """Show how a text would be read, without speaking it: words, chunks, applied rules, predicted seconds."""
    from vivavoce.synthesis.tts import load
    from vivavoce.text.lexicon import Lexicon

    book, speaker, options = source.book(reading.ssml), chosen_voice(voice), reading.given()
    for notice in book.notices:
        warnings.warn(notice, stacklevel=1)
    if reading.lexicon is not None:
        options["lexicon"] = Lexicon.load(reading.lexicon)
    if flags.speed is not None:
        options["speed"] = flags.speed
    with progress_bar("loading the model"):
        strict = True if source.strict else None
        shown = load(**model.given()).preview(book.text, speaker, format="plain", strict=strict, **options)
    if len(book.chapters) > 1 and not flags.json:
        print_chapters(book)
    if flags.json:
        print(json.dumps(shown.as_dict(), ensure_ascii=False, indent=2))
    else:
        print(shown.diff(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ) if flags.diff else shown)


@dataclass(frozen=True)
class ChaptersFlags(Flags):
    """Which file is listed."""

    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False, help="The book.")]


@app.command("chapters", cls=Command)
@takes(ChaptersFlags, BookFlags)
def chapters(file: ChaptersFlags, parts: BookFlags) -> None:
    """List the chapters of a book with their words and estimated minutes, and what is left out of it."""
    try:
        book = parts.read(file.file)
    except OSError as error:
        raise ValueError(f"{file.file}: {error.strerror or error}") from None
    for notice in book.notices:
        warnings.warn(notice, stacklevel=1)
    print_chapters(book)


@app.command("batch", cls=Command)
@takes(BatchFlags, RayFlags, SamplingFlags, ModelFlags)
def batch(rows: BatchFlags, ray: RayFlags, sampling: SamplingFlags, model: ModelFlags) -> None:
    """Speak every row of a table of texts, or resume an interrupted run."""
    from vivavoce.batch.run import batch as speak_table

    given, cluster = rows.given(), ray.cluster(rows.workers)
    table, out = given.pop("table"), given.pop("out")
    if cluster is not None:
        given["ray"] = cluster
    with resumable("texts"), sampling.named(), progress_bar("reading the table") as show:
        report = speak_table(
            table, out, **given, options=sampling.given(), model=model.given(), progress=rate_of("texts", show)
        )
    print(f"{report['spoken']} of {report['rows']} texts spoken, {report['seconds'] / 60:.1f} minutes; {out}")
    if report["errors"]:
        print_line(f"{report['errors']} rows could not be spoken: {out.rstrip('/')}/errors.jsonl")


@app.command("evaluate", cls=Command)
@takes(SubjectFlags, SamplingFlags, RunFlags, RayFlags)
def evaluate(subject: SubjectFlags, sampling: SamplingFlags, how: RunFlags, ray: RayFlags) -> None:
    """Measure speech: word errors, skipped and repeated words, speaker similarity, DNSMOS, speaking rate."""
    from vivavoce.evaluate import run as evaluation

    if (cluster := ray.cluster()) is not None and how.threads is not None:
        raise ValueError("--threads is for one machine; with --ray, each worker scores one clip at once")
    request = evaluation.Request(
        tuple(subject.what),
        sentences=tuple(subject.sentences or ()),
        voices=tuple(subject.voices.split(",")) if subject.voices is not None else (),
        speakers=tuple(subject.speakers or ()),
        references=tuple(subject.reference or ()),
        copy_synthesis=subject.copy_synthesis,
        options=sampling.given(),
        lang=subject.lang,
        seed=how.seed,
        backend=how.backend,
        device=how.device,
        vocoder=how.vocoder,
        dtype=how.dtype,
        bits=how.bits,
        asr=how.asr,
        threads=how.threads,
        limit=how.limit,
        keep=how.keep,
        json=how.json,
    )
    report = evaluation.Report(request)
    try:
        with sampling.named():
            evaluation.evaluate(request, report, cluster)
    finally:  # what was scored before Ctrl-C or an error is reported, too
        report.show()
        if how.json is not None and report.tables:
            report.write(how.json)


# --- training --------------------------------------------------------------------------------------------------------


@app.command("train", cls=Command)
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


@app.command("train-voice", cls=Command)
@takes(TrainVoiceFlags)
def train_voice(flags: TrainVoiceFlags) -> None:
    """Train a voice from recordings of yourself, or of someone who agrees, or resume an interrupted run."""
    from vivavoce.train_voice import run as training
    from vivavoce.train_voice.settings import TrainVoiceConfig

    _check_training_packages("train-voice")
    settings = TrainVoiceConfig(**flags.settings())
    out = flags.out or Path(f"{settings.name}-voice")
    with resumable("stages"):
        made = training.train_voice(flags.recordings, out, settings, bar=progress_bar, say=print_line)
    print(f'{made.voice}\n{made.report}\nspeak with it: vivavoce --voice "{settings.name}" "Hello."')


def _check_training_packages(what: str) -> None:
    """Raise ValueError if a package that training needs is missing: now, not after the recordings."""
    for package in ("torch", "accelerate", "fsspec"):
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"{what}: the package {package} is missing: pip install vivavoce[train,eval]")


@app.command("prepare", cls=Command)
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


@app.command("export", cls=Command)
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


@app.command("convert", cls=Command)
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


# --- serving ---------------------------------------------------------------------------------------------------------


@app.command("serve", cls=Command)
@takes(ServeFlags)
def serve(flags: ServeFlags) -> None:
    """Serve speech over HTTP: an OpenAI-compatible API, and a web page at /."""
    with requires("serve", "serve"):
        from vivavoce.serve import run as server
        from vivavoce.serve import worker
        from vivavoce.serve.settings import ServeConfig
    settings = ServeConfig(**flags.settings())
    if settings.studio:
        _check_training_packages("serve --studio")
    server.serve(settings, worker.main, worker.Models(settings.sources(), settings.backend, settings.device))


@app.command("wyoming", cls=Command)
@takes(WyomingFlags, ModelFlags)
def wyoming(flags: WyomingFlags, model: ModelFlags) -> None:
    """Serve speech to Home Assistant over the Wyoming protocol."""
    with requires("wyoming", "wyoming"):
        from vivavoce.serve import wyoming_server
    from vivavoce.synthesis.tts import load

    get_voice(flags.voice)
    announced = None
    if flags.announce:
        with requires("wyoming --announce", "announce"):
            from vivavoce.serve import announce
        announced = announce.announced(announce.service(flags.uri))
    with progress_bar("loading the model"):
        tts = load(**model.given())
    wyoming_server.serve(tts, flags.uri, flags.voice, announced)


@app.command("mcp", cls=Command)
@takes(McpFlags, ModelFlags)
def mcp(flags: McpFlags, model: ModelFlags) -> None:
    """Let assistants on this machine speak, over the Model Context Protocol on standard input and output."""
    with requires("mcp", "mcp"):
        from vivavoce.serve import mcp_server
    from vivavoce.audio.playback import why_silent
    from vivavoce.synthesis.speech import Speech
    from vivavoce.synthesis.tts import load

    get_voice(flags.voice)
    tts = load(**model.given())
    mcp_server.serve(tts, flags.voice, Speech.play if not flags.no_play and why_silent() is None else None)


def main() -> None:
    """Run `vivavoce`."""
    sys.exit(run(app))


if __name__ == "__main__":
    main()
