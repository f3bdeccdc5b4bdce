"""`python -m vivavoce.generate --text "Hello."`: the short command line; `cli.py` offers the same as `vivavoce speak`.

Also how all commands behave on a terminal: one line for an error, one for a notice, a progress bar where someone looks.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
import typer.main

from vivavoce import audio, books, markup, subtitles
from vivavoce.books import Book
from vivavoce.config import SpeakOptions
from vivavoce.lexicon import Lexicon
from vivavoce.narrate import CHAPTERS, Narration, made_by
from vivavoce.speaking import check_retries
from vivavoce.synthesis import BACKENDS, DTYPES, Speech, SynthesisError, load
from vivavoce.voices import Voice, get

DEFAULT_OUTPUT = "speech.wav"  # where there is neither --output nor sound
BAD_INPUT, FAILED, INTERRUPTED, PIPE_CLOSED = 2, 1, 130, 141  # exit statuses; the last two as shells count signals

_DEFAULTS = SpeakOptions()
_AS_MODEL = "default: what the model recommends"


def whole_number(value: str) -> int:
    """For a flag's `parser`: typer's own message does not name the value."""
    try:
        return int(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a whole number") from None


def number(value: str) -> float:
    """For a flag's `parser`."""
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a number") from None


_WHOLE: dict[str, Any] = {"parser": whole_number, "metavar": "INTEGER"}
_NUMBER: dict[str, Any] = {"parser": number, "metavar": "NUMBER"}


# --- the command -----------------------------------------------------------------------------------------------------


def speak(
    argument: Annotated[
        str | None, typer.Argument(metavar="TEXT", show_default=False, help="What to say; else standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to say, as an option.")] = None,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=f"Speak this file: {', '.join(books.FORMATS)}, in UTF-8. With --output, what is spoken is kept in "
            f"OUTPUT.partial until all is, so that the same command goes on after Ctrl-C. srt is spoken at its times.",
        ),
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(
            help=f"A built-in voice ('vivavoce voices' lists them; default: {_DEFAULTS.voice}), or the .safetensors "
            f"file of a saved one."
        ),
    ] = None,
    ref_audio: Annotated[
        str | None, typer.Option(metavar="PATH", help="Speak in the voice of this recording, of 1 to 15 seconds.")
    ] = None,
    ref_text: Annotated[str | None, typer.Option(help="What is said in --ref-audio.")] = None,
    lang: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Language of the text, such as fr; [fr]bonjour[en] changes it inside (en)."),
    ] = None,
    ssml: Annotated[
        bool, typer.Option("--ssml", help="The text is SSML; without this it may have tags, as [pause 500ms].")
    ] = False,
    lexicon: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="A file of words and how to read them: one a line, a tab between."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help=f"File to write: {', '.join(audio.FORMATS)} by its extension; - is WAV on standard output. Without "
            f"it, the speech is played where there is sound, else written to {DEFAULT_OUTPUT}.",
        ),
    ] = None,
    chapters: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(CHAPTERS),
            help="The chapters of --file: marked in one output (mp3: ID3 chapters; flac, ogg, opus: Vorbis comments; "
            "wav: cue points), or one file each, 'book-01 Title.mp3' for -o book.mp3 (default: marks).",
        ),
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(
            "--subtitles",
            metavar="PATH",
            help="Write what is said when, too: .srt or .vtt; one for each file with --chapters files.",
        ),
    ] = None,
    play: Annotated[bool, typer.Option("--play", help="Play the speech, even with --output.")] = False,
    model: Annotated[
        str | None, typer.Option(help="bundled, whisperspeech, a model's folder or Hugging Face name (bundled).")
    ] = None,
    backend: Annotated[str | None, typer.Option(help=f"{', '.join(BACKENDS)}.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda (cuda:1: the second) or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help=f"{', '.join(DTYPES)}.")] = None,
    vocoder: Annotated[
        str | None,
        typer.Option(help="Another vocoder's folder or Hugging Face name, or bundled (default: the model's)."),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile or mx.compile: slow start, then faster.")
    ] = False,
    bits: Annotated[
        int | None, typer.Option(**_WHOLE, help="4 or 8: quantise the model's weights, with --backend mlx.")
    ] = None,
    steps: Annotated[int | None, typer.Option(**_WHOLE, help=f"Steps of the flow ({_AS_MODEL}).")] = None,
    method: Annotated[str | None, typer.Option(help=f"euler, midpoint or rk4 ({_AS_MODEL}).")] = None,
    cfg: Annotated[float | None, typer.Option(**_NUMBER, help=f"Strength of guidance, 0: none ({_AS_MODEL}).")] = None,
    sway_coef: Annotated[
        float | None, typer.Option(**_NUMBER, help=f"Sway sampling, -1 to 1; 0: evenly spaced steps ({_AS_MODEL}).")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(**_NUMBER, help=f"0 to 2: how far from the likeliest reading it may go ({_AS_MODEL})."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(**_WHOLE, help=f"whisperspeech: draw among so many tokens, 0: among all ({_AS_MODEL})."),
    ] = None,
    speed: Annotated[
        float | None, typer.Option(**_NUMBER, help=f"2: twice as fast (default: {_DEFAULTS.speed:g}).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(**_WHOLE, help="The same seed makes the same speech (default: any).")
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(**_WHOLE, help="How often a stretch that went wrong is made again with another seed (2)."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="asr",
            help="Have Whisper listen for words that are left out or said twice: needs vivavoce[eval]; the environment "
            "variable VIVAVOCE_ASR names another Whisper than base.",
        ),
    ] = None,
) -> None:
    """Speak a text: the argument, --text, --file or standard input."""
    given = {"steps": steps, "method": method, "cfg": cfg, "sway_coef": sway_coef, "speed": speed, "seed": seed}
    given |= {"temperature": temperature, "top_k": top_k}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings: dict[str, Any] = {
        "model": model,
        "backend": backend,
        "device": device,
        "dtype": dtype,
        "vocoder": vocoder,
        "bits": bits,
    }
    settings["compile"] = compile or None

    # Everything that can be refused is refused before the seconds that loading takes.
    SpeakOptions(**options)
    if verify not in (None, "asr"):
        raise ValueError(f"--verify is {verify!r}; it must be asr")
    if retries is not None:
        check_retries(retries)
    options |= {name: value for name, value in (("retries", retries), ("verify", verify)) if value is not None}
    if lang is not None:
        options["lang"] = lang
    book = given_book(argument, text, file, ssml)
    if ssml:
        options["ssml"] = True
    if lexicon is not None:
        options["lexicon"] = Lexicon.load(lexicon)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come when it is spoken
        for chapter in book.chapters:
            try:
                markup.read(chapter.text, ssml=ssml, lexicon=options.get("lexicon"), lang=lang or "en")
            except ValueError as error:
                where = f"chapter {chapter.title[:60]!r}: " if chapter.title else ""
                raise ValueError(f"{where}{error}") from None
    speaker = given_voice(voice, ref_audio, ref_text)
    sounding = _has_sound(required=play) if play or output is None else False
    target = output if output is not None or sounding else DEFAULT_OUTPUT
    if target is not None:
        check_output(target)
    if captions is not None:
        subtitles.check(Path(captions))
    if chapters not in (None, *CHAPTERS):
        raise ValueError(f"--chapters is {chapters!r}; it must be one of {', '.join(CHAPTERS)}")
    path = None if target in (None, "-") else Path(target)
    for notice in book.notices:
        warnings.warn(notice, stacklevel=1)

    settings = {name: value for name, value in settings.items() if value is not None}
    written: dict[str, Any] = {
        "chapters": chapters or CHAPTERS[0],
        "captions": None if captions is None else Path(captions),
    }
    parts: list[Speech] = []
    with _work_kept() as watch, progress_bar("loading the model") as show:
        started = time.perf_counter()
        tts = load(**settings)
        loaded = time.perf_counter()
        narration = Narration(tts, book, path, speaker, model=made_by(**settings), **written, **options)
        watch(narration)
        with _Player(tts.sample_rate) if sounding else contextlib.nullcontext() as player:
            with contextlib.closing(narration.speak(show)) as spoken:
                for part in spoken:
                    if target == "-":
                        parts.append(part)
                    if player is not None:
                        player.play(part)
            finished = time.perf_counter()

    if target == "-":
        _write_stdout(Speech.join(parts).wav())
    new, taken = narration.seconds - narration.kept, finished - loaded
    line = f"{narration.seconds:.2f} s of speech"
    line += f", {narration.kept:.2f} s of it kept from before, the rest" if narration.kept else ""
    line += f" in {taken:.2f} s (real-time factor {taken / new:.2f}; " if new else " ("
    line += f"loading took {loaded - started:.2f} s; seed {narration.seed}), {_where(narration.files, target)}"
    print(line, file=sys.stderr if target == "-" else sys.stdout)


def _where(files: list[Path], target: str | None) -> str:
    """Where the speech has gone."""
    names = [{None: "played", "-": "written to standard output"}[target]] if target in (None, "-") else []
    if len(files) > 4:
        return " and ".join([*names, f"written to {len(files)} files, {files[0]} to {files[-1]}"])
    return " and ".join([*names, f"written to {' and '.join(map(str, files))}"] if files else names)


@contextlib.contextmanager
def _work_kept() -> Iterator[Callable[[Narration], None]]:
    """When it ends before its time, say where the work is that goes on next time: of what the function is given."""
    narrations: list[Narration] = []
    try:
        yield narrations.append
    except BaseException:
        for narration in narrations:
            if narration.work is not None:
                _say(f"notice: what is spoken is kept in {narration.work}; the same command goes on from there")
        raise


def given_book(argument: str | None, option: str | None, file: str | None, ssml: bool = False) -> Book:
    """What to say, from the one place that was named, else from standard input. ssml: no file is anything else."""
    named = {"the argument": argument, "--text": option, "--file": file}
    used = [name for name, value in named.items() if value is not None]
    if len(used) > 1:
        raise ValueError(f"the text is given by {' and by '.join(used)}; give it once")
    if file is not None and file != "-":
        try:
            if not ssml:
                return books.read(file)
            said, name = books.decode(Path(file).read_bytes(), file), file
        except OSError as error:
            raise ValueError(f"--file {file}: {error.strerror or error}") from None
    elif used and file is None:
        said, name = argument if argument is not None else option or "", "the text"
        try:
            said.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the text {said!r} is not UTF-8") from None
    else:
        said, name = books.decode(_stdin(), "standard input"), "standard input"
    if not said.strip():
        raise ValueError(f"{name} is empty; there is nothing to say")
    return Book("", (books.Chapter("", said),))


def given_text(argument: str | None, option: str | None, file: str | None) -> str:
    """What to say, as one text with the tags of `markup`."""
    return given_book(argument, option, file).text


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("no text: give it as the argument, with --text or --file, or on standard input")
    return sys.stdin.buffer.read()


def given_voice(name: str | None, ref_audio: str | None, ref_text: str | None) -> Voice:
    """The voice that flags name: a built-in one, a saved one, a recording's."""
    if ref_audio is None:
        if ref_text is not None:
            raise ValueError("--ref-text is what is said in --ref-audio, which is missing")
        if name is not None and name.endswith(".safetensors"):
            return Voice.load(name)
        return get(_DEFAULTS.voice if name is None else name)
    if name is not None:
        raise ValueError("--voice and --ref-audio both choose the voice; give one of them")
    if ref_text is not None and not ref_text.strip():
        raise ValueError("--ref-text is empty; give what is said in --ref-audio, or leave it out")
    return Voice.from_file(ref_audio, text=ref_text)


def check_output(target: str) -> None:
    """Raise ValueError where writing sound to `target` is bound to fail: better now than after the work."""
    if target == "-":
        if sys.stdout.isatty():
            raise ValueError("--output - writes WAV to standard output, which is a terminal; redirect it")
        return
    path = Path(target)
    known = ", ".join(audio.FORMATS)
    if path.is_dir():
        raise ValueError(f"--output {target}: this is a folder; a file name is needed")
    if not path.suffix[1:]:
        raise ValueError(f"--output {target}: no extension to tell the format from; known are {known}")
    if path.suffix[1:].lower() not in audio.FORMATS:
        raise ValueError(f"--output {target}: unknown extension {path.suffix}; known are {known}")
    if not path.parent.is_dir():
        raise ValueError(f"--output {target}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"--output {target}: the folder {path.parent} cannot be written to")


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


# --- sound -----------------------------------------------------------------------------------------------------------


def _has_sound(required: bool) -> bool:
    """Whether speech can be played here; where it is `required` and cannot, ValueError says what is missing."""
    try:
        import sounddevice

        sounddevice.query_devices(kind="output")
    except ImportError:
        reason = "the package sounddevice is missing: pip install vivavoce[play]"
    except OSError as error:  # sounddevice is there, the library below it is not
        reason = f"{error} (on Debian and Ubuntu: apt install libportaudio2)"
    except Exception as error:  # sounddevice.PortAudioError and ValueError: no device, none of them usable
        reason = f"no sound output device was found ({error})"
    else:
        return True
    if required:
        raise ValueError(f"--play: {reason}")
    return False


class _Player:
    """Plays pieces of speech one after another while the next ones are made."""

    def __init__(self, sample_rate: int) -> None:
        import sounddevice

        self._queue: queue.Queue[Speech | None] = queue.Queue()
        self._error: Exception | None = None
        self._stopped = False
        self._stream = sounddevice.OutputStream(samplerate=sample_rate, channels=1, dtype="float32")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Player:
        self._stream.start()
        self._thread.start()
        return self

    def play(self, speech: Speech) -> None:
        self._queue.put(speech)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait until all is played; after an error or Ctrl-C, stop at once."""
        self._stopped = kind is not None
        self._queue.put(None)
        try:
            while self._thread.is_alive():
                self._thread.join(0.1)  # in short turns: a plain join cannot be interrupted on Windows
        finally:
            self._stopped = True
            self._stream.close()
        if self._error is not None and kind is None:
            raise ValueError(f"the sound device failed: {self._error}; use --output to write a file")

    def _run(self) -> None:
        try:
            while (speech := self._queue.get()) is not None:
                block = speech.sample_rate // 10
                for start in range(0, len(speech), block):
                    if self._stopped:
                        return
                    self._stream.write(speech.samples[start : start + block, None])  # [S, 1 channel]
            self._stream.stop()  # waits for what is still in the device's buffer
        except Exception as error:
            self._error = error


# --- the terminal ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on stderr: gives a function of what is being done and the part of it that is, 0 to 1.

    Nothing is shown where stderr is not a terminal.
    """
    if not sys.stderr.isatty():
        yield lambda description, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    left = (TimeRemainingColumn(), TextColumn("{task.fields[left]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), *left)
    # Nothing of stdout may pass through the bar: it may be the sound.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(description, total=None, left="")
        yield lambda description, done: bar.update(
            task, description=description, total=1.0, completed=done, left="left"
        )


def run(app: typer.Typer, arguments: Sequence[str] | None = None, name: str = "vivavoce") -> int:
    """Run a command line and return its exit status: 0, or a number above after one line on stderr.

    With VIVAVOCE_DEBUG=1 in the environment, the traceback comes before that line.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(app)
    try:
        with _notices(), command.make_context(name, list(arguments)) as context:
            command.invoke(context)
            sys.stdout.flush()
        return 0
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()  # whoever read it has gone, and knows
        return PIPE_CLOSED
    except Exception as error:
        if os.environ.get("VIVAVOCE_DEBUG") == "1":
            traceback.print_exc()
        message, status = _explain(error)
        _say(f"error: {message}")
        _discard_stdout()
        return status


def _explain(error: Exception) -> tuple[str, int]:
    """What to tell the user about `error`, and the exit status."""
    if hasattr(error, "format_message"):  # click's errors about flags, whichever click typer uses
        return error.format_message(), BAD_INPUT
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror, BAD_INPUT
    if isinstance(error, ValueError | OSError):
        return str(error), BAD_INPUT
    if isinstance(error, SynthesisError):
        return str(error), FAILED
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is torch's
        return "there is not enough memory for this", FAILED
    kind = type(error).__name__
    report = "please report it with what VIVAVOCE_DEBUG=1 in the environment makes it print"
    return f"unexpected {kind}: {str(error)[:300]}; this is a fault of vivavoce, {report}", FAILED


@contextlib.contextmanager
def _notices() -> Iterator[None]:
    """Show the library's warnings as one line each, and nobody else's deprecations."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        _say(f"notice: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _say(message: str) -> None:
    """One line on stderr, whatever breaks the message holds."""
    with contextlib.suppress(OSError):
        print(" ".join(message.split()), file=sys.stderr, flush=True)


def _discard_stdout() -> None:
    """Let nothing that is still buffered fail again when Python flushes it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(add_completion=False)
app.command()(speak)


def main() -> None:
    sys.exit(run(app, name="python -m vivavoce.generate"))


if __name__ == "__main__":
    main()
