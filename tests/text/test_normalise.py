"""Prose stays as written; everything else becomes words, and each change is reported."""

from __future__ import annotations

import pytest

from vivavoce.text import Change, normalise


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


def test_bidirectional_overrides_are_left_out_by_name() -> None:
    text, changes = normalise("Pay \u202e05$\u202c now.")
    assert "\u202e" not in text and "\u202c" not in text
    assert [change.before for change in changes if change.rule == "bidirectional"] == ["\u202e", "\u202c"]
