"""Parse SSML into `Segment`s: the part of the W3C's Speech Synthesis Markup Language 1.1 that vivavoce supports.

    speak                             the whole document; version, xml:lang
    p, s                              a paragraph, a sentence; xml:lang
    break                             time="500ms" or strength="x-weak" to "x-strong"; without either, medium
    prosody                           rate="x-slow" to "x-fast", "80%", "+10%", "0.8"; nested rates multiply;
                                      pitch="x-low" to "x-high", "+2st", "-10%";
                                      range="x-low" to "x-high", "+30%", "0.8"; volume="x-soft" to "x-loud", "+6dB"
    emphasis                          level="strong", "moderate" or "none"
    say-as                            interpret-as and format as in `say_as`
    sub                               alias="the reading"
    phoneme                           ph="ˈɛndʒɪn"; alphabet="ipa", the default, or "x-arpabet"
    voice                             name="nash"
    lang                              xml:lang="fr"

Other elements and attributes, and values that cannot be followed, are reported as a `Change` of the rule "ssml", and
the text within them is read; with strict=True they are errors that name their place. Malformed XML, DTDs and custom
entities are always errors (defusedxml): documents may come from untrusted sources. Only the language of a language tag
counts ("en-GB" is "en"), because the voice decides the accent. White space is folded: in XML it is layout.
"""

from __future__ import annotations

import difflib
import functools
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from xml.sax import ContentHandler, SAXParseException
from xml.sax.xmlreader import InputSource, Locator

import defusedxml
import defusedxml.sax

from vivavoce.config import SPEEDS
from vivavoce.text.characters import Change
from vivavoce.text.prosody import NEUTRAL, Prosody, ProsodyRange
from vivavoce.text.say_as import say_as
from vivavoce.text.segments import (
    MAX_PAUSE,
    Segment,
    append_segment,
    literal_segment,
    parse_decimal,
    parse_language,
    parse_pronounced,
    parse_reading,
    parse_seconds,
    parse_voice_name,
)
from vivavoce.text.split import PAUSE_CLAUSE, PAUSE_COMMA, PAUSE_NONE, PAUSE_PARAGRAPH, PAUSE_SENTENCE

ATTRIBUTES = {
    "speak": ("version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation"),
    "p": ("xml:lang",),
    "s": ("xml:lang",),
    "break": ("time", "strength"),
    "prosody": ("rate", "pitch", "range", "volume"),
    "emphasis": ("level",),
    "say-as": ("interpret-as", "format"),
    "sub": ("alias",),
    "phoneme": ("ph", "alphabet"),
    "voice": ("name",),
    "lang": ("xml:lang",),
}
NEEDED = {"say-as": "interpret-as", "sub": "alias", "phoneme": "ph", "voice": "name", "lang": "xml:lang"}
READINGS = ("sub", "phoneme", "say-as")  # elements whose content is replaced by a reading
ALPHABETS = ("ipa", "x-arpabet")
RATES = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "fast": 1.25, "x-fast": 1.6, "default": 1.0}
PITCHES = {"x-low": -4.0, "low": -2.0, "medium": 0.0, "high": 2.0, "x-high": 4.0, "default": 0.0}
RANGES = {"x-low": 0.5, "low": 0.75, "medium": 1.0, "high": 1.3, "x-high": 1.6, "default": 1.0}
VOLUMES = {"x-soft": -9.0, "soft": -5.0, "medium": 0.0, "loud": 4.0, "x-loud": 8.0, "default": 0.0}
LEVELS = {"strong": 1.0, "moderate": 0.6, "none": 0.0}
STRENGTHS = {
    "x-weak": PAUSE_NONE,
    "weak": PAUSE_COMMA,
    "medium": PAUSE_CLAUSE,
    "strong": PAUSE_SENTENCE,
    "x-strong": PAUSE_PARAGRAPH,
}

# Elements whose content is not for listeners.
UNSPOKEN = frozenset({"metadata", "desc"})

_PERCENT = re.compile(r"([+-]\d{1,3}(?:\.\d{0,9})?)%", re.ASCII)  # of a change


def parse(text: str, lang: str = "en", *, strict: bool = False) -> list[Segment]:
    """Return the segments of an SSML document, at least one, in order. lang: its language where it sets none.

    strict: refuse what cannot be followed instead of reporting it. Raises ValueError naming line and column for
    malformed XML, a root other than speak, or a DTD.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"SSML: character {error.start} is a lone surrogate, which XML does not allow") from None
    document = _Document(lang, strict)
    source = InputSource()
    source.setCharacterStream(io.StringIO(text))  # a character stream: a declared encoding is ignored
    parser = defusedxml.sax.make_parser()
    parser.forbid_dtd = True
    parser.setContentHandler(document)
    try:
        parser.parse(source)
    except defusedxml.DefusedXmlException:
        raise ValueError("SSML: a DTD (<!DOCTYPE …>) and custom entities are not allowed") from None
    except SAXParseException as error:
        line, column = error.getLineNumber(), (error.getColumnNumber() or 0) + 1
        raise ValueError(f"SSML, line {line}, column {column}: {error.getMessage()}") from None
    return document.segments or [Segment("")]


@dataclass(frozen=True)
class _Open:
    """An open element."""

    name: str
    attributes: dict[str, str]
    place: str
    state: Segment  # the settings around it, restored at its end
    followed: bool = True  # whether it has an effect; otherwise only its text counts


class _Document(ContentHandler):
    def __init__(self, lang: str, strict: bool) -> None:
        super().__init__()
        self.segments: list[Segment] = []
        self._main = lang
        self._strict = strict
        self._reports: list[Change] = []  # not attached to a segment yet
        self._state = Segment("")  # the settings of the open elements
        self._open: list[_Open] = []
        self._text: list[str] = []  # since the last segment
        self._gap = 0.0  # seconds of pause that the end of a sentence implies if more text follows
        self._locator: Locator | None = None

    # --- callbacks of the XML parser ---------------------------------------------------------------------------------

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: Any) -> None:
        attributes = dict(attrs.items())
        assert self._locator is not None
        place = f"SSML, line {self._locator.getLineNumber()}, column {(self._locator.getColumnNumber() or 0) + 1}"
        element = _Open(name, attributes, place, self._state)
        if not self._open and name != "speak":
            raise ValueError(f"{place}: <{name}>: speak must be the outermost element")
        followed = self._check(element)
        self._open.append(replace(element, followed=followed))
        if followed:
            self._start(element)

    def characters(self, content: str) -> None:
        if self._open[-1].name == "break" and content.strip():
            self._report(self._open[-1], "it contains text; use <break/>")
        if self._open[-1].name not in UNSPOKEN:
            self._text.append(re.sub(r"\s+", " ", content))

    def endElement(self, name: str) -> None:
        element = self._open.pop()
        if element.followed:
            self._end(element)

    # --- elements -----------------------------------------------------------------------------------------------------

    def _report(self, element: _Open, message: str, attribute: str = "") -> None:
        """Report what cannot be followed. Raises ValueError if the parser is strict."""
        if self._strict:
            raise ValueError(f"{element.place}: <{element.name}>: {message}") from None
        value = element.attributes.get(attribute)
        written = f"<{element.name}>" if value is None else f'<{element.name} {attribute}="{value}">'
        self._reports.append(Change("ssml", written, ""))

    def _check(self, element: _Open) -> bool:
        """Report the parts of an element that cannot be followed; return whether the rest can."""
        name, attributes = element.name, element.attributes
        if name not in ATTRIBUTES:
            self._report(element, f"unknown element{_perhaps(name, ATTRIBUTES)}")
            return False
        if name == "speak" and self._open:
            self._report(element, "speak must be the outermost element and occur once")
            return False
        if self._open and self._open[-1].name in (*READINGS, "break"):
            self._report(element, f"<{self._open[-1].name}> cannot contain elements")
            return False
        unknown = [a for a in attributes if a not in ATTRIBUTES[name] and not (name == "speak" and a[:6] == "xmlns:")]
        for attribute in unknown:
            self._report(element, f"unknown attribute {attribute}{_perhaps(attribute, ATTRIBUTES[name])}", attribute)
        if name == "prosody" and not any(attributes.get(a, "").strip() for a in ATTRIBUTES[name]):
            if not unknown:
                self._report(element, f"one of {', '.join(ATTRIBUTES[name])} is missing")
            return False
        if name in NEEDED and not attributes.get(NEEDED[name], "").strip():
            if not unknown:
                self._report(element, f"attribute {NEEDED[name]} is missing or empty")
            return False
        return True

    def _start(self, element: _Open) -> None:
        name, attributes, now = element.name, element.attributes, self._state
        if name in ("p", "s", *READINGS):
            self._flush()
        if name == "break":
            self._flush(self._follow(element, "time" if "time" in attributes else "strength", _pause, 0.0))
        if name == "p":
            self._gap = PAUSE_PARAGRAPH
        if "xml:lang" in attributes:
            self._switch(lang=self._follow(element, "xml:lang", lambda a: parse_language(a["xml:lang"]), now.lang))
        if name == "prosody":
            for attribute in attributes:  # in the order of the document: a strict parser reports the first wrong one
                if attribute == "rate":
                    speed = self._follow(element, "rate", lambda a: _speed(now.speed, a["rate"]), now.speed)
                    self._switch(speed=speed)
                elif attribute in _PROSODY:
                    inner = self._follow(element, attribute, functools.partial(_prosody, attribute), NEUTRAL)
                    self._switch(prosody=inner.within(self._state.prosody))
        if name == "emphasis":
            stress = self._follow(element, "level", _level, 0.0)
            self._switch(prosody=replace(now.prosody, stress=stress))
        if name == "voice":
            self._switch(voice=self._follow(element, "name", lambda a: parse_voice_name(a["name"]), now.voice))

    def _follow(self, element: _Open, attribute: str, read: Callable[[dict[str, str]], Any], otherwise: Any) -> Any:
        """Return what `read` makes of the attributes; if it refuses them, report the attribute and use `otherwise`."""
        try:
            return read(element.attributes)
        except ValueError as error:
            self._report(element, str(error), attribute)
            # a pause that is too long is cut to the longest
            long = re.fullmatch(r"\s*0*[1-9]\d{1,9}(?:\.\d{0,9})?s\s*", element.attributes.get("time", ""))
            return MAX_PAUSE if long and element.name == "break" else otherwise

    def _end(self, element: _Open) -> None:
        if element.name in READINGS:
            written = " ".join("".join(self._text).split())
            self._text = []
            try:
                words, rule, phones = self._reading(element, written)
                self._put(literal_segment(self._state, rule, written, words, phones))
            except ValueError as error:
                self._report(element, str(error), NEEDED[element.name])
                self._text.append(written)
        elif element.name in ("p", "s", "speak"):
            self._flush()
            spoken = self.segments[-1].text.rstrip("\"')]”’» ") if self.segments else ""
            if element.name == "p":
                self._gap = PAUSE_PARAGRAPH
            elif element.name == "s" and not spoken.endswith((".", "!", "?", "…")):
                self._gap = max(self._gap, PAUSE_SENTENCE)
        around = element.state
        self._switch(lang=around.lang, voice=around.voice, speed=around.speed, prosody=around.prosody)

    def _reading(self, element: _Open, written: str) -> tuple[str, str, str]:
        """Return the words of a sub, phoneme or say-as, the name of the rule, and the phones."""
        if element.name == "sub":
            return parse_reading(element.attributes["alias"]), "sub", ""
        if element.name == "phoneme":
            alphabet = element.attributes.get("alphabet", "ipa")
            if alphabet not in ALPHABETS:
                raise ValueError(f"alphabet is {alphabet!r}; it must be one of {', '.join(ALPHABETS)}")
            word, phones = parse_pronounced(written, f"/{element.attributes['ph']}/")
            return word, "phoneme", phones
        kind, lang = element.attributes["interpret-as"], self._state.lang or self._main
        return say_as(kind, element.attributes.get("format"), written, lang), f"say-as {kind}", ""

    def _switch(self, **what: str | float | Prosody | None) -> None:
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
        if self._reports:
            segment = replace(segment, changes=(*self._reports, *segment.changes))
            self._reports = []
        append_segment(self.segments, segment)


def _perhaps(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; supported: {', '.join(known) or 'none'}"


def _pause(attributes: dict[str, str]) -> float:
    if "time" in attributes:
        return parse_seconds(attributes["time"])
    strength = attributes.get("strength", "medium")
    if strength not in STRENGTHS:
        no = "; the pause of the punctuation cannot be removed" if strength == "none" else ""
        raise ValueError(f"strength is {strength!r}; it must be one of {', '.join(STRENGTHS)}{no}")
    return STRENGTHS[strength]


def _rate(written: str) -> float:
    """Return a rate as a factor on the rate around it: "80%" and "0.8" are 0.8, "-20%" is 0.8, "+10%" is 1.1."""
    rate = written.strip()
    if rate in RATES:
        return RATES[rate]
    part = parse_decimal(rate.strip("+-%")) if re.fullmatch(r"[+-]?[\d.]+%|[\d.]+", rate, re.ASCII) else None
    if part is None:
        raise ValueError(f"rate is {written!r}; it must be a percentage, a number or one of {', '.join(RATES)}")
    if not rate.endswith("%"):
        return part
    return {"+": 100 + part, "-": 100 - part}.get(rate[0], part) / 100


def _speed(around: float, rate: str) -> float:
    """Return a rate within the speed around it."""
    speed = around * _rate(rate)
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        inside = "" if around == 1 else f" within {around:g}"
        raise ValueError(f"rate is {rate!r}{inside}; the speed must be from {SPEEDS[0]:g} to {SPEEDS[1]:g}")
    return speed


def _pitch(written: str) -> Prosody:
    """Return a pitch, in semitones, as a percentage of the frequency or by name, as a prosody."""
    pitch = written.strip()
    if pitch in PITCHES:
        return Prosody(pitch=PITCHES[pitch])
    if m := re.fullmatch(r"([+-]?\d{1,3}(?:\.\d{0,9})?)st", pitch, re.ASCII):
        return Prosody(pitch=float(m[1]))
    if m := _PERCENT.fullmatch(pitch):
        return Prosody(pitch=12 * math.log2(max(0.01, 1 + float(m[1]) / 100)))
    raise ValueError(f"pitch is {written!r}; it must be semitones such as +2st, +10%, or one of {', '.join(PITCHES)}")


def _range(written: str) -> Prosody:
    """Return a pitch range, as a percentage, a factor or by name, as a prosody."""
    wide = written.strip()
    if wide in RANGES:
        return Prosody(range=RANGES[wide])
    if m := _PERCENT.fullmatch(wide):
        return Prosody(range=1 + float(m[1]) / 100)
    if re.fullmatch(r"\d(?:\.\d{0,9})?", wide, re.ASCII):
        return Prosody(range=float(wide))
    raise ValueError(f"range is {written!r}; it must be +30%, a factor or one of {', '.join(RANGES)}")


def _volume(written: str) -> Prosody:
    """Return a volume, in dB or by name, as a prosody."""
    volume = written.strip()
    if volume in VOLUMES:
        return Prosody(energy=VOLUMES[volume])
    if m := re.fullmatch(r"([+-]?\d{1,3}(?:\.\d{0,9})?)dB", volume, re.ASCII):
        return Prosody(energy=float(m[1]))
    raise ValueError(f"volume is {written!r}; it must be dB such as +6dB, or one of {', '.join(VOLUMES)}")


def _prosody(attribute: str, attributes: dict[str, str]) -> Prosody:
    try:
        return _PROSODY[attribute](attributes[attribute])
    except ProsodyRange as error:  # names the number that the attribute became
        raise ValueError(f"{attribute} is {attributes[attribute]!r}; it must be {error.right}") from None


def _level(attributes: dict[str, str]) -> float:
    level = attributes.get("level", "moderate")
    if level == "reduced":
        raise ValueError("level is 'reduced', which no model can follow; <prosody volume=\"soft\"> is softer")
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; it must be one of {', '.join(LEVELS)}")
    return LEVELS[level]


_PROSODY: dict[str, Callable[[str], Prosody]] = {"pitch": _pitch, "range": _range, "volume": _volume}
