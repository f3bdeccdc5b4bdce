"""Split text into sentences and pieces: at paragraph and sentence ends, then at clauses, commas and spaces."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from vivavoce.text.english_context import starts_sentence
from vivavoce.text.english_tables import BEFORE_NUMBER, MONTH_OF, MONTHS, STREETS, SUFFIXES, TITLES, WORDS_TOO, name_set
from vivavoce.text.pieces import Piece

PAUSE_PARAGRAPH, PAUSE_SENTENCE, PAUSE_CLAUSE, PAUSE_COMMA, PAUSE_NONE = 0.7, 0.35, 0.2, 0.12, 0.05  # seconds
SHORT_WORDS = 2  # a sentence of at most this many words is joined to a neighbour: models speak it badly alone
CONJUNCTIONS = name_set(
    """and but or nor so yet because which who whom whose that when where while if unless although though as since until
    till after before than whether without with from into through between"""
)
NUMBER_WORDS = name_set(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion
    point oh minus"""
)
_CLOSERS = "\"')]”’»"
_NEVER_END = (
    set(TITLES)
    | set(BEFORE_NUMBER) - {"no", "sec", "Sec", "Art", "p", "c", "apt", "op"}
    | set(MONTH_OF) - set(MONTHS)
    | {"vs", "cf", "Hon"}
)
_MAY_END = set(SUFFIXES) - WORDS_TOO | set(STREETS) | {"al", "Esq", "est"}


_ENDS = re.compile(r"(?<![.!?…])[.!?…]+[\"')\]”’»]*(?=\s|$)|(?<![。！？])[。！？]+[」』”’]*")


def ends_at(paragraph: str, at: int) -> bool:
    """Return whether `sentences` ends a sentence at index `at`, before the end of the paragraph."""
    if at >= len(paragraph):
        return False
    start = len(paragraph[:at].rstrip(".!?…。！？\"')]”’»」』"))
    return any(m.end() == at and _is_end(paragraph, m) for m in _ENDS.finditer(paragraph, start, at + 1))


def sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph. Its white space must be folded."""
    sentences, start = [], 0
    for m in _ENDS.finditer(paragraph):
        if m.end() < len(paragraph) and not _is_end(paragraph, m):
            continue
        sentences.append(paragraph[start : m.end()].strip())
        start = m.end()
    tail = paragraph[start:].strip()
    return [s for s in [*sentences, tail] if s]


def _is_end(paragraph: str, m: re.Match[str]) -> bool:
    if m[0][0] in "。！？":
        return True
    following = paragraph[m.end() : m.end() + 40].lstrip()
    lower = following.lstrip("\"'(“‘«—- ")[:1].islower()
    marks = m[0].rstrip(_CLOSERS)
    # '"Really?" he asked.' and 'You mean… all of it?' continue.
    if lower and (marks != m[0] or "…" in marks or marks.startswith("..")):
        return False
    if marks != ".":
        return True
    word = paragraph[max(0, m.start() - 24) : m.start()].split(" ")[-1].lstrip("\"'([“‘«—-")
    if word in _NEVER_END and not (word in STREETS and starts_sentence(following)):
        return False
    dotted = re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]{1,2}", word)
    initial = len(word) == 1 and word.isupper() and word != "I"
    if dotted or initial or word in _MAY_END:
        return starts_sentence(following) and not re.match(r"[A-Z]\.", following)
    return True


def _strength(text: str, at: int) -> int:
    """Rank a cut before index `at`: 4 sentence end, 3 clause, 2 comma, 1 conjunction, 0 space, -1 bad."""
    before = text[max(0, at - 24) : at].rstrip()
    after = text[at : at + 24].lstrip()
    mark = before.rstrip(_CLOSERS)[-1:]
    last, first = before.split(" ")[-1], re.match(r"[\w']*", after)
    following = first[0].lower() if first else ""
    if (mark and mark in ";:—") or before.endswith("--"):
        return 3
    if mark == ",":
        return 2
    if after[:1] in "—-–" or last.rstrip(".") in TITLES or last in TITLES.values():
        return -1
    parts = {part for part in last.lower().split("-") if part}
    if (
        parts
        and parts <= NUMBER_WORDS
        and (following in NUMBER_WORDS or (following == "and" and last.lower() != "one"))
    ):
        return -1
    if last.lower() == "and" and following.split("-")[0] in NUMBER_WORDS:
        return -1
    if mark in ".!?…" and mark:
        return 0 if last.rstrip(".") in _MAY_END else 4
    return 1 if following in CONJUNCTIONS else 0


_PAUSES = {4: PAUSE_SENTENCE, 3: PAUSE_CLAUSE, 2: PAUSE_COMMA}


def _longest(places: Iterator[int], text: str, limit: float, measure: Callable[[str], float]) -> tuple[list[int], bool]:
    """Return the places up to which `text` measures at most `limit`, and whether all places qualify.

    Looks ahead in doubling steps, so the cost depends on the limit and not on the length of the text.
    """
    fitting: list[int] = []
    step = 8
    while block := list(itertools.islice(places, step)):
        if measure(text[: block[-1]].rstrip()) > limit:
            low, high = 0, len(block) - 1  # block[:low] fit, block[high] does not
            while low < high:
                middle = (low + high) // 2
                if measure(text[: block[middle]].rstrip()) <= limit:
                    low = middle + 1
                else:
                    high = middle
            return fitting + block[:low], False
        fitting += block
        step *= 2
    return fitting, True


def _cut(text: str, limit: float, measure: Callable[[str], float]) -> tuple[str, str, float]:
    """Return a head that measures at most `limit`, the rest ("" if all fits), and the pause between them in seconds."""
    # Look only as far as the limit reaches.
    window = 1024
    while window < len(text) and measure(text[:window]) <= limit:
        window *= 2
    view = text[:window]
    words = (m.end() for m in re.finditer(r"\s+|(?:(?<=—)|(?<=--))(?=[^\s—\"')\]”’»-])|$", view))
    places, whole = _longest(words, view, limit, measure)
    if whole and len(view) == len(text):
        return text, "", 0.0
    places = [p for p in places if p < len(view)]
    if not places:
        characters, _ = _longest(iter(range(1, len(view) + 1)), view, limit, measure)
        at = characters[-1] if characters else 1
        return text[:at], text[at:].lstrip(), PAUSE_NONE
    longest = places[-1]
    left_over = len(text) - longest
    candidates = [p for p in places if p >= 0.35 * longest]
    ranked = {p: _strength(text, p) for p in candidates}
    if max(ranked.values()) < 0:  # such as a long number: a short head is better than a cut inside it
        candidates = places
        ranked = {p: _strength(text, p) for p in candidates}
    best = max(ranked.values())
    equal = [p for p in candidates if ranked[p] == best]
    # Avoid a short remainder: it would be spoken alone. Cut near the middle instead.
    at = min(equal, key=lambda p: abs(p - len(text) / 2)) if left_over < 0.35 * longest else equal[-1]
    return text[:at].rstrip(), text[at:].lstrip(), _PAUSES.get(best, PAUSE_NONE)


def _is_short(text: str) -> bool:
    return len(text.split(" ", SHORT_WORDS + 1)) <= SHORT_WORDS


def split(text: str, limit: float, measure: Callable[[str], float], *, first_limit: float | None = None) -> list[Piece]:
    """Split text into pieces that each measure at most `limit`. Only a single character may measure more.

    Cuts at paragraph ends (blank lines) and sentence ends. A sentence over the limit is cut at clauses, commas,
    conjunctions or spaces, and a very long word between characters. Neighbouring sentences of a paragraph are joined
    while they measure at most half the limit; a sentence of `SHORT_WORDS` or fewer is joined whenever the limit allows.
    Sentences of different paragraphs are never joined. All non-space characters of `text` are in the pieces, in order.

    measure: must not shrink when text is appended. first_limit: bounds the first piece, for early audio, in the unit of
    `limit`. `Piece.pause` is in seconds; the last is 0. Raises ValueError for a limit that is not above 0.
    """
    for name, value in (("limit", limit), ("first_limit", first_limit)):
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value!r}; it must be above 0")
    pieces: list[Piece] = []
    for paragraph in re.split(r"\n\s*\n", text):
        waiting = sentences(" ".join(paragraph.split()))[::-1]
        while waiting:
            allowed = limit if pieces or first_limit is None else min(limit, first_limit)
            head, rest, pause = _cut(waiting.pop(), allowed, measure)
            if rest:
                pieces.append(Piece(head, pause))
                waiting.append(rest)
                continue
            while waiting:
                following = waiting[-1]
                joined = f"{head} {following}"
                bound = allowed if _is_short(head) or _is_short(following) else min(allowed, limit / 2)
                if measure(joined) <= bound:
                    head = joined
                    waiting.pop()
                    continue
                if _is_short(head) and measure(following) > allowed:
                    # The next sentence will be cut anyway: join the short one to its beginning.
                    waiting[-1] = joined
                    head = ""
                break
            if head:
                pieces.append(Piece(head, PAUSE_SENTENCE))
        if pieces:
            pieces[-1] = Piece(pieces[-1].text, PAUSE_PARAGRAPH)
    if pieces:
        pieces[-1] = Piece(pieces[-1].text, 0.0)
    return pieces


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) indices of the words: runs of non-space characters, punctuation included."""
    return [m.span() for m in re.finditer(r"\S+", text)]
