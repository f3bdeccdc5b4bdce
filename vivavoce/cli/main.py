"""The command line `vivavoce`: its commands and their help. `vivavoce "text"` is short for `vivavoce speak "text"`.

Bad input ends with one line on stderr and exit status 2 (`terminal.run`).
"""

from __future__ import annotations

import difflib
import json
import os
import sys
import warnings
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vivavoce.cli.batch_flags import BatchFlags, RayFlags
from vivavoce.cli.convert_voice import convert_voice
from vivavoce.cli.evaluate_flags import RunFlags, SubjectFlags
from vivavoce.cli.inputs import BookFlags, TextFlags, chosen_voice, print_chapters
from vivavoce.cli.options import NUMBER, Flags, MarkupFlags, ModelFlags, SamplingFlags, VoiceFlags, takes
from vivavoce.cli.reading import completion, feed, speechd, watch
from vivavoce.cli.record import record
from vivavoce.cli.serve_flags import McpFlags, ServeFlags, WyomingFlags
from vivavoce.cli.speak import speak
from vivavoce.cli.terminal import LiteralHelp, print_line, progress_bar, rate_of, requires, resumable, run
from vivavoce.cli.train_voice_flags import TrainVoiceFlags
from vivavoce.cli.training import check_training_packages, convert, export, prepare, train
from vivavoce.cli.voices import app as voices
from vivavoce.voices import get as get_voice

_SIMILAR = 0.75  # how close a word must be to a command's name to count as a misspelling of it, 0 to 1


class Command(LiteralHelp, TyperCommand):
    """A command whose options may take several values: `--data a b c` means `--data a --data b --data c`.

    This lets the shell expand `--data shards/*.tar`.
    """

    several = ("--data", "--valid", "--sentences", "--speakers", "--reference")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spread: list[str] = []
        option, values = "", 0
        for arg in args:
            if arg.startswith("-"):
                option, values = (arg, 0) if arg in self.several else ("", 0)
            elif option:
                values += 1
                if values > 1:
                    spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


class Group(LiteralHelp, TyperGroup):
    """Run `speak` where the first argument is no command, or where there is only standard input."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell completes the line
            return super().parse_args(ctx, args)
        if not args:
            args = ["--help"] if sys.stdin is None or sys.stdin.isatty() else ["speak"]
        elif args[0] not in self.commands and args[0] not in ("--help", "-h", "--version", "-v"):
            self._check_misspelling(args[0])
            args = ["speak", *args]
        return super().parse_args(ctx, args)

    def _check_misspelling(self, word: str) -> None:
        """Raise ValueError for a single word that looks like a command rather than a text to speak."""
        if word.startswith("-") or not word.strip() or len(word.split()) > 1:
            return
        speak_it = f'to speak the word, run: vivavoce speak "{word}"'
        if word.lower() == "help":
            raise ValueError(f"unknown command {word!r}; for help, run: vivavoce --help; {speak_it}")
        near = difflib.get_close_matches(word.lower(), self.commands, n=1, cutoff=_SIMILAR)
        if near:
            raise ValueError(f"unknown command {word!r}; did you mean {near[0]!r}? {speak_it[0].upper()}{speak_it[1:]}")


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
@takes(SubjectFlags, SamplingFlags, RunFlags)
def evaluate(subject: SubjectFlags, sampling: SamplingFlags, how: RunFlags) -> None:
    """Measure speech: word errors, skipped and repeated words, speaker similarity, DNSMOS, speaking rate."""
    from vivavoce.evaluate import run as evaluation

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
            evaluation.evaluate(request, report)
    finally:  # what was scored before Ctrl-C or an error is reported, too
        report.show()
        if how.json is not None and report.tables:
            report.write(how.json)


# --- training --------------------------------------------------------------------------------------------------------

app.command("train", cls=Command)(train)


@app.command("train-voice", cls=Command)
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


for _function in (prepare, export, convert):
    app.command(_function.__name__, cls=Command)(_function)


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
        check_training_packages("serve --studio")
    server.serve(settings, worker.main, worker.Models(settings.sources(), settings.backend, settings.device))


@app.command("wyoming", cls=Command)
@takes(WyomingFlags, ModelFlags)
def wyoming(flags: WyomingFlags, model: ModelFlags) -> None:
    """Serve speech to Home Assistant over the Wyoming protocol."""
    with requires("wyoming", "wyoming"):
        from vivavoce.serve import wyoming_server
    from vivavoce.synthesis.tts import load

    get_voice(flags.voice)
    with progress_bar("loading the model"):
        tts = load(**model.given())
    wyoming_server.serve(tts, flags.uri, flags.voice)


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
