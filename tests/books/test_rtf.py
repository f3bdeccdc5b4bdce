"""Rich Text Format."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.books import readers
from vivavoce.books.rtf import read_rtf

HEAD = (
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Times;}}{\colortbl;\red0;}{\*\generator X 1;}"
    r"{\info{\title The Ot\'74er}{\author Ann}}{\header Running head\par}"
)


def read(text: str) -> list[str]:
    Path("a.rtf").write_bytes(text.encode("latin-1"))
    return readers.read("a.rtf").text.split("\n\n")


def test_paragraphs_signs_and_characters() -> None:
    body = (
        r"\pard\plain Caf\'e9 \ldblquote quoted\rdblquote\emdash \b bold\b0 , \u8364?5 and \uc2\u252??ber."
        "\\par\nA second\r\n line\\line and another [one].\\par}"
    )
    assert read(HEAD + body) == ["Café “quoted”—bold, €5 and über.", "A second line\nand another \\[one\\]."]
    assert readers.read("a.rtf").title == "The Otter"


def test_outline_levels_are_chapters() -> None:
    body = "".join(rf"\pard\outlinelevel0 Chapter {n}\par\pard Text of {n}.\par " for n in ("One", "Two"))
    read(HEAD + body + "}")
    assert [chapter.title for chapter in readers.read("a.rtf").chapters] == ["Chapter One", "Chapter Two"]


def test_what_is_no_text_is_left_out() -> None:
    body = r"Before{\footnote A note.} {\pict\wmetafile8 0102ab}after {\v hidden }end.\par}"
    assert read(HEAD + body) == ["Before after end."]
    assert readers.read("a.rtf").notices == ("left out, because it is not text to be read aloud: 1 footnote, 1 image",)


def test_tables_are_read_by_rows() -> None:
    assert read(HEAD + r"\trowd One\cell Two\cell\row\pard After.\par}") == ["One, Two.", "After."]


def test_other_code_pages() -> None:
    assert read(r"{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2\par}") == ["Привет"]


def test_what_is_no_rtf() -> None:
    Path("a.rtf").write_text("Plain text.")
    with pytest.raises(ValueError, match="a.rtf is not an rtf"):
        readers.read("a.rtf")
    Path("a.rtf").write_text("{\\rtf1 " + "{" * 10_000 + "a" + "}" * 10_000)
    with pytest.raises(ValueError, match="nested more than 500 deep"):
        readers.read("a.rtf")


@given(st.text("\\{}'*u0f8 \nab-par", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    Path("a.rtf").write_text("{\\rtf1 " + text)
    read_rtf(Path("a.rtf"), "a.rtf")
