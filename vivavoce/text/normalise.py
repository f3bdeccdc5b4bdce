"""Normalise written text to speakable words: numbers, dates, money, units, abbreviations, addresses and symbols.

The rules of a language are a table, applied in order. English is below; its rules live in the english_* modules, one
for each kind. The romance languages share one table of rules. To add a case, add a rule or a word to a table, and a
line to tests/data/normalise.tsv.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from vivavoce.text import (
    english_abbreviations,
    english_addresses,
    english_amounts,
    english_codes,
    english_dates,
    english_digits,
    english_money,
    english_names,
    english_symbols,
    english_times,
    formulas,
)
from vivavoce.text.characters import AT_START, Change, Rule, first_rules, grouping, last_rules
from vivavoce.text.line_breaks import joining
from vivavoce.text.romance import LANGUAGES, rules_of

__all__ = ["LANGUAGES", "Change", "normalise"]

# A rule sees one paragraph with folded white space, as the rules before it left it. Each pattern starts at a place that
# a lookbehind fixes, so that no text makes it take quadratic time.
ENGLISH: tuple[Rule, ...] = (
    *formulas.RULES,
    *english_amounts.MINUS,
    *first_rules((*english_amounts.POWERS, *english_symbols.POWERS)),
    *english_addresses.RULES,
    *english_abbreviations.RULES,
    *english_dates.RULES,
    *english_money.GROUPING,
    *english_digits.TELEPHONES,
    *english_times.RULES,
    *english_amounts.LENGTHS,
    *english_dates.PERIODS,
    *english_codes.PLURALS,
    *english_money.RANGES,
    *english_digits.CODE_NUMBERS,
    *english_amounts.RANGES,
    *english_money.RULES,
    *english_amounts.RATINGS,
    *english_digits.VERSIONS,
    *english_amounts.RULES,
    *english_names.ZEROS,
    *english_digits.NUMBERS,
    *english_dates.YEARS,
    *english_amounts.PER_UNIT,
    *english_names.RULES,
    *english_codes.RULES,
    *english_symbols.RULES,
    *english_symbols.NUMBERS,
    *last_rules(),
)

# Rules that see the text before its white space is folded.
LAYOUT: dict[str, tuple[Rule, ...]] = {lang: (joining(lang), grouping("")) for lang in LANGUAGES}
LAYOUT["en"] = (joining("en"), grouping(","))

_BREAKS = str.maketrans({"\r": "\n", "\u2028": "\n", "\x85": "\n", "\u2029": "\n\n", "\x0c": "\n\n", "\x0b": "\n"})
_SENTENCE_ENDS = frozenset(".!?…")
_change = lru_cache(4096)(Change)  # many changes of a text are alike
_SHORT = 80  # characters of a change that is kept for the next one
_MOST_PASSES = 8  # a rule may join characters that an earlier rule would have read, so the rules are applied again


def _opens_sentence(text: str, at: int) -> bool:
    """Return whether a sentence starts at index `at`."""
    head = text[max(0, at - 8) : at]
    # the pattern is slow, and most texts have a match in the middle of a sentence
    return (at <= len(head) or not _SENTENCE_ENDS.isdisjoint(head)) and AT_START.search(head) is not None


def _apply(rule: Rule, text: str, changes: list[Change]) -> str:
    def replace(m: re.Match[str]) -> str:
        after = rule.speak(m)
        if after == m[0]:
            return after
        # A reading that opens a sentence gets a capital, unless it was written without one.
        # A formula keeps its case: "a" and "A" are two variables.
        if (
            rule.name != "formula"
            and after[:1].islower()
            and not m[0][:1].islower()
            and _opens_sentence(m.string, m.start())
        ):
            after = after[0].upper() + after[1:]
        make = _change if len(m[0]) + len(after) < _SHORT else Change
        changes.append(make(rule.name, m[0], after))
        return after

    return rule.pattern.sub(replace, text)


def normalise(text: str, lang: str = "en") -> tuple[str, list[Change]]:
    """Return `text` as speakable words, and the changes that led there.

    The result has letters, spaces and `PUNCTUATION` only (Spanish also keeps ¿ and ¡), with a blank line between
    paragraphs. Case and punctuation stay as written. Every str is accepted, and the result is its own normal form.
    White space is folded and Unicode composed (NFC) without a `Change`; all else is reported.

    lang: en, or es, fr, it or pt, which have fewer rules. Raises ValueError for any other.
    """
    if lang not in LAYOUT:
        raise ValueError(f"lang is {lang!r}; it must be one of {', '.join(('en', *LANGUAGES))}")
    rules = ENGLISH if lang == "en" else rules_of(lang)
    changes: list[Change] = []
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n").translate(_BREAKS)):
        for _ in range(_MOST_PASSES):
            before = paragraph
            for rule in LAYOUT[lang]:
                paragraph = _apply(rule, paragraph, changes)
            paragraph = unicodedata.normalize("NFC", " ".join(paragraph.split()))
            signs = set(paragraph)
            for rule in rules:
                if not rule.concerns(signs):
                    continue
                count = len(changes)
                paragraph = _apply(rule, paragraph, changes)
                if len(changes) > count:
                    signs = set(paragraph)
            paragraph = unicodedata.normalize("NFC", " ".join(paragraph.split()))
            if paragraph == before:
                break
        if paragraph:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs), changes
