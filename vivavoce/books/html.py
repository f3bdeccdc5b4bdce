"""HTML pages to blocks: the paragraphs and headings that a reader of the page would read aloud.

lxml parses the page as browsers do, whatever its errors, and reports each element once, so that time and memory grow
with the page only. What is not text is left out and counted: menus, code, drawings, formulas, page numbers, note marks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from lxml import etree

from vivavoce.books.book import Block, Book, escape, left_out, only_heading, to_chapters
from vivavoce.books.matter import mark_front_matter, report_front_matter
from vivavoce.books.notes import FOOTNOTES, place_notes

MAX_ELEMENTS = 500_000  # of a page; a book of a million words has some 100,000
_MAX_WATCHED = 8  # nested inline elements that may be a note mark or a page number
_MAX_MARK = 16  # pieces of text in one

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = {
    *"address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption".split(),
    *"figure footer form header hgroup hr html legend main menu nav ol p pre section summary table ul".split(),
    *_HEADINGS,
}
# Elements that are skipped with their content, and their names for the notice.
_SKIPPED = {
    "nav": "menu",
    "svg": "drawing",
    "math": "formula",
    **dict.fromkeys(
        "audio button canvas iframe noscript object rp rt script select style template textarea video".split()
    ),
}
_VOID = {*"area base br col embed hr img input link meta source track wbr".split()}

# EPUB's semantic types (epub:type) and the roles of ARIA, and what they mean here.
_NOTE_MARK = {"noteref", "doc-noteref"}
_NOTE = {"footnote", "endnote", "rearnote", "note", "doc-footnote", "doc-endnote"}
_NOTES = {"footnotes", "endnotes", "rearnotes", "doc-endnotes"}
_PAGE_BREAK = {"pagebreak", "doc-pagebreak"}
_MATTER = {
    **dict.fromkeys(("cover", "doc-cover"), "cover"),
    **dict.fromkeys(("copyright-page", "imprint"), "copyright page"),
    "colophon": "colophon",
    "doc-colophon": "colophon",
    **dict.fromkeys(("toc", "doc-toc", "loi", "lot", "lof", "page-list", "landmarks"), "table of contents"),
    **dict.fromkeys(("index", "doc-index"), "index"),
}
_MATTER_CLASSES = {"pg-boilerplate": "notice of Project Gutenberg", "pgheader": "notice of Project Gutenberg"}
_NOTE_CLASSES = {"footnote", "endnote"}
_PAGE_CLASSES = {
    *"pagenum pagenumber page-number page_number pageno pgnum pagebreak page-break x-ebookmaker-pageno".split()
}
_PAGE_NUMBER = re.compile(r"\W*(?:(?:pg|page|p)\W{0,2})?(?:\d{1,4}|[ivxlcdm]{1,8})?\W*", re.IGNORECASE)
_PAGE_IN_TEXT = re.compile(r"\[(?:Pg|Page)\.? ?(?:\d{1,4}|[ivxlcdm]{1,8})\]", re.IGNORECASE)
_CODE_CLASS = re.compile(r"\b(?:code|highlight|literal-block|listing|programlisting|screen|source\w*|syntax)")
_CODE_SIGNS = frozenset("{}<>=;_#$+&%@`~^|")  # in <pre>: one for 25 letters makes it code; else it is verse or a letter
_NOTE_NUMBER = re.compile(r"[\[({]?(?:\d{1,4}|[a-z]|[ivxlc]{1,6}|[*†‡§¶↩↑^]{1,3})[\])}]?\.?", re.IGNORECASE)
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass
class Page:
    """What a page has to be read aloud."""

    title: str = ""
    language: str = ""
    blocks: list[Block] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: dict[str, int] = field(default_factory=dict)  # the number of the note on this page, by its ids
    elements: int = 0


def read_html(text: str, front_matter: bool = False, footnotes: str = FOOTNOTES[0]) -> Book:
    """Return the chapters of a page. Raises ValueError if it has more than MAX_ELEMENTS elements."""
    page = parse_html(text)
    blocks, counts = mark_front_matter(page.blocks), page.left_out
    blocks, notice = report_front_matter(blocks, front_matter)
    blocks = place_notes({"": replace(page, blocks=blocks)}, footnotes, counts, page.language)
    return Book(page.title or only_heading(blocks), to_chapters(blocks), (), (*left_out(counts), *notice))


def parse_html(text: str, *, tags: bool = False, starts: Mapping[str, str] | None = None) -> Page:
    """Return the blocks of a page.

    tags: brackets may be tags of `text.markup`; otherwise they are escaped. starts: the titles of chapters by the ids
    of the elements at which they start. Raises ValueError if the page has more than MAX_ELEMENTS elements.
    """
    builder = _Builder(tags, starts or {})
    parser = etree.HTMLParser(target=builder, encoding="utf-8", huge_tree=True)
    data = _without_cdata(text).replace("\0", " ").encode("utf-8", "replace")
    for start in range(0, len(data), 65_536):
        parser.feed(data[start : start + 65_536])
    if data:
        parser.close()
    builder.end_block()
    builder.page.title = " ".join(builder.page.title.split())
    builder.page.elements = builder.elements
    return builder.page


def _without_cdata(text: str) -> str:
    """Turn CDATA sections of XHTML into text; HTML would drop them."""
    parts, done = [], 0
    while (start := text.find("<![CDATA[", done)) >= 0 and (end := text.find("]]>", start)) >= 0:
        content = text[start + 9 : end].replace("&", "&amp;").replace("<", "&lt;")
        parts += [text[done:start], content]
        done = end + 3
    return "".join([*parts, text[done:]])


_NOTHING: frozenset[str] = frozenset()


def _meaning(tag: str, values: Mapping[str, str]) -> tuple[Set[str], Set[str], Sequence[str]]:
    """Return the semantic types, the classes and the ids of an element."""
    kinds = {*f"{values.get('epub:type', '')} {values.get('role', '')}".lower().split()}
    classes = {*values.get("class", "").lower().split()}
    ids = [value for value in (values.get("id"), values.get("name") if tag == "a" else None) if value]
    return kinds, classes, ids


@dataclass
class _Watched:
    """An inline element whose text decides whether it is read: a link, a page number, a superscript."""

    kind: str  # "link", "noteref", "page" or "sup"
    depth: int
    at: int  # the length of the text at its start
    blocks: int  # the number of blocks at its start
    href: str = ""
    marked: bool = False  # a class, an id or a superscript says that it is a note mark


class _Builder:
    """Receives the elements of a page from lxml. Their starts and ends are balanced."""

    def __init__(self, tags: bool, starts: Mapping[str, str]) -> None:
        self.page = Page()
        self._tags, self._starts = tags, starts
        self.elements = 0
        self._depth = 0
        self._skipping = 0  # the depth inside an element that is skipped
        self._start: str | None = None  # the title of a chapter that starts with the next block
        self._text: list[str] = []  # of the current block
        self._level = 0  # of the current block, if it is a heading
        self._in_title = False
        self._pre: list[tuple[int, bool]] = []  # of open <pre>: the first block, whether it is code
        self._numbers: list[int | None] = []  # the number of the next item of each open list; None: not numbered
        self._item = ""  # the number of an item whose text has not started
        self._watched: list[_Watched] = []
        self._sup = 0  # the depth of open superscripts
        self._links: list[str] = []  # inside a link to a place in the book: its target
        self._length = self._linked = self._image = (
            0  # characters of the current block: all, in such links, of image texts
        )
        self._link_count = 0
        self._refs: list[str] = []
        self._note: tuple[int, int] | None = None  # the number of the open note, and its depth
        self._note_count = 0
        self._notes_depth = 0  # of a container of notes
        self._matter: list[tuple[str, int]] = []  # kinds of front matter, and their depths
        self._figures: list[tuple[int, bool]] = []  # of open figures: the first block, whether there is a caption

    # ---- elements -------------------------------------------------------------------------------------------------

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise ValueError(f"the page has more than {MAX_ELEMENTS:,} elements; it is not read")
        self._depth += 1
        if self._skipping:
            self._skipping += 1
            return
        tag = tag.rpartition(":")[2].lower()
        values = dict(attributes)
        kinds, classes, ids = _meaning(tag, values) if values else (_NOTHING, _NOTHING, ())
        for id in ids:
            if id in self._starts:
                self._start_chapter(self._starts[id])
        if self._skip(tag, values, kinds):
            self._skipping = 1
            return
        if tag in _BLOCKS:
            self.end_block()
            self._level = _HEADINGS.get(tag, 0)
        if values:
            self._open_note(tag, kinds, classes, ids)
            self._open_matter(kinds, classes, values.get("id", ""))
        self._watch(tag, values, kinds, classes)
        self._open(tag, values)

    def _open(self, tag: str, values: Mapping[str, str]) -> None:
        """Note what an element of this name means for the text in it."""
        if tag in ("ol", "ul"):
            first = values.get("start", "1")
            number = int(first) if re.fullmatch(r"\d{1,9}", first, re.ASCII) else 1
            self._numbers.append(None if tag == "ul" else number)
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
            self._add_image(values.get("alt", ""))
        elif tag == "title":
            self._in_title = True
        elif tag == "figure":
            self._figures.append((len(self.page.blocks), False))
        elif tag == "figcaption" and self._figures:
            self._figures[-1] = (self._figures[-1][0], True)
        elif tag == "pre":
            self._pre.append((len(self.page.blocks), bool(_CODE_CLASS.search(values.get("class", "").lower()))))
        elif tag in ("code", "samp", "kbd") and self._pre:
            self._pre[-1] = (self._pre[-1][0], True)
        elif tag == "html":
            self.page.language = values.get("lang") or values.get("xml:lang", "")

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._skipping:
            self._skipping -= 1
            return
        tag = tag.rpartition(":")[2].lower()
        while self._watched and self._watched[-1].depth > self._depth:
            self._judge(self._watched.pop())
        self._close(tag)
        self._close_containers()

    def _close(self, tag: str) -> None:
        """Undo what `_open` and `_watch` noted for an element of this name."""
        if tag in ("li", "tr"):  # an item of a list and a row of a table end as a sentence does
            self._mark(".")
        elif tag in ("ol", "ul") and self._numbers:
            self._numbers.pop()
        elif tag == "title":
            self._in_title = False
        elif tag == "sup":
            self._sup = max(0, self._sup - 1)
        elif tag == "a" and self._links:
            self._links.pop()
        if tag in _BLOCKS:
            self.end_block()
        if tag == "pre" and self._pre:
            self._end_pre(*self._pre.pop())
        if tag == "figure" and self._figures:
            first, captioned = self._figures.pop()
            if captioned:  # the caption says what the text of the image says
                kept = [block for block in self.page.blocks[first:] if not block.image]
                self.page.blocks[first:] = kept

    def _close_containers(self) -> None:
        """Leave notes and front matter whose elements have ended."""
        if self._note is not None and self._depth < self._note[1]:
            self.end_block()
            self._note = None
        if self._notes_depth and self._depth < self._notes_depth:
            self.end_block()
            self._notes_depth = 0
        while self._matter and self._depth < self._matter[-1][1]:
            self.end_block()
            self._matter.pop()

    def data(self, data: str) -> None:
        if self._skipping:
            return
        if self._in_title:
            self.page.title += data
            return
        self._add(re.sub(r"[^\S\n]+" if self._pre else r"\s+", " ", data))

    def comment(self, text: str) -> None:
        pass

    def pi(self, target: str, data: str | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    # ---- what is read ---------------------------------------------------------------------------------------------

    def _skip(self, tag: str, values: Mapping[str, str], kinds: Set[str]) -> bool:
        """Return whether an element is skipped with its content, and count it."""
        if kinds & _PAGE_BREAK:
            name = "page number"
        elif kinds & _NOTE_MARK and tag != "a":
            name = "note mark"
        elif tag in _SKIPPED and not (tag == "nav" and kinds & _MATTER.keys()):
            name = _SKIPPED[tag] or ""
        elif (values.get("aria-hidden") == "true" or "hidden" in values) and tag not in _VOID:
            name = ""
        else:
            return False
        if name:
            self.page.left_out[name] += 1
        return True

    def _add(self, data: str) -> None:
        if self._item and data.strip():
            data, self._item = f"{self._item}{data.lstrip()}", ""
        length = len(data.strip())
        self._length += length
        if self._links and self._links[-1]:
            self._linked += length
        self._text.append(data)

    def _end_pre(self, first: int, is_code: bool) -> None:
        """Leave out preformatted text that is code. Older books have their verses and letters in it."""
        blocks = self.page.blocks[first:]
        text = "".join(block.text for block in blocks)
        signs = sum(sign in _CODE_SIGNS for sign in text)
        if blocks and (is_code or 25 * signs > sum(map(str.isalpha, text))):
            del self.page.blocks[first:]
            self._start = next((block.starts for block in blocks if block.starts is not None), self._start)
            self.page.left_out["block of code"] += 1

    def _add_image(self, alt: str) -> None:
        """Add the text that describes an image. A single letter is an ornate initial: it belongs to its word."""
        alt = " ".join(alt.split())
        if len(alt) == 1 and alt.isalnum():
            self._add(alt)
        elif alt:
            self._add(f" {alt} ")
            self._image += len(alt)

    def _mark(self, mark: str) -> None:
        """Add a space and, if the text so far ends with a letter or a digit, `mark` before it."""
        while self._text and not self._text[-1].strip():
            self._text.pop()
        if self._text:
            last = self._text.pop().rstrip()
            self._text.append(f"{last}{mark if last[-1].isalnum() else ''} ")

    def _start_chapter(self, title: str) -> None:
        if any(part.strip() for part in self._text):
            level = self._level
            self.end_block()
            self._level = level
        self._start = title

    def end_block(self) -> None:
        """Finish a paragraph. Two line breaks in it finish one, too."""
        if not self._text:
            self._level = 0
            return
        whole = re.sub(r" ?\n ?", "\n", re.sub(r" {2,}", " ", "".join(self._text)))
        image = self._image > 0 and self._image >= self._length
        links = self._link_count
        linked = links if self._linked > 0.6 * self._length else 0
        matter = self._matter[-1][0] if self._matter else ""
        note = self._note[0] if self._note is not None else 0 if self._notes_depth else None
        for part in re.split(r"\n\s*\n", whole):
            text = re.sub(r" {2,}", " ", _PAGE_IN_TEXT.sub("", part)).strip()
            if any(map(str.isalnum, text)):
                if not self._tags:
                    text = escape(text)
                self.page.blocks.append(
                    Block(text, self._level, self._start, matter, image, linked, links, note, tuple(self._refs))
                )
                self._start, self._refs = None, []
        self._text, self._level = [], 0
        self._length = self._linked = self._image = self._link_count = 0

    # ---- notes, front matter, page numbers ------------------------------------------------------------------------

    def _open_note(self, tag: str, kinds: Set[str], classes: Set[str], ids: Sequence[str]) -> None:
        if self._note is None:
            if kinds & _NOTES or "footnotes" in classes or "endnotes" in classes:
                self.end_block()
                self._notes_depth = self._depth
            elif (
                kinds & _NOTE
                or (classes & _NOTE_CLASSES and tag in _BLOCKS | {"li"})
                or (self._notes_depth and ids and tag in ("li", "p", "div", "dd", "dt", "aside"))
            ):
                self.end_block()
                self._note_count += 1
                self._note = (self._note_count, self._depth)
        if self._note is not None:
            for id in ids:
                self.page.notes.setdefault(id, self._note[0])

    def _open_matter(self, kinds: Set[str], classes: Set[str], id: str) -> None:
        name = next((_MATTER[kind] for kind in kinds if kind in _MATTER), "")
        name = name or next((_MATTER_CLASSES[c] for c in classes if c in _MATTER_CLASSES), "")
        if not name and id in ("pg-header", "pg-footer"):
            name = "notice of Project Gutenberg"
        if name:
            self.end_block()
            self._matter.append((name, self._depth))

    def _watch(self, tag: str, values: Mapping[str, str], kinds: Set[str], classes: Set[str]) -> None:
        if not values and tag not in ("a", "sup"):
            return
        here = (self._depth, len(self._text), len(self.page.blocks))
        if tag == "a":
            href = values.get("href", "")
            inside = bool(href) and not re.match(r"[a-z][a-z0-9+.-]*:|//", href, re.IGNORECASE)
            self._links.append(href if inside else "")
            self._link_count += inside
            if inside and "#" in href and len(self._watched) < _MAX_WATCHED:
                names = f"{values.get('id', '')} {values.get('class', '')} {href}".lower()
                marked = self._sup > 0 or bool(re.search(r"note|fn|ftn", names))
                kind = "noteref" if kinds & _NOTE_MARK else "link"
                self._watched.append(_Watched(kind, *here, href, marked))
        elif classes & _PAGE_CLASSES and len(self._watched) < _MAX_WATCHED:
            self._watched.append(_Watched("page", *here))
        elif tag == "sup":
            self._sup += 1
            if self._sup > 1 or len(self._watched) >= _MAX_WATCHED:
                return
            self._watched.append(_Watched("sup", *here))
            for watched in self._watched:
                watched.marked = watched.marked or watched.kind == "link"

    def _judge(self, watched: _Watched) -> None:
        """Remove a page number or a note mark at its end, and write a superscript number as such."""
        if watched.blocks != len(self.page.blocks) or len(self._text) - watched.at > _MAX_MARK:
            return  # whole paragraphs, or too much text for a mark
        text = "".join(self._text[watched.at :]).strip()
        if watched.kind == "sup":
            before = "".join(self._text[: watched.at][-1:])
            if text.isdecimal() and text.isascii() and before[-1:].isalnum():
                self._text[watched.at :] = [text.translate(_SUPERSCRIPT)]
            return
        if watched.kind == "page":
            if not _PAGE_NUMBER.fullmatch(text):
                return
            self.page.left_out["page number"] += bool(text)
        else:
            number = text.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))
            likely = watched.marked or text[:1] in "[({*†‡§" or self._note is not None
            is_mark = likely and bool(_NOTE_NUMBER.fullmatch(number))
            if not (watched.kind == "noteref" or is_mark) or not text:
                return
            if self._note is None:  # in a note, the mark leads back to the text
                self._refs.append(watched.href)
                self.page.left_out["note mark"] += 1
        self._length -= len(text)
        del self._text[watched.at :]
