"""Read formulas as people say them: "6x_1 + 4x_2 \\leq 24" is "six x one plus four x two is at most twenty-four".

A small set of rules for LaTeX's most frequent commands: arithmetic, powers, indices, fractions, roots, Greek letters,
relations, sums and integrals, functions. A formula beyond them is not read at all, rather than wrongly.
"""

from __future__ import annotations

import re

from vivavoce.text.characters import Rule, padded, rule
from vivavoce.text.english_numbers import number, ordinal
from vivavoce.text.english_tables import GREEK

_LONGEST = 400  # characters of a formula that a listener can follow
_DEEPEST = 6  # nested groups

_COMMANDS = {
    **{
        "cdot": "times",
        "times": "times",
        "ast": "times",
        "div": "divided by",
        "pm": "plus or minus",
        "mp": "minus or plus",
    },
    **{"leq": "is at most", "le": "is at most", "geq": "is at least", "neq": "does not equal"},
    **{
        "ne": "does not equal",
        "approx": "is about",
        "sim": "is about",
        "simeq": "is about",
        "equiv": "is equivalent to",
    },
    **{"propto": "is proportional to", "ll": "is much less than", "gg": "is much greater than", "lt": "is less than"},
    **{
        "gt": "is greater than",
        "equiv": "is equivalent to",
        "to": "to",
        "rightarrow": "to",
        "longrightarrow": "to",
        "mapsto": "maps to",
    },
    **{"Rightarrow": "implies", "implies": "implies", "iff": "if and only if", "Leftrightarrow": "if and only if"},
    **{"infty": "infinity", "in": "in", "notin": "not in", "subset": "is a subset of", "subseteq": "is a subset of"},
    **{"cup": "union", "cap": "intersection", "setminus": "without", "emptyset": "the empty set", "forall": "for all"},
    **{"exists": "there exists", "land": "and", "lor": "or", "neg": "not", "ldots": "and so on", "cdots": "and so on"},
    **{"dots": "and so on", "sin": "sine", "cos": "cosine", "tan": "tangent", "log": "log", "ln": "natural log"},
    **{"exp": "exp", "max": "max", "min": "min", "det": "determinant of", "partial": "partial", "nabla": "del"},
    **{"hbar": "h bar", "ell": "l", "prime": "prime", "degree": "degrees", "circ": "degrees", "percent": "percent"},
    **{"%": "percent", "$": "dollars", "&": "and", "#": "number"},
}
_BIG = {"sum": "the sum", "prod": "the product", "int": "the integral", "lim": "the limit", "oint": "the integral"}
_SETS = {"R": "the real numbers", "N": "the natural numbers", "Z": "the integers", "Q": "the rational numbers"}
_SETS |= {"C": "the complex numbers"}
_ACCENTS = {"hat": "hat", "bar": "bar", "vec": "vector", "tilde": "tilde", "dot": "dot", "overline": "bar"}
_SILENT = set("left right displaystyle textstyle quad qquad limits big Big bigl bigr Bigl Bigr , ; : !".split()) | {" "}
_TEXT = set("text mathrm operatorname textbf textit mathbf mathit mathsf mathcal textrm boldsymbol".split())
_SIGNS = {
    **{"+": "plus", "-": "minus", "−": "minus", "=": "equals", "<": "is less than", ">": "is greater than"},
    **{"*": "times", "×": "times", "·": "times", "÷": "divided by", "/": "over", "≤": "is at most", "≥": "is at least"},
    **{"≠": "does not equal", "≈": "is about", "±": "plus or minus", "→": "to", "∞": "infinity", "!": "factorial"},
    **{"%": "percent", "∈": "in", "∑": "the sum of", "∫": "the integral of", "°": "degrees", ":": "to"},
    **{"'": "prime", "√": "the square root of", "∂": "partial", "∇": "del", "∀": "for all", "∃": "there exists"},
}
_POWERS = {"2": "squared", "3": "cubed", "'": "prime", "T": "transpose", "\\top": "transpose", "*": "star"}
_POWERS |= {"\\circ": "degrees", "\\prime": "prime", "-1": "to the minus one"}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₋₊", "0123456789-+")

_TOKEN = re.compile(
    r"\s+|\d+(?:,\d{3})*(?:\.\d+)?|\.\d+|\\(?:[A-Za-z]+|.)|[⁰¹²³⁴-⁹⁻⁺ⁿ]+|[₀-₉₋₊]+|[A-Za-z]|[α-ωΑ-Ω]|.", re.DOTALL
)


_FUNCTIONS = {*"fghuFGHPpOELVN", "prime", "sine", "cosine", "tangent", "log", "natural log", "exp", "max", "min"}


class _Unreadable(Exception):
    """The formula is beyond the rules."""


class _Number(str):
    """The words of a number: a bracket after it multiplies."""


def read_formula(formula: str) -> str | None:
    """Return the words of a formula in LaTeX, without its dollar signs. None if it is beyond the rules."""
    if len(formula) > _LONGEST:
        return None
    try:
        words, rest = _sequence(_TOKEN.findall(formula), 0)
        return " ".join(words).replace(" ,", ",") if words and not rest else None
    except _Unreadable:
        return None


def _sequence(tokens: list[str], depth: int, end: str = "") -> tuple[list[str], list[str]]:
    """Return the words up to the token `end`, and the tokens after it."""
    if depth > _DEEPEST:
        raise _Unreadable
    words: list[str] = []
    while tokens:
        token, *tokens = tokens
        if token == end:
            return words, tokens
        more, tokens = _item(token, tokens, words, depth)
        words += more
    if end:
        raise _Unreadable
    return words, []


def _item(token: str, tokens: list[str], words: list[str], depth: int) -> tuple[list[str], list[str]]:
    """Return the words of a token with its arguments, and the tokens after them. words: those before it."""
    if token.isspace():
        return [], tokens
    if token[0] in ".0123456789" and token != ".":
        return [_Number(number(token if token[0] != "." else f"0{token}"))], tokens
    if token.isalpha() and token.isascii():
        return [token], tokens
    if token in GREEK:
        return [GREEK[token]], tokens
    if token in "^_":
        group, rest = _argument(tokens)
        return (_power(group, depth) if token == "^" else _index(group, depth)), rest
    if (plain := token.translate(_SUPERSCRIPTS)) != token:
        return _power([plain] if plain.isdigit() else _TOKEN.findall(plain), depth), tokens
    if (plain := token.translate(_SUBSCRIPTS)) != token:
        return _index(_TOKEN.findall(plain), depth), tokens
    if token == "{":
        return _sequence(tokens, depth + 1, "}")
    if token in ("(", "["):
        inner, rest = _sequence(tokens, depth + 1, {"(": ")", "[": "]"}[token])
        if words and (words[-1] in _FUNCTIONS or (len(inner) == 1 and len(words[-1]) == 1)):
            return ["of", *inner], rest
        times = words and (isinstance(words[-1], _Number) or len(words[-1]) == 1)
        return (["times", *inner] if times else inner), rest
    if token == "|":
        if words and words[-1] not in _SIGNS.values() and words[-1] not in _COMMANDS.values():
            return ["given"], tokens
        inner, rest = _sequence(tokens, depth + 1, "|")
        return ["the absolute value of", *inner], rest
    if token in (",", ";", "."):
        return ([","] if token != "." else []), tokens
    if token[0] == "\\":
        return _command(token[1:], tokens, depth)
    if token in _SIGNS:
        if token == "-" and not words:
            return ["minus"], tokens
        return [_SIGNS[token]], tokens
    raise _Unreadable


def _argument(tokens: list[str]) -> tuple[list[str], list[str]]:
    """Return the tokens of a group in braces, or a single token, and the tokens after it."""
    while tokens and tokens[0].isspace():
        tokens = tokens[1:]
    if not tokens or tokens[0] in "}^_":
        raise _Unreadable
    if tokens[0] != "{":
        if tokens[0][0].isdigit() and len(tokens[0]) > 1:  # x^23 is x squared, 3
            return [tokens[0][0]], [tokens[0][1:], *tokens[1:]]
        return tokens[:1], tokens[1:]
    level = 0
    for i, token in enumerate(tokens):
        level += {"{": 1, "}": -1}.get(token, 0)
        if level == 0:
            return tokens[1:i], tokens[i + 1 :]
    raise _Unreadable


def _all(tokens: list[str], depth: int) -> list[str]:
    return _sequence(list(tokens), depth + 1)[0]


def _power(group: list[str], depth: int) -> list[str]:
    written = "".join(group).strip()
    if written in _POWERS:
        return [_POWERS[written]]
    if not written:
        raise _Unreadable
    if re.fullmatch(r"[a-z]", written):
        return ["to the", written]
    if re.fullmatch(r"\d{1,2}", written):
        return ["to the", ordinal(written)]
    return ["to the power of", *_all(group, depth)]


def _index(group: list[str], depth: int) -> list[str]:
    inner = _all(group, depth)
    return inner if "".join(group).isdigit() else ["sub", *inner]


def _command(name: str, tokens: list[str], depth: int) -> tuple[list[str], list[str]]:
    if name in _SILENT:
        return [], tokens
    greek = name.removeprefix("var")
    if greek.lower() in GREEK.values():
        return [greek.lower() if greek[0].islower() else greek], tokens
    if name in _COMMANDS:
        return [_COMMANDS[name]], tokens
    if name in _BIG:
        return _big(name, tokens, depth)
    if name in ("frac", "dfrac", "tfrac"):
        top, tokens = _argument(tokens)
        bottom, tokens = _argument(tokens)
        simple = {
            "1/2": "one half",
            "1/3": "one third",
            "1/4": "one quarter",
            "2/3": "two thirds",
            "3/4": "three quarters",
        }
        written = f"{''.join(top)}/{''.join(bottom)}"
        return ([simple[written]] if written in simple else [*_all(top, depth), "over", *_all(bottom, depth)]), tokens
    if name == "sqrt":
        root = ["the square root of"]
        if tokens and tokens[0] == "[":
            degree, tokens = _sequence(tokens[1:], depth + 1, "]")
            root = ["the cube root of"] if degree == ["three"] else ["the root of order", *degree, "of"]
        inner, tokens = _argument(tokens)
        return [*root, *_all(inner, depth)], tokens
    if name == "mathbb":
        inner, tokens = _argument(tokens)
        letter = "".join(inner)
        if letter not in _SETS:
            raise _Unreadable
        return [_SETS[letter]], tokens
    if name in _TEXT:
        inner, tokens = _argument(tokens)
        words = "".join(inner).strip()
        if not re.fullmatch(r"[A-Za-z][A-Za-z ,.'-]*", words):
            raise _Unreadable
        return words.split(), tokens
    if name in _ACCENTS:
        inner, tokens = _argument(tokens)
        return [*_all(inner, depth), _ACCENTS[name]], tokens
    if name == "binom":
        top, tokens = _argument(tokens)
        bottom, tokens = _argument(tokens)
        return [*_all(top, depth), "choose", *_all(bottom, depth)], tokens
    if name == "{":
        inner, tokens = _sequence(tokens, depth + 1, "\\}")
        return ["the set of", *inner], tokens
    raise _Unreadable


def _big(name: str, tokens: list[str], depth: int) -> tuple[list[str], list[str]]:
    """Read a sum, product, integral or limit with its bounds."""
    lower, upper = None, None
    while tokens and (tokens[0] in ("_", "^") or tokens[0].isspace() or tokens[0] == "\\limits"):
        sign, *tokens = tokens
        if sign in ("_", "^"):
            group, tokens = _argument(tokens)
            if sign == "_":
                lower = _all(group, depth)
            else:
                upper = _all(group, depth)
    words = [_BIG[name]]
    if lower and name == "lim":
        words += ["as", *("goes to" if word == "to" else word for word in lower)]
    elif lower and upper:
        words += ["from", *lower, "to", *upper]
    elif lower:
        words += ["over", *lower]
    return [*words, "of"], tokens


def _formula(m: re.Match[str]) -> str:
    """Read a formula between dollar signs. Leave it out if it is beyond the rules, unless it may be sums of money."""
    content = (m[1] or m[2]).strip()
    formal = m[1] is not None or re.search(r"[\\^_{]", content)
    # without words: "$|x|$", "$P(A|B)$", "$x - y$"
    variables = re.search(r"[A-Za-z]", content) and not re.search(r"[A-Za-z]{2}", content)
    if not formal and not variables and not re.search(r"[=<>+]", content) and len(content) > 2:
        return m[0]
    words = read_formula(content)
    if words is not None:
        return padded(m, words)
    return "" if formal else m[0]


# They must see the text before typography changes its signs.
RULES: tuple[Rule, ...] = (
    rule(
        "formula",
        r"\$\$([^$]{1,2000})\$\$|(?<![\w$\\])\$(?=[^\s$])([^$]{0,300}?[^\s$\\])\$(?![\w$])",
        _formula,
        "$",
    ),
)
