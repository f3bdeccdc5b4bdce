"""Subtitles: what a viewer sees, and what a file of them says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce import subtitles
from vivavoce.pieces import Word
from vivavoce.speech import Speech
from vivavoce.subtitles import Cue


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


def test_what_the_formats_use_themselves_is_no_text() -> None:
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
def test_every_word_is_shown_once_in_order_while_it_is_heard(said: list[tuple[str, float, float]]) -> None:
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


def test_read_srt_gives_back_what_srt_wrote() -> None:
    words = spoken("The sun has set behind the hills. We went home.", pauses={"hills.": 1.0})
    cues = subtitles.read_srt(subtitles.srt(words))
    assert [cue.text for cue in cues] == ["The sun has set behind the hills.", "We went home."]
    assert [cue.start for cue in cues] == pytest.approx([0.0, words[7].start], abs=1e-3)


def test_read_srt_takes_files_as_they_are_found() -> None:
    text = (
        "\r\n1\r\n00:00:01,000 --> 00:00:02.5  X1:10 X2:20\r\n<i>Good</i>\r\n{\\an8}- morning &amp; [sighs]\r\n\r\n\r\n"
        "2\r\n00:00:10,000 --> 00:00:11,000\r\n\r\n3\r\n0:0:05,5 --> 0:0:06,0\r\n1984\r\n"
    )
    assert subtitles.read_srt(text) == [Cue(1.0, 2.5, "Good morning & [sighs]"), Cue(5.5, 6.0, "1984")]
    assert subtitles.read_srt("00:00:01,000 --> 00:00:02,000\n7\n\n00:00:03,000 --> 00:00:04,000\nB") == [
        Cue(1.0, 2.0, "7"),
        Cue(3.0, 4.0, "B"),
    ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Just a text.", "film.srt has no times"),
        ("1\n00:00:01,000 -> 00:00:02,000\nA", "has no times"),
        ("1\n00:00:01 --> x\nA", "film.srt: line 2, '00:00:01 --> x'"),
        ("1\n00:00:02,000 --> 00:00:01,000\nA", "line 2.*ends before it begins"),
    ],
)
def test_what_is_no_subrip_names_the_line(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        subtitles.read_srt(text, "film.srt")


def test_words_without_times_are_spread_over_what_is_heard() -> None:
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
