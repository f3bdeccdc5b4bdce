"""Flags of audiobooks: tags, cover, bit rate, loudness, and who speaks the dialogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from vivavoce.audio.io import check_bitrate
from vivavoce.audio.loudness import check_loudness
from vivavoce.audio.tags import Tags, read_cover
from vivavoce.books import dialogue, overlay
from vivavoce.books.book import Book
from vivavoce.books.subtitles import CUES
from vivavoce.cli.options import NUMBER, WHOLE, Flags
from vivavoce.voices import get


@dataclass(frozen=True)
class AudiobookFlags(Flags):
    """How a file is encoded and what it says about itself."""

    title: Annotated[str | None, typer.Option(help="Title of the output (default: that of --file).")] = None
    author: Annotated[str | None, typer.Option(help="Author (default: that of --file).")] = None
    narrator: Annotated[str | None, typer.Option(help="Narrator (default for --file: the name of the voice).")] = None
    year: Annotated[str | None, typer.Option(help="Year of publication (default: that of --file).")] = None
    series: Annotated[
        str | None, typer.Option(metavar="NAME #N", help="Series and number in it (default: those of --file).")
    ] = None
    cover: Annotated[
        str | None, typer.Option(metavar="PATH", help="Cover, a JPEG or PNG image (default: that of --file).")
    ] = None
    bitrate: Annotated[
        int | None, typer.Option(**WHOLE, help="kbit/s of mp3, opus, ogg, m4a and m4b (default: 64 for m4a and m4b).")
    ] = None
    loudness: Annotated[
        float | None,
        typer.Option(
            **NUMBER,
            help="Loudness of each file in LUFS, such as -18 for audiobooks, with peaks at most at -3 dB "
            "(default: about -22, as spoken).",
        ),
    ] = None
    cue: Annotated[
        str | None,
        typer.Option(metavar="|".join(CUES), help=f"What a cue of --subtitles holds (default: {CUES[0]})."),
    ] = None

    read_along: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Also write an EPUB 3 with the text and the speech in step (media overlays); needs --chapters files "
            "and mp3, m4a or opus.",
        ),
    ] = None

    def check(self, output: Path | None, chapters: str | None = None) -> None:
        """Raise ValueError for a flag that is out of range or has no effect on the output."""
        check_loudness(self.loudness)
        if self.cue not in (None, *CUES):
            raise ValueError(f"--cue is {self.cue!r}; it must be one of {', '.join(CUES)}")
        if self.read_along is not None:
            overlay.check(Path(self.read_along), output, chapters or "")
        if output is None:
            for name in ("bitrate", "loudness", "title", "author", "narrator", "year", "series", "cover"):
                if getattr(self, name) is not None:
                    raise ValueError(f"--{name} is for a file; give its name with --output")
        else:
            check_bitrate(output.suffix[1:].lower(), self.bitrate)

    def narration(self, book: Book, voice: str) -> dict[str, Any]:
        """Return the arguments of `Narration`. voice: the narrator of a file. Raises ValueError for a wrong cover."""
        about = book.about
        narrator = self.narrator or (voice[:1].upper() + voice[1:] if book.title else "")
        series, part = (about.series, about.part) if self.series is None else parse_series(self.series)
        tags = Tags(
            title=self.title or book.title,
            author=self.author or about.author,
            narrator=narrator,
            year=self.year or about.year,
            series=series,
            part=part,
            cover=about.cover if self.cover is None else read_cover(Path(self.cover)),
        )
        found: dict[str, Any] = {"tags": tags, "bitrate": self.bitrate, "loudness": self.loudness}
        along = None if self.read_along is None else Path(self.read_along)
        return found | {"cue": self.cue or CUES[0], "overlay": along}


@dataclass(frozen=True)
class DialogueFlags(Flags):
    """Who speaks the dialogue of a book."""

    dialogue: Annotated[str | None, typer.Option(metavar="VOICE", help="Read quotations in another voice.")] = None
    cast: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Voices of speakers: a name, a tab and a voice on each line; * for all others. For quotations with "
            "'said NAME' nearby, scripts with 'NAME: line', and speakers named in subtitles.",
        ),
    ] = None
    lines_out: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Write who speaks which line, to be corrected, and read nothing aloud."),
    ] = None
    lines: Annotated[
        str | None, typer.Option(metavar="PATH", help="Use the corrected table that --lines-out has written.")
    ] = None

    def apply(self, book: Book) -> tuple[Book, str]:
        """Return the book with voices, and a notice about who speaks. Raises ValueError."""
        if not self.given():
            return book, ""
        if self.dialogue is not None:
            get(self.dialogue)
        cast = {} if self.cast is None else dialogue.read_cast(Path(self.cast))
        corrected = [] if self.lines is None else dialogue.read_lines(Path(self.lines))
        book, lines = dialogue.assign(book, cast, self.dialogue or "", corrected)
        if self.lines_out is not None:
            dialogue.write_lines(Path(self.lines_out), lines)
        return book, dialogue.describe(lines)


def parse_series(text: str) -> tuple[str, str]:
    """Return ("Barchester", "2") for "Barchester #2"."""
    m = re.fullmatch(r"(.*?)\s*#\s*(\d{1,4}(?:\.\d)?)\s*", text)
    return (m[1], m[2]) if m else (text.strip(), "")
