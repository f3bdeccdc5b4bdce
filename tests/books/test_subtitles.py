"""Subtitles: what a viewer sees, and what a file of them says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.books import subtitles
from vivavoce.books.book import Cue
from vivavoce.books.cues import parse_cues
from vivavoce.synthesis.speech import Speech
from vivavoce.systems.interface import Word


def spoken(text: str, each: float = 0.3, start: float = 0.0, pauses: dict[str, float] | None = None) -> list[Word]:
    """Words of `each` seconds; after those in `pauses` comes silence."""
    words = []
    for word in text.split():
        words.append(Word(word, start, start + each))
        start += each + (pauses or {}).get(word, 0.0)
    return words


def test_srt_is_numbered_with_commas_and_vtt_begins_with_its_name() -> None:
    words = spoken("Good morning. Nice to see you.", start=3661.5, pauses={"morning.": 2.0})
    assert subtitles.srt(words) == (
        "1\n01:01:01,500 --> 01:01:02,700\nGood morning.\n\n2\n01:01:04,100 --> 01:01:05,800\nNice to see you.\n"
    )
    head, first, second = subtitles.vtt(words).split("\n\n")
    assert head == "WEBVTT" and first == "01:01:01.500 --> 01:01:02.700\nGood morning."
    assert second.endswith("Nice to see you.\n")


def test_characters_of_the_formats_are_escaped() -> None:
    words = spoken("a <b> & c --> d")
    assert "a &lt;b&gt; &amp; c --&gt; d" in subtitles.vtt(words)
    assert subtitles.srt(words).count("-->") == 1
    assert subtitles.srt([]) == "" and subtitles.vtt([]).startswith("WEBVTT")


def test_cues_end_with_sentences_and_at_pauses() -> None:
    words = spoken("The sun set. We went home and", pauses={"home": 0.8})
    assert [cue.text for cue in subtitles.cues(words)] == ["The sun set. We went home", "and"]
    words = spoken("The sun has set behind the hills. We went home.")
    assert [cue.text for cue in subtitles.cues(words)] == ["The sun has set behind the hills.", "We went home."]


def test_a_long_sentence_is_cut_at_a_clause_and_folded_into_two_even_lines() -> None:
    said = (
        "When the sunlight strikes raindrops in the air, they act like a prism, and they form a rainbow that is "
        "a division of white light into many beautiful colours"
    )
    first, *rest = subtitles.cues(spoken(said, each=0.2))
    assert first.text == "When the sunlight strikes raindrops\nin the air, they act like a prism,"
    assert " ".join(cue.text.replace("\n", " ") for cue in [first, *rest]) == said


def test_a_cue_stays_a_moment_where_there_is_time() -> None:
    first, second, third = subtitles.cues(spoken("One. Two. Three.", each=0.4, pauses={"One.": 5.0, "Two.": 0.7}))
    assert first.end - first.start >= subtitles.SHORTEST
    assert second.end <= third.start


@given(
    st.lists(
        st.tuples(
            st.text("abcdefghij.,!?—-<&", min_size=1, max_size=60),
            st.floats(0, 3, allow_subnormal=False),
            st.floats(0, 2, allow_subnormal=False),
        ),
        max_size=60,
    )
)
def test_every_word_is_shown_once_in_order_while_it_is_spoken(said: list[tuple[str, float, float]]) -> None:
    words, now = [], 0.0
    for text, length, pause in said:
        words.append(Word(text, now, now + length))
        now += length + pause
    cues = subtitles.cues(words)
    assert " ".join(cue.text for cue in cues).split() == [word.text for word in words]
    assert all(before.end <= after.start for before, after in pairwise(cues))
    assert all(cue.start <= cue.end for cue in cues)
    for cue in cues:
        lines = cue.text.split("\n")
        assert len(lines) <= 2 or any(len(line) > subtitles.LINE for line in lines)
        assert all(len(line) <= subtitles.LINE or " " not in line for line in lines)


def test_cues_survive_writing_and_parsing() -> None:
    words = spoken("The sun has set behind the hills. We went home.", pauses={"hills.": 1.0})
    for text in (subtitles.srt(words), subtitles.vtt(words)):
        cues = parse_cues(text).cues
        assert [cue.text for cue in cues] == ["The sun has set behind the hills.", "We went home."]
        assert [cue.start for cue in cues] == pytest.approx([0.0, words[7].start], abs=1e-3)


def test_srt_files_as_they_are_found() -> None:
    text = (
        "\r\n1\r\n00:00:01,000 --> 00:00:02.5  X1:10 X2:20\r\n<i>Good</i>\r\n{\\an8}- morning &amp; all\r\n\r\n\r\n"
        "2\r\n00:00:10,000 --> 00:00:11,000\r\n\r\n3\r\n0:0:05,5 --> 0:0:06,0\r\n1984\r\n"
    )
    parsed = parse_cues(text, "film.srt")
    assert parsed.cues == (Cue(1.0, 2.5, "Good morning & all"), Cue(5.5, 6.0, "1984"))
    assert parsed.notices == ("film.srt: the cues are not in order of time; they are sorted",)
    assert parse_cues("00:00:01,000 --> 00:00:02,000\n7\n\n00:00:03,000 --> 00:00:04,000\nB").cues == (
        Cue(1.0, 2.0, "7"),
        Cue(3.0, 4.0, "B"),
    )


def test_vtt_is_read_as_vtt() -> None:
    text = (
        "WEBVTT Kind: captions; Language: en\n\nSTYLE\n::cue { color: red }\n\nNOTE a --> b\nnot spoken\n\nintro\n"
        "00:01.000 --> 00:02.500 align:start position:0%\n<v Roger Bingham>We are in <c.red>New</c> <00:02.000>York\n\n"
        "01:00:03.000 --> 01:00:04.000\n&lt;Hello&gt;\n"
    )
    assert parse_cues(text).cues == (Cue(1.0, 2.5, "We are in New York"), Cue(3603.0, 3604.0, "<Hello>"))


def test_sound_notes_and_speakers_are_not_spoken() -> None:
    lines = ["[door slams]", "JOHN: Who is [quietly] there?", "(laughs)", "♪ La la ♪", "He said (so) much."]
    text = "\n".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},900\n{line}\n" for n, line in enumerate(lines, 1))
    parsed = parse_cues(text)
    assert [cue.text for cue in parsed.cues] == ["Who is there?", "La la", "He said (so) much."]
    assert parsed.notices == ("left out of the subtitles: 4 sound notes, 1 name of a speaker",)


def test_a_cue_that_ends_before_it_begins_keeps_its_start() -> None:
    parsed = parse_cues("1\n00:00:02,000 --> 00:00:01,000\nA", "film.srt")
    assert parsed.cues == (Cue(2.0, 2.0, "A"),)
    assert parsed.notices == ("film.srt: 1 of 1 cues end before they begin; only their start counts",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Just a text.", "film.srt has no times"),
        ("1\n00:00:01,000 -> 00:00:02,000\nA", "has no times"),
        ("1\n00:00:01 --> x\nA", "film.srt: line 2, '00:00:01 --> x'"),
    ],
)
def test_wrong_times_name_the_line(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse_cues(text, "film.srt")


def test_words_without_times_are_spread_over_the_sound() -> None:
    sound = np.concatenate([np.zeros(100), np.ones(800), np.zeros(100)]).astype(np.float32)
    words = subtitles.timed(Speech(sound, 1000, "abc defghij kl")).words
    assert [word.text for word in words] == ["abc", "defghij", "kl"]
    assert words[0].start == pytest.approx(0.1) and words[-1].end == pytest.approx(0.9)
    lengths = [word.end - word.start for word in words]
    assert lengths[1] > lengths[0] > lengths[2]
    known = Speech(sound, 1000, "a b", words=(Word("a", 0, 1),))
    assert subtitles.timed(known) is known


def test_files_by_their_extension(tmp_path: Path) -> None:
    subtitles.write(tmp_path / "a.VTT", spoken("Hello."))
    subtitles.write(tmp_path / "a.srt", spoken("Hello."))
    assert (tmp_path / "a.VTT").read_text(encoding="utf-8").startswith("WEBVTT")
    assert re.match(r"1\n00:00:00,000 --> ", (tmp_path / "a.srt").read_text(encoding="utf-8"))
    for name, named in {"a.txt": "srt, vtt", "no/a.srt": "does not exist"}.items():
        with pytest.raises(ValueError, match=named):
            subtitles.check(tmp_path / name)
