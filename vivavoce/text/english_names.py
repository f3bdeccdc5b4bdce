"""Roman numerals and numbered names in English as words: "Henry VIII" is "Henry the Eighth"."""

from __future__ import annotations

import re

from vivavoce.text.characters import Rule, after, before, numeric, rule
from vivavoce.text.english_numbers import cardinal, ordinal, roman, year
from vivavoce.text.english_tables import AFTER_PRONOUN, CLASSED, COUNTERS, NUMBERED, OPENINGS, REGNAL, REIGNING


def _is_pronoun(word: str, following: str) -> bool:
    """Return whether the "I" between a word such as "type" and `following` is the pronoun."""
    if following.startswith("'"):
        return True
    verb = re.match(r"\s([a-z']+)", following)
    if verb is None:
        return False
    return verb[1] in AFTER_PRONOUN or (word.islower() and word not in CLASSED)


def numbered(m: re.Match[str]) -> str:
    """Read "Chapter IV" as "Chapter four"."""
    value = roman(m[2].upper())
    # A single letter is more often a name than a numeral ("Type C").
    letter = m[2] in ("C", "L") or (m[2].islower() and len(m[2]) == 1 and m[2] not in "vx")
    letter = letter or (len(m[2]) == 1 and re.match(r"\s[A-Z]\b", after(m)) is not None)
    mixed = m[2] != m[2].upper() and m[2] != m[2].lower()
    if not value or letter or mixed or m[1].lower() not in NUMBERED or (value == 1 and _is_pronoun(m[1], after(m))):
        return m[0]
    if m[1] == "War":
        return f"War {cardinal(str(value)).title()}"
    return f"{m[1]} {cardinal(str(value))}"


def regnal(m: re.Match[str]) -> str:
    """Read "Henry VIII" as "Henry the Eighth"."""
    value, following = roman(m[3]), after(m)
    if not value or not (m[1] or m[2] in REGNAL) or (len(m[3]) == 1 and re.match(r"\.(?!$)", following)):
        return m[0]
    if value == 1 and not m[1]:
        # "I" after a bare name is more often the pronoun.
        opens = re.search(r"(?:^|[.!?;:,]\s)[\"'(]*$", before(m))
        acts = re.match(r"\s([a-z]+)", following)
        named = re.match(r"'s|\sof\s[A-Z]|\s\(\d|[;:)?!]|\.?$|\s(?:and|or)\s[A-Z][a-z]+\s[IVX]+\b", following)
        if not (named or (opens and acts and acts[1] in REIGNING)):
            return m[0]
    return f"{m[1] or ''}{m[2]} the {ordinal(str(value)).title()}"


def sequel(m: re.Match[str]) -> str:
    """Read "Rocky IV" as "Rocky Four"."""
    value = roman(m[2])
    if not value:
        return m[0]
    named = re.search(r"([A-Z][a-z]+)\s$", before(m))
    if named and named[1] in REGNAL:  # William Gates III
        return f"{m[1]} the {ordinal(str(value)).title()}"
    return f"{m[1]} {cardinal(str(value)).title()}"


def ordinal_numeral(m: re.Match[str]) -> str:
    """Read "XIX" in "the XIX century" as "nineteenth"."""
    value = roman(m[1])
    return ordinal(str(value)) if value else m[0]


def heading(m: re.Match[str]) -> str:
    """Read a paragraph that is only a numeral, "XII", and the number of a heading, "IV. A New Hope"."""
    value = roman(m[1])
    return f"{cardinal(str(value)).capitalize()}{m[2]}" if value else m[0]


def listed(m: re.Match[str]) -> str:
    """Read the numeral of an item of a list."""
    if m[0][0] != "(" and m[2][0] == "." and m[1].isupper():
        return m[0]
    return f"{cardinal(str(roman(m[1].upper()))).capitalize()}. "


def first_heading(m: re.Match[str]) -> str:
    """Read the "I." of a heading, which may also be an initial: "I. The Hill", but "I. Newton"."""
    words = m[1].split()
    title = words[0] in OPENINGS or (len(words) > 2 and not any(word.endswith(".") for word in words))
    return f"One. {m[1]}" if title and len(words) < 12 else m[0]


def year_numeral(m: re.Match[str]) -> str:
    """Read "MCMXCIV" as "nineteen ninety-four"."""
    value = roman(m[0])
    return year(str(value)) if value and 1000 <= value < 2100 else m[0]


def counter(m: re.Match[str]) -> str:
    """Read "Chapter 01" as "Chapter one"."""
    return f"{m[1]}{cardinal(m[2])}" if m[1].strip().rstrip(".").lower() in COUNTERS else m[0]


ZEROS: tuple[Rule, ...] = (
    numeric("numbered", r"(?<!\w)([A-Za-z]+\s)0{1,3}([1-9]\d{0,2})(?![\w]|[.,:/-]\d)", counter),
    numeric("numbered", r"^0{1,2}([1-9]\d?)(?=[.)]\s)", lambda m: cardinal(m[1]).capitalize()),
)

RULES: tuple[Rule, ...] = (
    rule(
        "numbered",
        r"(?<![\w'])([IVX]{1,7})(?:st|nd|rd|th)?"
        r"(?=(?:\s?(?:and|or|to|-|—)\s?[IVX]{1,7}(?:st|nd|rd|th)?)?[\s-](?:[Cc]entur(?:y|ies)|[Dd]ynast(?:y|ies))(?!\w))",
        ordinal_numeral,
        "IVX",
    ),
    rule("numbered", r"(?<![\w'])([IVXL]{2,7})(?:st|nd|rd|th)(?!\w)", ordinal_numeral, "IVXL"),
    rule("numbered", r"^([IVXLC]{2,8})([.:]?)$", heading, "IVXLC"),
    rule(
        "numbered",
        r"(?<![\w'])(?:MCM|MM(?!X\b))[CDXLVI]{1,10}(?!\w)|(?<![\w'])M[CDXLVI]{5,12}(?!\w)",
        year_numeral,
        "M",
    ),
    rule("numbered", r"(?<!\w)([A-Za-z]+)\s([IVXLC]+|[ivxl]+)(?![\w'-])", numbered, "IVXLCivxl"),
    rule("numbered", r"^(?!I\.)([IVX]+)(\.\s)(?=[A-Z])", heading, "IVX"),
    # "II) Methods", "(iii) a third", "iv. a fourth"
    rule(
        "numbered",
        r"^\(?(I{2,3}|I?V|VI{1,3}|I?X|XI{1,3}|i{1,3}|i?v|vi{1,3}|i?x|xi{1,3})([.)]\s)(?=\S)",
        listed,
        "IVXivx",
    ),
    rule("numbered", r"^I\.\s([A-Z][^.!?]{2,80})$", first_heading, "I"),
    rule(
        "regnal",
        r"(?<!\w)((?:King|Queen|Pope|Emperor|Empress|Tsar|Czar|Prince)\s)?([A-Z][a-z]+)\s([IVX]+)(?![\w-])",
        regnal,
        "IVX",
    ),
    rule("numbered", r"(?<!\w)([A-Z][a-z]+)\s((?!XX)[IVX]{2,6})(?![\w-])", sequel, "IVX"),
)
