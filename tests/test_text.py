"""What a user hears of numbers, abbreviations and symbols; where long text is cut; what vocabularies accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from vivavoce.text import (
    ByteTokenizer,
    Change,
    CharTokenizer,
    Piece,
    normalise,
    read_vocabulary,
    split,
    word_spans,
)

# The characters of the bundled model's training text.
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
BUNDLED = CharTokenizer(" " + LETTERS + ".,-'?!:;")


# --- normalise --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prose",
    [
        "The birch canoe slid on the smooth planks.",
        "It's easy to tell: the keeper, who knew -- or thought so -- said nothing; why?",
        '"Really?" he asked. "You mean… all of it?" (She didn\'t say.)',
        "The CEOs—no, the owners—met at nine p.m. in the U.S. embassy.".replace("CEOs", "chiefs"),
        "An agent of the FBI, J. Edgar Hoover, I believe, met William. I left.",
        "São Paulo, Zürich and Kraków are cities.",
        "Our very able representative, Mr.",
        "Hm. A man may march in May, and no one minds.",
    ],
)
def test_plain_prose_stays_as_written(prose: str) -> None:
    assert normalise(prose) == (prose, [])


def test_typography_becomes_what_models_read_and_is_reported() -> None:
    text, changes = normalise("“It’s here”\u00a0– [wait]...")
    assert text == '"It\'s here" — (wait)…'
    assert Change("typography", "’", "'") in changes
    assert Change("ellipsis", "...", "…") in changes


def test_white_space_is_folded_and_a_blank_line_parts_paragraphs() -> None:
    assert normalise("  One\r\ntwo\tthree.\r\n \r\n\r\nFour.\n") == ("One two three.\n\nFour.", [])


def test_what_cannot_be_spoken_is_dropped_and_each_loss_reported() -> None:
    text, changes = normalise("Hello 😀. *Bold*\x00 and soft\u00adware\u200b, a|b™")
    assert text == "Hello. Bold and software, a b"
    lost = "".join(c.before for c in changes if not c.after.strip())
    assert sorted(lost.replace(" ", "")) == sorted("😀**\x00\u00ad\u200b|™")


def test_a_change_says_what_stood_there_and_what_is_said() -> None:
    assert normalise("about 5%")[1] == [Change("percent", "5%", "five percent")]


def test_empty_and_unspeakable_texts_become_empty() -> None:
    assert normalise("") == ("", [])
    assert normalise(" \n\n ")[0] == ""
    assert normalise("😀\n\n😀")[0] == ""


def test_a_very_long_number_is_read_digit_by_digit() -> None:
    assert normalise("9" * 5000)[0].lower().split() == ["nine"] * 5000


def test_another_language_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'de'.*en, es, fr, it, pt"):
        normalise("Hallo", lang="de")


# --- split ------------------------------------------------------------------------------------------------------------


def texts(pieces: list[Piece]) -> list[str]:
    return [p.text for p in pieces]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met Mrs. Jones today.",
        "It costs $3.50 at 10:30 today.",
        "Pi is 3.14 or so it seems.",
        "J. R. R. Tolkien wrote that long book.",
        "The U.S. Congress met at nine a.m. Eastern time.",
        "We saw apes, cats, etc. and more of them.",
        '"Is it really here?" he asked them.',
        "You mean… all of it is gone?",
    ],
)
def test_a_point_that_ends_no_sentence_is_no_place_to_cut(text: str) -> None:
    # Room for the sentence and half of the next: were there an end inside, the pieces would part there.
    assert texts(split(f"{text} {text}", len(text) + 4, len)) == [text, text]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("He came at five p.m. The door was shut.", ["He came at five p.m.", "The door was shut."]),
        ("They went to see Max. Paul came, too.", ["They went to see Max.", "Paul came, too."]),
        ("The word was quite apt. Paul saw it.", ["The word was quite apt.", "Paul saw it."]),
        ("This is the plan B. Then came the end.", ["This is the plan B.", "Then came the end."]),
        ('He said "Go away now." She went away.', ['He said "Go away now."', "She went away."]),
        ("(This was some aside.) This was not one.", ["(This was some aside.)", "This was not one."]),
        ("All of it? Yes, it is! No, it is… It was not.", ["All of it?", "Yes, it is!", "No, it is…", "It was not."]),
        ("The first is done. and so on without end", ["The first is done.", "and so on without end"]),
    ],
)  # fmt: skip
def test_sentences_are_cut_at_their_ends_with_their_quotes(text: str, cut: list[str]) -> None:
    assert texts(split(text, max(map(len, cut)), len)) == cut


def test_long_sentences_are_cut_at_the_strongest_mark_then_at_a_conjunction() -> None:
    text = "The road was long and dark, as ever; nobody had walked it for years because it led to nothing at all"
    pieces = split(text, 50, len)
    assert texts(pieces) == [
        "The road was long and dark, as ever;",
        "nobody had walked it for years",
        "because it led to nothing at all",
    ]
    assert [p.pause for p in pieces] == [0.2, 0.05, 0.0]


def test_an_enormous_word_is_cut_between_characters() -> None:
    pieces = split("a" * 1000, 64, len)
    assert "".join(texts(pieces)) == "a" * 1000
    assert max(map(len, texts(pieces))) == 64


def test_a_number_in_words_is_not_cut() -> None:
    number = "two million three hundred and five thousand nine hundred and seventeen"
    for limit in range(len(number) + 1, len(number) + 40):
        pieces = texts(
            split(f"Someone counted all of the people, who were {number} souls in that very town", limit, len)
        )
        assert any(number in p for p in pieces), (limit, pieces)


def test_short_sentences_are_joined_to_a_neighbour() -> None:
    assert texts(split("Yes. No. It was all over by the morning.", 40, len)) == [
        "Yes. No. It was all over by the morning."
    ]
    assert texts(split("It was all over by the morning. Yes.", 40, len)) == ["It was all over by the morning. Yes."]


def test_pauses_follow_the_marks() -> None:
    text = "The first sentence stands here. The second one, which is far longer, goes on.\n\nAnother paragraph begins."
    assert [(p.text[-6:], p.pause) for p in split(text, 36, len)] == [
        (" here.", 0.35),
        ("d one,", 0.12),
        ("es on.", 0.7),
        ("egins.", 0.0),
    ]


def test_the_first_piece_can_be_kept_short() -> None:
    text = "When the rain stopped, the children ran out into the garden. They played there until it was dark outside."
    pieces = texts(split(text, 200, len, first_limit=30))
    assert pieces[0] == "When the rain stopped,"
    assert max(map(len, pieces[1:])) > 30
    assert texts(split(text, 25, len, first_limit=200)) == texts(split(text, 25, len))


def test_nothing_to_say_gives_no_pieces() -> None:
    assert split(" \n\n ", 10, len) == []


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_nothing_fits_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="limit is .*above 0"):
        split("text", limit, len)
    with pytest.raises(ValueError, match="first_limit is .*above 0"):
        split("text", 5, len, first_limit=limit)


def test_word_spans_point_at_the_words() -> None:
    text = " It's here,  now. "
    assert [text[a:b] for a, b in word_spans(text)] == ["It's", "here,", "now."]


# --- tokenizers -------------------------------------------------------------------------------------------------------


def test_characters_and_ids_go_both_ways() -> None:
    ids = BUNDLED.encode("Hi, you.")
    assert ids[2] == BUNDLED.characters.index(",")
    assert BUNDLED.decode(ids) == "Hi, you."
    assert len(BUNDLED) == 61


def test_encode_names_every_unknown_character() -> None:
    with pytest.raises(ValueError, match=r"'5' \(U\+0035\), 'é' \(U\+00E9\)"):
        BUNDLED.encode("café 5")
    with pytest.raises(ValueError, match="id 99"):
        BUNDLED.decode([0, 99])


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
    result, changes = BUNDLED.fit(text)
    assert result == fitted
    BUNDLED.encode(result)
    assert bool(changes) == (text != fitted)


def test_fit_turns_to_the_other_case_last() -> None:
    lower = CharTokenizer("abcdeé ")
    assert lower.fit("É B")[0] == "é b"
    assert lower.fit("B")[1] == [Change("fit", "B", "b")]


def test_fit_reports_a_loss() -> None:
    assert BUNDLED.fit("x中y中")[1] == [Change("fit", "中", "")]


def test_vocabulary_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    BUNDLED.save(path)
    assert path.read_text(encoding="utf-8").endswith(";\n")
    assert CharTokenizer.load(path).characters == BUNDLED.characters
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
        (b"a\nb\na\n", "line 3 is 'a', which line 1 is already"),
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
    [("", "empty"), ("aba", "'a', which entry 0 is already"), ("a\n", "line break"), (["a", ""], "''")],
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
