"""Prosody as numbers: what a network reads, and what is out of range."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vivavoce.models.nanospeech import PROSODY
from vivavoce.text.markup import MarkupParser
from vivavoce.text.prosody import (
    CHANNELS,
    HIDDEN,
    STYLES,
    WORDS,
    Prosody,
    channels,
    parse_energy,
    parse_factor,
    parse_instructions,
    parse_pitch,
)


def test_neutral_is_zero_and_the_limits_of_training_are_one() -> None:
    rows = channels([Prosody(), Prosody(3, 1.5, 6, 1.25, 1), Prosody(-1.5, 1 / 1.5, -3, 0.8)])
    np.testing.assert_allclose(rows, [[0] * 6, [1, 1, 1, 1, 1, 0], [-0.5, -1, -0.5, -1, 0, 0]], atol=1e-6)
    assert rows.dtype == np.float32 and channels([]).shape == (0, PROSODY)
    assert len(CHANNELS) == len(HIDDEN) == PROSODY


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pitch": 7}, "pitch is 7; it must be from -6 to 6 semitones"),
        ({"range": 0}, "range is 0; it must be from 0.3 to 2"),
        ({"energy": float("nan")}, "energy is nan; it must be from -12 to 8 dB"),
        ({"pace": 3}, "pace is 3; it must be from 0.5 to 2"),
    ],
)
def test_a_number_out_of_range_is_named(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prosody(**wrong)


def test_values_with_their_units() -> None:
    assert [parse_pitch(v) for v in ("+2st", "-1.5", "2 st", ".5")] == [2, -1.5, 2, 0.5]
    assert [parse_energy(v) for v in ("+3dB", "-6", "3 db")] == [3, -6, 3]
    assert parse_factor("1.3", "range") == 1.3
    for parse, wrong in ((parse_pitch, "high"), (parse_pitch, "9"), (parse_energy, "3st"), (parse_energy, "1e1")):
        with pytest.raises(ValueError, match=r"(pitch|energy) is "):
            parse(wrong)
    with pytest.raises(ValueError, match="pace is '1.3x'; use a form such as 1.3"):
        parse_factor("1.3x", "pace")


def test_tags_nest_by_name_and_end_by_name() -> None:
    text = "a[pitch +2]b[em]c[/em]d[energy -3dB]e[/pitch]f[/energy]g[range 1.3]h"
    made = {segment.text: segment.prosody for segment in MarkupParser().parse(text)}
    assert made == {
        "a": Prosody(),
        "b": Prosody(pitch=2),
        "c": Prosody(pitch=2, stress=1),
        "d": Prosody(pitch=2),
        "e": Prosody(pitch=2, energy=-3),
        "f": Prosody(energy=-3),
        "g": Prosody(),
        "h": Prosody(range=1.3),
    }


def test_brackets_that_are_no_prosody_tags_are_text() -> None:
    text = (
        "[Pitch] [range of values] [energy] [pitch black] [range 5 miles] [pitch 5 tents] [range 5-10] [em dash] "
        "[range -40 to 85] [Pitch 2] [volume 3] [patch 2.1] [style guide] [pace 4] [EM] [emphasis added] [range: 5]"
    )
    assert [segment.text for segment in MarkupParser().parse(text)] == [text]
    for wrong in ("a[pitch +9]b", "a[/em]b", "a[energy 3st]b"):
        with pytest.raises(ValueError, match="line 1, column 2"):
            MarkupParser().parse(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("[em 1]hi[/em]", r"\[em 1\]: the tag has no value, but '1' follows; use the form \[em\]"),
        ("[em strong]hi[/em]", "the tag has no value, but 'strong' follows"),
        ("[pitch up]hi[/pitch]", r"^line 1, column 1: \[pitch up\]: a number .* 'up'.* use the form \[pitch \+2\]"),
        ("[energy very loud]", r"\[energy very loud\]: a number is needed"),
        ("[pitch black]hi[/pitch]", r"\[pitch black\] is not a tag; use the form \[pitch \+2\]"),
        ("[emphasis strong]", "the tag has no value, but 'strong' follows"),
        ("[pace fast]", r"use the form \[speed:0\.9\]"),
        ("[Energy +3]", r"lower case; use the form \[energy \+3\]"),
        ("[Range 1.3]", "lower case"),
        ("[Em]", "lower case"),
        ("[/Pitch]", r"lower case; use \[/pitch\]"),
        ("[emph]", r"did you mean \[em\]\?"),
        ("[/emphasis]", r"did you mean \[/em\]\?"),
        ("[pich +2]", r"did you mean \[pitch \+2\]\?"),
        ("[pitch:+2]", r"no colon; use the form \[pitch \+2\]"),
        ("[em:strong]", r"no colon; use the form \[em\]"),
        ("[energy +3 hi", "] is missing"),
        ("[pitch +10%]", r"pitch is '\+10%'; use a form such as \+2st"),
        ("[pace 0.9]", r"use the form \[speed:0.9\]"),
        ("[volume +3]", r"use the form \[energy \+3\]"),
        ("[volume:+3dB]", r"use the form \[energy \+3\]"),
        ("[style calm]", "--style calm"),
    ],
)
def test_what_can_only_be_a_misspelt_prosody_tag_is_one_clear_error(wrong: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MarkupParser().parse(wrong)


def test_a_neutral_tag_can_be_closed_and_a_minus_may_be_a_minus() -> None:
    made = MarkupParser().parse("[energy +0]a[/energy][pitch \u22122]b[/pitch]c")
    assert [(segment.text, segment.prosody) for segment in made] == [
        ("a", Prosody()),
        ("b", Prosody(pitch=-2)),
        ("c", Prosody()),
    ]


def test_prosodies_add_up_within_the_limits() -> None:
    assert Prosody(2, 1.5, -3, 1.1, 1).within(Prosody(5, 1.5, 3, 0.5)) == Prosody(6, 2, 0, 0.55, 1)


@pytest.mark.parametrize(
    ("text", "asked", "unknown"),
    [
        ("Speak slowly and softly.", STYLES["soft"].within(Prosody(pace=0.85)), []),
        ("Higher, please!", Prosody(pitch=2), []),
        ("A lively pirate", STYLES["lively"], ["pirate"]),
        ("Don’t speak slowly", Prosody(), ["don't", "speak", "slowly"]),
        ("Speak cheerfully.", Prosody(), ["cheerfully"]),
        ("Avoid speaking quickly", Prosody(), ["avoid", "speaking", "quickly"]),
        ("It isn't fast", Prosody(), ["it", "isn't", "fast"]),
        ("Neither fast nor loud", Prosody(), ["neither", "fast", "nor", "loud"]),
        ("You mustn’t be loud", Prosody(), ["you", "mustn't", "be", "loud"]),
        ("Speak slowly. Never be loud!", Prosody(pace=0.85), ["never", "be", "loud"]),
        ("", Prosody(), []),
    ],
)
def test_an_instruction_is_followed_as_far_as_its_words_are_known(
    text: str, asked: Prosody, unknown: list[str]
) -> None:
    assert parse_instructions(text) == (asked, unknown)


def test_the_page_lists_the_styles_and_the_vocabulary() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "prosody.md").read_text(encoding="utf-8")
    for name, style in STYLES.items():
        signs = [f"{value:+g}".replace("-", "−") if value else "0" for value in (style.pitch, style.energy)]
        assert f"| {name} | {signs[0]} | {style.range:g} | {signs[1]} dB | {style.pace:g} |" in page
    listed = re.findall(r"^- (.+(?:;|,).+)$", page, re.MULTILINE)
    words = {word for line in listed for word in re.split(r"[;,] ", line)}
    assert words | set(STYLES) == set(WORDS)


def test_the_table_of_the_docs_has_the_numbers_of_the_styles() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "prosody.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\S+) \| (\S+) \| (\S+) dB \| (\S+) \|$", page, re.MULTILINE)
    found = {name: tuple(float(n.replace("\u2212", "-")) for n in numbers) for name, *numbers in rows}
    assert found == {name: (s.pitch, s.range, s.energy, s.pace) for name, s in STYLES.items()}
