"""Plain text: chapters start at lines such as "Chapter 3", "CHAPTER III. The Sea" or "Epilogue"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vivavoce.books.book import Book, Chapter

_NUMBER = (
    r"(?:\d{1,3}|[ivxlcdm]{1,8}|(?:the )?(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last)|"
    r"(?:twenty|thirty|forty|fifty)(?:-\w+)?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|"
    r"fourteen|fifteen|sixteen|seventeen|eighteen|nineteen)"
)
_PART = r"(?:chapter|part|book|volume|chapitre|partie|cap[ií]tulo|parte|capitolo|kapitel|teil)"
_ALONE = (
    r"(?:prologue|epilogue|preface|foreword|introduction|conclusion|afterword|acknowledge?ments|"
    r"pr[ée]face|[ée]pilogue|pr[óo]logo|ep[íi]logo|prologo|vorwort|prolog|epilog|nachwort)"
)
_HEADING = re.compile(rf"(?:{_PART}\s+{_NUMBER}(?:\s*[.:—–-].*)?|{_ALONE}[.:]?)", re.IGNORECASE)
_CAPITALS = re.compile(rf"{_PART}\s+{_NUMBER}\s", re.IGNORECASE)  # a title in capitals needs no mark before it
_SHORT = 80  # characters of a line that may be a heading

_START = re.compile(r"^\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.MULTILINE)
_END = re.compile(r"^(?:End of (?:the )?Project Gutenberg|\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG)", re.MULTILINE)
BOILERPLATE = "Project Gutenberg's notices are left out"


def read_txt(text: str, front_matter: bool = False) -> Book:
    """Return the chapters of a plain text. front_matter: keep the notices of Project Gutenberg."""
    notices: tuple[str, ...] = ()
    if not front_matter and (start := _START.search(text)):
        end = _END.search(text, start.end())
        text, notices = text[start.end() : end.start() if end else len(text)], (BOILERPLATE,)
    starts: list[tuple[int, str]] = []
    blank: list[bool] = []  # whether no text lies between this heading and the next
    for at, lines in _paragraphs(text):
        if _is_heading(lines):
            starts.append((at, " ".join(lines)))
            blank.append(True)
        elif starts:
            blank[-1] = False
        else:
            starts.append((0, ""))
            blank.append(False)
    chapters: list[Chapter] = []
    begin, names = 0, list[str]()
    for index, (_, title) in enumerate(starts):
        names.append(title)
        after = starts[index + 1][0] if index + 1 < len(starts) else len(text)
        if blank[index] and after < len(text):  # "Part One", followed by "Chapter One"
            continue
        chapters.append(Chapter(": ".join(names), text[begin:after]))
        begin, names = after, []
    return Book("", tuple(chapters), (), notices)


def _paragraphs(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the position of each paragraph, and its lines with white space folded."""
    at, lines, start = 0, list[str](), 0
    for line in [*text.splitlines(keepends=True), ""]:
        if folded := " ".join(line.split()):
            start = start if lines else at
            lines.append(folded)
        elif lines:
            yield start, lines
            lines = []
        at += len(line)


def _is_heading(lines: list[str]) -> bool:
    first = lines[0]
    if len(lines) > 2 or max(map(len, lines)) > _SHORT:
        return False
    return bool(_HEADING.fullmatch(first) or (first.isupper() and _CAPITALS.match(first)))
