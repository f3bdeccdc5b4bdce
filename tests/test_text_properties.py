"""What must hold for any text at all, tried on texts that hypothesis invents."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from vivavoce.text import PUNCTUATION, ByteTokenizer, CharTokenizer, normalise, split

FRAGMENTS = [
    *["Dr. ", "Mr. ", "St. ", "e.g. ", "etc. ", "U.S. ", "a.m. ", "pm", "Jan. ", "No. ", "III", "King ", "Henry "],
    *["$", "£", "€", "%", "°C", " kg", "km/h", "#", "@", "&", "+", "=", "/", "*", "_", "~", "^", "<", "-", "–", "—"],
    *["3", "14", "007", "1999", "1,204", "10:30", "3.14", "1/2", "½", "²", "st", "th", "'90s", "12/31/1999"],
    *["555-0199", "NASA", "JPL", "H2O", "word", "And ", "one", "www.", "http://", ".com", "Chapter ", "--"],
    *["😀", "\u0301", "\u00ad", "ﬁ", "中", "௰", "\ud800", "\x00", "\t", " ", "  ", "\n", "\n\n"],
    *[".", ",", "…", "...", "!", "?", ";", ":", "'", '"', "(", ")", "’", "“"],
]
TEXT = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join))
VOCABULARIES = [CharTokenizer(" abcdefgh.,-'"), CharTokenizer("xyz"), CharTokenizer(" ABCé()…—.,")]
FAST = settings(max_examples=300, deadline=None, derandomize=True)


@FAST
@given(TEXT)
@example("a.😀.b")
@example("1\u00ad2")
def test_normalised_text_is_speakable_and_its_own_normal_form(text: str) -> None:
    normal, changes = normalise(text)
    for paragraph in normal.split("\n\n"):
        assert all(c.isalpha() or c in " " + PUNCTUATION for c in paragraph), paragraph
        assert paragraph == " ".join(paragraph.split())
    assert normalise(normal) == (normal, [])
    assert all(c.before != c.after for c in changes)


@FAST
@given(TEXT)
def test_what_is_lost_is_reported(text: str) -> None:
    normal, changes = normalise(text)
    if not changes:
        letters = re.sub(r"\s", "", text)
        assert len(letters) >= len(re.sub(r"\s", "", normal))
        assert all(c.isalpha() or c in PUNCTUATION or not c.isprintable() or c.isspace() or ord(c) > 127 for c in text)


@FAST
@given(TEXT, st.integers(1, 60), st.one_of(st.none(), st.integers(1, 60)))
def test_pieces_hold_everything_in_order_within_the_limit(text: str, limit: int, first_limit: int | None) -> None:
    pieces = split(text, limit, len, first_limit=first_limit)
    assert re.sub(r"\s", "", "".join(p.text for p in pieces)) == re.sub(r"\s", "", text)
    for i, piece in enumerate(pieces):
        assert piece.text == piece.text.strip()
        assert piece.text
        assert len(piece.text) <= (min(limit, first_limit) if first_limit and i == 0 else limit)
        assert (piece.pause == 0) == (i == len(pieces) - 1)


@FAST
@given(TEXT, st.floats(0.5, 40))
def test_a_measure_that_nothing_satisfies_still_ends(text: str, limit: float) -> None:
    pieces = split(text, limit, lambda t: 3.0 * len(t) + 1)
    assert re.sub(r"\s", "", "".join(p.text for p in pieces)) == re.sub(r"\s", "", text)


@FAST
@given(TEXT, st.sampled_from(VOCABULARIES))
def test_fitted_text_can_be_encoded(text: str, tokenizer: CharTokenizer) -> None:
    fitted, changes = tokenizer.fit(text)
    assert tokenizer.decode(tokenizer.encode(fitted)) == fitted
    assert tokenizer.fit(fitted) == (fitted, [])
    if set(text) <= set(tokenizer.characters):
        assert (fitted, changes) == (text, [])


@FAST
@given(TEXT)
def test_bytes_give_back_what_was_fitted(text: str) -> None:
    tokenizer = ByteTokenizer()
    fitted, _ = tokenizer.fit(text)
    assert tokenizer.decode(tokenizer.encode(fitted)) == fitted
