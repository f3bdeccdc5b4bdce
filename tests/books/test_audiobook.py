"""Books as audiobooks: tags from an epub, loudness, subtitles with the author's words, what a killed process leaves."""

from __future__ import annotations

import importlib.util
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.narration import BOOK
from helpers.probe import probe
from helpers.tones import Tones

from vivavoce.audio.loudness import Meter
from vivavoce.audio.tags import Tags
from vivavoce.books import readers
from vivavoce.books.book import Book, Chapter
from vivavoce.books.narrate import Narration
from vivavoce.synthesis.tts import TTS

pytestmark = pytest.mark.usefixtures("short_sections")
needs_av = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs the extra aac")
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)


def speak(system: Tones, book: Book, output: str, **options: object) -> Narration:
    narration = Narration(TTS(system), book, Path(output), "nash", seed=1, **options)  # type: ignore[arg-type]
    for _ in narration.speak():
        pass
    return narration


def epub(version: int = 3) -> Path:
    refined = (
        '<meta property="belongs-to-collection" id="c">Novels</meta>'
        '<meta refines="#c" property="collection-type">series</meta>'
        '<meta refines="#c" property="group-position">4</meta><meta refines="#b" property="role">trl</meta>'
    )
    old = '<meta name="calibre:series" content="Novels"/><meta name="calibre:series_index" content="4.0"/>'
    role = "" if version == 3 else 'opf:role="trl"'
    cover = 'properties="cover-image"' if version == 3 else ""
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf" version="{version}.0" xmlns:opf="http://www.idpf.org/2007/opf">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Emma</dc:title>'
        '<dc:creator id="a">Jane Austen</dc:creator>'
        f'<dc:creator id="b" {role}>A Translator</dc:creator>'
        f'<dc:date>1815-12-23</dc:date>{refined if version == 3 else old}<meta name="cover" content="img"/></metadata>'
        f'<manifest><item id="t" href="t.xhtml" media-type="application/xhtml+xml"/>'
        f'<item id="img" href="c.png" media-type="image/png" {cover}/></manifest>'
        '<spine><itemref idref="t"/></spine></package>'
    )
    with zipfile.ZipFile("emma.epub", "w") as file:
        file.writestr(
            "META-INF/container.xml", '<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
        )
        file.writestr("p.opf", package)
        file.writestr("t.xhtml", "<html><body><h1>One</h1><p>Hello.</p><h1>Two</h1><p>Bye.</p></body></html>")
        file.writestr("c.png", PNG)
    return Path("emma.epub")


@pytest.mark.parametrize("version", [2, 3])
def test_an_epub_says_who_wrote_it_when_and_shows_its_cover(version: int) -> None:
    about = readers.read(epub(version)).about
    assert (about.author, about.year, about.series, about.part) == ("Jane Austen", "1815", "Novels", "4")
    assert about.cover == PNG


def test_the_date_of_a_digital_edition_is_no_year() -> None:
    path = epub()
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members["p.opf"] = members["p.opf"].replace(
        b"<dc:date>", b"<dc:source>https://www.gutenberg.org/files/158</dc:source><dc:date>"
    )
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    assert readers.read(path).about.year == ""


@needs_av
def test_an_m4b_has_chapters_cover_and_tags(system: Tones) -> None:
    tags = Tags("The Book", "Jane Austen", "", "Nash", "1815", cover=PNG)
    narration = speak(system, BOOK, "book.m4b", tags=tags, bitrate=48)
    found = probe(Path("book.m4b"))
    assert [title for *_, title in found["chapters"]] == ["Chapter one", "Chapter two"]
    assert found["chapters"][1][1] == pytest.approx(narration.seconds, abs=0.1)
    assert found["tags"]["artist"] == "Jane Austen" and found["covers"] == [["png", 1, 1]] and found["codec"] == "aac"
    assert found["seconds"] == pytest.approx(narration.seconds, abs=0.1)


@needs_av
def test_chapter_files_are_numbered_tracks_of_the_book(system: Tones) -> None:
    speak(system, BOOK, "book.mp3", chapters="files", tags=Tags("The Book", "Jane Austen"))
    found = [probe(path)["tags"] for path in sorted(Path().glob("book-*.mp3"))]
    assert [(tags["title"], tags["album"], tags["track"]) for tags in found] == [
        ("Chapter one", "The Book", "1/2"),
        ("Chapter two", "The Book", "2/2"),
    ]


def test_a_book_has_the_loudness_that_was_asked_for(system: Tones) -> None:
    speak(system, BOOK, "book.flac", loudness=-18.0)
    samples, rate = soundfile.read("book.flac", dtype="float32")
    meter = Meter(rate)
    meter.add(np.asarray(samples, np.float32))
    assert meter.loudness() == pytest.approx(-18, abs=0.3)


def test_subtitles_have_the_authors_words_and_end_with_the_file(system: Tones) -> None:
    text = "Dr. Smith paid $3.50 — on 3 May 2024.\n\n“Well,” she said, [say:nginx|engine ex] is no. 1."
    narration = speak(system, Book("", (Chapter("", text),)), "a.flac", captions=Path("a.vtt"))
    shown = Path("a.vtt").read_text(encoding="utf-8")
    words = " ".join(line for line in shown.split("\n")[1:] if "-->" not in line).split()
    assert words == "Dr. Smith paid $3.50 — on 3 May 2024. “Well,” she said, nginx is no. 1.".split()
    minutes, seconds = re.findall(r"--> \d\d:(\d\d):(\d\d\.\d\d\d)", shown)[-1]
    assert 60 * int(minutes) + float(seconds) == pytest.approx(narration.seconds, abs=2e-3)


def test_a_cue_may_be_a_word(system: Tones) -> None:
    speak(system, Book("", (Chapter("", "She paid $3.50 today."),)), "a.flac", captions=Path("a.srt"), cue="word")
    shown = [block.split("\n")[2] for block in Path("a.srt").read_text().strip().split("\n\n")]
    assert shown == ["She", "paid", "$3.50", "today."]


def test_wrong_options(system: Tones) -> None:
    for options, problem in (({"cue": "line"}, "cue is 'line'"), ({"loudness": 3.0}, "between -40 and -5")):
        with pytest.raises(ValueError, match=problem):
            Narration(TTS(system), BOOK, Path("a.mp3"), "nash", **options)  # type: ignore[arg-type]


def test_what_a_killed_process_left_is_removed(system: Tones) -> None:
    for name in (
        ".book [1].mp3.0a1b2c3d.part",
        "..book [1].mp3.0a1b2c3d.part.99aabbcc.part",
        ".other.mp3.0a1b2c3d.part",
    ):
        Path(name).write_text("half")
    speak(system, BOOK, "book [1].mp3")
    assert [path.name for path in Path().glob(".*.part")] == [".other.mp3.0a1b2c3d.part"]
