"""Files to be read aloud: chapters, what of a page is spoken and what is not, and files that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.books import paragraphs, read, titles
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.books import html, readers
from vivavoce.books.book import Book, Chapter
from vivavoce.text import formats


def words(text: str) -> str:
    """Return what is spoken of a text with tags."""
    return "".join(segment.text for segment in formats.parse(text))


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


def test_an_unknown_extension_is_txt(tmp_path: Path) -> None:
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


def test_md_reads_words_and_not_marks() -> None:
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
    assert book.notices == ("left out, because it is not text to be read aloud: 1 note mark",)


def test_md_keeps_tags_and_escaped_brackets() -> None:
    (chapter,) = read("a.md", "Wait [pause 500ms] for [say:Xk9|ex kay nine] \\[pause 9s\\] and `[pause 8s]`.").chapters
    segments = formats.parse(chapter.text)
    assert segments[0].pause == 0.5
    assert words(chapter.text) == "Wait  for ex kay nine [pause 9s] and [pause 8s]."


def test_md_leaves_code_out_with_a_notice() -> None:
    book = read("a.md", "Look:\n\n```python\nx = 1\n```\n\n    y = 2\n\nDone.\n\n<div>Raw &lt;html&gt;</div>\n")
    assert paragraphs(book) == ["Look:", "Done.", "Raw <html>"]
    assert book.notices == ("left out, because it is not text to be read aloud: 2 blocks of code",)


# --- html ------------------------------------------------------------------------------------------------------------


def test_html_reads_what_the_page_shows() -> None:
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
        "3: three. 4: four.",
        "Two",
        "x, y. 1, 2.",
        "tail",
    ]
    assert book.notices == ("left out, because it is not text to be read aloud: 1 menu, 1 block of code, 1 drawing",)


def test_brackets_of_html_are_no_tags() -> None:
    (chapter,) = read("a.html", "<p>He said [pause 500ms] and [nonsense:1] \\[fr].").chapters
    (segment,) = formats.parse(chapter.text)
    assert segment.text == "He said [pause 500ms] and [nonsense:1] \\[fr]."


@given(st.text("<>/ap&;![]-\"'= \nbrodlipre", max_size=80))
def test_any_html_is_read(text: str) -> None:
    formats.parse("\n\n".join(block.text for block in html.parse_html(text).blocks))


# --- selecting chapters ----------------------------------------------------------------------------------------------


def test_chapters_are_selected_by_number() -> None:
    book = Book("B", tuple(Chapter(str(n), f"Text {n}.") for n in range(1, 8)))
    assert titles(readers.select(book, "1-2, 5,6-")) == ["1", "2", "5", "6", "7"]
    assert titles(readers.select(book, "2-5", "3")) == ["2", "4", "5"]
    assert titles(readers.select(book, None, "2-")) == ["1"]
    for wrong, named in {
        "8": "the last chapter is 7",
        "3-2": "does not exist",
        "x": "3-5,9",
        "0": "exist",
        "": "3-5,9",
    }.items():
        with pytest.raises(ValueError, match=named):
            readers.select(book, wrong)
    with pytest.raises(ValueError, match="no chapter remains of 7"):
        readers.select(book, "1", "1-")


# --- subtitles, and what all have in common --------------------------------------------------------------------------


def test_srt_has_cues_and_no_chapters() -> None:
    book = read("film.srt", "1\n00:00:01,000 --> 00:00:02,000\nHello there.\n")
    assert (book.title, book.chapters, len(book.cues)) == ("film", (), 1)
    assert book.text == "Hello there."


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.srt"])
def test_encodings_and_line_ends(name: str) -> None:
    text = "1\r\n00:00:01,000 --> 00:00:02,000\r\nGrüße “an” alle\r\n"
    for encoding in ("utf-8-sig", "utf-16", "windows-1252", "utf-16-le"):
        Path(name).write_bytes(text.encode(encoding))
        book = readers.read(name)
        assert "Grüße “an” alle" in book.text and "\ufeff" not in book.text and "\r" not in book.text
        guessed = {"windows-1252": "Windows-1252", "utf-16-le": "UTF-16"}.get(encoding)
        assert [n for n in book.notices if "not UTF-8" in n] == (
            [f"{name} is not UTF-8; it is read as {guessed}"] if guessed else []
        )


def test_other_alphabets_are_guessed_and_binary_files_refused() -> None:
    pytest.importorskip("charset_normalizer")
    russian = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. " * 5
    Path("a.txt").write_bytes(russian.encode("windows-1251"))
    assert "счастливые семьи" in readers.read("a.txt").text
    Path("a.txt").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match=r"a.txt is not text in a known encoding, and not a book in a known format"):
        readers.read("a.txt")


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_files_with_nothing_to_say(name: str) -> None:
    for text in ("", " \n\n", "<p></p>\n" if name == "a.html" else "---\n"):
        with pytest.raises(ValueError, match=f"{name} (is empty|has no text in it)"):
            read(name, text)


def test_a_pipe_is_not_read() -> None:
    os = pytest.importorskip("os")
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo("a.txt")
    with pytest.raises(ValueError, match="a.txt is a device or a pipe, not a file"):
        readers.read("a.txt")


def test_verse_in_preformatted_text_is_read_and_code_is_not() -> None:
    Path("a.html").write_text(
        "<p>Before.</p><pre>\n  What, not a word for thee,\n    O little tome?\n\n  It wears kindly looks.\n</pre>"
        "<pre>if (a == b) { return; }</pre><pre><code>pip install vivavoce</code></pre><p>After.</p>"
    )
    book = readers.read("a.html")
    assert book.chapters[0].text == (
        "Before.\n\nWhat, not a word for thee,\nO little tome?\n\nIt wears kindly looks.\n\nAfter."
    )
    assert book.notices == ("left out, because it is not text to be read aloud: 2 blocks of code",)


def test_brackets_nested_without_end_do_not_slow_markdown_down_and_stay() -> None:
    deep = "[" * 40 + "x" + "]" * 40
    Path("a.md").write_text(f"A [link [with] brackets](https://a.b). {deep} and [one more](c).\n\n" + "<![" * 30_000)
    text = readers.read("a.md").text.replace("\\", "")
    assert text.startswith(f"A link [with] brackets. {deep} and one more.")


def test_a_printed_table_of_contents_is_left_out_though_its_titles_are_not_linked() -> None:
    rows = "".join(
        f'<tr><td><a href="#c{n}">CHAPTER {n}.</a></td><td>A title of some length {n}</td></tr>' for n in range(6)
    )
    Path("a.html").write_text(f"<p>By nobody.</p><h2>Contents</h2><table>{rows}</table><h2>One</h2><p>Text.</p>")
    book = readers.read("a.html")
    assert "title of some length" not in book.text and book.text.endswith("One\n\nText.")
    assert book.notices == ("front matter is left out: 1 table of contents; --include front-matter reads it",)
    Path("b.html").write_text('<h2>Contents</h2><p>See <a href="#a">one</a> place in a long sentence of text.</p>')
    assert "long sentence" in readers.read("b.html").text


def test_colophons_and_the_credits_of_project_gutenberg_are_left_out() -> None:
    Path("a.html").write_text(
        "<p>*** START OF THE PROJECT GUTENBERG EBOOK X ***</p><p>E-text prepared by A Volunteer</p><p>Text.</p>"
        '<section epub:type="colophon"><p>Set in Garamond.</p></section>'
    )
    assert readers.read("a.html").text == "Text."
    assert "Garamond" in readers.read("a.html", front_matter=True).text
