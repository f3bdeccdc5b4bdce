"""Numbers that English reads digit by digit or in pairs: telephone, account and version numbers, addresses."""

from __future__ import annotations

import re
from string import ascii_letters

from vivavoce.text.characters import Rule, any_of, numeric
from vivavoce.text.english_numbers import cardinal, digits, pairs
from vivavoce.text.english_tables import EMERGENCY, PAIRED, VERSIONED


def telephone(m: re.Match[str]) -> str:
    return ("plus " if m[0][0] == "+" else "") + ", ".join(digits(group) for group in re.findall(r"\d+", m[0]))


def dashed(m: re.Match[str]) -> str:
    """Read "555-0123" and "555.123.4567"; "122.4194" is a decimal number."""
    return m[0] if re.fullmatch(r"\d{3}\.\d{4}", m[0]) else telephone(m)


def international(m: re.Match[str]) -> str:
    """Read "+44 20 7946 0958" group by group; leave what has too few or too many digits to be a telephone number."""
    count = sum(map(str.isdigit, m[0]))
    grouped = re.fullmatch(r"\+\d{1,3}(?:\s\d{3}){1,2}", m[0])
    return m[0] if not 7 <= count <= 15 or grouped else telephone(m)


def local(m: re.Match[str]) -> str:
    """Read "01 42 68 53 00" group by group; leave what has too few or too many digits to be a telephone number."""
    return telephone(m) if 7 <= sum(map(str.isdigit, m[0])) <= 15 else m[0]


def called(m: re.Match[str]) -> str:
    """Read a number after a word such as "phone"."""
    if not 6 <= sum(map(str.isdigit, m[2])) <= 15:
        return m[0]
    return m[1] + ", ".join(digits(group) for group in re.findall(r"\d+", m[2]))


def spaced_thousands(m: re.Match[str]) -> str:
    return m[0].replace(",", ".").replace(" ", ",")


def internet(m: re.Match[str]) -> str:
    parts = m[0].split(".")
    if max(map(int, parts)) > 255 or int(parts[0]) < 10:
        return m[0]
    return " dot ".join(map(digits, parts))


def version(m: re.Match[str]) -> str:
    words = " point ".join(map(cardinal, m[2].split(".")))
    return f"version {words}" if m[1] else words


def named_version(m: re.Match[str]) -> str:
    return f"{m[1]} {cardinal(m[2])} point {cardinal(m[3])}" if m[1].lower() in VERSIONED else m[0]


TELEPHONES: tuple[Rule, ...] = (
    numeric(
        "digits",
        r"(?<!\w)((?i:ending|ends|ended)\s(?:in|with)\s)(\d{3,6})(?![\w]|[.,:]\d)",
        lambda m: m[1] + digits(m[2]),
        "eE",
    ),
    numeric("telephone", r"(?<![\w-])1-(8\d\d)-(?=[A-Z])", lambda m: f"one, {digits(m[1])}, ", "-"),
    numeric(
        "telephone",
        r"(?<![\w-])(?:\+1(?=\()|\+?1[\s-])?(?:\(\d{3}\)[\s-]?|\d{3}[-.])?\d{3}[-.]\d{4}(?![\w-])",
        dashed,
        "-.",
    ),
    numeric("telephone", r"(?<![\w-])(?:\+?1[\s-])?\(\d{3}\)\s?\d{3}\s\d{4}(?![\w-])", telephone, "("),
    numeric(
        "telephone",
        r"(?<![\w+])\+\d(?:\d|[-./\s](?=[\d(])|\((?=\d)|\)(?=[-./\s]?\d)){5,24}(?<=\d)(?![\w]|[.,]\d)",
        international,
        "+",
    ),
    numeric("telephone", r"(?<![\w.,:/+-])(?:\(0\d{1,4}\)|0\d{1,5})(?:[\s./-]\d{2,6}){1,5}(?!\w|[.,:/-]\d)", local),
    numeric("telephone", r"(?<![\w.,:/+-])1[38]00\s\d{3}\s\d{3}(?!\w|[.,:/-]\d|\s\d{3}(?!\d))", telephone),
    numeric("telephone", r"(?<![\w.,:/+-])\d{3}\s\d{3}\s\d{4}(?!\w|[.,:/-]\d)", telephone),
    numeric(
        "telephone",
        r"(?<!\w)((?i:phone|tel|telephone|mobile|cell|fax|call|dial|ring|hotline|whatsapp)"
        r"(?i:\s(?:number|no\.?|us|me|him|her|them|at|on|is|now)){0,3}[:.]?\s)(\d[\d\s().-]{4,18}\d)(?!\w|[.,:/-]\d)",
        called,
        ascii_letters,
    ),
    numeric(
        "telephone",
        rf"((?:[Cc]all|[Dd]ial|[Rr]ing|[Tt]ext)\s)({any_of(EMERGENCY)})(?:(\s(?:or|and)\s)({any_of(EMERGENCY)}))?"
        r"(?![\w,.]\d|\w)",
        lambda m: m[1] + digits(m[2]) + (m[3] + digits(m[4]) if m[3] else ""),
        "li",
    ),
    numeric("code number", r"(?<!\w)\d{4}(?:\s\d{4}){2,4}(?!\w)", telephone),
    numeric(
        "grouping",
        r"(?<![\w.,:/+-])[1-9]\d{0,2}(?:\s\d{3}){1,5},\d{1,2}(?![\d,]|\.\d)",
        spaced_thousands,
        ",",
    ),
    numeric(
        "grouping",
        r"(?<![\w.,:/+-])[1-9]\d{0,2}(?:\s\d{3}){1,5}"
        r"(?=(?:\.\d+|st|nd|rd|th|(?:k?m|[cm]m|k?g|ha|[lL]|k?Wh?)(?!\w))?(?![\w,/:-]|\.\d|\s\d))",
        spaced_thousands,
    ),
)

CODE_NUMBERS: tuple[Rule, ...] = (
    numeric(
        "numbered",
        r"(?<!\w)((?:Boeing|Airbus)\sA?)(\d{3})-(\d{1,4})(?!\w)",
        lambda m: f"{m[1]}{pairs(m[2])} {pairs(m[3])}",
    ),
    numeric("code number", r"(?<![\w-])\d+(?:-\d+){2,}(?![\w-])", telephone, "-"),
)

VERSIONS: tuple[Rule, ...] = (
    numeric("internet address", r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w)", internet, "."),
    numeric("grouping", r"(?<![\w.])\d{1,3}(?:\.000){2,}(?!\w|\.\d)", lambda m: m[0].replace(".", ","), "."),
    numeric("version", r"(?<![\w.])([vV])?(\d+(?:\.\d+){2,})(?!\w)", version, "."),
    numeric(
        "version",
        r"(?<![\w.-])([A-Z]{1,6})(\d{1,2})\.(\d{1,2})(?!\w|[.,]\d)",
        lambda m: f"{m[1]} {cardinal(m[2])} point {cardinal(m[3])}",
        ".",
    ),
    numeric("version", r"(?<![\w.])(v)(\d+(?:\.\d+)?)(?!\w|\.\d)", version, "v"),
    numeric("version", r"(?<!\w)([A-Za-z]+)\s(\d+)\.(\d+)(?!\w|%|\s?%|\.\d)", named_version, "."),
)

NUMBERS: tuple[Rule, ...] = (
    numeric(
        "numbered",
        r"(?<!\w)(" + any_of(PAIRED) + r")\s(\d{3,4})(?:(\s(?:to|and|or)\s)(\d{3,4}))?(?!\w|[.,:/]\d)",
        lambda m: f"{m[1]} {pairs(m[2])}" + (m[3] + pairs(m[4]) if m[3] else ""),
    ),
    numeric(
        "street number",
        r"(?<![\w.,:])(\d{3,4})(?=\s(?:[A-Z][\w']+\s){1,3}(?:Street|Avenue|Road|Drive|Lane|Boulevard)(?!\w))",
        lambda m: pairs(m[1]),
    ),
    numeric(
        "code number",
        r"(?<!\w)((?i:(?:order|code|ticket|case)(?=:|\snumber|\sno\.|\s#)|account|tracking|serial|pin|passport|id|zip|zip\scode|postcode|ssn)"
        r"(?i:\snumber|\sno\.)?(?:\sis|:)?\s#?)(\d{4,})(?![\w.,]\d|\w)",
        lambda m: m[1] + digits(m[2]),
    ),
)
