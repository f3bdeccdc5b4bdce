"""Where a text's words are in its recording: from word times, whole or in part, to spans of characters.

Knows nothing about files or tensors.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def align(
    words: Sequence[str], times: Sequence[tuple[str, float, float]], total: float
) -> tuple[list[int], list[float]]:
    """Spans of characters whose length is known.

    `words` are the text's words; the text that is aligned is " " + " ".join(words) + " ", so that the silences at both
    ends have a character too. `times` are (word, start, end) in seconds for some or all of them, in order.
    Returns for each character the number of its span, and for each span its seconds: words and the pauses between them
    where both are known, longer stretches where words are missing, one span of `total` seconds where there are none.
    """
    spans: list[int] = []
    seconds: list[float] = []
    pending, clock = 1, 0.0  # characters waiting for the next known place: at first the leading space

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
    """Which of the timed words each word is, in order: {index in words: index in timed}."""
    places: dict[int, int] = {}
    for number, word in enumerate(words):
        if len(places) < len(timed) and timed[len(places)] == word:
            places[number] = len(places)
    if len(places) == len(timed):
        return places
    # the data has a word that the text has not: what is around it still matches
    blocks = difflib.SequenceMatcher(None, words, timed, autojunk=False).get_matching_blocks()
    return {block.a + i: block.b + i for block in blocks for i in range(block.size)}
