"""What a command line names: the text to speak, the voice, the output file."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vivavoce.audio.io import WRITER_FORMATS
from vivavoce.books import readers, web
from vivavoce.books.book import Book, count_words
from vivavoce.cli import clipboard
from vivavoce.cli.options import DEFAULTS, Flags, VoiceFlags
from vivavoce.cli.terminal import print_table
from vivavoce.text.characters import Change
from vivavoce.text.formats import strip_markdown
from vivavoce.text.markdown_signs import check_format
from vivavoce.voices import Voice, find_voice

FRONT_MATTER = "front-matter"
_WITH_CODE = ("", ".txt", ".md", ".markdown")  # extensions of files whose code blocks can be read
WORDS_PER_MINUTE = 165  # of the built-in voices, for estimates


@dataclass(frozen=True)
class BookFlags(Flags):
    """Which parts of a book are read."""

    only: Annotated[
        str | None, typer.Option(metavar="CHAPTERS", help="Read only these chapters of --file, such as 3-5,9 or 7-.")
    ] = None
    skip: Annotated[str | None, typer.Option(metavar="CHAPTERS", help="Do not read these chapters of --file.")] = None
    include: Annotated[
        str | None,
        typer.Option(
            metavar=FRONT_MATTER,
            help="Also read the cover, copyright page, printed table of contents and notices of Project Gutenberg.",
        ),
    ] = None
    footnotes: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(readers.FOOTNOTES),
            help="Where to read footnotes: at the end of their chapter, after their paragraph, or not at all "
            f"(default: {readers.FOOTNOTES[0]}).",
        ),
    ] = None

    def read(self, file: str) -> Book:
        """Return the chosen chapters of a file. Raises ValueError as `readers.read` and `readers.select` do."""
        if self.include not in (None, FRONT_MATTER):
            raise ValueError(f"--include is {self.include!r}; it must be {FRONT_MATTER}")
        if self.footnotes not in (None, *readers.FOOTNOTES):
            raise ValueError(f"--footnotes is {self.footnotes!r}; it must be one of {', '.join(readers.FOOTNOTES)}")
        book = readers.read(
            file, front_matter=self.include is not None, footnotes=self.footnotes or readers.FOOTNOTES[0]
        )
        return readers.select(book, self.only, self.skip)


@dataclass(frozen=True)
class TextFlags(Flags):
    """Where the text comes from: one of these, or standard input."""

    argument: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", show_default=False, help="The text. Without it, standard input is read."),
    ] = None
    text: Annotated[str | None, typer.Option(help="The text, as an option.")] = None
    file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help=f"Read the text from a file: {', '.join(readers.FORMATS)}. speak keeps finished sections in "
            f"OUTPUT.partial, so that the same command resumes after Ctrl-C; srt and vtt cues keep their times.",
        ),
    ] = None
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"Read the main text of a web page, of at most {web.MAX_MB:g} MB. Needs vivavoce[web].",
        ),
    ] = None
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let --url read pages of this machine and the local network.")
    ] = False
    clipboard: Annotated[bool, typer.Option("--clipboard", help="Read the text on the clipboard.")] = False

    format: Annotated[
        str | None,
        typer.Option(
            help="How to treat Markdown in a text without a known file format: markdown; plain, which reads every "
            "sign; or auto, which converts only what is unmistakable (default: auto)."
        ),
    ] = None
    read_code: Annotated[
        bool,
        typer.Option("--read-code", help="Read code blocks in Markdown instead of skipping them with a notice."),
    ] = False
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unsupported SSML instead of skipping it with a notice.")
    ] = False

    def book(self, ssml: bool = False, flags: BookFlags | None = None) -> Book:
        """Return the text as a book. With `ssml`, a file is read as plain text, whatever its extension.

        Raises ValueError where the text is missing, empty, given twice or not UTF-8, and for an unknown format.
        """
        format = check_format((self.format or "auto") + ("+code" if self.read_code else ""))
        self._check(flags)
        if self.url is not None or (self.argument is not None and web.is_url(self.argument)):
            return self._page()
        if self.file not in (None, "-") and not ssml and format == "auto":
            with _errors_name(self.file):
                return (flags or BookFlags()).read(self.file)
        text, name = self._content()
        if not text.strip():
            raise ValueError(f"{name} is empty; there is nothing to say")
        left_out: tuple[Change, ...] = ()
        if not ssml:
            text, left_out = strip_markdown(text, format)
        notices = tuple(f"{change.rule} left out: {change.before}" for change in left_out)
        return Book("", (readers.Chapter("", text),), notices=notices)

    def _check(self, flags: BookFlags | None) -> None:
        """Raise ValueError if the text is given twice, or with flags that are for another kind of text."""
        if self.read_code and self.file is not None and Path(self.file).suffix.lower() not in _WITH_CODE:
            raise ValueError(f"--read-code is for text and Markdown; --file {self.file} is neither")
        named = {"the argument": self.argument, "--text": self.text, "--file": self.file, "--url": self.url}
        named["--clipboard"] = "" if self.clipboard else None
        used = [name for name, value in named.items() if value is not None]
        if len(used) > 1:
            raise ValueError(f"the text is given by {' and by '.join(used)}; give it once")
        if self.file is None and flags is not None and (given := flags.given()):
            raise ValueError(f"--{next(iter(given))} is for a book; give the text with --file")

    def _content(self) -> tuple[str, str]:
        """Return the text, and what messages call its source."""
        if self.file not in (None, "-"):
            with _errors_name(self.file):
                return readers.decode(Path(self.file).read_bytes(), self.file), self.file
        if self.clipboard:
            return clipboard.read(), "the clipboard"
        text = self.argument if self.argument is not None else self.text
        if text is None:
            return readers.decode(_read_stdin(), "standard input"), "standard input"
        if len(text) < 256 and Path(text).suffix and os.path.isfile(text):
            notice = f"{text} is a file, but its name is spoken; to read the file: --file {text}"
            warnings.warn(notice, stacklevel=1)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the text {text!r} is not UTF-8") from None
        return text, "the text"

    def _page(self) -> Book:
        """Return the page that --url names, or that the argument is if the user says so. Raises ValueError."""
        address = (self.url or self.argument or "").strip()
        if self.url is None and not confirm(f"Read the page {address} aloud?"):
            raise ValueError(
                f"{address} is a web address; to read the page: --url {address}; to speak the address: --text {address}"
            )
        return web.read_url(address, allow_private=self.allow_private)


@contextlib.contextmanager
def _errors_name(file: str) -> Iterator[None]:
    """Turn what the system says about a file into ValueError."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"--file {file}: {error.strerror or error}") from None


def confirm(question: str) -> bool:
    """Ask on the terminal, and return whether the answer is yes. False where there is no terminal."""
    if sys.stdin is None or not sys.stdin.isatty() or sys.stderr is None or not sys.stderr.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_chapters(book: Book) -> None:
    """Print the chapters of a book with their words and estimated minutes."""
    rows = [(str(n), chapter.title or "-", chapter.text) for n, chapter in enumerate(book.chapters, 1)]
    if book.cues:
        rows = [("-", f"{len(book.cues)} cues", " ".join(cue.text for cue in book.cues))]
    words = [count_words(text) for _, _, text in rows]
    minutes = [f"{count / WORDS_PER_MINUTE:.1f}" for count in words]
    table = [(number, title[:70], str(c), m) for (number, title, _), c, m in zip(rows, words, minutes, strict=True)]
    if len(table) > 1:
        table.append(("", "all", str(sum(words)), f"{sum(words) / WORDS_PER_MINUTE:.1f}"))
    print_table(("chapter", "title", "words", "minutes, about"), table)


def _read_stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise ValueError("no text: give it as the argument, with --text or --file, or on standard input")
    return sys.stdin.buffer.read()


def chosen_voice(flags: VoiceFlags) -> Voice:
    """Load the voice that the flags name: built-in, saved, or cloned from a recording. Raises ValueError."""
    if flags.ref_audio is None:
        if flags.ref_text is not None:
            raise ValueError("--ref-text is the transcript of --ref-audio, which is missing")
        return find_voice(DEFAULTS.voice if flags.voice is None else flags.voice)
    if flags.voice is not None:
        raise ValueError("--voice and --ref-audio both choose the voice; give one of them")
    if flags.ref_text is not None and not flags.ref_text.strip():
        raise ValueError("--ref-text is empty; give the transcript of --ref-audio, or leave it out")
    return Voice.from_file(flags.ref_audio, text=flags.ref_text)


def check_output(target: str) -> None:
    """Raise ValueError where audio cannot be written to `target`. Called before the work, not after it."""
    if target == "-":
        if sys.stdout is None:
            raise ValueError("--output - writes WAV to standard output, which is closed")
        if sys.stdout.isatty():
            raise ValueError("--output - writes WAV to standard output, which is a terminal; redirect it")
        return
    path = Path(target)
    known = ", ".join(WRITER_FORMATS)
    if path.is_dir():
        raise ValueError(f"--output {target}: this is a folder; a file name is needed")
    if not path.suffix[1:]:
        raise ValueError(f"--output {target}: the name has no extension; known formats are {known}")
    if path.suffix[1:].lower() not in WRITER_FORMATS:
        raise ValueError(f"--output {target}: unknown extension {path.suffix}; known formats are {known}")
    if not path.parent.is_dir():
        raise ValueError(f"--output {target}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"--output {target}: the folder {path.parent} is not writable")
