"""Subtitles with the author's words at the times of the spoken ones."""

from __future__ import annotations

import itertools

import pytest

from vivavoce.books.original import restore, written_text
from vivavoce.systems.interface import Word
from vivavoce.text.formats import parse
from vivavoce.text.normalise import normalise


def spoken(text: str) -> list[Word]:
    """One second for each word."""
    return [Word(word, float(at), at + 1.0) for at, word in enumerate(text.split())]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Li paid $3.50 on 3 May 2024, and left.",
        "At 10:30 he ran 5 km — or so he said… “Well,” she said.",
        "Chapter IV",
        "See www.example.com/page or call 555-1234.",
        "— Yes.",
        "Nothing to change here.",
        "H₂O & CO₂: 25% of 1,000,000 kg",
    ],
)
def test_every_written_word_is_there_in_order(text: str) -> None:
    words = restore(spoken(normalise(text)[0]), text)
    assert " ".join(word.text for word in words).split() == text.split()
    assert all(a.start <= a.end <= b.start + 1e-9 for a, b in itertools.pairwise(words))


def test_a_sum_has_the_time_of_its_words() -> None:
    words = restore(spoken("He paid three dollars and fifty cents for it."), "He paid $3.50 for it.")
    assert [(w.text, w.start, w.end) for w in words] == [
        ("He", 0, 1), ("paid", 1, 2), ("$3.50", 2, 7), ("for", 7, 8), ("it.", 8, 9),
    ]  # fmt: skip


def test_tags_and_readings_are_not_shown() -> None:
    segments = parse("Start [say:nginx|engine ex] now, [pause 1s] [spell:AB] please.")
    assert written_text(segments).split() == "Start nginx now, AB please.".split()


def test_long_texts_take_little_time() -> None:
    text = "He paid $3.50 and she paid 17 times. " * 2000
    words = restore(spoken(normalise(text)[0]), text)
    assert len(words) == len(text.split())
