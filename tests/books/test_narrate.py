"""Books to sound files, with a stand-in for a model: a tone of 50 ms per character."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.narration import BOOK, stop_after
from helpers.tones import LONG, RATE, SECONDS_PER_CHARACTER, Tones

from vivavoce.books.book import Book, Chapter, Cue
from vivavoce.books.cues import parse_cues
from vivavoce.books.narrate import CHAPTER_PAUSE, FASTEST, Narration
from vivavoce.synthesis.tts import TTS
from vivavoce.systems.interface import SynthesisError, SynthesisResult
from vivavoce.voices import Voice

pytestmark = pytest.mark.usefixtures("short_sections")


@pytest.fixture
def voice() -> Voice:
    return Voice("tester", np.sin(np.arange(2 * RATE) * 0.05).astype(np.float32))


@pytest.fixture
def narration(system: Tones, voice: Voice) -> Callable[..., Narration]:
    def begin(book: Book = BOOK, output: str | None = "book.wav", **options: Any) -> Narration:
        path = None if output is None else Path(output)
        return Narration(TTS(system), book, path, voice, **{"seed": 3, **options})

    return begin


def sound(path: str | Path = "book.wav") -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def finish(narration: Narration) -> Narration:
    for _ in narration.speak():
        pass
    return narration


# --- what a book becomes ---------------------------------------------------------------------------------------------


def test_a_short_text_sounds_as_with_speak(narration: Callable[..., Narration], system: Tones, voice: Voice) -> None:
    done = finish(narration(Book("", (Chapter("", LONG),))))
    assert np.array_equal(sound(), soundfile_of(TTS(system).speak(LONG, voice, seed=3).samples))
    assert done.files == [Path("book.wav")] and done.seconds == pytest.approx(len(sound()) / RATE)
    assert [path.name for path in Path().iterdir()] == ["book.wav"]


def soundfile_of(samples: np.ndarray) -> np.ndarray:
    soundfile.write("as-speak.wav", samples, RATE, subtype="PCM_16")
    found = sound("as-speak.wav")
    Path("as-speak.wav").unlink()
    return found


def test_what_is_yielded_is_what_is_written(narration: Callable[..., Narration]) -> None:
    heard = np.concatenate([piece.samples for piece in narration().speak()])
    assert np.array_equal(soundfile_of(heard), sound())


def test_chapters_are_marked_where_they_begin(narration: Callable[..., Narration]) -> None:
    finish(narration(output="book.flac"))
    data, whole = Path("book.flac").read_bytes()[:2000], sound("book.flac")
    assert b"TITLE=The Book" in data and b"CHAPTER001=00:00:00.000" in data and b"CHAPTER002NAME=Chapter two" in data
    stamp = data.split(b"CHAPTER002=")[1][:12].decode()
    hours, minutes, seconds = stamp.split(":")
    start = round((3600 * int(hours) + 60 * int(minutes) + float(seconds)) * RATE)
    silence = whole[start - round(CHAPTER_PAUSE * RATE) + RATE // 100 : start - RATE // 100]
    assert not silence.any()
    assert np.abs(whole[start : start + RATE]).max() > 1000


def test_chapters_as_files(narration: Callable[..., Narration]) -> None:
    book = Book(
        "B", (*BOOK.chapters, Chapter('What? "No/where"\x07 ', "The end of it all."), Chapter("", "More of it."))
    )
    done = finish(narration(book, "b.flac", chapters="files", captions=Path("b.srt")))
    names = ["b-01 Chapter one", "b-02 Chapter two", "b-03 What No where", "b-04"]
    assert sorted(p.name for p in Path().iterdir()) == sorted(f"{n}{s}" for n in names for s in (".flac", ".srt"))
    assert [path.name for path in done.files] == [f"{n}{s}" for n in names for s in (".flac", ".srt")]
    assert done.seconds == pytest.approx(sum(soundfile.info(f"{n}.flac").duration for n in names))
    first = parse_cues(Path(f"{names[1]}.srt").read_text(encoding="utf-8")).cues[0]
    assert first.start == 0.0 and first.text == "Chapter two"


def test_subtitles_cover_the_whole_file(narration: Callable[..., Narration]) -> None:
    finish(narration(captions=Path("book.vtt")))
    cues = parse_cues(Path("book.vtt").read_text(encoding="utf-8")).cues
    said = " ".join(cue.text for cue in cues)
    assert said.count("they stopped") == 6 and said.startswith("Chapter one")
    whole = sound().astype(np.float32)
    for cue in cues:
        assert np.abs(whole[round(cue.start * RATE) :][: RATE // 10]).max() > 100, cue


def test_words_without_times_are_estimated_with_a_notice(
    narration: Callable[..., Narration], system: Tones, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Tones.synthesize
    monkeypatch.setattr(system, "synthesize", lambda *a: [SynthesisResult(m.samples) for m in made(system, *a)])
    with pytest.warns(UserWarning, match="estimates") as caught:
        finish(narration(captions=Path("book.srt")))
    assert len(caught) == 1
    cues = parse_cues(Path("book.srt").read_text(encoding="utf-8")).cues
    assert cues[-1].end == pytest.approx(len(sound()) / RATE, abs=1.0)


def test_chapters_with_nothing_to_say_are_left_out_with_a_notice(narration: Callable[..., Narration]) -> None:
    book = Book("B", (Chapter("Empty", " "), Chapter("One", "Hello there."), Chapter("Far", "你好。")))
    with pytest.warns(UserWarning) as caught:
        finish(narration(book, chapters="files"))
    assert [p.name for p in Path().iterdir()] == ["book-01 One.wav"]
    notices = [str(w.message) for w in caught]
    assert "chapter 1 (Empty) has nothing" in notices[0] and "chapter 3 (Far) has nothing" in notices[1]
    with pytest.raises(ValueError, match="nothing in it"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        narration(Book("B", (Chapter("Empty", " "), Chapter("Far", "你好。"))))


def test_a_wrong_tag_names_the_chapter_before_anything_is_spoken(
    narration: Callable[..., Narration], system: Tones
) -> None:
    with pytest.raises(ValueError, match=r"chapter 2 \(Two\): line 1, column 7"):
        narration(Book("B", (Chapter("One", "Hello."), Chapter("Two", "Hello [pause] there."))))
    assert system.asked == [] and list(Path().iterdir()) == []


def test_tags_end_with_their_chapter(narration: Callable[..., Narration], system: Tones) -> None:
    finish(narration(Book("B", (Chapter("", "[speed:2]The road was empty."), Chapter("", "The road was empty.")))))
    assert [job.options.speed for job in system.asked] == [2.0, 1.0]


def test_a_character_that_cannot_be_spoken_is_reported_once(narration: Callable[..., Narration]) -> None:
    text = "\n\n".join(f"{LONG} A snowman ☃ again." for _ in range(6))
    with pytest.warns(UserWarning) as caught:
        finish(narration(Book("B", (Chapter("", text), Chapter("", text)))))
    assert ["☃" in str(w.message) for w in caught] == [True]


def test_progress_rises_and_names_the_chapter(narration: Callable[..., Narration]) -> None:
    seen: list[tuple[str, float]] = []
    for _ in narration().speak(lambda *report: seen.append(report)):
        pass
    done = [part for _, part in seen]
    assert done == sorted(done) and done[0] < 0.1 and done[-1] == pytest.approx(1.0)
    assert list(dict.fromkeys(what for what, _ in seen)) == [f"speaking chapter {n} of 2" for n in (1, 2)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"chapters": "tracks"}, "chapters is 'tracks'"),
        ({"captions": Path("a.txt")}, "srt, vtt"),
        ({"retries": -1}, "retries is -1"),
        ({"speed": 0.0}, "speed is 0"),
        ({"output": "book.xyz"}, "unknown sound format 'xyz'"),
        ({"output": "no/book.wav"}, "does not exist"),
        ({"book": Book("", (), (Cue(0, 1, "A."),)), "chapters": "files"}, "subtitles have no chapters"),
        ({"book": Book("", (), (Cue(0, 1, "♪"),))}, "subtitles have nothing"),
    ],
)
def test_bad_options_are_refused(
    narration: Callable[..., Narration], system: Tones, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        finish(narration(**options))
    assert system.asked == [] and list(Path().iterdir()) == []


# --- resuming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SynthesisError("the model made noise"), OSError(28, "full")])
@pytest.mark.parametrize("pieces", [11, 30])
def test_stopped_work_resumes_and_gives_the_same_result(
    narration: Callable[..., Narration], system: Tones, error: BaseException, pieces: int
) -> None:
    finish(narration(output="whole.wav", captions=Path("whole.srt")))
    whole = len(system.asked)
    system.asked.clear()
    stop_after(system, pieces, error)
    stopped = narration(captions=Path("book.srt"))
    with pytest.raises(type(error)):
        finish(stopped)
    assert stopped.work == Path("book.wav.partial") and not Path("book.wav").exists()
    assert [p.name for p in Path().iterdir() if p.name.startswith((".", "book"))] == ["book.wav.partial"]
    resumed = finish(narration(captions=Path("book.srt")))
    assert len(system.asked) < whole + 12 and resumed.kept > 15
    assert np.array_equal(sound(), sound("whole.wav"))
    assert Path("book.srt").read_text() == Path("whole.srt").read_text()
    assert not Path("book.wav.partial").exists()


def stopped(narration: Callable[..., Narration], system: Tones, **options: Any) -> Narration:
    stop_after(system, 20, KeyboardInterrupt())
    begun = narration(**options)
    with pytest.raises(KeyboardInterrupt):
        finish(begun)
    return begun


def test_without_a_seed_resumed_work_keeps_its_own(narration: Callable[..., Narration], system: Tones) -> None:
    begun = stopped(narration, system, seed=None)
    resumed = finish(narration(seed=None))
    assert resumed.kept and resumed.seed == begun.seed
    finish(narration(output="whole.wav", seed=begun.seed))
    assert np.array_equal(sound(), sound("whole.wav"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"speed": 2.0}, "another speed;"),
        ({"seed": 4}, "another seed;"),
        ({"lang": "fr"}, "another language;"),
        ({"model": {"model": "mine"}}, "another model;"),
        ({"book": Book("The Book", (*BOOK.chapters, Chapter("", "The end.")))}, "another text;"),
    ],
)
def test_another_text_or_option_starts_over_and_renames_the_old_work(
    narration: Callable[..., Narration], system: Tones, change: dict[str, Any], named: str
) -> None:
    stopped(narration, system)
    old = sorted(path.name for path in Path("book.wav.partial").iterdir())
    with pytest.warns(UserWarning, match=named) as caught:
        again = narration(**change)
    assert "book.wav.partial.1" in str(caught[0].message)
    assert sorted(path.name for path in Path("book.wav.partial.1").iterdir()) == old
    assert finish(again).kept == 0 and Path("book.wav").exists() and not Path("book.wav.partial").exists()


def test_other_output_files_of_the_same_speech_resume_it(narration: Callable[..., Narration], system: Tones) -> None:
    stopped(narration, system)
    assert finish(narration(chapters="files", captions=Path("book.vtt"))).kept > 15
    assert "book-02 Chapter two.vtt" in [p.name for p in Path().iterdir()]


def test_a_damaged_section_is_spoken_again(narration: Callable[..., Narration], system: Tones) -> None:
    finish(narration(output="whole.wav"))
    stopped(narration, system)
    Path("book.wav.partial/00000.flac").write_bytes(b"fLaC")
    Path("book.wav.partial/notes.txt").write_text("mine")
    finish(narration())
    assert np.array_equal(sound(), sound("whole.wav"))
    assert [p.name for p in Path("book.wav.partial").iterdir()] == ["notes.txt"]


def test_a_folder_that_is_not_ours_is_left_alone(narration: Callable[..., Narration]) -> None:
    Path("book.wav.partial").mkdir()
    for content in (None, "{}", json.dumps({"format": 99, "seed": 1, "identity": {}})):
        if content is not None:
            Path("book.wav.partial/manifest.json").write_text(content)
        with pytest.raises(ValueError, match=r"book.wav.partial is in the way"):
            narration()


# --- subtitles, spoken at their times --------------------------------------------------------------------------------
CUES = (
    Cue(1.0, 3.0, "The road was [quite] empty."),
    Cue(4.0, 5.0, "They walked on until the first houses came."),  # 2.2 s, where there is room for 1.7
    Cue(5.7, 6.0, "And there, in the evening, they stopped at last."),  # 2.4 s, room for 0.9
    Cue(6.6, 7.0, "♪"),
    Cue(6.6, 7.0, "So it ended."),
)


def test_cues_are_spoken_at_their_times_faster_where_needed(narration: Callable[..., Narration], system: Tones) -> None:
    with pytest.warns(UserWarning) as caught:
        finish(narration(Book("film", (), CUES), captions=Path("out.srt")))
    assert [str(w.message) for w in caught] == [
        "1 of 5 cues have no words and are left out",
        "1 of 4 cues run into the next, though spoken up to 1.5 times faster: 0:00:05 by 0.7 s",
    ]
    speeds = [job.options.speed for job in system.asked]
    assert speeds[0] == 1.0 and 1.2 < speeds[1] < 1.4 and speeds[2:] == [FASTEST, 1.0]
    whole = np.abs(sound().astype(np.float32))
    for start in (1.0, 4.0, 5.7):
        assert whole[round(start * RATE) :][: RATE // 20].max() > 100
    assert not whole[:RATE].any() and not whole[round(2.5 * RATE) : 4 * RATE].any()
    heard = [job.piece.text for job in system.asked]
    assert heard[0] == "The road was quite empty." or "quite" in heard[0]
    late = 5.7 + len(CUES[2].text) * SECONDS_PER_CHARACTER / FASTEST
    spoken = parse_cues(Path("out.srt").read_text(encoding="utf-8")).cues
    assert spoken[-1].start == pytest.approx(late, abs=0.05)


def test_cues_resume_where_they_stopped(narration: Callable[..., Narration], system: Tones) -> None:
    book = Book("film", (), CUES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        finish(narration(book, "whole.wav"))
        stop_after(system, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            finish(narration(book))
        system.asked.clear()
        finish(narration(book))
    assert len(system.asked) == 2
    assert np.array_equal(sound(), sound("whole.wav"))


def test_cues_an_hour_apart_take_no_memory(narration: Callable[..., Narration]) -> None:
    book = Book("film", (), (Cue(0.0, 1.0, "First."), Cue(3600.0, 3601.0, "Second.")))
    tracemalloc.start()
    try:
        done = finish(narration(book, "film.flac"))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000  # an hour is 345 MB
    finally:
        tracemalloc.stop()
    assert 3600 < done.seconds < 3602
    assert soundfile.info("film.flac").duration == pytest.approx(done.seconds)


# --- long silence ----------------------------------------------------------------------------------------------------
PAUSES = Book("", (Chapter("", f"{LONG} [pause 60s][pause 60s]And then. {LONG} [pause 60s]{LONG} {LONG}"),))


def test_long_silence_is_kept_as_a_length(narration: Callable[..., Narration], system: Tones, voice: Voice) -> None:
    finish(narration(PAUSES, "whole.flac", captions=Path("whole.srt")))
    stop_after(system, 16, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        finish(narration(PAUSES, "book.flac", captions=Path("book.srt")))
    kept = [soundfile.info(path).duration for path in Path("book.flac.partial").glob("*.flac")]
    assert kept and max(kept) < 60
    resumed = finish(narration(PAUSES, "book.flac", captions=Path("book.srt")))
    assert resumed.kept > 100
    assert np.array_equal(sound("book.flac"), sound("whole.flac"))
    assert Path("book.srt").read_text() == Path("whole.srt").read_text()


# --- two at once -----------------------------------------------------------------------------------------------------


def test_two_on_one_output_do_not_mix(narration: Callable[..., Narration]) -> None:
    first, second = narration(), narration()
    speaking = first.speak()
    next(speaking)
    with pytest.raises(ValueError, match=r"book.wav is in use by"):
        next(second.speak())
    with pytest.raises(ValueError, match=r"book.wav is in use by"):
        narration(seed=4)
    for _ in speaking:
        pass
    assert [path.name for path in Path().iterdir()] == ["book.wav"]
    finish(second)
