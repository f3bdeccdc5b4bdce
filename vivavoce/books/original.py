"""Give spoken words the spelling of the author: "$3.50" for "three dollars and fifty cents", at its time.

The words that a model spoke and those that were written are mostly the same. They are compared word by word; where they
differ, the nearest place at which they agree again is found, and what lies before it is one stretch of time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from vivavoce.systems.interface import Word
from vivavoce.text.segments import Segment

WRITTEN, SPOKEN = 12, 40  # words after a difference among which the next agreement is sought


def written_text(segments: Sequence[Segment]) -> str:
    """Return the text of segments as it was written, without tags, and without readings from tags and lexicons."""
    return "".join(
        segment.changes[-1].before if segment.literal and segment.changes else segment.text for segment in segments
    )


def restore(words: Sequence[Word], text: str) -> list[Word]:
    """Return the words of `text` at the times of `words`, which are the same text as it was spoken.

    A word of the result may hold several, if they cannot be told apart in time. Signs without letters join the word
    before them. No word of the text is lost, and the words are in order of time.
    """
    written = _join_signs(text.split())
    if not words or not written:
        return list(words)
    asked, said = [_key(word) for word in written], [_key(word.text) for word in words]
    found: list[Word] = []
    i = j = 0
    while i < len(asked) or j < len(said):
        if i < len(asked) and j < len(said) and asked[i] == said[j]:
            found.append(Word(written[i], words[j].start, words[j].end))
            i, j = i + 1, j + 1
            continue
        a, b = _next_agreement(asked[i:], said[j:])
        _place(found, written[i : i + a], words[j : j + b])
        i, j = i + a, j + b
    return found


def _join_signs(words: Sequence[str]) -> list[str]:
    """Join words without letters and digits, such as a dash, to the word before them; the first, to the one after."""
    joined: list[str] = []
    before = ""
    for word in words:
        if any(map(str.isalnum, word)):
            joined.append(f"{before}{word}")
            before = ""
        elif joined:
            joined[-1] += f" {word}"
        else:
            before += f"{word} "
    return joined


def _key(word: str) -> str:
    """Return what two spellings of a word share: its letters and digits, without case and accents."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", word))).lower()


def _next_agreement(asked: Sequence[str], said: Sequence[str]) -> tuple[int, int]:
    """Return how many words of each differ before both agree for two words, or one at the end."""
    best = (len(asked), len(said)) if len(asked) <= WRITTEN and len(said) <= SPOKEN else (1, 1)
    least = WRITTEN + SPOKEN
    for a in range(min(WRITTEN, len(asked))):
        for b in range(min(SPOKEN, len(said), least - a)):
            if asked[a] == said[b] and asked[a + 1 : a + 2] == said[b + 1 : b + 2]:
                best, least = (a, b), a + b
                break
    return min(best[0], len(asked)), min(best[1], len(said))


def _place(found: list[Word], written: Sequence[str], spoken: Sequence[Word]) -> None:
    """Append written words at the times of others. Each gets a part of the time by its length."""
    if not written:
        if found and spoken:
            found[-1] = Word(found[-1].text, found[-1].start, spoken[-1].end)
        return
    if not spoken:
        text = " ".join(written)
        if found:
            found[-1] = Word(f"{found[-1].text} {text}", found[-1].start, found[-1].end)
        else:
            found.append(Word(text, 0.0, 0.0))
        return
    start, end = spoken[0].start, spoken[-1].end
    letters = [len(word) + 1 for word in written]
    at = 0
    for word, length in zip(written, letters, strict=True):
        begin = start + (end - start) * at / sum(letters)
        at += length
        found.append(Word(word, begin, start + (end - start) * at / sum(letters)))
