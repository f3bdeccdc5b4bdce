"""Alignment of texts and recordings by word times, which become spans of characters of known length."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def align(
    words: Sequence[str], times: Sequence[tuple[str, float, float]], total: float
) -> tuple[list[int], list[float]]:
    """Return the span number of each character, and the seconds of each span.

    words: the words of the text. The aligned text is " " + " ".join(words) + " ", so the silences at both ends have a
    character too. times: (word, start, end) in seconds, for some or all of the words, in order. total: seconds of the
    recording. Spans are words and the pauses between them if both are known, longer stretches if words are missing,
    and one span of `total` seconds without times.
    """
    spans: list[int] = []
    seconds: list[float] = []
    pending, clock = 1, 0.0  # characters before the next known time, at first the leading space

    def close(characters: int, until: float) -> None:
        nonlocal clock
        spans.extend([len(seconds)] * characters)
        seconds.append(max(0.0, until - clock))
        clock = max(clock, until)

    places = _matching(words, [time[0] for time in times])
    for number, word in enumerate(words):
        if number in places:
            _, start, end = times[places[number]]
            close(pending, min(start, total))
            close(len(word), min(end, total))
            pending = 1
        else:
            pending += len(word) + 1
    close(pending, total)
    return spans, seconds


def _matching(words: Sequence[str], timed: Sequence[str]) -> dict[int, int]:
    """Match the words with the timed words, in order: {index in words: index in timed}."""
    places: dict[int, int] = {}
    for number, word in enumerate(words):
        if len(places) < len(timed) and timed[len(places)] == word:
            places[number] = len(places)
    if len(places) == len(timed):
        return places
    # a timed word is missing in the text; the words around it still match
    blocks = difflib.SequenceMatcher(None, words, timed, autojunk=False).get_matching_blocks()
    return {block.a + i: block.b + i for block in blocks for i in range(block.size)}
