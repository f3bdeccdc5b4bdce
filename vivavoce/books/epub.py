"""EPUB 2 and 3: chapters start at the entries of the table of contents, or at headings if there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vivavoce.books.archive import Archive, local_name, named, resolve
from vivavoce.books.book import Book, left_out, to_chapters
from vivavoce.books.html import Page, parse_html
from vivavoce.books.matter import mark_front_matter, mark_page, report_front_matter
from vivavoce.books.metadata import read_about
from vivavoce.books.notes import FOOTNOTES, place_notes

# What the guide of EPUB 2 and the landmarks of EPUB 3 call front matter.
_GUIDE = {
    "cover": "cover",
    "copyright-page": "copyright page",
    "copyrightpage": "copyright page",
    "imprint": "copyright page",
    "colophon": "colophon",
    "toc": "table of contents",
    "loi": "table of contents",
    "lot": "table of contents",
    "index": "index",
}
FEW_PARTS = 3  # entries of the table of contents that are parts rather than chapters
MANY_CHAPTERS = 5  # entries below each part
MAX_ELEMENTS = 2_000_000  # of all pages; a book of a million words has some 200,000
_TYPE = "{http://www.idpf.org/2007/ops}type"


@dataclass(frozen=True)
class _Entry:
    """An entry of a table of contents."""

    path: str
    anchor: str
    title: str
    depth: int


def read_epub(path: Path, name: str, front_matter: bool = False, footnotes: str = FOOTNOTES[0]) -> Book:
    """Return the chapters of an epub. Raises ValueError, naming the file, if it is damaged or protected."""
    with path.open("rb"):
        pass  # raises the system's own error for a file that cannot be opened
    with Archive(path, name, "epub") as archive:
        package, opf = _package(archive)
        items = {item.get("id", ""): item for item in named(opf, "item")}
        spine = _spine(archive, package, opf, items)
        contents, landmarks = _contents(archive, package, list(items.values()))
        guide = landmarks | _guide(opf, package)
        depth = _chapter_depth(contents)
        pages: dict[str, Page] = {}
        counts: Counter[str] = Counter()
        missing, elements = [], 0
        entries: dict[str, list[_Entry]] = {}
        for entry in contents:
            entries.setdefault(entry.path, []).append(entry)
        for document in spine:
            if document not in archive:
                missing.append(document)
                continue
            page = _read_page(archive, document, entries.get(document, []), depth)
            kind = guide.get(document, "")
            blocks = mark_page(page.blocks, "" if kind == "index" and len(page.blocks) > 200 else kind)
            pages[document] = replace(page, blocks=blocks)
            elements += page.elements
            if elements > MAX_ELEMENTS:
                raise ValueError(f"{name} has more than {MAX_ELEMENTS:,} elements; it is not read")
            counts += page.left_out
        title, language = (_metadata(opf, key) for key in ("title", "language"))
        about = read_about(archive, package, opf, items)
    paths = [path for path, page in pages.items() for _ in page.blocks]
    marked = mark_front_matter([block for page in pages.values() for block in page.blocks])
    kept, notice = report_front_matter(marked, front_matter)
    if not kept and marked:  # nothing but front matter: better to read it than to refuse
        kept, notice = marked, ()
    remaining = set(map(id, kept))
    by_page: dict[str, list[Any]] = {path: [] for path in pages}
    for path_of, block in zip(paths, marked, strict=True):
        if id(block) in remaining:
            by_page[path_of].append(block)
    pages = {path: replace(page, blocks=by_page[path]) for path, page in pages.items()}
    blocks = place_notes(pages, footnotes, counts, language)
    notices = (*left_out(counts), *notice)
    if missing:
        notices += (f"{name} is damaged: {', '.join(missing[:5])} is missing and is left out",)
    return Book(title, to_chapters(blocks), (), notices, about)


def _package(archive: Archive) -> tuple[str, Any]:
    """Return the path of the package document, and its root element."""
    if "META-INF/container.xml" not in archive:
        raise ValueError(f"{archive.name} is not an epub: META-INF/container.xml is missing")
    root = next(named(archive.xml("META-INF/container.xml"), "rootfile"), None)
    package = "" if root is None else root.get("full-path", "")
    if not package:
        raise ValueError(f"{archive.name} is damaged: META-INF/container.xml names no package")
    return package, archive.xml(package)


def _spine(archive: Archive, package: str, opf: Any, items: dict[str, Any]) -> list[str]:
    """Return the paths of the documents in reading order."""
    spine = []
    for reference in named(opf, "itemref"):
        item = items.get(reference.get("idref", ""))
        if item is not None and reference.get("linear") != "no" and "html" in item.get("media-type", ""):
            spine.append(resolve(package, item.get("href", ""))[0])
    if "META-INF/encryption.xml" in archive:
        encrypted = {
            resolve("", e.get("URI", "").lstrip("/"))[0]
            for e in named(archive.xml("META-INF/encryption.xml"), "CipherReference")
        }
        if any(document in encrypted for document in spine):
            raise ValueError(f"{archive.name} is protected against copying (DRM); it cannot be read")
    return list(dict.fromkeys(filter(None, spine)))


def _read_page(archive: Archive, document: str, entries: Sequence[_Entry], depth: int) -> Page:
    """Return a document with its chapter titles from the entries of the table of contents that point into it."""
    first: str | None = None
    anchors: dict[str, str] = {}
    for index, entry in enumerate(entries):
        if not entry.anchor or (index == 0 and entry.depth > depth):
            first = entry.title if first is None else first
        elif entry.depth <= depth:
            anchors.setdefault(entry.anchor, entry.title)
    try:
        page = parse_html(archive.text(document), starts=anchors)
    except ValueError as error:
        where = "" if str(error).startswith(archive.name) else f"{archive.name}: {document!r} in it: "
        raise ValueError(f"{where}{error}") from None
    if page.blocks and first is not None and page.blocks[0].starts is None:
        page.blocks[0] = replace(page.blocks[0], starts=first)
    return page


def _chapter_depth(contents: Sequence[_Entry]) -> int:
    """Return the depth of the entries that are chapters: the first with several entries.

    A few entries with many below them are parts of the book, and those below are the chapters.
    """
    counts = Counter(entry.depth for entry in contents)
    depth = next((depth for depth in sorted(counts) if counts[depth] > 1), 0)
    while 0 < counts[depth] <= FEW_PARTS and counts[depth + 1] >= MANY_CHAPTERS * counts[depth]:
        depth += 1
    return depth


def _metadata(opf: Any, key: str) -> str:
    return next((" ".join("".join(e.itertext()).split()) for e in named(opf, key)), "")


# --- tables of contents ----------------------------------------------------------------------------------------------


def _contents(archive: Archive, package: str, items: Sequence[Any]) -> tuple[list[_Entry], dict[str, str]]:
    """Return the table of contents, that of EPUB 3 before that of EPUB 2, and the front matter among the landmarks.

    Empty if there is none or if it is damaged: then the headings are used.
    """
    found, landmarks = list[_Entry](), dict[str, str]()
    for item in items:
        path = resolve(package, item.get("href", ""))[0]
        is_nav = "nav" in item.get("properties", "").split()
        if path not in archive or not (is_nav or item.get("media-type") == "application/x-dtbncx+xml"):
            continue
        try:
            document = archive.xml(path)
            entries = list(_nav(document, path) if is_nav else _ncx(document, path))
        except (ValueError, RecursionError):
            continue
        if is_nav:
            landmarks |= _landmarks(document, path)
        if entries and (is_nav or not found):
            found = entries
    return found, landmarks


def _landmarks(document: Any, path: str) -> dict[str, str]:
    navs = [nav for nav in named(document, "nav") if "landmarks" in nav.get(_TYPE, "").split()]
    found = {}
    for link in (link for nav in navs for link in named(nav, "a")):
        kind = next((_GUIDE[kind] for kind in link.get(_TYPE, "").lower().split() if kind in _GUIDE), "")
        target, anchor = resolve(path, link.get("href", ""))
        if kind and not anchor:
            found[target] = kind
    return found


def _guide(opf: Any, package: str) -> dict[str, str]:
    found = {}
    for reference in named(opf, "reference"):
        kind = _GUIDE.get(reference.get("type", "").lower(), "")
        target, anchor = resolve(package, reference.get("href", ""))
        if kind and not anchor:
            found[target] = kind
    return found


def _nav(document: Any, path: str) -> Iterable[_Entry]:
    navs = list(named(document, "nav"))
    nav = next((n for n in navs if "toc" in n.get(_TYPE, "").split()), navs[0] if navs else None)

    def walk(element: Any, depth: int) -> Iterator[_Entry]:
        for child in element:
            name = local_name(child)
            if name == "a" and child.get("href"):
                yield _Entry(*resolve(path, child.get("href")), " ".join("".join(child.itertext()).split()), depth)
            else:
                yield from walk(child, depth + (name == "ol"))

    return [] if nav is None else walk(nav, -1)


def _ncx(document: Any, path: str) -> Iterable[_Entry]:
    def walk(element: Any, depth: int) -> Iterator[_Entry]:
        for point in element:
            if local_name(point) != "navPoint":
                continue
            source = next((e.get("src") for e in named(point, "content")), None)
            label = next((" ".join("".join(e.itertext()).split()) for e in named(point, "navLabel")), "")
            if source:
                yield _Entry(*resolve(path, source), label, depth)
            yield from walk(point, depth + 1)

    roots = list(named(document, "navMap"))
    return walk(roots[0], 0) if roots else []
