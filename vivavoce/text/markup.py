r"""Parse tags in plain text into `Segment`s: pauses, spelling, readings, voices, speeds and languages.

    [pause 500ms]  [pause 1.5s]       silence, at most a minute
    [spell:ABC]                       letter by letter
    [say:Xk9|ex kay nine]             text as written, and its reading
    [say:nginx|/ˈɛndʒɪnɛks/]          a word and its pronunciation, in IPA or ARPAbet
    [voice:nash] … [/voice]           another voice, until the next voice tag or the end of the text
    [speed:0.9] … [/speed]            slower or faster than the rest, until the next speed tag
    [pitch +2] … [/pitch]             semitones up or down, until the next pitch tag; also "+2st"
    [range 1.3] … [/range]            a livelier (above 1) or flatter pitch
    [energy +3] … [/energy]           dB louder or softer; also "+3dB"
    [em] … [/em]                      emphasis, of a word or a few
    [fr] … [en], [fr] … [/fr]         another language, until the next language tag; [lang:fr] … [/lang] is the same
    \[ and \]                         literal brackets

Tags are in lower case. A bracket is treated as a tag if it has the name of a tag and a colon, starts with the word
pause, closes one of these, or holds just a language code. What can only be a misspelt tag is an error that names its
place: [voice:], [pause], [vioce:nash], [puase 500ms], [speed 0.9], [Voice:nash], [fr-FR], [/speed] without a start,
[xx] if no language has that code, [Pitch +2], [pich +2], [pitch:+2], [pitch up], [emph], and [em word[/em] without its
bracket. All other brackets are text: [1], [sic], [Footnote], [Pause for laughter], [range 5 miles], [em dash],
[he or she], [US], [to].

A few codes are also words, units or numerals that people put into brackets: [he], [it], [km], [vi]. They are text, with
a warning, unless the text has an unambiguous language tag such as [en], [/it] or [lang:it].

With strict=False, as for streams, a wrong tag or a stage direction such as [laughs] is left out and reported instead.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vivavoce.text.characters import Change
from vivavoce.text.english_tables import name_set
from vivavoce.text.languages import WHISPER_LANGUAGES
from vivavoce.text.prosody import NEUTRAL, STYLES, Prosody, parse_energy, parse_factor, parse_pitch
from vivavoce.text.segments import (
    Segment,
    append_segment,
    literal_segment,
    parse_decimal,
    parse_language,
    parse_pronounced,
    parse_seconds,
    parse_speed,
    parse_voice_name,
)
from vivavoce.text.spelling import spell

if TYPE_CHECKING:
    from vivavoce.text.lexicon import Lexicon

__all__ = ["MarkupParser", "Segment", "complete"]

SHAPES = {
    "pause": "[pause 500ms]",
    "spell": "[spell:ABC]",
    "say": "[say:Xk9|ex kay nine]",
    "voice": "[voice:nash]",
    "speed": "[speed:0.9]",
    "lang": "[lang:fr]",
}

PROSODY = {"pitch": "[pitch +2]", "range": "[range 1.3]", "energy": "[energy +3]", "em": "[em]"}
# What a prosody tag can have after its name. A number before any other word is text: [range 5 miles].
_AMOUNT = re.compile(
    r"[+\u2212-]?(?:\d+(?:\.\d*)?|\.\d+)\s?(?:st|semitones?|db)?|[+\u2212-][\d.]+\s?(?:%|hz|x)", re.IGNORECASE
)
# Amounts that only prosody tags have: unlike these, [patch 2] and [volume 3] are text.
_SURE = re.compile(r"[+\u2212-].+|.*(?:st|semitones?|db)", re.IGNORECASE)

# Language codes that also occur in brackets as words, units, numerals or forum tags.
DOUBTFUL = name_set(
    """am as be br ca et ha haw he hi hr id is it km la lb lo mg mi ml ms mt my no pa ps sa so th vi yo"""
)
# Pairs of letters that occur in brackets in English and are no misspelt language code.
WORDS = name_set(
    """ad ah al an at aw by cf cl cm dl dm do ed eg eh ex ft go gb hm hz ie if ii in iv ix kb kg kw li mb me mm nb nd nm
    oc of oh ok on op or ow oz pc pp qv rd re sh sq st tb td to tv uh um up us vs we xi xv"""
) - set(WHISPER_LANGUAGES)
# Country codes that people write instead of language codes.
COUNTRIES = {"cn": "zh", "jp": "ja", "kr": "ko", "cz": "cs", "dk": "da", "gr": "el", "ua": "uk", "gb": "en"}

# What performers do, as language models and transcripts note it. Text in plain input, left out with strict=False.
STAGE_DIRECTIONS = name_set(
    """laughs laugh laughter laughing chuckles chuckle chuckling giggles giggle giggling sighs sigh sighing gasps gasp
    coughs cough coughing sniffs sniffles sobs sobbing cries crying groans moans grunts yawns whispers whisper
    whispering shouts shouting screams screaming sings singing hums humming breathes breath inhales exhales applause
    cheering music silence crosstalk inaudible smiles grins nods shrugs winks"""
)

# An escaped bracket; or a bracket up to its end, the end of its line or the next bracket, whichever is first.
_BRACKET = re.compile(r"\\[\[\]]|\[((?:[^\[\]\n\\]|\\[\[\]]?)*)(\]?)")


def complete(text: str) -> int:
    """Return how many characters of a growing text can be parsed: all of them, or those before an open bracket."""
    line = text.rfind("\n") + 1
    at = text.rfind("[", line)
    while at > line and text[at - 1] == "\\":
        at = text.rfind("[", line, at)
    if at >= 0 and (m := _BRACKET.match(text, at)) and not m[2] and m.end() == len(text):
        return at
    return len(text) - (text.endswith("\\"))


class MarkupParser:
    """Parse a text with tags, whole or part by part. Tags stay in effect and positions continue across parts.

    Parts should end where `complete` says, and with a lexicon at the end of a word. lexicon: its words become segments
    of their own. lang: the language of the whole text, in which digits are spelled; a segment's `lang` is None where no
    tag sets a language. strict: raise an error for a wrong tag; otherwise leave it out and report it as a `Change`.
    """

    def __init__(self, lexicon: Lexicon | None = None, lang: str = "en", *, strict: bool = True) -> None:
        self._lexicon = lexicon
        self._main = lang
        self._strict = strict
        self._state = Segment("")  # what the tags so far set
        self._has_speed = False
        self._open: set[str] = set()  # prosody tags without their end so far
        # Brackets that were text although they begin with the name of a tag, by that name: the bracket, what is wrong
        self._as_text: dict[str, tuple[str, str]] = {}
        self._has_language = False  # whether an unambiguous language tag was seen
        self._warned: set[str] = set()
        self._line, self._column = 1, 1  # where this part starts
        self._text = ""  # this part
        self._plain: list[str] = []  # the text since the last tag
        self._segments: list[Segment] = []

    def parse(self, text: str) -> list[Segment]:
        """Return the segments of this part, at least one, in order.

        Warns of brackets that may be a word or a language. Raises ValueError naming line and column for a wrong tag.
        """
        self._text, self._plain, self._segments = text, [], []
        self._has_language = self._has_language or any(map(_is_language, _BRACKET.finditer(text)))
        done = 0
        for m in _BRACKET.finditer(text):
            self._plain.append(text[done : m.start()])
            done = m.end()
            if m[1] is None:
                self._plain.append(m[0][1])
                continue
            try:
                if not m[2]:
                    self._check_closed(m)
                is_tag = bool(m[2]) and (self._close(m) or self._tag(m))
            except ValueError as error:
                if self._strict:
                    raise ValueError(f"{self._place(m.start())}: {_shorten(m[0])}: {error}") from None
                wrong = m[0] if m[2] else _start_of_tag(m[0])  # the words after a tag without its bracket are read
                self._leave_out(wrong)
                self._plain.append(_unescaped(m[0][len(wrong) :]))
                continue
            if is_tag:
                continue
            self._remember(m)
            if not self._strict and _is_stage_direction(m):
                self._leave_out(m[0])
            else:
                self._plain.append(_unescaped(m[0]))
        self._plain.append(text[done:])
        self._flush()
        if breaks := text.count("\n"):
            self._line, self._column = self._line + breaks, len(text) - text.rindex("\n")
        else:
            self._column += len(text)
        found = self._segments or [self._state]
        return found if self._lexicon is None else [part for s in found for part in self._lexicon.apply(s)]

    def _place(self, index: int) -> str:
        """Return the line and column of a character of this part."""
        breaks = self._text.count("\n", 0, index)
        column = index - self._text.rfind("\n", 0, index) if breaks else self._column + index
        return f"line {self._line + breaks}, column {column}"

    def _flush(self, pause: float = 0.0) -> None:
        append_segment(self._segments, replace(self._state, text="".join(self._plain), pause=pause))
        self._plain = []

    def _leave_out(self, tag: str) -> None:
        self._flush()
        append_segment(self._segments, replace(self._state, changes=(Change("markup", tag, ""),)))

    def _switch(self, **what: str | float | Prosody | None) -> bool:
        self._flush()
        self._state = replace(self._state, **what)  # type: ignore[arg-type]
        return True

    def _read_as(self, rule: str, written: str, words: str, phones: str = "") -> bool:
        self._flush()
        append_segment(self._segments, literal_segment(self._state, rule, written, words, phones))
        return True

    def _check_closed(self, m: re.Match[str]) -> None:
        """Raise ValueError for a tag without its closing bracket."""
        missing = f"] is missing; a tag must end on its line and cannot contain another{_PLAIN}"
        if _UNCLOSED.match(m[1]):
            raise ValueError(missing)
        # [em word[/em]: only the tag that closes it tells it from text
        name = _name_of(m[1])
        if not _is_name(name) or self._is_open(name):
            return
        opening = r"\[(/?)(?:lang\b|[a-z]{2,3}\])" if name == "lang" else rf"\[(/?)(?:lang:\s*)?{name}(?![A-Za-z])"
        other = re.compile(opening).search(self._text, m.end())
        if other and other[1]:
            raise ValueError(missing)

    def _is_open(self, name: str) -> bool:
        """Return whether [/name] would close a tag."""
        if name in ("voice", "speed"):
            return self._has_speed if name == "speed" else self._state.voice is not None
        return name in self._open or (self._state.lang is not None and name in ("lang", self._state.lang))

    def _remember(self, m: re.Match[str]) -> None:
        """Note a bracket that is text although it begins with a tag's name: an end tag may show that it is a tag."""
        name = _name_of(m[1])
        if _is_name(name):
            shape = SHAPES.get(name) or PROSODY.get(name) or f"[{name}]"
            self._as_text[name] = _shorten(m[0]), f"use the form {shape}" if m[2] else "] is missing"

    # Each of these applies the bracket and returns True if it is a tag; False means that it is text.

    def _close(self, m: re.Match[str]) -> bool:
        if not (closing := re.fullmatch(r"/([A-Za-z]+)", m[1])):
            return False
        name = closing[1]
        if self._is_open(name):
            if name == "voice":
                return self._switch(voice=None)
            if name == "speed":
                self._has_speed = False
                return self._switch(speed=1.0)
            if name not in self._open:
                return self._switch(lang=None)
            self._open.remove(name)
            return self._switch(prosody=_neutral(self._state.prosody, name))
        if _is_name(name):
            bracket, why = self._as_text.get(name, ("", ""))
            text = f": {bracket} is not a tag; {why}" if bracket else ""
            raise ValueError(f"there is no open tag that it could close{text}{_PLAIN}")
        if name.lower() in SHAPES or name.lower() in PROSODY:
            raise ValueError(f"tags are in lower case; use [/{name.lower()}]{_PLAIN}")
        if name in EMPHASES:
            raise ValueError(f"unknown tag; did you mean [/em]?{_PLAIN}")
        near = _near(name, (*SHAPES, *PROSODY))
        if near or (re.fullmatch("[a-z]{2}", name) and name not in WORDS):
            raise ValueError(f"unknown tag; did you mean [/{near or 'fr'}]?{_PLAIN}")
        return False

    def _tag(self, m: re.Match[str]) -> bool:
        body = m[1].strip()
        if named := re.fullmatch(r"([A-Za-z]+):(.*)", body, re.DOTALL):
            name, value = named[1], _unescaped(named[2])
            if name in SHAPES:
                return self._named(name, value.strip())
            _refuse_named(name, value)
            return False
        if words := re.fullmatch(r"([A-Za-z]+)(?:\s+(.*))?", body, re.DOTALL):
            name, value = words[1], words[2] or ""
            if name == "pause":
                if not value:
                    raise ValueError(f"the duration is missing; use the form {SHAPES['pause']}{_PLAIN}")
                self._flush(parse_seconds(value))
                return True
            if name in PROSODY and self._change(name, value.strip()):
                return True
            _refuse_unnamed(name, value)
        return self._code(m)

    def _named(self, name: str, value: str) -> bool:
        """Apply a tag with a colon."""
        if name == "pause":
            raise ValueError(f"a pause has no colon; use the form {SHAPES[name]}")
        if not value:
            raise ValueError(f"the value is missing; use the form {SHAPES[name]}{_PLAIN}")
        if name == "voice":
            return self._switch(voice=parse_voice_name(value))
        if name == "speed":
            factor = parse_speed(parse_decimal(value))
            self._has_speed = True
            return self._switch(speed=factor)
        if name == "lang":
            return self._switch(lang=parse_language(value))
        if name == "spell":
            return self._read_as("spell", value, spell(value, self._state.lang or self._main))
        written, bar, words = (part.strip() for part in value.partition("|"))
        if not (written and bar) or "|" in words:
            raise ValueError(f"it must be the text, one |, and its reading; use the form {SHAPES['say']}")
        reading, phones = parse_pronounced(written, words)
        return self._read_as("say", written, reading, phones)

    def _change(self, name: str, value: str) -> bool:
        """Apply a prosody tag."""
        if name == "em":
            if value in LEVELS or _AMOUNT.fullmatch(value):
                raise ValueError(f"the tag has no value, but {value!r} follows; use the form {PROSODY[name]}{_PLAIN}")
            if value:
                return False
            changed = replace(self._state.prosody, stress=1.0)
        elif _AMOUNT.fullmatch(value):
            changed = replace(self._state.prosody, **{name: _PARSERS[name](value)})
        else:
            return False
        self._open.add(name)
        return self._switch(prosody=changed)

    def _code(self, m: re.Match[str]) -> bool:
        """Apply a language code."""
        code = m[1]
        region = re.fullmatch("([a-z]{2})-[A-Z]{2}", code)
        if region and region[1] in WHISPER_LANGUAGES:
            raise ValueError(f"a language tag has no region; use [{region[1]}]{_PLAIN}")
        if code in WHISPER_LANGUAGES:
            if code not in DOUBTFUL or self._has_language:
                return self._switch(lang=code)
            if code not in self._warned:
                self._warned.add(code)
                message = f"{self._place(m.start())}: [{code}] is read as text; the language is [lang:{code}]"
                warnings.warn(message, stacklevel=5)
            return False
        if re.fullmatch("[a-z]{2}", code) and code not in WORDS:
            perhaps = f"; did you mean [{COUNTRIES[code]}]?" if code in COUNTRIES else ""
            raise ValueError(f"unknown language code{perhaps}{_PLAIN}")
        return False


EMPHASES = ("emph", "emphasis")  # what others call [em]
LEVELS = ("strong", "moderate", "reduced", "none")  # of SSML's emphasis
# What people and language models write after the name of a prosody tag where a number belongs
VALUES = name_set(
    """up down high higher low lower medium default normal neutral x-high x-low x-loud x-soft x-fast x-slow loud louder
    soft softer quiet quieter silent fast faster slow slower wide wider narrow narrower flat flatter lively livelier
    rising falling increase decrease increased decreased raised lowered reset off strong moderate reduced none very
    slightly more less"""
)
# What has another tag, or none, and the form to use
OTHERS = {"pace": "[speed:0.9]", "volume": PROSODY["energy"]}
PACES = name_set("fast faster slow slower x-fast x-slow loud louder soft softer quiet quieter x-loud x-soft")

_PLAIN = r"; write \[ for a literal bracket"


_PARSERS: dict[str, Callable[[str], float]] = {
    "pitch": parse_pitch,
    "range": lambda written: parse_factor(written, "range"),
    "energy": parse_energy,
}


def _neutral(prosody: Prosody, name: str) -> Prosody:
    """Return a prosody without what the tag `name` changes."""
    field = "stress" if name == "em" else name
    return replace(prosody, **{field: getattr(NEUTRAL, field)})


# The beginning of what can only be a tag
_UNCLOSED = re.compile(
    r"pause\s+\.?\d|(?:spell|say|voice|speed|lang):\S|(?:pitch|range|energy)\s+(?:[+\u2212-]\.?\d|\d*\.\d)"
)


def _name_of(body: str) -> str:
    """Return the first word of a bracket, which may be the name of a tag."""
    m = re.match(r"\s*([A-Za-z]+)(?![\w-])", body)
    return m[1] if m else ""


def _is_name(name: str) -> bool:
    """Return whether [/name] is a tag."""
    return name in SHAPES or name in PROSODY or name in WHISPER_LANGUAGES


def _start_of_tag(bracket: str) -> str:
    """Return the part of an unclosed bracket that is the tag, before the words that it was meant to apply to."""
    amount = rf"{_AMOUNT.pattern}|{'|'.join(sorted(VALUES, key=len, reverse=True))}"
    value = rf"\[\s*(?:pause\s+[\d.]+\s?m?s\b|(?:voice|speed|lang):\s*\S+|[a-z]+\s+(?:{amount})(?![\w-]))"
    m = re.match(value, bracket) or re.match(r"\[(?:spell|say):.*|\[\s*[A-Za-z]+:?", bracket, re.DOTALL)
    return m[0].rstrip() if m else bracket


def _refuse_named(name: str, value: str) -> None:
    """Raise an error for a misspelt name before a colon."""
    if name.lower() in SHAPES and not value[:1].isspace():
        raise ValueError(f"tags are in lower case; use the form {SHAPES[name.lower()]}{_PLAIN}")
    if name.lower() in PROSODY and value and (not value[0].isspace() or _SURE.fullmatch(value.strip())):
        raise ValueError(f"the tag has no colon; use the form {PROSODY[name.lower()]}{_PLAIN}")
    _refuse_prosody(name, value.strip())
    likely = [tag for tag in SHAPES if tag != "pause" or value[:1].isdigit()]  # "[cause: …]" is text
    near = _near(name, likely) or ("say" if "|" in value and difflib.get_close_matches(name, ["say"]) else "")
    if near:
        raise ValueError(f"unknown tag; did you mean {SHAPES[near]}?{_PLAIN}")


def _refuse_unnamed(name: str, value: str) -> None:
    """Raise an error for a misspelt tag of a single word, or of a word, a space and a value."""
    counted = re.match(r"\.?\d", value)
    if name.lower() == "pause" and (counted or not value):
        raise ValueError(f"tags are in lower case; use the form {SHAPES['pause']}{_PLAIN}")
    if counted and _near(name, ["pause"]):
        raise ValueError(f"unknown tag; did you mean [pause {value}]?{_PLAIN}")
    if (counted and name == "speed") or (name == "lang" and value in WHISPER_LANGUAGES):
        raise ValueError(f"a colon is missing; use [{name}:{value}]{_PLAIN}")
    if name == "Em" and not value:  # [EM] is an abbreviation
        raise ValueError(f"tags are in lower case; use the form {PROSODY['em']}{_PLAIN}")
    if name in EMPHASES and not value:
        raise ValueError(f"unknown tag; did you mean {PROSODY['em']}?{_PLAIN}")
    _refuse_prosody(name, value.strip())


def _refuse_prosody(name: str, value: str) -> None:
    """Raise an error for a misspelt prosody tag, and for the name of an option that is not a tag."""
    amount = bool(_AMOUNT.fullmatch(value))
    sure = amount and bool(_SURE.fullmatch(value))
    if name != name.lower() and name.lower() in _PARSERS and (sure or (amount and "." in value)):
        raise ValueError(f"tags are in lower case; use the form {PROSODY[name.lower()]}{_PLAIN}")
    if (sure and name in OTHERS) or (amount and name == "pace" and "." in value):
        raise ValueError(f"there is no such tag; use the form {OTHERS[name]}{_PLAIN}")
    if value and name in (*PROSODY, *EMPHASES) and all(word in VALUES for word in value.split()):
        shape = PROSODY.get(name, PROSODY["em"])
        wrong = "the tag has no value, but" if shape == PROSODY["em"] else "a number is needed, but"
        raise ValueError(f"{wrong} {_shorten(value)!r} follows; use the form {shape}{_PLAIN}")
    if value in PACES and name in OTHERS:  # not [volume up], which may be a key
        raise ValueError(f"there is no such tag; use the form {OTHERS[name]}{_PLAIN}")
    if name == "style" and value in STYLES:
        raise ValueError(f"a style is an option for the whole text, --style {value}, not a tag{_PLAIN}")
    if sure and name not in PROSODY and (near := _near(name, _PARSERS)):
        raise ValueError(f"unknown tag; did you mean {PROSODY[near]}?{_PLAIN}")


def _near(name: str, known: Iterable[str]) -> str:
    """Return the name in `known` that `name` misspells, or "". Short names resemble too many words to be judged."""
    return next(iter(difflib.get_close_matches(name, known, 1, 0.78)), "") if len(name) > 3 and name.islower() else ""


def _is_language(m: re.Match[str]) -> bool:
    """Return whether a bracket is an unambiguous language tag."""
    body = (m[1] or "") if m[2] else ""
    if body.startswith("/"):
        return body[1:] in WHISPER_LANGUAGES
    return body.startswith("lang:") or (body in WHISPER_LANGUAGES and body not in DOUBTFUL)


def _is_stage_direction(m: re.Match[str]) -> bool:
    words = m[1].lower().split() if m[2] else []
    # "[voice nash]" is a tag without its colon
    first = STAGE_DIRECTIONS | {"voice", "speed", "lang"}
    return 0 < len(words) <= 3 and (words[0] in first or words == ["clears", "throat"])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\[\]])", r"\1", text) if "\\" in text else text


def _shorten(tag: str) -> str:
    folded = " ".join(tag.split())
    return folded if len(folded) <= 60 else folded[:59] + "…"
