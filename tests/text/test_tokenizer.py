"""Vocabularies and tokenizers: what they accept, map and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from vivavoce.text import ByteTokenizer, Change, CharTokenizer, read_vocabulary

# The characters of the nanospeech model.
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NANOSPEECH = CharTokenizer(" " + LETTERS + ".,-'?!:;")


def test_characters_and_ids_go_both_ways() -> None:
    ids = NANOSPEECH.encode("Hi, you.")
    assert ids[2] == NANOSPEECH.characters.index(",")
    assert NANOSPEECH.decode(ids) == "Hi, you."
    assert len(NANOSPEECH) == 61


def test_encode_names_every_unknown_character() -> None:
    with pytest.raises(ValueError, match=r"'5' \(U\+0035\), 'é' \(U\+00E9\)"):
        NANOSPEECH.encode("café 5")
    with pytest.raises(ValueError, match="id 99"):
        NANOSPEECH.decode([0, 99])


@pytest.mark.parametrize(
    ("text", "fitted"),
    [
        ("It’s here", "It's here"),
        ("São Paulo, Kraków, Łódź", "Sao Paulo, Krakow, Lodz"),
        ("yes—no, yes — no", "yes--no, yes -- no"),
        ("ﬁne", "fine"),
        ("People: many (as of now).", "People: many, as of now."),
        ("So (as they say) it is", "So, as they say, it is"),
        ("(This is so.) That is not.", "This is so. That is not."),
        ("You mean… all of it? Well… He did…", "You mean, all of it? Well. He did."),
        ('"Really?" he asked.', "Really? he asked."),
        ("a\u00a0b", "a b"),
        ("Hello 中 there 中.", "Hello there."),
        ("中", ""),
        ("", ""),
    ],
)
def test_fit_maps_what_the_vocabulary_lacks(text: str, fitted: str) -> None:
    result, changes = NANOSPEECH.fit(text)
    assert result == fitted
    NANOSPEECH.encode(result)
    assert bool(changes) == (text != fitted)


def test_fit_turns_to_the_other_case_last() -> None:
    lower = CharTokenizer("abcdeé ")
    assert lower.fit("É B")[0] == "é b"
    assert lower.fit("B")[1] == [Change("fit", "B", "b")]


def test_fit_reports_a_loss() -> None:
    assert NANOSPEECH.fit("x中y中")[1] == [Change("fit", "中", "")]


def test_vocabulary_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    NANOSPEECH.save(path)
    assert path.read_text(encoding="utf-8").endswith(";\n")
    assert CharTokenizer.load(path).characters == NANOSPEECH.characters
    assert [p.name for p in tmp_path.iterdir()] == ["vocab.txt"]


@pytest.mark.parametrize("content", [b" \na\nb", b" \na\nb\n", b" \r\na\r\nb\r\n", b"\xef\xbb\xbf \na\nb\n"])
def test_line_ends_do_not_shift_the_vocabulary(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    assert read_vocabulary(path) == [" ", "a", "b"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a\n\nb\n", "line 2 is empty"),
        (b"\na\n", "line 1 is empty"),
        (b"a\nb\n\n", "line 3 is empty"),
        (b"a\nb\na\n", "line 3 is 'a', a duplicate of line 1"),
        (b"a\n\xff\n", "byte 2 is not UTF-8"),
        (b"", "is empty"),
    ],
)
def test_a_faulty_vocabulary_is_refused_with_its_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"vocab.txt: {complaint}"):
        CharTokenizer.load(path)


@pytest.mark.parametrize(
    ("characters", "complaint"),
    [("", "empty"), ("aba", "'a', a duplicate of entry 0"), ("a\n", "line break"), (["a", ""], "''")],
)  # fmt: skip
def test_a_faulty_vocabulary_in_memory_is_refused(characters: str | list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CharTokenizer(characters)


def test_bytes_stand_for_any_language() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("é") == [0xC3, 0xA9]
    assert tokenizer.decode(tokenizer.encode("Grüße, 世界")) == "Grüße, 世界"
    with pytest.raises(ValueError, match=r"U\+D800"):
        tokenizer.encode("a\ud800")
    assert tokenizer.fit("a\ud800") == ("a", [Change("fit", "\ud800", "")])
    with pytest.raises(ValueError, match="id 256"):
        tokenizer.decode([256])
