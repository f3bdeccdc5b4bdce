"""An EPUB 3 with media overlays: the text of a book and its speech in step, sentence by sentence, for reading along.

EPUB/package.opf, nav.xhtml, style.css, cover
EPUB/chapter-001.xhtml    the text; each sentence has an id
EPUB/chapter-001.smil     for each sentence, the part of the sound that it is (SMIL 3.0)
EPUB/audio/001.mp3        the speech of the chapter
"""

from __future__ import annotations

import datetime
import itertools
import re
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from vivavoce.audio.files import part_file
from vivavoce.audio.tags import Tags, image_type
from vivavoce.systems.interface import Word

TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "opus": "audio/ogg"}  # of sound that EPUB readers must play
_END = re.compile(r"[.!?…][\"')\]”’»」』]*$")
_NAMESPACES = 'xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"'
_CSS = ".spoken { background: #fe8; color: #000; }\nbody { margin: 5%; line-height: 1.5; }\n"


@dataclass(frozen=True)
class SpokenChapter:
    """A chapter with its sound file and the words of `text`, as `original.restore` returns them."""

    title: str
    text: str
    words: tuple[Word, ...]
    sound: Path
    seconds: float


@dataclass(frozen=True)
class Sentence:
    """A sentence and its times in seconds. paragraph: its number, from 0."""

    text: str
    start: float
    end: float
    paragraph: int


def check(path: Path, sound: Path | None, chapters: str) -> None:
    """Raise ValueError if an EPUB cannot be written to `path`, with sound like `sound`, in one file a chapter."""
    if path.suffix.lower() != ".epub":
        raise ValueError(f"{path}: the name of a book to read along must end with .epub")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")
    if sound is None or sound.suffix[1:].lower() not in TYPES:
        raise ValueError(f"a book to read along needs --output with one of {', '.join(TYPES)}")
    if chapters != "files":
        raise ValueError("a book to read along needs --chapters files")


def sentences(chapter: SpokenChapter) -> list[Sentence]:
    """Return the sentences of a chapter in order; each ends where the next begins, so that no sound is left out."""
    found: list[Sentence] = []
    words = iter(chapter.words)
    for number, paragraph in enumerate(re.split(r"\n\s*\n", chapter.text.strip())):
        left, group = len(paragraph.split()), list[Word]()
        while left > 0 and (word := next(words, None)) is not None:
            group.append(word)
            left -= len(word.text.split())
            if left <= 0 or _END.search(word.text):
                text = " ".join(each.text for each in group)
                found.append(Sentence(text, group[0].start, group[-1].end, number))
                group = []
    closed = []
    for sentence, following in itertools.zip_longest(found, found[1:]):
        end = chapter.seconds if following is None else max(following.start, sentence.start)
        closed.append(Sentence(sentence.text, sentence.start, end, sentence.paragraph))
    return closed


def write_overlay(path: Path, chapters: Sequence[SpokenChapter], tags: Tags, language: str = "en") -> None:
    """Write the book. Raises ValueError for a missing folder, OSError if the system refuses to write."""
    title = tags.title or path.stem
    total = sum(chapter.seconds for chapter in chapters)
    identity = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join([title, *(chapter.text for chapter in chapters)]))
    manifest = [
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>',
        '<item id="css" href="style.css" media-type="text/css"/>',
    ]
    durations, spine, entries = [], [], []
    with part_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(zipfile.ZipInfo("mimetype", (1980, 1, 1, 0, 0, 0)), "application/epub+zip")  # first, and stored
        book.writestr("META-INF/container.xml", _container())
        book.writestr("EPUB/style.css", _CSS)
        if tags.cover:
            name = "cover.png" if image_type(tags.cover) == "image/png" else "cover.jpg"
            book.writestr(f"EPUB/{name}", tags.cover)
            kind = image_type(tags.cover)
            manifest.append(f'<item id="cover" href="{name}" media-type="{kind}" properties="cover-image"/>')
        for number, chapter in enumerate(chapters, 1):
            id, sound = f"chapter-{number:03d}", f"audio/{number:03d}{chapter.sound.suffix.lower()}"
            parts = sentences(chapter)
            name = chapter.title or f"{title}, {number}"
            book.writestr(f"EPUB/{id}.xhtml", _page(name, parts, language))
            book.writestr(f"EPUB/{id}.smil", _smil(id, sound, parts))
            book.write(chapter.sound, f"EPUB/{sound}", zipfile.ZIP_STORED)
            manifest += [
                f'<item id="{id}" href="{id}.xhtml" media-type="application/xhtml+xml" media-overlay="{id}-smil"/>',
                f'<item id="{id}-smil" href="{id}.smil" media-type="application/smil+xml"/>',
                f'<item id="{id}-audio" href="{sound}" media-type="{TYPES[chapter.sound.suffix[1:].lower()]}"/>',
            ]
            durations.append(f'<meta property="media:duration" refines="#{id}-smil">{chapter.seconds:.3f}s</meta>')
            spine.append(f'<itemref idref="{id}"/>')
            entries.append(f'<li><a href="{id}.xhtml">{escape(name)}</a></li>')
        book.writestr("EPUB/nav.xhtml", _nav(title, entries, language))
        about = _metadata(str(identity), title, tags, language, total, durations)
        book.writestr("EPUB/package.opf", _package(about, manifest, spine, language))


# --- files -----------------------------------------------------------------------------------------------------------


def _container() -> str:
    return (
        '<?xml version="1.0"?>\n<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        '<rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>'
        "</container>\n"
    )


def _metadata(
    identity: str, title: str, tags: Tags, language: str, seconds: float, durations: Sequence[str]
) -> Iterator[str]:
    yield f'<dc:identifier id="id">urn:uuid:{identity}</dc:identifier><dc:title>{escape(title)}</dc:title>'
    yield f"<dc:language>{language}</dc:language>"
    if tags.author:
        yield f'<dc:creator id="author">{escape(tags.author)}</dc:creator>'
    if tags.year:
        yield f"<dc:date>{escape(tags.year)}</dc:date>"
    if tags.narrator:
        yield f'<meta property="media:narrator">{escape(tags.narrator)}</meta>'
    if tags.series:
        yield f'<meta property="belongs-to-collection" id="series">{escape(tags.series)}</meta>'
        yield '<meta property="collection-type" refines="#series">series</meta>'
        if tags.part:
            yield f'<meta property="group-position" refines="#series">{escape(tags.part)}</meta>'
    now = datetime.datetime.now(datetime.timezone.utc)
    yield f'<meta property="dcterms:modified">{now:%Y-%m-%dT%H:%M:%SZ}</meta>'
    yield '<meta property="media:active-class">spoken</meta>'
    yield f'<meta property="media:duration">{seconds:.3f}s</meta>'
    yield from durations


def _package(about: Iterator[str], manifest: Sequence[str], spine: Sequence[str], language: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<package xmlns="http://www.idpf.org/2007/opf" version="3.0" '
        f'unique-identifier="id" xml:lang="{language}"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">\n'
        + "\n".join(about)
        + "\n</metadata><manifest>\n"
        + "\n".join(manifest)
        + "\n</manifest><spine>\n"
        + "\n".join(spine)
        + "\n</spine></package>\n"
    )


def _nav(title: str, entries: Sequence[str], language: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<html {_NAMESPACES} lang="{language}" xml:lang="{language}"><head>'
        f'<title>{escape(title)}</title></head><body><nav epub:type="toc"><h1>{escape(title)}</h1><ol>\n'
        + "\n".join(entries)
        + "\n</ol></nav></body></html>\n"
    )


def _page(title: str, parts: Sequence[Sentence], language: str) -> str:
    paragraphs = []
    for number, group in itertools.groupby(enumerate(parts, 1), key=lambda each: each[1].paragraph):
        found = list(group)
        spans = " ".join(f'<span id="s{index}">{escape(part.text)}</span>' for index, part in found)
        plain = " ".join(part.text for _, part in found)
        is_heading = number == 0 and len(plain) < 200 and plain.strip(" .") in title
        paragraphs.append(f"<h1>{spans}</h1>" if is_heading else f"<p>{spans}</p>")
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<html {_NAMESPACES} lang="{language}" xml:lang="{language}"><head>'
        f'<title>{escape(title)}</title><link rel="stylesheet" type="text/css" href="style.css"/></head><body>'
        '<section epub:type="chapter">\n' + "\n".join(paragraphs) + "\n</section></body></html>\n"
    )


def _smil(id: str, sound: str, parts: Sequence[Sentence]) -> str:
    pairs = "\n".join(
        f'<par id="p{number}"><text src="{id}.xhtml#s{number}"/><audio src={quoteattr(sound)} '
        f'clipBegin="{part.start:.3f}s" clipEnd="{part.end:.3f}s"/></par>'
        for number, part in enumerate(parts, 1)
        if part.end > part.start
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<smil xmlns="http://www.w3.org/ns/SMIL" '
        'xmlns:epub="http://www.idpf.org/2007/ops" version="3.0"><body>'
        f'<seq id="all" epub:textref="{id}.xhtml" epub:type="chapter">\n{pairs}\n</seq></body></smil>\n'
    )
