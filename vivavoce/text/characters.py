"""Rules that every language shares: what a `Rule` and a `Change` are, and the rules for typography and symbols.

The rules of a language stand between `first_rules`, which map typographic and compatibility characters to plain ones,
and `last_rules`, which drop what cannot be spoken.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

PUNCTUATION = ".,;:!?'\"-()…—"  # all that normalised text may contain besides letters and spaces

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
# English names. All languages need the keys: a symbol with a name must not be replaced by its compatibility form.
SYMBOLS = {
    **{"@": "at", "&": "and", "+": "plus", "=": "equals", "%": "percent", "‰": "per mille", "°": "degrees"},
    **{"×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "≠": "does not equal"},
    **{"≤": "at most", "≥": "at least", "√": "square root of", "∞": "infinity", "→": "to", "/": "slash"},
    **{"\\": "backslash", "$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "₹": "rupee", "¢": "cent"},
    **{"₽": "ruble", "₩": "won", "₪": "shekel", "₺": "lira", "₴": "hryvnia", "₦": "naira", "₱": "peso"},
    **{"฿": "baht", "₫": "dong", "₿": "bitcoin", "♯": "sharp", "♭": "flat"},
    **{"©": "copyright", "§": "section", "µ": "micro", "²": "squared", "³": "cubed"},
}
DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Not spoken. Listed so that the compatibility mapping does not turn them into letters.
SILENT = "™®℠"


# Matches the text before a place where a sentence starts.
AT_START = re.compile(r"(?:^|(?<![ap]\.m)(?<![A-Z])[.!?…][\"')]*\s)[\"'(¿¡]*$")


@dataclass(frozen=True)
class Change:
    """One replacement: the name of the rule, the characters before, and the characters after ("": dropped)."""

    rule: str
    before: str
    after: str


@dataclass(frozen=True)
class Rule:
    """A pattern and a function from its match to words. The function may return the match unchanged: no `Change` then.

    needs: the rule is skipped for text without any of these characters, or whose set of characters this function
    rejects, which saves most of the time. Of several strings, the text needs a character of each. "": never skipped.
    """

    name: str
    pattern: re.Pattern[str]
    speak: Callable[[re.Match[str]], str]
    needs: str | tuple[str, ...] | Callable[[set[str]], bool] = ""

    def concerns(self, signs: set[str]) -> bool:
        """Return whether a text of these characters may match."""
        if callable(self.needs):
            return self.needs(signs)
        if isinstance(self.needs, tuple):
            return not any(map(signs.isdisjoint, self.needs))
        return not self.needs or not signs.isdisjoint(self.needs)


def rule(
    name: str,
    pattern: str,
    speak: Callable[[re.Match[str]], str] | str,
    needs: str | tuple[str, ...] | Callable[[set[str]], bool] = "",
) -> Rule:
    """Return a `Rule`. `speak` may be a template for `re.Match.expand`."""
    if isinstance(speak, str):
        template = speak
        if "\\" not in template:
            return Rule(name, re.compile(pattern), lambda m: template, needs)
        return Rule(name, re.compile(pattern), _filling(template), needs)
    return Rule(name, re.compile(pattern), speak, needs)


def _filling(template: str) -> Callable[[re.Match[str]], str]:
    r"""Return `m.expand(template)` as a function that parses a template with groups, \1 to \9, only once."""
    plain = re.split(r"\\([1-9])", template)
    assert "\\" not in "".join(plain[::2]), template
    words, groups = plain[::2], [int(number) for number in plain[1::2]]
    if not groups:
        return lambda m: words[0]
    return lambda m: words[0] + "".join((m[group] or "") + word for group, word in zip(groups, words[1:], strict=True))


def numeric(name: str, pattern: str, speak: Callable[[re.Match[str]], str] | str, also: str = "") -> Rule:
    """Return a `Rule` for text that contains a digit, and one of the characters `also`, if that is not empty."""
    return rule(name, pattern, speak, (DIGITS, also) if also else DIGITS)


def any_of(known: Iterable[str]) -> str:
    """Return a pattern that matches the longest of the given words."""
    return "|".join(re.escape(n) for n in sorted(known, key=lambda n: (-len(n), n)))


def before(m: re.Match[str], most: int = 40) -> str:
    """Return the characters before a match, at most `most`: slicing all of them at each match takes quadratic time."""
    return m.string[max(0, m.start() - most) : m.start()]


def after(m: re.Match[str], most: int = 40) -> str:
    """Return the characters after a match, at most `most`."""
    return m.string[m.end() : m.end() + most]


def padded(m: re.Match[str], words: str) -> str:
    """Return `words` with a space on each side where they would otherwise touch a word or symbol."""
    start, end = m.span()
    head = "" if not start or m.string[start - 1] in " (\"'-—…¿¡" else " "
    tail = "" if end == len(m.string) or m.string[end] in " )\"'-.,;:!?—…" else " "
    return head + words + tail


def _compatible(m: re.Match[str]) -> str:
    c = m[0]
    if c in SYMBOLS or c in SILENT or c in "…—–ºª":
        return c
    if unicodedata.decimal(c, None) is not None:
        return str(unicodedata.decimal(c))
    plain = unicodedata.normalize("NFKC", c)
    if plain != c and (any(map(str.isalpha, plain)) or not c.isalpha()):
        # "2½" is two and a half, not twenty-one halves
        gap = " " if "⁄" in plain and before(m, 1).isnumeric() else ""
        return gap + plain.replace("⁄", "/")
    if c.isnumeric() and not c.isalpha():
        return f" {Fraction(unicodedata.numeric(c)).limit_denominator(1000)} "
    return c


def _is_invisible(c: str) -> bool:
    return unicodedata.category(c) in ("Cf", "Mn", "Mc", "Me")


def _beyond_ascii(signs: set[str]) -> bool:
    return any(c > "\x7f" for c in signs)


def first_rules(early: Sequence[Rule] = ()) -> tuple[Rule, ...]:
    """Return the rules for typographic, compatibility and invisible characters.

    early: rules that must see superscripts as written.
    """
    return (
        rule(
            "entity", r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});", lambda m: html.unescape(m[0]), "&"
        ),
        rule("typography", r"«\s|\s»", '"', "«»"),
        rule(
            "typography",
            "[" + re.escape("".join(TYPOGRAPHY)) + "]",
            lambda m: TYPOGRAPHY[m[0]],
            "".join(TYPOGRAPHY),
        ),
        *early,
        rule("compatibility", r"[^\x00-\x7f]", _compatible, _beyond_ascii),
        # reported by name: they may make a text look other than it is read
        rule("bidirectional", r"[\u202a-\u202e\u2066-\u2069]+", "", _beyond_ascii),
        rule("invisible", r"[^\x00-\x7f]", lambda m: "" if _is_invisible(m[0]) else m[0], _beyond_ascii),
        rule("ellipsis", r"\.{2,}|(?<!\.)\s?\.(?:\s\.)+", "…", "."),
        # between numbers it may be a range, which the rules of the language decide
        rule(
            "dash",
            r"(?P<range>(?<=[\d%°])\s?–\s?(?=[$£€¥₹]?\d))|-{3,}|\s–+\s?|(?<![\w\s])–+|–+(?=[^\w$£€¥₹]|$)",
            lambda m: m[0] if m["range"] else " — " if m[0][0] == " " else "—",
            "-–",
        ),
    )


def last_rules(marks: str = PUNCTUATION) -> tuple[Rule, ...]:
    """Return the rules that drop everything but letters, spaces and `marks`, and the space before what they drop."""
    other = rf"[^\w {re.escape(marks)}]"
    foreign = rf"(?:{other}|[\d_])"

    def unspeakable(signs: set[str]) -> bool:
        return any(not (c.isalpha() or c == " " or c in marks) for c in signs)

    # each starts at the first of such characters, so that a long run takes linear time
    dropped = (
        (rf"\s?(?<!{other})(?<![\d_]){foreign}+(?=\s|[.,;:!?)…]|$)", ""),
        (rf"(?<=[^\W\d_]){foreign}+(?=[^\W\d_])", " "),
        (rf"{foreign}+", ""),
    )
    return (
        rule("dash", r"(\s?)–+(\s?)", lambda m: " — " if m[1] and m[2] else m[0].replace("–", "-"), "–"),
        *(rule("unspeakable", pattern, words, unspeakable) for pattern, words in dropped),
    )


def grouping(separator: str) -> Rule:
    """Return a rule for thousands grouped by apostrophes or by narrow or no-break spaces.

    It joins the groups by `separator`. It must see the text before its spaces are folded.
    """
    return rule(
        "grouping",
        r"(?<![\d.,'’\u00a0\u2009\u202f])\d{1,3}(?:['’\u00a0\u2009\u202f]\d{3})+(?![\d'’])",
        lambda m: re.sub(r"\D", separator, m[0]),
        (DIGITS, "'’\u00a0\u2009\u202f"),
    )
