"""A text as stretches that each have one voice, one language and one speed: what markup and SSML are read into.

Also what both notations and the lexicon check and read alike: pauses, speeds, languages, names of voices, readings,
spelling. Errors raised here name the value; who reads the notation adds the place.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from vivavoce.config import SpeakOptions
from vivavoce.config_whisperspeech import WHISPER_LANGUAGES
from vivavoce.text import Change, normalise
from vivavoce.text_characters import PUNCTUATION, SYMBOLS, TYPOGRAPHY
from vivavoce.text_numbers import digits

MAX_PAUSE = 60.0  # seconds, of one tag


@dataclass(frozen=True)
class Segment:
    """A stretch of text to be spoken alike, and the silence asked for after it.

    Segments one after another are the text without its markup: `text` keeps the white space at its ends, so that a
    sentence that goes on over several segments can be put together again. Only the first may be nothing but white
    space: where silence is asked for before any text, and where there is no text at all.
    """

    text: str
    lang: str | None = None  # a code that Whisper knows; None: the language of the text as a whole
    voice: str | None = None  # None: the voice of the text as a whole
    speed: float = 1.0  # times the speed of the text as a whole
    pause: float = 0.0  # seconds of silence asked for after it; 0: what its punctuation asks for
    literal: bool = False  # already words to be spoken, so not to be normalised
    changes: tuple[Change, ...] = ()  # of a literal one: what was written and is read as `text`, and by which rule


def put(segments: list[Segment], new: Segment) -> None:
    """Append `new`; where it has nothing but white space, give that and its pause to the segment before."""
    if not new.text and not new.pause:
        return
    last = segments[-1] if segments else None
    if last is not None and not new.text.strip():
        segments[-1] = replace(last, text=last.text + new.text, pause=last.pause + new.pause)
    elif last is not None and not last.text.strip() and not last.pause:
        segments[-1] = replace(new, text=last.text + new.text)
    else:
        segments.append(new)


def read_as(like: Segment, rule: str, written: str, reading: str) -> Segment:
    """A literal segment in the language, voice and speed of `like`: `written`, read as `reading` by `rule`."""
    changes = () if reading == written else (Change(rule, written, reading),)
    return replace(like, text=reading, pause=0.0, literal=True, changes=changes)


# ------------------------------------------------------------------------------------------------------------- checking


def language(code: str) -> str:
    """`code`, where Whisper knows it; a region as in "pt-BR" is left out, for accents are the voice's.

    Raises ValueError for any other code.
    """
    primary = re.split("[-_]", code.strip())[0].lower()
    if primary not in WHISPER_LANGUAGES:
        raise ValueError(f"{code!r} is no language's code; it must be one that Whisper knows, such as en, fr or zh")
    return primary


def voice_name(name: str) -> str:
    """A name without white space around it. Raises ValueError where it is empty or has characters that names lack."""
    if not re.fullmatch(r"\w(?:[\w .-]*\w)?", name.strip()):
        raise ValueError(f"{name!r} is no voice's name; write one, such as nash")
    return name.strip()


def speed(factor: float) -> float:
    """`factor`, where it is a speed that can be asked for. Else ValueError."""
    return SpeakOptions(speed=factor).speed


def seconds(duration: str) -> float:
    """ "500ms" or "1.5s" in seconds. Raises ValueError for anything else, 0, and more than MAX_PAUSE."""
    m = re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(ms|s)", duration.strip(), re.ASCII)
    if m is None:
        raise ValueError(f"{duration!r} is no length of a pause; write it as 500ms or 1.5s")
    value = float(m[1]) / (1000 if m[2] == "ms" else 1)
    if not 0 < value <= MAX_PAUSE:
        raise ValueError(f"a pause of {duration.strip()} is not above 0 and at most {MAX_PAUSE:g}s")
    return value


def decimal(written: str) -> float:
    """A plain decimal number. Raises ValueError for anything else, as "nan", "1e3" or other digits than 0 to 9."""
    if not re.fullmatch(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}", written.strip(), re.ASCII):
        raise ValueError(f"{written!r} is no number; write it as 0.9")
    return float(written)


def reading(words: str) -> str:
    """How something is to be read, as plain words: NFC, white space folded, typographic marks as `normalise` has them.

    Raises ValueError where there is no letter, or a character that would need normalising, such as a digit.
    """
    plain = "".join(TYPOGRAPHY.get(c, c) for c in unicodedata.normalize("NFC", words))
    plain = " ".join(plain.split())
    if not any(map(str.isalpha, plain)):
        raise ValueError(f"the reading {words!r} has no letter; write it in words")
    strange = [c for c in plain if not (c.isalpha() or c in PUNCTUATION or c == " " or unicodedata.combining(c))]
    if strange:
        raise ValueError(f"the reading {words!r} has {strange[0]!r}; write it in words, as it is to be spoken")
    return plain


# ------------------------------------------------------------------------------------------------------------- spelling

_NAMES = {
    **{".": "dot", ",": "comma", ";": "semicolon", ":": "colon", "!": "exclamation mark", "?": "question mark"},
    **{"-": "dash", "'": "apostrophe", '"': "quote", "(": "open bracket", ")": "close bracket", "…": "ellipsis"},
    **{"—": "dash", "–": "dash", "_": "underscore", "#": "hash", "*": "star", "~": "tilde", "|": "bar"},
    **{"[": "open bracket", "]": "close bracket", "{": "open brace", "}": "close brace", "<": "less than"},
    **{">": "greater than", "^": "caret", "`": "backtick"},
}


def spelled(text: str, lang: str) -> str:
    """ "Xk-9" → "X K dash nine": letters by themselves, digits and (in English) symbols by name, a comma for a space.

    Raises ValueError for what has no name, and where there is nothing to spell.
    """
    words = [" ".join(_character(c, lang) for c in word) for word in unicodedata.normalize("NFC", text).split()]
    if not words:
        raise ValueError("there is nothing to spell")
    return ", ".join(words)


def _character(c: str, lang: str) -> str:
    if c.isalpha():
        return c.upper() if len(c.upper()) == 1 else c
    if unicodedata.decimal(c, None) is not None:
        return digit(str(unicodedata.decimal(c)), lang)
    name = _NAMES.get(c) or _NAMES.get(TYPOGRAPHY.get(c, "")) or SYMBOLS.get(c)
    if name is None or lang != "en":
        raise ValueError(f"{c!r} has no name to spell it by in the language {lang}")
    return name


def digit(written: str, lang: str) -> str:
    """One digit, 0 to 9, as a word."""
    return digits(written) if lang == "en" else normalise(written, lang)[0].lower()
