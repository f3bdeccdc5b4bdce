"""The tables of tests/data: what is written, and how it is spoken."""

from __future__ import annotations

from pathlib import Path

import pytest

from vivavoce.text import normalise
from vivavoce.text.english_numbers import cardinal, ordinal, pairs, roman, year

DATA = Path(__file__).parents[1] / "data"
HARD = Path(__file__).parents[2] / "benchmarks" / "sentences" / "hard-30.txt"


def table(name: str) -> list[list[str]]:
    """The rows of a table; line breaks are those of the file, for a cell may hold any other character."""
    return [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").split("\n")[1:-1]]


@pytest.mark.parametrize(("topic", "written", "spoken"), table("normalise.tsv"))
def test_written_english_is_spoken_as_people_say_it(topic: str, written: str, spoken: str) -> None:
    assert normalise(written)[0] == spoken
    assert normalise(spoken) == (spoken, [])


@pytest.mark.parametrize(("topic", "written", "spoken"), table("line-breaks.tsv"))
def test_words_broken_at_line_ends_are_joined(topic: str, written: str, spoken: str) -> None:
    """In this table a line break is written as its escape."""
    assert normalise(written.replace("\\n", "\n"))[0] == spoken
    assert normalise(spoken) == (spoken, [])


@pytest.mark.parametrize(("lang", "written", "spoken"), table("normalise-languages.tsv"))
def test_other_languages_are_spoken_as_people_say_them(lang: str, written: str, spoken: str) -> None:
    assert normalise(written, lang)[0] == spoken
    assert normalise(spoken, lang) == (spoken, [])


@pytest.mark.parametrize(("written", "spoken", "heard"), table("hard-30.tsv"))
def test_the_hard_sentences(written: str, spoken: str, heard: str) -> None:
    assert normalise(written)[0] == spoken


def test_the_tables_hold_what_they_are_for() -> None:
    assert [written for written, _, _ in table("hard-30.tsv")] == HARD.read_text(encoding="utf-8").splitlines()
    cases = table("normalise.tsv")
    assert len({written for _, written, _ in cases}) == len(cases) >= 500
    languages = [lang for lang, _, _ in table("normalise-languages.tsv")]
    assert all(languages.count(lang) >= 120 for lang in ("es", "fr", "it", "pt"))


@pytest.mark.parametrize(("written", "spoken", "heard"), table("hard-30.tsv"))
def test_a_perfect_recogniser_makes_no_errors(written: str, spoken: str, heard: str) -> None:
    """`heard` is how Whisper writes the sentence when it hears it right: figures, symbols, fewer points.

    So word errors against the table are the speech's, and not those of two ways to write a number.
    """
    pytest.importorskip("jiwer")
    pytest.importorskip("whisper_normalizer")
    from vivavoce.metrics.words import word_errors

    assert word_errors(spoken, heard).wer == 0
    assert word_errors(spoken, heard.split(" ", 1)[1]).wer > 0


# --- what one rule must not do to its neighbours ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "prose",
    [
        "It is May. March on, and no one minds the Sun.",
        "I am in Paris, OR so I said.".replace("OR", "or"),
        "He is the temp. She is the max. It was est.",
        "The man with Ed. They met Max.",
        "He said that he would Will it.",
        "Either side, in or out, me or you.",
        "Part of it is in a section I know, in the book I read.",
        "The mix, a civic vivid livid thing.",
        "A B C, as easy as do re mi.",
        "He or she won the match by a lot.",
        "It had the number V C on it.",
    ],
)
def test_words_that_look_like_abbreviations_stay(prose: str) -> None:
    assert normalise(prose) == (prose, [])


def test_a_change_has_the_name_of_its_rule() -> None:
    rules = {change.rule for change in normalise("Dr. Li, $5, 10:30, 2 kg, 3/4, 1st, Henry V, FBI CEO, a@b.com")[1]}
    assert rules == {"title", "money", "clock", "unit", "fraction", "ordinal", "regnal", "initialism", "email"}


@pytest.mark.parametrize("lang", ["es", "fr", "it", "pt"])
def test_a_language_keeps_its_letters_and_reports_the_rest(lang: str) -> None:
    letters = "àâäáãçéèêëíìîïñóòôöõúùûüœæß"
    assert normalise(letters, lang) == (letters, [])
    text, changes = normalise("a 😀 b", lang)
    assert text == "a b"
    assert [change.before.strip() for change in changes] == ["😀"]


@pytest.mark.parametrize("lang", ["en", "es", "fr", "it", "pt"])
def test_a_number_beyond_words_is_read_digit_by_digit(lang: str) -> None:
    assert len(normalise("7" * 2000, lang)[0].split()) == 2000


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (cardinal("1,204"), "one thousand two hundred and four"),
        (cardinal("007"), "zero zero seven"),
        (ordinal("21"), "twenty-first"),
        (year("1066"), "ten sixty-six"),
        (year("2000"), "two thousand"),
        (year("2010"), "twenty ten"),
        (pairs("221"), "two twenty-one"),
        (pairs("300"), "three hundred"),
    ],
)
def test_numbers_as_words(made: str, words: str) -> None:
    assert made == words


@pytest.mark.parametrize(("written", "value"), [("XIV", 14), ("XC", 90), ("IIII", None), ("VX", None), ("C", 100)])
def test_roman_numerals(written: str, value: int | None) -> None:
    assert roman(written) == value
