"""Planned pieces → speech: what is asked of a `System`, and what is done with what it made.

`Speaking` only says what is to be made and takes what was, so that a server can make the pieces of many texts at once.
`parts` makes them one after another, `ahead` all but the first in a thread that is a piece ahead of whoever listens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import unicodedata
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

import numpy as np

from vivavoce import audio
from vivavoce.audio import Samples
from vivavoce.checks import Check, Fault, check, speech_level
from vivavoce.pieces import Job, Made, Word
from vivavoce.planning import Planned, Planner, shorten
from vivavoce.speech import Progress, Speech, SynthesisError
from vivavoce.text import Change, word_spans
from vivavoce.verify import Reader
from vivavoce.voices import VOICE_DB

T = TypeVar("T")

PAUSE = 0.1  # seconds: what is shorter between two words is no pause


class Speaking:
    """A text being spoken. `jobs` are to be made next, together or one by one; `put` takes what was made of them.

    planned: from `planner`, whose system makes the jobs. retries: how often a piece that failed is made again. reader:
    listens to each piece; None: nobody does.
    told: what `notices` has told of before, of a text that is spoken in parts; it grows.
    Errors of the plan and SynthesisError, where a piece fails for good, are raised by both.
    """

    def __init__(
        self,
        planner: Planner,
        planned: Iterator[Planned],
        seed: int,
        retries: int = 2,
        told: set[tuple[str, str]] | None = None,
        reader: Reader | None = None,
    ) -> None:
        self.system, self.seed, self.retries, self.reader = planner.system, seed, retries, reader
        self.done = 0.0  # the part of the text that is spoken, 0 to 1; stays 0 where the text comes in scraps
        self.share = 0.0  # the part that the piece in work is
        self._planner = planner
        self._notices: list[str] = []
        self._told = set() if told is None else told
        self._work = self._pieces(planned)
        self._jobs: tuple[Job, ...] | None = None  # None: not known yet, for it may take waiting for text

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What is to be made next; () at the end. Waits for text where that comes in scraps."""
        if self._jobs is None:
            found = next(self._work, ())
            assert not isinstance(found, Speech)
            self._jobs = found
        return self._jobs

    def put(self, made: Sequence[Made]) -> Speech | None:
        """What was made of `jobs`, in their order → the finished piece; None where it has to be made again."""
        found = self._work.send(made)
        if isinstance(found, Speech):
            self._jobs = None
            return found
        self._jobs = found
        return None

    def notices(self) -> list[str]:
        """What is not spoken as written, or not well, a line each: what came up since this was last called."""
        changes, self._planner.changes = self._planner.changes, []
        told, self._notices = [*_describe(changes, self._told), *self._notices], []
        return told

    # ---- pieces ---------------------------------------------------------------------------------------------------

    def _pieces(self, planned: Iterator[Planned]) -> Generator[tuple[Job, ...] | Speech, Sequence[Made], None]:
        memories: dict[str, object] = {}  # of each voice
        for index, plan in enumerate(planned):
            self.share = plan.share
            job = Job(plan.piece, plan.voice, plan.options, piece_seed(self.seed, index), memories.get(plan.voice.name))
            made, found = yield from self._made(job, plan)
            if found.faults:
                what = ", ".join(fault.detail for fault in found.faults)
                tries = f", the best of {found.tries} tries," if found.tries > 1 else ""
                self._notices.append(f"{shorten(plan.piece.text)!r}{tries} may be faulty: {what}")
            memories[plan.voice.name] = made.memory
            self.done, self.share = self.done + plan.share, 0.0
            yield self._finished(made, plan, found)

    def _made(self, job: Job, plan: Planned) -> Generator[tuple[Job, ...], Sequence[Made], tuple[Made, Check]]:
        """A piece, made again with another seed where it failed: the first without a fault, or the one with least."""
        tries: list[tuple[Made, Check]] = []
        while len(tries) <= self.retries and all(found.faults for _, found in tries):
            cut = any(fault.name in ("cut start", "cut end") for _, found in tries for fault in found.faults)
            seed = piece_seed(job.seed, len(tries)) if tries else job.seed
            (made,) = yield (dataclasses.replace(job, seed=seed, roomy=cut),)
            tries.append((made, self._checked(made, plan)))
        made, found = min(tries, key=lambda tried: sum(fault.weight for fault in tried[1].faults))
        for fault in found.faults:
            if fault.unusable:
                raise SynthesisError(f"the model made {fault.detail} for {shorten(plan.piece.text)!r}")
        return made, dataclasses.replace(found, tries=len(tries))

    def _checked(self, made: Made, plan: Planned) -> Check:
        """What is wrong with a piece, by its sound, by what the model says, and by the words that are heard."""
        rate, text = self.system.sample_rate, plan.piece.text
        end = None if made.ends is None else float(made.ends.max(initial=0.0))
        faults = check(made.samples, rate, plan.seconds, text=text, end=end, speed=plan.options.speed)
        heard = None
        if not any(fault.unusable for fault in faults):
            if made.fault:
                faults.append(Fault("engine", made.fault, weight=2))
            if self.reader is not None:
                heard, wrong = self.reader.read(made.samples, rate, plan.piece, plan.written)
                faults += wrong
        return Check(1, tuple(faults), heard)

    def _finished(self, made: Made, plan: Planned, found: Check) -> Speech:
        """One piece as it goes into the speech: levelled, faded, its silences at its ends."""
        rate = self.system.sample_rate
        before = np.zeros(round(plan.before * rate), np.float32)
        wave = np.concatenate([before, audio.join([_levelled(made.samples, rate)], [plan.piece.pause], rate)])
        words = _words(made, plan, len(before) / rate)
        return Speech(wave, rate, plan.piece.text, (plan.piece,), self.seed, words, (found,))


def check_retries(retries: int) -> None:
    """Raise ValueError where it is no number of tries that anybody could want."""
    if not 0 <= retries <= 100:
        raise ValueError(f"retries is {retries!r}; it must be from 0 to 100")


def piece_seed(seed: int, index: int) -> int:
    """The seed of a speech's piece `index`, 0 to 2**63 - 1: pieces differ from each other and do not depend on the
    number of them, so that speaking, streaming and a longer text begin alike."""
    return int(np.random.SeedSequence(seed, spawn_key=(index,)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _levelled(samples: Samples, sample_rate: int) -> Samples:
    """At VOICE_DB while somebody speaks, so that a piece with pauses in it is not louder than one without."""
    wave = np.asarray(samples, np.float32)
    pauses = speech_level(wave, sample_rate) - audio.rms_db(wave)
    return audio.level(wave, VOICE_DB - pauses)


def _words(made: Made, plan: Planned, start: float) -> tuple[Word, ...]:
    """When each word is spoken; () where the model cannot tell."""
    if made.ends is None:
        return ()
    ends, text = np.maximum.accumulate(made.ends), plan.piece.text
    written = plan.written.split()
    spans = _placed(written, text)
    if len(written) != len(spans):  # as where the model's characters make two words of one
        written = [text[a:b] for a, b in spans]
    words: list[Word] = []
    last = -PAUSE
    for word, (a, b) in zip(written, spans, strict=True):
        begins = float(ends[a - 1]) if a else made.start
        # A space that is too short for a pause is no silence: it is where the next word sets in.
        begins, last = (last if begins - last < PAUSE else begins), float(ends[b - 1])
        words.append(Word(word, begins + start, last + start))
    return tuple(words)


def _placed(words: list[str], text: str) -> list[tuple[int, int]]:
    """Where each word is in the model's text, which may have two for one ("forty two"); else all that is in it."""
    spans = word_spans(text)
    placed, i = list[tuple[int, int]](), 0
    for word in words if len(spans) > len(words) else ():
        start, end = spans[min(i, len(spans) - 1)]
        i += 1
        while i < len(spans) and _bare(word).startswith(_bare(text[start : spans[i][1]])):
            end, i = spans[i][1], i + 1
        placed.append((start, end))
    return placed if placed and i == len(spans) else spans


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


def _describe(changes: list[Change], told: set[tuple[str, str]]) -> list[str]:
    """One line about what is not spoken as written: characters that no rule reads or the model lacks.

    Punctuation and case are not told of: they have no sound, and a model without the dash takes the comma. `told` is
    what was told before, and grows.
    """
    lost = [c for c in changes if c.rule in ("unspeakable", "fit") and c.before.lower() != c.after.lower()]
    seen = dict.fromkeys((c.before.strip(), c.after.strip()) for c in lost if not all(map(_is_punctuation, c.before)))
    new = [pair for pair in seen if pair not in told]
    told.update(new)
    said = [f"{before!r} is read as {after!r}" if after else f"{before!r} is left out" for before, after in new]
    if not said:
        return []
    more = f" and {len(said) - 8} more" if len(said) > 8 else ""
    return [f"the model cannot speak all that is written: {', '.join(said[:8])}{more}"]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PZ" or character.isspace()


# --- making the pieces -----------------------------------------------------------------------------------------------


class Stopped(Exception):
    """Nobody waits for what is being made."""


class Switch:
    """Stops work in another thread: `stop` returns when the engine is at rest."""

    def __init__(self) -> None:
        self._stopped = False
        self._working = threading.Lock()

    def stop(self) -> None:
        self._stopped = True
        with self._working:
            pass

    def check(self) -> None:
        if self._stopped:
            raise Stopped

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        with self._working:
            self.check()
            yield


Part = tuple[Speech | None, list[str]]  # a piece, and the notices that came up with it; at the end perhaps these alone


def parts(start: Callable[[], Speaking], progress: Progress | None, switch: Switch) -> Iterator[Part]:
    """The pieces of a speech one after another."""
    speaking = start()
    reached = 0.0

    def report(done: float) -> None:
        nonlocal reached
        switch.check()
        now = speaking.done + speaking.share * done
        if progress is not None and now > reached:  # a piece that is made again takes nothing back
            progress(min(1.0, now))
            reached = now

    while jobs := speaking.jobs:
        with switch.work():
            made = speaking.system.waves(list(jobs), report)
        speech = speaking.put(made)
        if speech is not None:
            report(0.0)
            yield speech, speaking.notices()
    if progress is not None and 0 < reached < 1:
        progress(1.0)
    if notices := speaking.notices():
        yield None, notices


def ahead(make: Callable[[Switch], Iterator[T]]) -> Iterator[T]:
    """What `make` yields, made ahead: while one item is used, the next waits and a thread works on the one after it.

    The first item is made in the caller's thread, which is sooner: OpenMP has threads for each thread that computes,
    and once they are more than the cores it puts them to sleep wherever they wait for each other, thousands of times.
    Errors come through where the item would have come. Closing this iterator stops the work, for which `make` has to
    look at the switch.
    """
    switch = Switch()
    making = make(switch)
    try:
        first = next(making)
    except StopIteration:
        return
    made: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(maxsize=1)

    def run() -> None:
        end: BaseException | None = None
        try:
            for item in making:
                made.put(([item], None))
                switch.check()
        except Stopped:
            return
        except BaseException as error:
            end = error
        made.put(([], end))

    thread = threading.Thread(target=run, name="vivavoce-ahead", daemon=True)
    thread.start()
    try:
        yield first
        while True:
            try:
                items, error = made.get(timeout=0.1)  # in short turns: a plain get cannot be interrupted on Windows
            except queue.Empty:
                continue
            if error is not None:
                raise error
            if not items:
                return
            yield items[0]
    finally:
        switch.stop()
        with contextlib.suppress(queue.Empty):
            made.get_nowait()  # lets a thread that waits to put its item see that it is to stop
