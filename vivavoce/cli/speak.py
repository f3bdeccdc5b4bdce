"""`vivavoce speak`, which is also `python -m vivavoce.generate`: read the input, generate, write and play."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from vivavoce.audio.io import WRITER_FORMATS
from vivavoce.audio.playback import Player, why_silent
from vivavoce.books import subtitles
from vivavoce.books.narrate import CHAPTERS, Narration, made_by
from vivavoce.books.readers import Book
from vivavoce.cli import keys
from vivavoce.cli.audiobook_flags import AudiobookFlags, DialogueFlags
from vivavoce.cli.inputs import BookFlags, TextFlags, check_output, chosen_voice, print_chapters
from vivavoce.cli.options import WHOLE, Flags, MarkupFlags, ModelFlags, SamplingFlags, VoiceFlags, takes
from vivavoce.cli.terminal import LiteralHelp, print_line, progress_bar, run
from vivavoce.config import DTYPES, SpeakOptions
from vivavoce.synthesis import likeness
from vivavoce.synthesis.like import check_like
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import check_retries
from vivavoce.synthesis.tts import TTS, load
from vivavoce.text import formats
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.prosody import described

OPENING = 2.0  # seconds from which the likeness of a cloned voice is measured
DEFAULT_OUTPUT = "speech.wav"  # used where there is neither --output nor a sound device


@dataclass(frozen=True)
class OutputFlags(Flags):
    """Where the speech goes."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help=f"File to write (overwritten if it exists); its extension chooses the format: "
            f"{', '.join(WRITER_FORMATS)}. - writes WAV to standard "
            f"output. Default: play the speech, or, without a sound device, write {DEFAULT_OUTPUT} or, if that exists, "
            f"speech-2.wav and so on.",
        ),
    ] = None
    chapters: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(CHAPTERS),
            help="How to write the chapters of --file. marks: one file with chapter marks (mp3: ID3 chapters; flac, "
            "ogg, opus: Vorbis comments; wav: cue points). files: one file per chapter, 'book-01 Title.mp3' for "
            "-o book.mp3. Default: marks.",
        ),
    ] = None
    captions: Annotated[
        str | None,
        typer.Option(
            "--subtitles",
            metavar="PATH",
            help="Also write subtitles, as .srt or .vtt. With --chapters files, one for each file.",
        ),
    ] = None
    play: Annotated[bool, typer.Option("--play", help="Play the speech, even with --output.")] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the input and list the chapters with words and minutes.")
    ] = False


@dataclass(frozen=True)
class LoadFlags(Flags):
    """How the model is loaded, beyond `ModelFlags`."""

    dtype: Annotated[str | None, typer.Option(help=f"One of {', '.join(DTYPES)} (default: {DTYPES[0]}).")] = None
    vocoder: Annotated[
        str | None,
        typer.Option(help="Use another vocoder: a folder, a Hugging Face name or bundled (default: the model's own)."),
    ] = None
    compile: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile or mx.compile: a slow start, then faster.")
    ] = False
    bits: Annotated[
        int | None, typer.Option(**WHOLE, help="Quantise the model's weights to 4 or 8 bits; needs --backend mlx.")
    ] = None


@dataclass(frozen=True)
class LikeFlags(Flags):
    """A recording to speak like."""

    like: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Speak with the pace, the pitch range and the rise of energy of this recording of 1 to 120 seconds; "
            "--pace, --range and --energy override it. The voice keeps its own pitch.",
        ),
    ] = None
    like_text: Annotated[
        str | None,
        typer.Option(
            help="Transcript of --like. If it is the text itself, each word is spoken as in the recording, which needs "
            "vivavoce[torch]."
        ),
    ] = None


@dataclass(frozen=True)
class QualityFlags(Flags):
    """Seed, retries and verification."""

    seed: Annotated[
        int | None, typer.Option(**WHOLE, help="Random seed; the same seed gives the same speech (default: random).")
    ] = None
    retries: Annotated[
        int | None,
        typer.Option(**WHOLE, help="Retry a passage that failed the quality checks up to N times (default: 2)."),
    ] = None
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="asr",
            help="Check each passage with Whisper for missing and repeated words. Needs vivavoce[eval]; the "
            "environment variable VIVAVOCE_ASR chooses a Whisper size other than base.",
        ),
    ] = None


@takes(
    TextFlags, BookFlags, DialogueFlags, VoiceFlags, MarkupFlags, OutputFlags, AudiobookFlags, ModelFlags, LoadFlags,
    SamplingFlags, LikeFlags, QualityFlags,
)  # fmt: skip
def speak(
    source: TextFlags,
    parts: BookFlags,
    dialogue: DialogueFlags,
    voice: VoiceFlags,
    reading: MarkupFlags,
    output: OutputFlags,
    audiobook: AudiobookFlags,
    model: ModelFlags,
    loading: LoadFlags,
    sampling: SamplingFlags,
    like: LikeFlags,
    quality: QualityFlags,
) -> None:
    """Speak a text given as the argument, with --text, --file or on standard input."""
    # Everything that can be checked is checked before the model is loaded, which takes seconds.
    options = _speak_options(sampling, quality, reading) | _like_options(like)
    book = source.book(reading.ssml, parts)
    if reading.ssml and dialogue.given():
        raise ValueError("--dialogue, --cast and --lines are for plain text; SSML has <voice>")
    book, speakers = dialogue.apply(book)
    _check_markup(book, reading, options.get("lexicon"), source.strict)
    speaker = chosen_voice(voice)
    target = _output(output)
    audiobook.check(target.path, output.chapters)
    if audiobook.cue is not None and output.captions is None:
        raise ValueError("--cue is for subtitles; give their name with --subtitles")
    encoding = audiobook.narration(book, speaker.name)
    for notice in book.notices:
        warnings.warn(notice, stacklevel=1)
    if speakers:
        warnings.warn(speakers, stacklevel=1)
    if dialogue.lines_out is not None:
        print(f"who speaks which line is written to {dialogue.lines_out}")
        return
    if output.dry_run:
        print_chapters(book)
        return

    settings = {**model.given(), **loading.given()}
    narrate = {"chapters": output.chapters or CHAPTERS[0], "captions": _path(output.captions), **encoding, **options}
    with _resumable_work() as watch, progress_bar("loading the model") as show:
        started = time.perf_counter()
        tts = load(**settings)
        loaded = time.perf_counter()
        with sampling.named():
            narration = Narration(tts, book, target.path, speaker, model=made_by(**settings), **narrate)
        watch(narration)
        if sampling.style is not None:
            print_line(f"style {sampling.style}: {' '.join(described(sampling.prosody()))}")
        if narration.followed:
            print_line(f"as in {like.like}: {narration.followed}")
        opening: list[Speech] = []
        spoken = _speak_to(narration, target, tts, show, opening)
        finished = time.perf_counter()
    if voice.ref_audio is not None and opening and narration.kept == 0:
        first = Speech.join(opening)
        close = likeness.likeness(tts.system, speaker, first.samples, first.sample_rate)
        if close is not None:
            print_line(likeness.describe(close))
    if target.stdout:
        _write_stdout(Speech.join(spoken).wav())
    summary = _summary(narration, target, loading=loaded - started, speaking=finished - loaded)
    print(summary, file=sys.stderr if target.stdout else sys.stdout)


# --- input -----------------------------------------------------------------------------------------------------------


def _speak_options(sampling: SamplingFlags, quality: QualityFlags, reading: MarkupFlags) -> dict[str, Any]:
    """Return the options of `TTS.speak`, checked. Raises ValueError."""
    options = {**sampling.given(), **({} if quality.seed is None else {"seed": quality.seed})}
    SpeakOptions(**options)
    if quality.verify not in (None, "asr"):
        raise ValueError(f"--verify is {quality.verify!r}; it must be asr")
    if quality.retries is not None:
        check_retries(quality.retries)
    options |= quality.given() | reading.given()
    if reading.lexicon is not None:
        options["lexicon"] = Lexicon.load(reading.lexicon)
    return options


def _like_options(flags: LikeFlags) -> dict[str, Any]:
    """Return the recording to speak like, read, as options of `TTS.speak`. Raises ValueError."""
    if flags.like is None:
        if flags.like_text is not None:
            raise ValueError("--like-text is the transcript of --like; give the recording, too")
        return {}
    return {**flags.given(), "like": check_like(flags.like)}


def _check_markup(book: Book, reading: MarkupFlags, lexicon: Lexicon | None, strict: bool) -> None:
    """Raise ValueError, naming the chapter, for markup that cannot be parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the synthesis repeats them
        for chapter in book.chapters:
            try:
                lang, refused = reading.lang or "en", True if strict else None
                formats.parse(chapter.text, ssml=reading.ssml, strict=refused, lexicon=lexicon, lang=lang)
            except ValueError as error:
                where = f"chapter {chapter.title[:60]!r}: " if chapter.title else ""
                raise ValueError(f"{where}{error}") from None


# --- output ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """Where the speech goes: any of a file, standard output (as WAV) and the sound device."""

    path: Path | None
    stdout: bool
    playing: bool
    silent: str  # why the speech is not played, if nothing else was asked for; "" otherwise


def _output(flags: OutputFlags) -> Target:
    """Choose the target and check that it can be written. Raises ValueError."""
    silent = why_silent() if flags.play or flags.output is None else ""
    if flags.play and silent is not None:
        raise ValueError(f"--play: {silent}")
    playing = silent is None
    output = flags.output if flags.output is not None or playing else _free_name(DEFAULT_OUTPUT)
    if output is not None:
        check_output(output)
    if flags.captions is not None:
        subtitles.check(Path(flags.captions))
    if flags.chapters not in (None, *CHAPTERS):
        raise ValueError(f"--chapters is {flags.chapters!r}; it must be one of {', '.join(CHAPTERS)}")
    return Target(None if output in (None, "-") else _path(output), output == "-", playing, silent or "")


def _free_name(name: str) -> str:
    """Return speech.wav, or speech-2.wav if that exists, and so on."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(name).with_stem(f"{Path(name).stem}-{number}")
    return str(path)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _speak_to(
    narration: Narration, target: Target, tts: TTS, show: Callable[[str, float], None], opening: list[Speech]
) -> list[Speech]:
    """Generate everything, and play it if asked. Returns the speech only for standard output.

    opening: is extended by the first parts, until they have OPENING seconds.
    While it is played, the space bar pauses and q stops. Without a file to finish, q also ends the work.
    """
    parts: list[Speech] = []
    sound = Player(tts.sample_rate) if target.playing else contextlib.nullcontext()
    with sound as player, contextlib.closing(narration.speak(show)) as spoken, keys.control(player):
        for part in spoken:
            if sum(early.duration for early in opening) < OPENING:
                opening.append(part)
            if target.stdout:
                parts.append(part)
            if player is not None:
                player.play(part.samples)
                if player.stopped and target.path is None and not target.stdout:
                    break
        if player is not None:
            player.wait()  # with the keys still at work
    return parts


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _summary(narration: Narration, target: Target, loading: float, speaking: float) -> str:
    """Return the last line of output: seconds of speech, speed, seed, and where the speech is."""
    new = narration.seconds - narration.kept
    line = f"{narration.seconds:.2f} s of speech"
    line += f", {narration.kept:.2f} s of it from an earlier run, the rest" if narration.kept else ""
    line += f" in {speaking:.2f} s (real-time factor {speaking / new:.2f}; " if new else " ("
    line += f"loading took {loading:.2f} s; seed {narration.seed}), "
    where = ["written to standard output"] if target.stdout else ["played"] if target.path is None else []
    files = narration.files
    if len(files) > 4:
        where.append(f"written to {len(files)} files, {files[0]} to {files[-1]}")
    elif files:
        where.append(f"written to {' and '.join(map(str, files))}")
    return line + " and ".join(where) + (f" (not played: {target.silent})" if target.silent else "")


@contextlib.contextmanager
def _resumable_work() -> Iterator[Callable[[Narration], None]]:
    """Yield a function that takes the narration. If the block fails, print where its finished sections are.

    The signal to terminate (SIGTERM) stops the block as Ctrl-C does.
    """
    narrations: list[Narration] = []

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main_thread else None
    try:
        yield narrations.append
    except BaseException:
        for narration in narrations:
            if narration.work is not None:
                print_line(f"notice: finished sections are in {narration.work}; the same command resumes from there")
        raise
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)


class _Command(LiteralHelp, TyperCommand):
    """A command whose help may contain square brackets."""


app = typer.Typer(add_completion=False)
app.command(cls=_Command)(speak)


def main() -> None:
    """Run `python -m vivavoce.generate`."""
    sys.exit(run(app, name="python -m vivavoce.generate"))


if __name__ == "__main__":
    main()
