"""English sums of money as words: "$3.50" is "three dollars and fifty cents"."""

from __future__ import annotations

import re
from string import ascii_letters

from vivavoce.text.characters import CAPITALS, Rule, after, any_of, before, numeric, padded
from vivavoce.text.english_numbers import DECIMAL, counted, number
from vivavoce.text.english_tables import CURRENCIES, CURRENCY_CODES, SCALES

_CURRENCY = any_of(CURRENCIES)
_CODES = any_of(CURRENCY_CODES)
_LOWER_CODES = any_of(code.lower() for code in CURRENCY_CODES if code != "TRY")
_SCALE = any_of(SCALES)
# Signs of currencies whose countries write 1.234,56.
_COMMA_CURRENCY = r"[€]|R\$|kr\.?|₺|Rp"


def amount(written: str, scale: str | None, currency: tuple[str, str, str, str], adjective: bool = False) -> str:
    """Return a sum of money in words. adjective: use the singular, as in "a twenty dollar bill"."""
    one, many, cent, cents = currency
    plain = written.replace(",", "")
    whole, _, part = plain.partition(".")
    if scale:
        return f"{number(plain)} {SCALES[scale]} {one if adjective else many}"
    if len(part) != 2:
        return f"{number(plain)} {one if adjective or plain == '1' else many}"
    small = counted(str(int(part)), cent, cents) if int(part) else ""
    if not int(whole):
        return small or f"zero {many}"
    return counted(whole, one, many) + (f" and {small}" if small else "")


def money(m: re.Match[str]) -> str:
    # "a $20 bill" is "a twenty dollar bill"
    article, noun = re.search(r"(?:^|\s)[Aa]n?\s$", before(m)), re.match(r"\s[a-z]", after(m))
    adjective = article is not None and noun is not None and "." not in m[2]
    return padded(m, amount(m[2], m[3], CURRENCIES[m[1]], adjective))


def plain_grouping(m: re.Match[str]) -> str:
    """Return "1.234,56" and "1,50,000" in the notation of English: "1,234.56", "150,000"."""
    whole, _, part = m[0].rpartition(",") if re.search(r",\d{1,2}$", m[0]) else (m[0], "", "")
    digits = re.sub(r"\D", "", whole)
    return f"{int(digits):,}" + (f".{part}" if part else "")


GROUPING: tuple[Rule, ...] = (
    numeric(
        "grouping",
        r"(?<![\w.,])\d{1,4},\d{1,2}(?=\s?(?:k?m|[cm]m|k?g|mg|[cmd]?[lL]|°C|%|kWh?)(?!\w|,?\d))",
        lambda m: m[0].replace(",", "."),
        ",",
    ),
    numeric("money", r"(?<=\d)/-(?![\w-])", "", "/"),  # "Rs. 500/-": and no smaller coin
    numeric("money", r"(?<=[$£€])\.(?=\d)", "0.", "$£€"),
    numeric("grouping", r"(?<![\w.,])\d{1,3}(?:\.\d{3}){1,5},\d{1,2}(?![\d,]|\.\d)", plain_grouping, "."),
    numeric("grouping", r"(?<![\w.,])\d{1,2}(?:,\d{2}){1,6},\d{3}(?![\d,]|\.\d{3})", plain_grouping, ","),
    numeric("grouping", r"(?<=[$£€¥₹])\s?\d{1,9},\d\d(?![\d,])", lambda m: m[0].replace(",", "."), "$£€¥₹"),
    numeric("grouping", r"(?<![\w.,])\d{1,9},\d\d(?=\s?(?:[€£₺]|zł|kr)(?!\w))", lambda m: m[0].replace(",", "."), ","),
    numeric(
        "grouping",
        rf"(?:{_COMMA_CURRENCY})\s?\d{{1,3}}(?:\.\d{{3}}){{1,5}}(?![\d,]|\.\d)",
        lambda m: re.sub(r"(?<=\d)\.(?=\d)", ",", m[0]),
        ".",
    ),
    numeric(
        "grouping",
        rf"(?<![\w.,])\d{{1,3}}(?:\.\d{{3}}){{1,5}}(?=\s?(?:{_COMMA_CURRENCY})(?!\w))",
        lambda m: m[0].replace(".", ","),
        ".",
    ),
    numeric("grouping", r"(?<=[$£¥₹])\d{1,3}(?:\.\d{3}){2,5}(?![\d,]|\.\d)", lambda m: m[0].replace(".", ","), "$£¥₹"),
)


def lower_bound(m: re.Match[str]) -> str:
    """Read the first sum of a range: with its cents if it has any, else as a number only."""
    if m[3] or not re.search(r"\.\d\d$", m[2]):
        return f"{number(m[2])}{' ' + SCALES[m[3]] if m[3] else ''} to {m[1]}"
    return f"{padded(m, amount(m[2], None, CURRENCIES[m[1]])).strip()} to {m[1]}"


RANGES: tuple[Rule, ...] = (
    numeric(
        "money",
        rf"({_CURRENCY})({DECIMAL})(?:\s?({_SCALE})(?!\w))?(?:\s?[-–]\s?|\s—\s)(?:\1)?(?={DECIMAL})",
        lower_bound,
        "-–—",
    ),
)

RULES: tuple[Rule, ...] = (
    # a sign and a code: "$5 CAD", "USD$5", "US $5"
    numeric(
        "money",
        rf"[$£€¥]\s?(?={DECIMAL}(?:\s?(?:{_SCALE}))?\s?(?:{_CODES}|{_LOWER_CODES})(?!\w))",
        "",
        "$£€¥",
    ),
    numeric("money", rf"(?<!\w)({_CODES})\s?[$£€¥](?=\d)", r"\1 ", "$£€¥"),
    numeric("money", r"(?<!\w)(US|AU|CA|NZ|HK)\s\$(?=\d)", r"\1$", "$"),
    numeric("money", rf"\$({DECIMAL})\sUS(?!\w|\s[A-Z])", r"US$\1", "$"),
    numeric("money", r"(?<![\w.,$£€-])(\d{1,2})p(?!\w)", lambda m: counted(m[1], "penny", "pence"), "p"),
    numeric(
        "money",
        r"((?<!\w)(?:for|only|just|costs?|at|than|save|pay|paid|under|by)\s)(\d{2})c(?!\w)",
        lambda m: f"{m[1]}{counted(m[2], 'cent', 'cents')}",
        "c",
    ),
    numeric(
        "money",
        rf"(?<!\w)({_CODES})\s?({DECIMAL})(?:\s?({_SCALE})(?!\w))?(?!\w)",
        lambda m: amount(m[2], m[3], CURRENCY_CODES[m[1]]),
        CAPITALS,
    ),
    numeric(
        "money",
        rf"(?<![\w.,])({DECIMAL})(?:\s?({_SCALE}))?\s?({_CODES}|{_LOWER_CODES})(?!\w)",
        lambda m: amount(m[1], m[2], CURRENCY_CODES[m[3].upper()]),
        ascii_letters,
    ),
    numeric("money", rf"(?<![A-Za-z])({_CURRENCY})\s?({DECIMAL})(?:(?:\s|-)?({_SCALE})(?!\w))?", money),
    numeric("money", rf"({_CURRENCY})({DECIMAL})", lambda m: padded(m, amount(m[2], None, CURRENCIES[m[1]]))),
    numeric("money", rf"(?<![\w.])({DECIMAL})\s?¢", lambda m: padded(m, counted(m[1], "cent", "cents")), "¢"),
    numeric(
        "money",
        rf"(?<![\w.,])({DECIMAL})(?:\s?({_SCALE}))?\s?([$€£¥₽₹₪₩₫₴₺]|zł|kr|R\$)(?!\w)",
        lambda m: padded(m, amount(m[1], m[2], CURRENCIES[m[3]])),
        "$€£¥₽₹₪₩₫₴₺zk",
    ),
)
