"""English as it is written → the words that are spoken: the table of rules that `text.normalise` applies, in order.

Each rule has a name, a pattern and what is said instead: a template, or a function of the match, most of them in
`text_readings`. The words they know (units, months, titles, …) stand in `text_tables`. To teach a new case, add a rule
or a table entry, and a line to tests/data/normalise.tsv. Knows nothing about paragraphs, pieces or vocabularies.
"""

from __future__ import annotations

import re

from vivavoce import text_readings as say
from vivavoce.text_characters import SYMBOLS, Rule, any_of, first_rules, grouping, last_rules, numeric, padded, rule
from vivavoce.text_numbers import DECIMAL, INTEGER, cardinal, digits, number, ordinal, pairs, roman, short_year, year
from vivavoce.text_tables import (
    BEFORE_NUMBER,
    BIBLE,
    CURRENCIES,
    CURRENCY_CODES,
    DAY_OF,
    ELEMENTS,
    EMERGENCY,
    EXTENSIONS,
    GREEK,
    MONTH_OF,
    PAIRED,
    PER,
    SCALES,
    SHORTENED,
    STATES,
    STREETS,
    SUFFIXES,
    TITLES,
    UNCOUNTED,
    UNIT_WORDS,
    UNITS,
)

# ----------------------------------------------------------------------------------------------------------- the table

COMPASS = {"N": "north", "S": "south", "E": "east", "W": "west"}
_DAY = any_of(DAY_OF)
_UNIT = any_of([*UNITS, *UNCOUNTED])
_PLAIN_UNIT = any_of([u for u in (*UNITS, *UNCOUNTED) if not set(u) & set("/²³°")])
_CURRENCY = any_of(CURRENCIES)
_CODES = any_of(CURRENCY_CODES)
_SCALE = any_of(SCALES)
_TIME = r"\d{1,2}(?::[0-5]\d)?\s?[AaPp](?:\.\s?[Mm]\.|[Mm](?!\w))"

# In order. A rule sees one paragraph, its white space already folded, as the rules before it left it. Patterns start at
# a place that a lookbehind fixes, so that no text makes them take quadratic time.
RULES: tuple[Rule, ...] = (
    *first_rules(
        (
            rule("unit", rf"(?<![\w.])({DECIMAL})([\s-]?)(m/s²|kg/m³|g/cm³)()(?!\w)", say.unit),
            rule("unit power", rf"(?<![\w.])({DECIMAL})([\s-]?)({_PLAIN_UNIT})([²³])(?!\w)", say.unit),
            rule("superscript", r"(?<=[\w)])[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", say.superscript),
            rule("unit", r"(?<=\d)\s?(?:º\s?|°\s)(?=[CF](?!\w))", "°"),
        )
    ),
    # addresses and names of files
    rule("url", r"(?<!\w)(?:[Hh][Tt][Tt][Pp][Ss]?://|[Ff][Tt][Pp]://|www\.)[^\s\"<>—]+", say.address),
    rule("email", r"(?<![\w.+-])(?:mailto:)?[\w+-][\w.+-]{0,63}@(?:[\w-]+\.)+[\w-]+", say.address),
    rule(
        "file name", rf"(?<![\w.@/-])(?:[\w-]{{1,63}}\.)+(?:{EXTENSIONS})(?![\w@])(?:[/?:#][^\s\"<>—]*)?", say.address
    ),
    rule("path", r"(?<![^\s\"'(])~?(?:/[\w.-]+){2,}/?", say.address),
    rule("file name", r"(?<!\S)\.(?=(?:git\w*|env|[a-z]+rc)(?!\w))", "dot "),
    rule("hashtag", r"(?<!\w)#([A-Za-z]\w*)", say.hashtag),
    rule("at name", r"(?<![\w@.])@(?=[A-Za-z_])", "at "),
    # abbreviations
    rule(
        "abbreviation",
        rf"(?<![\w./])(?:{any_of(SHORTENED)})(?![\w/]|\.\w)|(?<![\w./])(?:{any_of(SHORTENED)})(?<=[./])",
        say.shortened,
    ),
    rule("title", rf"(?<![\w.])({any_of(TITLES)})(?:\.|(?=\s[A-Z]))(?!\w)", say.title),
    rule("abbreviation", rf"(?<![\w.])({any_of(STREETS | SUFFIXES)})\.(?!\w)", say.suffix),
    rule("Latin", r"(?<![\w.])((?:[Ee]\.\s?g|[Ii]\.\s?e)|viz|cf)\.(?!\w)", say.latin),
    rule("and/or", r"(?<!\w)and/or(?!\w)", "and or"),
    rule(
        "before number",
        rf"(?<![\w.])({any_of(BEFORE_NUMBER)})\.\s?(?=\d|(?:[IVXL]{{2,}}|[VX])(?!\w))",
        lambda m: BEFORE_NUMBER[m[1]] + " ",
    ),
    rule("state", rf"(?<=[a-z]),\s({any_of(STATES)})(?![\w'])(?:\s(\d{{5}})(?:-(\d{{4}}))?(?!\w))?", say.state),
    # dates
    numeric("date", r"(?<![\w/-])(\d{4})-(\d\d)-(\d\d)(?:(T)(?=\d\d:)|(?![\w-]))", say.year_first),
    numeric("date", r"(?<![\w/-])(\d{4})/(\d\d?)/(\d\d?)()(?![\w/-])", say.year_first),
    numeric("date", r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/])", say.slash_date),
    numeric("date", r"(?<![\w-])(\d{1,2})-(\d{1,2})-(\d{4})(?![\w-])", say.slash_date),
    numeric(
        "date",
        r"(?<![\w.])(\d{1,2})\.(\d{1,2})\.(\d{4})(?!\w|\.\d)",
        lambda m: say.date(m[3], int(m[2]), int(m[1]), m[0]),
    ),
    numeric("date", rf"(?<![\w-])(\d{{1,2}})-({say.MONTH})-(\d{{4}}|\d\d)(?![\w-])", say.named_month),
    rule("weekday", rf"(?<!\w)({_DAY})\.?\s?[-–]\s?({_DAY})(?!\w)", lambda m: f"{DAY_OF[m[1]]} to {DAY_OF[m[2]]}"),
    rule("weekday", rf"(?<!\w)({_DAY})(?:\.|(?=,?\s(?:{say.MONTH}|\d)))(?!\w)", say.weekday),
    rule(
        "month",
        rf"(?<!\w)({say.MONTH})\.?\s?[-–]\s?({say.MONTH})(?!\w)",
        lambda m: f"{MONTH_OF[m[1]]} to {MONTH_OF[m[2]]}",
    ),
    numeric(
        "date",
        rf"(?<!\w)({say.MONTH})\.?\s(\d{{1,2}})(?:st|nd|rd|th)?(?:\s?[-–]\s?(\d{{1,2}})(?:st|nd|rd|th)?)?"
        r"(?![\w%]|[.:,/-]\d)(?:(,?\s)([12]\d{3})(?!\w|[.,]\d))?",
        say.month_day,
    ),
    numeric(
        "date",
        rf"(?<![\w.,:$£€/-])(the\s)?(?:(\d{{1,2}})(?:st|nd|rd|th)?\s?[-–]\s?)?(\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?"
        rf"({say.MONTH})(?!\w)(?:\.(?=\s\d))?(?:,?\s([12]\d{{3}})(?!\w|[.,]\d))?",
        say.day_month,
    ),
    rule("month", rf"(?<!\w)({say.MONTH})\.(?=\s\d{{4}}(?!\w))", lambda m: MONTH_OF[m[1]]),
    # telephones and times
    numeric("telephone", r"(?<![\w-])1-(8\d\d)-(?=[A-Z])", lambda m: f"one, {digits(m[1])}, "),
    numeric("telephone", r"(?<![\w-])(?:\+?1[\s-])?(?:\(\d{3}\)\s?|\d{3}[-.])?\d{3}[-.]\d{4}(?![\w-])", say.telephone),
    numeric("telephone", r"(?<![\w-])(?:\+?1[\s-])?\(\d{3}\)\s?\d{3}\s\d{4}(?![\w-])", say.telephone),
    numeric("telephone", r"(?<!\w)\+\d{1,3}(?:[\s-]\d{2,5}){2,5}(?!\w)", say.telephone),
    numeric("telephone", r"(?<![\w.,-])0\d{2,4}(?:\s\d{3,6}){1,3}(?!\w)", say.telephone),
    numeric(
        "telephone",
        rf"((?:[Cc]all|[Dd]ial|[Rr]ing)\s)({any_of(EMERGENCY)})(?![\w,.]\d|\w)",
        lambda m: m[1] + digits(m[2]),
    ),
    numeric("code number", r"(?<!\w)\d{4}(?:\s\d{4}){2,4}(?!\w)", say.telephone),
    numeric("clock", r"(?<![\w.,:])(\d{1,2})\.([0-5]\d)(?=\s?[AaPp]\.?\s?[Mm](?!\w))", r"\1:\2"),
    numeric("range", rf"(?<![\w.,:])({_TIME}|\d{{1,2}}(?::[0-5]\d)?)\s?[-–]\s?(?={_TIME})", r"\1 to "),
    numeric("range", r"(?<![\w.,:])(\d{1,2}:[0-5]\d)\s?[-–]\s?(?=\d{1,2}:[0-5]\d)", r"\1 to "),
    numeric("clock", r"(?<!\w)([01]\d|2[0-4])([0-5]\d)\s(?=h(?:ou)?rs(?!\w))", say.military),
    numeric("clock", r"(?<!\w)([01]?\d|2[0-4])[hH]([0-5]\d)()()(?!\w)", say.clock),
    numeric("verse", rf"(?<!\w)({any_of(BIBLE)})\s(\d{{1,3}}):(\d{{1,3}})(?!\d|:)", r"\1 \2 \3"),
    numeric(
        "ratio",
        r"(?<!\w)((?:[Rr]atio|[Oo]dds|[Ss]cale|[Pp]roportion|[Mm]ixed)(?:\s[a-z]+){0,3}\s)(\d+):(?=\d)",
        r"\1\2 to ",
    ),
    numeric(
        "clock",
        r"(?<![\w.,:])(\d{1,2})(?::([0-5]\d))?(?::([0-5]\d))?(?:\s?([AaPp])(?:\.\s?[Mm]\.|[Mm]\.?(?!\w)))?(?![\w:])",
        say.clock,
    ),
    numeric(
        "duration", r"(?<![\w.])(\d+)\s?h(?:rs?)?\s?(\d+)\s?m(?:ins?)?(?:\s?(\d+)\s?s(?:ecs?)?)?(?!\w)", say.duration
    ),
    numeric("duration", r"(?<![\w.])()(\d+)\s?m(?:ins?)?\s?(\d+)\s?s(?:ecs?)?(?!\w)", say.duration),
    # amounts
    numeric("feet", r"(?<!\w)(\d{1,2})'(\d{1,2})(\"|'')", say.feet),
    numeric(
        "feet",
        r"(?<![\w.])(\d+)\s?ft\.?\s(\d+)\s?in(?:\.(?=\s[a-z])|(?!\w|\.\w))",
        lambda m: f"{say.counted(m[1], 'foot', 'feet')} {say.counted(m[2], 'inch', 'inches')}",
    ),
    numeric(
        "inches",
        r"(?<![\w/])(?:(\d+)\s)?(\d{1,3})/(\d{1,3})\"(?!\w)",
        lambda m: padded(m, f"{say.fraction_words(m[1], m[2], m[3])} inch"),
    ),
    numeric("inches", r"(?<![\w\"/])(\d+(?:\.\d+)?)\"(?!\w)", say.inches),
    numeric("decade", r"(?<![\w'.])(')(\d0)'?s(?!\w)", say.decade),
    numeric("decade", r"(?<!\w)((?:[Tt]he|[Ee]arly|[Ll]ate|[Mm]id)[\s-])?(1\d\d0|20\d0)'?s(?!\w)", say.decade),
    numeric("decade", r"(?<!\w)((?:[Tt]he|[Ee]arly|[Ll]ate|[Mm]id)[\s-])([2-9]0)'?s(?!\w)", say.decade),
    numeric(
        "decade",
        r"(?<!\w)()([2-9]0)s(?=\s(?:music|style|fashion|films?|movies?|hits?|pop|rock|songs?|bands?|kids?))",
        say.decade,
    ),
    numeric(
        "code",
        r"(?<![\w-])([A-Z]{1,3})(-?)(\d{1,3})s(?!\w)",
        lambda m: f"{' '.join(m[1])}{m[2] or ' '}{say.plural(pairs(m[3]))}",
    ),
    numeric("year", r"(?<=\w\s)'(\d\d)(?![\w'])", lambda m: short_year(m[1])),
    numeric("year", r"(?<![\w.,])(\d{1,4})\s(BCE|BC|CE|AD|B\.C\.E?\.?|A\.D\.|C\.E\.)(?!\w)", say.era),
    numeric("year", r"(?<![\w.])(?:AD|A\.D\.)\s(\d{1,4})(?!\w|[.,]\d)", lambda m: f"A D {pairs(m[1])}"),
    numeric("year", r"(?<![\w/.])([12]\d{3})/(\d\d)(?![\w/])", lambda m: f"{year(m[1])} to {short_year(m[2])}"),
    numeric(
        "money",
        rf"({_CURRENCY})({DECIMAL})(?:\s?({_SCALE})(?!\w))?\s?[-–]\s?(?:\1)?(?={DECIMAL})",
        lambda m: f"{number(m[2])}{' ' + SCALES[m[3]] if m[3] else ''} to {m[1]}",
    ),
    numeric("code number", r"(?<![\w-])\d+(?:-\d+){2,}(?![\w-])", say.telephone),
    numeric("minus", r"(?<=\d)\s?[-–]\s?(?=\d+(?:\.\d+)?\s?=)", " minus "),
    numeric(
        "range", rf"(?<![\w.,–$£€-])({DECIMAL}\s?(?:{_UNIT}|%))\s?[-–]\s?(?={DECIMAL}\s?(?:{_UNIT}|%)(?!\w))", r"\1 to "
    ),
    numeric("range", rf"(?<![\w.,–$£€-])({DECIMAL})\s?[-–]({DECIMAL})(?![\w–-]*[\w–-]\d)", say.span),
    numeric("minus", r"([$£€¥₹])-(?=\d)", r"-\1"),
    numeric(
        "minus",
        rf"(?<=\d)\s-\s(?=\d)|(?<![^\s(\"'—])-(?=(?:{_CURRENCY})?\.?\d)",
        lambda m: padded(m, "minus ").rstrip() + " ",
    ),
    numeric(
        "money",
        rf"(?<!\w)({_CODES})\s?({DECIMAL})(?:\s?({_SCALE})(?!\w))?(?!\w)",
        lambda m: say.amount(m[2], m[3], CURRENCY_CODES[m[1]]),
    ),
    numeric(
        "money",
        rf"(?<![\w.,])({DECIMAL})(?:\s?({_SCALE}))?\s?({_CODES})(?!\w)",
        lambda m: say.amount(m[1], m[2], CURRENCY_CODES[m[3]]),
    ),
    numeric("money", rf"(?<![A-Za-z])({_CURRENCY})\s?({DECIMAL})(?:(?:\s|-)?({_SCALE})(?!\w))?", say.money),
    numeric("money", rf"({_CURRENCY})({DECIMAL})", lambda m: padded(m, say.amount(m[2], None, CURRENCIES[m[1]]))),
    numeric("money", rf"(?<![\w.])({DECIMAL})\s?¢", lambda m: padded(m, say.counted(m[1], "cent", "cents"))),
    numeric(
        "money",
        rf"(?<![\w.,])({DECIMAL})(?:\s?({_SCALE}))?\s?([€£₽₹₪₩₴]|zł)(?!\w)",
        lambda m: padded(m, say.amount(m[1], m[2], CURRENCIES[m[3]])),
    ),
    numeric("percent", rf"(?<![\w.])({DECIMAL})\s?%", lambda m: padded(m, f"{number(m[1])} percent")),
    numeric(
        "rating", r"(?<![\w/.])(\d+\.\d+)/(5|10|100)(?![\w/])", lambda m: f"{number(m[1])} out of {cardinal(m[2])}"
    ),
    numeric(
        "rating",
        r"((?:[Rr]ated|[Ss]cored?|[Rr]ating|[Gg]ave|got)(?:\s[a-z]+){0,3}\s)(\d+)/(5|10|100)(?![\w/])",
        lambda m: f"{m[1]}{cardinal(m[2])} out of {cardinal(m[3])}",
    ),
    numeric("internet address", r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w)", say.internet),
    numeric("grouping", r"(?<![\w.])\d{1,3}(?:\.000){2,}(?!\w|\.\d)", lambda m: m[0].replace(".", ",")),
    numeric("version", r"(?<![\w.])([vV])?(\d+(?:\.\d+){2,})(?!\w)", say.version),
    numeric("version", r"(?<![\w.])(v)(\d+(?:\.\d+)?)(?!\w|\.\d)", say.version),
    numeric("version", r"(?<!\w)([A-Za-z]+)\s(\d+)\.(\d+)(?!\w|%|\s?%|\.\d)", say.named_version),
    numeric("power", r"(?<=\d)\s?[x×*]\s?(?=10(?:\^| to the power))", " times "),
    numeric(
        "power",
        r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?)(\d{1,3})(?!\w)",
        lambda m: f"{number(m[1])} times ten to the power of {'minus ' if m[2] == '-' else ''}{cardinal(m[3])}",
    ),
    numeric(
        "fraction",
        rf"(?<![\w/.])(?:(\d{{1,9}})\s)?(\d{{1,3}})/(\d{{1,3}})\s?({_PLAIN_UNIT})(?![\w'/°])",
        say.parts_of_unit,
    ),
    numeric(
        "by",
        r"(?<![\w.])(\d+(?:\.\d+)?)(?:\s?x\s?|×)(?=(\d+(?:\.\d+)?))",
        lambda m: m[0] if m[1] == "0" else f"{say.side(m[1])} by ",
    ),
    numeric("times", r"(?<![\w.])(\d+(?:\.\d+)?)x(?!\w)", lambda m: f"{number(m[1])} times"),
    numeric("area", r"(?<![\w.])(" + DECIMAL + r")([\s-]?)(m|cm|mm|km|ft)([23])(?!\w)", say.unit),
    numeric(
        "compass", rf"(?<![\w.])({DECIMAL})\s?°\s?([NSEW])(?!\w)", lambda m: f"{number(m[1])} degrees {COMPASS[m[2]]}"
    ),
    numeric(
        "unit",
        rf"(?<![\w./])({DECIMAL})([\s-]?)({_UNIT})()(?![\w'°]|/(?!(?:{any_of(PER)})(?!\w)))(?:\.(?=\s[a-z&]|[,;:)]))?",
        say.unit,
    ),
    numeric("scale", rf"(?<![\w.])({DECIMAL})\s?(k|K|M|B|T|bn|mn|tn)(?!\w)", say.scale),
    numeric(
        "fraction", r"(?<![\w/.])(?:(\d{1,9})\s)?(\d{1,3})/(\d{1,3})(?:st|nd|rd|ths?|rds)?(?![\w/]|\.\d)", say.fraction
    ),
    numeric("ordinal", rf"(?<![\w.])({INTEGER})(?:st|nd|rd|th|ST|ND|RD|TH|º|ª)(?!\w)", lambda m: ordinal(m[1])),
    numeric(
        "numbered", r"(?<!\w)(" + any_of(PAIRED) + r")\s(\d{3,4})(?!\w|[.,:/]\d)", lambda m: f"{m[1]} {pairs(m[2])}"
    ),
    numeric(
        "street number",
        r"(?<![\w.,:])(\d{3,4})(?=\s(?:[A-Z][\w']+\s){1,3}(?:Street|Avenue|Road|Drive|Lane|Boulevard)(?!\w))",
        lambda m: pairs(m[1]),
    ),
    numeric(
        "code number",
        r"(?<!\w)((?i:(?:order|code|ticket|case)(?=:|\snumber|\sno\.|\s#)|account|tracking|serial|pin|passport|id)"
        r"(?i:\snumber|\sno\.)?(?:\sis|:)?\s#?)(\d{4,})(?![\w.,]\d|\w)",
        lambda m: m[1] + digits(m[2]),
    ),
    numeric("year", r"(?<![\w.,:/-])(?:1\d{3}|20\d\d)(?!\w|[.,:/]\d)", say.calendar_year),
    numeric("ratio", r"(?<=\d):(?=\d)", " to "),
    rule("unit", rf"(?<![\w/])(?:{any_of(UNIT_WORDS)})(?![\w/])", lambda m: padded(m, UNIT_WORDS[m[0]])),
    rule("per", rf"(?<=[a-z])\s?/({any_of(PER)})(?![\w/])", lambda m: f" per {PER[m[1]]}"),
    # names and codes
    rule("numbered", r"(?<!\w)([A-Za-z]+)\s([IVXLC]+|[ivxl]+)(?![\w'-])", say.numbered),
    rule(
        "numbered",
        r"^(?!I\.)([IVX]+)\.\s(?=[A-Z])",
        lambda m: f"{cardinal(str(roman(m[1]))).capitalize()}. " if roman(m[1]) else m[0],
    ),
    rule(
        "regnal",
        r"(?<!\w)((?:King|Queen|Pope|Emperor|Empress|Tsar|Czar|Prince)\s)?([A-Z][a-z]+)\s([IVX]+)(?![\w-])",
        say.regnal,
    ),
    rule("numbered", r"(?<!\w)([A-Z][a-z]+)\s((?!XX)[IVX]{2,6})(?![\w-])", say.sequel),
    numeric(
        "code",
        r"(?<![\w-])(?=[\w-]{0,40}_)(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)+(?![\w-])",
        say.code,
    ),
    numeric(
        "code",
        r"(?<![\w#@$!])(?=[\w#@$!]{0,40}\d)(?=[\w#@$!]{0,40}[A-Za-z])[A-Za-z0-9]+(?:[@#$!_][A-Za-z0-9]+)+(?![\w@#$])",
        say.code,
    ),
    numeric(
        "code",
        r"(?<![\w-])(?=[A-Z0-9-]{0,40}\d)(?=[A-Z0-9-]{0,40}[A-Z])[A-Z0-9]{3,8}(?:-[A-Z0-9]{3,8}){2,}(?![\w-])",
        say.key,
    ),
    numeric("code", r"(?<![\w-])([A-Z])-(?=\d)", r"\1 "),
    rule(
        "formula",
        rf"(?<![\w'-])(?=[A-Za-z]*\d|[A-Z]?[A-Z][a-z][A-Z]|[A-Z][A-Z][a-z](?!\w))(?:(?:{ELEMENTS})\d*){{2,}}(?![\w'])",
        say.formula,
    ),
    numeric("code", r"(?<!\w)(?=[A-Za-z_]*[0-9])(?=[0-9_]*[A-Za-z_])[A-Za-z0-9_]+(?!\w)", say.code),
    rule("initialism", r"(?<!\w)([A-Z]{1,3})&([A-Z]{1,3})(?!\w)", lambda m: f"{' '.join(m[1])} and {' '.join(m[2])}"),
    rule("initialism", r"(?<![\w.'])([A-Z]{2,6})(s)?(?!\w|\.[A-Z])", say.initialism),
    rule("joined words", r"(?<=[a-z]{3})(?<!\bMac)(?<!\bFitz)(?=[A-Z][a-z])", " "),
    # symbols
    rule("number sign", r"#(?=\d)", lambda m: padded(m, "number")),
    rule("number sign", r"(?<=\b[A-Z])#", lambda m: padded(m, "sharp")),
    rule("number sign", r"#(?=\w)", lambda m: padded(m, "hash")),
    rule("operator", r"\+/-|(?<![<>=!-])(?:<=|>=|!=|==|->|=>)(?![<>=])", say.operator),
    rule("operator", r"(?<=\s)[<>](?=\s)|(?<![^\s(])[<>](?=\d)", say.operator),
    rule("divided by", r"(?<=[\d)])\s/\s(?=[\d(])", " divided by "),
    numeric("times", r"(?<=\d)\s?\*\s?(?=\d)", " times "),
    numeric("about", r"[~∼](?=\d)", lambda m: padded(m, "about")),
    rule("power", r"(?<=[\w)])\^(-?)(?=\w)", lambda m: f" to the power of {'minus ' if m[1] else ''}"),
    rule("underscore", r"(?<=\w)_(?=\w)", " underscore "),
    rule(
        "Greek",
        r"(?<![\u0370-\u03ff\u1f00-\u1fff])[α-ωΑ-Ω](?![\u0370-\u03ff\u1f00-\u1fff])",
        lambda m: padded(m, GREEK[m[0]]) if m[0] in GREEK else m[0],
    ),
    rule("symbol", "[" + re.escape("".join(SYMBOLS)) + "]", say.symbol),
    # what numbers are left
    numeric("decimal", r"(?<![\w.])\.(\d+)", lambda m: padded(m, f"point {digits(m[1])}")),
    numeric("list", r"(?<=\d),(?=\d{1,2}(?!\d)|\d{4})", ", "),
    numeric("number", DECIMAL, lambda m: padded(m, number(m[0]))),
    *last_rules(),
)
GROUPING = grouping(",")

# Before a match: whether what comes out of it opens a sentence.
AT_START = re.compile(r"(?:^|(?<![ap]\.m)(?<![A-Z])[.!?…][\"')]*\s)[\"'(¿¡]*$")
