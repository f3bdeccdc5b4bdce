"""Spell single letters by name and drop the hyphens of numbers, for models whose vocabulary has no capitals.

Such a model reads "A" as the article and "GDP" as one unknown word: single letters are too rare in prose to learn their
names. It often mispronounces the second half of "forty-two", but not of "forty two".
"""

from __future__ import annotations

import re

from vivavoce.text.characters import Change, after, before

# English words whose phones the dictionary has, or spellings in their manner, whose phones `PHONES` has: a letter alone
# is too short for a model to guess. American and British English share all but "zee".
_SAID = "ay bee see dee ee eff gee aitch eye jay kay ell em en owe pee cue are ess tee you vee double-you ex why zee"
NAMES = dict(zip("abcdefghijklmnopqrstuvwxyz", _SAID.split(), strict=True))
PHONES = {"ay": ("ˈA",), "ee": ("ˈi",)}

# "U.S.", the initialisms that `normalise` leaves as written, and single letters; not initials ("J. Edgar"), "p.m.",
# "O'Neil", "don't" or "'n'". "FBI" is absent because the training corpus has it.
_LETTERS = re.compile(
    r"(?<![\w.'])(?:((?:[A-Z]\.){2,}(?!\w)|(?:CIA|TV|USA|USSR)(?=s?(?!\w)))"
    r"|([A-Za-z])(?![\w.]|'(?!s\b))|([A-Za-z])(?=\.$))"
)
_TENS = re.compile(r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)-(?=[a-z])", re.IGNORECASE)


def plain(text: str) -> tuple[str, list[Change]]:
    """Return normalised English text with letters by name and numbers without hyphens, and each distinct change once.

    The pronoun "I" and the article stay. A capital A counts as a letter beside another letter, before a hyphen, and
    inside a sentence unless a capital follows, as in titles ("Once Upon A Time").
    """
    changes: dict[Change, None] = {}

    def name(m: re.Match[str]) -> str:
        letters = m[1] or m[2] or m[3]
        if letters in "aIi" or (letters == "A" and _article(m)) or _stammered(m):
            return m[0]
        last = "." if letters[-1] == "." and m.end() == len(text) else ""
        said = "-".join(NAMES[letter] for letter in letters.lower().replace(".", "")) + last
        changes[Change("letter", m[0], said)] = None
        return said

    text = _LETTERS.sub(name, text)
    return _TENS.sub(r"\1 ", text), list(changes)


def _stammered(m: re.Match[str]) -> bool:
    return after(m, 2).lower() == f"-{m[0]}".lower()


def _article(m: re.Match[str]) -> bool:
    preceding, following = before(m), after(m)
    if re.match(r"-\w|[\s-][A-Z](?![\w'])|\.?$|[,;:)]", following):
        return False
    if re.search(r"(?<![\w'])[B-HJ-Z][\s-]$", preceding):
        return False
    return re.match(r"\s[A-Z]", following) is not None or not re.search(r"[\w,;:]\s$", preceding)
