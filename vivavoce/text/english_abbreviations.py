"""English abbreviations and titles as words: "Dr. Smith" is "Doctor Smith", "etc." is "et cetera"."""

from __future__ import annotations

import re

from vivavoce.text.characters import CAPITALS, Rule, after, any_of, before, numeric, rule
from vivavoce.text.english_context import ends_sentence, follows_name, starts_sentence
from vivavoce.text.english_numbers import digits
from vivavoce.text.english_tables import (
    ALWAYS_DOTTED,
    BEFORE_NUMBER,
    LATIN,
    NEVER_LAST,
    SHORTENED,
    STATES,
    STATES_LIKE_WORDS,
    STREETS,
    SUFFIXES,
    TITLES,
    WORDS_TOO,
)


def title(m: re.Match[str]) -> str:
    name, following = m[1], after(m)
    dotted = m[0].endswith(".")
    if (
        name in STREETS
        and follows_name(before(m))
        and (starts_sentence(following) or not re.match(r"\s[A-Z]", following))
    ):
        return STREETS[name] + ("." if dotted and ends_sentence(following) else "")
    if not re.match(r"\s(?:&\s)?[^\W\d_]", following) or (name in ALWAYS_DOTTED and not dotted):
        return m[0]
    return TITLES[name]


def suffix(m: re.Match[str]) -> str:
    if m[1] in STREETS and not follows_name(before(m)):
        return m[0]
    if m[1] in WORDS_TOO and not re.match(r"\s[a-z\d]", after(m)):
        return m[0]
    last = m[1] not in NEVER_LAST and ends_sentence(after(m))
    return (STREETS | SUFFIXES)[m[1]] + ("." if last or not after(m) else "")


def shortened(m: re.Match[str]) -> str:
    if m[0] == "vs" and after(m, 1) == ".":
        return m[0]
    if m[0][:2] in ("sq", "cu", "fl") and re.search(r"\d[\s-]?$", before(m)):  # a unit: its number decides its form
        return m[0]
    if m[0][:2] in ("sq", "cu", "fl") and re.search(r"\b(?:per|an?|each|every|one)\s$", before(m)):
        spoken = SHORTENED[m[0]].replace("feet", "foot").replace("inches", "inch").removesuffix("s")
        return spoken + ("." if m[0].endswith(".") and ends_sentence(after(m)) else "")
    gap = " " if m[0].endswith("/") and after(m, 1).isalnum() else ""
    return SHORTENED[m[0]] + gap + ("." if m[0].endswith(".") and ends_sentence(after(m)) else "")


def latin(m: re.Match[str]) -> str:
    return LATIN[m[1].lower().replace(" ", "")] + ("" if re.match(r"[,:;.)]|$", after(m)) else ",")


def state(m: re.Match[str]) -> str:
    if m[1] in STATES_LIKE_WORDS and not m[2]:
        return m[0]
    code = ", ".join(digits(part) for part in (m[2], m[3]) if part)
    return f", {STATES[m[1]]}" + (f" {code}" if code else "")


RULES: tuple[Rule, ...] = (
    rule(
        "abbreviation",
        rf"(?<![\w./])(?:{any_of(SHORTENED)})(?![\w/]|\.\w)|(?<![\w./])(?:{any_of(SHORTENED)})(?<=[./])",
        shortened,
    ),
    rule("title", rf"(?<![\w.])({any_of(TITLES)})(?:\.|(?=\s[A-Z]))(?!\w)", title, CAPITALS),
    rule("abbreviation", rf"(?<![\w.])({any_of(STREETS | SUFFIXES)})\.(?!\w)", suffix, "."),
    rule("Latin", r"(?<![\w.])((?:[Ee]\.\s?g|[Ii]\.\s?e)|viz|cf)\.(?!\w)", latin, "."),
    rule("and/or", r"(?<!\w)and/or(?!\w)", "and or", "/"),
    # "he/she", "his/her"
    rule(
        "or",
        r"(?<![\w/])([Hh]e(?=/she)|[Ss]he(?=/he(?!\w))|[Hh]is(?=/hers?)|[Hh]im(?=/her)|[Hh]er(?=/hi)|[Hh]imself|[Hh]erself)/(s?he|his|hers?|him|herself|himself)(?![\w/])",
        r"\1 or \2",
        "/",
    ),
    numeric("before number", r"(?<![\w.])(?<!\d\s)([Mm])in\.\s(?=\d)", r"\1inimum ", "."),
    rule(
        "before number",
        rf"(?<![\w.])({any_of(BEFORE_NUMBER)})\.\s{{0,2}}(?=\(?\d|(?:[IVXL]{{2,}}|[VX])(?!\w))",
        lambda m: BEFORE_NUMBER[m[1]] + " ",
        ".",
    ),
    rule("state", rf"(?<=[a-z]),\s({any_of(STATES)})(?![\w'])(?:\s(\d{{5}})(?:-(\d{{4}}))?(?!\w))?", state, ","),
)
