"""Spanish, French, Italian and Portuguese as they are written → the words that are spoken: a table of rules for each.

A smaller set than the English one: numbers with what surrounds them (money, units, dates, times, ordinals), titles,
addresses and symbols. A language is a row of `LANGUAGES`; the rules are the same for all. Numbers are spelled by
unicode-rbnf from the rules that Unicode's CLDR has for each language. Knows nothing about paragraphs and vocabularies.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from vivavoce.text_characters import (
    PUNCTUATION,
    Rule,
    after,
    any_of,
    first_rules,
    grouping,
    last_rules,
    numeric,
    padded,
    rule,
)
from vivavoce.text_numbers import LONGEST, roman

Forms = tuple[str, str, str]  # one, many, and "m" or "f": how its numbers are inflected

_INTEGER = r"(?:\d{1,3}(?:\.\d{3})+(?![\d])|\d+)"
_DECIMAL = _INTEGER + r"(?:,\d+)?"


@dataclass(frozen=True)
class Language:
    """What the rules must know of a language. Words are as they are spoken; keys are as they are written."""

    code: str
    point: str  # what "," is in a number
    dot: str  # what "." is in one
    minus: str
    to: str  # between the ends of a range
    joint: str  # between euros and cents
    over: str  # between the parts of a fraction
    marks: str  # punctuation besides PUNCTUATION
    feminine: str  # a pattern of the nouns that are feminine, as far as their form tells
    masculine: str  # exceptions from it
    no_noun: str  # words after a number that are no nouns
    ordinals: tuple[str, str]  # what stands after the digits of one, masculine and feminine
    months: str
    date: str  # with {day}, {month} and {year}
    hours: tuple[str, str]  # what is said between hours and minutes, and after full hours
    numbered: str  # words before a Roman numeral
    titles: dict[str, str]
    symbols: dict[str, str]
    fractions: dict[str, str]
    currencies: dict[str, tuple[Forms, Forms]]
    units: dict[str, Forms]


# ------------------------------------------------------------------------------------------------------------- numbers


@cache
def _engine(code: str) -> Any:
    from unicode_rbnf import RbnfEngine  # here and not above: it reads the language's rules from a file

    return RbnfEngine.for_language(code)


@lru_cache(4096)
def _spelled(code: str, plain: str, form: str) -> str:
    """form: numbering, cardinal-masculine, cardinal-feminine, ordinal-masculine or ordinal-feminine."""
    name = f"spellout-{form}"
    text = _engine(code).format_number(plain, ruleset_names=[name]).text_by_ruleset[name]
    return str(text).replace("\u00ad", "")


def _whole(code: str, written: str, form: str = "numbering") -> str:
    """An integer. Leading zeros and over 15 digits are read digit by digit."""
    plain = written.replace(".", "")
    if len(plain) > LONGEST or (plain[0] == "0" and len(plain) > 1):
        return " ".join(_spelled(code, digit, "numbering") for digit in plain)
    return _spelled(code, plain, form)


def _part(code: str, written: str) -> str:
    """What stands behind the point: up to two digits are a number, more are read one by one."""
    zeros = len(written) - len(written.lstrip("0"))
    rest = written[zeros:]
    words = [_whole(code, "0")] * zeros
    words += [_whole(code, rest)] if 0 < len(rest) <= 2 else [_whole(code, digit) for digit in rest]
    return " ".join(words)


class _Speaker:
    """The functions of one language's rules."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.code = language.code

    def number(self, written: str, form: str = "numbering") -> str:
        whole, _, part = written.partition(",")
        if not part:
            return _whole(self.code, whole, form)
        return f"{_whole(self.code, whole)} {self.language.point} {_part(self.code, part)}"

    def counted(self, written: str, forms: Forms) -> str:
        one, many, gender = forms
        words = self.number(written, "cardinal-feminine" if gender == "f" else "cardinal-masculine")
        singular = written == "1" or (self.code in ("fr", "pt") and written.partition(",")[0] in ("0", "1"))
        round_million = self.code in ("es", "fr", "it", "pt") and re.fullmatch(r"\d+0{6}", written.replace(".", ""))
        of = {"es": "de ", "fr": "de ", "it": "di ", "pt": "de "}[self.code] if round_million else ""
        return f"{words} {of}{one if singular else many}"

    def bare(self, m: re.Match[str]) -> str:
        """A number whose noun, if any, is the next word."""
        language = self.language
        noun = re.match(r"\s([^\W\d_]+)", after(m))
        form = "numbering"
        if noun and not re.fullmatch(language.no_noun, noun[1], re.IGNORECASE):
            feminine = re.search(language.feminine, noun[1]) and not re.fullmatch(language.masculine, noun[1])
            form = "cardinal-feminine" if feminine else "cardinal-masculine"
        return padded(m, self.number(m[0], form))

    def ordinal(self, m: re.Match[str]) -> str:
        feminine = re.fullmatch(self.language.ordinals[1], m[2])
        return _whole(self.code, m[1], f"ordinal-{'feminine' if feminine else 'masculine'}")

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

    def unit(self, m: re.Match[str]) -> str:
        return self.counted(m[1], self.language.units[m[2]])

    def date(self, day: str, month: str, year: str, written: str) -> str:
        if not (1 <= int(day) <= 31 and 1 <= int(month) <= 12):
            return written
        first = int(day) == 1 and self.code in ("fr", "it", "pt")
        spoken = _whole(self.code, str(int(day)), "ordinal-masculine" if first else "numbering")
        name = self.language.months.split()[int(month) - 1]
        return self.language.date.format(day=spoken, month=name, year=_whole(self.code, year))

    def first(self, m: re.Match[str]) -> str:
        return _whole(self.code, "1", "ordinal-masculine")

    def clock(self, m: re.Match[str]) -> str:
        if int(m[1]) > 24:
            return m[0]
        between, full = self.language.hours
        feminine = "numbering" if self.code == "it" else "cardinal-feminine"
        hour = _whole(self.code, str(int(m[1])), feminine)
        one = between.removesuffix("s") if self.code == "fr" and int(m[1]) < 2 else between
        if not int(m[2]):
            return f"{hour} {one if self.code == 'fr' else full}".strip()
        zero = f"{_whole(self.code, '0')} " if m[2][0] == "0" and self.code != "fr" else ""
        return f"{hour} {one} {zero}{_whole(self.code, str(int(m[2])))}"

    def digits(self, m: re.Match[str]) -> str:
        groups = (" ".join(_whole(self.code, d) for d in group) for group in re.findall(r"\d+", m[0]))
        return (f"{self.language.symbols['+']} " if m[0][0] == "+" else "") + ", ".join(groups)

    def fraction(self, m: re.Match[str]) -> str:
        known = self.language.fractions.get(m[0])
        return known or f"{_whole(self.code, m[1])} {self.language.over} {_whole(self.code, m[2])}"

    def version(self, m: re.Match[str]) -> str:
        return f" {self.language.dot} ".join(_whole(self.code, part) for part in m[0].split("."))

    def roman(self, m: re.Match[str]) -> str:
        value = roman(m[2])
        return f"{m[1]} {_whole(self.code, str(value))}" if value else m[0]

    def century(self, m: re.Match[str]) -> str:
        value = roman(m[1])
        return _whole(self.code, str(value), "ordinal-masculine") if value else m[0]

    def code_word(self, m: re.Match[str]) -> str:
        runs = re.findall(r"\d+|\D+", m[0])
        return " ".join(_whole(self.code, r) if r[0].isdecimal() else " ".join(r) if r.isupper() else r for r in runs)

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
        return self.language.titles[m[1]]


# ----------------------------------------------------------------------------------------------------------- the rules


def _rules(language: Language) -> tuple[Rule, ...]:
    """The language's table, in order; see `text_rules` for what a rule sees."""
    speaker = _Speaker(language)
    units = any_of(language.units)
    powers = any_of(unit for unit in language.units if unit[-1] in "²³")
    signs = any_of(language.currencies)
    masculine, feminine = language.ordinals
    squared: Callable[[re.Match[str]], str] = lambda m: padded(m, language.symbols[m[0]])  # noqa: E731
    last_symbols = "".join(s for s in language.symbols if len(s) == 1 and s not in PUNCTUATION)
    return (
        *first_rules(
            (
                numeric("unit", rf"(?<![\w.,])({_DECIMAL})\s?({powers})(?!\w)", speaker.unit),
                rule("superscript", r"(?<=[\w)])[²³]", squared),
            )
        ),
        rule("spacing", r"\s(?=[;:!?]+(?:[\s\"')]|$))", ""),
        rule("url", r"(?<!\w)(?:[Hh][Tt][Tt][Pp][Ss]?://|www\.)[^\s\"<>—]+", speaker.address),
        rule("email", r"(?<![\w.+-])[\w+-][\w.+-]{0,63}@(?:[\w-]+\.)+[\w-]+", speaker.address),
        rule("title", rf"(?<![\w.])({any_of(language.titles)})(?!\w)", speaker.title),
        numeric("date", r"(?<![\w/-])(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?![\w/-])",
                lambda m: speaker.date(m[1], m[2], m[3], m[0])),
        numeric("date", r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)",
                lambda m: speaker.date(m[1], m[2], m[3], m[0])),
        numeric("date", r"(?<![\w-])(\d{4})-(\d\d)-(\d\d)(?![\w-])", lambda m: speaker.date(m[3], m[2], m[1], m[0])),
        *(
            [numeric("grouping", r"(?<![\w.,])\d{1,3}(?:\s\d{3})+(?![\w,]*\d)", lambda m: m[0].replace(" ", ""))]
            if language.code == "fr"  # where people part thousands by any space
            else []
        ),
        *(
            [numeric("date", rf"(?<![\w.,])1(?=\s(?:de\s)?(?:{any_of(language.months.split())})(?!\w))", speaker.first)]
            if language.code != "es"
            else []
        ),
        numeric("telephone", r"(?<!\w)\+\d{1,3}(?:[\s-]\d{2,5}){2,5}(?!\w)", speaker.digits),
        numeric("telephone", r"(?<![\w.,-])0\d(?:\s\d\d){4}(?!\w)", speaker.digits),
        numeric("clock", r"(?<![\w.,:])(\d{1,2})(?::|\s?h\s?)([0-5]\d)(?![\w:])", speaker.clock),
        numeric("minus", rf"(?<![^\s(\"'—])-\s?(?=(?:{signs})?\d)", language.minus + " "),
        numeric("money", rf"(?:({signs})\s?({_DECIMAL})|(?<![\w.,])({_DECIMAL})\s?({signs}))(?!\w)", speaker.money),
        numeric("range", rf"(?<![\w.,–-])({_DECIMAL})\s?[-–]\s?(?={_DECIMAL}(?![\w–-]*[–-]\d))", rf"\1 {language.to} "),
        numeric("percent", rf"(?<![\w.,])({_DECIMAL})\s?%",
                lambda m: padded(m, f"{speaker.number(m[1])} {language.symbols['%']}")),
        numeric("version", r"(?<![\w.,])\d+(?:\.\d+){2,}(?![\w,])(?<!\.\d{3})", speaker.version),
        numeric("unit", rf"(?<![\w.,/])({_DECIMAL})\s?({units})(?![\w'/°])", speaker.unit),
        numeric("fraction", r"(?<![\w/.,])(\d{1,3})/(\d{1,3})(?![\w/])", speaker.fraction),
        numeric("ordinal", rf"(?<![\w.,])(\d{{1,4}})({masculine}|{feminine})(?!\w)", speaker.ordinal),
        rule("numbered", rf"(?<!\w)({language.numbered})\s([IVXLC]+)(?![\w'-])", speaker.roman),
        rule("numbered", r"(?<!\w)([IVX]+)(?:e|ème)?(?=\s(?:secolo|siècles?)(?!\w))", speaker.century),
        rule("code", r"(?<!\w)(?=[^\W\d_]*\d)(?=\d*[^\W\d_])[^\W_]+(?!\w)", speaker.code_word),
        numeric("version", r"(?<![\w.,])\d+\.\d+(?!\w|[.,]\d)", lambda m: m[0] if re.fullmatch(_INTEGER, m[0]) else
                speaker.version(m)),
        rule("symbol", "[" + re.escape(last_symbols) + "]", speaker.symbol),
        numeric("number", rf"(?<![\d.,])0*{_DECIMAL}|\d+", speaker.bare),
        *last_rules(PUNCTUATION + language.marks),
    )  # fmt: skip


def _m(one: str, many: str) -> Forms:
    return one, many, "m"


def _f(one: str, many: str) -> Forms:
    return one, many, "f"


def _by_name(listed: str) -> dict[str, str]:
    """ "a b, c d e" → {"a": "b", "c": "d e"}."""
    return {key: value for key, _, value in (entry.strip().partition(" ") for entry in listed.split(","))}


SPANISH = Language(
    code="es", point="coma", dot="punto", minus="menos", to="a", joint="con", over="sobre", marks="¿¡",
    feminine=r"(?:as?|ción|ciones|sión|siones|dad|dades|tud|tudes|veces|noches?|mujeres|manos?|clases?)$",
    masculine=r"(?:día|problema|programa|sistema|tema|mapa|planeta|idioma|clima|poema|drama|cura|guardia)s?",
    no_noun=r"y|o|u|a|de|del|en|con|por|para|que|es|son|era|fue|la|el|los|las|ha|más|menos|como|según|se|no|al|hasta|ya",
    ordinals=(r"\.?º|\.?er|\.?o", r"\.?ª|\.?a"),
    months="enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    date="{day} de {month} de {year}", hours=("y", "en punto"),
    numbered="[Ss]iglo|[Cc]apítulo|[Tt]omo|[Vv]olumen|[Aa]cto|[Ee]scena|[Tt]ítulo|[Aa]nexo",
    titles=_by_name("Sr. señor, Sra. señora, Srta. señorita, Dr. doctor, Dra. doctora, D. don, Ud. usted, Uds. ustedes,"
                    "EE. UU. Estados Unidos, EE.UU. Estados Unidos, p. ej. por ejemplo, núm. número, pág. página,"
                    "págs. páginas, av. avenida, Avda. avenida, aprox. aproximadamente"),
    symbols=_by_name("% por ciento, ‰ por mil, & y, @ arroba, + más, = igual a, × por, ÷ entre, ± más menos, ° grados,"
                     "/ barra, # almohadilla, . punto, - guion, _ guion bajo, ² al cuadrado, ³ al cubo,"
                     "≈ aproximadamente, ? interrogación, : dos puntos, € euro, $ dólar, £ libra, § sección"),
    fractions=_by_name("1/2 un medio, 1/3 un tercio, 2/3 dos tercios, 1/4 un cuarto, 3/4 tres cuartos, 1/5 un quinto"),
    currencies={
        "€": (_m("euro", "euros"), _m("céntimo", "céntimos")), "$": (_m("dólar", "dólares"), _m("centavo", "centavos")),
        "£": (_f("libra", "libras"), _m("penique", "peniques")), "¥": (_m("yen", "yenes"), _m("sen", "sen")),
    },
    units={
        "km": _m("kilómetro", "kilómetros"), "m": _m("metro", "metros"), "cm": _m("centímetro", "centímetros"),
        "mm": _m("milímetro", "milímetros"), "kg": _m("kilogramo", "kilogramos"), "g": _m("gramo", "gramos"),
        "mg": _m("miligramo", "miligramos"), "l": _m("litro", "litros"), "L": _m("litro", "litros"),
        "ml": _m("mililitro", "mililitros"), "t": _f("tonelada", "toneladas"), "ha": _f("hectárea", "hectáreas"),
        "h": _f("hora", "horas"), "min": _m("minuto", "minutos"), "s": _m("segundo", "segundos"),
        "km/h": _m("kilómetro por hora", "kilómetros por hora"), "m/s": _m("metro por segundo", "metros por segundo"),
        "°C": _m("grado Celsius", "grados Celsius"), "°": _m("grado", "grados"), "W": _m("vatio", "vatios"),
        "kW": _m("kilovatio", "kilovatios"), "kWh": _m("kilovatio hora", "kilovatios hora"),
        "V": _m("voltio", "voltios"),
        "GB": _m("gigabyte", "gigabytes"), "MB": _m("megabyte", "megabytes"), "Hz": _m("hercio", "hercios"),
        "m²": _m("metro cuadrado", "metros cuadrados"), "km²": _m("kilómetro cuadrado", "kilómetros cuadrados"),
        "m³": _m("metro cúbico", "metros cúbicos"),
    },
)  # fmt: skip

FRENCH = Language(
    code="fr", point="virgule", dot="point", minus="moins", to="à", joint="et", over="sur", marks="",
    feminine=r"(?:[ts]ions?|ées?|ettes?|ances?|ences?|ités?|ures?|euses?|ières?|esses?|heures?|minutes?|secondes?|semaines?|"
             r"pages?|personnes?|fois|femmes?|filles?|maisons?|villes?|lignes?|tonnes?|nuits?|rues?|chaises?|tables?)$",
    masculine=r"(?:musée|lycée|trophée|silence|mètre|kilomètre)s?",
    no_noun=r"et|ou|à|de|du|des|en|avec|par|pour|que|est|sont|était|la|le|les|a|plus|moins|comme|se|ne|au|aux|jusqu",
    ordinals=(r"er|ers|e|ème|es|èmes|nd", r"re|ère|nde"),
    months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    date="{day} {month} {year}", hours=("heures", "heures"),
    numbered="[Cc]hapitre|[Tt]ome|[Vv]olume|[Aa]cte|[Ss]cène|[Tt]itre|[Aa]nnexe|Louis|Henri|Charles|Napoléon",
    titles=_by_name("M. monsieur, MM. messieurs, Mme madame, Mmes mesdames, Mlle mademoiselle, Dr docteur,"
                    "Pr professeur, Me maître, St saint, Ste sainte, av. avenue, bd boulevard, p. ex. par exemple,"
                    "etc. et cetera, env. environ"),
    symbols=_by_name("% pour cent, ‰ pour mille, & et, @ arobase, + plus, = égale, × fois, ÷ divisé par,"
                     "± plus ou moins, ° degrés, / barre oblique, # dièse, . point, - tiret, _ tiret bas, ² au carré,"
                     "³ au cube, ≈ environ, ? point d'interrogation, : deux-points, € euro, $ dollar, £ livre,"
                     "§ paragraphe"),
    fractions=_by_name("1/2 un demi, 1/3 un tiers, 2/3 deux tiers, 1/4 un quart, 3/4 trois quarts, 1/5 un cinquième"),
    currencies={
        "€": (_m("euro", "euros"), _m("centime", "centimes")), "$": (_m("dollar", "dollars"), _m("cent", "cents")),
        "£": (_f("livre", "livres"), _m("penny", "pence")), "¥": (_m("yen", "yens"), _m("sen", "sen")),
        "CHF": (_m("franc suisse", "francs suisses"), _m("centime", "centimes")),
    },
    units={
        "km": _m("kilomètre", "kilomètres"), "m": _m("mètre", "mètres"), "cm": _m("centimètre", "centimètres"),
        "mm": _m("millimètre", "millimètres"), "kg": _m("kilogramme", "kilogrammes"), "g": _m("gramme", "grammes"),
        "mg": _m("milligramme", "milligrammes"), "l": _m("litre", "litres"), "L": _m("litre", "litres"),
        "ml": _m("millilitre", "millilitres"), "t": _f("tonne", "tonnes"), "ha": _m("hectare", "hectares"),
        "h": _f("heure", "heures"), "min": _f("minute", "minutes"), "s": _f("seconde", "secondes"),
        "km/h": _m("kilomètre heure", "kilomètres heure"), "m/s": _m("mètre par seconde", "mètres par seconde"),
        "°C": _m("degré Celsius", "degrés Celsius"), "°": _m("degré", "degrés"), "W": _m("watt", "watts"),
        "kW": _m("kilowatt", "kilowatts"), "kWh": _m("kilowattheure", "kilowattheures"), "V": _m("volt", "volts"),
        "Go": _m("gigaoctet", "gigaoctets"), "Mo": _m("mégaoctet", "mégaoctets"), "Hz": _m("hertz", "hertz"),
        "m²": _m("mètre carré", "mètres carrés"), "km²": _m("kilomètre carré", "kilomètres carrés"),
        "m³": _m("mètre cube", "mètres cubes"),
    },
)  # fmt: skip

ITALIAN = Language(
    code="it", point="virgola", dot="punto", minus="meno", to="a", joint="e", over="su", marks="",
    feminine=r"(?:a|zione|sione|tà|trice|mano|notte|chiave|volta)$",
    masculine=r"problema|programma|sistema|tema|clima|pianeta|poeta|dramma|panorama",
    no_noun=r"e|o|a|di|del|della|in|con|per|che|è|sono|era|la|il|lo|i|gli|le|ha|più|meno|come|si|non|al|da|fino|su",
    ordinals=(r"º|°|o", r"ª|a"),
    months="gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    date="{day} {month} {year}", hours=("e", "in punto"),
    numbered="[Cc]apitolo|[Tt]omo|[Vv]olume|[Aa]tto|[Ss]cena|[Tt]itolo|[Aa]llegato",
    titles=_by_name("Sig. signor, Sig.ra signora, Sig.na signorina, Dott. dottor, Dott.ssa dottoressa, Dr. dottor,"
                    "Prof. professor, Prof.ssa professoressa, Ing. ingegner, Avv. avvocato, ecc. eccetera,"
                    "p. es. per esempio, pag. pagina, n. numero, ca. circa"),
    symbols=_by_name("% per cento, ‰ per mille, & e, @ chiocciola, + più, = uguale a, × per, ÷ diviso, ± più o meno,"
                     "° gradi, / barra, # cancelletto, . punto, - trattino, _ trattino basso, ² al quadrato, ³ al cubo,"
                     "≈ circa, ? punto interrogativo, : due punti, € euro, $ dollaro, £ sterlina, § paragrafo"),
    fractions=_by_name("1/2 un mezzo, 1/3 un terzo, 2/3 due terzi, 1/4 un quarto, 3/4 tre quarti, 1/5 un quinto"),
    currencies={
        "€": (_m("euro", "euro"), _m("centesimo", "centesimi")),
        "$": (_m("dollaro", "dollari"), _m("centesimo", "centesimi")),
        "£": (_f("sterlina", "sterline"), _m("penny", "pence")), "¥": (_m("yen", "yen"), _m("sen", "sen")),
    },
    units={
        "km": _m("chilometro", "chilometri"), "m": _m("metro", "metri"), "cm": _m("centimetro", "centimetri"),
        "mm": _m("millimetro", "millimetri"), "kg": _m("chilogrammo", "chilogrammi"), "g": _m("grammo", "grammi"),
        "mg": _m("milligrammo", "milligrammi"), "l": _m("litro", "litri"), "L": _m("litro", "litri"),
        "ml": _m("millilitro", "millilitri"), "t": _f("tonnellata", "tonnellate"), "ha": _m("ettaro", "ettari"),
        "h": _f("ora", "ore"), "min": _m("minuto", "minuti"), "s": _m("secondo", "secondi"),
        "km/h": _m("chilometro orario", "chilometri orari"), "m/s": _m("metro al secondo", "metri al secondo"),
        "°C": _m("grado Celsius", "gradi Celsius"), "°": _m("grado", "gradi"), "W": _m("watt", "watt"),
        "kW": _m("chilowatt", "chilowatt"), "kWh": _m("chilowattora", "chilowattora"), "V": _m("volt", "volt"),
        "GB": _m("gigabyte", "gigabyte"), "MB": _m("megabyte", "megabyte"), "Hz": _m("hertz", "hertz"),
        "m²": _m("metro quadrato", "metri quadrati"), "km²": _m("chilometro quadrato", "chilometri quadrati"),
        "m³": _m("metro cubo", "metri cubi"),
    },
)  # fmt: skip

PORTUGUESE = Language(
    code="pt", point="vírgula", dot="ponto", minus="menos", to="a", joint="e", over="sobre", marks="",
    feminine=r"(?:as?|[çs]ão|[çs]ões|dades?|agem|agens|mulheres|noites?|vezes|mãos?|colheres)$",
    masculine=r"(?:dia|problema|programa|sistema|tema|mapa|planeta|idioma|clima|poema|drama)s?|irmãos?",
    no_noun=r"e|ou|a|de|do|da|dos|das|em|no|na|com|por|para|que|é|são|era|foi|o|os|as|há|mais|menos|como|se|não|ao|até",
    ordinals=(r"\.?º|\.?o", r"\.?ª|\.?a"),
    months="janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    date="{day} de {month} de {year}", hours=("e", "horas"),
    numbered="[Ss]éculo|[Cc]apítulo|[Tt]omo|[Vv]olume|[Aa]to|[Cc]ena|[Tt]ítulo|[Aa]nexo",
    titles=_by_name("Sr. senhor, Sra. senhora, Srta. senhorita, Dr. doutor, Dra. doutora, Prof. professor,"
                    "Profa. professora, D. dom, p. ex. por exemplo, pág. página, págs. páginas, av. avenida,"
                    "Av. Avenida, aprox. aproximadamente, núm. número"),
    symbols=_by_name("% por cento, ‰ por mil, & e, @ arroba, + mais, = igual a, × vezes, ÷ dividido por,"
                     "± mais ou menos, ° graus, / barra, # cerquilha, . ponto, - hífen, _ sublinhado, ² ao quadrado,"
                     "³ ao cubo, ≈ cerca de, ? interrogação, : dois pontos, € euro, $ dólar, £ libra, § parágrafo"),
    fractions=_by_name("1/2 um meio, 1/3 um terço, 2/3 dois terços, 1/4 um quarto, 3/4 três quartos, 1/5 um quinto"),
    currencies={
        "€": (_m("euro", "euros"), _m("cêntimo", "cêntimos")), "$": (_m("dólar", "dólares"), _m("centavo", "centavos")),
        "£": (_f("libra", "libras"), _m("pêni", "pence")), "¥": (_m("iene", "ienes"), _m("sen", "sen")),
        "R$": (_m("real", "reais"), _m("centavo", "centavos")),
    },
    units={
        "km": _m("quilômetro", "quilômetros"), "m": _m("metro", "metros"), "cm": _m("centímetro", "centímetros"),
        "mm": _m("milímetro", "milímetros"), "kg": _m("quilograma", "quilogramas"), "g": _m("grama", "gramas"),
        "mg": _m("miligrama", "miligramas"), "l": _m("litro", "litros"), "L": _m("litro", "litros"),
        "ml": _m("mililitro", "mililitros"), "t": _f("tonelada", "toneladas"), "ha": _m("hectare", "hectares"),
        "h": _f("hora", "horas"), "min": _m("minuto", "minutos"), "s": _m("segundo", "segundos"),
        "km/h": _m("quilômetro por hora", "quilômetros por hora"), "m/s": _m("metro por segundo", "metros por segundo"),
        "°C": _m("grau Celsius", "graus Celsius"), "°": _m("grau", "graus"), "W": _m("watt", "watts"),
        "kW": _m("quilowatt", "quilowatts"), "kWh": _m("quilowatt-hora", "quilowatts-hora"), "V": _m("volt", "volts"),
        "GB": _m("gigabyte", "gigabytes"), "MB": _m("megabyte", "megabytes"), "Hz": _m("hertz", "hertz"),
        "m²": _m("metro quadrado", "metros quadrados"), "km²": _m("quilômetro quadrado", "quilômetros quadrados"),
        "m³": _m("metro cúbico", "metros cúbicos"),
    },
)  # fmt: skip

LANGUAGES = {language.code: language for language in (SPANISH, FRENCH, ITALIAN, PORTUGUESE)}
GROUPING = grouping("")


@cache
def rules_of(code: str) -> tuple[Rule, ...]:
    """The table of a language that is in `LANGUAGES`."""
    return _rules(LANGUAGES[code])
