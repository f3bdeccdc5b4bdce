"""Show what would be spoken: the normalised text, its pieces, each change with its rule, and the predicted seconds.

The plan is the one that `speak` uses. The model is asked only for durations.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vivavoce.synthesis.side_by_side import side_by_side

if TYPE_CHECKING:
    from vivavoce.synthesis.plan import PlannedPiece
    from vivavoce.synthesis.planner import Planner
    from vivavoce.text.characters import Change
    from vivavoce.text.segments import Segment


@dataclass(frozen=True)
class Preview:
    """How a text will be spoken. `print` shows a table; `as_dict()` gives plain types.

    text: normalised, but not yet fitted to the model's characters. pieces: what the model will read, each with its
    predicted seconds, voice and pauses. changes: every change to the text with its rule, in the order of application;
    after == "" means that something is dropped, the rule "fit" that the model lacks a character. seconds: the predicted
    duration of the whole, including pauses. written: the text without its markup, as it was given.
    """

    text: str
    pieces: tuple[PlannedPiece, ...]
    changes: tuple[Change, ...]
    seconds: float
    written: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the preview in plain types, ready for JSON. Seconds are rounded to milliseconds."""
        return {
            "text": self.text,
            "pieces": [
                {
                    "text": planned.piece.text,
                    "voice": planned.voice.name,
                    "speed": planned.options.speed,
                    "seconds": round(planned.seconds, 3),
                    "before": round(planned.before, 3),
                    "pause": round(planned.piece.pause, 3),
                }
                for planned in self.pieces
            ],
            "changes": [{"rule": c.rule, "before": c.before, "after": c.after} for c in self.changes],
            "seconds": round(self.seconds, 3),
        }

    def diff(self, *, width: int | None = None, colour: bool = False) -> str:
        """Return the written and the spoken text side by side. width: characters of a line; None: of the terminal.

        colour: mark what differs by ANSI codes.
        """
        if width is None:
            width = shutil.get_terminal_size((100, 24)).columns
        left_out = [f"left out: {_shown(c.before.strip())} ({c.rule})" for c in self.changes if not c.after.strip()]
        return "\n".join([side_by_side(self.written, self.text, width=width, colour=colour), *dict.fromkeys(left_out)])

    def __str__(self) -> str:
        """Return the text, the pieces and the changes as a plain-text table."""
        lines = [self.text, "", f"{len(self.pieces)} piece{'s' * (len(self.pieces) != 1)}, {self.seconds:.1f} s"]
        lines += [f"  {p.seconds:6.2f} s  {_aside(p)}{p.piece.text}" for p in self.pieces]
        if not self.changes:
            return "\n".join([*lines, "", "nothing changed"])
        case = [change for change in self.changes if _is_case(change)]
        others = Counter(change for change in self.changes if not _is_case(change))
        width = max((len(change.rule) for change in others), default=3)
        lines += ["", f"{len(self.changes)} change{'s' * (len(self.changes) != 1)}"]
        for change, times in others.items():
            what = _shown(change.after.strip()) if change.after.strip() else "(left out)"
            again = f"  ({times} times)" if times > 1 else ""
            lines.append(f"  {change.rule:{width}}  {_shown(change.before.strip() or change.before)} → {what}{again}")
        if case:
            lines.append(f"  {'fit':{width}}  case of letters: the model knows only one ({len(case)} letters)")
        return "\n".join(lines)


def preview(planner: Planner, segments: Sequence[Segment]) -> Preview:
    """Plan a text as `speak` would, without speaking. Errors as for `Planner.plan`."""
    pieces = tuple(planner.plan(segments))
    normal = " ".join(planned.written.strip() for planned in pieces)
    seconds = sum(planned.total_seconds for planned in pieces)
    written = "".join(s.changes[-1].before if s.literal and s.changes else s.text for s in segments)
    return Preview(normal, pieces, tuple(planner.changes), seconds, written)


def _aside(planned: PlannedPiece) -> str:
    """Return the voice of a piece, and its speed unless it is 1."""
    speed = planned.options.speed
    return f"[{planned.voice.name}{f', speed {speed:g}' if speed != 1 else ''}] "


def _is_case(change: Change) -> bool:
    return change.rule == "fit" and change.before.lower() == change.after.lower()


def _shown(text: str) -> str:
    """Return the text, in Python's notation if it has characters that cannot be seen."""
    return text if text.isprintable() and text == text.strip() else repr(text)
