"""What the readers of books return: chapters of text, or the cues of subtitles."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

MAX_BYTES = 200_000_000  # of one file, or of all text in an archive, unpacked; a million words are 6 MB


@dataclass(frozen=True)
class Chapter:
    """A chapter. The text has the tags of `text.markup` and blank lines between paragraphs; it includes the heading."""

    title: str  # "": the chapter has none
    text: str


@dataclass(frozen=True)
class Cue:
    """A subtitle: its text and times in seconds from the start. speaker: if it is named. voice: "" for the default."""

    start: float
    end: float
    text: str
    speaker: str = field(default="", compare=False)
    voice: str = field(default="", compare=False)


@dataclass(frozen=True)
class About:
    """What a file says about the book in it; "" if nothing. part: the number in the series. cover: JPEG or PNG."""

    author: str = ""
    year: str = ""
    series: str = ""
    part: str = ""
    cover: bytes = b""


@dataclass(frozen=True)
class Book:
    """The text of a file. notices: what is left out or was guessed, one line each."""

    title: str
    chapters: tuple[Chapter, ...]
    cues: tuple[Cue, ...] = ()  # of subtitles, which have times instead of chapters
    notices: tuple[str, ...] = ()
    about: About = About()

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n\n".join([chapter.text for chapter in self.chapters] + [escape(cue.text) for cue in self.cues])


@dataclass(frozen=True)
class Block:
    """A paragraph or a heading of a page."""

    text: str
    level: int = 0  # of a heading, 1 to 6; 0: a paragraph
    starts: str | None = None  # the title of the chapter that starts with it, by a table of contents
    matter: str = ""  # the kind of front matter that it belongs to, such as "cover"; "": none
    image: bool = False  # the text describes an image
    linked: int = 0  # the number of links, if most of the text links to other places in the book
    links: int = 0  # the number of such links in any case
    note: int | None = None  # the note on its page that it belongs to; 0: text between notes
    refs: tuple[str, ...] = ()  # the targets of its note marks


def escape(text: str) -> str:
    """Escape brackets, so that they are not read as tags."""
    return re.sub(r"[\[\]]", r"\\\g<0>", text)


def unescape(text: str) -> str:
    """Undo `escape`, and fold white space."""
    return " ".join(re.sub(r"\\([\[\]])", r"\1", text).split())


def to_chapters(blocks: Sequence[Block]) -> tuple[Chapter, ...]:
    """Divide blocks into chapters, by a table of contents or else by headings.

    Chapters start at the headings of the highest level that occurs more than once, and at those above it. A chapter of
    headings alone, such as "Part One", joins the next chapter.
    """
    by_headings = all(block.starts is None for block in blocks)
    counts = Counter(block.level for block in blocks if block.level)
    lowest = next((level for level in sorted(counts) if counts[level] > 1), min(counts, default=0))
    divided: list[tuple[str, bool, list[Block]]] = []  # title, whether it is one of several, content
    for block in blocks:
        if by_headings and 0 < block.level <= lowest:
            divided.append((unescape(block.text), block.level == lowest, [block]))
        elif block.starts is not None:
            divided.append((block.starts, True, [block]))
        elif divided:
            divided[-1][2].append(block)
        else:
            divided.append(("", False, [block]))
    chapters: list[Chapter] = []
    before: list[Block] = []
    names: list[str] = []
    for index, (title, several, content) in enumerate(divided):
        if all(block.level for block in content) and index < len(divided) - 1:
            before += content
            names += [title] * several
            continue
        text = "\n\n".join(block.text for block in [*before, *content])
        chapters.append(Chapter(": ".join([*names, title]) if title else "", text))
        before, names = [], []
    return tuple(chapters)


def only_heading(blocks: Sequence[Block]) -> str:
    """Return the heading that the blocks start with, if it is the only one of its level; else ""."""
    levels = [block.level for block in blocks]
    return unescape(blocks[0].text) if blocks and levels[0] and levels.count(levels[0]) == 1 else ""


def count_words(text: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in text.split())


def count_things(counts: Mapping[str, int]) -> str:
    """Return "2 menus, 1 block of code" for {"menu": 2, "block of code": 1}."""
    phrases = []
    for name, count in counts.items():
        first, *rest = name.split(" of ", 1)
        several = " of ".join([f"{first}s", *rest])
        phrases.append(f"{count} {several if count > 1 else name}")
    return ", ".join(phrases)


def left_out(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return a notice about what is on the page but is not text, if there is any."""
    return (f"left out, because it is not text to be read aloud: {count_things(counts)}",) if counts else ()


def parse_selection(selection: str, chapters: int) -> list[int]:
    """Return the chapter numbers of a selection such as "3-5,9" or "7-", ascending.

    Raises ValueError for anything else, and for a number that is not in 1 to `chapters`.
    """
    numbers: set[int] = set()
    for part in selection.split(","):
        m = re.fullmatch(r"\s*(\d{1,6})\s*(?:(-)\s*(\d{1,6})?\s*)?", part, re.ASCII)
        if m is None:
            raise ValueError(f"{part.strip()!r} is not a number of chapters; write it as 3-5,9")
        first = int(m[1])
        last = first if m[2] is None else chapters if m[3] is None else int(m[3])
        if not 1 <= first <= last <= chapters:
            raise ValueError(f"{part.strip()!r} names a chapter that does not exist; the last chapter is {chapters}")
        numbers.update(range(first, last + 1))
    return sorted(numbers)


def select(book: Book, only: str | None = None, skip: str | None = None) -> Book:
    """Return the book with some of its chapters, as `parse_selection` reads them. Raises ValueError as that does, and
    if no chapter remains."""
    if only is None and skip is None:
        return book
    if book.cues:
        raise ValueError("subtitles have no chapters to select")
    count = len(book.chapters)
    chosen = set(range(1, count + 1)) if only is None else set(parse_selection(only, count))
    chosen -= set() if skip is None else set(parse_selection(skip, count))
    if not chosen:
        raise ValueError(f"no chapter remains of {count}")
    chapters = tuple(chapter for number, chapter in enumerate(book.chapters, 1) if number in chosen)
    return replace(book, chapters=chapters)
