"""Plan how a text is spoken: normalise it, fit it to the model's characters, cut it into pieces of suitable length.

A text is given as a whole, in segments, or as a stream of strings, such as the output of a language model. Both are
read block by block, and only as far as the next piece requires: neither the latency of the first piece nor the memory
grows with the length of the text.

Knows nothing about engines and sound: a `System` says which characters it reads and how long a piece takes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vivavoce.config import SPEEDS, SpeakOptions
from vivavoce.synthesis.plan import PlannedPiece, has_words, shorten
from vivavoce.systems.interface import SynthesisError, System
from vivavoce.text.blocks import Block, blocks, chunks
from vivavoce.text.characters import Change
from vivavoce.text.letter_names import plain
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.markdown import convert
from vivavoce.text.markdown_signs import filter_options
from vivavoce.text.markup import MarkupParser
from vivavoce.text.parts import Mark, normalise_parts
from vivavoce.text.pieces import Piece, joined_runs
from vivavoce.text.pronunciation import WORD
from vivavoce.text.prosody import NoProsody, Prosody, described
from vivavoce.text.segments import Segment
from vivavoce.text.split import PAUSE_CLAUSE, PAUSE_COMMA, PAUSE_NONE, PAUSE_PARAGRAPH, PAUSE_SENTENCE, split
from vivavoce.voices import Voice, get

if TYPE_CHECKING:
    from vivavoce.synthesis.like import Like

# A text longer than LONG_SECONDS starts with a piece of about FIRST_SECONDS if a clause ends in time, so that the
# first sound of a stream comes early. In a shorter text the seam is not worth it. No first piece is shorter than
# SHORTEST_SECONDS, because models speak single words badly. The EARLY values are for listeners who wait for each
# message, such as users of a screen reader.
LONG_SECONDS, EARLY_LONG_SECONDS = 8.0, 3.0
FIRST_SECONDS, EARLY_FIRST_SECONDS = 3.0, 1.5
SHORTEST_SECONDS = 1.0

CALIBRATION = 200  # characters of the sample from which the duration model predicts the speaking rate
TYPICAL = 60  # characters; the rate of a shorter sample is not reused for other blocks
MARGIN = 1.1  # safety factor on estimated durations: some pieces have slower words than the sample
EXACT_FROM = 0.1  # of `max_seconds`: a longer estimate is checked against the predictions for all pieces


@dataclass(frozen=True)
class _Draft:
    """The normalised text of a future piece."""

    text: str
    pause: float  # seconds of silence after it
    marks: tuple[Mark, ...]  # one for each character that is not white space


@dataclass(frozen=True)
class _Candidate:
    """A draft, fitted to the model's characters, with its predicted duration in seconds."""

    draft: _Draft
    piece: Piece
    seconds: float

    def with_pause(self, pause: float) -> _Candidate:
        return _Candidate(self.draft, dataclasses.replace(self.piece, pause=pause), self.seconds)


class Planner:
    """Plan texts for a system.

    voice: the voice of parts without a voice tag. options: every field that the system uses is set. lang: the language
    of parts without a language tag. like: the recording in whose manner whole texts are spoken.
    `plan` and `plan_stream` raise ValueError for an unknown voice, a language that the system does not speak, a speed
    out of range, and a text with nothing to say in it; `plan_stream` also for wrong markup. `changes` collects what the
    planner changed.
    """

    def __init__(
        self, system: System, voice: Voice, options: SpeakOptions, lang: str = "en", like: Like | None = None
    ) -> None:
        self.system, self.options, self.lang, self.like = system, options, lang, like
        self.changes: list[Change] = []
        self._follows = system.prosody  # whether the model reads pitch, range and stress
        self._prosody = self._usual_prosody()
        self._voices: dict[str | None, Voice] = {None: self._prepare(voice)}
        # seconds per character at speed 1, by voice and language
        self._rates: dict[tuple[str | None, str], float] = {}
        self._check(Segment(""))

    def plan(
        self, segments: Sequence[Segment], *, max_seconds: float | None = None, early: bool = False
    ) -> Iterator[PlannedPiece]:
        """Return the pieces of a whole text, in order. Errors in the text are raised at once, not while iterating.

        max_seconds: also raise ValueError if the speech is predicted to take longer, its pauses included. early: begin
        with a shorter piece.
        """
        if self.like is None:
            return self._plan(segments, max_seconds, early)
        if self.like.has_words_of(segments):
            return self.like.word_by_word(self, segments, max_seconds)
        return self.like.rising(self._plan(segments, max_seconds, early))

    def _plan(self, segments: Sequence[Segment], max_seconds: float | None, early: bool) -> Iterator[PlannedPiece]:
        for segment in segments:
            self._check(segment)
        if max_seconds is not None:
            _check_duration(sum(segment.pause for segment in segments), max_seconds)
        planned = self._plan_blocks(blocks(segments), early)
        first = next(planned, None)
        if first is None:
            written = "".join(segment.text for segment in segments)
            raise ValueError(f"the text {shorten(written.strip())!r} has nothing in it that this model can speak")
        planned = itertools.chain([first], planned)
        if max_seconds is None or self._estimate(segments, first) < EXACT_FROM * max_seconds:
            return planned
        return iter(_within(planned, max_seconds))

    def plan_stream(
        self,
        texts: Iterable[str],
        *,
        lexicon: Lexicon | None = None,
        format: str = "auto",
        strict: bool | None = None,
    ) -> Iterator[PlannedPiece]:
        """Yield the pieces of a text that arrives in parts, each as soon as its end is certain.

        The pieces depend on the text, not on the places where it is divided into parts. format: one of
        `formats.FORMATS`. strict: raise ValueError for a wrong tag, in mid-text; otherwise it is left out and reported.
        """
        parser = MarkupParser(lexicon, self.lang, strict=bool(strict))
        if format != "plain":
            texts = convert(texts, lambda changes: self.changes.extend(changes), **filter_options(format))

        def read() -> Iterator[Block]:
            for chunk in chunks(texts):
                segments = parser.parse(chunk.text)
                for segment in segments:
                    self._check(segment)
                yield from blocks(segments, more=chunk.more, known=False)

        planned = self._plan_blocks(read())
        first = next(planned, None)
        if first is None:
            raise ValueError("the text has nothing in it that this model can speak")
        yield first
        yield from planned

    def take_changes(self) -> list[Change]:
        """Return the changes since the last call."""
        changes, self.changes = self.changes, []
        return changes

    # ---- segments and their settings ------------------------------------------------------------------------------

    def _check(self, segment: Segment) -> None:
        code = segment.lang or self.lang
        if code not in self.system.languages:
            known = ", ".join(self.system.languages)
            raise ValueError(f"this model does not speak the language {code!r}; it speaks {known}")
        self._voice(segment.voice)
        self._options(segment)

    @property
    def voice(self) -> Voice:
        """The voice of parts without a voice tag, with the speaker vector that the system needs."""
        return self._voices[None]

    def _voice(self, name: str | None) -> Voice:
        if name not in self._voices:
            assert name is not None
            self._voices[name] = self._prepare(get(name))
        return self._voices[name]

    def _prepare(self, voice: Voice) -> Voice:
        if self.system.uses_transcript and not (voice.transcript or "").strip():
            raise ValueError(
                f"voice {voice.name!r}: this model needs the transcript of the reference recording "
                f"(text= of Voice.from_file, --ref-text on the command line)"
            )
        if voice.weights is not None and not getattr(self.system, "adapts", False):
            warnings.warn(
                f"voice {voice.name!r}: its trained weights are for another model; this one only has its recording",
                stacklevel=2,
            )
            voice = dataclasses.replace(voice, weights=None)
        return self.system.embedded(voice)

    def _options(self, segment: Segment) -> SpeakOptions:
        speed, pace = self.options.speed * segment.speed, 1.0 if self._follows else self.options.pace
        total, (slowest, fastest) = speed * pace, SPEEDS
        if slowest <= speed <= fastest:  # otherwise the speed is wrong
            reached = min(max(total, slowest), fastest)
            if not math.isclose(reached, total):
                if segment.speed == 1:
                    raise ValueError(
                        f"speed is {speed:g} and pace is {pace:g}; their product must be from {slowest:g} to "
                        f"{fastest:g}"
                    )
                # A tag in a text that somebody else has written is no reason to refuse it.
                self.changes.append(Change("prosody", f"pace {pace:g} with speed {speed:g}", ""))
            total = reached
        return self.options.replace(voice=self._voice(segment.voice).name, speed=total)

    def _usual_prosody(self) -> Prosody:
        """Return the prosody of parts without a tag. Raises ValueError for what the model cannot change."""
        options = self.options
        if self._follows:
            return Prosody(options.pitch, options.pitch_range, options.energy, options.pace)
        for name, neutral in (("pitch", 0.0), ("pitch_range", 1.0)):
            if getattr(options, name) != neutral:
                raise NoProsody(f"{name} is {getattr(options, name):g}")
        return Prosody(energy=options.energy)

    def _marked(self, mark: Mark) -> Mark:
        """Return a mark with the prosody that the model receives; reports what it cannot follow."""
        code, own = mark
        if not self._follows and own != Prosody(energy=own.energy):
            self.changes.append(Change("prosody", ", ".join(described(own)), ""))
            own = Prosody(energy=own.energy)
        return code, own.within(self._prosody)

    # ---- pieces ---------------------------------------------------------------------------------------------------

    def _plan_blocks(self, found: Iterator[Block], early: bool = False) -> Iterator[PlannedPiece]:
        first, before, share, after = True, 0.0, 0.0, 0.0
        for block in found:
            share += block.share
            options = self._options(block.parts[0])
            candidates = self._block_pieces(block, options, first, early)
            if not candidates:
                # A requested pause without words: the silence that already follows the last piece counts towards it.
                before += max(0.0, block.pause - after) if block.pause is not None else 0.0
                continue
            characters = sum(len(candidate.draft.text) for candidate in candidates)
            voice = self._voice(block.parts[0].voice)
            for candidate in candidates:
                written, piece = candidate.draft.text, candidate.piece
                part = share * len(written) / characters
                yield PlannedPiece(piece, written, voice, options, candidate.seconds, before, part)
                before, after = 0.0, piece.pause
            first, share = False, 0.0

    def _block_pieces(self, block: Block, options: SpeakOptions, first: bool, early: bool) -> list[_Candidate]:
        """Return the pieces of a block; [] if it has nothing to say. first: nothing was planned before it."""
        voice, limit = self._voice(block.parts[0].voice), self.system.sampling.max_seconds
        text, marks = self._normalise(block)
        fitted, changes = self._fit(_Draft(text, 0.0, marks))
        self.changes += changes
        if not has_words(fitted.text):
            return []
        rate = self._seconds_per_character(block, fitted, voice) / options.speed * MARGIN

        def measure(piece: str) -> float:
            return len(piece) * rate

        pieces = split(text, limit, measure)
        long, seconds = (EARLY_LONG_SECONDS, EARLY_FIRST_SECONDS) if early else (LONG_SECONDS, FIRST_SECONDS)
        if first and (block.more or measure(text) > long):
            pieces[:1] = _short_start(pieces[0], limit, measure, seconds, anywhere=early)
        candidates = self._fit_to_limit(_drafts(pieces, marks), voice, options.speed)
        candidates = self._join_short(candidates, voice, options.speed)
        candidates = _with_phones(candidates, block)
        last = candidates[-1]
        return [*candidates[:-1], last.with_pause(_pause(last.draft.text, block))]

    def _normalise(self, block: Block) -> tuple[str, tuple[Mark, ...]]:
        """Return the normalised words of a block, and the mark of each character that is not white space."""
        text, marks, changes = normalise_parts(block.parts, self.lang)
        self.changes += changes
        known = {mark: self._marked(mark) for mark in dict.fromkeys(marks)}
        return text, tuple(known[mark] for mark in marks)

    def _seconds_per_character(self, block: Block, fitted: Piece, voice: Voice) -> float:
        """Return the speaking rate at speed 1."""
        # One rate for all candidates: predicting the duration of each would cost more time than it gains.
        key = (block.parts[0].voice, block.parts[0].lang or self.lang)
        if key in self._rates:
            return self._rates[key]
        sample = fitted
        if len(fitted.text) > CALIBRATION:
            text = fitted.text[:CALIBRATION].rsplit(" ", 1)[0]
            sample = Piece(text, 0.0, prosody=() if self._prosody.neutral else ((self._prosody, len(text)),))
        rate = self._predict([sample], voice, 1.0)[0] / len(sample.text)
        if len(sample.text) >= TYPICAL:
            self._rates[key] = rate
        return rate

    def _estimate(self, segments: Sequence[Segment], first: PlannedPiece) -> float:
        """Estimate the duration of the segments in seconds from the rate of the first piece."""
        rate = first.seconds * first.options.speed / (self.options.speed * max(1, len(first.written)))
        return sum(segment.pause + rate * len(segment.text) / segment.speed for segment in segments)

    def _predict(self, pieces: list[Piece], voice: Voice, speed: float) -> list[float]:
        found = self.system.predict_durations(pieces, voice, speed) if pieces else []
        for piece, seconds in zip(pieces, found, strict=True):
            if not 0 < seconds < math.inf:
                raise SynthesisError(f"the model predicts {seconds} seconds for {shorten(piece.text)!r}")
        return found

    def _fit(self, draft: _Draft) -> tuple[Piece, list[Change]]:
        """Return the draft in the model's characters, and what that changed."""
        runs = _runs(draft)
        text, changes, lengths = "", list[Change](), list[tuple[Mark, int]]()
        for mark, words in runs:
            fitted, more = self._fit_characters(words.strip() if len(runs) > 1 else words, mark[0])
            fitted += " " * (len(runs) > 1 and words[-1:].isspace())  # `fit` does not keep it
            text += fitted
            changes += more
            lengths.append((mark, len(fitted)))
        languages = joined_runs((code, count) for (code, _), count in lengths)
        if languages == ((self.system.languages[0], len(text)),):
            languages = ()
        prosody = joined_runs((prosody, count) for (_, prosody), count in lengths)
        if all(run.neutral for run, _ in prosody):
            prosody = ()
        return Piece(text, draft.pause, languages, prosody=prosody), changes

    def _fit_characters(self, words: str, code: str) -> tuple[str, list[Change]]:
        changes: list[Change] = []
        if code == "en" and not self.system.tokenizer.cased:
            words, changes = plain(words)
        text, more = self.system.tokenizer.fit(words)
        return text, [*changes, *more]

    def _fit_to_limit(self, drafts: list[_Draft], voice: Voice, speed: float) -> list[_Candidate]:
        """Fit the drafts to the model's characters; cut those that are predicted to exceed `max_seconds` again."""
        limit = self.system.sampling.max_seconds
        fitted: list[tuple[_Draft, Piece]] = []
        for draft in drafts:
            piece = self._fit(draft)[0]
            if has_words(piece.text):
                fitted.append((draft, piece))
            elif fitted:  # bare punctuation leaves its pause to the piece before it
                last, last_piece = fitted[-1]
                pause = max(draft.pause, last.pause)
                fitted[-1] = dataclasses.replace(last, pause=pause), dataclasses.replace(last_piece, pause=pause)
        found: list[_Candidate] = []
        predicted = self._predict([piece for _, piece in fitted], voice, speed)
        for (draft, piece), seconds in zip(fitted, predicted, strict=True):
            characters = max(1.0, len(draft.text) * limit / seconds)  # that fit into the limit at this rate
            parts = split(draft.text, characters, len) if seconds > limit else []
            if len(parts) > 1:
                parts[-1] = dataclasses.replace(parts[-1], pause=draft.pause)
                found += self._fit_to_limit(_drafts(parts, draft.marks), voice, speed)
            else:
                found.append(_Candidate(draft, piece, seconds))
        return found

    def _join_short(self, candidates: list[_Candidate], voice: Voice, speed: float) -> list[_Candidate]:
        """Join pieces under `min_seconds`, which the model speaks badly alone, to a neighbour in their block.

        A block never spans two paragraphs, so neither does a joined piece.
        """
        shortest, longest = self.system.sampling.min_seconds, self.system.sampling.max_seconds
        joined: list[_Candidate] = []
        for candidate in candidates:
            last = joined[-1] if joined else None
            if (
                last is not None
                and min(candidate.seconds, last.seconds) * speed < shortest
                and candidate.seconds + last.seconds <= longest
            ):
                text = f"{last.draft.text} {candidate.draft.text}"
                draft = _Draft(text, candidate.draft.pause, last.draft.marks + candidate.draft.marks)
                piece = self._fit(draft)[0]
                joined[-1] = _Candidate(draft, piece, self._predict([piece], voice, speed)[0])
            else:
                joined.append(candidate)
        return joined


def _with_phones(candidates: list[_Candidate], block: Block) -> list[_Candidate]:
    """Add the pronunciations given in a block to its words, wherever these occur in the block."""
    given = {part.text.lower(): part.phones for part in block.parts if part.phones}
    if not given:
        return candidates
    found = []
    for candidate in candidates:
        words = ((m.span(), given.get(m[0].lower())) for m in WORD.finditer(candidate.piece.text))
        phones = tuple((start, end, phones) for (start, end), phones in words if phones)
        found.append(dataclasses.replace(candidate, piece=dataclasses.replace(candidate.piece, phones=phones)))
    return found


def _check_duration(seconds: float, limit: float) -> None:
    if seconds > limit:
        raise ValueError(f"the speech would take more than {limit:g} s, which is the limit; give a shorter text")


def _within(planned: Iterator[PlannedPiece], limit: float) -> list[PlannedPiece]:
    """Return all pieces. Raise ValueError once they are predicted to exceed `limit` seconds together."""
    pieces, total = list[PlannedPiece](), 0.0
    for piece in planned:
        total += piece.total_seconds
        _check_duration(total, limit)
        pieces.append(piece)
    return pieces


def _short_start(
    first: Piece, limit: float, measure: Callable[[str], float], seconds: float, anywhere: bool = False
) -> list[Piece]:
    """Cut the first piece of a long text into one of about `seconds` and the rest, if a clause ends there.

    anywhere: without a clause that ends, cut before a conjunction or between two words.
    """
    for longer in (1.0, 1.5, 2.0, 3.0):  # some delay is better than a cut within a clause
        head, *rest = split(first.text, limit, measure, first_limit=min(limit, longer * seconds))
        ends = not head.text[-1].isalnum() or (anywhere and longer >= 2.0)
        if rest and ends and measure(head.text) >= SHORTEST_SECONDS:
            return [head, *rest[:-1], dataclasses.replace(rest[-1], pause=first.pause)]
    return [first]


def _drafts(pieces: list[Piece], marks: tuple[Mark, ...]) -> list[_Draft]:
    """Give the pieces that `split` made of a text the marks of its characters; `split` drops only white space."""
    drafts, start = [], 0
    for piece in pieces:
        end = start + len("".join(piece.text.split()))
        drafts.append(_Draft(piece.text, piece.pause, marks[start:end]))
        start = end
    return drafts


def _runs(draft: _Draft) -> list[tuple[Mark, str]]:
    """Return the stretches of one mark each, as (mark, text); a space belongs to what precedes it."""
    if draft.marks and draft.marks.count(draft.marks[0]) == len(draft.marks):
        return [(draft.marks[0], draft.text)]
    runs: list[tuple[Mark, str]] = []
    marks = iter(draft.marks)
    for c in draft.text:
        mark = runs[-1][0] if runs and c.isspace() else next(marks)
        if runs and runs[-1][0] == mark:
            runs[-1] = (mark, runs[-1][1] + c)
        else:
            runs.append((mark, c))
    return runs


def _pause(text: str, block: Block) -> float:
    """Return the seconds of silence after the last piece of a block."""
    if block.pause is not None:
        return block.pause
    if not block.more:
        return 0.0  # the speech ends with its last word
    if block.paragraph:
        return PAUSE_PARAGRAPH
    mark = text.rstrip("\"')]”’»」』")[-1:]
    if mark in ".!?…。！？":
        return PAUSE_SENTENCE
    return PAUSE_CLAUSE if mark in ";:—-" else PAUSE_COMMA if mark == "," else PAUSE_NONE
