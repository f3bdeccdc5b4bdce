"""Different notations of the same thing are read alike, for any number."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from vivavoce.text import normalise

FAST = settings(max_examples=60, deadline=None, derandomize=True)
LARGE = st.integers(10_000, 99_999_999)
LANG = st.sampled_from(["es", "fr", "it", "pt"])


def spoken(text: str, lang: str = "en") -> str:
    return normalise(text, lang)[0].lower()


@FAST
@given(LARGE)
def test_thousands_may_be_grouped_by_spaces(n: int) -> None:
    assert spoken(f"{n:,} people".replace(",", " ")) == spoken(f"{n:,} people") == spoken(f"{n} people")


@FAST
@given(LARGE, LANG)
def test_thousands_of_other_languages_may_be_grouped_by_points_or_spaces(n: int, lang: str) -> None:
    grouped = f"{n:,} km"
    if grouped.count(",") == 2 and lang == "es" and grouped[0] in "6789" and grouped.index(",") == 3:
        return  # a Spanish telephone number
    assert spoken(grouped.replace(",", " "), lang) == spoken(grouped.replace(",", "."), lang) == spoken(f"{n} km", lang)


@FAST
@given(st.integers(1, 9_999_999), st.integers(1, 99))
def test_money_may_have_a_decimal_comma(euros: int, cents: int) -> None:
    english = f"€{euros:,}.{cents:02d}"
    european = english.replace(",", "_").replace(".", ",").replace("_", ".")
    assert spoken(european) == spoken(english)


@FAST
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(["-", " - ", "–", " – "]))
def test_a_rising_pair_is_a_range_with_any_dash(low: int, more: int, dash: str) -> None:
    assert spoken(f"pages {low}{dash}{low + more}") == spoken(f"pages {low} to {low + more}")


@FAST
@given(st.integers(1, 400), st.integers(1, 400))
def test_a_dash_before_a_result_is_a_minus(first: int, second: int) -> None:
    assert spoken(f"{first} - {second} = {first - second}".replace("= -", "= minus ")).startswith(
        f"{spoken(str(first))} minus {spoken(str(second))} equals"
    )


@FAST
@given(st.integers(1, 99), st.sampled_from(["Chapter", "Day", "Step", "Lesson", "Track"]))
def test_zeros_of_a_counter_are_not_read(n: int, word: str) -> None:
    assert spoken(f"{word} {n:03d}") == spoken(f"{word} {n}")


@FAST
@given(st.integers(2, 38))
def test_a_numeral_is_a_heading_and_a_century(n: int) -> None:
    tens, ones = divmod(n, 10)
    numeral = "X" * tens + ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"][ones]
    if len(numeral) > 1:
        assert spoken(numeral) == spoken(str(n))
    assert spoken(f"the {numeral} century") == spoken(f"the {n}th century")


@FAST
@given(st.integers(0, 23), st.integers(0, 59))
def test_a_timestamp_is_read_as_its_date_and_time(hour: int, minute: int) -> None:
    assert spoken(f"2025-08-17T{hour:02d}:{minute:02d}:00Z") == (
        f"{spoken('2025-08-17')}, {spoken(f'at {hour:02d}:{minute:02d}')[3:]} u t c"
    )
