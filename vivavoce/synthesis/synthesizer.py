"""Speak planned pieces: request them from a `System`, check the results, retry, level, and time the words.

`Synthesizer` holds the state of one text and leaves the engine to its caller, so that a server can combine the pieces
of many texts in one pass of the network. `run` is the simple loop for one text.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vivavoce.audio.dsp import Samples, join, level, rms_db
from vivavoce.audio.loudness import Limiter
from vivavoce.synthesis.checks import Check, Fault, check, speech_level
from vivavoce.synthesis.plan import PlannedPiece, shorten
from vivavoce.synthesis.prefetch import StopToken
from vivavoce.synthesis.speech import Speech
from vivavoce.systems.interface import SynthesisError, SynthesisRequest, SynthesisResult, Word
from vivavoce.text.pieces import Piece
from vivavoce.text.split import word_spans
from vivavoce.voices import VOICE_DB

if TYPE_CHECKING:
    from vivavoce.synthesis.planner import Planner
    from vivavoce.synthesis.verify import TranscriptChecker
    from vivavoce.systems.interface import Progress
    from vivavoce.text.characters import Change

MIN_PAUSE = 0.1  # seconds; a shorter gap between two words is not a pause
SILENCE_BLOCK = 5.0  # seconds; longer silence is delivered apart from its piece, in blocks of this length
MAX_RETRIES = 100


class Synthesizer:
    """Speak a planned text piece by piece; the caller runs the engine.

        while (request := synthesizer.next_request()) is not None:
            synthesizer.submit(system.synthesize([request])[0])
            while (speech := synthesizer.take_speech()) is not None:
                play(speech)

    planner, planned: where the pieces come from; the planner also records what it changed. seed: of the whole text.
    retries: how often a faulty piece is tried again. checker: compares each piece with its transcript. reported: the
    changes that `take_notices` has already reported; shared between the sections of a text, and extended.
    """

    def __init__(
        self,
        planner: Planner,
        planned: Iterator[PlannedPiece],
        seed: int,
        retries: int = 2,
        *,
        checker: TranscriptChecker | None = None,
        reported: set[tuple[str, str]] | None = None,
    ) -> None:
        self.system, self.seed = planner.system, seed
        self.done = 0.0  # the part of the text that is spoken, 0 to 1; stays 0 for a text stream
        self._planner, self._planned = planner, enumerate(planned)
        self._retries, self._checker = retries, checker
        self._reported = set() if reported is None else reported
        self._memories: dict[str, Any] = {}  # of each voice: where its next piece continues
        self._plan: PlannedPiece | None = None  # the piece in progress
        self._request: SynthesisRequest | None = None  # its first attempt
        self._attempts: list[tuple[SynthesisResult, Check]] = []
        self._ready: Iterator[Speech] = iter(())
        self._notices: list[str] = []

    def next_request(self) -> SynthesisRequest | None:
        """Return what the engine must make next; None at the end of the text.

        Waits for more text if the text is a stream. Raises the planner's errors.
        """
        if self._request is None:
            index, self._plan = next(self._planned, (0, None))
            if self._plan is None:
                return None
            plan, seed = self._plan, piece_seed(self.seed, index)
            self._request = SynthesisRequest(
                plan.piece, plan.voice, plan.options, seed, self._memories.get(plan.voice.name)
            )
        if not self._attempts:
            return self._request
        cut = any(fault.name in ("cut start", "cut end") for _, found in self._attempts for fault in found.faults)
        seed = piece_seed(self._request.seed, len(self._attempts))
        return dataclasses.replace(self._request, seed=seed, extra_duration=cut)

    def submit(self, result: SynthesisResult) -> None:
        """Accept the result of the last request. A faulty one is requested again while retries are left.

        Raises SynthesisError if no attempt produced sound.
        """
        plan = self._plan
        assert plan is not None
        self._attempts.append((result, self._check(result, plan)))
        if self._attempts[-1][1].faults and len(self._attempts) <= self._retries:
            return
        result, found = self._best_attempt(plan)
        self._memories[plan.voice.name] = result.memory
        self._ready = itertools.chain(self._ready, self._deliver(result, plan, found))
        self.done += plan.share
        self._plan, self._request, self._attempts = None, None, []

    def take_speech(self) -> Speech | None:
        """Return the next part that is ready: a piece or a block of silence. None: submit more results first."""
        return next(self._ready, None)

    def take_notices(self) -> list[str]:
        """Return a line for everything that was not spoken as written, or not well, since the last call."""
        notices = [*_describe(self._planner.take_changes(), self._reported), *self._notices]
        self._notices = []
        return notices

    def progress(self, fraction: float) -> float:
        """Return the part of the text that is spoken when the engine has done `fraction` of the current piece."""
        return self.done + (self._plan.share * fraction if self._plan is not None else 0.0)

    # ---- pieces ---------------------------------------------------------------------------------------------------

    def _check(self, result: SynthesisResult, plan: PlannedPiece) -> Check:
        """Check a piece by its sound, by what the engine reports, and by its transcript."""
        rate, text = self.system.sample_rate, plan.piece.text
        end = None if result.ends is None else float(result.ends.max(initial=0.0))
        faults = check(result.samples, rate, plan.seconds, text=text, end=end, speed=plan.options.speed)
        if plan.piece.seconds:  # the pauses of a recording are no faults
            faults = [fault for fault in faults if fault.name != "hole"]
        transcript = None
        if not any(fault.unusable for fault in faults):
            if result.fault:
                faults.append(Fault("engine", result.fault, weight=2))
            if self._checker is not None:
                transcript, wrong = self._checker.check(result.samples, rate, plan.piece, plan.written)
                faults += wrong
        return Check(1, tuple(faults), transcript)

    def _best_attempt(self, plan: PlannedPiece) -> tuple[SynthesisResult, Check]:
        """Return the attempt with the least severe faults, and report what is still wrong with it."""
        tries = len(self._attempts)
        result, found = min(self._attempts, key=lambda attempt: sum(fault.weight for fault in attempt[1].faults))
        for fault in found.faults:
            if fault.unusable:
                raise SynthesisError(f"the model made {fault.detail} for {shorten(plan.piece.text)!r}")
        if found.faults:
            what = ", ".join(fault.detail for fault in found.faults)
            best = f", the best of {tries} tries," if tries > 1 else ""
            self._notices.append(f"{shorten(plan.piece.text)!r}{best} may be faulty: {what}")
        return result, dataclasses.replace(found, tries=tries)

    def _deliver(self, result: SynthesisResult, plan: PlannedPiece, found: Check) -> Iterator[Speech]:
        """Yield a piece, levelled and faded, with its silence. Long silence comes in separate blocks."""
        rate, limit = self.system.sample_rate, round(SILENCE_BLOCK * self.system.sample_rate)
        before, after = round(plan.before * rate), round(plan.piece.pause * rate)
        if before > limit:
            yield from silence(before, rate, self.seed)
            before = 0
        pause = 0.0 if after > limit else plan.piece.pause
        wave = np.concatenate([np.zeros(before, np.float32), join([self._levelled(result, plan.piece)], [pause], rate)])
        words = _time_words(result, plan, before / rate)
        yield Speech(wave, rate, plan.piece.text, (plan.piece,), self.seed, words, (found,))
        if after > limit:
            yield from silence(after, rate, self.seed)

    def _levelled(self, result: SynthesisResult, piece: Piece) -> Samples:
        """Bring the speech to VOICE_DB, and to the requested energy.

        Pauses do not count, so that a piece with pauses is not louder than others. A model that reads the energy of
        characters makes the loud ones louder itself; for other models, the gain changes over time. Peaks of louder
        speech are limited one by one, so that the rest keeps its level.
        """
        wave, rate = np.asarray(result.samples, np.float32), self.system.sample_rate
        pauses = speech_level(wave, rate) - rms_db(wave)
        energies = np.array([prosody.energy for prosody, count in piece.prosody for _ in range(count)] or [0.0])
        varied = bool((energies != energies[0]).any()) and not self.system.prosody
        if varied and result.ends is not None and len(result.ends) == len(energies):
            times = np.arange(len(wave)) / rate
            middles = (np.concatenate([[result.start], result.ends[:-1]]) + result.ends) / 2
            gain = (10 ** (np.interp(times, middles, energies) / 20)).astype(np.float32)
            return _limited(level(wave, VOICE_DB - pauses) * gain, rate)
        gain_db = 10 * float(np.log10(np.mean(10 ** (energies / 10))))
        if gain_db <= 0:
            return level(wave, VOICE_DB - pauses + gain_db)
        return _limited(level(wave, VOICE_DB - pauses) * np.float32(10 ** (gain_db / 20)), rate)


def _limited(wave: Samples, sample_rate: int) -> Samples:
    """Return samples [S] whose peaks are at most 0.95."""
    limiter = Limiter(0.0, sample_rate, peak=20 * math.log10(0.95))
    return np.concatenate([limiter.add(wave), limiter.finish()])


def silence(samples: int, sample_rate: int, seed: int | None = None) -> Iterator[Speech]:
    """Yield silence in blocks of at most SILENCE_BLOCK seconds."""
    size = round(SILENCE_BLOCK * sample_rate)
    for start in range(0, samples, size):
        yield Speech(np.zeros(min(size, samples - start), np.float32), sample_rate, seed=seed)


def check_retries(retries: int) -> None:
    """Raise ValueError for a number of retries that is out of range."""
    if not 0 <= retries <= MAX_RETRIES:
        raise ValueError(f"retries is {retries!r}; it must be between 0 and {MAX_RETRIES}")


def piece_seed(seed: int, index: int) -> int:
    """Return the seed of piece `index`, 0 to 2**63 - 1.

    It does not depend on the number of pieces, so that a whole speech, a stream and a longer text begin alike.
    """
    return int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint64)[0] >> np.uint64(1))


# --- the times of words ----------------------------------------------------------------------------------------------


def _time_words(result: SynthesisResult, plan: PlannedPiece, start: float) -> tuple[Word, ...]:
    """Return the words with their times, which count from `start` seconds; () if the engine gives no times."""
    if result.ends is None:
        return ()
    ends, text = np.maximum.accumulate(result.ends), plan.piece.text
    written = plan.written.split()
    spans = _match_words(written, text)
    if len(written) != len(spans):  # for example if fitting has divided a word in a way that `_match_words` cannot see
        written = [text[a:b] for a, b in spans]
    words: list[Word] = []
    last = -MIN_PAUSE
    for word, (a, b) in zip(written, spans, strict=True):
        begin = float(ends[a - 1]) if a else result.start
        # A space shorter than a pause is not silence: the next word starts in it.
        begin, last = (last if begin - last < MIN_PAUSE else begin), float(ends[b - 1])
        words.append(Word(word, begin + start, last + start))
    return tuple(words)


def _match_words(words: list[str], text: str) -> list[tuple[int, int]]:
    """Return the span of each word in the model's text, which may spell one word as several ("forty two").

    Falls back to the spans of the model's own words.
    """
    spans = word_spans(text)
    matched, i = list[tuple[int, int]](), 0
    for word in words if len(spans) > len(words) else ():
        start, end = spans[min(i, len(spans) - 1)]
        i += 1
        while i < len(spans) and _letters(word).startswith(_letters(text[start : spans[i][1]])):
            end, i = spans[i][1], i + 1
        matched.append((start, end))
    return matched if matched and i == len(spans) else spans


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


# --- notices ---------------------------------------------------------------------------------------------------------


# Rules that leave out what is not speech, or cannot be followed: a wrong tag, a code block, a formula.
LEFT_OUT = ("markup", "ssml", "prosody", "markdown", "code block", "formula", "bidirectional")


def _describe(changes: list[Change], reported: set[tuple[str, str]]) -> list[str]:
    """Return a line about characters that are dropped or replaced, and add them to `reported`.

    Punctuation and case are not reported: they have no sound of their own, and a model without the dash reads a comma.
    """
    lost = [c for c in changes if c.rule in ("unspeakable", "fit") and c.before.lower() != c.after.lower()]
    lost += [c for c in changes if c.rule in LEFT_OUT and not c.after]
    pairs = dict.fromkeys((c.before.strip(), c.after.strip()) for c in lost if not all(map(_is_punctuation, c.before)))
    new = [pair for pair in pairs if pair not in reported]
    reported.update(new)
    lines = [f"{before!r} is read as {after!r}" if after else f"{before!r} is left out" for before, after in new]
    if not lines:
        return []
    more = f" and {len(lines) - 8} more" if len(lines) > 8 else ""
    return [f"the model cannot speak all that is written: {', '.join(lines[:8])}{more}"]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZ" or character.isspace()


# --- the loop --------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """What `run` yields: a part of the speech, and the notices that came with it. The last may have notices only."""

    speech: Speech | None
    notices: list[str]


def run(synthesizer: Synthesizer, progress: Progress | None = None, token: StopToken | None = None) -> Iterator[Part]:
    """Speak the pieces one after another. progress: called with the part that is done, 0 to 1; it never decreases."""
    reached = 0.0

    def report(fraction: float) -> None:
        nonlocal reached
        if token is not None:
            token.check()
        now = synthesizer.progress(fraction)
        if progress is not None and now > reached:  # a retry does not move it back
            progress(min(1.0, now))
            reached = now

    while (request := synthesizer.next_request()) is not None:
        (result,) = synthesizer.system.synthesize([request], report)
        synthesizer.submit(result)
        report(0.0)
        while (speech := synthesizer.take_speech()) is not None:
            yield Part(speech, synthesizer.take_notices())
    if progress is not None and 0 < reached < 1:
        progress(1.0)
    if notices := synthesizer.take_notices():
        yield Part(None, notices)
