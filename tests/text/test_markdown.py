"""Markdown loses its signs, whole and as a stream; plain text passes unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from vivavoce.text.characters import Change
from vivavoce.text.formats import parse, strip_markdown
from vivavoce.text.markdown import MarkdownFilter, convert

TABLE = Path(__file__).parents[1] / "data" / "markdown.tsv"
ROWS = [row.split("\t") for row in TABLE.read_text(encoding="utf-8").splitlines()[1:]]


def plain(text: str, sizes: Sequence[int] = (), **options: bool) -> tuple[str, list[Change]]:
    """The plain text of Markdown that arrives in parts of these sizes, again and again; whole without any."""
    markdown = MarkdownFilter(**options)
    if not sizes:
        return markdown.feed(text) + markdown.close(), markdown.changes
    out, at, turn = "", 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        out += markdown.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    return out + markdown.close(), markdown.changes


@pytest.mark.parametrize(("topic", "written", "text"), ROWS)
def test_signs_are_read_as_what_they_mean(topic: str, written: str, text: str) -> None:
    """In this table a line break is written as its escape."""
    assert plain(written.replace("\\n", "\n"))[0].replace("\n", "\\n") == text


def test_the_table_has_at_least_15_rows_for_each_group() -> None:
    assert len(ROWS) >= 60 and len({written for _, written, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("written", "rule", "reported"),
    [
        ("a\n```python\nprint(1)\n```\nb", "code block", "```python print(1) ```"),
        ("a <think>let me see</think> b", "markdown", "<think>let me see</think>"),
        ("a <!-- no --> b", "markdown", "<!-- no -->"),
        ("<think>never ends", "markdown", "<think>never ends"),
        ("```\nnever ends", "code block", "``` never ends"),
        ("[id]: https://example.org\nb", "markdown", "[id]: https://example.org"),
    ],
)
def test_what_is_left_out_is_reported(written: str, rule: str, reported: str) -> None:
    assert plain(written)[1] == [Change(rule, reported, "")]
    assert parse(f"x\n{written}", format="auto")[0].changes[0].rule == rule


def test_code_is_read_on_request() -> None:
    assert plain("Run:\n```sh\nmake a[0]\n```\nDone.", read_code=True) == ("Run:\nmake a\\[0\\]\nDone.", [])


def test_a_year_at_the_start_of_a_line_is_no_item_unless_the_text_is_markdown() -> None:
    text = "It was in the year\n1984. Then it ended"
    assert plain(text)[0] == text
    assert plain(text, certain=True)[0] == text + "."


def test_a_word_that_is_also_a_tag_may_be_a_link() -> None:
    assert plain("The [range of values][1] and its [energy][2].") == ("The range of values and its energy.", [])


@pytest.mark.parametrize(
    "text",
    [
        "Plain prose, with (brackets) and 5 * 3 = 15.\n\nAnother paragraph -- here; \"quoted\".\n",
        "[fr]oui[/fr] [pause 500ms] [say:Xk9|ex_kay *nine] [1] [sic] \\[x\\]",
        "[pitch +2][range 1.3]very [em][energy -3dB]odd[/energy][/em][/range][/pitch]",
        "It costs $5 and $6, or 3 < 4 and x_1, snake_case; C:\\temp, a/b.",
        "  indented\n\ttext  with   spaces\n",
        "Mr. X paid 10:30: so it is. @name #tag https://a.b/c_d_e?f=*g",
        "",
    ],
)  # fmt: skip
def test_plain_text_passes_unchanged(text: str) -> None:
    assert plain(text) == (text, [])


WORDS = st.text(alphabet="abcXYZ .,?\n'\"()0123456789é中", max_size=60)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(WORDS.filter(lambda text: not any(line.lstrip(" ")[:1].isdigit() for line in text.split("\n"))))
def test_text_without_signs_passes_unchanged(text: str) -> None:
    assert plain(text) == (text, [])


PARTS = [
    *["# ", "## ", "- ", "* ", "1. ", "12) ", "> ", "```", "~~~", "`", "*", "**", "_", "__", "~~", "[", "]", "(", ")"],
    *[
        "![",
        "](",
        "|",
        "---",
        "===",
        "\n",
        "\n\n",
        " ",
        "  ",
        "word",
        "Two words.",
        "x_1",
        "$",
        "$$",
        "\\",
        "\\(",
        "\\)",
    ],
    *[
        "\\[",
        "\\]",
        "<b>",
        "</b>",
        "<br>",
        "<think>",
        "</think>",
        "<!--",
        "-->",
        "<",
        "<3",
        ":)",
        ":smile:",
        ":",
        "10:30",
    ],
    *[
        "http://a.b/c_d",
        "[^1]",
        "[^1]: ",
        "[a]: http://x",
        "[pause 1s]",
        "[fr]",
        "[link](http://x.y)",
        "| a | b |",
        "!",
    ],
    *[
        "|--|--|",
        "$5",
        "¹",
        "【1†a】",
        "=",
        "^_^",
        "xD",
        "- [ ] ",
        "[ ] ",
        "1. [x] ",
        "☐ ",
        "^th^",
        "1^st^",
        "==",
        "H~2~",
        "\\( n \\)",
        "\\*",
        "\t",
        ".",
        "é",
        "1984. ",
        " ##",
    ],
]
SOUP = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PARTS), max_size=24).map("".join))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(SOUP, st.lists(st.integers(1, 5), min_size=1, max_size=9))
@example("# Title ##\ntext", [1])
@example("a\n---\nb", [2])
def test_a_stream_gives_what_the_whole_gives(text: str, sizes: list[int]) -> None:
    assert plain(text, sizes) == plain(text)


def test_a_stream_is_converted_as_it_arrives() -> None:
    reports: list[Change] = []
    found = convert(iter("**Bold** words that go on for a while, and `code`.\n"), reports.extend)
    taken = 0

    def count() -> str:
        nonlocal taken
        taken += 1
        return next(found)

    first = ""
    while "words" not in first:
        first += count()
    assert first.startswith("Bold words") and "code" not in first


def test_a_stream_of_anything_but_text_is_refused() -> None:
    with pytest.raises(ValueError, match="type int"):
        list(convert(["one", 2], [].extend))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="format is 'html'; it must be one of auto, plain, markdown"):
        parse("x", format="html")


@pytest.mark.parametrize("format", ["auto+code", "markdown+code"])
def test_code_blocks_are_read_on_request(format: str) -> None:
    text = "Run:\n\n```sh\nmake all\n```\n\nDone."
    assert strip_markdown(text, format) == ("Run:\n\nmake all\n\nDone.", ())
    left, changes = strip_markdown(text, "auto")
    assert "make" not in left and [change.rule for change in changes] == ["code block"]
