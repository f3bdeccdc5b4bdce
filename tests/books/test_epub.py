"""Files to be read aloud: chapters, what of a page is spoken and what is not, and files that are damaged: epub."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from helpers.books import paragraphs, read, titles

from vivavoce.books import html, readers

# --- epub ------------------------------------------------------------------------------------------------------------
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
XHTML = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'


def page(body: str) -> str:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>{XHTML}<head><title/></head><body>{body}</body></html>'
    )


def epub(documents: dict[str, str | bytes], extra: str = "", files: dict[str, str] | None = None) -> str:
    """An epub with these documents in its spine."""
    items = "".join(f'<item id="i{n}" href="{d}" media-type="application/xhtml+xml"/>' for n, d in enumerate(documents))
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(documents)))
    opf = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>'
        f"The Sea</dc:title></metadata><manifest>{items}{extra}</manifest><spine>{spine}</spine></package>"
    )
    with zipfile.ZipFile("a.epub", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", opf)
        for name, text in {**documents, **(files or {})}.items():
            archive.writestr(f"OEBPS/{name}" if not name.startswith("META-INF") else name, text)
    return "a.epub"


DOCUMENTS = {
    "title.xhtml": page("<h1>The Sea</h1>"),
    "text/one.xhtml": page("<h1>I</h1><p>First<a epub:type='noteref' href='#n'>1</a> [one].</p>"),
    "text/one b.xhtml": page("<p>Still the first.</p>"),
    "text/two.xhtml": page("<p>Before.</p><h2 id='a'>A</h2><p>Second.</p><h2 id='b'>B</h2><p>Third.</p>"),
}
NAV = '<item id="nav" href="text/nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
NCX = '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'


def test_epub_chapters_are_those_of_its_table_of_contents() -> None:
    nav = page(
        "<nav epub:type='landmarks'><ol><li><a href='one.xhtml'>No</a></li></ol></nav><nav epub:type='toc'><ol>"
        "<li><a href='one.xhtml'>The <i>first</i></a></li><li><a href='two.xhtml#a'>Alpha</a><ol>"
        "<li><a href='two.xhtml#b'>Beta</a></li></ol></li></ol></nav>"
    )
    book = readers.read(epub(DOCUMENTS, NAV, {"text/nav.xhtml": nav}))
    assert book.title == "The Sea"
    assert titles(book) == ["The first", "Alpha"]
    assert book.chapters[0].text == "The Sea\n\nI\n\nFirst \\[one\\].\n\nStill the first.\n\nBefore."
    assert book.chapters[1].text == "A\n\nSecond.\n\nB\n\nThird."
    assert book.notices == ("left out, because it is not text to be read aloud: 1 note mark",)


def test_epub_2_has_its_contents_elsewhere_and_parts_have_chapters() -> None:
    def point(source: str, label: str, inside: str = "") -> str:
        return f"<navPoint><navLabel><text>{label}</text></navLabel><content src='{source}'/>{inside}</navPoint>"

    inside = point("text/one%20b.xhtml", "Chapter 2") + point("text/one%20b.xhtml#x", "Section")
    ncx = (
        '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
        "<ncx xmlns='http://www.daisy.org/z3986/2005/ncx/'><navMap>"
        f"{point('text/one.xhtml', 'Part One', inside)}{point('text/two.xhtml', 'Part Two')}</navMap></ncx>"
    )
    book = readers.read(epub(DOCUMENTS, NCX, {"toc.ncx": ncx}))
    assert titles(book) == ["Part One", "Chapter 2", "Part Two"]


def test_a_few_entries_with_many_below_them_are_parts() -> None:
    chapters = "".join(f"<h2 id='c{n}'>{n}</h2><p>Text {n}.</p>" for n in range(10))
    whole = {"book.xhtml": page(f"<h1 id='one'>One</h1>{chapters}<h1 id='two'>Two</h1><p>The end.</p>")}
    below = "".join(f"<li><a href='book.xhtml#c{n}'>Chapter {n}</a></li>" for n in range(10))
    for entries, expected in ((below, 11), ("<li><a href='book.xhtml#c1'>Chapter 1</a></li>", 2)):
        nav = page(
            f"<nav epub:type='toc'><ol><li><a href='book.xhtml#one'>One</a><ol>{entries}</ol></li>"
            "<li><a href='book.xhtml#two'>Two</a></li></ol></nav>"
        )
        item = '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        book = readers.read(epub(whole, item, {"nav.xhtml": nav}))
        assert len(book.chapters) == expected and titles(book)[-1] == "Two"


def test_epub_without_contents_goes_by_its_headings() -> None:
    assert titles(readers.read(epub(DOCUMENTS))) == ["The Sea: I"]


def test_epub_with_a_missing_file_is_read_without_it() -> None:
    extra = '</manifest><spine><itemref idref="gone"/></spine><manifest><item id="gone" href="gone.xhtml" '
    book = readers.read(epub(DOCUMENTS, f'{extra}media-type="application/xhtml+xml"/>'))
    assert any("OEBPS/gone.xhtml is missing" in notice for notice in book.notices)
    assert "Second." in paragraphs(book)


def test_epub_in_utf_16() -> None:
    assert "Grüße" in readers.read(epub({"a.xhtml": page("<p>Grüße</p>").encode("utf-16")})).text


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + CONTAINER.replace("book", "&b;")
CRYPT = "<encryption><CipherData><CipherReference URI='OEBPS/text/one.xhtml'/></CipherData></encryption>"


def test_epub_that_cannot_be_read_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(named: str) -> None:
        with pytest.raises(ValueError, match=named) as error:
            readers.read("a.epub")
        assert "\n" not in str(error.value)

    Path("a.epub").write_text("no zip")
    refused("a.epub is not an epub: it is not a zip file")
    with zipfile.ZipFile("a.epub", "w") as archive:
        archive.writestr("a.txt", "x")
    refused("container.xml is missing")
    with zipfile.ZipFile("a.epub", "w") as archive:
        archive.writestr("META-INF/container.xml", ENTITIES)
    refused("not well-formed XML")
    epub(DOCUMENTS, files={"META-INF/encryption.xml": CRYPT})
    refused("protected against copying")
    epub({"a.xhtml": page("<p/>")})
    refused("a.epub has no text in it")
    epub({"a.xhtml": b"<p>caf\x01\x02\x03\xe9</p>"})
    refused("a.xhtml' in it is not text")
    epub(DOCUMENTS)
    data = bytearray(Path("a.epub").read_bytes())
    at = data.index(b"OEBPS/text/one.xhtml") + 25
    data[at : at + 20] = b"\xff" * 20
    Path("a.epub").write_bytes(data)
    refused("one.xhtml' in it cannot be unpacked")
    epub({"a.xhtml": page(f"<p>{'a' * 5000}</p>")})
    monkeypatch.setattr("vivavoce.books.archive.MAX_BYTES", 3000)
    refused("more than 0.003 MB")
    monkeypatch.setattr("vivavoce.books.archive.MAX_MEMBERS", 2)
    refused("has 3 files in it")


def test_epub_reads_nothing_outside_itself() -> None:
    Path("secret.xhtml").write_text(page("<p>secret</p>"))
    book = readers.read(epub({"../../secret.xhtml": page("<p>inside</p>"), "a.xhtml": page("<p>text</p>")}))
    assert book.text == "text"


def test_damaged_zip_headers_are_refused_in_one_line() -> None:
    """Not even the bytes that state the zip version lead to anything but a ValueError."""
    data = Path(epub(DOCUMENTS)).read_bytes()
    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        Path("a.epub").write_bytes(damaged)
        try:
            readers.read("a.epub")
        except ValueError as error:
            assert "\n" not in str(error) and "a.epub" in str(error)


def test_a_bomb_in_an_epub_is_refused() -> None:
    name = epub(DOCUMENTS)
    with zipfile.ZipFile(name, "a", zipfile.ZIP_DEFLATED) as book:
        book.writestr("OEBPS/toc.ncx", f"<ncx><navMap>{'<a/>' * 1_000_000}</navMap></ncx>")
    with zipfile.ZipFile("b.epub", "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("META-INF/container.xml", CONTAINER)
        book.writestr("OEBPS/book.opf", f"<package>{'<a/>' * 1_000_000}</package>")
    with pytest.raises(ValueError, match=r"book.opf' in it has more than 300,000 elements"):
        readers.read("b.epub")


# --- epub as publishers make it --------------------------------------------------------------------------------------


def text_of(body: str, **options: Any) -> str:
    return readers.read(epub({"a.xhtml": page(body)}), **options).text


@pytest.mark.parametrize(
    "mark",
    [
        "<span epub:type='pagebreak' id='p13' title='13'>13</span>",
        "<span class='pagenum'>[Pg 13]</span>",
        "<a id='Page_13' class='x-ebookmaker-pageno' title='[13]'></a>",
        "<span role='doc-pagebreak'/>",
        "<span class='pagenum'><a id='p13'>p. 13</a></span>",
        "[Pg 13]",
    ],
)
def test_page_numbers_do_not_break_words(mark: str) -> None:
    assert text_of(f"<p>He was wait{mark}ing for 13 men.</p>") == "He was waiting for 13 men."


@pytest.mark.parametrize(
    "body", ["<div class='pagebreak'><p>A chapter.</p></div>", "<p class='page-break'>Page me.</p>"]
)
def test_text_in_an_element_named_like_a_page_number_is_read(body: str) -> None:
    assert text_of(body) in ("A chapter.", "Page me.")


@pytest.mark.parametrize(
    "mark",
    [
        "<a href='#e1'><sup>2</sup></a>",
        "<sup><a href='notes.xhtml#e1'>2</a></sup>",
        "<a class='fnanchor' href='#Footnote_2'>[2]</a>",
        "<a epub:type='noteref' href='#n'>2</a>",
        "<a id='FNanchor_A_1' href='#Footnote_A_1' class='pginternal'>[A]</a>",
        "<sup><a href='#fn*'>*</a></sup>",
    ],
)
def test_note_marks_are_left_out(mark: str) -> None:
    assert text_of(f"<p>The sea{mark} was calm.</p>") == "The sea was calm."


def test_exponents_and_links_are_not_note_marks() -> None:
    link = "<a href='#c2'>chapter 2</a> in <a href='b#x'>3</a>"
    body = f"<p>E = mc<sup>2</sup>, H<sub>2</sub>O, the 1<sup>st</sup> of {link}.</p>"
    assert text_of(body) == "E = mc², H2O, the 1st of chapter 2 in 3."


def test_ornate_initials_belong_to_their_word() -> None:
    assert text_of("<p><img src='w.png' alt='W'/>hen it <span class='dropcap'>r</span>ained.</p>") == "When it rained."


def test_a_caption_is_read_once() -> None:
    body = "<p>A.</p><figure><img src='c.png' alt='A grey cat.'/><figcaption>A grey cat.</figcaption></figure><p>B.</p>"
    assert text_of(body).split("\n\n") == ["A.", "A grey cat.", "B."]


NOTES = (
    "<h1>One</h1><p>First.<a epub:type='noteref' href='#n1'>1</a></p><p>Second.<a href='#n2'><sup>2</sup></a></p>"
    "<h1>Two</h1><p>Third.</p><aside epub:type='footnote' id='n1'><a href='#r1'>1</a> Note one.</aside>"
    "<section epub:type='footnotes'><h2>Notes</h2><ol><li id='n2'>Note two.</li></ol></section>"
)


def test_footnotes_are_read_where_the_listener_wants_them() -> None:
    def read_with(mode: str) -> list[str]:
        return paragraphs(readers.read(epub({"a.xhtml": page(NOTES)}), footnotes=mode))

    notes = ["Footnote: Note one.", "Footnote: 1: Note two."]
    assert read_with("chapter-end") == ["One", "First.", "Second.", *notes, "Two", "Third."]
    assert read_with("inline") == ["One", "First.", notes[0], "Second.", notes[1], "Two", "Third."]
    assert read_with("skip") == ["One", "First.", "Second.", "Two", "Third."]
    with pytest.raises(ValueError, match="footnotes is 'end'; it must be one of chapter-end, inline, skip"):
        read_with("end")


def test_notes_in_a_file_of_their_own_go_to_their_chapter() -> None:
    documents: dict[str, str | bytes] = {
        "a.xhtml": page("<h1>One</h1><p>First.<a href='n.xhtml#n1'><sup>1</sup></a></p><h1>Two</h1><p>Second.</p>"),
        "n.xhtml": page("<section epub:type='endnotes'><h1>Notes</h1><p id='n1'>A note.</p></section>"),
    }
    book = readers.read(epub(documents))
    assert titles(book) == ["One", "Two"] and paragraphs(book)[2] == "Footnote: A note."


def test_front_matter_is_left_out_with_a_notice() -> None:
    documents: dict[str, str | bytes] = {
        "cover.xhtml": page("<img src='c.jpg' alt='Cover image'/>"),
        "title.xhtml": page("<h1>The Sea</h1><p>by Nobody</p>"),
        "rights.xhtml": page("<p>Copyright © 2020 by Nobody. All rights reserved.</p><p>ISBN 978-3-16-148410-0</p>"),
        "contents.xhtml": page(
            "<h2>Contents</h2>" + "".join(f"<p><a href='a.xhtml#c{n}'>Chapter {n}</a></p>" for n in range(1, 9))
        ),
        "a.xhtml": page("<h2 id='c1'>Chapter 1</h2><p>It began.</p><h2>Chapter 2</h2><p>It ended.</p>"),
    }
    book = readers.read(epub(documents))
    assert "Nobody" in book.text and "It began." in book.text
    for word in ("Cover", "rights", "ISBN", "Contents", "Chapter 8"):
        assert word not in book.text
    (notice,) = book.notices
    assert notice == (
        "front matter is left out: 1 cover, 1 copyright page, 1 table of contents; --include front-matter reads it"
    )
    whole = readers.read(epub(documents), front_matter=True)
    assert "ISBN" in whole.text and "Chapter 8" in whole.text and whole.notices == ()


def test_the_notices_of_project_gutenberg_are_left_out() -> None:
    lines = ["The Project Gutenberg eBook of The Sea", "*** START OF THE PROJECT GUTENBERG EBOOK THE SEA ***"]
    after = ["*** END OF THE PROJECT GUTENBERG EBOOK THE SEA ***", "Section 1. General Terms of Use"]
    body = "".join(f"<p>{line}</p>" for line in [*lines, "It began.", *after])
    assert text_of(body) == "It began."
    assert read("a.txt", "\n\n".join([*lines, "It began.", *after])).text.strip() == "It began."
    assert "General Terms" in read("a.txt", "\n\n".join([*lines, "It began.", *after]), front_matter=True).text


def test_chapters_may_begin_in_the_middle_of_a_file() -> None:
    """As in books that are one long file, whose table of contents has a title above the chapters."""
    body = "<h1 id='t'>The Sea</h1><p>By me.</p><a id='c1'/><p>One.</p><h2><a id='c2'></a>II</h2><p>Two.</p>"
    nav = page(
        "<nav epub:type='toc'><ol><li><a href='a.xhtml#t'>The Sea</a><ol><li><a href='a.xhtml#c1'>I</a></li>"
        "<li><a href='a.xhtml#c2'>II</a></li></ol></li></ol></nav>"
    )
    extra = '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    book = readers.read(epub({"a.xhtml": page(body)}, extra, {"nav.xhtml": nav}))
    assert [(c.title, c.text) for c in book.chapters] == [
        ("The Sea", "The Sea\n\nBy me."),
        ("I", "One."),
        ("II", "II\n\nTwo."),
    ]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "utf-16", "iso-8859-2"])
def test_declared_encodings_are_respected(encoding: str) -> None:
    text = page("<p>Grüße</p>").replace('encoding="utf-8"', f'encoding="{encoding}"')
    assert readers.read(epub({"a.xhtml": text.encode(encoding)})).text == "Grüße"


def test_a_wrong_suffix_is_no_obstacle() -> None:
    Path(epub(DOCUMENTS)).rename("book")
    assert "Second." in readers.read("book").text
    with pytest.raises(ValueError, match=r"mobi is not read; convert it with Calibre: ebook-convert a.mobi"):
        read("a.mobi", "x")


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        "<a ",
        "<!--",
        "<p>",
        "<div>",
        "<li>",
        "<sup>2",
        "<a href='#n'><sup>1</sup>",
        "<p id=x class=note>",
        "<td>a",
        "<![CDATA[",
    ],
)
def test_time_grows_with_the_page_only(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 of them once took minutes."""
    html.parse_html(part * 20_000)
    monkeypatch.setattr(html, "MAX_ELEMENTS", 1_000)
    if part in ("<p>", "<div>", "<li>"):
        with pytest.raises(ValueError, match="more than 1,000 elements"):
            html.parse_html(part * 20_000)


def test_deeply_nested_markdown_is_read_to_its_end() -> None:
    lines = [f"{'  ' * depth}- item {depth}" for depth in range(200)]
    book = read("a.md", "# One\n\n" + "\n".join(lines) + "\n\n# Two\n\nThe end.\n")
    assert titles(book) == ["One", "Two"] and book.notices == ()
    for depth in range(200):
        assert f"item {depth}" in book.text
    quoted = read("b.md", "\n\n".join([f"{'>' * 150} Deep.", "Shallow."]))
    assert "Deep." in quoted.text and "Shallow." in quoted.text
