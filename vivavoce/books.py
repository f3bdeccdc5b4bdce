r"""Files to be read aloud → `Book`: chapters of text from txt, md, html and epub, cues from srt.

Text that somebody wrote to be spoken, txt and md, may have the tags that `markup` explains; brackets in html, epub and
srt are brackets. Chapters begin where a table of contents or the headings say so:

    txt              a paragraph such as "Chapter 3", "CHAPTER III. The Sea" or "Epilogue", of one or two short lines
    md, html         the headings of the highest level that occurs more than once, and those above it
    epub             the entries of the table of contents; those of a lower level where a file begins with them

What is on the page but no text is left out with a notice: blocks of code, menus, drawings, formulas.
"""

from __future__ import annotations

import os
import posixpath
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import defusedxml
from defusedxml import ElementTree

from vivavoce.subtitles import Cue, read_srt

FORMATS = ("txt", "md", "html", "epub", "srt")
_SUFFIXES = {"md": "md", "markdown": "md", "html": "html", "htm": "html", "xhtml": "html", "epub": "epub", "srt": "srt"}

# Of an epub: a book of a million words has 6 MB of text, and a picture or two of that size.
MAX_MEMBERS = 20_000
MAX_BYTES = 200_000_000  # of all text in it, unpacked


@dataclass(frozen=True)
class Chapter:
    """Text with the tags of `markup`, paragraphs parted by blank lines; its heading, if it has one, is the first."""

    title: str  # "": it has none
    text: str


@dataclass(frozen=True)
class Book:
    """What a file says. notices: what of it is not spoken, a line each."""

    title: str
    chapters: tuple[Chapter, ...]
    cues: tuple[Cue, ...] = ()  # of srt, where the text has times instead of chapters
    notices: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it as one text."""
        return "\n\n".join([chapter.text for chapter in self.chapters] + [escape(cue.text) for cue in self.cues])


def read(path: str | os.PathLike[str]) -> Book:
    """The book in a file, by its extension; what has none of the known ones is read as txt.

    Raises ValueError, naming the file, where it is not UTF-8, damaged, protected, or has no text; OSError where it
    cannot be read.
    """
    name, path = os.fspath(path), Path(path)
    format = _SUFFIXES.get(path.suffix[1:].lower(), "txt")
    if format == "epub":
        book = _epub(path, name)
    else:
        text = decode(path.read_bytes(), name).replace("\r\n", "\n")
        if not text.strip():
            raise ValueError(f"{name} is empty; there is nothing to say")
        if format == "srt":
            book = Book("", (), tuple(read_srt(text, name)))
        else:
            book = {"txt": _txt, "md": _md, "html": _html}[format](text)
    if not any(map(str.isalnum, book.text)):
        raise ValueError(f"{name} has no text in it; there is nothing to say")
    return book if book.title else replace(book, title=path.stem)


def decode(data: bytes, name: str) -> str:
    """UTF-8, with or without a byte order mark. Raises ValueError, naming `name`, for anything else."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte 0x{data[error.start]:02x} at {error.start})") from None


def escape(text: str) -> str:
    """Text whose brackets are none of `markup`'s tags."""
    return re.sub(r"[\[\]]", r"\\\g<0>", text)


# --- chapters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """A paragraph or a heading."""

    text: str
    level: int = 0  # of a heading, 1 to 6; 0: a paragraph
    starts: str | None = None  # the title of a chapter that begins with it, by a table of contents


def _chapters(blocks: Sequence[_Block]) -> tuple[Chapter, ...]:
    """Blocks as chapters, by a table of contents or else by headings. Headings alone are part of the next chapter."""
    by_headings = all(block.starts is None for block in blocks)
    counts = Counter(block.level for block in blocks if block.level)
    lowest = next((level for level in sorted(counts) if counts[level] > 1), min(counts, default=0))
    begun: list[tuple[str, bool, list[_Block]]] = []  # title, whether that is one of several, what is in it
    for block in blocks:
        if by_headings and 0 < block.level <= lowest:
            begun.append((_unescaped(block.text), block.level == lowest, [block]))
        elif block.starts is not None:
            begun.append((block.starts, True, [block]))
        elif begun:
            begun[-1][2].append(block)
        else:
            begun.append(("", False, [block]))
    found: list[Chapter] = []
    before: list[_Block] = []
    names: list[str] = []
    for index, (title, several, inside) in enumerate(begun):
        if all(block.level for block in inside) and index < len(begun) - 1:  # "Part One", and then "Chapter One"
            before += inside
            names += [title] * several
            continue
        text = "\n\n".join(block.text for block in [*before, *inside])
        found.append(Chapter(": ".join([*names, title]) if title else "", text))
        before, names = [], []
    return tuple(found)


def _unescaped(text: str) -> str:
    return " ".join(re.sub(r"\\([\[\]])", r"\1", text).split())


# --- txt -------------------------------------------------------------------------------------------------------------

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
_CAPITALS = re.compile(rf"{_PART}\s+{_NUMBER}\s", re.IGNORECASE)  # in a line of capitals the title needs no mark
_SHORT = 80  # characters of a line that may be a heading


def _paragraphs(text: str) -> Iterator[tuple[int, list[str]]]:
    """Where each paragraph begins, and its lines, their white space folded."""
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


def _txt(text: str) -> Book:
    starts: list[tuple[int, str]] = []
    blank: list[bool] = []  # whether nothing but this heading is between it and the next
    for start, lines in _paragraphs(text):
        if _is_heading(lines):
            starts.append((start, " ".join(lines)))
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
        if blank[index] and after < len(text):  # "Part One", and then "Chapter One"
            continue
        chapters.append(Chapter(": ".join(names), text[begin:after]))
        begin, names = after, []
    return Book("", tuple(chapters))


# --- html and md -----------------------------------------------------------------------------------------------------

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = {
    *(
        "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure"
    ).split(),
    *("footer form header hgroup html legend main menu ol p section summary table ul").split(),
    *_HEADINGS,
}
_VOID = {*"area base br col embed hr img input link meta source track wbr".split()}
# What is passed over with all that is in it, and what it is called where that is worth a notice.
_PASSED = {
    "pre": "block of code",
    "nav": "menu",
    "svg": "drawing",
    "math": "formula",
    **dict.fromkeys(
        "audio button canvas iframe noscript object rp rt script select style template textarea video".split()
    ),
}


class _Html(HTMLParser):
    """HTML → blocks. tags: brackets may be tags of `markup`. starts: chapters' titles by the id where they begin."""

    def __init__(self, tags: bool = False, starts: Mapping[str, str] | None = None) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[_Block] = []
        self.title = ""
        self.left_out: Counter[str] = Counter()
        self._tags = tags
        self._starts = starts or {}
        self._start: str | None = None  # the title of a chapter that begins with the next block
        self._text: list[str] = []
        self._level = 0
        self._passed: list[str] = []  # open elements of the name that is passed over
        self._in_title = False
        self._numbers: list[int | None] = []  # of the lists that are open, the number of the next item; None: no number
        self._item = ""  # the number of an item whose text is still to come

    def read(self, text: str) -> _Html:
        self.feed(text)
        self.close()
        self._end()
        return self

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if self._passed:
            if tag == self._passed[0]:
                self._passed.append(tag)
            return
        if values.get("id") in self._starts:
            self._end()
            self._start = self._starts[values["id"]]
        is_mark = "noteref" in f"{values.get('epub:type')} {values.get('role')}"
        if (
            tag in _PASSED
            or is_mark
            or ((values.get("aria-hidden") == "true" or "hidden" in values) and tag not in _VOID)
        ):
            if name := "note mark" if is_mark else _PASSED.get(tag):
                self.left_out[name] += 1
            self._passed.append(tag)
            return
        if tag in _BLOCKS or tag == "hr":
            self._end()
            self._level = _HEADINGS.get(tag, 0)
        if tag in ("ol", "ul"):
            first = values.get("start", "1")
            self._numbers.append(
                None if tag == "ul" else int(first) if re.fullmatch(r"\d{1,9}", first, re.ASCII) else 1
            )
        elif tag == "tr":
            self._mark(".")
        elif tag == "li":
            self._mark(".")
            if self._numbers and self._numbers[-1] is not None:
                self._item = f"{self._numbers[-1]}: "
                self._numbers[-1] += 1
        elif tag in ("td", "th"):
            self._mark(",")
        elif tag == "br":
            self._text.append("\n")
        elif tag == "img":
            self.handle_data(f" {values.get('alt', '')} ")
        elif tag == "title":
            self._in_title = True

    def handle_endtag(self, tag: str) -> None:
        if self._passed:
            if tag == self._passed[0]:
                self._passed.pop()
            return
        if tag in ("li", "tr"):  # an item of a list, and a row of a table, end as a sentence does
            self._mark(".")
        elif tag in ("ol", "ul") and self._numbers:
            self._numbers.pop()
        elif tag == "title":
            self._in_title = False
        if tag in _BLOCKS:
            self._end()

    def handle_data(self, data: str) -> None:
        if self._passed:
            return
        if self._in_title:
            self.title = " ".join(f"{self.title}{data}".split())
            return
        data = re.sub(r"\s+", " ", data)
        if self._item and data.strip():
            data, self._item = f"{self._item}{data.lstrip()}", ""
        self._text.append(data if self._tags else escape(data))

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):
            self.handle_data(data[6:])

    def _mark(self, mark: str) -> None:
        """A space and, where the text so far ends with a letter or a digit, `mark` before it."""
        while self._text and not self._text[-1].strip():
            self._text.pop()
        if self._text:
            last = self._text.pop().rstrip()
            self._text.append(f"{last}{mark if last[-1].isalnum() else ''} ")

    def _end(self) -> None:
        """The end of a paragraph. Two line breaks in it have ended one, too."""
        for part in re.split(r"\n\s*\n", re.sub(r" *\n *", "\n", "".join(self._text))):
            text = re.sub(r" {2,}", " ", part).strip()
            if any(map(str.isalnum, text)):
                self.blocks.append(_Block(text, self._level, self._start))
                self._start = None
        self._text, self._level = [], 0


def _html(text: str) -> Book:
    page = _Html().read(text)
    return Book(page.title or _heading(page.blocks), _chapters(page.blocks), (), _left_out(page.left_out))


def _heading(blocks: Sequence[_Block]) -> str:
    """The heading that a page begins with, if it is the only one of its level."""
    levels = [block.level for block in blocks]
    return _unescaped(blocks[0].text) if blocks and levels[0] and levels.count(levels[0]) == 1 else ""


def _left_out(counts: Mapping[str, int]) -> tuple[str, ...]:
    said = []
    for name, count in counts.items():
        several = name.replace("block", "blocks") if name.startswith("block") else f"{name}s"
        said.append(f"{count} {several if count > 1 else name}")
    return (f"left out, for it is no text to be read: {', '.join(said)}",) if said else ()


_FRONT = re.compile(r"\A---[^\S\n]*\n(.*?\n)?(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)


def _md(text: str) -> Book:
    """By way of HTML, in which the tags of `markup` stand as they were written."""
    from markdown_it import MarkdownIt

    title = ""
    if front := _FRONT.match(text):
        text = text[front.end() :]
        found = re.search(r"^title:\s*(.+?)\s*$", front[1] or "", re.MULTILINE)
        title = found[1].strip("\"'") if found else ""
    text = re.sub(r"^\[\^[^\]\s]+\]:[^\S\n]*", "", text, flags=re.MULTILINE)  # a note is read where it stands
    text, marks = re.subn(r"\[\^[^\]\s]+\]", "", text)
    # Without text_join an escaped bracket is a token of its own, which is how it is known from a tag's.
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable("text_join")
    markdown.add_render_rule("text_special", _special)
    markdown.add_render_rule("code_inline", lambda _, tokens, at, *rest: _plain(escape(tokens[at].content)))
    page = _Html(tags=True).read(markdown.render(text))
    if marks:
        page.left_out["note mark"] += marks
    return Book(title or _heading(page.blocks), _chapters(page.blocks), (), _left_out(page.left_out))


def _special(_: Any, tokens: Any, at: int, *rest: Any) -> str:
    content: str = tokens[at].content
    return _plain(escape(content))


def _plain(text: str) -> str:
    """Text as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# --- epub ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """A line of a table of contents."""

    path: str
    anchor: str
    title: str
    depth: int


class _Archive:
    """The zip of an epub, read within limits. Nothing of it is written anywhere."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise ValueError(f"{name} is no epub: it is not a zip file") from None
        self._left = MAX_BYTES
        self._members = {info.filename: info for info in self._zip.infolist()}
        if len(self._members) > MAX_MEMBERS:
            raise ValueError(f"{name} has {len(self._members)} files in it; at most {MAX_MEMBERS} are read")

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, path: str) -> bool:
        return path in self._members

    def read(self, path: str) -> bytes:
        info = self._members.get(path)
        if info is None:
            raise ValueError(f"{self.name} lacks the file {path!r} that it names; it is damaged")
        if info.flag_bits & 1:
            raise ValueError(f"{self.name} is protected by a password; it cannot be read")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{self.name}: {path!r} in it is packed in a way that epubs do not have")
        try:
            with self._zip.open(info) as file:
                data = file.read(self._left + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{self.name}: {path!r} in it cannot be unpacked ({error})") from None
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"{self.name} holds more than {MAX_BYTES // 1_000_000} MB of text; it is not read")
        return data

    def text(self, path: str) -> str:
        data = self.read(path)
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):  # XML may be UTF-16
            return data.decode("utf-16", "replace")
        return decode(data, f"{self.name}: {path!r} in it")

    def xml(self, path: str) -> Any:
        try:
            return ElementTree.fromstring(self.read(path))
        except (ElementTree.ParseError, defusedxml.DefusedXmlException, LookupError, ValueError) as error:
            if isinstance(error, ValueError) and str(error).startswith(self.name):
                raise
            raise ValueError(f"{self.name}: {path!r} in it is no sound XML ({error})") from None


def _epub(path: Path, name: str) -> Book:
    with path.open("rb"):
        pass  # what the system refuses is told as of any file
    with _Archive(path, name) as archive:
        if "META-INF/container.xml" not in archive:
            raise ValueError(f"{name} is no epub: META-INF/container.xml is missing")
        root = next(_named(archive.xml("META-INF/container.xml"), "rootfile"), None)
        package = "" if root is None else root.get("full-path", "")
        if not package:
            raise ValueError(f"{name}: META-INF/container.xml names no package; it is damaged")
        opf = archive.xml(package)
        items = {item.get("id", ""): item for item in _named(opf, "item")}
        spine = []
        for reference in _named(opf, "itemref"):
            item = items.get(reference.get("idref", ""))
            if item is not None and reference.get("linear") != "no" and "html" in item.get("media-type", ""):
                spine.append(_resolved(package, item.get("href", ""))[0])
        protected = _protected(archive)
        if any(document in protected for document in spine):
            raise ValueError(f"{name} is protected against copying (DRM); it cannot be read")
        contents = _contents(archive, package, list(items.values()))
        blocks: list[_Block] = []
        left_out: Counter[str] = Counter()
        missing = []
        for document in dict.fromkeys(spine):
            if document not in archive:
                missing.append(document)
                continue
            first, anchors = _starts([entry for entry in contents if entry.path == document])
            page = _Html(starts=anchors).read(archive.text(document))
            if page.blocks and first is not None and page.blocks[0].starts is None:
                page.blocks[0] = replace(page.blocks[0], starts=first)
            blocks += page.blocks
            left_out += page.left_out
        title = next((" ".join("".join(e.itertext()).split()) for e in _named(opf, "title")), "")
    notices = _left_out(left_out)
    if missing:
        notices += (f"{name} is damaged: it lacks {', '.join(missing[:5])}, which is left out",)
    return Book(title, _chapters(blocks), (), notices)


def _starts(entries: list[_Entry]) -> tuple[str | None, dict[str, str]]:
    """What a table of contents has of one file: the title that it begins with, and others by their anchors."""
    first: str | None = None
    anchors: dict[str, str] = {}
    for index, entry in enumerate(entries):
        if not entry.anchor or (index == 0 and entry.depth):
            first = entry.title if first is None else first
        elif entry.depth == 0:
            anchors.setdefault(entry.anchor, entry.title)
    return first, anchors


def _named(element: Any, name: str) -> Any:
    """The elements of this name, whatever their namespace."""
    return (e for e in element.iter() if isinstance(e.tag, str) and e.tag.rpartition("}")[2] == name)


def _resolved(base: str, reference: str) -> tuple[str, str]:
    """A reference in the file `base` as a path in the archive, and the anchor in that file."""
    parts = urlsplit(reference)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), unquote(parts.path))) if parts.path else base
    return path, unquote(parts.fragment)


def _protected(archive: _Archive) -> set[str]:
    """The files that are encrypted."""
    if "META-INF/encryption.xml" not in archive:
        return set()
    found = _named(archive.xml("META-INF/encryption.xml"), "CipherReference")
    return {unquote(e.get("URI", "")).lstrip("/") for e in found}


def _contents(archive: _Archive, package: str, items: list[Any]) -> list[_Entry]:
    """The table of contents, that of EPUB 3 before that of EPUB 2; nothing where there is none or it is damaged."""
    found = list[_Entry]()
    for item in items:
        path = _resolved(package, item.get("href", ""))[0]
        is_nav = "nav" in item.get("properties", "").split()
        if path not in archive or not (is_nav or item.get("media-type") == "application/x-dtbncx+xml"):
            continue
        try:
            document = archive.xml(path)
            entries = list(_nav(document, path) if is_nav else _ncx(document, path))
        except (ValueError, RecursionError):  # the headings will do
            continue
        if entries and (is_nav or not found):
            found = entries
    return found


def _nav(document: Any, path: str) -> Iterable[_Entry]:
    navs = list(_named(document, "nav"))
    kind = "{http://www.idpf.org/2007/ops}type"
    nav = next((n for n in navs if "toc" in n.get(kind, "").split()), navs[0] if navs else None)

    def walk(element: Any, depth: int) -> Iterable[_Entry]:
        for child in element:
            name = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
            if name == "a" and child.get("href"):
                yield _Entry(*_resolved(path, child.get("href")), " ".join("".join(child.itertext()).split()), depth)
            else:
                yield from walk(child, depth + (name == "ol"))

    return [] if nav is None else walk(nav, -1)


def _ncx(document: Any, path: str) -> Iterable[_Entry]:
    def walk(element: Any, depth: int) -> Iterable[_Entry]:
        for point in element:
            if not isinstance(point.tag, str) or point.tag.rpartition("}")[2] != "navPoint":
                continue
            source = next((e.get("src") for e in _named(point, "content")), None)
            label = next((" ".join("".join(e.itertext()).split()) for e in _named(point, "navLabel")), "")
            if source:
                yield _Entry(*_resolved(path, source), label, depth)
            yield from walk(point, depth + 1)

    roots = list(_named(document, "navMap"))
    return walk(roots[0], 0) if roots else []
