"""Files to be read aloud: chapters, what is spoken of a page and what is not, and files that are not what they say."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce import books, markup
from vivavoce.books import Book, Chapter


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(name: str, text: str) -> Book:
    Path(name).write_text(text, encoding="utf-8")
    return books.read(name)


def titles(book: Book) -> list[str]:
    return [chapter.title for chapter in book.chapters]


def paragraphs(book: Book) -> list[str]:
    return [part for chapter in book.chapters for part in chapter.text.split("\n\n")]


def words(text: str) -> str:
    """What is spoken of a text with tags."""
    return "".join(segment.text for segment in markup.read(text))


# --- txt -------------------------------------------------------------------------------------------------------------


def test_txt_without_headings_is_one_chapter_as_it_stands() -> None:
    text = "Once upon [pause 1s] a time.\n\nChapter 2 was hard.\nPart of it.\n"
    assert read("story.txt", text) == Book("story", (Chapter("", text),))


def test_txt_chapters_begin_with_their_headings() -> None:
    text = (
        "THE SEA\nby nobody\n\nPART ONE\n\n\nCHAPTER I.\nDown the Rabbit-Hole\n\nIt was cold.\n\nReally.\n\n"
        "Chapter 2: The Pool\n\nIt was wet.\n\n  CHAPTER THREE THE END  \n\nIt was over.\n\nEpilogue\n\nBye."
    )
    book = read("sea.txt", text)
    assert titles(book) == [
        "",
        "PART ONE: CHAPTER I. Down the Rabbit-Hole",
        "Chapter 2: The Pool",
        "CHAPTER THREE THE END",
        "Epilogue",
    ]
    assert "".join(chapter.text for chapter in book.chapters) == text
    assert book.chapters[2].text == "Chapter 2: The Pool\n\nIt was wet.\n\n"


@pytest.mark.parametrize(
    "line",
    [
        "Chapter 3 was the hardest to write.",
        "Part of the crowd left.",
        "Book me a table.",
        "Introduction to the sea, by a sailor",
        "Chapter 1. One\nChapter 2. Two\nChapter 3. Three",
        "Chapter 1. " + "It was a dark and stormy night, and nobody was about in the streets. " * 2,
    ],
)
def test_what_only_looks_like_a_heading_is_text(line: str) -> None:
    assert titles(read("a.txt", f"It began.\n\n{line}\n\nIt ended.")) == [""]


def test_an_extension_that_nobody_knows_is_txt(tmp_path: Path) -> None:
    assert read("letter.tex", "Dear # reader").chapters[0].text == "Dear # reader"
    assert read("\N{SNOWMAN}", "Hello.").title == "\N{SNOWMAN}"


# --- md --------------------------------------------------------------------------------------------------------------


def test_md_chapters_are_the_highest_headings_of_which_there_are_several() -> None:
    book = read("a.md", "# My Book\n\nBy me.\n\n## One\n\nFirst.\n\n### Detail\n\nMore.\n\n## Two\n\nSecond.\n")
    assert titles(book) == ["My Book", "One", "Two"]
    assert book.chapters[1].text == "One\n\nFirst.\n\nDetail\n\nMore."
    book = read("b.md", "# My Book\n\n## One\n\nFirst.\n\n## Two\n\nSecond.\n")
    assert titles(book) == ["One", "Two"] and book.chapters[0].text == "My Book\n\nOne\n\nFirst."
    assert book.title == "My Book" and read("c.md", "## One\n\nA\n\n## Two\n\nB").title == "c"


def test_md_reads_words_not_marks() -> None:
    text = (
        "---\ntitle: 'The Sea'\n---\nA [link](http://x.org/a_b), ![a grey cat](c.png), **bold** and ~~gone~~ "
        "&amp; `code[0]`[^1].\nSame\nparagraph <b>still</b>.\n\n1. eggs\n2. milk!\n\n- one\n- two\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n\n***\n\n[^1]: A note.\n"
    )
    book = read("a.md", text)
    assert book.title == "The Sea"
    assert paragraphs(book) == [
        "A link, a grey cat , bold and gone & code\\[0\\]. Same paragraph still.",
        "1: eggs. 2: milk!",
        "one. two.",
        "a, b. 1, 2.",
        "quoted",
        "A note.",
    ]
    assert book.notices == ("left out, for it is no text to be read: 1 note mark",)


def test_md_keeps_tags_and_escaped_brackets() -> None:
    (chapter,) = read("a.md", "Wait [pause 500ms] for [say:Xk9|ex kay nine] \\[pause 9s\\] and `[pause 8s]`.").chapters
    segments = markup.read(chapter.text)
    assert segments[0].pause == 0.5
    assert words(chapter.text) == "Wait  for ex kay nine [pause 9s] and [pause 8s]."


def test_md_leaves_code_out_with_a_notice() -> None:
    book = read("a.md", "Look:\n\n```python\nx = 1\n```\n\n    y = 2\n\nDone.\n\n<div>Raw &lt;html&gt;</div>\n")
    assert paragraphs(book) == ["Look:", "Done.", "Raw <html>"]
    assert book.notices == ("left out, for it is no text to be read: 2 blocks of code",)


# --- html ------------------------------------------------------------------------------------------------------------


def test_html_reads_what_a_reader_of_the_page_reads() -> None:
    book = read(
        "a.html",
        "<!doctype html><html><head><title>The&nbsp;Sea &amp; I</title><style>p {}</style><script>1<2</script></head>"
        "<body><nav><a href=x>Home</a></nav><h1>One</h1><p>Some [text]\n here<br>and<br><br>there<p>unclosed &copy;"
        "<img src=x alt='a cat'><ol start=3><li>three<li>four</ol><h1>Two</h1><pre>x = 1</pre>"
        "<svg><text>no</text></svg><table><tr><th>x<th>y<tr><td>1<td>2</table><p hidden>never</p>"
        "<span aria-hidden=true>*</span>tail</body></html>",
    )
    assert book.title == "The Sea & I" and titles(book) == ["One", "Two"]
    assert paragraphs(book) == [
        "One",
        "Some \\[text\\] here\nand",
        "there",
        "unclosed © a cat",
        "3: three. 4: four",
        "Two",
        "x, y. 1, 2",
        "tail",
    ]
    assert book.notices == ("left out, for it is no text to be read: 1 menu, 1 block of code, 1 drawing",)


def test_brackets_of_html_are_no_tags() -> None:
    (chapter,) = read("a.html", "<p>He said [pause 500ms] and [nonsense:1] \\[fr].").chapters
    (segment,) = markup.read(chapter.text)
    assert segment.text == "He said [pause 500ms] and [nonsense:1] \\[fr]."


@given(st.text("<>/ap&;![]-\"'= \nbrodlipre", max_size=80))
def test_any_html_is_read(text: str) -> None:
    reader = books._Html()
    markup.read("\n\n".join(block.text for block in reader.read(text).blocks))


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
    book = books.read(epub(DOCUMENTS, NAV, {"text/nav.xhtml": nav}))
    assert book.title == "The Sea"
    assert titles(book) == ["The first", "Alpha"]
    assert book.chapters[0].text == "The Sea\n\nI\n\nFirst \\[one\\].\n\nStill the first.\n\nBefore."
    assert book.chapters[1].text == "A\n\nSecond.\n\nB\n\nThird."
    assert book.notices == ("left out, for it is no text to be read: 1 note mark",)


def test_epub_2_has_its_contents_elsewhere_and_parts_have_chapters() -> None:
    def point(source: str, label: str, inside: str = "") -> str:
        return f"<navPoint><navLabel><text>{label}</text></navLabel><content src='{source}'/>{inside}</navPoint>"

    inside = point("text/one%20b.xhtml", "Chapter 2") + point("text/one%20b.xhtml#x", "Section")
    ncx = (
        '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
        "<ncx xmlns='http://www.daisy.org/z3986/2005/ncx/'><navMap>"
        f"{point('text/one.xhtml', 'Part One', inside)}{point('text/two.xhtml', 'Part Two')}</navMap></ncx>"
    )
    book = books.read(epub(DOCUMENTS, NCX, {"toc.ncx": ncx}))
    assert titles(book) == ["Part One", "Chapter 2", "Part Two"]


def test_epub_without_contents_goes_by_its_headings() -> None:
    assert titles(books.read(epub(DOCUMENTS))) == ["The Sea: I"]


def test_epub_that_lacks_a_file_is_read_without_it() -> None:
    extra = '</manifest><spine><itemref idref="gone"/></spine><manifest><item id="gone" href="gone.xhtml" '
    book = books.read(epub(DOCUMENTS, f'{extra}media-type="application/xhtml+xml"/>'))
    assert any("lacks OEBPS/gone.xhtml" in notice for notice in book.notices)
    assert "Second." in paragraphs(book)


def test_epub_in_utf_16() -> None:
    assert "Grüße" in books.read(epub({"a.xhtml": page("<p>Grüße</p>").encode("utf-16")})).text


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + CONTAINER.replace("book", "&b;")
CRYPT = "<encryption><CipherData><CipherReference URI='OEBPS/text/one.xhtml'/></CipherData></encryption>"


def test_epub_that_cannot_be_read_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(named: str) -> None:
        with pytest.raises(ValueError, match=named) as error:
            books.read("a.epub")
        assert "\n" not in str(error.value)

    Path("a.epub").write_text("no zip")
    refused("a.epub is no epub: it is not a zip file")
    with zipfile.ZipFile("a.epub", "w") as archive:
        archive.writestr("a.txt", "x")
    refused("container.xml is missing")
    with zipfile.ZipFile("a.epub", "w") as archive:
        archive.writestr("META-INF/container.xml", ENTITIES)
    refused("no sound XML")
    epub(DOCUMENTS, files={"META-INF/encryption.xml": CRYPT})
    refused("protected against copying")
    epub({"a.xhtml": page("<p/>")})
    refused("a.epub has no text in it")
    epub({"a.xhtml": b"<p>caf\xe9</p>"})
    refused("a.xhtml' in it is not UTF-8 text")
    epub(DOCUMENTS)
    data = bytearray(Path("a.epub").read_bytes())
    at = data.index(b"OEBPS/text/one.xhtml") + 25
    data[at : at + 20] = b"\xff" * 20
    Path("a.epub").write_bytes(data)
    refused("one.xhtml' in it cannot be unpacked")
    epub({"a.xhtml": page(f"<p>{'a' * 5000}</p>")})
    monkeypatch.setattr(books, "MAX_BYTES", 3000)
    refused("more than 0 MB")
    monkeypatch.setattr(books, "MAX_MEMBERS", 2)
    refused("has 3 files in it")


def test_epub_reads_nothing_outside_itself() -> None:
    Path("secret.xhtml").write_text(page("<p>secret</p>"))
    book = books.read(epub({"../../secret.xhtml": page("<p>inside</p>"), "a.xhtml": page("<p>text</p>")}))
    assert book.text == "text"


# --- srt, and what all have in common --------------------------------------------------------------------------------


def test_srt_has_cues_and_no_chapters() -> None:
    book = read("film.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello [there].\n")
    assert (book.title, book.chapters, len(book.cues)) == ("film", (), 1)
    assert book.text == "Hello \\[there\\]."


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.srt"])
def test_utf_8_with_a_mark_and_other_line_ends(name: str) -> None:
    text = "1\r\n00:00:01,000 --> 00:00:02,000\r\nGrüße\r\n"
    Path(name).write_bytes(text.encode("utf-8-sig"))
    book = books.read(name)
    assert "Grüße" in book.text and "\ufeff" not in book.text and "\r" not in book.text
    Path(name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"{name} is not UTF-8 text \(byte 0xfc at 36\)"):
        books.read(name)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_files_with_nothing_to_say(name: str) -> None:
    for text in ("", " \n\n", "<p></p>\n" if name == "a.html" else "---\n"):
        with pytest.raises(ValueError, match=f"{name} (is empty|has no text in it)"):
            read(name, text)
