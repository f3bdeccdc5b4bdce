"""English codes, formulae and initialisms as words and letters: "BA117" is "B A one seventeen"."""

from __future__ import annotations

import re

from vivavoce.text.characters import CAPITALS, Rule, after, any_of, before, numeric, rule
from vivavoce.text.english_numbers import cardinal, digits, pairs, plural
from vivavoce.text.english_tables import (
    ACRONYMS,
    AS_WRITTEN,
    ELEMENTS,
    INITIALISMS,
    IT_NOUNS,
    SHORT_WORDS,
    SIGNS,
    TIME_ZONES,
)


def _letters(run: str) -> str:
    """Return letters beside digits: "BA" is "B A", "mp" is "m p", and "Covid" stays a word."""
    spell = (run.isupper() and len(run) <= 4) or not re.search(r"[aeiouyAEIOUY]", run)
    return " ".join(run) if spell else run


def code(m: re.Match[str]) -> str:
    """Read runs of letters, runs of digits and signs: "BA117" is "B A one seventeen"."""
    runs = re.findall(r"[0-9]+|[A-Za-z]+|.", m[0])
    return " ".join(pairs(r) if r[0] in "0123456789" else SIGNS[r] if r in SIGNS else _letters(r) for r in runs)


def key(m: re.Match[str]) -> str:
    return ", ".join(" ".join(digits(c) if c.isdigit() else c for c in part) for part in m[0].split("-"))


def formula(m: re.Match[str]) -> str:
    """Read "C6H12O6" element by element."""
    if re.search(r"\d{4}", m[0]):  # "FY2024" is a code
        return m[0]
    return " ".join(cardinal(part) if part.isdigit() else part for part in re.findall(r"\d+|\D", m[0]))


def _shouted(m: re.Match[str]) -> bool:
    """Return whether a neighbouring word is in capitals for stress: then so is this one."""
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


def both(m: re.Match[str]) -> str:
    """Read "TCP/IP" and "A/B" without the slash, but "YES/NO" with it."""
    return m[0] if {m[1], m[2]} & (SHORT_WORDS - {"A", "I", "DO"}) else f"{m[1]} {m[2]}"


PLURALS: tuple[Rule, ...] = (
    numeric(
        "code",
        r"(?<![\w-])([A-Z]{1,3})(-?)(\d{1,3})s(?!\w)",
        lambda m: f"{' '.join(m[1])}{m[2] or ' '}{plural(pairs(m[3]))}",
    ),
)

RULES: tuple[Rule, ...] = (
    numeric(
        "code",
        r"(?<![\w-])(?=[\w-]{0,40}_)(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)+(?![\w-])",
        code,
    ),
    numeric(
        "code",
        r"(?<![\w#@$!])(?=[\w#@$!]{0,40}\d)(?=[\w#@$!]{0,40}[A-Za-z])[A-Za-z0-9]+(?:[@#$!_][A-Za-z0-9]+)+(?![\w@#$])",
        code,
    ),
    numeric(
        "code",
        r"(?<![\w-])(?=[A-Z0-9-]{0,40}\d)(?=[A-Z0-9-]{0,40}[A-Z])[A-Z0-9]{3,8}(?:-[A-Z0-9]{3,8}){2,}(?![\w-])",
        key,
    ),
    numeric("code", r"(?<![\w-])([A-Z])-(?=\d)", r"\1 "),
    rule(
        "formula",
        rf"(?<![\w'-])(?=[A-Za-z]*\d|[A-Z]?[A-Z][a-z][A-Z]|[A-Z][A-Z][a-z](?!\w))(?:(?:{ELEMENTS})\d*){{2,}}(?![\w'])",
        formula,
        CAPITALS,
    ),
    numeric("code", r"(?<!\w)(?=[A-Za-z_]*[0-9])(?=[0-9_]*[A-Za-z_])[A-Za-z0-9_]+(?!\w)", code),
    rule(
        "initialism", r"(?<!\w)([A-Z]{1,3})&([A-Z]{1,3})(?!\w)", lambda m: f"{' '.join(m[1])} and {' '.join(m[2])}", "&"
    ),
    rule("initialism", r"(?<![\w/])([A-Z]{1,5})/([A-Z]{1,5})(?![\w/])", both, "/"),
    rule("initialism", r"(?<![\w.'])([A-Z]{2,6})(s)?(?!\w|\.[A-Z])", initialism, CAPITALS),
    rule("joined words", r"(?<=[a-z]{3})(?<!\bMac)(?<!\bFitz)(?=[A-Z][a-z])", " ", CAPITALS),
)
