r"""Tags in plain text → `Segment`s: pauses, spelling, readings, voices, speeds and languages within a text.

    [pause 500ms]  [pause 1.5s]       silence, at most a minute
    [spell:ABC]                       letter by letter
    [say:Xk9|ex kay nine]             what is written, and how it is read
    [voice:nash] … [/voice]           another voice, until the next voice tag or the end of the text
    [speed:0.9] … [/speed]            slower or faster than the rest, until the next speed tag
    [fr] … [en], [fr] … [/fr]         another language, until the next language tag; [lang:fr] … [/lang] is the same
    \[ and \]                         brackets that are none of these

What is a tag and what is text. Tags are in lower case. Ours is every bracket that holds the name of a tag and a colon,
that begins with the word pause, that closes one of these, or that holds just a language's code. What cannot be meant
otherwise than as one of these but is none is an error that names the place: [voice:], [pause], [vioce:nash], [puase
500ms], [speed 0.9], [Voice:nash], [fr-FR], [/speed] that closes nothing, [xx] where no language has that code. All
other brackets are text: [1], [sic], [Footnote], [Pause for laughter], [he or she], [US], [to].

A few codes are words, units or numerals that people put into brackets too: [he], [it], [km], [vi]. These are text, with
a warning, unless the text has a language tag that is beyond doubt, such as [en], [/it] or [lang:it].
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable
from dataclasses import replace

from vivavoce import ssml as xml
from vivavoce.config_whisperspeech import WHISPER_LANGUAGES
from vivavoce.lexicon import Lexicon
from vivavoce.segments import Segment, decimal, language, put, read_as, reading, seconds, speed, spelled, voice_name
from vivavoce.text_tables import name_set

__all__ = ["Reader", "Segment", "complete", "read"]

SHAPES = {
    "pause": "[pause 500ms]",
    "spell": "[spell:ABC]",
    "say": "[say:Xk9|ex kay nine]",
    "voice": "[voice:nash]",
    "speed": "[speed:0.9]",
    "lang": "[lang:fr]",
}

# Codes of languages that also stand in brackets as words of an editor, units, numerals or what web pages know.
DOUBTFUL = name_set(
    """am as be br ca et ha haw he hi hr id is it km la lb lo mg mi ml ms mt my no pa ps sa so th vi yo"""
)
# Other two letters that stand in brackets in English and are no code that somebody got wrong.
WORDS = name_set(
    """ad ah al an at aw by cf cl cm dl dm do ed eg eh ex ft go gb hm hz ie if ii in iv ix kb kg kw li mb me mm nb nd nm
    oc of oh ok on op or ow oz pc pp qv rd re sh sq st tb td to tv uh um up us vs we xi xv"""
) - set(WHISPER_LANGUAGES)
# What people write for the code of a language: its country.
COUNTRIES = {"cn": "zh", "jp": "ja", "kr": "ko", "cz": "cs", "dk": "da", "gr": "el", "ua": "uk", "gb": "en"}

# An escaped bracket; or a bracket up to its end, its line's end or the next bracket, whichever is first.
_BRACKET = re.compile(r"\\[\[\]]|\[((?:[^\[\]\n\\]|\\[\[\]]?)*)(\]?)")


def read(text: str, *, ssml: bool = False, lexicon: Lexicon | None = None, lang: str = "en") -> list[Segment]:
    """The segments of a text with tags, or of an SSML document; at least one, in order.

    lexicon: its words become segments of their own. lang: the language of the text as a whole, in which digits are
    spelled; the segments' `lang` is None where no tag asks for a language. Warns of brackets that may be a word or a
    language. Raises ValueError naming the line and column of what is no tag, or an element or attribute that SSML or
    vivavoce does not have.
    """
    if not ssml:
        return Reader(lexicon, lang).read(text)
    segments = xml.read(text, lang)
    return segments if lexicon is None else [part for s in segments for part in lexicon.apply(s)]


def complete(text: str) -> int:
    """How many characters of a text that is still to grow can be read already: all, or up to a bracket that is open."""
    line = text.rfind("\n") + 1
    for m in _BRACKET.finditer(text, line):
        if m[1] is not None and not m[2] and m.end() == len(text):
            return m.start()
    return len(text) - (text.endswith("\\"))


class Reader:
    """Reads a text with tags part by part: what a tag switched lasts into the next part, and places go on.

    Parts should end where `complete` says, and at the end of a word where there is a lexicon.
    """

    def __init__(self, lexicon: Lexicon | None = None, lang: str = "en") -> None:
        self._lexicon = lexicon
        self._main = lang
        self._state = Segment("")  # what the tags so far ask for
        self._has_speed = False
        self._has_language = False  # whether a language's tag beyond doubt was seen
        self._warned: set[str] = set()
        self._line, self._column = 1, 1  # of where this part begins
        self._text = ""  # this part
        self._plain: list[str] = []  # what was read since the last tag
        self._segments: list[Segment] = []

    def read(self, text: str) -> list[Segment]:
        """The segments of this part, at least one. Raises ValueError as `markup.read`."""
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
                    _refuse_open(m[1])
                is_tag = bool(m[2]) and (self._close(m) or self._tag(m))
            except ValueError as error:
                raise ValueError(f"{self._place(m.start())}: {_shorten(m[0])}: {error}") from None
            if not is_tag:
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
        """Where a character of this part is."""
        breaks = self._text.count("\n", 0, index)
        column = index - self._text.rfind("\n", 0, index) if breaks else self._column + index
        return f"line {self._line + breaks}, column {column}"

    def _flush(self, pause: float = 0.0) -> None:
        put(self._segments, replace(self._state, text="".join(self._plain), pause=pause))
        self._plain = []

    def _switch(self, **what: str | float | None) -> bool:
        self._flush()
        self._state = replace(self._state, **what)  # type: ignore[arg-type]
        return True

    def _read_as(self, rule: str, written: str, words: str) -> bool:
        self._flush()
        put(self._segments, read_as(self._state, rule, written, words))
        return True

    # Each of these says whether the bracket is a tag, and then has done what it asks for; else it is text.

    def _close(self, m: re.Match[str]) -> bool:
        if not (closing := re.fullmatch(r"/([A-Za-z]+)", m[1])):
            return False
        name = closing[1]
        if name == "voice" and self._state.voice is not None:
            return self._switch(voice=None)
        if name == "speed" and self._has_speed:
            self._has_speed = False
            return self._switch(speed=1.0)
        if self._state.lang is not None and name in ("lang", self._state.lang):
            return self._switch(lang=None)
        if name in SHAPES or name in WHISPER_LANGUAGES:
            raise ValueError(f"there is nothing that this ends{_PLAIN}")
        near = _near(name, SHAPES)
        if near or (re.fullmatch("[a-z]{2}", name) and name not in WORDS):
            raise ValueError(f"there is no such tag; [/{near or 'fr'}] is meant perhaps{_PLAIN}")
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
                    raise ValueError(f"it does not say for how long; write it as {SHAPES['pause']}{_PLAIN}")
                self._flush(seconds(value))
                return True
            _refuse_unnamed(name, value)
        return self._code(m)

    def _named(self, name: str, value: str) -> bool:
        """A tag with a colon: always ours."""
        if name == "pause":
            raise ValueError(f"this tag has no colon; write it as {SHAPES[name]}")
        if not value:
            raise ValueError(f"there is nothing after the colon; write it as {SHAPES[name]}{_PLAIN}")
        if name == "voice":
            return self._switch(voice=voice_name(value))
        if name == "speed":
            factor = speed(decimal(value))
            self._has_speed = True
            return self._switch(speed=factor)
        if name == "lang":
            return self._switch(lang=language(value))
        if name == "spell":
            return self._read_as("spell", value, spelled(value, self._state.lang or self._main))
        written, bar, words = (part.strip() for part in value.partition("|"))
        if not (written and bar) or "|" in words:
            raise ValueError(f"it must be what is written, one |, and how that is read: {SHAPES['say']}")
        return self._read_as("say", written, reading(words))

    def _code(self, m: re.Match[str]) -> bool:
        """A language's code by itself."""
        code = m[1]
        region = re.fullmatch("([a-z]{2})-[A-Z]{2}", code)
        if region and region[1] in WHISPER_LANGUAGES:
            raise ValueError(f"a language's tag has no region; write it as [{region[1]}]{_PLAIN}")
        if code in WHISPER_LANGUAGES:
            if code not in DOUBTFUL or self._has_language:
                return self._switch(lang=code)
            if code not in self._warned:
                self._warned.add(code)
                told = f"{self._place(m.start())}: [{code}] is read as text; the language is [lang:{code}]"
                warnings.warn(told, stacklevel=5)
            return False
        if re.fullmatch("[a-z]{2}", code) and code not in WORDS:
            perhaps = f"; [{COUNTRIES[code]}] is meant perhaps" if code in COUNTRIES else ""
            raise ValueError(f"no language that is known has this code{perhaps}{_PLAIN}")
        return False


_PLAIN = r"; for a plain bracket write \["


def _refuse_open(body: str) -> None:
    """Refuse what begins as a tag and has no end."""
    if re.match(r"pause\s+\.?\d|(?:spell|say|voice|speed|lang):\S", body):
        raise ValueError(f"] is missing; a tag ends on its line and holds no other{_PLAIN}")


def _refuse_named(name: str, value: str) -> None:
    """Refuse a name and a colon, where the name is none of ours but one of ours is meant."""
    if name.lower() in SHAPES and not value[:1].isspace():
        raise ValueError(f"tags are in lower case; write it as {SHAPES[name.lower()]}{_PLAIN}")
    likely = [tag for tag in SHAPES if tag != "pause" or value[:1].isdigit()]  # "[cause: …]" is none
    near = _near(name, likely) or ("say" if "|" in value and difflib.get_close_matches(name, ["say"]) else "")
    if near:
        raise ValueError(f"there is no such tag; {SHAPES[near]} is meant perhaps{_PLAIN}")


def _refuse_unnamed(name: str, value: str) -> None:
    """Refuse a word by itself, or with a space and a value after it, where one of our tags is meant."""
    counted = re.match(r"\.?\d", value)
    if name.lower() == "pause" and (counted or not value):
        raise ValueError(f"tags are in lower case; write it as {SHAPES['pause']}{_PLAIN}")
    if counted and _near(name, ["pause"]):
        raise ValueError(f"there is no such tag; [pause {value}] is meant perhaps{_PLAIN}")
    if (counted and name == "speed") or (name == "lang" and value in WHISPER_LANGUAGES):
        raise ValueError(f"a colon is missing; write it as [{name}:{value}]{_PLAIN}")


def _near(name: str, known: Iterable[str]) -> str:
    """The one of `known` that `name` is a misspelling of; "" where there is none. Short names are like too much."""
    return next(iter(difflib.get_close_matches(name, known, 1, 0.78)), "") if len(name) > 3 and name.islower() else ""


def _is_language(m: re.Match[str]) -> bool:
    """Whether a bracket is a language's tag beyond doubt."""
    body = (m[1] or "") if m[2] else ""
    if body.startswith("/"):
        return body[1:] in WHISPER_LANGUAGES
    return body.startswith("lang:") or (body in WHISPER_LANGUAGES and body not in DOUBTFUL)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\[\]])", r"\1", text)


def _shorten(tag: str) -> str:
    folded = " ".join(tag.split())
    return folded if len(folded) <= 60 else folded[:59] + "…"
