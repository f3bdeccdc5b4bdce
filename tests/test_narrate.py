"""Books to sound files, over the stand-in for a model of test_synthesis.py: a tone of 50 ms a character."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from test_synthesis import LONG, RATE, SECONDS_PER_CHARACTER, Tones

from vivavoce import books, cli, generate, narrate, subtitles
from vivavoce.books import Book, Chapter
from vivavoce.narrate import CHAPTER_PAUSE, FASTEST, Narration
from vivavoce.pieces import Job, Made
from vivavoce.subtitles import Cue
from vivavoce.synthesis import TTS, SynthesisError
from vivavoce.voices import Voice

PARAGRAPHS = "\n\n".join(f"{LONG} This is paragraph {word}." for word in "one two three".split())
BOOK = Book("The Book", tuple(Chapter(f"Chapter {n}", f"Chapter {n}\n\n{PARAGRAPHS}") for n in ("one", "two")))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vivavoce.speaking.check", lambda *_, **__: [])  # a tone is no good speech
    monkeypatch.setattr(narrate, "SECTION", 10.0)


@pytest.fixture
def system() -> Tones:
    return Tones()


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


def stop_after(system: Tones, pieces: int, error: BaseException) -> None:
    """Let the system fail when it has made so many more pieces; its next calls work again."""
    count, waves = itertools.count(1), Tones.waves

    def failing(jobs: list[Job], progress: Any = None) -> list[Made]:
        if next(count) > pieces:
            del system.waves  # type: ignore[attr-defined]
            raise error
        return waves(system, jobs, progress)

    system.waves = failing  # type: ignore[method-assign]


# --- what comes of a book --------------------------------------------------------------------------------------------


def test_a_short_text_sounds_as_speak_has_it(narration: Callable[..., Narration], system: Tones, voice: Voice) -> None:
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
    first = subtitles.read_srt(Path(f"{names[1]}.srt").read_text(encoding="utf-8"))[0]
    assert first.start == 0.0 and first.text == "Chapter two"


def test_subtitles_say_what_is_heard_when_over_the_whole_file(narration: Callable[..., Narration]) -> None:
    finish(narration(captions=Path("book.vtt")))
    cues = subtitles.read_srt(Path("book.vtt").read_text(encoding="utf-8").replace(".", ","))
    said = " ".join(cue.text for cue in cues)
    assert said.count("they stopped") == 6 and said.startswith("Chapter one")
    whole = sound().astype(np.float32)
    for cue in cues:
        assert np.abs(whole[round(cue.start * RATE) :][: RATE // 10]).max() > 100, cue


def test_words_without_times_are_estimated_and_told_of(
    narration: Callable[..., Narration], system: Tones, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Tones.waves
    monkeypatch.setattr(system, "waves", lambda *a: [Made(m.samples) for m in made(system, *a)])
    with pytest.warns(UserWarning, match="estimates") as caught:
        finish(narration(captions=Path("book.srt")))
    assert len(caught) == 1
    cues = subtitles.read_srt(Path("book.srt").read_text(encoding="utf-8"))
    assert cues[-1].end == pytest.approx(len(sound()) / RATE, abs=1.0)


def test_chapters_with_nothing_to_say_are_left_out_with_a_notice(narration: Callable[..., Narration]) -> None:
    book = Book("B", (Chapter("Empty", " "), Chapter("One", "Hello there."), Chapter("Far", "你好。")))
    with pytest.warns(UserWarning) as caught:
        finish(narration(book, chapters="files"))
    assert [p.name for p in Path().iterdir()] == ["book-01 One.wav"]
    told = [str(w.message) for w in caught]
    assert "chapter 1 (Empty) has nothing" in told[0] and "chapter 3 (Far) has nothing" in told[1]
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


def test_the_same_character_that_cannot_be_spoken_is_told_of_once(narration: Callable[..., Narration]) -> None:
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


# --- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SynthesisError("the model made noise"), OSError(28, "full")])
@pytest.mark.parametrize("pieces", [11, 30])
def test_what_was_stopped_goes_on_and_comes_out_the_same(
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


def test_without_a_seed_it_goes_on_with_that_of_the_work(narration: Callable[..., Narration], system: Tones) -> None:
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
def test_another_text_or_option_begins_anew_and_puts_the_old_work_aside(
    narration: Callable[..., Narration], system: Tones, change: dict[str, Any], named: str
) -> None:
    stopped(narration, system)
    old = sorted(path.name for path in Path("book.wav.partial").iterdir())
    with pytest.warns(UserWarning, match=named) as caught:
        again = narration(**change)
    assert "book.wav.partial.1" in str(caught[0].message)
    assert sorted(path.name for path in Path("book.wav.partial.1").iterdir()) == old
    assert finish(again).kept == 0 and Path("book.wav").exists() and not Path("book.wav.partial").exists()


def test_other_files_of_the_same_speech_go_on_with_it(narration: Callable[..., Narration], system: Tones) -> None:
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
    spoken = subtitles.read_srt(Path("out.srt").read_text(encoding="utf-8"))
    assert spoken[-1].start == pytest.approx(late, abs=0.05)


def test_cues_go_on_where_they_stopped(narration: Callable[..., Narration], system: Tones) -> None:
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


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, system: Tones) -> Callable[..., int]:
    monkeypatch.setitem(sys.modules, "vivavoce.checkpoints", types.SimpleNamespace(load_system=lambda *_: system))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    return lambda *arguments: generate.run(cli.app, arguments)


@pytest.mark.parametrize("extension", ["txt", "md", "html", "srt"])
def test_speak_reads_files_of_every_kind(extension: str, command: Callable[..., int], system: Tones) -> None:
    text = {
        "html": "<title>T</title><p>Hello <b>there</b>.",
        "srt": "1\n00:00:01,000 --> 00:00:02,000\nHello there.",
        "md": "Hello *there*.",
    }
    Path(f"book.{extension}").write_text(text.get(extension, "Hello there."))
    assert command("--file", f"book.{extension}", "-o", "book.mp3", "--subtitles", "book.vtt") == 0
    assert [job.piece.text for job in system.asked] == ["Hello there."]
    assert soundfile.info("book.mp3").duration > 0.5 and "Hello there." in Path("book.vtt").read_text()


def test_ctrl_c_says_where_the_work_is_and_the_same_command_goes_on(
    command: Callable[..., int], system: Tones, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book.md").write_text("\n\n".join(f"# {c.title}\n\n{PARAGRAPHS}" for c in BOOK.chapters))
    stop_after(system, 20, KeyboardInterrupt())
    line = ("speak", "--file", "book.md", "-o", "book.mp3", "--chapters", "files")
    assert command(*line) == 130
    notice, interrupted = capsys.readouterr().err.splitlines()
    assert "kept in book.mp3.partial; the same command goes on" in notice and interrupted == "interrupted"
    assert command(*line) == 0
    out = capsys.readouterr().out
    assert "of it kept from before" in out and "book-01 Chapter one.mp3 and book-02 Chapter two.mp3" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--file", "book.md", "-o", "a.mp3", "--chapters", "many"], "--chapters is 'many'; it must be one of marks"),
        (["--file", "book.md", "-o", "a.mp3", "--subtitles", "a.ass"], "srt, vtt"),
        (["--file", "wrong.md", "-o", "a.mp3"], "chapter 'Two': line 3, column 1: [pause]"),
        (["--file", "book.epub", "-o", "a.mp3"], "book.epub is no epub"),
        (["--file", "none.epub", "-o", "a.mp3"], "--file none.epub: No such file"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], named: str, command: Callable[..., int], system: Tones, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("book.md").write_text("Hello.")
    Path("wrong.md").write_text("# One\n\nA\n\n# Two\n\n[pause]")
    Path("book.epub").write_text("Hello.")
    before = sorted(Path().iterdir())
    assert command(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line
    assert system.asked == [] and sorted(Path().iterdir()) == before


def test_what_is_left_out_of_a_file_is_told(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    Path("book.md").write_text("Hello.\n\n```\ncode\n```\n")
    assert command("--file", "book.md", "-o", "a.wav") == 0
    assert "notice: left out, for it is no text to be read: 1 block of code" in capsys.readouterr().err
    assert books.read("book.md").notices


# --- benchmarks/long.py ----------------------------------------------------------------------------------------------


def test_long_speech_is_measured_at_both_ends(
    system: Tones, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("resource")
    spec = importlib.util.spec_from_file_location("long", root / "benchmarks" / "long.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "long", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.vivavoce, "load", lambda *_: TTS(system))
    monkeypatch.setattr(module, "PASSAGE", 4)
    waves, drift = system.waves, itertools.count()

    def slower(jobs: list[Job], progress: Any = None) -> list[Made]:
        """Each piece a little longer than the one before."""
        extra = 1 + 0.01 * next(drift)
        return [Made(np.resize(made.samples, round(extra * len(made.samples)))) for made in waves(jobs, progress)]

    monkeypatch.setattr(system, "waves", slower)
    assert module.main(["--minutes", "0.5", "--by", "stream", "--json", "long.json"]) == 0
    found = json.loads(Path("long.json").read_text())
    assert found["first"]["words_a_minute"] > found["last"]["words_a_minute"] > 0
    assert found["drift_pace_percent"] < -2 and abs(found["drift_db"]) < 0.5
    assert found["book_mb"] >= found["peak_mb"] > 10
    assert "words a minute" in capsys.readouterr().out
