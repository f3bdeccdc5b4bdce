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
    VOCABULARY,
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
        ({"energy": float("nan")}, "energy is nan; it must be from -12 to 12 dB"),
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
    text = "[Pitch] [range of values] [energy] [pitch black]"
    assert [segment.text for segment in MarkupParser().parse(text)] == [text]
    for wrong in ("a[pitch +9]b", "a[/em]b", "a[energy 3st]b"):
        with pytest.raises(ValueError, match="line 1, column 2"):
            MarkupParser().parse(wrong)


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
        ("", Prosody(), []),
    ],
)
def test_an_instruction_is_followed_as_far_as_its_words_are_known(
    text: str, asked: Prosody, unknown: list[str]
) -> None:
    assert parse_instructions(text) == (asked, unknown)
    assert "slowly" in VOCABULARY and "cheerfully" not in VOCABULARY


def test_the_page_lists_the_styles_and_the_vocabulary() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "prosody.md").read_text(encoding="utf-8")
    for name, style in STYLES.items():
        signs = [f"{value:+g}".replace("-", "−") if value else "0" for value in (style.pitch, style.energy)]
        assert f"| {name} | {signs[0]} | {style.range:g} | {signs[1]} dB | {style.pace:g} |" in page
    listed = re.findall(r"^- (.+(?:;|,).+)$", page, re.MULTILINE)
    words = {word for line in listed for word in re.split(r"[;,] ", line)}
    assert words | set(STYLES) == set(VOCABULARY)
