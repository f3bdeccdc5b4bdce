"""Normalise Spanish, French, Italian and Portuguese: one table of rules, with the words of each from romance_tables.

The set is smaller than the English one: numbers with what surrounds them (money, units, dates, times, ordinals),
titles, addresses and symbols. unicode-rbnf spells the numbers by the rules that Unicode's CLDR has for each language.

The file is long because the rules share one table. Each relies on what those before it leave, so their order is easiest
to follow in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from typing import Any

from vivavoce.text.characters import (
    DIGITS,
    PUNCTUATION,
    Rule,
    after,
    any_of,
    before,
    first_rules,
    last_rules,
    numeric,
    padded,
    rule,
)
from vivavoce.text.english_numbers import LONGEST, roman
from vivavoce.text.romance_tables import LANGUAGES, Forms, Language

_INTEGER = r"(?:\d{1,3}(?:\.\d{3})+(?![\d])|\d+)"
_DECIMAL = _INTEGER + r"(?:,\d+)?"


# ------------------------------------------------------------------------------------------------------------- numbers


@cache
def _engine(code: str) -> Any:
    from unicode_rbnf import RbnfEngine  # imported late: it reads the language's rules from a file

    return RbnfEngine.for_language(code)


@lru_cache(4096)
def _spelled(code: str, plain: str, form: str) -> str:
    """Return an integer in words. form: numbering, or cardinal or ordinal and a gender, as in "cardinal-feminine"."""
    name = f"spellout-{form}"
    text = _engine(code).format_number(plain, ruleset_names=[name]).text_by_ruleset[name]
    return str(text).replace("\u00ad", "")


def integer(code: str, written: str, form: str = "numbering") -> str:
    """Return an integer in words. With leading zeros or more than `LONGEST` digits it is read digit by digit."""
    plain = written.replace(".", "")
    if len(plain) > LONGEST or (plain[0] == "0" and len(plain) > 1):
        return " ".join(_spelled(code, digit, "numbering") for digit in plain)
    return _spelled(code, plain, form)


def decimals(code: str, written: str) -> str:
    """Return the decimals in words: up to two digits are read as a number, more one by one."""
    zeros = len(written) - len(written.lstrip("0"))
    rest = written[zeros:]
    words = [integer(code, "0")] * zeros
    words += [integer(code, rest)] if 0 < len(rest) <= 2 else [integer(code, digit) for digit in rest]
    return " ".join(words)


_NOUN = re.compile(r"\s([^\W\d_]+)(?![^\W\d_]|['’])")  # none is "all'" or "d'"
_LONG_UNIT = {"m2": "m²", "m3": "m³", "cm2": "cm²", "cm3": "cm³", "km2": "km²", "mq": "m²", "mc": "m³", "kmq": "km²"}


def _compact(written: str) -> str:
    return written.replace(" ", "")


def _spaced(known: Iterable[str]) -> str:
    """Return a pattern of abbreviations; those of several words may lack their spaces."""
    return any_of(known).replace(r"\ ", r"\s?")


class _Speaker:
    """The readings of one language, each a function of a match."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.code = language.code
        self._noun_form = lru_cache(4096)(self._form_before)
        self._titles = {_compact(written): spoken for written, spoken in language.titles.items()}

    def number(self, written: str, form: str = "numbering") -> str:
        whole, _, part = written.partition(",")
        if not part:
            return integer(self.code, whole, form)
        return f"{integer(self.code, whole)} {self.language.point} {decimals(self.code, part)}"

    def counted(self, written: str, forms: Forms) -> str:
        one, many, gender = forms
        words = self.number(written, "cardinal-feminine" if gender == "f" else "cardinal-masculine")
        singular = written == "1" or (self.code in ("fr", "pt") and written.partition(",")[0] in ("0", "1"))
        round_million = self.code in ("es", "fr", "it", "pt") and re.fullmatch(r"\d+0{6}", written.replace(".", ""))
        noun = one if singular else many
        if self.code == "it" and words == "una" and noun[0] in "aeiou":
            return f"un'{noun}"
        return f"{words} {self._of(noun) if round_million else noun}"

    def bare(self, m: re.Match[str]) -> str:
        """Read a number in the gender of the noun after it, if one follows."""
        noun = _NOUN.match(after(m))
        form = self._noun_form(noun[1]) if noun else "numbering"
        if self.code == "it" and m[0] == "1" and noun and re.match(r"s[bcdfglmnpqrtv]|z|ps|gn|pn|x|y", noun[1]):
            form = "cardinal-feminine" if form == "cardinal-feminine" else "numbering"  # "uno zaino"
        return padded(m, self.number(m[0], form))

    def _form_before(self, noun: str) -> str:
        """Return the form of a number before a word, which may be a noun."""
        if re.fullmatch(self.language.no_noun, noun, re.IGNORECASE):
            return "numbering"
        return "cardinal-feminine" if self._is_feminine(noun) else "cardinal-masculine"

    def elided(self, m: re.Match[str]) -> str:
        """Read "1 ora" as "un'ora"."""
        noun = re.match(r"[^\W\d_]+", after(m))
        return "un'" if noun and re.search(self.language.feminine, noun[0]) else m[0]

    def ordinal(self, m: re.Match[str]) -> str:
        feminine = re.fullmatch(self.language.ordinals[1], m[2])
        words = integer(self.code, m[1], f"ordinal-{'feminine' if feminine else 'masculine'}")
        # "3.er piso" is "tercer piso"
        return words.removesuffix("o") if self.code == "es" and m[2].endswith("er") else words

    def money(self, m: re.Match[str]) -> str:
        sign, amount = (m[1], m[2]) if m[1] else (m[4], m[3])
        forms, cents = self.language.currencies[sign]
        whole, _, part = amount.partition(",")
        if len(part) != 2:
            return padded(m, self.counted(amount, forms))
        small = self.counted(str(int(part)), cents) if int(part) else ""
        if not int(whole.replace(".", "")) and small:
            return padded(m, small)
        joint = f" {self.language.joint} {small}" if small else ""
        return padded(m, self.counted(whole, forms) + joint)

    def scaled(self, m: re.Match[str]) -> str:
        """Read "1,5 M€", "15 k€", "R$ 2,5 bilhões" and "2 mln di euro": a number, its scale and what it counts."""
        sign = m["before"] or m["after"] or ""
        number, written = m["number"], m["scale"]
        one, many = self.language.scales.get(written, (written, written))
        if written not in self.language.scales and not sign:
            return m[0]
        few = number == "1" or (self.code in ("fr", "pt") and number.partition(",")[0] in ("0", "1"))
        name = one if few else many
        thousand = self.language.scales["k"][0] if written in ("k", "K", "mil") else ""
        if thousand:
            plain = number.replace(".", "")
            whole = integer(self.code, f"{plain}000") if plain.isdigit() and len(plain) < 4 else ""
            words = whole or f"{self.number(number)} {thousand}"
        else:
            words = f"{self.number(number, 'cardinal-masculine')} {name}"
        if not sign:
            return padded(m, words)
        currency = self.language.codes.get(sign) or self.language.currencies[sign][0]
        return padded(m, f"{words} {currency[1] if thousand else self._of(currency[1])}")

    def coded(self, m: re.Match[str]) -> str:
        """Read "20 USD" and "US$ 20"."""
        forms = self.language.codes[m[1] or m[4]]
        return padded(m, self.counted(m[2] or m[3], forms))

    def mixed(self, m: re.Match[str]) -> str:
        """Read "2 1/2 tazas" as "dos tazas y media": m[1] the whole, m[2]/m[3] the part, m[4] the noun."""
        part = self.language.fractions.split()[int(m[3]) - 2] if 2 <= int(m[3]) <= 10 else ""
        if not part or not 0 < int(m[2]) < int(m[3]):
            return m[0]
        noun = m[4] if m[4] and not re.fullmatch(self.language.no_noun, m[4], re.IGNORECASE) else ""
        gender = "feminine" if noun and self._is_feminine(noun) else "masculine"
        if noun in self.language.units:
            one, many, letter = self.language.units[noun]
            noun, gender = one if m[1] == "1" else many, "feminine" if letter == "f" else "masculine"
        elif noun and m[1] == "1":
            noun = noun.removesuffix("s")
        whole = integer(self.code, m[1], f"cardinal-{gender}" if noun else "numbering")
        joint = {"es": "y", "fr": "et", "it": "e", "pt": "e"}[self.code]
        if (m[2], m[3]) == ("1", "2"):
            words = self.language.halves[gender == "feminine"].split()[-1]
            words += "e" if self.code == "fr" and gender == "feminine" else ""
        else:
            words = self._parts(m[2], part)
        rest = f" {m[4]}" if m[4] and not noun else ""
        return f"{whole}{' ' + noun if noun else ''} {joint} {words}{rest}"

    def _is_feminine(self, noun: str) -> bool:
        found = re.search(self.language.feminine, noun) and not re.fullmatch(self.language.masculine, noun)
        return bool(found)

    def _parts(self, top: str, part: str) -> str:
        """Return a number of parts: "tres cuartos"."""
        if int(top) > 1:
            part = part.removesuffix("o") + "i" if self.code == "it" else part if part.endswith("s") else f"{part}s"
        return f"{integer(self.code, top, 'cardinal-masculine')} {part}"

    def unit_part(self, m: re.Match[str]) -> str:
        """Read "1/2 kg" as "medio kilogramo" and "3/4 kg" as "tres cuartos de kilogramo"."""
        one, _, gender = self.language.units[m[3]]
        top, bottom = int(m[1]), int(m[2])
        if (top, bottom) == (1, 2):
            return f"{self.language.halves[gender == 'f']} {one}"
        if not 0 < top < bottom <= 10:
            return m[0]
        return f"{self._parts(m[1], self.language.fractions.split()[bottom - 2])} {self._of(one)}"

    def _of(self, words: str) -> str:
        """Return "de euros" in the form of the language."""
        return f"d'{words}" if self.code == "fr" and words[0] in "aeéhiou" else f"{self.language.of} {words}"

    def around(self, m: re.Match[str]) -> str:
        """Read the French "24h/24" and "7j/7"."""
        name = {"h": "heures", "j": "jours"}[m[2].lower()]
        return f"{integer(self.code, m[1])} {name} sur {integer(self.code, m[3])}"

    def saint(self, m: re.Match[str]) -> str:
        """Read "S." before the name of a saint."""
        name = re.match(r"\s([^\W\d_]+)", after(m))
        first = name[1] if name else ""
        if self.code == "es":
            return "San"
        if self.code == "pt":
            return "Santa" if first.endswith("a") else "Santo" if first[0] in "AEIOUÂÁ" else "São"
        if first.endswith("a") and first not in ("Andrea", "Luca", "Nicola"):
            return "Santa"
        return "Santo" if first.startswith("St") else "San"

    def identity(self, m: re.Match[str]) -> str:
        """Read the number of a document digit by digit: "DNI 12345678Z"."""
        groups = (" ".join(integer(self.code, d) for d in group) for group in re.findall(r"\d+", m[3]))
        return f"{m[1]}{m[2]}{', '.join(groups)}{' ' + m[4] if m[4] else ''}"

    def sides(self, m: re.Match[str]) -> str:
        """Read "10x15" as "diez por quince"."""
        return f" {self.language.by} ".join(re.findall(r"\d+(?:,\d+)?", m[0]))

    def ranked(self, m: re.Match[str]) -> str:
        """Read "II Guerra Mundial" as "Segunda Guerra Mundial"."""
        value = roman(m[1])
        noun = re.match(r"[^\W\d_]+", after(m))
        if not value or noun is None:
            return m[0]
        feminine = re.search(self.language.feminine, noun[0].lower()) or noun[0].lower() in ("république", "guerre")
        feminine = feminine and not re.fullmatch(self.language.masculine, noun[0].lower())
        words = integer(self.code, str(value), f"ordinal-{'feminine' if feminine else 'masculine'}")
        if self.code == "es" and not feminine and value in (1, 3):
            words = words.removesuffix("o")
        return f"{words} "

    def century_short(self, m: re.Match[str]) -> str:
        """Read "s. XIX" and "XIXe s." as "siglo diecinueve" and "dix-neuvième siècle"."""
        value = roman(m[1] or m[2])
        if not value:
            return m[0]
        if self.code in ("fr", "it"):
            noun = "siècle" if self.code == "fr" else "secolo"
            ordinal = integer(self.code, str(value), "ordinal-masculine")
            return f"{noun} {ordinal}" if m[1] and self.code == "it" else f"{ordinal} {noun}"
        return f"{'siglo' if self.code == 'es' else 'século'} {integer(self.code, str(value))}"

    def unit(self, m: re.Match[str]) -> str:
        return self.counted(m[1], self.language.units[_LONG_UNIT.get(m[2], m[2])])

    def date(self, day: str, month: str, year: str, written: str) -> str:
        if not (1 <= int(day) <= 31 and 1 <= int(month) <= 12):
            return written
        first = int(day) == 1 and self.code in ("fr", "it", "pt")
        spoken = integer(self.code, str(int(day)), "ordinal-masculine" if first else "numbering")
        name = self.language.months.split()[int(month) - 1]
        return self.language.date.format(day=spoken, month=name, year=integer(self.code, str(int(year))))

    def first(self, m: re.Match[str]) -> str:
        return integer(self.code, "1", "ordinal-masculine")

    def clock(self, m: re.Match[str]) -> str:
        if int(m[1]) > 24:
            return m[0]
        between, full = self.language.hours
        feminine = "numbering" if self.code == "it" else "cardinal-feminine"
        hour = integer(self.code, str(int(m[1])), feminine)
        one = between.removesuffix("s") if self.code == "fr" and int(m[1]) < 2 else between
        if not int(m[2]):
            return f"{hour} {one if self.code == 'fr' else full}".strip()
        zero = f"{integer(self.code, '0')} " if m[2][0] == "0" and self.code != "fr" else ""
        return f"{hour} {one} {zero}{integer(self.code, str(int(m[2])))}"

    def half_day(self, m: re.Match[str]) -> str:
        """Read "3 p. m." as the afternoon, and so on."""
        hour, minutes, half = int(m[1]), m[2], m[3].lower()
        if not 1 <= hour <= 12:
            return m[0]
        morning, midnight, afternoon, evening = self.language.half_days
        if half == "a":
            part = midnight if hour == 12 else morning
        else:
            part = afternoon if hour == 12 or hour < 8 else evening
        form = "numbering" if self.code == "it" else "cardinal-feminine"
        words = integer(self.code, str(hour), form)
        between = self.language.hours[0]
        if hour == 12 and not (minutes and int(minutes)):
            return self.language.noon[half == "a"]
        if self.code == "fr":
            words += f" {between.removesuffix('s') if hour == 1 else between}"
            words += f" {integer(self.code, str(int(minutes)))}" if minutes and int(minutes) else ""
        elif minutes and int(minutes):
            words += f" {between} {integer(self.code, str(int(minutes)))}"
        return f"{words} {part}"

    def span(self, m: re.Match[str]) -> str:
        """Read two numbers with a dash between them: a range, or with spaces and a falling pair a subtraction."""
        low, high = (float(re.sub(r"\.", "", part).replace(",", ".")) for part in (m[1], m[3]))
        if m[2] != m[2].strip() and "-" in m[2] and low >= high:
            return f"{m[1]} {self.language.minus} {m[3]}"
        measured = m[2] != "-" or re.match(r"\s(?!contro)[a-zà-ù]{3}", after(m))  # otherwise it may be a score
        if self.code == "it" and low < high and (measured or _are_years(m[1], m[3])):
            first, to = _italian_range(m, _are_years(m[1], m[3]))
            return f"{first}{m[1]} {to} {m[3]}"
        return f"{m[1]} {self.language.to} {m[3]}"

    def measured_span(self, m: re.Match[str]) -> str:
        """Read the first of two measures with a dash between them, up to the second: "5 km - "."""
        first = _italian_range(m, False)[0] if self.code == "it" else ""
        return f"{first}{m[1]} {self.language.to} "

    def telephone(self, m: re.Match[str]) -> str:
        return self.digits(m) if 7 <= sum(map(str.isdigit, m[0])) <= 15 else m[0]

    def regnal(self, m: re.Match[str]) -> str:
        """Read "Felipe II" as "Felipe segundo", and higher numbers as cardinals where the language does."""
        value = roman(m[2])
        if not value or (len(m[2]) == 1 and after(m, 1) == "."):
            return m[0]
        kind = "ordinal-masculine" if value <= self.language.highest_ordinal else "numbering"
        feminine = re.fullmatch(
            r"Isabel|Catalina|María|Élisabeth|Elisabeth|Catherine|Elisabetta|Caterina|Maria|Elizabeth|Catarina", m[1]
        )
        if feminine and kind != "numbering":
            kind = "ordinal-feminine"
        return f"{m[1]} {integer(self.code, str(value), kind)}"

    def digits(self, m: re.Match[str]) -> str:
        groups = (" ".join(integer(self.code, d) for d in group) for group in re.findall(r"\d+", m[0]))
        return (f"{self.language.symbols['+']} " if m[0][0] == "+" else "") + ", ".join(groups)

    def fraction(self, m: re.Match[str]) -> str:
        """Read "1/2 hora" as "media hora" and "5/8" as "cinco octavos"."""
        top, bottom, language = int(m[1]), int(m[2]), self.language
        noun = re.match(r"\s([^\W\d_]+)", after(m))
        if (top, bottom) == (1, 2) and noun and not re.fullmatch(language.no_noun, noun[1], re.IGNORECASE):
            feminine = re.search(language.feminine, noun[1]) and not re.fullmatch(language.masculine, noun[1])
            return language.halves[bool(feminine)]
        if not 0 < top < bottom <= 10:
            return f"{integer(self.code, m[1])} {language.over} {integer(self.code, m[2])}"
        part = language.fractions.split()[bottom - 2]
        if top > 1:
            part = part.removesuffix("o") + "i" if self.code == "it" else part if part.endswith("s") else f"{part}s"
        return f"{integer(self.code, m[1], 'cardinal-masculine')} {part}"

    def version(self, m: re.Match[str]) -> str:
        return f" {self.language.dot} ".join(integer(self.code, part) for part in m[0].split("."))

    def roman(self, m: re.Match[str]) -> str:
        value = roman(m[2])
        return f"{m[1]} {integer(self.code, str(value))}" if value else m[0]

    def before_number(self, m: re.Match[str]) -> str:
        return f"{self.language.before_number[m[1]]} "

    def zero_number(self, m: re.Match[str]) -> str:
        """Read "capítulo 01" without the zero."""
        return f"{m[1]} {integer(self.code, m[2])}"

    def heading(self, m: re.Match[str]) -> str:
        value = roman(m[1])
        return f"{integer(self.code, str(value)).capitalize()}{m[2]}" if value else m[0]

    def century(self, m: re.Match[str]) -> str:
        value = roman(m[1])
        return integer(self.code, str(value), "ordinal-masculine") if value else m[0]

    def code_word(self, m: re.Match[str]) -> str:
        runs = re.findall(r"\d+|\D+", m[0])
        return " ".join(integer(self.code, r) if r[0].isdecimal() else " ".join(r) if r.isupper() else r for r in runs)

    def address(self, m: re.Match[str]) -> str:
        spoken = re.sub(r"^https?://", "", m[0], flags=re.IGNORECASE)
        bare = spoken.rstrip(".,;:!?)'\"/")
        if not any(map(str.isalnum, bare)):
            return m[0]
        signs = self.language.symbols
        words = re.sub(r"[^\w]|_", lambda s: f" {signs.get(s[0], '')} ", bare)
        return " ".join(words.split()) + spoken[len(bare) :].replace("/", "")

    def symbol(self, m: re.Match[str]) -> str:
        return padded(m, self.language.symbols[m[0]])

    def title(self, m: re.Match[str]) -> str:
        if m[1] == "min." and (number := re.search(r"\d(\D{0,3})$", before(m, 6))):  # "25 min.", "la 87e min."
            word = "min" if number[1].isspace() or not number[1] else self.language.units["min"][0]
            return word + ("" if re.match(r"\s[a-zà-ú]|[,;:)]", after(m)) else ".")
        return self._titles[_compact(m[1])]


# ----------------------------------------------------------------------------------------------------------- the rules


def _rules(language: Language) -> tuple[Rule, ...]:
    """Return the rules of a language, in order; `normalise` says what a rule sees."""
    speaker = _Speaker(language)
    units = any_of([*language.units, *(_LONG_UNIT if language.code == "it" else list(_LONG_UNIT)[:5])])
    powers = any_of(unit for unit in language.units if unit[-1] in "²³")
    signs = any_of(language.currencies)
    codes = any_of(language.codes)
    units_plain = any_of(unit for unit in language.units if unit.isalpha())
    scales = any_of(language.scales)
    masculine, feminine = language.ordinals
    squared: Callable[[re.Match[str]], str] = lambda m: padded(m, language.symbols[m[0]])  # noqa: E731
    last_symbols = "".join(s for s in language.symbols if len(s) == 1 and s not in PUNCTUATION)
    return (
        rule("formula", r"\$\$[^$]{1,2000}\$\$", "", "$"),
        rule("minus", r"(?<=[\d)])\s?−\s?(?=[\d(])", f" {language.minus} ", "−"),
        *first_rules(
            (
                numeric("unit", rf"(?<![\w.,])({_DECIMAL})\s?({powers})(?!\w)", speaker.unit),
                rule("superscript", r"(?<=[\w)])[²³]", squared, "²³"),
            )
        ),
        rule("spacing", r"\s(?=[;:!?]+(?:[\s\"')]|$))", "", ";:!?"),
        rule("url", r"(?<!\w)(?:[Hh][Tt][Tt][Pp][Ss]?://|www\.)[^\s\"<>—]+", speaker.address, ".:"),
        rule("email", r"(?<![\w.+-])[\w+-][\w.+-]{0,63}@(?:[\w-]+\.)+[\w-]+", speaker.address, "@"),
        rule(
            "before number",
            rf"(?<![\w.])({any_of(language.before_number)})\s?(?=\(?\d|[IVXL]+(?!\w))",
            speaker.before_number,
            DIGITS + "IVXL",
        ),
        *(
            [rule("title", rf"(?<![\w.])S\.(?=\s(?:{language.saints})(?!\w))", speaker.saint, "S")]
            if language.saints
            else []
        ),
        numeric("ordinal", r"(?<=\d[ºª])(?=[A-Z](?!\w))", " ", "ºª"),
        # "anni '80", "nel '68"
        numeric("year", r"(?<=\w\s)'(?=\d{2,3}(?![\w']|[.,]\d))", "", "'"),
        *(
            [
                numeric(
                    "clock",
                    r"((?<!\w)(?:[Oo]re|[Dd]?alle|[Aa]lle)\s)(\d{1,2})\.([0-5]\d)(?!\w|[.,]\d)",
                    r"\1\2:\3",
                    ".",
                )
            ]
            if language.code == "it"
            else []
        ),
        rule("title", rf"(?<![\w.])({_spaced(language.titles)})(?!\w)", speaker.title),
        numeric(
            "grouping",
            r"(?<![\w.,])\d{1,3}(?:,\d{3})+\.\d{1,2}(?![\d,]|\.\d)",
            lambda m: m[0].replace(",", " ").replace(".", ",").replace(" ", "."),
        ),
        numeric("grouping", r"(?<![\w.,])\d{1,3}(?:,\d{3}){2,5}(?![\d,.])", lambda m: m[0].replace(",", ".")),
        numeric("grouping", r"(?<=[$£€¥])\s?\d{1,9}\.\d\d(?![\d,]|\.\d)", lambda m: m[0].replace(".", ",")),
        numeric("grouping", r"(?<![\w.,])\d{1,9}\.\d\d(?=\s?[€£])", lambda m: m[0].replace(".", ",")),
        numeric(
            "date", r"(?<![\w/-])(\d{1,2})/(\d{1,2})/(\d\d)(?![\w/-])", lambda m: speaker.date(m[1], m[2], m[3], m[0])
        ),
        numeric(
            "date",
            r"(?<![\w/-])(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?![\w/-])",
            lambda m: speaker.date(m[1], m[2], m[3], m[0]),
        ),
        numeric(
            "date",
            r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)",
            lambda m: speaker.date(m[1], m[2], m[3], m[0]),
        ),
        numeric("date", r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)(?![\w-])", lambda m: speaker.date(m[3], m[2], m[1], m[0])),
        *(
            [numeric("date", rf"(?<![\w.,])1(?=\s(?:de\s)?(?:{any_of(language.months.split())})(?!\w))", speaker.first)]
            if language.code != "es"
            else []
        ),
        numeric(
            "telephone",
            r"(?<![\w+])\+\d(?:\d|[-./\s](?=[\d(])|\((?=\d)|\)(?=[-./\s]?\d)){5,24}(?<=\d)(?!\w|[.,]\d)",
            speaker.telephone,
        ),
        numeric(
            "telephone",
            r"(?<![\w.,:/+-])(?:\(0?\d{1,4}\)\s?\d{2,5}|0\d{1,4})(?:[\s./-]\d{2,8}){1,5}"
            r"(?!\w|[.,:/-]\d)",
            speaker.telephone,
        ),
        numeric(
            "telephone",
            r"(?<![\w.,:/+-])(?:[6-9]\d\d\s\d{3}\s\d{3}|[6-9]\d\d(?:\s\d\d){3}|3\d\d\s\d{3}\s\d{4}|3\d\d\s\d{6,7}"
            r"|\d{5}-\d{4})(?!\w|[.,:/-]\d|\s\d{3}(?!\d))",
            speaker.telephone,
        ),
        numeric(
            "grouping", r"(?<![\w.,])[1-9]\d{0,2}(?:\s\d{3}){1,5}(?!\w|\.\d|\s\d)", lambda m: m[0].replace(" ", "")
        ),
        numeric(
            "clock",
            r"(?<![\w.,:])(\d{1,2})(?:[:.]([0-5]\d))?\s?([AaPp])\.?\s?[Mm](?:\.(?!\w)|(?!\w))",
            speaker.half_day,
        ),
        numeric(
            "range",
            r"(?<![\w.,:])(\d{1,2}(?::|\s?h\s?)[0-5]\d)\s?[-–]\s?(?=\d{1,2}(?::|\s?h\s?)[0-5]\d(?!\w))",
            rf"\1 {language.to} ",
            "-–",
        ),
        numeric(
            "duration",
            r"(?<![\w.,:])(\d{1,2})\s?h\s?([0-5]?\d)\s?min(?!\w)",
            lambda m: f"{speaker.counted(m[1], language.units['h'])} {speaker.counted(m[2], language.units['min'])}",
            "h",
        ),
        numeric("clock", r"(?<![\w.,:])(\d{1,2})(?::|\s?h\s?)([0-5]\d)(?:\s?h(?=\W|$))?(?!\w|:\d)", speaker.clock),
        numeric("minus", r"(?<=[\d)])\s?-\s?(?=\d{1,15}(?:,\d{1,15})?\s?=)", f" {language.minus} "),
        numeric(
            "mixed", r"(?<![\w/.,])([1-9]\d{0,2})\s([1-9])/(\d{1,2})(?![\w/])(?:\s([^\W\d_]+))?", speaker.mixed, "/"
        ),
        numeric(
            "fraction", rf"(?<![\w/.,])(\d{{1,3}})/(\d{{1,3}})\s?({units_plain})(?![\w'/°])", speaker.unit_part, "/"
        ),
        *(
            [numeric("duration", r"(?<![\w.,])(24|7)\s?([hHjJ])\s?/\s?(24|7)(?!\w)", speaker.around, "/")]
            if language.code == "fr"
            else []
        ),
        numeric(
            "code number",
            r"(?<!\w)(CPF|CNPJ|DNI|NIF|NIE|CEP|CUIT|RFC|SIRET|SIREN|PIN|IVA|Partita IVA|P\. IVA|CAP)"
            r"(:?\s(?:n\.?[º°]\s)?)(\d[\d./-]{3,20}\d)([A-Z]?)(?!\w)",
            speaker.identity,
        ),
        *(
            [numeric("code number", r"(?<![\w.,/-])\d{4,5}-\d{3}(?![\w-]|[.,]\d)", speaker.digits, "-")]  # a postcode
            if language.code == "pt"
            else []
        ),
        numeric(
            "by",
            r"(?<![\w.,])\d{1,4}(?:,\d{1,2})?(?:\s?x\s?\d{1,4}(?:,\d{1,2})?){1,2}(?!\w|[.,]\d|\s?=)",
            speaker.sides,
            "x",
        ),
        numeric(
            "by",
            rf"(?<![\w.,])\d{{1,4}}(?:,\d{{1,2}})?(?:\s?[x×]\s?\d{{1,4}}(?:,\d{{1,2}})?){{1,2}}(?=\s?(?:{units})(?!\w))",
            speaker.sides,
            "x×",
        ),
        # "3,50 €/kg", "al kg"
        rule(
            "per",
            rf"(?<=[€$£])\s?/\s?({units_plain})(?!\w)",
            lambda m: f" {language.by} {language.units[m[1]][0]}",
            "/",
        ),
        rule(
            "unit",
            r"(?<!\w)((?:[aeid]?l|le|du|au|del|par|por|per|o|do|ao)\s)(kg|km|cm|mm)(?!\w)",
            lambda m: f"{m[1]}{language.units[m[2]][0]}",
        ),
        numeric("money", rf"(?<!\w)[$€£](?={_DECIMAL}\s?(?:{codes})(?!\w))", ""),  # "$1.500 MXN"
        numeric(
            "money",
            rf"(?:(?P<before>{signs}|{codes})\s?)(?P<number>{_DECIMAL})\s?(?P<scale>{scales}|{language.big})(?P<after>)(?!\w)",
            speaker.scaled,
        ),
        numeric(
            "money",
            rf"(?<![\w.,])(?P<before>)(?P<number>{_DECIMAL})\s?(?P<scale>{scales}|{language.big})\s?(?:{language.of}\s)?"
            rf"(?P<after>{signs}|{codes})(?!\w)",
            speaker.scaled,
        ),
        numeric(
            "scale",
            rf"(?<![\w.,])(?P<before>)(?P<number>{_DECIMAL})\s?(?P<scale>{scales})(?P<after>)(?!\w)(?!\s?[.]\w)",
            speaker.scaled,
        ),
        numeric(
            "money", rf"(?<!\w)(?:({codes})\s?({_DECIMAL})|(?<![\w.,])({_DECIMAL})\s?({codes}))(?!\w)", speaker.coded
        ),
        numeric("money", rf"(?:({signs})\s?({_DECIMAL})|(?<![\w.,])({_DECIMAL})\s?({signs}))(?!\w)", speaker.money),
        numeric(
            "range",
            rf"(?<![\w.,–-])({_DECIMAL}\s?(?:%|{units}))\s?[-–]\s?(?={_DECIMAL}\s?(?:%|{units})(?!\w))",
            speaker.measured_span,
        ),
        numeric("range", rf"(?<![\w.,–-])({_DECIMAL})(\s?[-–]\s?)({_DECIMAL})(?![\w–-]*[–-]\d)", speaker.span),
        numeric("minus", rf"(?<![^\s(\"'—])-\s?(?=(?:{signs})?\d)", language.minus + " "),
        numeric(
            "percent",
            rf"(?<![\w.,])({_DECIMAL})\s?%",
            lambda m: padded(m, f"{speaker.number(m[1])} {language.symbols['%']}"),
        ),
        numeric("version", r"(?<!\w)[vV]\.?\s?(?=\d+(?:\.\d+)+(?!\w))", f"{language.version} "),
        numeric("version", r"(?<![\w.,])\d+(?:\.\d+){2,}(?![\w,])(?<!\.\d{3})", speaker.version),
        numeric(
            "decimal",
            rf"(?<![\w.,])\d{{1,9}}\.\d{{1,2}}(?=\s?(?:{units})(?![\w'/°]))",
            lambda m: m[0].replace(".", ","),
        ),
        numeric(
            "ordinal",
            r"(?<![\w.,])(\d{1,3})(°)(?=\s(?!grad|celsi|nord|sud|norte|sur|sul|est|oest|leste|long|lat)[a-zà-ú]{3})",
            speaker.ordinal,
        ),
        numeric("unit", rf"(?<![\w.,/])({_DECIMAL})\s?({units})(?![\w'/°])", speaker.unit),
        numeric("fraction", r"(?<![\w/.,])(\d{1,3})/(\d{1,3})(?![\w/])", speaker.fraction),
        numeric("ordinal", rf"(?<![\w.,])(\d{{1,4}})({masculine}|{feminine})(?!\w)", speaker.ordinal),
        rule("numbered", rf"(?<!\w)({language.numbered})\s([IVXLC]+)(?![\w'-])", speaker.roman, "IVXLC"),
        rule(
            "numbered",
            rf"(?<!\w)(?:{language.century})\s([IVX]+)(?![\w'-])|(?<!\w)([IVX]+)(?:e|ème)?\s(?:{language.century})(?!\w)",
            speaker.century_short,
            "IVX",
        ),
        rule(
            "numbered", rf"(?<![\w'])([IVX]+)(?:e|ème|er|ère|re|ª|º|a)?\s(?={language.ranked})", speaker.ranked, "IVX"
        ),
        rule("numbered", rf"(?<!\w)({language.regnal})\s([IVX]+)(?:er|re)?(?![\w'-])", speaker.regnal, "IVX"),
        rule("numbered", r"^([IVXLC]{2,8})([.:]?)$", speaker.heading, "IVXLC"),
        numeric(
            "numbered",
            rf"(?<!\w)({language.numbered}|[Dd]ía|[Jj]our|[Gg]iorno|[Dd]ia|[Pp]ágina|[Pp]age|[Pp]agina)"
            r"\s0{1,2}([1-9]\d?)(?!\w|[.,:/-]\d)",
            speaker.zero_number,
        ),
        rule("numbered", r"(?<!\w)([IVX]+)(?:e|ème|er)?(?=\s(?:secolo|secoli|siècles?)(?!\w))", speaker.century, "IVX"),
        numeric("code", r"(?<!\w)(?=[^\W\d_]*\d)(?=\d*[^\W\d_])[^\W_]+(?!\w)", speaker.code_word),
        numeric(
            "version",
            r"(?<![\w.,])\d+\.\d+(?!\w|[.,]\d)",
            lambda m: m[0] if re.fullmatch(_INTEGER, m[0]) else speaker.version(m),
        ),
        rule("symbol", "[" + re.escape(last_symbols) + "]", speaker.symbol, last_symbols),
        *([numeric("number", r"(?<![\w.,])1\s(?=[aeiou][^\W\d_]+)", speaker.elided)] if language.code == "it" else []),
        numeric("number", rf"(?<![\d.,])0*{_DECIMAL}|\d+", speaker.bare),
        *last_rules(PUNCTUATION + language.marks),
    )


def _are_years(first: str, second: str) -> bool:
    return all(re.fullmatch(r"1\d{3}|20\d\d", written) for written in (first, second))


def _italian_range(m: re.Match[str], years: bool) -> tuple[str, str]:
    """Return the words before and between the numbers of a range: "da due a tre", "dal 1914 al 1918"."""
    given = re.search(r"(?:^|[\s(])(?:(tra|fra)|d[ae]|dal(?:l[ae'])?|dai|dagli)\s?$", before(m), re.IGNORECASE)
    if given:
        return "", "e" if given[1] else "al" if years else "a"
    return ("dal ", "al") if years else ("da ", "a")


@cache
def rules_of(code: str) -> tuple[Rule, ...]:
    """Return the rules of a language in `LANGUAGES`."""
    return _rules(LANGUAGES[code])
