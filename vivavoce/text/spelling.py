"""Spell text character by character: "Xk-9" is "X K dash nine"."""

from __future__ import annotations

import unicodedata

from vivavoce.text.characters import SYMBOLS, TYPOGRAPHY
from vivavoce.text.english_numbers import digits
from vivavoce.text.romance import integer
from vivavoce.text.romance_tables import LANGUAGES

_NAMES = {
    **{".": "dot", ",": "comma", ";": "semicolon", ":": "colon", "!": "exclamation mark", "?": "question mark"},
    **{"-": "dash", "'": "apostrophe", '"': "quote", "(": "open bracket", ")": "close bracket", "…": "ellipsis"},
    **{"—": "dash", "–": "dash", "_": "underscore", "#": "hash", "*": "star", "~": "tilde", "|": "bar"},
    **{"[": "open bracket", "]": "close bracket", "{": "open brace", "}": "close brace", "<": "less than"},
    **{">": "greater than", "^": "caret", "`": "backtick"},
}


def spell(text: str, lang: str) -> str:
    """Return the characters by name: letters as they are, digits and (in English) symbols in words, a comma per space.

    Raises ValueError for a character without a name, and for blank text.
    """
    words = [" ".join(_character(c, lang) for c in word) for word in unicodedata.normalize("NFC", text).split()]
    if not words:
        raise ValueError("there is nothing to spell")
    return ", ".join(words)


def _character(c: str, lang: str) -> str:
    if c.isalpha():
        return c.upper() if len(c.upper()) == 1 else c
    if unicodedata.decimal(c, None) is not None:
        return digit(str(unicodedata.decimal(c)), lang)
    name = _NAMES.get(c) or _NAMES.get(TYPOGRAPHY.get(c, "")) or SYMBOLS.get(c)
    if name is None or lang != "en":
        raise ValueError(f"{c!r} has no name in language {lang}")
    return name


def digit(written: str, lang: str) -> str:
    """Return one digit, 0 to 9, as a word. Raises ValueError if the numbers of `lang` are unknown."""
    if lang == "en":
        return digits(written)
    if lang not in LANGUAGES:
        raise ValueError(f"digits can be read in {', '.join(('en', *LANGUAGES))}, not in {lang}")
    return integer(lang, written)
