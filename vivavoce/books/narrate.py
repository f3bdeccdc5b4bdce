"""Speak a book: chapter by chapter, section by section, in little memory, and resumable.

A section is about a minute of speech. It is spoken as if the text started there, so that nothing drifts over hours, and
kept on disk: work that was stopped resumes with the section in progress, and the result is the same, sample by sample.
Subtitles are spoken cue by cue, each at its time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import importlib.metadata
import itertools
import json
import math
import re
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivavoce.audio.chapters import mark
from vivavoce.audio.dsp import pcm
from vivavoce.audio.files import remove_parts
from vivavoce.audio.io import Writer
from vivavoce.audio.loudness import LevellingWriter, check_loudness
from vivavoce.audio.tags import Tags
from vivavoce.books.book import Book, Chapter, Cue, escape
from vivavoce.books.original import written_text
from vivavoce.books.overlay import SpokenChapter, write_overlay
from vivavoce.books.overlay import check as check_overlay
from vivavoce.books.section_store import Section, SectionStore
from vivavoce.books.subtitles import CUES, ESTIMATED, check, timed, write
from vivavoce.books.track import SpokenSection, Track
from vivavoce.config import ASSETS
from vivavoce.locks import lock_file
from vivavoce.synthesis.plan import PlannedPiece, has_words
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import Synthesizer, check_retries, piece_seed, run, silence
from vivavoce.text.formats import parse
from vivavoce.text.lexicon import Lexicon
from vivavoce.text.normalise import normalise
from vivavoce.text.segments import Segment
from vivavoce.text.split import PAUSE_PARAGRAPH, PAUSE_SENTENCE
from vivavoce.voices import Voice, get

if TYPE_CHECKING:
    from vivavoce.synthesis.tts import TTS
    from vivavoce.synthesis.verify import Recognizer

SECTION = 60.0  # seconds of speech; a section ends with the paragraph that reaches them
LONGEST = 3 * SECTION  # in a longer paragraph, a section ends with the sentence
CHAPTER_PAUSE = 1.5  # seconds of silence between two chapters in one file
FASTEST = 1.5  # the highest speed of a cue that must end in time, relative to the usual speed
TOLERANCE = 0.05  # seconds that a cue may end late without a retry or a warning
CHAPTERS = ("marks", "files")

_SECTION_SEEDS = 1 << 32  # the seeds of sections follow those of pieces

Show = Callable[[str, float], None]  # called with a description of the work and the part that is done, 0 to 1


class Narration:
    """A book, checked and ready to be spoken by `speak`.

    output: the file to write, in a format of `audio.FORMATS`; None: nothing is written or kept. chapters: "marks" for
    one file with chapter marks, "files" for one file for each chapter: book.mp3 becomes "book-01 Title.mp3" and so on.
    captions: an .srt or .vtt file to write as well; with "files", one for each chapter. cue: "phrase" or "word", what
    one cue of it holds. tags: of the files, a title if None; with "files", a file has the title and number of its
    chapter. bitrate: as for `audio.Writer`. loudness: of each file, in LUFS; None: as it is spoken, about -22.
    overlay: with "files", an .epub with the text and the speech in step.
    model: plain values that identify the model, so that work of another model is not resumed. Other arguments as for
    `TTS.speak`; without a seed, resumed work keeps its own. Tags in the text end with their chapter.
    After `speak`: `files` that were written, `seconds` of speech, and how many of them were `kept` from an earlier run.
    Raises ValueError for errors in the text, naming the chapter, and for a wrong option or path. Warns of what the book
    has but the model cannot speak.
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
        cue: str = CUES[0],
        tags: Tags | None = None,
        bitrate: int | None = None,
        loudness: float | None = None,
        overlay: Path | None = None,
        model: Mapping[str, Any] | None = None,
        lang: str = "en",
        ssml: bool = False,
        lexicon: Lexicon | None = None,
        retries: int = 2,
        verify: str | Recognizer | None = None,
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
        if cue not in CUES:
            raise ValueError(f"cue is {cue!r}; it must be one of {', '.join(CUES)}")
        check_loudness(loudness)
        if overlay is not None:
            check_overlay(overlay, output, chapters)
        check_retries(retries)
        self.files: list[Path] = []
        self.seconds = self.kept = 0.0
        self._book, self._output, self._captions, self._chapters = book, output, captions, chapters
        self._cue, self._tags, self._bitrate, self._loudness = cue, tags or Tags(book.title), bitrate, loudness
        self._overlay = overlay
        self._aligned: list[SpokenChapter] = []
        self._ssml, self._lexicon, self._retries = ssml, lexicon, retries
        self._checker = tts.transcript_checker(verify)
        self._planner, self.seed = tts.planner(voice, lang=lang, **options)
        self._rate = tts.sample_rate
        self._reported: set[tuple[str, str]] = set()
        self._estimated = False  # whether the warning about estimated word times was given
        self._show: Show = lambda what, done: None
        self._plans = self._plan_chapters()
        self._cues = self._speakable_cues()
        self._store: SectionStore | None = None
        if output is not None:
            speaker = voice if isinstance(voice, Voice) else get(self._planner.options.voice)
            identity = {"text": _digest(book.chapters, book.cues), "voice": _voice_digest(speaker), "language": lang}
            identity |= {"lexicon": _digest(None if lexicon is None else lexicon.entries), "version": _version()}
            identity |= {"model": _digest(dict(model or {})), "notation": str(ssml), "retries": str(retries)}
            identity |= {"verify": str(self._checker is not None)}
            identity |= {} if self._planner.like is None else {"like": self._planner.like.digest}
            chosen = self._planner.options.to_dict()
            identity |= {name: str(value) for name, value in chosen.items() if name not in ("voice", "seed")}
            any_seed = options.get("seed") is None
            with _lock(output):
                self._store = SectionStore(output, self._rate, identity, self.seed, any_seed=any_seed)
            self.seed = self._store.seed

    @property
    def followed(self) -> str:
        """What is followed of the recording `like`, in words; "" without one."""
        return "" if self._planner.like is None else self._planner.like.followed

    @property
    def work(self) -> Path | None:
        """The folder with the finished sections; None if there are none."""
        return self._store.folder if self._store is not None and len(self._store) else None

    def speak(self, progress: Show | None = None) -> Generator[Speech, None, None]:
        """Speak and write the whole book, once. Yield what is newly spoken, piece by piece, for playback.

        Closing the iterator stops the work and keeps the finished sections. Warns as `TTS.speak` does, and of cues that
        run over. Raises SynthesisError as that does, OSError if a file cannot be written, and `locks.InUse` if another
        process writes the same output.
        """
        if progress is not None:
            self._show = progress
        with _lock(self._output):
            yield from self._speak()

    def _speak(self) -> Iterator[Speech]:
        if self._store is not None and (count := len(self._store)):
            last = self._store.get(count - 1)
            self._show("resuming earlier work", 0.0 if last is None else last.done)
        sections = itertools.count()
        if self._cues:
            with self._track(self._tags) as track:
                yield from self._speak_cues(track, sections)
        elif self._chapters == "files":
            width = max(2, len(str(len(self._plans))))
            for number, (chapter, _) in enumerate(self._plans):
                name = f"-{number + 1:0{width}d}{_file_name(chapter.title)}"
                tags = dataclasses.replace(
                    self._tags,
                    title=chapter.title or self._tags.title,
                    album=self._tags.title if self._tags.is_book else "",
                    track=number + 1,
                    tracks=len(self._plans),
                )
                with self._track(tags, name) as track:
                    yield from self._speak_chapter(number, track, sections)
                self._align(number, track)
            if self._overlay is not None:
                write_overlay(self._overlay, self._aligned, self._tags, self._planner.lang)
                self.files.append(self._overlay)
        else:
            with self._track(self._tags) as track:
                for number, (chapter, _) in enumerate(self._plans):
                    if number:
                        yield from self._add_silence(round(CHAPTER_PAUSE * self._rate), track)
                    track.begin(chapter.title or self._tags.title)
                    yield from self._speak_chapter(number, track, sections)
        if self._store is not None:
            self._store.remove()

    # ---- the plan -------------------------------------------------------------------------------------------------

    def _plan_chapters(self) -> list[tuple[Chapter, Iterator[PlannedPiece]]]:
        """Return the chapters with something to say, and their pieces. Errors in the text are raised here."""
        found: list[tuple[Chapter, Iterator[PlannedPiece]]] = []
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

    def _speakable_cues(self) -> list[Cue]:
        found = [cue for cue in self._book.cues if self._has_words(cue.text)]
        if self._book.cues and not found:
            raise ValueError("the subtitles have nothing in them that this model can speak")
        if left := len(self._book.cues) - len(found):
            warnings.warn(f"{left} of {left + len(found)} cues have no words and are left out", stacklevel=4)
        return found

    def _plan(self, text: str) -> Iterator[PlannedPiece]:
        if not text.strip():
            raise ValueError("the text is empty")
        return self._planner.plan(self._parse(text))

    def _parse(self, text: str) -> list[Segment]:
        return parse(text, ssml=self._ssml, lexicon=self._lexicon, lang=self._planner.lang)

    def _has_words(self, text: str) -> bool:
        """Return whether the model can speak anything in the text."""
        words = normalise(text, self._planner.lang)[0]
        return has_words(self._planner.system.tokenizer.fit(words)[0])

    # ---- speaking -------------------------------------------------------------------------------------------------

    def _speak_chapter(self, number: int, track: Track, sections: Iterator[int]) -> Iterator[Speech]:
        chapter, planned = self._plans[number]
        total = sum(len(each.text) for each, _ in self._plans)
        weight = len(chapter.text) / total
        done = sum(len(each.text) for each, _ in self._plans[:number]) / total
        what = "speaking" if len(self._plans) == 1 else f"speaking chapter {number + 1} of {len(self._plans)}"
        spoken_before = len(track.words)
        groups = _sections(planned)
        group = next(groups, None)
        while group is not None:
            section = next(sections)
            end = done + weight * sum(plan.share for plan in group)
            found = self._kept_section(section)
            spoken = SpokenSection(self._rate)
            if found is None:
                for speech in self._speak_pieces(group, section, what, done, weight):
                    spoken.add(speech)
                    yield speech
            # Planned only now, so that the first sound does not wait for the plan of the second minute.
            group = next(groups, None)
            if found is None:
                last = group is None and number == len(self._plans) - 1
                found = self._finish_section(section, spoken, 1.0 if last else end)
            track.add(found)
            done = end
        if track.captioned:
            track.restore(spoken_before, written_text(self._parse(chapter.text)))

    def _align(self, number: int, track: Track) -> None:
        """Keep what a chapter of a book to read along consists of."""
        if self._overlay is not None:
            chapter = self._plans[number][0]
            sound = next(path for path in reversed(self.files) if path.suffix == self._output.suffix)  # type: ignore[union-attr]
            text, seconds = written_text(self._parse(chapter.text)), track.samples / self._rate
            self._aligned.append(SpokenChapter(chapter.title, text, tuple(track.words), sound, seconds))

    def _speak_cues(self, track: Track, sections: Iterator[int]) -> Iterator[Speech]:
        """Speak each cue at its time, or after the one before it if that is not over by then."""
        late: list[tuple[Cue, float]] = []
        for cue, following in zip(self._cues, [*self._cues[1:], None], strict=True):
            section = next(sections)
            start = max(track.samples, round(cue.start * self._rate))
            yield from self._add_silence(start - track.samples, track)
            room = math.inf if following is None else following.start - start / self._rate
            faster, planned = self._fit_cue(cue, room)  # also if the section is kept: plans depend on those before
            found = self._kept_section(section)
            if found is None:
                spoken, pieces = SpokenSection(self._rate), self._speak_cue(cue, room, faster, planned, section)
                for speech in pieces:
                    spoken.add(speech)
                found = self._finish_section(section, spoken, (section + 1) / len(self._cues))
                yield from pieces
            before = len(track.words)
            track.add(found)
            track.restore(before, cue.text)
            if (over := len(found) / self._rate - room) > TOLERANCE:
                late.append((cue, over))
        if late:
            said = ", ".join(f"{_clock(cue.start)} by {over:.1f} s" for cue, over in late[:8])
            more = f" and {len(late) - 8} more" if len(late) > 8 else ""
            warnings.warn(
                f"{len(late)} of {len(self._cues)} cues run into the next, though spoken up to {FASTEST:g} times "
                f"faster: {said}{more}",
                stacklevel=2,
            )

    def _speak_cue(
        self, cue: Cue, room: float, faster: float, planned: list[PlannedPiece], section: int
    ) -> list[Speech]:
        """Speak a cue. Speak it again, faster, if it took longer than predicted and may be faster."""
        what, share = f"speaking cue {section + 1} of {len(self._cues)}", 1 / len(self._cues)
        pieces = list(self._speak_pieces(planned, section, what, section * share, share))
        seconds = sum(piece.duration for piece in pieces)
        if seconds > room + TOLERANCE:
            again, planned = self._fit_cue(cue, room, faster * seconds / max(room, 1e-3))
            if again > faster:
                pieces = list(self._speak_pieces(planned, section, what, section * share, share))
        return pieces

    def _fit_cue(self, cue: Cue, room: float, least: float = 1.0) -> tuple[float, list[PlannedPiece]]:
        """Return the relative speed that fits a cue into `room` seconds, and its pieces at that speed."""
        fastest = min(FASTEST, 4 / self._planner.options.speed)
        least = min(least, fastest)
        text = f"[voice:{cue.voice}]{escape(cue.text)}" if cue.voice else escape(cue.text)
        planned = list(self._plan(f"[speed:{least:.3f}]{text}"))
        needed = sum(plan.total_seconds for plan in planned) / max(room, 1e-3)
        faster = min(fastest, least * max(1.0, needed))
        if faster > least:
            planned = list(self._plan(f"[speed:{faster:.3f}]{text}"))
        return faster, planned

    def _speak_pieces(
        self, planned: Sequence[PlannedPiece], section: int, what: str, done: float, weight: float
    ) -> Iterator[Speech]:
        """Speak the pieces of a section. weight: the part of the book that `PlannedPiece.share` refers to."""
        # The first section uses the seed itself, so that a short text sounds as with `TTS.speak`.
        seed = piece_seed(self.seed, _SECTION_SEEDS + section) if section else self.seed
        synthesizer = Synthesizer(
            self._planner, iter(planned), seed, self._retries, checker=self._checker, reported=self._reported
        )
        share = sum(plan.share for plan in planned)

        def report(part: float) -> None:
            self._show(what, min(1.0, done + weight * min(part, share)))

        for speech, notices in run(synthesizer, report):
            for notice in notices:
                warnings.warn(notice, stacklevel=3)
            if speech is not None:
                if self._captions is not None and speech.pieces and not speech.words and not self._estimated:
                    warnings.warn(ESTIMATED, stacklevel=3)
                    self._estimated = True
                yield timed(speech)

    def _kept_section(self, number: int) -> Section | None:
        """Return a section of an earlier run; None if it is not kept."""
        found = None if self._store is None else self._store.get(number)
        if found is not None:
            self.kept += len(found) / self._rate
        return found

    def _finish_section(self, number: int, spoken: SpokenSection, done: float) -> Section:
        """Return the section, and keep it on disk unless it is the last."""
        section = spoken.section(done)
        if self._store is not None and done < 1:
            self._store.put(number, section)
        return section

    def _add_silence(self, samples: int, track: Track) -> Iterator[Speech]:
        for speech in silence(samples, self._rate):
            track.add_samples(pcm(speech.samples))
            yield speech

    # ---- files ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _track(self, tags: Tags, name: str = "") -> Iterator[Track]:
        """Open the output files, with `name` added to their names, and finish them after the block."""
        output, captions = (p and p.with_name(f"{p.stem}{name}{p.suffix}") for p in (self._output, self._captions))
        with contextlib.nullcontext() if output is None else self._writer(output) as writer:
            track = Track(self._rate, writer, captions is not None or self._overlay is not None)
            yield track
            if writer is not None:
                writer.finish()
                marks = track.marks if len(track.marks) > 1 or tags.is_book else []
                try:
                    mark(writer.part, writer.format, tags, marks, writer.seconds)
                except ValueError as error:
                    warnings.warn(f"{output} has no chapters marked: {error}", stacklevel=4)
        if captions is not None:
            write(captions, track.words, self._cue, track.samples / self._rate)
        self.seconds += track.samples / self._rate
        self.files += [path for path in (output, captions) if path is not None]

    def _writer(self, output: Path) -> Writer:
        # Parts of a process that was killed. The lock excludes one that is running.
        remove_parts(output.parent, glob.escape(output.name))
        remove_parts(output.parent, f".{glob.escape(output.name)}.????????.part")
        if self._loudness is None:
            return Writer(output, self._rate, self._bitrate)
        return LevellingWriter(output, self._rate, self._bitrate, loudness=self._loudness)


def _sections(planned: Iterator[PlannedPiece]) -> Iterator[list[PlannedPiece]]:
    """Group pieces into sections, which end with a paragraph."""
    group: list[PlannedPiece] = []
    seconds = 0.0
    for plan in planned:
        group.append(plan)
        seconds += plan.total_seconds
        if seconds >= SECTION and plan.piece.pause >= (PAUSE_PARAGRAPH if seconds < LONGEST else PAUSE_SENTENCE):
            yield group
            group, seconds = [], 0.0
    if group:
        yield group


def made_by(**settings: Any) -> dict[str, Any]:
    """Return what identifies a model for `Narration`: how it is loaded, and its files if it is in a folder.

    A file that was rewritten counts as another one.
    """
    folders = [Path(str(value)) for value in settings.values() if value is not None]
    folders = [ASSETS, *(folder for folder in folders if folder.is_dir())]
    files = [
        f for folder in folders for f in sorted(folder.rglob("*")) if f.suffix in (".safetensors", ".json", ".txt")
    ]
    return {**settings, "files": [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]}


def _lock(output: Path | None) -> contextlib.AbstractContextManager[None]:
    """Return the lock of an output file. Devices are not locked; for a missing folder, the writer has the message."""
    if output is None or not output.parent.is_dir() or (output.exists() and not output.is_file()):
        return contextlib.nullcontext()
    return lock_file(output)


def _digest(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=dataclasses.asdict).encode()).hexdigest()


def _voice_digest(voice: Voice) -> str:
    vector = None if voice.embedding is None else voice.embedding.tobytes().hex()
    trained = () if voice.weights is None else (voice.weights.digest,)
    return _digest(voice.name, voice.transcript, voice.samples.tobytes().hex(), vector, *trained)


def _version() -> str:
    try:
        return importlib.metadata.version("vivavoce")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _file_name(title: str) -> str:
    """Return a title as the end of a file name: short, and without what file systems forbid or what reorders text."""
    plain = " ".join(re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]', " ", title).split())[
        :60
    ].rstrip(" .")
    return f" {plain}" if plain else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
