"""English addresses, file names and hashtags as words: "help@example.com" is "help at example dot com"."""

from __future__ import annotations

import re

from vivavoce.text.characters import Rule, any_of, numeric, rule
from vivavoce.text.english_numbers import cardinal, digits, pairs
from vivavoce.text.english_tables import COMPASS, EXTENSIONS, SIGNS, SPELLED_LABELS, STATES, STREETS


def _label(m: re.Match[str]) -> str:
    """Return a part of an address, with spaces between its letters if it is spelled."""
    spell = m[0] in SPELLED_LABELS or not re.search(r"[aeiouyAEIOUY]", m[0])
    return " ".join(m[0]) if spell and len(m[0]) < 7 else m[0]


def address(m: re.Match[str]) -> str:
    """Read a URL, e-mail address or path: its parts, and its signs by name."""
    spoken = re.sub(r"^(?:https?|ftp)://|^mailto:", "", m[0], flags=re.IGNORECASE)
    bare = spoken.rstrip(".,;:!?)'\"/")
    if not any(map(str.isalnum, bare)):
        return m[0]
    words = re.sub(r"(?<![^\W_])[A-Za-z]+(?![^\W_])", _label, bare)
    words = re.sub(r"[./\-_?#~:@=&%+$!]", lambda s: f" {SIGNS[s[0]]} ", words)
    return " ".join(words.split()) + spoken[len(bare) :].replace("/", "")


def street(m: re.Match[str]) -> str:
    """Read "1211 E Arques Ave" as "twelve eleven East Arques Avenue"."""
    number = pairs(m[1]) if len(m[1]) > 2 else cardinal(m[1])
    compass = f" {COMPASS[m[2]].title()}" if m[2] else ""
    return f"{number}{compass} {m[3]} {STREETS[m[4]]}"


def hashtag(m: re.Match[str]) -> str:
    return "hashtag " + re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", m[1])


RULES: tuple[Rule, ...] = (
    numeric(
        "street",
        r"(?<![\w.,/-])([1-9]\d{0,4})\s(?:([NSEW])\.?\s)?((?:[A-Z][a-z]+|\d{1,3}(?:st|nd|rd|th))(?:\s[A-Z][a-z]+){0,2})"
        rf"\s({any_of(STREETS)})(?:\.(?=,|\s[a-z#])|(?![\w.]))",
        street,
    ),
    numeric(
        "postal code",
        rf"(?<=,\s)({any_of(STATES)})(,?\s)(\d{{5}})(?!\w|-)",
        lambda m: f"{STATES[m[1]]}{m[2]}{digits(m[3])}",
    ),
    rule("url", r"(?<!\w)(?:[Hh][Tt][Tt][Pp][Ss]?://|[Ff][Tt][Pp]://|www\.)[^\s\"<>—]+", address, ".:"),
    rule("email", r"(?<![\w.+-])(?:mailto:)?[\w+-][\w.+-]{0,63}@(?:[\w-]+\.)+[\w-]+", address, "@"),
    rule(
        "file name", rf"(?<![\w.@/-])(?:[\w-]{{1,63}}\.)+(?:{EXTENSIONS})(?![\w@])(?:[/?:#][^\s\"<>—]*)?", address, "."
    ),
    rule("path", r"(?<![^\s\"'(])(?:~(?:/[\w.-]+)+|(?:/[\w.-]+){2,})/?", address, "/"),
    rule("file name", r"(?<!\S)\.(?=(?:git\w*|env|[a-z]+rc)(?!\w))", "dot ", "."),
    rule("hashtag", r"(?<!\w)#([A-Za-z]\w*)", hashtag, "#"),
    rule("at name", r"(?<![\w@.])@(?=[A-Za-z_])", "at ", "@"),
)
