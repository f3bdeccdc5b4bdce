"""Symbols, operators and the remaining numbers of English text as words: "a <= b" is "a at most b"."""

from __future__ import annotations

import re
import unicodedata

from vivavoce.text.characters import SYMBOLS, Rule, numeric, padded, rule
from vivavoce.text.english_numbers import DECIMAL, digits, number
from vivavoce.text.english_tables import GREEK

# Signs of mathematics beyond those that other languages have names for.
_MATHS = {
    **{"∛": "cube root of", "∜": "fourth root of", "∈": "in", "∉": "not in", "∩": "intersection", "∪": "union"},
    **{"⊂": "is a subset of", "⊆": "is a subset of", "∅": "the empty set", "∀": "for all", "∃": "there exists"},
    **{"∑": "sum of", "∏": "product of", "∫": "integral of", "∂": "partial", "∇": "del", "∝": "proportional to"},
    **{"≡": "is equivalent to", "≅": "is congruent to", "⇒": "implies", "⇔": "if and only if", "∴": "therefore"},
    **{
        "≪": "much less than",
        "≫": "much greater than",
        "∧": "and",
        "∨": "or",
        "¬": "not",
        "∥": "parallel to",
        "¶": "paragraph",
        "∠": "angle",
    },
}
_SYMBOLS = {**SYMBOLS, **_MATHS}


def superscript(m: re.Match[str]) -> str:
    power = unicodedata.normalize("NFKC", m[1]).replace("−", "-").replace("-", "minus ")
    words = padded(m, {"2": "squared", "3": "cubed"}.get(power, f"to the power of {power}"))
    return f"{words.rstrip()} minus " if m[2] else words


def symbol(m: re.Match[str]) -> str:
    return padded(m, _SYMBOLS[m[0]])


def operator(m: re.Match[str]) -> str:
    said = {"<=": "at most", ">=": "at least", "!=": "does not equal", "==": "equals", "->": "to", "=>": "to"}
    return padded(m, (said | {"+/-": "plus or minus", "<": "less than", ">": "greater than"})[m[0].strip()])


POWERS: tuple[Rule, ...] = (
    rule(
        "superscript",
        r"(?<=[\w)])([⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)(\s?[-–]\s?(?=\d|[A-Za-z](?:[⁰¹²³⁴-⁹]|\s?[=+)]|$)))?",
        superscript,
        "⁰¹²³⁴⁵⁶⁷⁸⁹",
    ),
    rule("unit", r"(?<=\d)\s?(?:º\s?|°\s)(?=[CF](?!\w))", "°", "º°"),
)

RULES: tuple[Rule, ...] = (
    rule("number sign", r"#(?=\d)", lambda m: padded(m, "number"), "#"),
    rule("number sign", r"(?<=\b[A-Z])#", lambda m: padded(m, "sharp"), "#"),
    rule("symbol", r"§§\s?(?=\w)", "sections ", "§"),
    rule("number sign", r"#(?=\w)", lambda m: padded(m, "hash"), "#"),
    rule("operator", r"\+/-|(?<![<>=!-])(?:<=|>=|!=|==|->|=>)(?![<>=])", operator, "<>=+"),
    rule("operator", r"(?<=\s)[<>](?=\s)|(?<![^\s(])[<>](?=\d)", operator, "<>=+"),
    rule("divided by", r"(?<=[\d)])\s/\s(?=[\d(])", " divided by ", "/"),
    numeric("times", r"(?<=\d)\s?\*\s?(?=\d)", " times "),
    numeric("about", r"[~∼](?=\d)", lambda m: padded(m, "about")),
    rule("power", r"(?<=[\w)])\^([23])(?!\w|\.\d)", lambda m: padded(m, "squared" if m[1] == "2" else "cubed"), "^"),
    rule("function", r"(?<!\w)([fghFGP])\(([a-zA-Z])\)", r"\1 of \2", "("),
    rule("partial", r"(?<=∂[a-zA-Z])/(?=∂)", " over ", "∂"),
    rule("power", r"(?<=[\w)])\^(-?)(?=\w)", lambda m: f" to the power of {'minus ' if m[1] else ''}", "^"),
    rule("underscore", r"(?<=\w)_(?=\w)", " underscore ", "_"),
    rule(
        "Greek",
        r"(?<![\u0370-\u03ff\u1f00-\u1fff])[α-ωΑ-Ω](?![\u0370-\u03ff\u1f00-\u1fff])",
        lambda m: padded(m, GREEK[m[0]]) if m[0] in GREEK else m[0],
        "".join(GREEK),
    ),
    rule("symbol", "[" + re.escape("".join(_SYMBOLS)) + "]", symbol, "".join(_SYMBOLS)),
)

NUMBERS: tuple[Rule, ...] = (
    numeric("decimal", r"(?<![\w.])\.(\d+)", lambda m: padded(m, f"point {digits(m[1])}")),
    numeric("list", r"(?<=\d),(?=\d{1,2}(?!\d)|\d{4})", ", "),
    numeric("number", DECIMAL, lambda m: padded(m, number(m[0]))),
)
