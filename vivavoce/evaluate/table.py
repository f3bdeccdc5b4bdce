"""Average scores over the clips of each voice, and then over voices, so that each voice has the same weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vivavoce.evaluate.clips import OTHERS
from vivavoce.evaluate.judge import Score

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Row:
    """Means over the clips of one voice, or over voices. Rates from 0 to 1; None: not measured."""

    voice: str
    clips: int
    wer: float
    cer: float
    skipped: float
    repeated: float
    similarity: float | None
    dvector: float | None
    right_voice: float | None  # share of clips whose nearest reference is the right one
    ovrl: float | None
    sig: float | None
    bak: float | None
    mos: float | None
    rate: float | None


METRICS = tuple(name for name in Row.__dataclass_fields__ if name not in ("voice", "clips"))

# Chosen to fit a terminal of 80 columns: metric -> heading, decimals, factor.
SHOWN: dict[str, tuple[str, int, float]] = {
    "wer": ("WER %", 1, 100),
    "cer": ("CER %", 1, 100),
    "skipped": ("skip", 1, 100),
    "repeated": ("rep", 1, 100),
    "similarity": ("GE2E", 3, 1),
    "dvector": ("d-vec", 3, 1),
    "right_voice": ("right", 0, 100),
    "ovrl": ("OVRL", 2, 1),
    "mos": ("MOS", 2, 1),
    "rate": ("rate", 2, 1),
}
HEADINGS = ("voice", "n", *(heading for heading, _, _ in SHOWN.values()))


@dataclass(frozen=True)
class Table:
    """One row for each voice, their mean, and the mean over all clips."""

    title: str
    rows: tuple[Row, ...]
    mean: Row | None  # of the voices, each with the same weight; None without clips
    all_clips: Row | None
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()  # lines printed below the table

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, including every clip's score."""
        return asdict(self)

    @property
    def _summary(self) -> list[Row]:
        return [row for row in (self.mean, self.all_clips) if row is not None]

    def rich(self) -> RichTable:
        """Return the table for `rich.console.Console().print`. benchmarks/README.md explains the columns."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text  # names may contain brackets, which are markup in plain strings

        table = RichTable(
            title=Text(self.title, style="italic"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
            show_edge=False,
        )
        for i, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if i else "left", no_wrap=i > 0)  # never truncate a digit
        for row in self.rows:
            table.add_row(*map(Text, _cells(row)))
        if self.rows:
            table.add_section()
        for row in self._summary:
            table.add_row(*map(Text, _cells(row)), style="bold")
        return table

    def plain(self) -> str:
        """Return the table as aligned columns, separated by two spaces or more, for files and other programs."""
        lines = [list(HEADINGS), *map(_cells, (*self.rows, *self._summary))]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        return "\n".join([self.title, *text])


def summarise(scores: Iterable[Score], title: str = "", notes: Sequence[str] = ()) -> Table:
    """Average over the clips of each voice, in order of first appearance, and then over voices.

    Speakers grouped under `OTHERS` make a row, which counts for the mean over voices only if it is the only row.
    """
    scores = tuple(scores)
    by_voice: dict[str, list[Score]] = {}
    for score in scores:
        by_voice.setdefault(score.voice, []).append(score)
    rows = tuple(_mean(voice, len(items), items) for voice, items in by_voice.items())
    if not rows:
        return Table(title, (), None, None, (), tuple(notes))
    voices = [row for row in rows if row.voice != OTHERS] or list(rows)
    mean = _mean("all voices", sum(row.clips for row in voices), voices)
    return Table(title, rows, mean, _mean("all clips", len(scores), scores), scores, tuple(notes))


def _mean(voice: str, clips: int, items: Sequence[Score] | Sequence[Row]) -> Row:
    """Average each metric over the items that have it."""
    means: dict[str, Any] = {}
    for metric in METRICS:
        values = [value for value in (getattr(item, metric) for item in items) if value is not None]
        means[metric] = float(np.mean(values)) if values else None
    return Row(voice=voice, clips=clips, **means)


def _cells(row: Row) -> list[str]:
    def cell(metric: str) -> str:
        value, (_, decimals, factor) = getattr(row, metric), SHOWN[metric]
        return "–" if value is None else f"{value * factor:.{decimals}f}"

    return [row.voice, str(row.clips), *map(cell, SHOWN)]
