"""English measurements, ranges, fractions and ordinals as words: "5 km" is "five kilometers"."""

from __future__ import annotations

import re
from functools import lru_cache

from vivavoce.text.characters import Rule, after, any_of, before, numeric, padded, rule
from vivavoce.text.english_context import ends_sentence
from vivavoce.text.english_numbers import DECIMAL, INTEGER, cardinal, counted, number, ordinal, pairs
from vivavoce.text.english_tables import (
    COMPASS,
    CURRENCIES,
    NO_PLURALS,
    PER,
    POINTED,
    SCALES,
    UNCOUNTED,
    UNIT_WORDS,
    UNITS,
)


def _compact(unit: str) -> str:
    """Return a unit without the points, spaces and hyphens between its words: "sq. ft." is "sqft"."""
    return re.sub(r"[.\s-]", "", unit)


def _words(one: str) -> tuple[str, str]:
    head, per, tail = one.partition(" per ")
    return one, "degrees" + one[6:] if one.startswith("degree") else f"{head}s{per}{tail}"


_UNIT_WORDS = {_compact(unit): _words(one) for unit, one in UNITS.items()}
_UNIT_WORDS |= {_compact(unit): words for unit, words in UNCOUNTED.items()}
_ABBREVIATED = any_of([*UNITS, *UNCOUNTED]).replace(r"\ ", r"\.?[\s-]?")  # several words with points or without
_UNIT = rf"(?:{_ABBREVIATED})"
_FIRST_OF_UNITS = "".join(sorted({written[0] for written in (*UNITS, *UNCOUNTED)}))
_PLAIN_UNIT = any_of([u for u in (*UNITS, *UNCOUNTED) if not set(u) & set("/²³°")]).replace(r"\ ", r"\.?[\s-]?")
_SEVERAL = any_of([u for u in (*UNITS, *UNCOUNTED) if " " in u]).replace(r"\ ", r"\.?[\s-]?")
_CURRENCY = any_of(CURRENCIES)
_SCALE = "k|K|M|B|T|bn|mn|tn|mil|bil"
_LETTER_MINUS = (
    r"(?:(?<=(?<![\w'-])[a-z])|(?<=\)))\s[-–]\s(?=\(|(?:\d+[a-z]?|[a-z])(?![\w'.]))"  # "x - y", "(a + b)(a - b)"
    r"|(?<![^\s(\"'—=])-(?=[a-z]\s?[-+=*/^])"  # "-x + 3"
)
_SIDES = r"cm|mm|m|km|in|ft|px"
# Measures that a fraction is a part of: "3/4 cup" is "three quarters of a cup".
_MEASURES = (
    r"cup|teaspoon|tablespoon|inch|mile|hour|pound|ounce|gallon|pint|quart|acre|liter|litre|minute|second|page|year"
)
# Words after a unit that are not the noun that it measures.
_NO_NOUN = (
    r"\s(?:of|in|per|and|or|to|is|was|are|were|for|from|at|by|on|with|that|which|long|wide|high|tall|deep|away)\b"
)


_SCORED = r"(?:won|lost|lose|win|beat|led|leads|lead|drew|tied|[Ss]cored?|defeated)(?:\s\w+){0,2}:?\s$"


def span(m: re.Match[str]) -> str:
    """Read two numbers with a dash between them: a range, a score, or a subtraction."""
    low, high = (float(part.replace(",", "")) for part in (m[1], m[3]))
    shortened_year = len(m[1]) == 4 and len(m[3]) == 2 and int(m[1][2:]) < high
    spaced = m[2] != m[2].strip()
    if re.search(r"[+×÷*/=^-]\s?$", before(m, 3)):  # a term of a calculation
        return f"{m[1]} minus {m[3]}"
    hours = re.search(r"(?:day|[Hh]ours?|[Oo]pen|[Cc]losed)[,:]?\s$", before(m, 12))  # "Monday to Friday, 9 - 5"
    if hours and low <= 12 and high <= 12:
        return f"{m[1]} to {m[3]}"
    if spaced and not re.search(_SCORED, before(m)):
        return f"{m[1]} to {m[3]}" if low < high else f"{m[1]} minus {m[3]}" if "-" in m[2] else f"{m[1]} — {m[3]}"
    if re.search(r"(?:\b[Pp]ages?|\b[Ll]ines?)\s$", before(m, 8)):  # "pages 120–5" omits the digits that stay
        return f"{m[1]} to {m[3]}"
    # A falling pair is a score ("six four"), and so is a pair beside a score or after a word such as "won". The digits
    # stay, for the later rules for years, units and percentages.
    near = re.findall(r"(\d{1,3})[-–](\d{1,3})(?!\d)", before(m, 12) + " " + after(m, 12))
    score = any(int(a) > int(b) for a, b in near) or re.search(_SCORED, before(m))
    return f"{m[1]} to {m[3]}" if shortened_year or (low < high and not score) else f"{m[1]} {m[3]}"


def scaled_range(m: re.Match[str]) -> str:
    """Read "10k–20k" as "ten thousand to twenty thousand"."""
    return " to ".join(f"{number(written)} {SCALES[scale]}" for written, scale in ((m[1], m[2]), (m[3], m[4])))


def unit(m: re.Match[str]) -> str:
    """Read a number and its unit: m[1] the number, m[2] the separator, m[3] the unit, m[4] its power."""
    one, many = _UNIT_WORDS[_compact(m[3])]
    if " " in one and _compact(m[3]) != m[3] and re.search(r"(?:^|\s)(?:[Aa]n?|[Tt]he|[Tt]his)\s$", before(m, 6)):
        # "a 750 sq. ft. flat", but "the 750 sq. ft. of the flat"
        many = one if re.match(r"\s[a-z]", after(m)) and not re.match(_NO_NOUN, after(m)) else many
    if m[4]:
        shape = "square" if m[4] in "²2" else "cubic"
        one, many = f"{shape} {one}", f"{shape} {many}"
    adjective = m[2] == "-"
    return f"{number(m[1])}{'-' if adjective else ' '}{one if adjective or m[1] == '1' else many}"


def compound_unit(m: re.Match[str]) -> str:
    """Read a unit of units, "12 kg/m²": m[1] to m[4] as for `unit`, m[5] the units that divide it."""
    words = unit(m)
    for written in m[5].split("/")[1:]:
        name, power = re.fullmatch(r"\s?(.+?)([23²³]?)\.?", written).groups()  # type: ignore[union-attr]
        one = _UNIT_WORDS[_compact(name)][0] if _compact(name) in _UNIT_WORDS else PER[name]
        shape = "square " if power in tuple("²2") else "cubic " if power else ""
        words += f" per {shape}{one}"
    return words + ("." if m[0].endswith(".") and ends_sentence(after(m)) else "")


def per_square(m: re.Match[str]) -> str:
    """Read "/m²" after a word or a sum of money as "per square meter"."""
    return f" per {'square' if m[2] == '²' else 'cubic'} {_UNIT_WORDS[m[1]][0]}"


def per_unit(m: re.Match[str]) -> str:
    """Read "/hr" and "/sq ft" after a word as "per hour" and "per square foot"."""
    one = PER[m[1]] if m[1] in PER else _UNIT_WORDS[_compact(m[1])][0]
    return f" per {one}" + ("." if m[0].endswith(".") and ends_sentence(after(m)) else "")


def parts_of_unit(m: re.Match[str]) -> str:
    one, many = _UNIT_WORDS[_compact(m[4])]
    words = fraction_words(m[1], m[2], m[3])
    if m[1]:
        return f"{words} {many}"
    return f"{words} {one}" if m[2] == "1" else f"{words} of {'an' if re.match('[aeio]|hour', one) else 'a'} {one}"


@lru_cache(1024)
def fraction_words(whole: str | None, top: str, bottom: str) -> str:
    if int(bottom) not in (*range(2, 17), 20, 32, 64, 100, 1000) or not 0 < int(top) < int(bottom):
        words = f"{cardinal(top)} over {cardinal(bottom)}"
        return f"{cardinal(whole)} {words}" if whole else words
    part = {"2": "half", "4": "quarter"}.get(bottom, ordinal(bottom))
    if int(top) > 1:
        part += "s"
    if whole:
        return f"{cardinal(whole)} and {'a' if int(top) == 1 and bottom in '24' else cardinal(top)} {part}"
    return f"{cardinal(top)} {part}"


def fraction(m: re.Match[str]) -> str:
    if (m[2], m[3]) in (("24", "7"), ("9", "11"), ("50", "50"), ("20", "20")):
        return (f"{cardinal(m[1])} " if m[1] else "") + f"{cardinal(m[2])} {cardinal(m[3])}"
    words = fraction_words(m[1], m[2], m[3])
    measure = re.match(rf"\s({_MEASURES})\b", after(m))
    if not measure or m[1] or int(m[2]) < 2 or " over " in words:
        return words
    if re.search(r"(?:^|\s)[Aa]n?\s$", before(m, 4)):  # "a 3/4 inch pipe"
        return words.removesuffix("s")
    return f"{words} of {'an' if re.match('[aeio]|hour', measure[1]) else 'a'}"


def inches(m: re.Match[str]) -> str:
    # After an odd number of quotation marks this one closes a quotation.
    if before(m, 400).count('"') % 2:
        return m[0]
    return padded(m, f"{number(m[1])} {'inch' if m[1] == '1' or re.match(r' [a-z]', after(m)) else 'inches'}")


def dimensions(m: re.Match[str]) -> str:
    """Read sizes in inches: '9"x13"' is "nine by thirteen inches"."""
    if '"' not in m[0]:
        return m[0]
    words = " by ".join(number(written) for written in re.findall(r"\d+(?:\.\d+)?", m[0]))
    return padded(m, f"{words} {'inch' if re.match(r' [a-z]', after(m)) else 'inches'}")


def sides_in_feet(m: re.Match[str]) -> str:
    """Read sizes in feet: "5' x 7'" is "five by seven feet"."""
    words = " by ".join(cardinal(written) for written in re.findall(r"\d+", m[0]))
    return f"{words} {'foot' if re.match(r' [a-z]', after(m)) else 'feet'}"


def pointed(m: re.Match[str]) -> str:
    """Write "30 m.p.h." without its points, as the later rules know it."""
    return f" {POINTED[m[1].lower()]}" + ("." if m[0].endswith(".") and ends_sentence(after(m)) else "")


def lone_feet(m: re.Match[str]) -> str:
    """Read "6' fence" as "six foot fence" and "6' tall" as "six feet tall"."""
    # After an odd number of single quotation marks this one closes a quotation.
    if len(re.findall(r"(?<!\w)'", before(m, 400))) % 2:
        return m[0]
    if "°" in before(m, 8):  # minutes of arc
        return f"{number(m[1])} minutes"
    measured = re.match(r"\s(?:tall|long|wide|high|deep|away|above|below|from|of)\b|[.,;)]|$", after(m))
    return f"{number(m[1])} {'foot' if m[1] == '1' or not measured else 'feet'}"


def feet(m: re.Match[str]) -> str:
    if not m[3] and (int(m[2]) > 11 or " " in m[0]):
        return m[0]
    if m[3] and int(m[2]) > 11:  # 3'45" is a time
        return f"{counted(m[1], 'minute', 'minutes')} {counted(m[2], 'second', 'seconds')}"
    return f"{cardinal(m[1])} foot {cardinal(m[2])}"


def scale(m: re.Match[str]) -> str:
    """Read "10k" as "ten thousand" and "300 K" as "three hundred kelvin"."""
    counts = re.match(r"\s(?:[a-z]{2,}s|people|men|women|children)\b", after(m))
    if m[0].endswith(" K") and (not counts or counts[0].strip() in NO_PLURALS):
        return f"{number(m[1])} kelvin"
    exact = "." not in m[1] and m[2] in "KkMBT"
    # "4K" is a resolution and "5k" a race. "5M" is five million only before a plural.
    if exact and (len(m[1]) < 2 if m[2] in "Kk" else not re.match(r"\s[a-z]{2,}s\b|\speople", after(m))):
        return m[0]
    return padded(m, f"{number(m[1])} {SCALES[m[2]]}")


def arc(m: re.Match[str]) -> str:
    """Read degrees, minutes and seconds of arc: "40°26'46\"N"."""
    words = f"{counted(m[1], 'degree', 'degrees')} {counted(m[2], 'minute', 'minutes')}"
    words += f" {counted(m[3], 'second', 'seconds')}" if m[3] else ""
    return padded(m, f"{words} {COMPASS[m[4]]}" if m[4] else words)


def times(m: re.Match[str]) -> str:
    """Read "2x" as "two times", and as a term of a calculation as "two x"."""
    term = re.search(r"(?:\b(?:plus|minus|times|equals)|[-=+×*/(^])\s?$", before(m, 8))
    term = term or re.match(r"\s?[+=^]|\s(?:plus|minus|equals|squared|cubed)\b|\s-\s", after(m, 10))
    return f"{number(m[1])} x" if term else f"{number(m[1])} times"


def side(written: str) -> str:
    return pairs(written) if len(written) == 4 and written.isdigit() else number(written)


# A minus sign proper, before typography makes it a hyphen.
MINUS: tuple[Rule, ...] = (
    rule(
        "minus",
        r"(?<=[\d)])\s?−\s?(?=[\w(])|(?<=\b[A-Za-z²³])\s?−\s?(?=[\d(]|[A-Za-z]\b)|(?<=[²³])\s?−\s?(?=\w)",
        " minus ",
        "−",
    ),
    # "E = mc²", "y=mx+b": letters that are multiplied
    rule(
        "formula",
        r"(?:(?<=(?<!\w)[A-Za-z]=)|(?<=(?<!\w)[A-Za-z]\s=\s))(?:[b-df-hj-np-tv-xz]{2,3}|ma)(?=[²³^+*/\s.,;]|$)",
        lambda m: " ".join(m[0]),
        "=",
    ),
    numeric("range", r"(?<=\d)—(?=[$£€¥₹]?\d)", "–", "—"),
)

POWERS: tuple[Rule, ...] = (
    rule("unit", rf"(?<![\w.])({DECIMAL})([\s-]?)(m/s²|kg/m³|g/cm³)()(?!\w)", unit, "²³"),
    rule(
        "unit",
        rf"(?<![\w.])({DECIMAL})([\s-]?)({_PLAIN_UNIT})()(/(?:{_PLAIN_UNIT})[²³])(?!\w)",
        compound_unit,
        "²³",
    ),
    rule("unit power", rf"(?<![\w.])({DECIMAL})([\s-]?)({_PLAIN_UNIT})([²³])(?![\w/])", unit, "²³"),
    rule("per", r"(?<=[\w$£€¥])/(m|km|cm|mm|ft|mi)([²³])(?!\w)", per_square, "²³"),
)

LENGTHS: tuple[Rule, ...] = (
    numeric(
        "unit",
        r"(?<=\d\s)(lbs?|oz|ft|yd|st|hrs?|min|sec|in|gal|qt)\."
        r"(?=\s\d{1,3}(?:\.\d+)?\s?(?:oz|in|ft|min|sec|lb|cm|mm|qt|pt)(?!\w))",
        r"\1",
        ".",
    ),
    numeric("unit", rf"(?<=\d)\s?((?i:{any_of(POINTED)}))(?:\.|(?!\w))", pointed, "."),
    numeric("range", r"(?<![\w.,–-])(\d{1,3}(?:\.\d+)?)\s?[-–]\s?(?=\d{1,3}(?:\.\d+)?\")", r"\1 to ", '"'),
    numeric("range", r"(?<![\w.'\"])(\d{1,3})'\s?[-–]\s?(?=\d{1,3}'(?![\w']))", r"\1 to ", "'"),
    numeric(
        "degrees",
        r"(?<![\w.])(\d{1,3})°\s?(\d{1,2})'\s?(?:(\d{1,2}(?:\.\d+)?)(?:\"|'')\s?)?([NSEW](?!\w))?",
        arc,
        "°",
    ),
    numeric("feet", r"(?<![\w.'\"])\d{1,4}'(?:\s?[x×]\s?\d{1,4}'){1,2}(?![\w'\"])", sides_in_feet, "'"),
    numeric(
        "by",
        rf"(?<![\w.])({DECIMAL})\s?×\s?(?=(?:{DECIMAL}\s?×\s?){{0,2}}{DECIMAL}\s?(?:{_SIDES})(?!\w))",
        r"\1 by ",
        "×",
    ),
    numeric(
        "by",
        rf"(?<![\w.])({DECIMAL}\s?(?:{_UNIT}))\s[x×]\s(?={DECIMAL}\s?(?:{_UNIT})(?!\w))",
        r"\1 by ",
        "x×",
    ),
    numeric("feet", r"(?<!\w)(\d{1,2})'\s?(\d{1,2})(\"|''|)(?![\w'\"])", feet, "'"),
    numeric(
        "feet",
        r"(?<![\w.])(\d+)\s?ft\.?\s(\d+)\s?in(?:\.(?=\s[a-z])|(?!\w|\.\w))",
        lambda m: f"{counted(m[1], 'foot', 'feet')} {counted(m[2], 'inch', 'inches')}",
        "f",
    ),
    numeric(
        "inches",
        r"(?<![\w/])(?:(\d+)\s)?(\d{1,3})/(\d{1,3})\"(?!\w)",
        lambda m: padded(m, f"{fraction_words(m[1], m[2], m[3])} inch"),
        '"',
    ),
    numeric("inches", r"(?<![\w.])\d+(?:\.\d+)?\"?(?:\s?[x×]\s?\d+(?:\.\d+)?\"?){1,2}(?!\w)", dimensions, '"'),
    numeric("inches", r"(?<![\w\"/])(\d+(?:\.\d+)?)\"(?!\w)", inches, '"'),
    numeric("feet", r"(?<![\w.'\"])(\d{1,3})'(?=\s[a-z]|[.,;)]|$)", lone_feet, "'"),
)

RANGES: tuple[Rule, ...] = (
    numeric("range", r"(?<![\w/.-])(\d{1,3}/\d{1,3})\s?[-–]\s?(?=\d{1,3}/\d{1,3}(?![\w/]))", r"\1 to ", "-–"),
    numeric("range", r"(?<![\w.])(\d+(?:\.\d+)?x)\s?[-–]\s?(?=\d+(?:\.\d+)?x(?!\w))", r"\1 to ", "x"),
    rule("minus", _LETTER_MINUS, lambda m: padded(m, "minus") if m[0][0] == "-" else " minus ", "-–"),
    numeric("factorial", r"(?<=\d)!(?=\s?[=+*/×÷-])|(?<=(?<!\w)[a-z])!(?=\s?[=+*/×÷])", " factorial", "!"),
    numeric("range", r"(\d(?:st|nd|rd|th))\s?[-–]\s?(?=\d{1,4}(?:st|nd|rd|th)(?!\w))", r"\1 to ", "-–"),
    numeric("ordinal", r"(?<=\d[snrt][tdh])/(?=\d{1,4}(?:st|nd|rd|th)(?!\w))", " slash ", "/"),
    numeric("minus", r"(?:(?<=[\d)])|(?<=\b[A-Za-z]))\s?[-–]\s?(?=\d{1,15}(?:\.\d{1,15})?\s?=)", " minus ", "="),
    numeric(
        "range",
        rf"(?<![\w.,–$£€-])({DECIMAL}\s?(?:{_UNIT}|%))(?:\s?[-–]\s?|\s—\s)(?={DECIMAL}\s?(?:{_UNIT}|%)(?!\w))",
        r"\1 to ",
        "-–—",
    ),
    numeric(
        "range",
        rf"(?<![\w.,–$£€-])({DECIMAL})\s?({_SCALE})(?:\s?[-–]\s?|\s—\s)({DECIMAL})\s?({_SCALE})(?!\w)",
        scaled_range,
        "-–—",
    ),
    numeric(
        "range",
        rf"(?<![\w.,–$£€-])({DECIMAL})(\s?[-–](?=\d)|\s[-–]\s)({DECIMAL})(?![\w–-]*[\w–-]\d)(?!\s?=)",
        span,
        "-–",
    ),
    numeric("minus", r"([$£€¥₹])-(?=\d)", r"-\1", "-"),
    numeric(
        "minus",
        rf"(?<=\d)\s-\s(?=\d)|(?<![^\s(\"'—])-(?=(?:{_CURRENCY})?\.?\d)",
        lambda m: padded(m, "minus ").rstrip() + " ",
        "-",
    ),
)

RATINGS: tuple[Rule, ...] = (
    numeric("percent", rf"(?<![\w.])({DECIMAL})\s?%", lambda m: padded(m, f"{number(m[1])} percent"), "%"),
    numeric(
        "rating",
        r"(?<![\w/.])(\d+\.\d+)/(5|10|100)(?![\w/])",
        lambda m: f"{number(m[1])} out of {cardinal(m[2])}",
        "/",
    ),
    numeric(
        "rating",
        r"((?:[Rr]ated|[Ss]cored?|[Rr]ating|[Gg]ave|got)(?:\s[a-z]+){0,3}\s)(\d+)/(5|10|100)(?![\w/])",
        lambda m: f"{m[1]}{cardinal(m[2])} out of {cardinal(m[3])}",
        "/",
    ),
)

RULES: tuple[Rule, ...] = (
    numeric(
        "unit",
        r"(?<![\w./])(\d{2,3})/(\d{2,3})\s?mm\s?Hg(?!\w)",
        lambda m: f"{cardinal(m[1])} over {cardinal(m[2])} millimeters of mercury",
        "H",
    ),
    numeric("power", r"(?<=\d)\s?[x×*]\s?(?=10(?:\^| to the power))", " times ", "x×*"),
    numeric(
        "power",
        r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?)(\d{1,3})(?!\w)",
        lambda m: f"{number(m[1])} times ten to the power of {'minus ' if m[2] == '-' else ''}{cardinal(m[3])}",
        "eE",
    ),
    numeric(
        "fraction",
        rf"(?<![\w/.])(?:(\d{{1,9}})\s)?(\d{{1,3}})/(\d{{1,3}})\s?({_PLAIN_UNIT})(?![\w'/°])"
        r"(?:\.(?=\s[a-z&]|[,;:)]))?",
        parts_of_unit,
        "/",
    ),
    numeric(
        "by",
        r"(?<![\w.])(\d+(?:\.\d+)?)(?:\s?x\s?|×)(?=(\d+(?:\.\d+)?))",
        lambda m: m[0] if m[1] == "0" else f"{side(m[1])} by ",
        "x×",
    ),
    numeric("times", r"(?<![\w.])(\d+(?:\.\d+)?)x(?!\w)", times, "x"),
    numeric(
        "unit",
        rf"(?<![\w./])({DECIMAL})([\s-]?)({_PLAIN_UNIT})([23]?)\.?"
        rf"((?:/\s?(?:{_PLAIN_UNIT}|{any_of(PER)})[23]?){{1,2}})(?![\w'°/])(?:\.(?=\s[a-z&]|[,;:)]|$))?",
        compound_unit,
        "/",
    ),
    numeric("area", r"(?<![\w.])(" + DECIMAL + r")([\s-]?)(m|cm|mm|km|ft)([23])(?!\w)", unit, "mf"),
    numeric(
        "compass",
        rf"(?<![\w.])({DECIMAL})\s?°\s?([NSEW])(?!\w)",
        lambda m: f"{number(m[1])} degrees {COMPASS[m[2]]}",
        "°",
    ),
    numeric(
        "unit",
        rf"(?<![\w./])({DECIMAL})([\s-]?)({_UNIT})()(?![\w'°]|/(?!(?:{any_of(PER)})(?!\w)))"
        r"(?:\.(?=\s[a-z&]|[,;:)]))?",
        unit,
        _FIRST_OF_UNITS,
    ),
    numeric("scale", rf"(?<![\w.])(?<!\w-)({DECIMAL})\s?({_SCALE})(?!\w)", scale, "kKMBTbmt"),
    numeric(
        "fraction",
        r"(?<![\w/.])(?:(\d{1,9})\s)?(\d{1,3})/(\d{1,3})(?i:st|nd|rd|ths?|rds)?(?![\w/]|\.\d)",
        fraction,
        "/",
    ),
    numeric("ordinal", rf"(?<![\w.])({INTEGER})(?:st|nd|rd|th|ST|ND|RD|TH|º|ª)(?!\w)", lambda m: ordinal(m[1])),
)

PER_UNIT: tuple[Rule, ...] = (
    rule(
        "unit",
        rf"(?<!\w)((?:hundred|thousand|million|billion|trillion)\s)(?=\w\w|°)({_UNIT})(?![\w'°/])",
        lambda m: m[1] + _UNIT_WORDS[_compact(m[2])][1],
    ),
    numeric("ratio", r"(?<=\d):(?=\d)", " to ", ":"),
    rule("unit", rf"(?<![\w/])(?:{any_of(UNIT_WORDS)})(?![\w/])", lambda m: padded(m, UNIT_WORDS[m[0]]), "/°km"),
    numeric("per", r"(?<![\w/.,-])(\d+)/(kg|lb|hr|min)(?![\w/])", lambda m: f"{cardinal(m[1])} per {PER[m[2]]}", "/"),
    rule("per", rf"(?<=[a-z])\s?/({any_of(PER)}|{_SEVERAL})(?![\w/])(?:\.(?=\s[a-z&]|[,;:)]|$))?", per_unit, "/"),
)
