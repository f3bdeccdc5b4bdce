"""The content of SSML's `say-as` in words, for each value of its attribute `interpret-as`."""

from __future__ import annotations

import re
from collections.abc import Callable

from vivavoce.text.english_numbers import cardinal, number, ordinal, roman, year
from vivavoce.text.english_tables import MONTHS
from vivavoce.text.normalise import normalise
from vivavoce.text.romance import integer
from vivavoce.text.romance_tables import LANGUAGES
from vivavoce.text.segments import parse_reading
from vivavoce.text.spelling import digit, spell

DATE_FORMATS = ("mdy", "dmy", "ymd", "md", "dm", "ym", "my", "y", "m", "d")
TIME_FORMATS = ("hms12", "hms24", "hms", "hm12", "hm24", "hm", "ms", "h")


def say_as(kind: str, order: str | None, written: str, lang: str) -> str:
    """Return `written` in words. Raises ValueError if `kind` is unknown or `written` is not of that kind.

    kind: the value of interpret-as, also with a prefix such as "vxml:". order: the value of format, or None.
    """
    name = kind.lower().rpartition(":")[2]
    if name not in KINDS:
        raise ValueError(f"interpret-as is {kind!r}; it must be one of {', '.join(KINDS)}")
    if not written:
        raise ValueError("it is empty")
    if order is not None:
        if name == "date":
            return _ordered_date(written, order, lang)
        if name == "time" and order not in TIME_FORMATS:
            raise ValueError(f"format is {order!r}; it must be one of {', '.join(TIME_FORMATS)}")
        if name not in ("time", "telephone", "phone"):  # the format of a telephone number is its country
            raise ValueError(f"format is {order!r}; only date, time and telephone have a format")
    return KINDS[name](written, lang)


def _ordered_date(written: str, order: str, lang: str) -> str:
    """Read a date in digits whose parts are in the given order: d, m and y."""
    pattern = order.lower()
    if set(pattern) <= set("ymd") and len(pattern) > 3:  # yyyymmdd
        pattern = re.sub(r"(.)\1+", r"\1", pattern)
        sizes = [len(m[0]) for m in re.finditer(r"(.)\1*", order)]
        if re.fullmatch(r"\d+", written) and sum(sizes) == len(written):
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            written = "/".join(written[at : at + size] for at, size in zip(starts, sizes, strict=True))
    parts = re.findall(r"\d+", written, re.ASCII)
    if pattern not in DATE_FORMATS or len(parts) != len(pattern):
        raise ValueError(f"{written!r} with format {order!r}; it must be {len(order)} numbers in one of the orders "
                         f"{', '.join(DATE_FORMATS)}")  # fmt: skip
    given = {name: int(part) for name, part in zip(pattern, parts, strict=True)}
    digits_of_year = len(parts[pattern.index("y")]) if "y" in pattern else 4
    if not (1 <= given.get("m", 1) <= 12 and 1 <= given.get("d", 1) <= 31 and digits_of_year in (2, 4)):
        raise ValueError(f"{written!r} is not a date in the format {order!r}")
    return _date_words(given, digits_of_year, lang)


def _date_words(given: dict[str, int], digits_of_year: int, lang: str) -> str:
    day, month, years = given.get("d"), given.get("m"), given.get("y")
    if day and month and years is not None and digits_of_year == 4:
        return _normal(f"{years:04d}-{month:02d}-{day:02d}", lang)
    if lang == "en":
        words = [MONTHS[month - 1]] if month else []
        words += [ordinal(str(day)) + ("," if years is not None else "")] if day else []
        if years is not None:
            words.append(year(str(years)) if digits_of_year == 4 else _short_year(years))
        return " ".join(words)
    if lang not in LANGUAGES:
        raise ValueError(f"dates can be read in {', '.join(('en', *LANGUAGES))}, not in {lang}")
    words = [integer(lang, str(day))] if day else []
    words += [LANGUAGES[lang].months.split()[month - 1]] if month else []
    words += [integer(lang, str(years))] if years is not None else []
    return (" de " if lang in ("es", "pt") else " ").join(words)


def _short_year(years: int) -> str:
    return f"oh {cardinal(str(years))}" if 0 < years < 10 else cardinal(str(years))


def _normal(written: str, lang: str) -> str:
    return parse_reading(normalise(written, lang)[0])


def _plain(written: str, lang: str) -> str:
    """Read what `normalise` reads: units, fractions, money, addresses. Only a number is capitalised at the start."""
    words = _normal(written, lang)
    return words if written[0].isalpha() else words[0].lower() + words[1:]


def _time(written: str, lang: str) -> str:
    if not re.match(r"\d", written):
        raise ValueError(f"{written!r} is not a time; use a form such as 10:30 or 2pm")
    return _plain(written, lang)


def _cardinal(written: str, lang: str) -> str:
    if not (m := re.fullmatch(r"([+\-−]?)\s?(\d+(?:,\d{3})*(?:\.\d+)?)", written, re.ASCII)):
        raise ValueError(f"{written!r} is not a number; use a form such as 1234 or 3.5")
    if lang != "en":
        return _normal(written, lang).lower()
    return {"": "", "+": "plus "}.get(m[1], "minus ") + (number(m[2]) if "." in m[2] else cardinal(m[2]))


def _ordinal(written: str, lang: str) -> str:
    m = re.fullmatch(
        r"(\d{1,15})(?:st|nd|rd|th|\.?[ºª°]|\.?er|\.?[oa]|\.?ème|e|re)?", written.replace(",", ""), re.ASCII
    )
    value = m[1] if m else str(roman(written.upper()) or "")
    if not value:
        raise ValueError(f"{written!r} is not an ordinal; use a form such as 3 or 3rd")
    if lang == "en":
        return ordinal(value)
    if lang not in LANGUAGES:
        raise ValueError(f"ordinals can be read in {', '.join(('en', *LANGUAGES))}, not in {lang}")
    feminine = re.search(r"ª|a$|re$", written)
    return integer(lang, value, f"ordinal-{'feminine' if feminine else 'masculine'}")


def _digits(written: str, lang: str) -> str:
    if not set(written) <= set("0123456789 ") or not written.strip():
        raise ValueError(f"{written!r} is not a sequence of digits")
    return ", ".join(" ".join(digit(d, lang) for d in group) for group in written.split())


def _telephone(written: str, lang: str) -> str:
    if not set(written.removeprefix("+")) <= set("0123456789 ().-/") or not any(map(str.isdigit, written)):
        raise ValueError(f"{written!r} is not a telephone number; use a form such as +1 555 0199")
    groups = _digits(" ".join(re.findall(r"\d+", written)), lang)
    return f"{normalise('+', lang)[0].lower()} {groups}" if written[0] == "+" else groups


def _bleep(written: str, lang: str) -> str:
    return {"es": "pip", "fr": "bip", "it": "bip", "pt": "bip"}.get(lang, "bleep")


KINDS: dict[str, Callable[[str, str], str]] = {
    **dict.fromkeys(("characters", "spell-out", "verbatim", "letters", "spell"), spell),
    **dict.fromkeys(("cardinal", "number"), _cardinal),
    "ordinal": _ordinal,
    "digits": _digits,
    "date": _normal,
    "time": _time,
    **dict.fromkeys(("telephone", "phone"), _telephone),
    **dict.fromkeys(("currency", "money", "unit", "units", "fraction", "address", "duration", "measure"), _plain),
    **dict.fromkeys(("net", "url", "email", "name", "decimal", "text", "scientific"), _plain),
    **dict.fromkeys(("expletive", "bleep"), _bleep),
}
