r"""Give the speakers of a book their own voices: quotations, the lines of scripts, and the cues of subtitles.

A line is what one speaker says without a break: a text in quotation marks, or the paragraph after `NAME:`. Its speaker
is named by a script, or by the words beside a quotation ("said Alice", "Alice replied"). A quotation without such words
in its paragraph is by the speaker before last, as in a conversation of two. All of this is a guess: `write_lines`
writes it as a table, which can be corrected and given to `assign`.

A cast is a table of names and voices, separated by a tab:

    Alice	luna
    White Rabbit	orion
    *	rhea
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vivavoce.audio.files import atomic_write
from vivavoce.books.book import Book, Chapter, unescape
from vivavoce.voices import names

OTHERS = "*"  # the name in a cast for speakers without a voice of their own
_HEAD = ("chapter", "line", "speaker", "voice", "text")
_SHOWN = 60  # characters of a line in the table
_MEMORY = 6  # quotations after which a conversation is forgotten

# A quotation that is not closed extends to the end of its paragraph: the next one continues it.
_QUOTES = re.compile(r'“[^“”]*(?:”|$)|"[^"]*(?:"|$)|«[^«»]*(?:»|$)|„[^„“”]*(?:[“”]|$)|»[^«»]*«')
_SINGLE = re.compile(r"(?<!\w)‘[^‘]{1,2000}?’(?!\w)")
_SAID = (
    "said says asked asks replied replies answered answers cried cries exclaimed shouted whispered muttered murmured "
    "added continued repeated remarked observed returned began thought called screamed interrupted growled sighed "
    "laughed demanded declared inquired enquired suggested insisted agreed"
).split()
_TITLES = r"(?:(?:Mr|Mrs|Miss|Ms|Dr|Sir|Lady|Lord|Captain|Colonel|Professor|[Tt]he)\.?\s+)?"
_NAME = rf"{_TITLES}[A-Z][\w’'-]*(?:\s+(?:de|von|van|of|the)\s+[A-Z][\w’'-]*|\s+[A-Z][\w’'-]*){{0,3}}"
_SAID_NAME = re.compile(rf"\b(?:{'|'.join(_SAID)})\s+({_NAME})")
_NAME_SAID = re.compile(rf"({_NAME})\s+(?:\w+ly\s+)?(?:{'|'.join(_SAID)})\b")
_SUBJECT = re.compile(rf"(?:^|[.!?|])\s*({_NAME})\s+(?=[a-z])")  # of a sentence that says later that it speaks
_VERB = re.compile(rf"\b(?:{'|'.join(_SAID)})\b")
_SCRIPT = re.compile(r"\s*(?:\*\*)?([A-Z][\w .’'-]{0,40}?)(?:\*\*)?:(?:\*\*)?\s+(?=\S)")
_PRONOUNS = {*"He She I They We You It The There Then But And So As That This What Who".split()}


@dataclass(frozen=True)
class Line:
    """What a speaker says: its chapter and number, both from 1, and a voice; "" for the voice of the narrator."""

    chapter: int
    number: int
    speaker: str
    voice: str
    text: str


@dataclass(frozen=True)
class _Found:
    """A line in a paragraph: where it starts and ends, and where its text starts after the name of a script."""

    start: int
    text: int
    end: int
    speaker: str


def read_cast(path: Path) -> dict[str, str]:
    """Return the voices by name. Raises ValueError, naming the line, for a line without a tab or an unknown voice."""
    cast: dict[str, str] = {}
    for number, line in enumerate(_read(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, voice = (part.strip() for part in line.partition("\t"))
        if not name or not voice:
            raise ValueError(f"{path}: line {number}, {line[:60]!r}: must be a name, a tab and a voice")
        cast[name] = _voice(voice, f"{path}: line {number}")
    if not cast:
        raise ValueError(f"{path}: the cast is empty; it needs lines with a name, a tab and a voice")
    return cast


def assign(
    book: Book, cast: Mapping[str, str], dialogue: str = "", corrected: Sequence[Line] = ()
) -> tuple[Book, tuple[Line, ...]]:
    """Return the book with voice tags, and its lines.

    cast: voices by name, as `read_cast` returns them. dialogue: the voice of speakers without one; "": the narrator's.
    corrected: lines as `read_lines` returns them; their speakers and voices take precedence over the guesses.
    Raises ValueError if a corrected line is not in the book.
    """
    voices = {_fold(name): voice for name, voice in cast.items()}
    dialogue = voices.pop(OTHERS, dialogue)
    wanted = {(line.chapter, line.number): line for line in corrected}
    lines: list[Line] = []
    chapters: list[Chapter] = []
    single = not any(_QUOTES.search(chapter.text) for chapter in book.chapters)
    for number, chapter in enumerate(book.chapters, 1):
        speakers = _Conversation(voices)
        paragraphs = []
        for paragraph in re.split(r"(\n\s*\n)", chapter.text):
            if "[voice:" in paragraph:
                paragraphs.append(paragraph)
                continue
            written, at = "", 0
            for found in _lines_of(paragraph, speakers, single):
                count = lines[-1].number + 1 if lines and lines[-1].chapter == number else 1
                text = paragraph[found.text : found.end]
                line = Line(number, count, found.speaker, _voice_of(found.speaker, voices, dialogue), _short(text))
                line = _corrected(line, wanted.pop((number, count), None), voices)
                lines.append(line)
                spoken = f"[voice:{line.voice}]{text}[/voice]" if line.voice else text
                kept = paragraph[at : found.start]
                written += kept + spoken
                at = found.end
            paragraphs.append(written + paragraph[at:])
        chapters.append(replace(chapter, text="".join(paragraphs)))
    for line in wanted.values():
        raise ValueError(f"line {line.number} of chapter {line.chapter}, {line.text!r}, is not in the book")
    cues = tuple(
        replace(cue, voice=_voice_of(cue.speaker, voices, dialogue) if cue.speaker else "") for cue in book.cues
    )
    return replace(book, chapters=tuple(chapters), cues=cues), tuple(lines)


def describe(lines: Sequence[Line]) -> str:
    """Return who says how many lines, for a notice; "" for none."""
    counts = Counter((line.speaker or "unnamed speakers", line.voice or "the narrator") for line in lines)
    parts = [f"{speaker} {count} ({voice})" for (speaker, voice), count in counts.most_common(12)]
    more = f" and {len(counts) - 12} more speakers" if len(counts) > 12 else ""
    return f"{len(lines)} lines in dialogue: {', '.join(parts)}{more}" if lines else ""


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write the lines as a table, separated by tabs, to be corrected and read by `read_lines`."""
    rows = [_HEAD, *((str(i.chapter), str(i.number), i.speaker, i.voice, i.text) for i in lines)]
    atomic_write(path, "".join("\t".join(row) + "\n" for row in rows).encode())


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a table. Raises ValueError, naming the line, for a wrong number or an unknown voice."""
    rows = [row.split("\t") for row in _read(path).splitlines()]
    if not rows or tuple(rows[0][:5]) != _HEAD:
        raise ValueError(f"{path}: the first line must be {' '.join(_HEAD)}, separated by tabs")
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not any(row):
            continue
        if len(row) < 5 or not row[0].isdecimal() or not row[1].isdecimal():
            raise ValueError(f"{path}: line {number} must have the numbers of a chapter and a line, a speaker, a voice")
        voice = _voice(row[3].strip(), f"{path}: line {number}") if row[3].strip() else ""
        found.append(Line(int(row[0]), int(row[1]), row[2].strip(), voice, row[4]))
    return found


# --- finding lines ---------------------------------------------------------------------------------------------------


class _Conversation:
    """Who spoke last, for quotations that do not say who speaks."""

    def __init__(self, voices: Mapping[str, str]) -> None:
        self._voices = voices
        self._last: list[str] = []
        self._silence = 0

    def known(self, name: str) -> bool:
        return _fold(name) in self._voices

    def spoke(self, name: str) -> None:
        self._silence = 0
        self._last = [*(other for other in self._last if other != name), name][-2:] if name else self._last

    def guess(self) -> str:
        """Return the speaker before last."""
        self._silence += 1
        if len(self._last) < 2 or self._silence > _MEMORY:
            return ""
        self._last.reverse()
        return self._last[-1]


def _lines_of(paragraph: str, speakers: _Conversation, single: bool) -> list[_Found]:
    script = _SCRIPT.match(paragraph)
    if script and (speakers.known(script[1]) or script[1].isupper()) and len(script[1]) > 1:
        name = _proper(script[1])
        speakers.spoke(name)
        return [_Found(0, script.end(), len(paragraph.rstrip()), name)]
    pattern = _SINGLE if single else _QUOTES
    spans = [m.span() for m in pattern.finditer(paragraph) if any(map(str.isalnum, m[0]))]
    if not spans:
        return []
    outside = _without(paragraph, spans)
    name = _attribution(outside)
    if name:
        speakers.spoke(name)
    else:
        name = speakers.guess()
    return [_Found(start, start, end, name) for start, end in spans]


def _without(paragraph: str, spans: Sequence[tuple[int, int]]) -> str:
    """Return what the narrator says in a paragraph; a bar stands for each quotation."""
    parts, at = [], 0
    for start, end in spans:
        parts += [paragraph[at:start], " | "]
        at = end
    return "".join([*parts, paragraph[at:]])


def _attribution(narrated: str) -> str:
    """Return the name next to a quotation, with a verb of speaking; "" if there is none."""
    bars = [i for i, c in enumerate(narrated) if c == "|"]
    found: list[tuple[int, str]] = []
    for m in (*_SAID_NAME.finditer(narrated), *_NAME_SAID.finditer(narrated)):
        if m[1] not in _PRONOUNS:
            at = bisect.bisect(bars, m.start())
            found.append((min(abs(m.start() - bar) for bar in bars[max(0, at - 1) : at + 1]), m[1]))
    if not found and _VERB.search(narrated):
        found = [(0, m[1]) for m in _SUBJECT.finditer(narrated) if m[1] not in _PRONOUNS][:1]
    name = " ".join(min(found, key=lambda each: each[0])[1].split()) if found else ""
    return re.sub(r"^[Tt]he |[’']s$", "", name)


def _voice_of(speaker: str, voices: Mapping[str, str], dialogue: str) -> str:
    """Return the voice of a speaker: of the name, or of the one name in the cast that has a word of it."""
    name = _fold(speaker)
    if not name or name in voices:
        return voices.get(name, dialogue)
    words = set(name.split()) - {"mr", "mrs", "miss", "ms", "dr", "sir", "lady", "lord", "the"}
    similar = {voice for known, voice in voices.items() if words & set(known.split())}
    return similar.pop() if len(similar) == 1 else dialogue


def _corrected(line: Line, wanted: Line | None, voices: Mapping[str, str]) -> Line:
    """Return a line with the speaker and the voice of the table; a new speaker without a voice has that of the cast."""
    if wanted is None:
        return line
    if _fold(wanted.text)[:20] != _fold(line.text)[:20]:
        raise ValueError(
            f"line {line.number} of chapter {line.chapter} is {line.text!r}, but {wanted.text!r} in the table"
        )
    voice = wanted.voice
    if wanted.speaker != line.speaker and wanted.voice == line.voice:
        voice = voices.get(_fold(wanted.speaker), wanted.voice)
    return replace(line, speaker=wanted.speaker, voice=voice)


def _proper(name: str) -> str:
    return name.strip().title() if name.isupper() else name.strip()


def _short(text: str) -> str:
    plain = unescape(text)
    return plain if len(plain) <= _SHOWN else f"{plain[: _SHOWN - 1]}…"


def _fold(name: str) -> str:
    return " ".join(re.sub(r"[^\w\s*]", "", name).lower().split())


def _voice(name: str, where: str) -> str:
    if name not in (known := names()):
        raise ValueError(f"{where}: unknown voice {name!r}; there are {', '.join(known)}")
    return name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
