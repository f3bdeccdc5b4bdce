"""The signs of Markdown as patterns, for `markdown`."""

from __future__ import annotations

import re

from vivavoce.text.languages import WHISPER_LANGUAGES

ENDS = ".!?…:;,—。！？"
CLOSERS = "\"')]”’»*_`~"
EMOTICON = re.compile(
    r"(?:[:;=]['’]?[-^o]?[)(\]\[DPpOo3/\\|*]{1,3}|<[/\\]?3+|\^[_.-]?\^|[xX]D+|¯\\?_\(ツ\)_/¯|=\^\.\.\^=)"
    r"(?=$|[\s.,!?])"
)
SHORTCODE = re.compile(r":[a-z][a-z0-9_+-]{1,30}:(?![\w:])")
SPECIAL = re.compile(
    r"[\\`*_~\[<$\n【]|(?<![\w=])==(?=[^\s=])|(?<=\w)\^(?=[+-]?\d)|(?<=\d)\^(?=(?:st|nd|rd|th)\^)"
    r"|!(?=\[)|(?<!\S)[:;=^¯]|(?<!\S)[xX](?=D)|[ \t]#|(?<![\w:/]):(?=[a-z])|(?<=[a-z]{3})[¹²³⁴-⁹⁰]+|https?://"
)
SUBSCRIPT = re.compile(r"~([+-]?\d{1,3})~(?!~)")  # of Pandoc's Markdown: H~2~O, x^2^
SUPERSCRIPT = re.compile(r"\^([+-]?\d{1,3}|(?:st|nd|rd|th))\^(?!\^)")  # also 10^th^
LOW_DIGITS = str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
HIGH_DIGITS = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
MARKED = re.compile(r"==(?=\S)([^=\n]+?)(?<=\S)==(?![=\w])")
ADDRESS_END = re.compile(r"[\s<>\"`\[\]]")
HTML = frozenset(
    """a abbr article aside audio b big blockquote body br button center cite code dd del details div dl dt em
    figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label li link
    main mark meta nav ol p picture pre q s script section small source span strike strong style sub summary sup svg
    table tbody td th thead title tr tt u ul video wbr""".split()
)
BREAKING = frozenset("br p div li ul ol tr hr h1 h2 h3 h4 h5 h6 blockquote table details summary".split())
SKIPPED = frozenset("think thinking thought reasoning scratchpad script style".split())  # their content is left out
# A bracket that is a tag of vivavoce's markup.
OWN_TAG = re.compile(
    r"\[(?:(?:pause|spell|say|voice|speed|lang)\b[^\[\]\n]*|/(?:voice|speed|lang|pitch|range|energy)|/?em"
    r"|(?:pitch|range|energy)[ :]\s*[+\u2212-]?[\d.]+\s?(?i:st|semitones?|db)?"
    rf"|/?(?:{'|'.join(WHISPER_LANGUAGES)}))\]"
)
ITEM = re.compile(
    r"[ \t]*(?:(?:[-*+•‣◦▪–☐☑☒](?=[ \t])|(?=\d{1,9}[.)][ \t]))[ \t]*(?:\[[ xX]\][ \t]+)?|\[[ xX]\][ \t]+)"
)
HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+|(?=\n|$))")
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
RULE = re.compile(r"[ \t]*(?:(?:[-_*=][ \t]*){3,}|=+[ \t]*)(?=\n|$)")
QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)+(?:\[!(\w+)\][ \t]*)?")
DEFINITION = re.compile(r" {0,3}\[([^\]\n]{1,60})\]:[ \t]*")


DEEPEST = 4  # brackets within brackets of a link
_SIGNS = {pair: re.compile(rf"\\.|[{re.escape(pair)}]") for pair in ("[]", "()")}
FORMATS = ("auto", "plain", "markdown", "auto+code", "markdown+code")  # +code: code blocks are read


def check_format(name: str) -> str:
    """Return `name` if it is a format of text. Raises ValueError otherwise."""
    if name not in FORMATS:
        raise ValueError(f"format is {name!r}; it must be one of {', '.join(FORMATS)}")
    return name


def filter_options(format: str) -> dict[str, bool]:
    """Return the arguments of a `MarkdownFilter` for a format other than plain."""
    return {"certain": format.startswith("markdown"), "read_code": format.endswith("+code")}


def is_emphasis(before: str, run: str, after: str) -> bool:
    """Return whether a run of *, _ or ~ marks emphasis between the two characters before and the two after it."""
    left, right = before[-1:], after[:1]
    if (not left or left.isspace()) and (not right or right.isspace()):
        return False
    if run[0] == "~":
        return len(run) == 2
    if left.isalnum() and right.isalnum():  # "2*3", "a_b", but "un*believ*able"
        return run[0] == "*" and (len(run) > 1 or (before + after).isalpha()) and before.isalpha() and len(before) == 2
    return True


def is_formula(content: str, displayed: bool) -> bool:
    """Return whether what stands between \\( and \\), or displayed between \\[ and \\], is a formula.

    Otherwise they are brackets that are not to be read as Markdown. Words are no formula without a sign of one, and
    neither is a displayed letter without spaces around it: \\[x\\] is how a tag is written that is not meant as one.
    """
    if re.search(r"[\\^_=+<>]", content):
        return True
    if displayed and not (content[:1].isspace() and content[-1:].isspace()):
        return False
    return re.search(r"[A-Za-z0-9]", content) is not None and not re.search(r"[^\W\d_]{2}|[\[\]]", content)


def closing_bracket(text: str, opening: str, closing: str) -> int:
    """Return the index of the bracket that closes the one at index 0; -1 if there is none."""
    depth = 0
    for m in _SIGNS[opening + closing].finditer(text):
        depth += {opening: 1, closing: -1}.get(m[0], 0)
        if depth > DEEPEST:
            return -1
        if m[0] == closing and depth == 0:
            return m.start()
    return -1
