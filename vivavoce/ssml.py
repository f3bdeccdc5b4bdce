"""SSML → `Segment`s: the part of the W3C's Speech Synthesis Markup Language 1.1 that vivavoce can keep to.

    speak                             the whole document; version, xml:lang
    p, s                              a paragraph, a sentence; xml:lang
    break                             time="500ms" or strength="x-weak" to "x-strong"; without either, medium
    prosody                           rate="x-slow" to "x-fast", "80%", "+10%", "0.8"; within another, times that one's
    say-as                            interpret-as characters, spell-out, cardinal, ordinal, digits, date (with format
                                      mdy, dmy or ymd), time, telephone
    sub                               alias="how it is read"
    voice                             name="nash"
    lang                              xml:lang="fr"

Anything else is an error that names the place: what cannot be kept to is not passed over. Of a language's tag only the
language counts ("en-GB" is "en"), for accents are the voice's. White space is folded, as XML's is layout. Documents may
come from anywhere, so there are no DTDs and no entities of a document's own (defusedxml).
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from xml.sax import ContentHandler, SAXParseException
from xml.sax.xmlreader import InputSource, Locator

import defusedxml
import defusedxml.sax

from vivavoce.segments import (
    Segment,
    decimal,
    digit,
    language,
    put,
    read_as,
    reading,
    seconds,
    speed,
    spelled,
    voice_name,
)
from vivavoce.text import PAUSE_CLAUSE, PAUSE_COMMA, PAUSE_NONE, PAUSE_PARAGRAPH, PAUSE_SENTENCE, normalise
from vivavoce.text_numbers import cardinal, number, ordinal, roman

ATTRIBUTES = {
    "speak": ("version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation"),
    "p": ("xml:lang",),
    "s": ("xml:lang",),
    "break": ("time", "strength"),
    "prosody": ("rate",),
    "say-as": ("interpret-as", "format"),
    "sub": ("alias",),
    "voice": ("name",),
    "lang": ("xml:lang",),
}
NEEDED = {"prosody": "rate", "say-as": "interpret-as", "sub": "alias", "voice": "name", "lang": "xml:lang"}
RATES = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "fast": 1.25, "x-fast": 1.6, "default": 1.0}
STRENGTHS = {
    "x-weak": PAUSE_NONE,
    "weak": PAUSE_COMMA,
    "medium": PAUSE_CLAUSE,
    "strong": PAUSE_SENTENCE,
    "x-strong": PAUSE_PARAGRAPH,
}


def read(text: str, lang: str = "en") -> list[Segment]:
    """The segments of an SSML document, at least one, in order. lang: its language where it does not say.

    Raises ValueError naming line and column for what is not well-formed XML, not of the elements and attributes above,
    or a DTD.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"SSML: character {error.start} is a lone surrogate, which XML does not allow") from None
    document = _Document(lang)
    source = InputSource()
    source.setCharacterStream(io.StringIO(text))  # characters, so that a declared encoding counts for nothing
    parser = defusedxml.sax.make_parser()
    parser.forbid_dtd = True
    parser.setContentHandler(document)
    try:
        parser.parse(source)
    except defusedxml.DefusedXmlException:
        raise ValueError("SSML: it has a DTD (<!DOCTYPE …>) or entities of its own, which are refused") from None
    except SAXParseException as error:
        line, column = error.getLineNumber(), (error.getColumnNumber() or 0) + 1
        raise ValueError(f"SSML, line {line}, column {column}: {error.getMessage()}") from None
    return document.segments or [Segment("")]


@dataclass(frozen=True)
class _Open:
    """An element that is open: what it asks for, and what it stands in."""

    name: str
    attributes: dict[str, str]
    place: str
    state: Segment  # without text; to go back to


class _Document(ContentHandler):
    def __init__(self, lang: str) -> None:
        super().__init__()
        self.segments: list[Segment] = []
        self._main = lang
        self._state = Segment("")  # what the elements that are open ask for
        self._open: list[_Open] = []
        self._text: list[str] = []  # since the last segment
        self._gap = 0.0  # seconds that the end of a sentence asks for, if more text follows
        self._locator: Locator | None = None

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: Any) -> None:
        attributes = dict(attrs.items())
        assert self._locator is not None
        place = f"SSML, line {self._locator.getLineNumber()}, column {(self._locator.getColumnNumber() or 0) + 1}"
        try:
            self._check(name, attributes)
            self._open.append(_Open(name, attributes, place, self._state))
            self._start(name, attributes)
        except ValueError as error:
            raise ValueError(f"{place}: <{name}>: {error}") from None

    def characters(self, content: str) -> None:
        if self._open[-1].name == "break" and content.strip():
            raise ValueError(f"{self._open[-1].place}: <break>: it holds text; write it as <break/>")
        self._text.append(re.sub(r"\s+", " ", content))

    def endElement(self, name: str) -> None:
        element = self._open.pop()
        try:
            self._end(element)
        except ValueError as error:
            raise ValueError(f"{element.place}: <{name}>: {error}") from None

    # --- elements -----------------------------------------------------------------------------------------------------

    def _check(self, name: str, attributes: dict[str, str]) -> None:
        if name not in ATTRIBUTES:
            raise ValueError(f"there is no such element here{_perhaps(name, ATTRIBUTES)}")
        if (name == "speak") != (not self._open):
            raise ValueError("speak must be the outermost element, and no other")
        if self._open and self._open[-1].name in ("sub", "say-as", "break"):
            raise ValueError(f"<{self._open[-1].name}> may hold no element")
        for attribute in attributes:
            if attribute not in ATTRIBUTES[name] and not (name == "speak" and attribute.startswith("xmlns:")):
                raise ValueError(f"attribute {attribute} is not known{_perhaps(attribute, ATTRIBUTES[name])}")
        if name in NEEDED and not attributes.get(NEEDED[name], "").strip():
            raise ValueError(f"attribute {NEEDED[name]} is missing or empty")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in ("p", "s", "sub", "say-as"):
            self._flush()
        if name == "break":
            self._flush(_pause(attributes))
        if name == "p":
            self._gap = PAUSE_PARAGRAPH
        if "xml:lang" in attributes:
            self._switch(lang=language(attributes["xml:lang"]))
        if name == "prosody":
            self._switch(speed=speed(self._state.speed * _rate(attributes["rate"])))
        if name == "voice":
            self._switch(voice=voice_name(attributes["name"]))

    def _end(self, element: _Open) -> None:
        if element.name in ("sub", "say-as"):
            written = " ".join("".join(self._text).split())
            self._text = []
            if element.name == "sub":
                words, rule = reading(element.attributes["alias"]), "sub"
            else:
                kind, lang = element.attributes["interpret-as"], self._state.lang or self._main
                words, rule = _say_as(kind, element.attributes.get("format"), written, lang), f"say-as {kind}"
            self._put(read_as(self._state, rule, written, words))
        elif element.name in ("p", "s", "speak"):
            self._flush()
            spoken = self.segments[-1].text.rstrip("\"')]”’» ") if self.segments else ""
            if element.name == "p":
                self._gap = PAUSE_PARAGRAPH
            elif element.name == "s" and not spoken.endswith((".", "!", "?", "…")):
                self._gap = max(self._gap, PAUSE_SENTENCE)
        self._switch(lang=element.state.lang, voice=element.state.voice, speed=element.state.speed)

    def _switch(self, **what: str | float | None) -> None:
        changed = replace(self._state, **what)  # type: ignore[arg-type]
        if changed != self._state:
            self._flush()
            self._state = changed

    def _flush(self, pause: float = 0.0) -> None:
        text = re.sub(" +", " ", "".join(self._text))
        self._text = []
        self._put(replace(self._state, text=text, pause=pause))

    def _put(self, segment: Segment) -> None:
        if segment.text.strip():
            if self.segments and self.segments[-1].text:
                last = self.segments[-1]
                self.segments[-1] = replace(last, pause=max(last.pause, self._gap))
            self._gap = 0.0
        if not self.segments:
            segment = replace(segment, text=segment.text.lstrip())
        put(self.segments, segment)


def _perhaps(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; {near[0]} is meant perhaps" if near else f"; known are {', '.join(known) or 'none'}"


def _pause(attributes: dict[str, str]) -> float:
    if "time" in attributes:
        return seconds(attributes["time"])
    strength = attributes.get("strength", "medium")
    if strength not in STRENGTHS:
        no = "; the pause that the text itself asks for cannot be taken away" if strength == "none" else ""
        raise ValueError(f"strength is {strength!r}; it must be one of {', '.join(STRENGTHS)}{no}")
    return STRENGTHS[strength]


def _rate(written: str) -> float:
    """A rate as a factor: "80%" and "0.8" are of the rate around it, "-20%" and "+10%" more or less than that."""
    rate = written.strip()
    if rate in RATES:
        return RATES[rate]
    part = decimal(rate.strip("+-%")) if re.fullmatch(r"[+-]?[\d.]+%|[\d.]+", rate, re.ASCII) else None
    if part is None:
        raise ValueError(f"rate is {written!r}; it must be a percentage, a number or one of {', '.join(RATES)}")
    if not rate.endswith("%"):
        return part
    return {"+": 100 + part, "-": 100 - part}.get(rate[0], part) / 100


# ------------------------------------------------------------------------------------------------------------- say-as


def _say_as(kind: str, order: str | None, written: str, lang: str) -> str:
    """`written` in words, as `kind` says. Raises ValueError where it is no such thing, or `kind` is not known."""
    if kind not in _KINDS:
        raise ValueError(f"interpret-as is {kind!r}; it must be one of {', '.join(_KINDS)}")
    if order is not None and kind != "date":
        raise ValueError(f"format is {order!r}; it goes with date only")
    if not written:
        raise ValueError("it is empty")
    if kind == "date":
        written = _iso(written, order)
    return _KINDS[kind](written, lang)


def _iso(written: str, order: str | None) -> str:
    """A date in figures as year-month-day, where `order` is given; else as it is, for `normalise` to read."""
    if order is None:
        return written
    parts = re.findall(r"\d+", written, re.ASCII)
    if order not in ("mdy", "dmy", "ymd") or len(parts) != 3:
        raise ValueError(f"{written!r} with format {order!r}; it must be three numbers and mdy, dmy or ymd")
    given = dict(zip(order, parts, strict=True))
    if len(given["y"]) != 4 or not (1 <= int(given["m"]) <= 12 and 1 <= int(given["d"]) <= 31):
        raise ValueError(f"{written!r} is no date with format {order!r}; the year must have four digits")
    return f"{given['y']}-{int(given['m']):02d}-{int(given['d']):02d}"


def _normal(written: str, lang: str) -> str:
    return reading(normalise(written, lang)[0])


def _time(written: str, lang: str) -> str:
    if not re.match(r"\d", written):
        raise ValueError(f"{written!r} is no time; write it as 10:30 or 2pm")
    words = _normal(written, lang)
    return words[0].lower() + words[1:]  # a number is given a capital where it opens a text


def _cardinal(written: str, lang: str) -> str:
    if not (m := re.fullmatch(r"([+\-−]?)\s?(\d+(?:,\d{3})*(?:\.\d+)?)", written, re.ASCII)):
        raise ValueError(f"{written!r} is no number; write it as 1234 or 3.5")
    if lang != "en":
        return _normal(written, lang).lower()
    return {"": "", "+": "plus "}.get(m[1], "minus ") + (number(m[2]) if "." in m[2] else cardinal(m[2]))


def _ordinal(written: str, lang: str) -> str:
    if lang != "en":
        raise ValueError(f"interpret-as ordinal is known for en only, and this is {lang}")
    m = re.fullmatch(r"(\d{1,15})(?:st|nd|rd|th)?", written.replace(",", ""), re.ASCII)
    value = m[1] if m else str(roman(written.upper()) or "")
    if not value:
        raise ValueError(f"{written!r} is no ordinal; write it as 3 or 3rd")
    return ordinal(value)


def _digits(written: str, lang: str) -> str:
    if not re.fullmatch(r"[\d\s]+", written, re.ASCII):
        raise ValueError(f"{written!r} is not digits only")
    return ", ".join(" ".join(digit(d, lang) for d in group) for group in written.split())


def _telephone(written: str, lang: str) -> str:
    if not re.fullmatch(r"\+?[\d\s().\-/]*\d[\d\s().\-/]*", written, re.ASCII):
        raise ValueError(f"{written!r} is no telephone number; write it as +1 555 0199")
    groups = _digits(" ".join(re.findall(r"\d+", written)), lang)
    return f"{spelled('+', lang)} {groups}" if written[0] == "+" else groups


_KINDS: dict[str, Callable[[str, str], str]] = {
    "characters": spelled,
    "spell-out": spelled,
    "cardinal": _cardinal,
    "ordinal": _ordinal,
    "digits": _digits,
    "date": _normal,
    "time": _time,
    "telephone": _telephone,
}
