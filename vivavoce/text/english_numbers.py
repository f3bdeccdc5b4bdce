"""English numbers as words: cardinals, decimals, ordinals, years, digits one by one and in pairs, Roman numerals."""

from __future__ import annotations

import itertools
import re
import threading
from functools import cache, lru_cache
from typing import Any

INTEGER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
DECIMAL = INTEGER + r"(?:\.\d+)?"
DIGITS = "zero one two three four five six seven eight nine".split()
LONGEST = 15  # digits of the longest number read as one; a longer one is read digit by digit


_TURN = threading.Lock()  # inflect keeps state between calls and is not thread-safe


@cache
def _inflect() -> Any:
    import inflect  # imported late: it is slow to import

    return inflect.engine()


def digits(written: str) -> str:
    """Return the digits one by one: "2014" is "two zero one four"."""
    return " ".join(DIGITS[int(d)] for d in written)


@lru_cache(4096)
def cardinal(written: str) -> str:
    """Return an integer in words: "1,204" is "one thousand two hundred and four".

    A number with leading zeros or more than `LONGEST` digits is read digit by digit.
    """
    plain = written.replace(",", "")
    if len(plain) > LONGEST or (plain[0] == "0" and len(plain) > 1):
        return digits(plain)
    with _TURN:
        return str(_inflect().number_to_words(plain)).replace(",", "")


def number(written: str) -> str:
    """Return an integer or decimal in words: "3.14" is "three point one four"."""
    whole, _, part = written.partition(".")
    return cardinal(whole or "0") + (f" point {digits(part)}" if part else "")


@lru_cache(4096)
def ordinal(written: str) -> str:
    """Return an ordinal in words: "21" is "twenty-first"."""
    plain = written.replace(",", "")
    if len(plain) > LONGEST:
        return digits(plain)
    with _TURN:
        return str(_inflect().number_to_words(_inflect().ordinal(plain))).replace(",", "")


def year(written: str) -> str:
    """Return a year of four digits in words: "1066" is "ten sixty-six", "1805" is "eighteen oh five"."""
    if written[1:3] == "00":
        return f"{cardinal(written[0])} thousand" + (f" {cardinal(written[3])}" if written[3] != "0" else "")
    return pairs(written)


def short_year(written: str) -> str:
    """Return the last two digits of a year in words: "99" is "ninety-nine", "05" is "oh five"."""
    return f"oh {cardinal(written[1])}" if written[0] == "0" and written[1] != "0" else cardinal(written)


def pairs(written: str) -> str:
    """Return digits as house and flight numbers are read: "221" is "two twenty-one"."""
    if len(written) <= 2 or len(written) > 4 or written[0] == "0":
        return cardinal(written) if len(written) <= 2 else digits(written)
    head, tail = written[:-2], written[-2:]
    if tail == "00":
        return f"{cardinal(head)} hundred" if head[-1] != "0" else cardinal(written)
    return f"{cardinal(head)} {'oh ' + cardinal(tail[1]) if tail[0] == '0' else cardinal(tail)}"


def counted(written: str, one: str, many: str) -> str:
    """Return a number and its noun: "1", "foot", "feet" is "one foot"."""
    return f"{number(written)} {one if written == '1' else many}"


def plural(words: str) -> str:
    """Return the plural of number words: "forty" is "forties"."""
    return words[:-1] + "ies" if words.endswith("y") else words + "es" if words.endswith("x") else words + "s"


_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def roman(written: str) -> int | None:
    """Return the value of a Roman numeral: "XIV" is 14. None if it is not well-formed."""
    if not re.fullmatch(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})", written):
        return None
    values = [_ROMAN[c] for c in written] + [0]
    return sum(-v if v < after else v for v, after in itertools.pairwise(values))
