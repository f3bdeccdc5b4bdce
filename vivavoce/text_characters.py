"""What the rules of every language share: what a rule is, and the rules for characters that are no language's own.

A language's table (`text_rules` for English, `text_languages` for others) stands between `first_rules`, which bring
typographic and compatibility forms to the plain ones, and `last_rules`, which drop what nobody can speak.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

PUNCTUATION = ".,;:!?'\"-()…—"  # what normalised text may hold besides letters and the space

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
# English; here because what has a name in English must not be lost to its compatibility form in any language.
SYMBOLS = {
    **{"@": "at", "&": "and", "+": "plus", "=": "equals", "%": "percent", "‰": "per mille", "°": "degrees"},
    **{"×": "times", "÷": "divided by", "±": "plus or minus", "≈": "about", "≠": "does not equal"},
    **{"≤": "at most", "≥": "at least", "√": "square root of", "∞": "infinity", "→": "to", "/": "slash"},
    **{"\\": "backslash", "$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "₹": "rupee", "¢": "cent"},
    **{"₽": "ruble", "₩": "won", "₪": "shekel", "₺": "lira", "₴": "hryvnia", "₦": "naira", "₱": "peso"},
    **{"฿": "baht", "₫": "dong", "₿": "bitcoin", "♯": "sharp", "♭": "flat"},
    **{"©": "copyright", "§": "section", "µ": "micro", "²": "squared", "³": "cubed"},
}
# Read as nothing; kept from the compatibility mapping, which would turn them into letters.
SILENT = "™®℠"


@dataclass(frozen=True)
class Rule:
    """Where `pattern` matches, `speak` gives the words. `speak` may return the match unchanged: no Change then.

    needs: text without any of these characters is not looked at, which saves most of the time; "": all text is.
    """

    name: str
    pattern: re.Pattern[str]
    speak: Callable[[re.Match[str]], str]
    needs: str = ""


def rule(name: str, pattern: str, speak: Callable[[re.Match[str]], str] | str, needs: str = "") -> Rule:
    """A rule whose `speak` may be a template as for `re.Match.expand`."""
    if isinstance(speak, str):
        template = speak
        return Rule(name, re.compile(pattern), lambda m: m.expand(template), needs)
    return Rule(name, re.compile(pattern), speak, needs)


def numeric(name: str, pattern: str, speak: Callable[[re.Match[str]], str] | str) -> Rule:
    """A rule for text that has a digit in it."""
    return rule(name, pattern, speak, "0123456789")


def any_of(known: Iterable[str]) -> str:
    """A pattern for any of these words, the longest that fits."""
    return "|".join(re.escape(n) for n in sorted(known, key=lambda n: (-len(n), n)))


def before(m: re.Match[str], most: int = 40) -> str:
    """The few characters before a match; to slice all of them at every match would take quadratic time."""
    return m.string[max(0, m.start() - most) : m.start()]


def after(m: re.Match[str], most: int = 40) -> str:
    return m.string[m.end() : m.end() + most]


def padded(m: re.Match[str], words: str) -> str:
    """`words` with a space on each side where they would else touch a word or another symbol."""
    left, right = before(m, 1), after(m, 1)
    head = "" if not left or left in " (\"'-—…" else " "
    tail = "" if not right or right in " )\"'-.,;:!?—…" else " "
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
        gap = " " if "⁄" in plain and before(m, 1).isdigit() else ""
        return gap + plain.replace("⁄", "/")
    if c.isnumeric() and not c.isalpha():
        return f" {Fraction(unicodedata.numeric(c)).limit_denominator(1000)} "
    return c


def _is_invisible(c: str) -> bool:
    return unicodedata.category(c) in ("Cf", "Mn", "Mc", "Me")


def first_rules(early: Sequence[Rule] = ()) -> tuple[Rule, ...]:
    """Typographic, compatibility and invisible characters. `early`: what must see powers and the like as written."""
    return (
        rule("entity", r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});", lambda m: html.unescape(m[0])),
        rule("typography", r"«\s|\s»", '"'),
        rule("typography", "[" + re.escape("".join(TYPOGRAPHY)) + "]", lambda m: TYPOGRAPHY[m[0]]),
        *early,
        rule("compatibility", r"[^\x00-\x7f]", _compatible),
        rule("invisible", r"[^\x00-\x7f]", lambda m: "" if _is_invisible(m[0]) else m[0]),
        rule("ellipsis", r"\.{2,}|(?<!\.)\s?\.(?:\s\.)+", "…"),
        rule("dash", r"-{3,}|\s–+\s?|(?<![\w\s])–+|–+(?=[^\w$£€¥₹]|$)", lambda m: " — " if m[0][0] == " " else "—"),
    )


def last_rules(marks: str = PUNCTUATION) -> tuple[Rule, ...]:
    """Drop everything but letters, the space and `marks`, with a space that it would leave before a mark or the end."""
    foreign = rf"(?:[^\w {re.escape(marks)}]|[\d_])"
    return (
        rule("dash", r"–+", "-"),
        rule("unspeakable", rf"\s?{foreign}+(?=\s|[.,;:!?)…]|$)", ""),
        rule("unspeakable", rf"(?<=[^\W\d_]){foreign}+(?=[^\W\d_])", " "),
        rule("unspeakable", rf"{foreign}+", ""),
    )


def grouping(separator: str) -> Rule:
    """Thousands parted by apostrophes and by narrow or unbreakable spaces, as the language's own rules read them.

    Looks at text whose spaces are still as written.
    """
    return rule(
        "grouping",
        r"(?<![\d.,'’\u00a0\u2009\u202f])\d{1,3}(?:['’\u00a0\u2009\u202f]\d{3})+(?![\d'’])",
        lambda m: re.sub(r"\D", separator, m[0]),
    )
