"""Join words that are broken at the end of a line: "emo-", new line, "tional" is "emotional"; "well-known" stays so."""

from __future__ import annotations

import gzip
import re
from functools import cache

from vivavoce.config import ASSETS
from vivavoce.text.characters import Rule, after, before, rule

# After a hyphen these continue a list: "pre- and post-war".
_SUSPENDED = {
    "en": frozenset("and or to nor but".split()),
    "es": frozenset("y o u e ni".split()),
    "fr": frozenset("et ou ni".split()),
    "it": frozenset("e o ed né".split()),
    "pt": frozenset("e ou nem".split()),
}
# After a hyphen these are words of their own, so the hyphen stays.
_ATTACHED = {
    "fr": frozenset(
        """ci là être il elle on ils elles vous nous je tu moi toi le la les lui leur y en même mêmes t ce ceux delà
        dessus dessous""".split()
    ),
    "pt": frozenset("se lo la los las no na nos nas me te lhe lhes vos o a os as feira".split()),
}
# Before a hyphen these keep it, even if the dictionary has the joined word.
_PREFIXES = frozenset("self ex all half quasi cross well".split())
# Words with several pronunciations, which the dictionary omits.
_FUNCTION_WORDS = frozenset("the in to a at by for from on up out off down over with it is be as an or so".split())
_ENDINGS = ("", "s", "es", "ed", "d", "ing", "ly", "'s", "er", "ers", "ness", "ment", "ments")


@cache
def _words() -> frozenset[str]:
    """Return the words of the English pronunciation dictionary; empty if it is not installed."""
    path = ASSETS / "phones" / "en.tsv.gz"
    if not path.is_file():
        return frozenset()
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return _FUNCTION_WORDS | {line.partition("\t")[0] for line in lines}


def _is_word(word: str) -> bool:
    """Return whether the dictionary has a word or the word that it is inflected from."""
    word = word.lower()
    stems = (word[: len(word) - len(ending)] for ending in _ENDINGS if word.endswith(ending))
    return any(stem in _words() or f"{stem}e" in _words() for stem in stems if len(stem) > 2)


def _is_compound(left: str, right: str) -> bool:
    """Return whether an English word is spelt with a hyphen between its parts."""
    if left.lower() in _PREFIXES and (left + right).lower() not in _words():
        return True
    if _is_word(left + right):
        return False
    return {left.lower(), right.lower()} <= _words()


def joining(lang: str) -> Rule:
    """Return the rule that joins broken words. It must see the text before its line breaks are folded."""

    def join(m: re.Match[str]) -> str:
        left, right = re.search(r"[^\W_]+$", before(m)), re.match(r"[^\W_]+", after(m))
        if left is None or right is None or m[0][0] == "\u00ad":
            return "" if m[0][0] == "\u00ad" else m[0]
        first, second = left[0], right[0]
        if second in _SUSPENDED.get(lang, ()):
            return "- "
        shouted = first.isupper() and second.isupper() and len(first) > 1
        if first[-1].isdigit() or second[0].isdigit() or (second[0].isupper() and not shouted):
            return "-"
        if second.lower() in _ATTACHED.get(lang, ()):
            return "-"
        return "-" if lang == "en" and _is_compound(first, second) else ""

    return rule("line break", r"(?<=[^\W_])[-\u2010\u00ad][ \t]*\n[ \t]*(?=[^\W_])", join, "\n")
