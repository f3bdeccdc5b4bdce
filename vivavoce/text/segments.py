"""`Segment`: a stretch of text with one voice, one language and one speed. Markup and SSML are parsed into segments.

Also checks the values that both notations and the lexicon share: pauses, speeds, languages, voice names and readings.
Errors name the value; the parser that calls adds the place.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from vivavoce.config import SpeakOptions
from vivavoce.text.characters import PUNCTUATION, TYPOGRAPHY, Change
from vivavoce.text.languages import WHISPER_LANGUAGES
from vivavoce.text.pronunciation import WORD, parse_pronunciation
from vivavoce.text.prosody import NEUTRAL, Prosody

MAX_PAUSE = 60.0  # seconds, of one tag


@dataclass(frozen=True)
class Segment:
    """Text that is spoken in one way, and the silence requested after it.

    The texts of consecutive segments are the whole text without its markup. White space at the ends is kept, so that a
    sentence that spans several segments can be reassembled. Only the first segment may be blank: for a pause before any
    text, or if there is no text at all.
    """

    text: str
    lang: str | None = None  # a Whisper language code; None: the language of the whole text
    voice: str | None = None  # None: the voice of the whole text
    speed: float = 1.0  # factor on the speed of the whole text
    pause: float = 0.0  # seconds of silence requested after it; 0: what its punctuation implies
    literal: bool = False  # already in words: not to be normalised
    phones: str = ""  # of its text, a single word, if a pronunciation was given (`text.phones`)
    prosody: Prosody = NEUTRAL  # within that of the whole text
    changes: tuple[Change, ...] = ()  # what the parser replaced by `text`, and what it left out before `text`


def append_segment(segments: list[Segment], new: Segment) -> None:
    """Append `new`. If it is blank, merge its white space, pause and changes into the segment before."""
    if not new.text and not new.pause and not new.changes:
        return
    last = segments[-1] if segments else None
    if last is not None and not new.text.strip():
        merged = {"text": last.text + new.text, "pause": last.pause + new.pause, "changes": last.changes + new.changes}
        segments[-1] = replace(last, **merged)  # type: ignore[arg-type]
    elif last is not None and not last.text.strip() and not last.pause:
        segments[-1] = replace(new, text=last.text + new.text, changes=last.changes + new.changes)
    else:
        segments.append(new)


def literal_segment(like: Segment, rule: str, written: str, reading: str, phones: str = "") -> Segment:
    """Return a literal segment with the language, voice and speed of `like`: `written`, which `rule` reads as words.

    phones: the pronunciation of the reading, if one was given.
    """
    spoken = f"/{phones}/" if phones else reading
    changes = () if spoken == written else (Change(rule, written, spoken),)
    return replace(like, text=reading, pause=0.0, literal=True, phones=phones, changes=changes)


# --------------------------------------------------------------------------------------------------------- values


def parse_language(code: str) -> str:
    """Return the primary language of `code`, such as "pt" for "pt-BR": the voice decides the accent.

    Raises ValueError if Whisper does not know the language.
    """
    primary = re.split("[-_]", code.strip())[0].lower()
    if primary not in WHISPER_LANGUAGES:
        raise ValueError(f"{code!r} is not a language code; it must be one that Whisper knows, such as en, fr or zh")
    return primary


def parse_voice_name(name: str) -> str:
    """Return `name` without surrounding white space. Raises ValueError if it is empty or has invalid characters."""
    if not re.fullmatch(r"\w(?:[\w .-]*\w)?", name.strip()):
        raise ValueError(f"{name!r} is not a voice name; use one such as nash")
    return name.strip()


def parse_speed(factor: float) -> float:
    """Return `factor` if it is a valid speed. Raises ValueError otherwise."""
    return SpeakOptions(speed=factor).speed


def parse_seconds(duration: str) -> float:
    """Return "500ms" or "1.5s" in seconds. Raises ValueError for anything else, for 0, and for more than MAX_PAUSE."""
    m = re.fullmatch(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s?(ms|s)", duration.strip(), re.ASCII)
    if m is None:
        raise ValueError(f"{duration!r} is not a duration; use a form such as 500ms or 1.5s")
    value = float(m[1]) / (1000 if m[2] == "ms" else 1)
    if not 0 < value <= MAX_PAUSE:
        raise ValueError(f"pause is {duration.strip()}; it must be above 0 and at most {MAX_PAUSE:g}s")
    return value


def parse_decimal(written: str) -> float:
    """Return a plain decimal number. Raises ValueError for anything else, such as "nan" or "1e3"."""
    if not re.fullmatch(r"\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}", written.strip(), re.ASCII):
        raise ValueError(f"{written!r} is not a number; use a form such as 0.9")
    return float(written)


def parse_pronounced(written: str, reading: str) -> tuple[str, str]:
    """Return the words of a reading and, if it is a pronunciation between slashes, the phones of the word `written`.

    Raises ValueError as `parse_reading` and `parse_pronunciation`, and for a pronunciation of anything but one word.
    """
    slashed = re.fullmatch(r"/(.*)/", reading.strip())
    if slashed is None:
        return parse_reading(reading), ""
    word = parse_reading(written)
    if not WORD.fullmatch(word):
        raise ValueError(f"the pronunciation {reading.strip()} is given for {word!r}; it must be for a single word")
    # in capitals it could be taken for an abbreviation and spelled
    return word.lower() if word.isupper() else word, parse_pronunciation(slashed[1])


def parse_reading(words: str) -> str:
    """Return a reading as plain words: NFC, white space folded, typographic marks mapped as in `normalise`.

    Raises ValueError if it has no letter, or a character that would need normalising, such as a digit.
    """
    plain = "".join(TYPOGRAPHY.get(c, c) for c in unicodedata.normalize("NFC", words))
    plain = " ".join(plain.split())
    if not any(map(str.isalpha, plain)):
        raise ValueError(f"the reading {words!r} has no letter; write it in words")
    strange = [c for c in plain if not (c.isalpha() or c in PUNCTUATION or c == " " or unicodedata.combining(c))]
    if strange:
        raise ValueError(f"the reading {words!r} contains {strange[0]!r}; write it in words, as it is spoken")
    return plain
