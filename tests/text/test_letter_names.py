"""Single letters and numbers as a model without capitals is given them."""

from __future__ import annotations

import pytest

from vivavoce.text import Change, normalise
from vivavoce.text.letter_names import NAMES, plain
from vivavoce.text.phones import PhoneDictionary


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("The CEO of IBM", "The see ee owe of I bee em"),
        ("in room B-12 and gate A9", "in room bee twelve and gate ay nine"),
        ("The U.S. GDP grew in Q3.", "The you-ess gee dee pee grew in cue three."),
        ("Not in the U.S.", "Not in the you-ess."),
        ("X-rays by e-mail, to W3C's T-shirt man", "ex-rays by ee-mail, to double-you three see's tee-shirt man"),
        ("NASA's JPL's man", "NASA's jay pee ell's man"),
        ("plan A, plan B or vitamin A for grade A beef", "plan ay, plan bee or vitamin ay for grade ay beef"),
        ("Plan A.", "Plan ay."),
        ("The FBI has TVs in the USA.", "The FBI has tee-vees in the you-ess-ay."),
        ("A B C", "ay bee see"),
    ],
)
def test_letters_have_names(written: str, said: str) -> None:
    assert plain(normalise(written)[0])[0] == said


@pytest.mark.parametrize(
    "prose",
    [
        "A dog and I saw a cat; i did.",
        "Once Upon A Time",
        "He left. A nine-year-old stayed. A boy, too.",
        "At ten a.m. J. Edgar met Ms. O'Neil, didn't he?",
        "B-b-but rock 'n' roll",
        "São Paulo, a well-known city-state",
    ],
)
def test_what_is_no_letter_stays(prose: str) -> None:
    assert plain(prose) == (prose, [])


def test_each_change_is_told_once_and_a_second_time_changes_nothing() -> None:
    text, changes = plain("B and B and U.K.")
    assert (text, changes) == (
        "bee and bee and you-kay.",
        [Change("letter", "B", "bee"), Change("letter", "U.K.", "you-kay.")],
    )
    assert plain(text) == (text, [])
    assert [plain(letter)[0] for letter in "bcdz"] == ["bee", "see", "dee", "zee"] and len(NAMES) == 26


def test_the_dictionary_has_phones_for_the_names_of_letters() -> None:
    dictionary = PhoneDictionary.load("en")
    assert dictionary is not None
    unknown = [name for name in NAMES.values() for part in name.split("-") if dictionary.find(part) is None]
    assert unknown == []
    assert dictionary.find("ee") == ("ˈi",) and dictionary.find("ees") == ("ˈi", "z")


def test_numbers_have_no_hyphens() -> None:
    assert plain("Twenty-four, forty-second, ninety-nines; thirty-year")[0] == (
        "Twenty four, forty second, ninety nines; thirty year"
    )
