"""English for models whose characters have no capitals: the names of single letters, and numbers without hyphens.

Such a model takes "A" for the article, and of "GDP" it makes one word that nobody knows: letters alone are too rare in
prose to learn their names. The second half of "forty-two", written so, it often gets wrong, and of "forty two" not.
"""

from __future__ import annotations

import re

from vivavoce.text import Change

# Words that English spells so, or spells alike; in British English, too, but for "zee".
_SAID = "ay bee see dee ee eff gee aitch eye jay kay ell em en oh pee kew are ess tee you vee double-you ex why zee"
NAMES = dict(zip("abcdefghijklmnopqrstuvwxyz", _SAID.split(), strict=True))

# "U.S.", with the point that ends the text left to it, what `normalise` leaves for being well known, and letters
# alone: not initials ("J. Edgar"), not "p.m.", not "O'Neil", "don't" and "'n'". "FBI" is in the training corpus.
_LETTERS = re.compile(
    r"(?<![\w.'])(?:((?:[A-Z]\.){2,}(?!\w)|(?:CIA|TV|USA|USSR)(?=s?(?!\w)))"
    r"|([A-Za-z])(?![\w.]|'(?!s\b))|([A-Za-z])(?=\.$))"
)
_TENS = re.compile(r"\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)-(?=[a-z])", re.IGNORECASE)


def plain(text: str) -> tuple[str, list[Change]]:
    """Normalised English text as such a model reads it best, and each distinct change once.

    The pronoun "I" and the article stay. A capital A is a letter beside another, before a hyphen, and inside a sentence
    where no capital follows, as it does in titles ("Once Upon A Time").
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
    return re.match(rf"-{m[0]}", m.string[m.end() :], re.IGNORECASE) is not None


def _article(m: re.Match[str]) -> bool:
    before, after = m.string[: m.start()], m.string[m.end() :]
    if re.match(r"-\w|[\s-][A-Z](?![\w'])|\.?$|[,;:)]", after) or re.search(r"(?<![\w'])[B-HJ-Z][\s-]$", before):
        return False
    return re.match(r"\s[A-Z]", after) is not None or not re.search(r"[\w,;:]\s$", before)
