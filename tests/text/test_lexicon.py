"""A user's lexicon: which words it reads and how, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from vivavoce.text import Change
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.segments import Segment

NAMES = Lexicon(
    {
        "nginx": "engine ex",
        "Polish": "poe lish",
        "polish": "polish up",
        "IT": "eye tee",
        "New York": "noo yawk",
        "new york city": "the city",
        "don't": "do not",
        "café": "kaffay",
        "C++": "see plus plus",
        ".NET": "dot net",
        "a/b": "ay bee",
        "St.": "street",
    }
)


def spoken(text: str, lexicon: Lexicon = NAMES) -> str:
    """The text with what the lexicon reads in angle brackets."""
    made = lexicon.apply(Segment(text))
    return "".join(s.text.replace(s.text.strip(), f"<{s.text.strip()}>") if s.literal else s.text for s in made)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("nginx", "<engine ex>"),
        ("Nginx, NGINX!", "<engine ex>, <engine ex>!"),
        ("Polish polish POLISH", "<poe lish> <polish up> <polish up>"),
        ("IT, it and It", "<eye tee>, it and It"),
        ("nginxes and xnginx and nginx2 and my_nginx", "nginxes and xnginx and nginx2 and my_nginx"),
        ("nginx's, the nginx-based, (nginx).", "<engine ex>'s, the <engine ex>-based, (<engine ex>)."),
        ("I polish, polish't I", "I <polish up>, polish't I"),
        ("New York", "<noo yawk>"),
        ("new york", "new york"),
        ("In New  York\nCity New\n York", "In <the city> <noo yawk>"),
        ("New\n\nYork", "New\n\nYork"),
        ("don't, Don’t and don", "<do not>, <do not> and don"),
        ("caf\u00e9 cafe\u0301 cafe", "<kaffay> <kaffay> cafe"),
        ("Use C++, C++11 or .NET.", "Use <see plus plus>, C++11 or <dot net>."),
        ("an a/b test", "an <ay bee> test"),
        ("High St. is", "High <street> is"),
        ("nginx nginx", "<engine ex> <engine ex>"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_whole_words_are_read_longest_first(text: str, read: str) -> None:
    assert spoken(text) == read


def test_an_entry_without_accent_is_not_found_under_one() -> None:
    assert spoken("cafe\u0301 re\u0301nginx", Lexicon({"cafe": "x", "nginx": "y"})) == "cafe\u0301 re\u0301nginx"


def test_what_is_read_is_reported_and_the_rest_stays() -> None:
    segment = Segment("Ask Nginx now", lang="en", voice="nash", speed=0.9, pause=2.0)
    first, second, third = NAMES.apply(segment)
    assert second.changes == (Change("lexicon", "Nginx", "engine ex"),)
    assert [s.pause for s in (first, second, third)] == [0.0, 0.0, 2.0]
    assert {(s.lang, s.voice, s.speed) for s in (first, second, third)} == {("en", "nash", 0.9)}


def test_a_pause_stays_after_a_word_at_the_end() -> None:
    (made,) = NAMES.apply(Segment("nginx", pause=2.0))
    assert (made.text, made.literal, made.pause) == ("engine ex", True, 2.0)


def test_literal_segments_and_those_without_entries_are_returned_as_they_are() -> None:
    for segment in (Segment("nginx", literal=True), Segment("nothing", pause=1.0), Segment("", pause=1.0)):
        assert NAMES.apply(segment) == [segment]


def test_a_reading_is_in_plain_characters() -> None:
    assert Lexicon({" x ": "  it’s  “so” "}).entries == {"x": 'it\'s "so"'}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"": "x"}, "lexicon entry '': the word is empty"),
        ({"x": " "}, "no letter"),
        ({"x": "route 66"}, "'6'"),
        ({"x": "a & b"}, "'&'"),
        ({"don't": "a", "don’t": "b"}, "already"),
        ({"x": 3}, "must both be str"),
    ],
)
def test_bad_entries_are_named(entries: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match="^lexicon entry") as refusal:
        Lexicon(entries)
    assert said in str(refusal.value)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_bytes(
        "\ufeff# how we say them\r\nnginx\tengine ex\r\n\r\nC#\t see sharp \r\nNew York\tnoo yawk".encode()
    )
    lexicon = Lexicon.load(path)
    assert lexicon.entries == {"nginx": "engine ex", "C#": "see sharp", "New York": "noo yawk"}
    assert spoken("C# in New York", lexicon) == "<see sharp> in <noo yawk>"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nginx engine ex", "no tabs"),
        ("nginx\tengine\tex", "2 tabs"),
        ("nginx\t", "no letter"),
        ("\tengine ex", "the word is empty"),
        ("nginx\tengine 9", "'9'"),
        ("good\tagain", "already has a reading, in line 2"),
    ],
)
def test_faults_of_a_file_name_it_and_the_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "names.tsv"
    path.write_text(f"# comment\ngood\tfine\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError) as refusal:
        Lexicon.load(path)
    assert str(refusal.value).startswith(f"{path}: line 3, ")
    assert said in str(refusal.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv"
    path.write_bytes("café\tkaffay\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"names\.tsv: byte 3 is not UTF-8"):
        Lexicon.load(path)
    with pytest.raises(OSError, match="absent"):
        Lexicon.load(tmp_path / "absent.tsv")


WORDS = ["nginx", "Nginx", "new york", "New York City", " ", "  ", "\n", "don", "'", "’", "t", "s", "C", "++", ".", "x"]
SOUP = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=12).map("".join))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(SOUP)
@example("\u0301")
@example("İ")
def test_nothing_but_entries_changes(text: str) -> None:
    made = NAMES.apply(Segment(text))
    assert (
        "".join(s.text.replace(s.changes[0].after, s.changes[0].before) if s.changes else s.text for s in made) == text
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(), st.text())
def test_any_entry_is_taken_or_refused_and_a_taken_one_is_found(word: str, reading: str) -> None:
    try:
        lexicon = Lexicon({word: reading})
    except ValueError:
        return
    (made,) = lexicon.apply(Segment(word.strip()))
    assert made.literal


def test_a_long_text_with_many_entries_is_read_in_one_pass() -> None:
    lexicon = Lexicon({f"word{a}{b}": "x" for a in "abcdefghij" for b in "abcdefghij"} | {"word of mine": "y"})
    text = "word of yours, wordaa and a word. " * 3000
    assert sum(s.literal for s in lexicon.apply(Segment(text))) == 3000
