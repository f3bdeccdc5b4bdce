"""What the characters around an English match say: whether a sentence starts or ends there, which word comes before."""

from __future__ import annotations

import re

# A capitalised word from this list after an abbreviation starts a new sentence; any other is taken for a name.
STARTERS = frozenset(
    """A About After All Also Although An And Another Any Are As At Be Because Before Both But By Can Did Do Does During
    Each Even Every Few Finally First For From Had Has Have He Her Here His How However I If In Instead Is It Its
    Just Last Later Let Many Maybe Meanwhile More Most Much My Next No Nobody Not Nothing Now Of On Once One Only Or
    Other Our Perhaps Please She Should Since So Some Somebody Someone Soon Still Such Suddenly Than That The Their
    Then There These They Thirty This Those Though Three Through Thus To Today Together Tomorrow Two Under Unless
    Until Up Was We Well Were What When Where Which While Who Whose Why Will With Without Would Yes Yesterday Yet
    You Your""".split()
)


def starts_sentence(following: str) -> bool:
    """Return whether the first word of `following` is one that opens sentences and is not a name."""
    word = re.match(r"[\s\"'(]*([\w]+)", following)
    return word is not None and word[1] in STARTERS


def ends_sentence(following: str) -> bool:
    """Return whether the point of an abbreviation before `following` also closes a sentence and must stay."""
    return not following.strip("\"')— ") or bool(re.match(r"[\"')]*\s", following) and starts_sentence(following))


def follows_name(preceding: str) -> bool:
    """Return whether `preceding` ends with a capitalised word or an ordinal, as a street's name does."""
    return bool(re.search(r"(?:[A-Z][\w']*|\d[a-z]+)\s$", preceding))


def last_word(preceding: str) -> str:
    """Return the last word of `preceding` in lower case; "" if there is none."""
    word = re.search(r"([A-Za-z]+),?\s\(?$", preceding)
    return word[1].lower() if word else ""
