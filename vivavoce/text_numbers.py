"""English numbers as words: cardinals, decimals, ordinals, years, digits one by one and in pairs, Roman numerals."""

from __future__ import annotations

import itertools
import re
import threading
from functools import cache, lru_cache
from typing import Any

from vivavoce.text_tables import names

INTEGER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
DECIMAL = INTEGER + r"(?:\.\d+)?"
DIGITS = names("zero one two three four five six seven eight nine")
LONGEST = 15  # digits of a number that is said as one: beyond that, nobody follows the words


_TURN = threading.Lock()  # inflect keeps its place in a number on itself: two threads at once get each other's words


@cache
def _inflect() -> Any:
    import inflect  # here and not above: its import takes longer than the rest of this module's work

    return inflect.engine()


def digits(written: str) -> str:
    """ "2014" → "two zero one four"."""
    return " ".join(DIGITS[int(d)] for d in written)


@lru_cache(4096)
def cardinal(written: str) -> str:
    """ "1,204" → "one thousand two hundred and four". Leading zeros and over 15 digits are read digit by digit."""
    plain = written.replace(",", "")
    if len(plain) > LONGEST or (plain[0] == "0" and len(plain) > 1):
        return digits(plain)
    with _TURN:
        return str(_inflect().number_to_words(plain)).replace(",", "")


def number(written: str) -> str:
    """An integer or decimal: "3.14" → "three point one four"."""
    whole, _, part = written.partition(".")
    return cardinal(whole or "0") + (f" point {digits(part)}" if part else "")


def ordinal(written: str) -> str:
    """ "21" → "twenty-first"."""
    plain = written.replace(",", "")
    if len(plain) > LONGEST:
        return digits(plain)
    with _TURN:
        return str(_inflect().number_to_words(_inflect().ordinal(plain))).replace(",", "")


def year(written: str) -> str:
    """ "1066" → "ten sixty-six", "1805" → "eighteen oh five", "1900" → "nineteen hundred"."""
    if written[1:3] == "00":
        return f"{cardinal(written[0])} thousand" + (f" {cardinal(written[3])}" if written[3] != "0" else "")
    return pairs(written)


def short_year(written: str) -> str:
    """The two digits of a year: "99" → "ninety-nine", "05" → "oh five"."""
    return f"oh {cardinal(written[1])}" if written[0] == "0" and written[1] != "0" else cardinal(written)


def pairs(written: str) -> str:
    """Digits as house and flight numbers are read: "221" → "two twenty-one", "1805" → "eighteen oh five"."""
    if len(written) <= 2 or len(written) > 4 or written[0] == "0":
        return cardinal(written) if len(written) <= 2 else digits(written)
    head, tail = written[:-2], written[-2:]
    if tail == "00":
        return f"{cardinal(head)} hundred" if head[-1] != "0" else cardinal(written)
    return f"{cardinal(head)} {'oh ' + cardinal(tail[1]) if tail[0] == '0' else cardinal(tail)}"


_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def roman(written: str) -> int | None:
    """ "XIV" → 14; None where the letters are no well-formed Roman numeral below 400."""
    if not re.fullmatch(r"C{0,3}(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})", written):
        return None
    values = [_ROMAN[c] for c in written] + [0]
    return sum(-v if v < after else v for v, after in itertools.pairwise(values))
