"""A text → the pieces that are spoken one by one: normalised, in the model's characters, as long as it is used to.

Texts come whole or, as a language model writes them, in scraps. Either way they are read block by block, and no farther
than the next piece needs: neither the time to the first piece nor the memory grows with the text.

Knows nothing about engines and sound: a `System` says what it can read and how long that takes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vivavoce import markup
from vivavoce.blocks import Block, blocks, chunks
from vivavoce.config import SpeakOptions
from vivavoce.lexicon import Lexicon
from vivavoce.pieces import Piece
from vivavoce.segments import Segment
from vivavoce.speech import SynthesisError, System
from vivavoce.text import (
    PAUSE_CLAUSE,
    PAUSE_COMMA,
    PAUSE_NONE,
    PAUSE_PARAGRAPH,
    PAUSE_SENTENCE,
    Change,
    normalise,
    split,
)
from vivavoce.text_plain import plain
from vivavoce.voices import Voice, get

Text = str | Sequence[tuple[str, str]]

# A text that takes longer than LONG_SECONDS begins with a piece of FIRST_SECONDS where a clause ends in time, so that
# a listener to the stream hears something soon; a shorter text is not worth the seam. No first piece is cut under
# SHORTEST_SECONDS, for models speak single words badly.
LONG_SECONDS = 8.0
FIRST_SECONDS = 3.0
SHORTEST_SECONDS = 1.0

CALIBRATION = 200  # characters that the duration model is asked about to learn how fast the voice speaks
TYPICAL = 60  # characters: a shorter text is spoken at a pace of its own
MARGIN = 1.1  # pieces are planned this much longer than estimated, for some have slower words than the sample


@dataclass(frozen=True)
class Planned:
    """A piece with all that is decided about it before it is spoken."""

    piece: Piece
    written: str  # the piece before it was fitted to the model's characters
    voice: Voice
    options: SpeakOptions  # nothing that the system uses is None
    seconds: float  # predicted
    before: float = 0.0  # seconds of silence before it
    share: float = 0.0  # of the whole text, 0 to 1; 0 where that comes in scraps


@dataclass(frozen=True)
class _Draft:
    """A piece to be, as normalised."""

    written: str
    pause: float
    languages: tuple[str, ...]  # of each character that is no space


class Planner:
    """Plans a text for a system. voice: of the text as a whole. options: nothing that the system uses is None.

    `whole` or `scraps` gives the pieces, by how the text comes. Both raise ValueError for an unknown voice, a language
    that the system does not speak, a speed out of range, wrong markup, and text with nothing to say in it.
    `changes` is what was done to the text so far.
    """

    def __init__(self, system: System, voice: Voice, options: SpeakOptions, lang: str = "en") -> None:
        self.system, self.options, self.lang = system, options, lang
        self.changes: list[Change] = []
        self._voices: dict[str | None, Voice] = {None: self._ready(voice)}
        self._paces: dict[tuple[str | None, str], float] = {}  # seconds a character at speed 1, by voice and language
        self._check(Segment(""))

    def whole(self, text: Text, *, ssml: bool = False, lexicon: Lexicon | None = None) -> Iterator[Planned]:
        """The pieces of a text, or of texts with their languages, in order. What is wrong with it is raised at once."""
        segments = self._segments(text, ssml, lexicon)
        for segment in segments:
            self._check(segment)
        planned = self._planned(blocks(segments))
        first = next(planned, None)
        if first is None:
            said = "".join(segment.text for segment in segments)
            raise ValueError(f"the text {shorten(said.strip())!r} has nothing in it that this model can speak")
        return itertools.chain([first], planned)

    def scraps(self, texts: Iterable[str], *, lexicon: Lexicon | None = None) -> Iterator[Planned]:
        """The pieces of a text that comes in scraps, each as soon as it is known where it ends.

        They depend on the text, not on how it is cut into scraps.
        """
        reader = markup.Reader(lexicon, self.lang)

        def read() -> Iterator[Block]:
            for chunk in chunks(texts):
                segments = reader.read(chunk.text)
                for segment in segments:
                    self._check(segment)
                yield from blocks(segments, more=chunk.more, known=False)

        planned = self._planned(read())
        first = next(planned, None)
        if first is None:
            raise ValueError("the text has nothing in it that this model can speak")
        yield first
        yield from planned

    # ---- what a segment asks for ----------------------------------------------------------------------------------

    def _segments(self, text: Text, ssml: bool, lexicon: Lexicon | None) -> list[Segment]:
        if isinstance(text, str):
            if not text.strip():
                raise ValueError("the text is empty")
            return markup.read(text, ssml=ssml, lexicon=lexicon, lang=self.lang)
        if ssml:
            raise ValueError("ssml=True needs the document as one str")
        if not isinstance(text, list | tuple):
            raise ValueError(f"text is of type {type(text).__name__}; it must be a str")
        found: list[Segment] = []
        for item in text:
            if not isinstance(item, tuple | list) or len(item) != 2 or not all(isinstance(part, str) for part in item):
                raise ValueError(f"{item!r} is in the list of texts; an item must be (language, text)")
            lang, words = item
            if found and not found[-1].text[-1:].isspace():
                words = f" {words}"
            for segment in markup.read(words, lexicon=lexicon, lang=lang):
                found.append(dataclasses.replace(segment, lang=segment.lang or lang))
        if not any(segment.text.strip() for segment in found):
            raise ValueError("the text is empty")
        return found

    def _check(self, segment: Segment) -> None:
        code = segment.lang or self.lang
        if code not in self.system.languages:
            known = ", ".join(self.system.languages)
            raise ValueError(f"language {code!r} is not one that this model speaks; known are {known}")
        self._voice(segment.voice)
        self._options(segment)

    def _voice(self, name: str | None) -> Voice:
        if name not in self._voices:
            assert name is not None
            self._voices[name] = self._ready(get(name))
        return self._voices[name]

    def _ready(self, voice: Voice) -> Voice:
        if self.system.uses_transcript and not (voice.transcript or "").strip():
            raise ValueError(
                f"voice {voice.name!r}: this model needs the transcript of the reference recording "
                f"(text= of Voice.from_file, --ref-text on the command line)"
            )
        return self.system.embedded(voice)

    def _options(self, segment: Segment) -> SpeakOptions:
        return self.options.replace(voice=self._voice(segment.voice).name, speed=self.options.speed * segment.speed)

    # ---- pieces ---------------------------------------------------------------------------------------------------

    def _planned(self, found: Iterator[Block]) -> Iterator[Planned]:
        first, before, share, after = True, 0.0, 0.0, 0.0
        for block in found:
            share += block.share
            options = self._options(block.parts[0])
            made = self._pieces(block, options, first)
            if not made:
                # silence asked for where there is nothing to say: what the last piece has of it already counts
                before += max(0.0, block.pause - after) if block.pause is not None else 0.0
                continue
            characters = sum(len(draft.written) for draft, _, _ in made)
            for draft, piece, seconds in made:
                part, voice = share * len(draft.written) / characters, self._voice(block.parts[0].voice)
                yield Planned(piece, draft.written, voice, options, seconds, before, part)
                before, after = 0.0, piece.pause
            first, share = False, 0.0

    def _pieces(self, block: Block, options: SpeakOptions, first: bool) -> list[tuple[_Draft, Piece, float]]:
        """The pieces of a block with their predicted seconds; none where it has nothing to say."""
        voice, limit = self._voice(block.parts[0].voice), self.system.sampling.max_seconds
        text, languages = self._normal(block)
        fitted, changes = self._fit(_Draft(text, 0.0, languages))
        self.changes += changes
        if not has_words(fitted.text):
            return []
        rate = self._pace(block, fitted, voice) / options.speed * MARGIN

        def measure(piece: str) -> float:
            return len(piece) * rate

        pieces = split(text, limit, measure)
        if first and (block.more or measure(text) > LONG_SECONDS):
            pieces[:1] = _short_start(pieces[0], limit, measure)
        made = self._joined(self._fitting(_drafts(pieces, languages), voice, options.speed), voice, options.speed)
        draft, piece, seconds = made[-1]
        pause = _pause(draft.written, block)
        return [*made[:-1], (draft, dataclasses.replace(piece, pause=pause), seconds)]

    def _normal(self, block: Block) -> tuple[str, tuple[str, ...]]:
        """The words of a block, normalised, and the language of each character that is no space."""
        text, languages = "", list[str]()
        for part in block.parts:
            code = part.lang or self.lang
            if part.literal:
                words = part.text
                self.changes += part.changes
            else:
                words, changes = normalise(part.text, code)
                self.changes += changes
                # what is around it goes on or not: normalise knows only this part
                before, after = (" " * part.text[at : at + 1].isspace() for at in (0, len(part.text) - 1))
                words = f"{before}{words}{after}"
            text += words
            languages += [code] * sum(not c.isspace() for c in words)
        return text.strip(), tuple(languages)

    def _pace(self, block: Block, fitted: Piece, voice: Voice) -> float:
        """Seconds that a character takes at speed 1."""
        # One rate for all: a duration model that reads every candidate would cost more than it tells.
        key = (block.parts[0].voice, block.parts[0].lang or self.lang)
        if key in self._paces:
            return self._paces[key]
        sample = fitted
        if len(fitted.text) > CALIBRATION:
            sample = Piece(fitted.text[:CALIBRATION].rsplit(" ", 1)[0], 0.0)
        pace = self._seconds([sample], voice, 1.0)[0] / len(sample.text)
        if len(sample.text) >= TYPICAL:
            self._paces[key] = pace
        return pace

    def _seconds(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        found = self.system.seconds(pieces, voice, speed) if pieces else []
        for piece, seconds in zip(pieces, found, strict=True):
            if not 0 < seconds < math.inf:
                raise SynthesisError(f"the model predicts {seconds} seconds for {shorten(piece.text)!r}")
        return found

    def _fit(self, draft: _Draft) -> tuple[Piece, list[Change]]:
        """A draft in the model's characters, with what that changed."""
        runs = _runs(draft)
        if len(runs) == 1:
            code = runs[0][0]
            text, changes = self._characters(draft.written, code)
            return Piece(text, draft.pause, () if code == self.system.languages[0] else ((code, len(text)),)), changes
        text, changes, lengths = "", list[Change](), list[tuple[str, int]]()
        for code, words in runs:
            fitted, more = self._characters(words.strip(), code)
            fitted += " " * words[-1:].isspace()  # `fit` does not keep it
            text += fitted
            changes += more
            lengths.append((code, len(fitted)))
        return Piece(text, draft.pause, tuple(run for run in lengths if run[1])), changes

    def _characters(self, words: str, code: str) -> tuple[str, list[Change]]:
        """Words in a language, in the model's characters."""
        changes: list[Change] = []
        if code == "en" and not self.system.tokenizer.cased:
            words, changes = plain(words)
        text, more = self.system.tokenizer.fit(words)
        return text, [*changes, *more]

    def _fitting(self, drafts: list[_Draft], voice: Voice, speed: float) -> list[tuple[_Draft, Piece, float]]:
        """The drafts as pieces, cut again where they are predicted to last longer than the model can speak at once."""
        limit = self.system.sampling.max_seconds
        spoken: list[tuple[_Draft, Piece]] = []
        for draft in drafts:
            piece = self._fit(draft)[0]
            if has_words(piece.text):
                spoken.append((draft, piece))
            elif spoken:  # punctuation alone leaves its pause to what is before
                pause = max(draft.pause, spoken[-1][0].pause)
                spoken[-1] = tuple(dataclasses.replace(part, pause=pause) for part in spoken[-1])  # type: ignore
        found: list[tuple[_Draft, Piece, float]] = []
        predicted = self._seconds([piece for _, piece in spoken], voice, speed)
        for (draft, piece), seconds in zip(spoken, predicted, strict=True):
            # as many characters as the limit is of the prediction
            fitting = max(1.0, len(draft.written) * limit / seconds)
            parts = split(draft.written, fitting, len) if seconds > limit else []
            if len(parts) > 1:
                parts[-1] = dataclasses.replace(parts[-1], pause=draft.pause)
                found += self._fitting(_drafts(parts, draft.languages), voice, speed)
            else:
                found.append((draft, piece, seconds))
        return found

    def _joined(
        self, found: list[tuple[_Draft, Piece, float]], voice: Voice, speed: float
    ) -> list[tuple[_Draft, Piece, float]]:
        """The pieces, those that the model is not used to speak alone joined to a neighbour in their paragraph."""
        shortest, longest = self.system.sampling.min_seconds, self.system.sampling.max_seconds
        joined: list[tuple[_Draft, Piece, float]] = []
        for draft, piece, seconds in found:
            if joined:
                before, _, length = joined[-1]
                if (
                    min(seconds, length) * speed < shortest
                    and seconds + length <= longest
                    and before.pause < PAUSE_PARAGRAPH
                ):
                    languages = before.languages + draft.languages
                    draft = _Draft(f"{before.written} {draft.written}", draft.pause, languages)
                    piece = self._fit(draft)[0]
                    joined[-1] = (draft, piece, self._seconds([piece], voice, speed)[0])
                    continue
            joined.append((draft, piece, seconds))
        return joined


def has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _short_start(first: Piece, limit: float, measure: Callable[[str], float]) -> list[Piece]:
    """The first piece of a long text as a short piece and the rest of it, where it can be cut at a clause."""
    for longer in (1.0, 1.5, 2.0, 3.0):  # words of one clause belong together, even at some delay
        head, *rest = split(first.text, limit, measure, first_limit=min(limit, longer * FIRST_SECONDS))
        if rest and not head.text[-1].isalnum() and measure(head.text) >= SHORTEST_SECONDS:
            return [head, *rest[:-1], dataclasses.replace(rest[-1], pause=first.pause)]
    return [first]


def _drafts(pieces: list[Piece], languages: tuple[str, ...]) -> list[_Draft]:
    """What `split` made of a text, with the languages of that text's characters: it loses none but spaces."""
    drafts, start = [], 0
    for piece in pieces:
        end = start + sum(not c.isspace() for c in piece.text)
        drafts.append(_Draft(piece.text, piece.pause, languages[start:end]))
        start = end
    return drafts


def _runs(draft: _Draft) -> list[tuple[str, str]]:
    """The stretches of a draft in one language each; a space belongs to what is before it."""
    runs: list[tuple[str, str]] = []
    languages = iter(draft.languages)
    for c in draft.written:
        code = runs[-1][0] if runs and c.isspace() else next(languages)
        if runs and runs[-1][0] == code:
            runs[-1] = (code, runs[-1][1] + c)
        else:
            runs.append((code, c))
    return runs


def _pause(written: str, block: Block) -> float:
    """Seconds of silence after the last piece of a block."""
    if block.pause is not None:
        return block.pause
    if not block.more:
        return 0.0  # silence after the last word is nobody's pause
    if block.paragraph:
        return PAUSE_PARAGRAPH
    mark = written.rstrip("\"')]”’»」』")[-1:]
    if mark in ".!?…。！？":
        return PAUSE_SENTENCE
    return PAUSE_CLAUSE if mark in ";:—-" else PAUSE_COMMA if mark == "," else PAUSE_NONE
