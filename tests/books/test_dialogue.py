"""Voices for the speakers of a book: quotations, scripts, subtitles, and the table of lines that people correct."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tones import Tones

from vivavoce.books import readers
from vivavoce.books.book import Book, Chapter
from vivavoce.books.cues import parse_cues
from vivavoce.books.dialogue import Line, assign, describe, read_cast, read_lines, write_lines
from vivavoce.books.narrate import Narration
from vivavoce.synthesis.tts import TTS

ALICE = """“Curiouser and curiouser!” cried Alice.

“You are late,” said the White Rabbit, “and the Duchess waits.”

“I am sorry.”

Alice replied nothing more. He thought of tea.

The Hatter opened his eyes and asked, “Why is a raven like a desk?”"""
CAST = {"Alice": "luna", "White Rabbit": "orion"}


def book(*texts: str) -> Book:
    return Book("", tuple(Chapter("", text) for text in texts))


def spoken(text: str, cast: dict[str, str] | None = None, dialogue: str = "") -> list[tuple[str, str, str]]:
    lines = assign(book(text), cast or {}, dialogue)[1]
    return [(line.speaker, line.voice, line.text) for line in lines]


def test_what_stands_in_quotation_marks_has_another_voice() -> None:
    made = assign(book(ALICE), {}, "rhea")[0].text
    assert made.startswith("[voice:rhea]“Curiouser and curiouser!”[/voice] cried Alice.")
    assert "[voice:rhea]“You are late,”[/voice] said the White Rabbit, [voice:rhea]“and the" in made
    assert made.count("[voice:") == 5


def test_the_nearest_said_name_says_who_speaks() -> None:
    assert [(speaker, voice) for speaker, voice, _ in spoken(ALICE, CAST, "rhea")] == [
        ("Alice", "luna"),
        ("White Rabbit", "orion"),
        ("White Rabbit", "orion"),
        ("Alice", "luna"),  # a conversation of two: the speaker before last
        ("Hatter", "rhea"),
    ]


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("“No,” Mr. Darcy answered.", "Mr. Darcy"),
        ("Elizabeth quietly said, “No.”", "Elizabeth"),
        ("“No,” he said.", ""),
        ('"No," said Tom. The boy whom Ann called was gone.', "Tom"),
        ("«No», said Ludwig van Beethoven.", "Ludwig van Beethoven"),
        ("‘Don’t go,’ said Pip, ‘it’s late.’", "Pip"),
        ("„Nein“, said Hans.", "Hans"),
    ],
)
def test_attributions(text: str, speaker: str) -> None:
    assert {name for name, _, _ in spoken(text)} == {speaker}


def test_apostrophes_are_no_quotations() -> None:
    assert spoken("The dogs’ owners don’t mind ‘em.") == []


def test_a_quotation_that_goes_on_in_the_next_paragraph() -> None:
    assert [text for _, _, text in spoken("“I begin here.\n\n“And end here,” said Tom.")] == [
        "“I begin here.",
        "“And end here,”",
    ]


def test_scripts_name_the_speaker_and_the_name_is_not_spoken() -> None:
    made, lines = assign(book("ALICE: How late it is!\n\nHatter: Tea.\n\nNote: no line."), {**CAST, "Hatter": "nash"})
    assert [line.speaker for line in lines] == ["Alice", "Hatter"]
    assert made.text == "[voice:luna]How late it is![/voice]\n\n[voice:nash]Tea.[/voice]\n\nNote: no line."


def test_a_part_of_a_name_is_enough_if_it_is_the_only_one() -> None:
    cast = {"Elizabeth Bennet": "luna", "Jane Bennet": "rhea"}
    assert [voice for _, voice, _ in spoken("“No,” said Elizabeth.\n\n“No,” said Miss Bennet.", cast)] == ["luna", ""]


def test_the_table_of_lines_can_be_corrected_and_read_back(tmp_path: Path) -> None:
    path, source = tmp_path / "lines.tsv", book(ALICE, "“Again,” said Alice.")
    lines = assign(source, CAST)[1]
    write_lines(path, lines)
    assert read_lines(path) == list(lines)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("1\t4\tAlice\tluna", "1\t4\tHatter\tnash"), encoding="utf-8")
    corrected = assign(source, CAST, corrected=read_lines(path))
    assert [(line.speaker, line.voice) for line in corrected[1]][3] == ("Hatter", "nash")
    assert "[voice:nash]“I am sorry.”[/voice]" in corrected[0].text
    assert corrected[1][0] == lines[0]


def test_a_new_speaker_has_the_voice_of_the_cast(tmp_path: Path) -> None:
    source = book("“No,” said Tom.")
    wrong = Line(1, 1, "Alice", "", "“No,”")
    assert assign(source, CAST, corrected=[wrong])[1][0].voice == "luna"


def test_wrong_tables(tmp_path: Path) -> None:
    path = tmp_path / "cast.tsv"
    for text, problem in (
        ("Alice luna", "line 1, 'Alice luna': must be a name, a tab and a voice"),
        ("Alice\tnobody", "line 1: unknown voice 'nobody'; there are celeste"),
        ("# nothing", "the cast is empty"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=problem):
            read_cast(path)
    path.write_text("chapter\tline\tspeaker\tvoice\ttext\n1\tx\tA\tluna\t.\n")
    with pytest.raises(ValueError, match="line 2 must have the numbers"):
        read_lines(path)
    with pytest.raises(ValueError, match="line 9 of chapter 1, 'Hm', is not in the book"):
        assign(book(ALICE), {}, corrected=[Line(1, 9, "Alice", "", "Hm")])
    with pytest.raises(ValueError, match="but 'Hm' in the table"):
        assign(book(ALICE), {}, corrected=[Line(1, 1, "Alice", "", "Hm")])


def test_a_notice_says_who_speaks() -> None:
    lines = assign(book(ALICE), CAST, "rhea")[1]
    assert describe(lines) == "5 lines in dialogue: Alice 2 (luna), White Rabbit 2 (orion), Hatter 1 (rhea)"
    assert describe([]) == ""


def test_speakers_of_subtitles_get_their_voices(system: Tones, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.synthesis.synthesizer.check", lambda *_, **__: [])
    text = (
        "WEBVTT\n\n00:01.000 --> 00:03.000\nALICE: How late!\n\n00:04.000 --> 00:06.000\n<v White Rabbit>Hurry up.\n\n"
        "00:07.000 --> 00:09.000\nNobody is named."
    )
    cues = parse_cues(text).cues
    assert [cue.speaker for cue in cues] == ["Alice", "White Rabbit", ""]
    made = assign(Book("", (), cues), CAST, "rhea")[0]
    for _ in Narration(TTS(system), made, Path("a.wav"), "nash", seed=1).speak():
        pass
    assert [request.voice.name for request in system.asked] == ["luna", "orion", "nash"]


def test_a_book_of_many_lines_takes_little_time() -> None:
    Path("a.txt").write_text("“No,” said Alice. " * 20_000 + "‘" * 20_000 + "“" * 20_000)
    assert len(assign(readers.read("a.txt"), CAST)[1]) >= 20_000
