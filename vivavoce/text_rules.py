"""English as it is written → the words that are spoken: the table of rules that `text.normalise` applies, in order.

Each rule has a name, a pattern and a function from the match to what is said instead; what the functions know (units,
months, titles, …) stands in tables above them. To teach a new case, add a rule or a table entry, and a line to the
test. Knows nothing about paragraphs, pieces or vocabularies.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

PUNCTUATION = ".,;:!?'\"-()…—"  # what normalised text may hold besides letters and the space


def names(listed: str) -> list[str]:
    """The words of a list that is easier to read without its quotes and commas."""
    return listed.split()


def name_set(listed: str) -> frozenset[str]:
    return frozenset(names(listed))


@dataclass(frozen=True)
class Rule:
    """Where `pattern` matches, `speak` gives the words. `speak` may return the match unchanged: no Change then."""

    name: str
    pattern: re.Pattern[str]
    speak: Callable[[re.Match[str]], str]


# ---------------------------------------------------------------------------------------------------- numbers as words


@cache
def _inflect() -> Any:
    import inflect  # here and not above: its import takes longer than the rest of this module's work

    return inflect.engine()


DIGITS = names("zero one two three four five six seven eight nine")


def digits(written: str) -> str:
    """ "2014" → "two zero one four"."""
    return " ".join(DIGITS[int(d)] for d in written)


@lru_cache(4096)
def cardinal(written: str) -> str:
    """ "1,204" → "one thousand two hundred and four". Leading zeros and over 15 digits are read digit by digit."""
    plain = written.replace(",", "")
    if len(plain) > 15 or (plain[0] == "0" and len(plain) > 1):
        return digits(plain)
    return str(_inflect().number_to_words(plain)).replace(",", "")


def number(written: str) -> str:
    """An integer or decimal: "3.14" → "three point one four"."""
    whole, _, part = written.partition(".")
    return cardinal(whole or "0") + (f" point {digits(part)}" if part else "")


def ordinal(written: str) -> str:
    """ "21" → "twenty-first"."""
    plain = written.replace(",", "")
    return (
        digits(plain)
        if len(plain) > 15
        else str(_inflect().number_to_words(_inflect().ordinal(plain))).replace(",", "")
    )


def year(written: str) -> str:
    """ "1066" → "ten sixty-six", "1805" → "eighteen oh five", "1900" → "nineteen hundred"."""
    if written[1:3] == "00":
        return f"{cardinal(written[0])} thousand" + (f" {cardinal(written[3])}" if written[3] != "0" else "")
    return pairs(written)


def pairs(written: str) -> str:
    """Digits as house and flight numbers are read: "221" → "two twenty-one", "1805" → "eighteen oh five"."""
    if len(written) <= 2 or len(written) > 4 or written[0] == "0":
        return cardinal(written) if len(written) <= 2 else digits(written)
    head, tail = written[:-2], written[-2:]
    if tail == "00":
        return f"{cardinal(head)} hundred" if head[-1] != "0" else cardinal(written)
    return f"{cardinal(head)} {'oh ' + cardinal(tail[1]) if tail[0] == '0' else cardinal(tail)}"


ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def roman(written: str) -> int | None:
    """ "XIV" → 14; None where the letters are no well-formed Roman numeral below 400."""
    if not re.fullmatch(r"C{0,3}(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})", written):
        return None
    values = [ROMAN[c] for c in written] + [0]
    return sum(-v if v < after else v for v, after in itertools.pairwise(values))


# ------------------------------------------------------------------------------------------------------- what is known

TYPOGRAPHY = {
    **dict.fromkeys("’‘‚‛′ʼ´", "'"),
    **dict.fromkeys("“”„‟″«»‹›「」『』", '"'),
    **dict.fromkeys("‐‑‒−﹣", "-"),
    **dict.fromkeys("―⸺⸻", "—"),
    **dict.fromkeys("[{【", "("),
    **dict.fromkeys("]}】", ")"),
    **{"。": ". ", "．": ".", "｡": ". ", "，": ", ", "、": ", ", "！": "! ", "？": "? ", "；": "; ", "：": ": "},
    **{"،": ",", "؛": ";", "؟": "?", "।": ".", "⁄": "/", "№": "No. ", "•": "—", "·": " "},
}
SYMBOLS = {
    **{"@": "at", "&": "and", "+": "plus", "=": "equals", "%": "percent", "‰": "per mille", "°": "degrees"},
    **{"×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "≠": "does not equal"},
    **{"≤": "at most", "≥": "at least", "√": "square root of", "∞": "infinity", "→": "to", "/": "slash"},
    **{"\\": "backslash", "$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "₹": "rupee", "¢": "cent"},
    **{"©": "copyright", "§": "section", "µ": "micro", "²": "squared", "³": "cubed"},
}
# Read as nothing; kept from the compatibility mapping, which would turn them into letters.
SILENT = "™®℠"

MONTHS = tuple(names("January February March April May June July August September October November December"))
MONTH_OF = {name: name for name in MONTHS} | {name[:3]: name for name in MONTHS} | {"Sept": "September"}
_MONTH = "|".join(sorted(MONTH_OF, key=len, reverse=True))

# Before a name, and never a sentence end.
TITLES = {
    **{"Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Messrs": "Messieurs", "Dr": "Doctor", "Prof": "Professor"},
    **{"Gen": "General", "Col": "Colonel", "Lt": "Lieutenant", "Capt": "Captain", "Sgt": "Sergeant"},
    **{"Rev": "Reverend", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative", "Pres": "President"},
    **{"Mt": "Mount", "Ft": "Fort", "St": "Saint", "MR": "MISTER", "MRS": "MISSUS", "MS": "MIZ", "DR": "DOCTOR"},
}
# After a name; may end a sentence.
STREETS = {"St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Ln": "Lane"}
SUFFIXES = {
    **{"Jr": "Junior", "Sr": "Senior", "Inc": "Incorporated", "Ltd": "Limited", "Corp": "Corporation"},
    **{"Co": "Company", "Bros": "Brothers", "etc": "et cetera", "Dept": "Department", "dept": "department"},
    **{"approx": "approximately", "vs": "versus", "Esq": "Esquire"},
}
LATIN = {"e.g": "for example", "i.e": "that is", "viz": "namely", "cf": "compare"}
BEFORE_NUMBER = {
    **{"No": "Number", "no": "number", "Nos": "Numbers", "nos": "numbers", "Vol": "Volume", "vol": "volume"},
    **{"p": "page", "pp": "pages", "Fig": "Figure", "fig": "figure", "Ch": "Chapter", "ch": "chapter"},
    **{"Sec": "Section", "sec": "section", "c": "circa", "ca": "circa", "Art": "Article"},
}

UNITS = {
    **{"km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer", "mi": "mile"},
    **{"yd": "yard", "kg": "kilogram", "g": "gram", "mg": "milligram", "lb": "pound", "lbs": "pound", "oz": "ounce"},
    **{"L": "liter", "l": "liter", "mL": "milliliter", "ml": "milliliter", "cl": "centiliter", "ha": "hectare"},
    **{"h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "s": "second", "sec": "second"},
    **{"secs": "second", "ms": "millisecond", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte"},
    **{"GB": "gigabyte", "TB": "terabyte", "kbps": "kilobit per second", "Mbps": "megabit per second"},
    **{"W": "watt", "kW": "kilowatt", "MW": "megawatt", "kWh": "kilowatt hour", "V": "volt", "dB": "decibel"},
    **{"km/h": "kilometer per hour", "kph": "kilometer per hour", "mph": "mile per hour", "m/s": "meter per second"},
    **{"°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree", "kcal": "kilocalorie"},
}
UNCOUNTED = {"ft": ("foot", "feet"), "Hz": ("hertz",) * 2, "kHz": ("kilohertz",) * 2, "MHz": ("megahertz",) * 2}
UNCOUNTED |= {"GHz": ("gigahertz",) * 2}
_UNIT = "|".join(re.escape(u) for u in sorted([*UNITS, *UNCOUNTED], key=len, reverse=True))

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
SCALES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "bn": "billion"}
SCALES |= {"B": "billion", "b": "billion", "tn": "trillion", "T": "trillion"}
SCALES |= {name: name for name in ("hundred", "thousand", "million", "billion", "trillion")}

REGNAL = name_set(
    """Alexander Alfonso Benedict Boniface Catherine Charles Christian Clement Edward Elizabeth Francis Frederick
    Ferdinand George Gregory Gustav Harald Henry Innocent Ivan James John Joseph Leo Leopold Louis Mary Maximilian
    Napoleon Nicholas Olaf Otto Paul Peter Philip Pius Ramses Ramesses Richard Robert Rudolf Sixtus Stephen Umberto
    Urban Victor Wilhelm William"""
)
# Read letter by letter although a vowel would let one read them as words.
INITIALISMS = name_set(
    "AI API CEO CFO CIO COO CTO CPU EU GPU HIV HTTP IBM ID IO IP IQ IRS ISO OECD UFO UI UK UN URL USB UV VIP"
)
# Read letter by letter too, but the training text writes them as one word, so a model knows them that way.
AS_WRITTEN = name_set("FBI CIA TV USA USSR PRS HMM SHH PSST BRR GRR TSK ZZZ PFFT NTH")

EXTENSIONS = (
    "com|org|net|edu|gov|io|uk|de|fr|eu|ai|dev|app|py|txt|md|pdf|html|htm|csv|tsv|json|yaml|yml|toml|js|ts|css|exe|zip"
    "|tar|gz|png|jpg|jpeg|gif|svg|wav|flac|ogg|doc|docx|xls|xlsx|ppt|cfg|ini|log|sh|rs|cpp|java|xml"
)

# First words by which a capital after an abbreviation is taken for a new sentence and not for a name.
STARTERS = name_set(
    """A About After All Also Although An And Another Any Are As At Be Because Before Both But By Can Did Do Does During
    Each Even Every Few Finally First For From Had Has Have He Her Here His How However I If In Instead Is It Its
    Just Last Later Let Many Maybe Meanwhile More Most Much My Next No Nobody Not Nothing Now Of On Once One Only Or
    Other Our Perhaps Please She Should Since So Some Somebody Someone Soon Still Such Suddenly Than That The Their
    Then There These They Thirty This Those Though Three Through Thus To Today Together Tomorrow Two Under Unless
    Until Up Was We Well Were What When Where Which While Who Whose Why Will With Without Would Yes Yesterday Yet
    You Your"""
)

# ------------------------------------------------------------------------------------------------------------ the rules

_INTEGER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_DECIMAL = _INTEGER + r"(?:\.\d+)?"


def _before(m: re.Match[str], most: int = 40) -> str:
    """The few characters before a match; to slice all of them at every match would take quadratic time."""
    return m.string[max(0, m.start() - most) : m.start()]


def _after(m: re.Match[str], most: int = 40) -> str:
    return m.string[m.end() : m.end() + most]


def _padded(m: re.Match[str], words: str) -> str:
    """`words` with a space on each side where they would else touch a word or another symbol."""
    before, after = _before(m, 1), _after(m, 1)
    left = "" if not before or before in " (\"'-—…" else " "
    right = "" if not after or after in " )\"'-.,;:!?—…" else " "
    return left + words + right


def _counted(written: str, one: str, many: str) -> str:
    return f"{number(written)} {one if written == '1' else many}"


def starts_sentence(following: str) -> bool:
    word = re.match(r"[\s\"'(]*([\w]+)", following)
    return word is not None and word[1] in STARTERS


def _compatible(m: re.Match[str]) -> str:
    c = m[0]
    if c in SYMBOLS or c in SILENT or c in "…—–":
        return c
    if unicodedata.decimal(c, None) is not None:
        return str(unicodedata.decimal(c))
    plain = unicodedata.normalize("NFKC", c)
    if plain != c:
        # "2½" is two and a half, not twenty-one halves
        gap = " " if "⁄" in plain and _before(m, 1).isdigit() else ""
        return gap + plain.replace("⁄", "/")
    if c.isnumeric() and not c.isalpha():
        return f" {Fraction(unicodedata.numeric(c)).limit_denominator(1000)} "
    return c


def _superscript(m: re.Match[str]) -> str:
    power = unicodedata.normalize("NFKC", m[0]).replace("−", "-").replace("-", "minus ")
    return _padded(m, {"2": "squared", "3": "cubed"}.get(power, f"to the power of {power}"))


def _address(m: re.Match[str]) -> str:
    spoken = re.sub(r"^https?://", "", m[0], flags=re.IGNORECASE)
    bare = spoken.rstrip(".,;:!?)'\"/")
    said = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "#": "hash", "~": "tilde"}
    said |= {":": "colon", "@": "at", "=": "equals", "&": "and", "%": "percent", "+": "plus"}
    words = re.sub(r"[./\-_?#~:@=&%+]", lambda s: f" {said[s[0]]} ", bare)
    return re.sub(r"\bwww\b", "w w w", words).strip() + spoken[len(bare) :].replace("/", "")


def _after_name(m: re.Match[str]) -> bool:
    return bool(re.search(r"(?:[A-Z][\w']*|\d[a-z]+)\s$", _before(m)))


def _title(m: re.Match[str]) -> str:
    name, following = m[1], _after(m)
    if name in STREETS and _after_name(m) and (starts_sentence(following) or not re.match(r"\s[A-Z]", following)):
        return STREETS[name] + ("." if m[0].endswith(".") and _ends_here(following) else "")
    if not re.match(r"\s[^\W\d_]", following):
        return m[0]
    return TITLES[name]


def _ends_here(following: str) -> bool:
    """Whether the point of an abbreviation also closes a sentence, so that it must stay."""
    return not following.strip("\"')— ") or bool(re.match(r"[\"')]*\s", following) and starts_sentence(following))


def _suffix(m: re.Match[str]) -> str:
    if m[1] in STREETS and not _after_name(m):
        return m[0]
    return (STREETS | SUFFIXES)[m[1]] + ("." if _ends_here(_after(m)) else "")


def _latin(m: re.Match[str]) -> str:
    return LATIN[m[1].lower()] + ("" if re.match(r"[,:;.)]|$", _after(m)) else ",")


def _date(y: str, month: int, day: int, written: str) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return written
    spoken = year(y) if len(y) == 4 and y[0] in "12" else pairs(y)
    return f"{MONTHS[month - 1]} {ordinal(str(day))}, {spoken}"


def _slash_date(m: re.Match[str]) -> str:
    first, second = int(m[1]), int(m[2])
    # Americans write the month first; where that is impossible the day came first.
    return _date(m[3], second, first, m[0]) if first > 12 else _date(m[3], first, second, m[0])


def _month_day(m: re.Match[str]) -> str:
    if not 1 <= int(m[2]) <= 31:
        return m[0]
    return f"{MONTH_OF[m[1]]} {ordinal(m[2])}" + (f"{m[3]}{year(m[4])}" if m[4] else "")


def _day_month(m: re.Match[str]) -> str:
    if not 1 <= int(m[2]) <= 31:
        return m[0]
    return f"{m[1] or 'the '}{ordinal(m[2])} of {MONTH_OF[m[3]]}" + (f" {year(m[4])}" if m[4] else "")


def _telephone(m: re.Match[str]) -> str:
    return ("plus " if m[0][0] == "+" else "") + ", ".join(digits(group) for group in re.findall(r"\d+", m[0]))


def _clock(m: re.Match[str]) -> str:
    hour, minute, second, half = m[1], m[2], m[3], m[4]
    if int(hour) > 24 or (half and int(hour) > 12) or not (minute or half):
        return m[0]
    words = cardinal(str(int(hour)))
    if minute and int(minute):
        words += f" {'oh ' if minute[0] == '0' else ''}{cardinal(str(int(minute)))}"
    elif minute and not half and not second:
        words = "midnight" if int(hour) in (0, 24) else f"{words} o'clock" if int(hour) <= 12 else f"{words} hundred"
    if second:
        words += f" and {_counted(str(int(second)), 'second', 'seconds')}"
    return words + (f" {half.lower()}.m." if half else "")


def _money(m: re.Match[str]) -> str:
    one, many, cent, cents = CURRENCIES[m[1]]
    amount, scale = m[2].replace(",", ""), m[3]
    whole, _, part = amount.partition(".")
    if scale:
        return f"{number(amount)} {SCALES[scale]} {many}"
    if len(part) != 2:
        return _counted(amount, one, many)
    small = _counted(str(int(part)), cent, cents) if int(part) else ""
    if not int(whole):
        return small or f"zero {many}"
    return _counted(whole, one, many) + (f" and {small}" if small else "")


def _range(m: re.Match[str]) -> str:
    low, high = (float(part.replace(",", "")) for part in (m[1], m[2]))
    shortened_year = len(m[1]) == 4 and len(m[2]) == 2 and int(m[1][2:]) < high
    # A falling pair is a score: "six four". The digits stay for the rules of years, units and percentages.
    return f"{m[1]} to {m[2]}" if low < high or shortened_year else f"{m[1]} {m[2]}"


def _unit(m: re.Match[str]) -> str:
    if m[3] in UNCOUNTED:
        one, many = UNCOUNTED[m[3]]
    else:
        one = UNITS[m[3]]
        head, per, tail = one.partition(" per ")
        many = "degrees" + one[6:] if one.startswith("degree") else f"{head}s{per}{tail}"
    if m[4]:
        shape = "square" if m[4] in "²" else "cubic"
        one, many = f"{shape} {one}", f"{shape} {many}"
    adjective = m[2] == "-"
    return f"{number(m[1])}{'-' if adjective else ' '}{one if adjective or m[1] == '1' else many}"


def _fraction(m: re.Match[str]) -> str:
    whole, top, bottom = m[1], m[2], m[3]
    if (top, bottom) in (("24", "7"), ("9", "11")):
        return (f"{cardinal(whole)} " if whole else "") + f"{cardinal(top)} {cardinal(bottom)}"
    if int(bottom) not in (*range(2, 13), 16, 20, 32, 64, 100) or not 0 < int(top) < int(bottom):
        words = f"{cardinal(top)} over {cardinal(bottom)}"
        return f"{cardinal(whole)} {words}" if whole else words
    part = {"2": "half", "4": "quarter"}.get(bottom, ordinal(bottom).removeprefix("one "))
    if int(top) > 1:
        part += "s"
    if whole:
        return f"{cardinal(whole)} and {'a' if int(top) == 1 and bottom in '24' else cardinal(top)} {part}"
    return f"{cardinal(top)} {part}"


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + "es" if words.endswith("x") else words + "s"


def _decade(m: re.Match[str]) -> str:
    return (m[1] if m[1] and m[1] != "'" else "") + _plural(year(m[2]) if len(m[2]) == 4 else cardinal(m[2]))


YEAR_CUES = name_set("in since by from until till before after during year circa to and between of spring autumn fall")
YEAR_CUES |= name_set("summer winter about around through late early mid") | {name.lower() for name in MONTHS}


def _year(m: re.Match[str]) -> str:
    counted = re.match(r"\s(?!was\b|is\b|his\b|has\b|as\b|this\b|its\b|does\b|us\b)[a-z]{2,}s\b", _after(m))
    cue = re.search(r"([A-Za-z]+),?\s\(?$", _before(m))
    if counted or not ((cue and cue[1].lower() in YEAR_CUES) or m[0] >= "1600"):
        return m[0]
    return year(m[0])


def _numbered(m: re.Match[str]) -> str:
    value = roman(m[2])
    if m[1] == "War" and value:
        return f"War {cardinal(str(value)).title()}"
    pronoun = value == 1 and re.match(r"\s[a-z]|'", _after(m))  # "in this section I show"
    return f"{m[1]} {cardinal(str(value))}" if value and not pronoun else m[0]


def _regnal(m: re.Match[str]) -> str:
    value = roman(m[3])
    # "I" after a bare name is far more often the pronoun.
    initial = len(m[3]) == 1 and _after(m, 1) == "."
    if not value or m[2] not in REGNAL or (value == 1 and not m[1]) or initial:
        return m[0]
    return f"{m[1] or ''}{m[2]} the {ordinal(str(value)).title()}"


def _letters(run: str) -> str:
    """Letters beside digits: "BA" → "B A", "mp" → "m p", "Covid" stays a word."""
    spell = (run.isupper() and len(run) <= 4) or not re.search(r"[aeiouyAEIOUY]", run)
    return " ".join(run) if spell else run


def _code(m: re.Match[str]) -> str:
    runs = re.findall(r"[0-9]+|_|[A-Za-z]+", m[0])
    return " ".join(pairs(r) if r[0].isdigit() else "underscore" if r == "_" else _letters(r) for r in runs)


def _initialism(m: re.Match[str]) -> str:
    letters = m[1]
    if letters in AS_WRITTEN or (re.search("[AEIOUY]", letters) and letters not in INITIALISMS):
        return m[0]
    return " ".join(letters) + ("'s" if m[2] else "")


def _symbol(m: re.Match[str]) -> str:
    return _padded(m, SYMBOLS[m[0]])


def _rule(name: str, pattern: str, speak: Callable[[re.Match[str]], str] | str) -> Rule:
    """A rule whose `speak` may be a template as for `re.Match.expand`."""
    if isinstance(speak, str):
        template = speak
        return Rule(name, re.compile(pattern), lambda m: m.expand(template))
    return Rule(name, re.compile(pattern), speak)


def _any(known: dict[str, Any]) -> str:
    return "|".join(re.escape(n) for n in sorted(known, key=len, reverse=True))


# In order. A rule sees one paragraph, its white space already folded, as the rules before it left it. Patterns start at
# a place that a lookbehind fixes, so that no text makes them take quadratic time.
RULES: tuple[Rule, ...] = (
    # characters
    _rule("typography", "[" + re.escape("".join(TYPOGRAPHY)) + "]", lambda m: TYPOGRAPHY[m[0]]),
    _rule("unit power", rf"(?<![\w.])({_DECIMAL})([\s-]?)({_UNIT})([²³])(?!\w)", _unit),
    _rule("superscript", r"(?<=[\w)])[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", _superscript),
    _rule("compatibility", r"[^\x00-\x7f]", _compatible),
    _rule(
        "invisible", r"[^\x00-\x7f]", lambda m: "" if unicodedata.category(m[0]) in ("Cf", "Mn", "Mc", "Me") else m[0]
    ),
    _rule("ellipsis", r"\.{2,}|(?<!\.)\.(?:\s\.)+", "…"),
    _rule("dash", r"-{3,}|\s–+\s?|(?<![\w\s])–+|–+(?=\W|$)", lambda m: " — " if m[0][0] == " " else "—"),
    # addresses and names of files
    _rule("url", r"(?<!\w)(?:[Hh][Tt][Tt][Pp][Ss]?://|www\.)[^\s\"<>—]+", _address),
    _rule("email", r"(?<![\w.+-])[\w+-][\w.+-]{0,63}@(?:[\w-]+\.)+[\w-]+", _address),
    _rule("file name", rf"(?<=\w)\.(?=(?:{EXTENSIONS})(?!\w))", " dot "),
    # abbreviations
    _rule("title", rf"(?<![\w.])({_any(TITLES)})(?:\.|(?=\s[A-Z]))(?!\w)", _title),
    _rule("abbreviation", rf"(?<![\w.])({_any(STREETS | SUFFIXES)})\.(?!\w)", _suffix),
    _rule("Latin", r"(?<![\w.])((?:[Ee]\.\s?g|[Ii]\.\s?e)|viz|cf)\.(?!\w)", _latin),
    _rule("and/or", r"(?<!\w)and/or(?!\w)", "and or"),
    _rule("before number", rf"(?<![\w.])({_any(BEFORE_NUMBER)})\.\s?(?=\d)", lambda m: BEFORE_NUMBER[m[1]] + " "),
    # dates and times
    _rule("date", r"(?<![\w/-])(\d{4})-(\d\d)-(\d\d)(?![\w-])", lambda m: _date(m[1], int(m[2]), int(m[3]), m[0])),
    _rule("date", r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])", _slash_date),
    _rule(
        "date",
        rf"(?<!\w)({_MONTH})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?![\w%]|[.:,/-]\d)(?:(,?\s)([12]\d{{3}})(?!\w|[.,]\d))?",
        _month_day,
    ),
    _rule(
        "date",
        rf"(?<![\w.,:$£€])(the\s)?(\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?({_MONTH})(?!\w)(?:\.(?=\s\d))?(?:,?\s([12]\d{{3}})(?!\w|[.,]\d))?",
        _day_month,
    ),
    _rule("month", rf"(?<!\w)({_MONTH})\.(?=\s\d{{4}}(?!\w))", lambda m: MONTH_OF[m[1]]),
    _rule("telephone", r"(?<![\w-])(?:\+?1[\s-])?(?:\(\d{3}\)\s?|\d{3}[-.])?\d{3}[-.]\d{4}(?![\w-])", _telephone),
    _rule("telephone", r"(?<!\w)\+\d{1,3}(?:[\s-]\d{2,5}){2,5}(?!\w)", _telephone),
    _rule(
        "clock",
        r"(?<![\w.,:])(\d{1,2})(?::([0-5]\d))?(?::([0-5]\d))?(?:\s?([AaPp])(?:\.\s?[Mm]\.|[Mm]\.?(?!\w)))?(?![\w:])",
        _clock,
    ),
    # amounts
    _rule("height", r"(?<!\w)(\d)'(\d{1,2})(?:\"|'')", lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}"),
    _rule("decade", r"(?<![\w'.])(')(\d0)'?s(?!\w)", _decade),
    _rule("decade", r"(?<!\w)((?:the|early|late|mid)[\s-])?(1\d\d0|20\d0)'?s(?!\w)", _decade),
    _rule("decade", r"(?<!\w)((?:the|early|late|mid)[\s-])([2-9]0)'?s(?!\w)", _decade),
    _rule("money", rf"([$£€¥₹])({_DECIMAL})\s?[-–]\s?\1?(?={_DECIMAL})", lambda m: f"{number(m[2])} to {m[1]}"),
    _rule("code", r"(?<![\w-])\d+(?:-\d+){2,}(?![\w-])", _telephone),
    _rule("range", rf"(?<![\w.,–$£€-])({_DECIMAL})\s?[-–]({_DECIMAL})(?![\w–-]*[\w–-]\d)", _range),
    _rule(
        "minus", r"(?<=\d)\s-\s(?=\d)|(?<![^\s(\"'—])-(?=[$£€¥₹]?\.?\d)", lambda m: _padded(m, "minus ").rstrip() + " "
    ),
    _rule(
        "money",
        rf"(?:(?<![A-Za-z])(?:US|AU|CA|NZ|A|C))?([$£€¥₹])\s?({_DECIMAL})(?:(?:\s|-)?(hundred|thousand|million|billion|trillion|mn|bn|tn|[kKmMbBT])(?!\w))?",
        lambda m: _padded(m, _money(m)),
    ),
    _rule("money", rf"(?<![\w.])({_DECIMAL})\s?¢", lambda m: _padded(m, _counted(m[1], "cent", "cents"))),
    _rule(
        "money",
        rf"(?<![\w.,])({_DECIMAL})\s?([€£])(?!\w)",
        lambda m: _padded(m, _counted(m[1], *CURRENCIES[m[2]][:2])),
    ),
    _rule("percent", rf"(?<![\w.])({_DECIMAL})\s?%", lambda m: _padded(m, f"{number(m[1])} percent")),
    _rule(
        "version", r"(?<![\w.])[vV]?(\d+(?:\.\d+){2,})(?!\w)", lambda m: " point ".join(map(cardinal, m[1].split(".")))
    ),
    _rule("unit", rf"(?<![\w.])({_DECIMAL})([\s-]?)({_UNIT})()(?![\w'/°])(?:\.(?=\s[a-z]))?", _unit),
    _rule("fraction", r"(?<![\w/.])(?:(\d{1,9})\s)?(\d{1,3})/(\d{1,3})(?![\w/]|\.\d)", _fraction),
    _rule("ordinal", rf"(?<![\w.])({_INTEGER})(?:st|nd|rd|th|ST|ND|RD|TH)(?!\w)", lambda m: ordinal(m[1])),
    _rule("year", r"(?<![\w.,:/-])(?:1\d{3}|20\d\d)(?!\w|[.,:/]\d)", _year),
    _rule("ratio", r"(?<=\d):(?=\d)", " to "),
    # names and codes
    _rule(
        "numbered",
        r"(?<!\w)([Cc]hapter|Part|Act|Scene|Book|[Vv]olume|[Ss]ection|Article|War|Phase|Type|Appendix|Canto|Title)\s"
        r"([IVXLC]+)(?![\w'-])",
        _numbered,
    ),
    _rule(
        "regnal",
        r"(?<!\w)((?:King|Queen|Pope|Emperor|Empress|Tsar|Prince)\s)?([A-Z][a-z]+)\s([IVX]+)(?![\w-])",
        _regnal,
    ),
    _rule("code", r"(?<!\w)(?=[A-Za-z_]*[0-9])(?=[0-9_]*[A-Za-z_])[A-Za-z0-9_]+(?!\w)", _code),
    _rule("initialism", r"(?<!\w)([A-Z]{1,3})&([A-Z]{1,3})(?!\w)", lambda m: f"{' '.join(m[1])} and {' '.join(m[2])}"),
    _rule("initialism", r"(?<![\w.'])([A-Z]{2,6})(s)?(?!\w|\.[A-Z])", _initialism),
    # symbols
    _rule("number sign", r"#(?=\d)", lambda m: _padded(m, "number")),
    _rule("number sign", r"#(?=\w)", lambda m: _padded(m, "hashtag")),
    _rule("number sign", r"(?<=\b[A-Z])#", lambda m: _padded(m, "sharp")),
    _rule("times", r"(?<=\d)\s?\*\s?(?=\d)", " times "),
    _rule("about", r"~(?=\d)", lambda m: _padded(m, "about")),
    _rule("power", r"(?<=\w)\^(?=\w)", " to the power of "),
    _rule("comparison", r"(?<=\s)[<>](?=\s)", lambda m: "less than" if m[0] == "<" else "greater than"),
    _rule("underscore", r"(?<=\w)_(?=\w)", " underscore "),
    _rule("symbol", "[" + re.escape("".join(SYMBOLS)) + "]", _symbol),
    # what numbers are left
    _rule("decimal", r"(?<![\w.])\.(\d+)", lambda m: _padded(m, f"point {digits(m[1])}")),
    _rule("number", rf"{_DECIMAL}", lambda m: _padded(m, number(m[0]))),
    _rule("dash", r"–+", "-"),
    # everything but letters and PUNCTUATION, with a space that it would leave before a mark or the end
    _rule("unspeakable", r"\s?(?:(?![^\W\d_])[^ .,;:!?'\"()…—-])+(?=\s|[.,;:!?)…]|$)", ""),
    _rule("unspeakable", r"(?<=[^\W\d_])(?:(?![^\W\d_])[^ .,;:!?'\"()…—-])+(?=[^\W\d_])", " "),
    _rule("unspeakable", r"(?:(?![^\W\d_])[^ .,;:!?'\"()…—-])+", ""),
)

# Before a match: whether what comes out of it opens a sentence.
AT_START = re.compile(r"(?:^|(?<![ap]\.m)(?<![A-Z])[.!?…][\"')]*\s)[\"'(]*$")
