"""How each kind of thing that English writes in signs and figures is read: from a match of a rule to its words.

The functions that the table of `text_rules` names, in the same order. What they know stands in `text_tables`.
"""

from __future__ import annotations

import re
import unicodedata

from vivavoce.text_characters import SYMBOLS, after, any_of, before, padded
from vivavoce.text_numbers import cardinal, digits, number, ordinal, pairs, roman, short_year, year
from vivavoce.text_tables import (
    ACRONYMS,
    ALWAYS_DOTTED,
    AS_WRITTEN,
    COUNTED,
    CURRENCIES,
    DAY_OF,
    INITIALISMS,
    IT_NOUNS,
    LATIN,
    MONTH_OF,
    MONTHS,
    NO_PLURALS,
    NUMBERED,
    REGNAL,
    REIGNING,
    SCALES,
    SHORT_WORDS,
    SHORTENED,
    SPELLED_LABELS,
    STARTERS,
    STATES,
    STATES_LIKE_WORDS,
    STREETS,
    SUFFIXES,
    TIME_ZONES,
    TITLES,
    UNCOUNTED,
    UNITS,
    VERSIONED,
    WORDS_TOO,
    YEAR_CUES,
)

MONTH = any_of(MONTH_OF)

# ----------------------------------------------------------------------------------------------------------- sentences


def starts_sentence(following: str) -> bool:
    word = re.match(r"[\s\"'(]*([\w]+)", following)
    return word is not None and word[1] in STARTERS


def _ends_here(following: str) -> bool:
    """Whether the point of an abbreviation also closes a sentence, so that it must stay."""
    return not following.strip("\"')— ") or bool(re.match(r"[\"')]*\s", following) and starts_sentence(following))


def _after_name(m: re.Match[str]) -> bool:
    return bool(re.search(r"(?:[A-Z][\w']*|\d[a-z]+)\s$", before(m)))


def _last_word(m: re.Match[str]) -> str:
    """The word before a match, in small letters; "" where there is none."""
    word = re.search(r"([A-Za-z]+),?\s\(?$", before(m))
    return word[1].lower() if word else ""


# ----------------------------------------------------------------------------------------------- addresses and symbols


def superscript(m: re.Match[str]) -> str:
    power = unicodedata.normalize("NFKC", m[0]).replace("−", "-").replace("-", "minus ")
    return padded(m, {"2": "squared", "3": "cubed"}.get(power, f"to the power of {power}"))


SIGNS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "#": "hash", "~": "tilde"}
SIGNS |= {":": "colon", "@": "at", "=": "equals", "&": "and", "%": "percent", "+": "plus", "$": "dollar"}
SIGNS |= {"!": "exclamation mark"}


def _label(m: re.Match[str]) -> str:
    """A part of an address: one without a vowel is spelled, as are a few others."""
    spell = m[0] in SPELLED_LABELS or not re.search(r"[aeiouyAEIOUY]", m[0])
    return " ".join(m[0]) if spell and len(m[0]) < 7 else m[0]


def address(m: re.Match[str]) -> str:
    spoken = re.sub(r"^(?:https?|ftp)://|^mailto:", "", m[0], flags=re.IGNORECASE)
    bare = spoken.rstrip(".,;:!?)'\"/")
    if not any(map(str.isalnum, bare)):
        return m[0]
    words = re.sub(r"(?<![^\W_])[A-Za-z]+(?![^\W_])", _label, bare)
    words = re.sub(r"[./\-_?#~:@=&%+$!]", lambda s: f" {SIGNS[s[0]]} ", words)
    return " ".join(words.split()) + spoken[len(bare) :].replace("/", "")


def hashtag(m: re.Match[str]) -> str:
    return "hashtag " + re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", m[1])


def symbol(m: re.Match[str]) -> str:
    return padded(m, SYMBOLS[m[0]])


def operator(m: re.Match[str]) -> str:
    said = {"<=": "at most", ">=": "at least", "!=": "does not equal", "==": "equals", "->": "to", "=>": "to"}
    return padded(m, (said | {"+/-": "plus or minus", "<": "less than", ">": "greater than"})[m[0].strip()])


# ------------------------------------------------------------------------------------------------------- abbreviations


def title(m: re.Match[str]) -> str:
    name, following = m[1], after(m)
    dotted = m[0].endswith(".")
    if name in STREETS and _after_name(m) and (starts_sentence(following) or not re.match(r"\s[A-Z]", following)):
        return STREETS[name] + ("." if dotted and _ends_here(following) else "")
    if not re.match(r"\s[^\W\d_]", following) or (name in ALWAYS_DOTTED and not dotted):
        return m[0]
    return TITLES[name]


def suffix(m: re.Match[str]) -> str:
    if m[1] in STREETS and not _after_name(m):
        return m[0]
    if m[1] in WORDS_TOO and not re.match(r"\s[a-z\d]", after(m)):
        return m[0]
    return (STREETS | SUFFIXES)[m[1]] + ("." if _ends_here(after(m)) else "")


def shortened(m: re.Match[str]) -> str:
    if m[0] == "vs" and after(m, 1) == ".":
        return m[0]
    gap = " " if m[0].endswith("/") and after(m, 1).isalnum() else ""
    return SHORTENED[m[0]] + gap + ("." if m[0].endswith(".") and _ends_here(after(m)) else "")


def latin(m: re.Match[str]) -> str:
    return LATIN[m[1].lower().replace(" ", "")] + ("" if re.match(r"[,:;.)]|$", after(m)) else ",")


def state(m: re.Match[str]) -> str:
    if m[1] in STATES_LIKE_WORDS and not m[2]:
        return m[0]
    code = ", ".join(digits(part) for part in (m[2], m[3]) if part)
    return f", {STATES[m[1]]}" + (f" {code}" if code else "")


# ----------------------------------------------------------------------------------------------------- dates and times


def date(y: str, month: int, day: int, written: str) -> str:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return written
    spoken = year(y) if len(y) == 4 and y[0] in "12" else digits(y) if len(y) == 4 else short_year(y)
    return f"{MONTHS[month - 1]} {ordinal(str(day))}, {spoken}"


def slash_date(m: re.Match[str]) -> str:
    first, second = int(m[1]), int(m[2])
    # Americans write the month first; where that is impossible the day came first.
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
    return DAY_OF[m[1]] + ("." if m[0][-1] == "." and _ends_here(after(m)) else "")


def telephone(m: re.Match[str]) -> str:
    return ("plus " if m[0][0] == "+" else "") + ", ".join(digits(group) for group in re.findall(r"\d+", m[0]))


def clock(m: re.Match[str]) -> str:
    hour, minute, second, half = m[1], m[2], m[3], m[4]
    if int(hour) > 24 or (half and int(hour) > 12) or not (minute or half):
        return m[0]
    words = cardinal(str(int(hour)))
    if minute and int(minute):
        words += f" {'oh ' if minute[0] == '0' else ''}{cardinal(str(int(minute)))}"
    elif minute and not half and not second:
        words = "midnight" if int(hour) in (0, 24) else f"{words} o'clock" if int(hour) <= 12 else f"{words} hundred"
    if second:
        words += f" and {counted(str(int(second)), 'second', 'seconds')}"
    return words + (f" {half.lower()}.m." if half else "")


def military(m: re.Match[str]) -> str:
    hour = f"oh {cardinal(m[1][1])}" if m[1][0] == "0" and m[1] != "00" else cardinal(str(int(m[1])))
    return f"{hour} {'hundred' if m[2] == '00' else short_year(m[2])} "


def duration(m: re.Match[str]) -> str:
    parts = ((m[1], "hour"), (m[2], "minute"), (m[3], "second"))
    return " ".join(counted(count, one, f"{one}s") for count, one in parts if count)


# -------------------------------------------------------------------------------------------------------------- amounts


def counted(written: str, one: str, many: str) -> str:
    return f"{number(written)} {one if written == '1' else many}"


def amount(written: str, scale: str | None, currency: tuple[str, str, str, str], adjective: bool = False) -> str:
    """A sum of money. adjective: as in "a twenty dollar bill"."""
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
    # "a $20 bill" is a twenty dollar bill
    article, noun = re.search(r"(?:^|\s)[Aa]n?\s$", before(m)), re.match(r"\s[a-z]", after(m))
    adjective = article is not None and noun is not None and "." not in m[2]
    return padded(m, amount(m[2], m[3], CURRENCIES[m[1]], adjective))


def span(m: re.Match[str]) -> str:
    low, high = (float(part.replace(",", "")) for part in (m[1], m[2]))
    shortened_year = len(m[1]) == 4 and len(m[2]) == 2 and int(m[1][2:]) < high
    # A falling pair is a score, "six four", and so is one beside it or after a word of winning. The digits stay for the
    # rules of years, units and percentages.
    near = re.findall(r"(\d{1,3})[-–](\d{1,3})(?!\d)", before(m, 12) + " " + after(m, 12))
    score = any(int(a) > int(b) for a, b in near) or re.search(
        r"(?:won|lost|lose|win|beat|led|leads|lead|drew|tied|scored?|defeated)(?:\s\w+){0,2}\s$", before(m)
    )
    return f"{m[1]} to {m[2]}" if shortened_year or (low < high and not score) else f"{m[1]} {m[2]}"


def _unit_words(unit: str) -> tuple[str, str]:
    if unit in UNCOUNTED:
        return UNCOUNTED[unit]
    one = UNITS[unit]
    head, per, tail = one.partition(" per ")
    return one, "degrees" + one[6:] if one.startswith("degree") else f"{head}s{per}{tail}"


def unit(m: re.Match[str]) -> str:
    one, many = _unit_words(m[3])
    if m[4]:
        shape = "square" if m[4] in "²2" else "cubic"
        one, many = f"{shape} {one}", f"{shape} {many}"
    adjective = m[2] == "-"
    return f"{number(m[1])}{'-' if adjective else ' '}{one if adjective or m[1] == '1' else many}"


def parts_of_unit(m: re.Match[str]) -> str:
    one, many = _unit_words(m[4])
    words = fraction_words(m[1], m[2], m[3])
    if m[1]:
        return f"{words} {many}"
    return f"{words} {one}" if m[2] == "1" else f"{words} of {'an' if re.match('[aeio]|hour', one) else 'a'} {one}"


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
    return fraction_words(m[1], m[2], m[3])


def plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + "es" if words.endswith("x") else words + "s"


def decade(m: re.Match[str]) -> str:
    return (m[1] if m[1] and m[1] != "'" else "") + plural(year(m[2]) if len(m[2]) == 4 else cardinal(m[2]))


def calendar_year(m: re.Match[str]) -> str:
    following = re.match(r"\s([a-z]+)", after(m))
    noun = following[1] if following else ""
    is_count = noun in COUNTED or (len(noun) > 2 and noun.endswith("s") and noun not in NO_PLURALS)
    return m[0] if is_count or not (_last_word(m) in YEAR_CUES or m[0] >= "1600") else year(m[0])


def era(m: re.Match[str]) -> str:
    letters = " ".join(m[2].replace(".", ""))
    return f"{pairs(m[1])} {letters}" + ("." if m[2].endswith(".") and _ends_here(after(m)) else "")


def inches(m: re.Match[str]) -> str:
    # An even number of quotation marks before it: this one opens or closes nothing.
    if before(m, 400).count('"') % 2:
        return m[0]
    return padded(m, f"{number(m[1])} {'inch' if m[1] == '1' or re.match(r' [a-z]', after(m)) else 'inches'}")


def feet(m: re.Match[str]) -> str:
    if m[3] and int(m[2]) > 11:  # 3'45" is a time
        return f"{counted(m[1], 'minute', 'minutes')} {counted(m[2], 'second', 'seconds')}"
    return f"{cardinal(m[1])} foot {cardinal(m[2])}"


# ------------------------------------------------------------------------------------------------------ names and codes


def numbered(m: re.Match[str]) -> str:
    value = roman(m[2].upper())
    # One letter more often names a thing than counts it ("Type C"), and "I" speaks ("in this section I show").
    letter = m[2] in ("C", "L") or (m[2].islower() and len(m[2]) == 1 and m[2] not in "vx")
    letter = letter or (len(m[2]) == 1 and re.match(r"\s[A-Z]\b", after(m)) is not None)
    pronoun = value == 1 and re.match(r"\s[a-z]|'", after(m))
    if (
        not value
        or letter
        or pronoun
        or m[1].lower() not in NUMBERED
        or (m[2] != m[2].upper() and m[2] != m[2].lower())
    ):
        return m[0]
    if m[1] == "War":
        return f"War {cardinal(str(value)).title()}"
    return f"{m[1]} {cardinal(str(value))}"


def regnal(m: re.Match[str]) -> str:
    value, following = roman(m[3]), after(m)
    if not value or not (m[1] or m[2] in REGNAL) or (len(m[3]) == 1 and following[:1] == "."):
        return m[0]
    if value == 1 and not m[1]:
        # "I" after a bare name is far more often the pronoun.
        opens = re.search(r"(?:^|[.!?;:,]\s)[\"'(]*$", before(m))
        acts = re.match(r"\s([a-z]+)", following)
        if not (re.match(r"'s|\sof\s[A-Z]|\s\(\d", following) or (opens and acts and acts[1] in REIGNING)):
            return m[0]
    return f"{m[1] or ''}{m[2]} the {ordinal(str(value)).title()}"


def sequel(m: re.Match[str]) -> str:
    value = roman(m[2])
    if not value:
        return m[0]
    named = re.search(r"([A-Z][a-z]+)\s$", before(m))
    if named and named[1] in REGNAL:  # William Gates III
        return f"{m[1]} the {ordinal(str(value)).title()}"
    return f"{m[1]} {cardinal(str(value)).title()}"


def _letters(run: str) -> str:
    """Letters beside digits: "BA" → "B A", "mp" → "m p", "Covid" stays a word."""
    spell = (run.isupper() and len(run) <= 4) or not re.search(r"[aeiouyAEIOUY]", run)
    return " ".join(run) if spell else run


def code(m: re.Match[str]) -> str:
    """Runs of letters, runs of digits and signs: "BA117" → "B A one seventeen"."""
    runs = re.findall(r"[0-9]+|[A-Za-z]+|.", m[0])
    return " ".join(pairs(r) if r[0] in "0123456789" else SIGNS[r] if r in SIGNS else _letters(r) for r in runs)


def key(m: re.Match[str]) -> str:
    return ", ".join(" ".join(digits(c) if c.isdigit() else c for c in part) for part in m[0].split("-"))


def formula(m: re.Match[str]) -> str:
    return " ".join(cardinal(part) if part.isdigit() else part for part in re.findall(r"\d+|\D", m[0]))


def scale(m: re.Match[str]) -> str:
    exact = "." not in m[1] and m[2] in "KkMBT"
    # "4K" is a screen and "5k" a run; whole millions are people where a plural follows.
    if exact and (len(m[1]) < 2 if m[2] in "Kk" else not re.match(r"\s[a-z]{2,}s\b|\speople", after(m))):
        return m[0]
    return padded(m, f"{number(m[1])} {SCALES[m[2]]}")


def side(written: str) -> str:
    return pairs(written) if len(written) == 4 and written.isdigit() else number(written)


def version(m: re.Match[str]) -> str:
    words = " point ".join(map(cardinal, m[2].split(".")))
    return f"version {words}" if m[1] else words


def named_version(m: re.Match[str]) -> str:
    return f"{m[1]} {cardinal(m[2])} point {cardinal(m[3])}" if m[1].lower() in VERSIONED else m[0]


def internet(m: re.Match[str]) -> str:
    parts = m[0].split(".")
    if max(map(int, parts)) > 255 or int(parts[0]) < 10:
        return m[0]
    return " dot ".join(map(digits, parts))


def _shouted(m: re.Match[str]) -> bool:
    """Whether a word beside it is in capitals for stress: then this one is, too."""
    beside = (*re.findall(r"\b([A-Z]{2,})\W+$", before(m)), *re.findall(r"^\W+([A-Z]{2,})\b", after(m)))
    return any(w in SHORT_WORDS or (len(w) > 3 and w not in INITIALISMS and re.search("[AEIOUY]", w)) for w in beside)


def initialism(m: re.Match[str]) -> str:
    letters = m[1]
    if letters in AS_WRITTEN or letters in ACRONYMS:
        return m[0]
    if letters == "IT" and re.match(rf"\s(?:{any_of(IT_NOUNS)})\b", after(m)):
        return "I T"
    sayable = re.search("[AEIOUY]", letters) and letters not in INITIALISMS | TIME_ZONES
    if sayable and (len(letters) > 3 or letters in SHORT_WORDS or _shouted(m)):
        return m[0]
    return " ".join(letters) + ("'s" if m[2] else "")
