"""What must hold for any text at all, tried on texts that hypothesis invents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import pytest

pytest.importorskip("hypothesis")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from vivavoce.text import PUNCTUATION, ByteTokenizer, Change, CharTokenizer, normalise, split
from vivavoce.text.characters import Rule

FRAGMENTS = [
    *["Dr. ", "Mr. ", "St. ", "e.g. ", "etc. ", "U.S. ", "a.m. ", "pm", "Jan. ", "No. ", "III", "King ", "Henry "],
    *["$", "£", "€", "%", "°C", " kg", "km/h", "#", "@", "&", "+", "=", "/", "*", "_", "~", "^", "<", "-", "–", "—"],
    *["3", "14", "007", "1999", "1,204", "10:30", "3.14", "1/2", "½", "²", "st", "th", "'90s", "12/31/1999"],
    *[
        "1.º",
        "2ª",
        "1er",
        "10h30",
        "1.204,5",
        "«",
        "»",
        "¿",
        "\u202f",
        "Sr.",
        "XIV",
        " II",
        "I ",
        "&amp;",
        "&#x31;",
        "A$",
    ],
    *["v2.1.3", "a_1", "NaCl", "π", "°", "´", "ﷺ", "Ⅷ", "º", "mailto:a@b.c", "-5", "x", "e5", "k", "USD", " BC", "(k)"],
    *["555-0199", "NASA", "JPL", "H2O", "word", "And ", "one", "www.", "http://", ".com", "Chapter ", "--"],
    *["😀", "\u0301", "\u00ad", "ﬁ", "中", "௰", "\ud800", "\x00", "\t", " ", "  ", "\n", "\n\n"],
    *[".", ",", "…", "...", "!", "?", ";", ":", "'", '"', "(", ")", "’", "“"],
]
TEXT = st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join))
LANG = st.sampled_from(["en", "en", "en", "es", "fr", "it", "pt"])
VOCABULARIES = [CharTokenizer(" abcdefgh.,-'"), CharTokenizer("xyz"), CharTokenizer(" ABCé()…—.,")]
FAST = settings(max_examples=200, deadline=None, derandomize=True)


MARKS = {"es": PUNCTUATION + "¿¡"}  # what may stand beside letters, where it is not PUNCTUATION


@FAST
@given(TEXT, LANG)
@example("a.😀.b", "en")
@example("1\u00ad2", "en")
@example("http://.", "en")
def test_normalised_text_is_speakable_and_its_own_normal_form(text: str, lang: str) -> None:
    normal, changes = normalise(text, lang)
    for paragraph in normal.split("\n\n"):
        assert all(c.isalpha() or c in " " + MARKS.get(lang, PUNCTUATION) for c in paragraph), paragraph
        assert paragraph == " ".join(paragraph.split())
    assert normalise(normal, lang) == (normal, [])
    assert all(c.before != c.after for c in changes)


def characters(text: str) -> Counter[str]:
    """Letters, digits and signs, accents apart, so that composing makes no difference; no white space."""
    return Counter(c for c in unicodedata.normalize("NFD", text) if not c.isspace())


def unreported(text: str, normal: str, changes: list[Change]) -> Counter[str]:
    """What came or went without a change that says so: each change takes its `before` and gives its `after`."""
    had, has = characters(text), characters(normal)
    for change in changes:
        had += characters(change.after)
        has += characters(change.before)
    return (had - has) + (has - had)


@FAST
@given(TEXT, LANG)
def test_no_character_comes_or_goes_without_a_report(text: str, lang: str) -> None:
    assert not unreported(text, *normalise(text, lang))


def is_read(c: str) -> bool:
    """A letter or digit; an apostrophe that Unicode counts among the letters is none."""
    return (c.isalpha() and unicodedata.category(c) != "Lm") or c.isdecimal()


@FAST
@given(TEXT, LANG)
@example("&#50;&#x41;", "en")
def test_letters_and_digits_are_read_and_never_left_out(text: str, lang: str) -> None:
    for change in normalise(text, lang)[1]:
        # a formula beyond the rules is left out as a whole
        if change.rule not in ("entity", "formula") and any(map(is_read, change.before)):
            assert any(map(is_read, change.after)), change


@FAST
@given(TEXT, st.sampled_from(VOCABULARIES))
def test_what_a_vocabulary_lacks_is_reported(text: str, tokenizer: CharTokenizer) -> None:
    fitted, changes = tokenizer.fit(text)
    told = {c for change in changes for c in change.before}
    lost = set(unicodedata.normalize("NFC", text)) - set(fitted)
    assert {c for c in lost if not c.isspace()} <= told


@pytest.mark.parametrize(
    ("text", "normal", "changes"),
    [
        ("one 5", "one", []),
        ("one 5", "one five", []),
        ("ab", "a", [Change("rule", "x", "")]),
        ("a", "ab", [Change("rule", "a", "a b c")]),
    ],
)
def test_the_account_shows_what_was_hidden(text: str, normal: str, changes: list[Change]) -> None:
    assert unreported(text, normal, changes)
    assert not unreported("one 5", "one five", [Change("number", "5", "five")])


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


@FAST
@given(TEXT, LANG)
@example('Call 911 at 9.30 am: 5 ft 2 in, $3-5k, 50%–60%, 1/2", 3 kg, 1:30, 10^3, 12th, 5¢', "en")
def test_rules_that_are_skipped_would_change_nothing(text: str, lang: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "concerns", lambda self, signs: True)
        every = normalise(text, lang)
    assert normalise(text, lang) == every
