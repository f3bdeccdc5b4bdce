"""Where text is cut into pieces, and what is joined."""

from __future__ import annotations

import pytest

from vivavoce.text import Piece, split, word_spans


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


@pytest.mark.parametrize("text", ["Yes.\n\nNo.", "Yes.\n\nIt was so.", "It was so.\n\nNo.", "A heading\n\nIt was so."])
def test_paragraphs_are_never_joined_however_short(text: str) -> None:
    assert texts(split(text, 1000, len)) == text.split("\n\n")
