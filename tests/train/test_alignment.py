"""Word times: spans of characters and their lengths."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.train.alignment import align

WORDS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8)


TIMES = st.lists(st.tuples(st.text("abc", max_size=4), st.floats(-1, 6), st.floats(-1, 6)), max_size=8)


def lengths_of(spans: list[int], seconds: list[float], text: str) -> list[tuple[str, float]]:
    """What each span covers, and how long it is."""
    assert len(spans) == len(text)
    return [
        ("".join(c for c, s in zip(text, spans, strict=True) if s == n), round(length, 6))
        for n, length in enumerate(seconds)
    ]


@given(WORDS, TIMES, st.floats(0.3, 5), st.data())
def test_spans_cover_all_characters_and_all_the_time(
    words: list[str], times: list[tuple[str, float, float]], total: float, data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    partial = [(w, 0.1 * n, 0.1 * n + 0.05) for n, (w, keep) in enumerate(zip(words, kept, strict=True)) if keep]
    for given_times in (times, partial, partial + times):
        spans, seconds = align(words, given_times, total)
        assert len(spans) == len(" " + " ".join(words) + " ")
        assert spans[0] == 0 and all(b - a in (0, 1) for a, b in itertools.pairwise(spans))
        assert spans[-1] == len(seconds) - 1
        assert min(seconds) >= 0 and sum(seconds) == pytest.approx(total)


def test_complete_word_times_give_each_word_and_pause_its_length() -> None:
    spans, seconds = align(["ab", "c"], [("ab", 0.1, 0.5), ("c", 0.6, 0.9)], 1.0)
    assert lengths_of(spans, seconds, " ab c ") == [(" ", 0.1), ("ab", 0.4), (" ", 0.1), ("c", 0.3), (" ", 0.1)]


def test_a_word_without_times_shares_the_stretch_between_its_neighbours() -> None:
    spans, seconds = align(["ab", "c", "d"], [("ab", 0.1, 0.4), ("d", 0.8, 0.9)], 1.0)
    assert lengths_of(spans, seconds, " ab c d ") == [(" ", 0.1), ("ab", 0.3), (" c ", 0.4), ("d", 0.1), (" ", 0.1)]


def test_without_word_times_the_whole_is_one_span() -> None:
    assert align(["ab", "c"], [], 2.5) == ([0] * 6, [2.5])


def test_times_of_a_word_that_the_text_has_not_leave_the_others_in_place() -> None:
    times = [("ab", 0.1, 0.3), ("x", 0.3, 0.4), ("c", 0.5, 0.6), ("d", 0.7, 0.9)]
    spans, seconds = align(["ab", "c", "d"], times, 1.0)
    assert lengths_of(spans, seconds, " ab c d ")[1::2] == [("ab", 0.2), ("c", 0.1), ("d", 0.2)]


def test_times_beyond_the_recording_end_with_it() -> None:
    spans, seconds = align(["a", "b"], [("a", 0.2, 0.5), ("b", 0.6, 3.0)], 1.0)
    assert lengths_of(spans, seconds, " a b ") == [(" ", 0.2), ("a", 0.3), (" ", 0.1), ("b", 0.4), (" ", 0.0)]
