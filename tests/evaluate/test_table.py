"""Averages over clips and voices, and the printed table."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from vivavoce.evaluate.clips import OTHERS
from vivavoce.evaluate.judge import Score
from vivavoce.evaluate.table import HEADINGS, summarise


def score(voice: str, wer: float, **rest: Any) -> Score:
    return Score("k", voice, "t", "h", 1.0, wer, wer / 2, wer / 4, wer / 8, **rest)


def test_every_voice_counts_alike_in_the_mean() -> None:
    table = summarise([score("luna", 0.1), score("luna", 0.3), score("luna", 0.2), score("nash", 1.0)])
    assert [(row.voice, row.clips) for row in table.rows] == [("luna", 3), ("nash", 1)]
    assert table.rows[0].wer == pytest.approx(0.2)
    assert table.mean is not None and table.mean.wer == pytest.approx(0.6) and table.mean.clips == 4
    assert table.mean.cer == pytest.approx(0.3)
    assert table.mean.skipped == pytest.approx(0.15) and table.mean.repeated == pytest.approx(0.075)
    assert table.all_clips is not None and table.all_clips.wer == pytest.approx(0.4)


def test_gathered_speakers_are_no_voice_in_the_mean() -> None:
    table = summarise([score("luna", 0.2), score(OTHERS, 1.0)])
    assert table.mean is not None and table.mean.wer == pytest.approx(0.2)
    assert table.all_clips is not None and table.all_clips.wer == pytest.approx(0.6)
    only = summarise([score(OTHERS, 1.0)])
    assert only.mean is not None and only.mean.wer == 1.0


def test_what_was_not_judged_is_left_out_not_counted_as_zero() -> None:
    table = summarise([score("luna", 0.0, ovrl=3.0), score("luna", 0.0), score("nash", 0.0)])
    assert table.rows[0].ovrl == pytest.approx(3.0)
    assert table.rows[1].ovrl is None
    assert table.mean is not None and table.mean.ovrl == pytest.approx(3.0)


def test_no_clips_make_an_empty_table() -> None:
    table = summarise([])
    assert table.rows == () and table.mean is None
    assert table.rich().row_count == 0
    assert table.plain().splitlines()[1:] == ["  ".join(HEADINGS)]


def test_tables_show_every_digit_at_80_columns_and_plain() -> None:
    table = summarise(
        [
            score("[luna]", 1.0, similarity=0.875, dvector=0.75, mos=4.5, rate=1.25),
            score("somebody with a long name", 0.5),
        ],
        "T",
    )
    out = io.StringIO()
    Console(file=out, width=80).print(table.rich())
    for text in (out.getvalue(), table.plain()):
        lines = [line.split() for line in text.splitlines()]
        assert ["[luna]", "1", "100.0", "50.0", "25.0", "12.5", "0.875", "0.750", "–", "–", "4.50", "1.25"] in lines
        assert any(
            line[-11:] == ["2", "75.0", "37.5", "18.8", "9.4", "0.875", "0.750", "–", "–", "4.50", "1.25"]
            for line in lines
        )
