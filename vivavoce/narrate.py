"""A book → sound files: chapter by chapter, section by section, in little memory, and resumable.

A section is a minute or so of speech. It is spoken as if the text began there, so that nothing drifts over the hours,
and kept on disk: a work that was stopped goes on with the section that it was in, and what comes of it is the same,
sample by sample. Subtitles are spoken cue by cue, each at its time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import itertools
import json
import math
import re
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vivavoce import audio
from vivavoce.books import Book, Chapter, escape
from vivavoce.chapters import Mark, mark
from vivavoce.kept import Kept, Pcm, Section
from vivavoce.lexicon import Lexicon
from vivavoce.pieces import Word
from vivavoce.planning import Planned, has_words
from vivavoce.speaking import Speaking, Switch, check_retries, parts, piece_seed
from vivavoce.speech import Speech
from vivavoce.subtitles import ESTIMATED, Cue, check, timed, write
from vivavoce.synthesis import TTS
from vivavoce.text import PAUSE_PARAGRAPH, PAUSE_SENTENCE, normalise
from vivavoce.verify import Hears
from vivavoce.voices import Voice, get

SECTION = 60.0  # seconds of speech; a section ends with the paragraph in which it reaches them
LONGEST = 3 * SECTION  # a paragraph without an end is parted after a sentence
CHAPTER_PAUSE = 1.5  # seconds of silence between two chapters in one file
FASTEST = 1.5  # times the usual speed: as fast as a cue may be spoken to be over in time
LATE = 0.05  # seconds that nobody notices
CHAPTERS = ("marks", "files")

_SEEDS = 1 << 32  # sections draw their seeds from here on: pieces of a text have those below

Show = Callable[[str, float], None]  # what is being done, and the part of the whole that is, 0 to 1


class Narration:
    """A book that is to be spoken, checked and ready: `speak` does it.

    output: the file to write, in a format of `audio.FORMATS`; None: nothing is written or kept. chapters: "marks", one
    file with the chapters marked in it, or "files", one a chapter: book.mp3 becomes "book-01 Title.mp3" and so on.
    captions: an .srt or .vtt file to write, too; with "files", one for each. model: what the speech is made by, in
    plain values, so that work which another model began is not gone on with. The rest as of `TTS.speak`; without a
    seed, work that is gone on with has its own. Tags in the text last no longer than its chapter.
    After `speak`: `files` that were written, `seconds` of speech and how many of them were `kept` from before.
    Raises ValueError for what is wrong with the text, naming the chapter, with an option or a path. Warns of what the
    book has but cannot be spoken.
    """

    def __init__(
        self,
        tts: TTS,
        book: Book,
        output: Path | None = None,
        voice: str | Voice | None = None,
        *,
        chapters: str = "marks",
        captions: Path | None = None,
        model: Mapping[str, Any] | None = None,
        lang: str = "en",
        ssml: bool = False,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Hears | None = None,
        **options: Any,
    ) -> None:
        if chapters not in CHAPTERS:
            raise ValueError(f"chapters is {chapters!r}; it must be one of {', '.join(CHAPTERS)}")
        if chapters == "files" and book.cues:
            raise ValueError("chapters is 'files', but subtitles have no chapters")
        if ssml and book.cues:
            raise ValueError("ssml is True, but the cues of subtitles are plain text")
        if captions is not None:
            check(captions)
        check_retries(retries)
        self.files: list[Path] = []
        self.seconds = self.kept = 0.0
        self._book, self._output, self._captions, self._chapters = book, output, captions, chapters
        self._ssml, self._lexicon, self._retries = ssml, lexicon, retries
        self._reader = tts.reader(verify)
        self._planner, self.seed = tts.planner(voice, lang=lang, **options)
        self._rate = tts.sample_rate
        self._told: set[tuple[str, str]] = set()
        self._estimated = False  # whether it was told that the times of words are
        self._show: Show = lambda what, done: None
        self._plans = self._planned()
        self._cues = self._sayable()
        self._store: Kept | None = None
        if output is not None:
            speaker = voice if isinstance(voice, Voice) else get(self._planner.options.voice)
            identity = {"text": _digest(book.chapters, book.cues), "voice": _voice_digest(speaker), "language": lang}
            identity |= {"lexicon": _digest(None if lexicon is None else lexicon.entries), "version": _version()}
            identity |= {"model": _digest(dict(model or {})), "notation": str(ssml), "retries": str(retries)}
            identity |= {"verify": str(self._reader is not None)}
            chosen = self._planner.options.to_dict()
            identity |= {name: str(value) for name, value in chosen.items() if name not in ("voice", "seed")}
            self._store = Kept(output, self._rate, identity, self.seed, any_seed=options.get("seed") is None)
            self.seed = self._store.seed

    @property
    def work(self) -> Path | None:
        """The folder that holds what is spoken so far; None where there is nothing."""
        return self._store.folder if self._store is not None and len(self._store) else None

    def speak(self, progress: Show | None = None) -> Generator[Speech, None, None]:
        """Speak and write all of it, once. Yields what is newly spoken, piece by piece, for whoever listens.

        Closing the iterator stops the work; what is spoken is kept. Warns as `TTS.speak` does, and of cues that run
        over. Raises SynthesisError as that does, and OSError where a file cannot be written.
        """
        if progress is not None:
            self._show = progress
        if self._store is not None and (count := len(self._store)):
            last = self._store.get(count - 1)
            self._show("taking up what is spoken", 0.0 if last is None else last.done)
        sections = itertools.count()
        if self._cues:
            with self._track(self._book.title) as track:
                yield from self._subtitles(track, sections)
        elif self._chapters == "files":
            width = max(2, len(str(len(self._plans))))
            for number, (chapter, _) in enumerate(self._plans):
                name = f"-{number + 1:0{width}d}{_file_name(chapter.title)}"
                with self._track(chapter.title or self._book.title, name) as track:
                    yield from self._chapter(number, track, sections)
        else:
            with self._track(self._book.title) as track:
                for number, (chapter, _) in enumerate(self._plans):
                    if number:
                        yield self._silence(round(CHAPTER_PAUSE * self._rate), track)
                    track.begin(chapter.title or self._book.title)
                    yield from self._chapter(number, track, sections)
        if self._store is not None:
            self._store.remove()

    # ---- what there is to say -------------------------------------------------------------------------------------

    def _planned(self) -> list[tuple[Chapter, Iterator[Planned]]]:
        """The chapters that have something to say, checked, and the pieces that they will be."""
        found: list[tuple[Chapter, Iterator[Planned]]] = []
        for number, chapter in enumerate(self._book.chapters, 1):
            where = f"chapter {number}" + (f" ({chapter.title[:60]})" if chapter.title else "")
            try:
                found.append((chapter, self._plan(chapter.text)))
            except ValueError as error:
                if len(self._book.chapters) == 1:
                    raise
                if self._has_words(chapter.text):
                    raise ValueError(f"{where}: {error}") from None
                warnings.warn(f"{where} has nothing in it that this model can speak; it is left out", stacklevel=4)
        if not found and not self._book.cues:
            raise ValueError("the text has nothing in it that this model can speak")
        return found

    def _sayable(self) -> list[Cue]:
        found = [cue for cue in self._book.cues if self._has_words(cue.text)]
        if self._book.cues and not found:
            raise ValueError("the subtitles have nothing in them that this model can speak")
        if left := len(self._book.cues) - len(found):
            warnings.warn(f"{left} of {left + len(found)} cues have no words and are left out", stacklevel=4)
        return found

    def _plan(self, text: str) -> Iterator[Planned]:
        return self._planner.whole(text, ssml=self._ssml, lexicon=self._lexicon)

    def _has_words(self, text: str) -> bool:
        """Whether there is something in it that the model can speak."""
        words = normalise(text, self._planner.lang)[0]
        return has_words(self._planner.system.tokenizer.fit(words)[0])

    # ---- speaking -------------------------------------------------------------------------------------------------

    def _chapter(self, number: int, track: _Track, sections: Iterator[int]) -> Iterator[Speech]:
        chapter, planned = self._plans[number]
        total = sum(len(each.text) for each, _ in self._plans)
        weight = len(chapter.text) / total
        done = sum(len(each.text) for each, _ in self._plans[:number]) / total
        what = "speaking" if len(self._plans) == 1 else f"speaking chapter {number + 1} of {len(self._plans)}"
        groups = _sections(planned)
        group = next(groups, None)
        while group is not None:
            section = next(sections)
            end = done + weight * sum(plan.share for plan in group)
            found = self._taken(section)
            pieces = []
            if found is None:
                for speech in self._spoken(group, section, what, done, weight):
                    pieces.append(speech)
                    yield speech
            group = next(groups, None)  # only now: the first sound should not wait for the plan of the second minute
            if found is None:
                last = group is None and number == len(self._plans) - 1
                found = self._finished(section, pieces, 1.0 if last else end)
            track.add(found.sound, found.words)
            done = end

    def _subtitles(self, track: _Track, sections: Iterator[int]) -> Iterator[Speech]:
        """The cues, each from its time on or, where the one before it is not over by then, from its end on."""
        late: list[tuple[Cue, float]] = []
        for cue, following in zip(self._cues, [*self._cues[1:], None], strict=True):
            section = next(sections)
            start = max(track.samples, round(cue.start * self._rate))
            if start > track.samples:
                yield self._silence(start - track.samples, track)
            room = math.inf if following is None else following.start - start / self._rate
            faster, planned = self._hurried(cue.text, room)  # also for what is kept: plans depend on those before
            found = self._taken(section)
            if found is None:
                pieces = self._cue(cue, room, faster, planned, section)
                found = self._finished(section, pieces, (section + 1) / len(self._cues))
                yield from pieces
            track.add(found.sound, found.words)
            if (over := len(found.sound) / self._rate - room) > LATE:
                late.append((cue, over))
        if late:
            said = ", ".join(f"{_clock(cue.start)} by {over:.1f} s" for cue, over in late[:8])
            more = f" and {len(late) - 8} more" if len(late) > 8 else ""
            warnings.warn(
                f"{len(late)} of {len(self._cues)} cues run into the next, though spoken up to {FASTEST:g} times "
                f"faster: {said}{more}",
                stacklevel=2,
            )

    def _cue(self, cue: Cue, room: float, faster: float, planned: list[Planned], section: int) -> list[Speech]:
        """A cue, made again where it took longer than was predicted and may be faster."""
        what, share = f"speaking cue {section + 1} of {len(self._cues)}", 1 / len(self._cues)
        pieces = list(self._spoken(planned, section, what, section * share, share))
        seconds = sum(piece.duration for piece in pieces)
        if seconds > room + LATE:
            again, planned = self._hurried(cue.text, room, faster * seconds / max(room, 1e-3))
            if again > faster:
                pieces = list(self._spoken(planned, section, what, section * share, share))
        return pieces

    def _hurried(self, text: str, room: float, least: float = 1.0) -> tuple[float, list[Planned]]:
        """How many times faster than usual a cue has to be to fit into `room` seconds, and its pieces at that speed."""
        fastest = min(FASTEST, 4 / self._planner.options.speed)
        least = min(least, fastest)
        planned = list(self._plan(f"[speed:{least:.3f}]{escape(text)}"))
        needed = sum(plan.before + plan.seconds + plan.piece.pause for plan in planned) / max(room, 1e-3)
        faster = min(fastest, least * max(1.0, needed))
        if faster > least:
            planned = list(self._plan(f"[speed:{faster:.3f}]{escape(text)}"))
        return faster, planned

    def _spoken(
        self, planned: Sequence[Planned], section: int, what: str, done: float, weight: float
    ) -> Iterator[Speech]:
        """The pieces of a section. weight: the part of the whole that `Planned.share` counts in."""
        # The first section has the seed itself, so that a short text sounds as `TTS.speak` has it.
        seed = piece_seed(self.seed, _SEEDS + section) if section else self.seed

        def start() -> Speaking:
            return Speaking(self._planner, iter(planned), seed, self._retries, self._told, self._reader)

        share = sum(plan.share for plan in planned)

        def report(part: float) -> None:
            self._show(what, min(1.0, done + weight * min(part, share)))

        for speech, notices in parts(start, report, Switch()):
            for notice in notices:
                warnings.warn(notice, stacklevel=3)
            if speech is not None:
                if self._captions is not None and not speech.words and not self._estimated:
                    warnings.warn(ESTIMATED, stacklevel=3)
                    self._estimated = True
                yield timed(speech)

    def _taken(self, number: int) -> Section | None:
        """A section that was spoken before."""
        found = None if self._store is None else self._store.get(number)
        if found is not None:
            self.kept += len(found.sound) / self._rate
        return found

    def _finished(self, number: int, pieces: list[Speech], done: float) -> Section:
        """A section of its pieces, kept on disk, but for the last, with which all is done."""
        whole = Speech.join(pieces)
        section = Section(audio.pcm(whole.samples), whole.words, done)
        if self._store is not None and done < 1:
            self._store.put(number, section)
        return section

    def _silence(self, samples: int, track: _Track) -> Speech:
        silence = np.zeros(samples, np.float32)
        track.add(audio.pcm(silence), ())
        return Speech(silence, self._rate)

    # ---- files ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _track(self, title: str, name: str = "") -> Iterator[_Track]:
        """A file in the making; `name` is added to the one that was asked for."""
        output, captions = (p and p.with_name(f"{p.stem}{name}{p.suffix}") for p in (self._output, self._captions))
        with contextlib.nullcontext() if output is None else audio.Writer(output, self._rate) as writer:
            track = _Track(self._rate, writer, captions is not None)
            yield track
            if writer is not None:
                writer.finish()
                marks = track.marks if len(track.marks) > 1 else []
                try:
                    mark(writer.part, writer.format, title, marks, writer.seconds)
                except ValueError as error:
                    warnings.warn(f"{output} has no chapters marked: {error}", stacklevel=4)
        if captions is not None:
            write(captions, track.words)
        self.seconds += track.samples / self._rate
        self.files += [path for path in (output, captions) if path is not None]


class _Track:
    """What goes into one file: sound, and where chapters and words are in it."""

    def __init__(self, sample_rate: int, writer: audio.Writer | None, captioned: bool) -> None:
        self.samples = 0  # so far
        self.words: list[Word] = []
        self.marks: list[Mark] = []
        self._rate, self._writer, self._captioned = sample_rate, writer, captioned

    def begin(self, title: str) -> None:
        """A chapter begins here."""
        self.marks.append(Mark(self.samples / self._rate, title))

    def add(self, sound: Pcm, words: Sequence[Word]) -> None:
        at = self.samples / self._rate
        if self._captioned:
            self.words += [Word(word.text, at + word.start, at + word.end) for word in words]
        if self._writer is not None:
            self._writer.add(sound)
        self.samples += len(sound)


def _sections(planned: Iterator[Planned]) -> Iterator[list[Planned]]:
    """Pieces by the minute, parted where a paragraph ends."""
    group: list[Planned] = []
    seconds = 0.0
    for plan in planned:
        group.append(plan)
        seconds += plan.before + plan.seconds + plan.piece.pause
        if seconds >= SECTION and plan.piece.pause >= (PAUSE_PARAGRAPH if seconds < LONGEST else PAUSE_SENTENCE):
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


def made_by(**settings: Any) -> dict[str, Any]:
    """What speech is made by, for `Narration`: how the model is loaded, and which files it has if it is in a folder.

    A file that was written again counts as another.
    """
    folders = [Path(str(value)) for value in settings.values() if value is not None]
    folders = [Path(__file__).parent / "assets", *(folder for folder in folders if folder.is_dir())]
    files = [
        f for folder in folders for f in sorted(folder.rglob("*")) if f.suffix in (".safetensors", ".json", ".txt")
    ]
    return {**settings, "files": [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]}


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=dataclasses.asdict).encode()).hexdigest()


def _voice_digest(voice: Voice) -> str:
    vector = None if voice.embedding is None else voice.embedding.tobytes().hex()
    return _digest(voice.name, voice.transcript, voice.samples.tobytes().hex(), vector)


def _version() -> str:
    try:
        return importlib.metadata.version("vivavoce")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _file_name(title: str) -> str:
    """A title as the end of a file's name: what no system forbids there, and not much of it."""
    plain = " ".join(re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', " ", title).split())[:60].rstrip(" .")
    return f" {plain}" if plain else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
