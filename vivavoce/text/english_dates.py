"""English dates, decades and years as words: "5 May 2021" is "the fifth of May twenty twenty-one"."""

from __future__ import annotations

import re

from vivavoce.text.characters import AT_START, CAPITALS, Rule, after, any_of, before, numeric, rule
from vivavoce.text.english_context import ends_sentence, last_word
from vivavoce.text.english_numbers import cardinal, digits, ordinal, pairs, plural, short_year, year
from vivavoce.text.english_tables import (
    COUNTED,
    DAY_OF,
    DETERMINERS,
    MONTH_BESIDE,
    MONTH_OF,
    MONTHS,
    NO_PLURALS,
    STRONG_CUES,
    YEAR_CUES,
)

MONTH = any_of(MONTH_OF)
_DAY = any_of(DAY_OF)


def date(y: str, month: int, day: int, written: str) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return written
    spoken = year(y) if len(y) == 4 and y[0] in "12" else digits(y) if len(y) == 4 else short_year(y)
    return f"{MONTHS[month - 1]} {ordinal(str(day))}, {spoken}"


def slash_date(m: re.Match[str]) -> str:
    first, second = int(m[1]), int(m[2])
    # The American order, month first, unless that is impossible.
    return date(m[3], second, first, m[0]) if first > 12 else date(m[3], first, second, m[0])


def year_first(m: re.Match[str]) -> str:
    spoken = date(m[1], int(m[2]), int(m[3]), m[0])
    return spoken + (", " if spoken != m[0] and m[4] else m[4] or "")


def named_month(m: re.Match[str]) -> str:
    return date(m[3], MONTHS.index(MONTH_OF[m[2]]) + 1, int(m[1]), m[0])


def month_day(m: re.Match[str]) -> str:
    last = m[3]
    if not (1 <= int(m[2]) <= 31 and (not last or int(m[2]) < int(last) <= 31)):
        return m[0]
    spoken = f"{MONTH_OF[m[1]]} {ordinal(m[2])}" + (f" to {ordinal(last)}" if last else "")
    return spoken + (f"{m[4]}{year(m[5])}" if m[5] else "")


def month_after_day(m: re.Match[str]) -> str:
    """Read "15 JAN" and "15 jan 2020" as dates, but not "5 dec points"."""
    beside = re.search(r"\d(?:st|nd|rd|th)?\s(?:of\s)?$", before(m))
    ends = m[1].isupper() or re.match(r",?\s[12]\d{3}(?!\w)|[,;)]|\.?$", after(m))
    return MONTH_BESIDE[m[1]] if beside and ends else m[0]


def day_month(m: re.Match[str]) -> str:
    first = m[2]
    if not (1 <= int(m[3]) <= 31 and (not first or 1 <= int(first) < int(m[3]))):
        return m[0]
    spoken = f"{m[1] or 'the '}{ordinal(first)} to the {ordinal(m[3])}" if first else f"{m[1] or 'the '}{ordinal(m[3])}"
    return f"{spoken} of {MONTH_OF[m[4]]}" + (f" {year(m[5])}" if m[5] else "")


def weekday(m: re.Match[str]) -> str:
    dated = re.match(rf",?\s(?:{MONTH}|\d)", after(m))
    if not dated and (m[0][-1] != "." or m[1] in ("Sun", "Sat", "Wed")):
        return m[0]
    return DAY_OF[m[1]] + ("." if m[0][-1] == "." and ends_sentence(after(m)) else "")


def decade(m: re.Match[str]) -> str:
    return (m[1] if m[1] and m[1] != "'" else "") + plural(year(m[2]) if len(m[2]) == 4 else cardinal(m[2]))


def calendar_year(m: re.Match[str]) -> str:
    """Read a number from 1000 to 2099 as a year, unless it counts something."""
    following = re.match(r"\s([a-z]+)", after(m))
    noun = following[1] if following else ""
    preceding, modern = last_word(before(m)), m[0] >= "1900" and m[0][2:] != "00"
    if noun in COUNTED:
        # "In 2025 people said", "In 1850 people moved", but "in 1200 cities"
        opens = AT_START.search(before(m)[: -len(preceding) - 1]) and m[0][2:] != "00"
        is_count = not (preceding in STRONG_CUES and (modern or opens))
    else:
        is_count = len(noun) > 2 and noun.endswith("s") and noun not in NO_PLURALS
        is_count = is_count and not (modern and preceding in DETERMINERS | STRONG_CUES)
    return m[0] if is_count or not (preceding in YEAR_CUES or m[0] >= "1600") else year(m[0])


def timestamp(m: re.Match[str]) -> str:
    """Read "2025-08-17T14:05:00Z" as a date, a time of day and a time zone."""
    day = date(m[1], int(m[2]), int(m[3]), "")
    if not day or int(m[4]) > 24:
        return m[0]
    seconds = f":{m[6]}" if m[6] and int(m[6]) else ""
    zone = ""
    if m[7] in ("Z", "UTC"):
        zone = " U T C"
    elif m[7]:
        hours, minutes = int(m[7][1:3]), int(m[7][-2:])
        zone = f" U T C {'minus' if m[7][0] == '-' else 'plus'} {cardinal(str(hours))}"
        zone += f" {cardinal(str(minutes))}" if minutes else ""
    return f"{day}, {m[4]}:{m[5]}{seconds}{zone}"


def era(m: re.Match[str]) -> str:
    letters = " ".join(m[2].replace(".", ""))
    return f"{pairs(m[1])} {letters}" + ("." if m[2].endswith(".") and ends_sentence(after(m)) else "")


_BESIDE = any_of(MONTH_BESIDE)

RULES: tuple[Rule, ...] = (
    numeric(
        "month",
        rf"(?<![\w.-])({_BESIDE})(?:\.(?=\s)|(?=[\s-]))(?=[\s-]\d{{1,2}}(?:st|nd|rd|th)?(?![\w%]|[.:/]\d))",
        lambda m: MONTH_BESIDE[m[1]],
    ),
    numeric(
        "month",
        rf"(?<=[\dtdhf]\s)({_BESIDE})(?:\.(?=\s)|(?=[\s,;)]|\.?$))",
        month_after_day,
    ),
    numeric("month", r"(?<=\d\s)may(?=,?\s[12]\d{3}(?!\w|[.,]\d))", "May"),
    numeric(
        "date",
        rf"(?<![\w-])({MONTH})-(\d{{1,2}})()(?:(-)([12]\d{{3}}))?(?![\w-])",
        lambda m: month_day(m).replace("-", " ") if month_day(m) != m[0] else m[0],
    ),
    numeric(
        "date",
        r"(?<![\w/-])(\d{4})-(\d\d)-(\d\d)(?:T|\s(?=\d\d:\d\d))(\d\d):([0-5]\d)(?::([0-5]\d)(?:[.,]\d{1,9})?)?"
        r"(?:\s?(Z|UTC|[+-]\d\d:?[0-5]\d))?(?!\w)",
        timestamp,
    ),
    numeric("date", r"(?<![\w/-])(\d{4})-(\d\d)-(\d\d)(?:(T)(?=\d\d:)|(?![\w-]))", year_first),
    numeric("date", r"(?<![\w/-])(\d{4})/(\d\d?)/(\d\d?)()(?![\w/-])", year_first),
    numeric("date", r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])", slash_date),
    numeric("date", r"(?<![\w-])(\d{1,2})-(\d{1,2})-(\d{4})(?![\w-])", slash_date),
    numeric(
        "date",
        r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)",
        lambda m: date(m[3], int(m[2]), int(m[1]), m[0]),
    ),
    numeric("date", rf"(?<![\w-])(\d{{1,2}})-({MONTH})-(\d{{4}}|\d\d)(?![\w-])", named_month),
    rule(
        "weekday", rf"(?<!\w)({_DAY})\.?\s?[-–]\s?({_DAY})(?!\w)", lambda m: f"{DAY_OF[m[1]]} to {DAY_OF[m[2]]}", "-–"
    ),
    rule("weekday", rf"(?<!\w)({_DAY})(?:\.|(?=,?\s(?:{MONTH}|\d)))(?!\w)", weekday, CAPITALS),
    rule(
        "month",
        rf"(?<!\w)({MONTH})\.?\s?[-–]\s?({MONTH})(?!\w)",
        lambda m: f"{MONTH_OF[m[1]]} to {MONTH_OF[m[2]]}",
        "-–",
    ),
    numeric(
        "range",
        rf"(?<!\w)((?:{MONTH})\.?\s(?:\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s[12]\d{{3}})?|[12]\d{{3}}))(?:\s?[-–]\s?|\s—\s)"
        rf"(?=(?:{MONTH})\.?\s\d)",
        r"\1 to ",
        "-–—",
    ),
    numeric(
        "range",
        rf"(?<![\w.,:/-])(\d{{1,2}}(?:st|nd|rd|th)?\s(?:{MONTH})(?:,?\s[12]\d{{3}})?)(?:\s?[-–]\s?|\s—\s)"
        rf"(?=\d{{1,2}}(?:st|nd|rd|th)?\s(?:{MONTH}))",
        r"\1 to ",
        "-–—",
    ),
    numeric(
        "date",
        rf"(?<!\w)({MONTH})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?:\s?[-–]\s?(\d{{1,2}})(?:st|nd|rd|th)?)?"
        r"(?![\w%]|[.:,/-]\d)(?:(,?\s)([12]\d{3})(?!\w|[.,]\d))?",
        month_day,
    ),
    numeric(
        "date",
        rf"(?<![\w.,:$£€/-])(the\s)?(?:(\d{{1,2}})(?:st|nd|rd|th)?\s?[-–]\s?)?(\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?"
        rf"({MONTH})(?!\w)(?:\.(?=\s\d))?(?:,?\s([12]\d{{3}})(?!\w|[.,]\d))?",
        day_month,
    ),
    rule("month", rf"(?<!\w)({MONTH})\.(?=\s\d{{4}}(?!\w))", lambda m: MONTH_OF[m[1]], "."),
)

PERIODS: tuple[Rule, ...] = (
    numeric(
        "decade",
        r"(?<!\w)(1\d\d0|20\d0)'?s\s?[-–]\s?'?((?:1\d|20)?\d0)'?s(?!\w)",
        lambda m: " to ".join(plural(year(part) if len(part) == 4 else cardinal(part)) for part in (m[1], m[2])),
    ),
    numeric("decade", r"(?<![\w'.])(')(\d0)'?s(?!\w)", decade),
    numeric("decade", r"(?<!\w)((?:[Tt]he|[Ee]arly|[Ll]ate|[Mm]id)[\s-])?(1\d\d0|20\d0)'?s(?!\w)", decade),
    numeric("decade", r"(?<!\w)((?:[Tt]he|[Ee]arly|[Ll]ate|[Mm]id)[\s-])([2-9]0)'?s(?!\w)", decade),
    numeric(
        "decade",
        r"(?<!\w)()([2-9]0)s(?=\s(?:music|style|fashion|films?|movies?|hits?|pop|rock|songs?|bands?|kids?))",
        decade,
    ),
    numeric("year", r"(?<=\w\s)'(\d\d)(?![\w'])", lambda m: short_year(m[1])),
    numeric("year", r"(?<![\w.,])(\d{1,4})\s(BCE|BC|CE|AD|B\.C\.E?\.?|A\.D\.?|C\.E\.)(?!\w)", era),
    numeric("year", r"(?<![\w.])(?:AD|A\.D\.)\s(\d{1,4})(?!\w|[.,]\d)", lambda m: f"A D {pairs(m[1])}"),
    numeric("year", r"(?<![\w/.])([12]\d{3})/([12]\d{3})(?![\w/])", lambda m: f"{year(m[1])} to {year(m[2])}"),
    numeric("year", r"(?<![\w/.])([12]\d{3})/(\d\d)(?![\w/])", lambda m: f"{year(m[1])} to {short_year(m[2])}"),
)

YEARS: tuple[Rule, ...] = (
    numeric(
        "year",
        r"(?<![\w-])((?i:pre|post|mid|early|late)-)(1[1-9]\d\d|20\d\d)(?!\w|[.,:/]\d)",
        lambda m: m[1] + year(m[2]),
        "-",
    ),
    numeric("year", r"(?<=\b[Yy]ear\s)[2-9]\d{3}(?!\w|[.,:/]\d)", lambda m: year(m[0])),
    numeric("year", r"(?<![\w.,:/-])(?:1\d{3}|20\d\d)(?!\w|[.,:/]\d)", calendar_year),
)
