"""What would be said, before anything is: the normalised text, its pieces, each change and its rule, the seconds.

The planning is that of `speak`, so a preview is what a speech will be made of; the model is asked for durations only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from vivavoce.lexicon import Lexicon
from vivavoce.planning import Planned, Planner, Text
from vivavoce.text import Change


@dataclass(frozen=True)
class Preview:
    """What a text will be spoken as. `print` it for a table, or take `as_dict()`.

    text: as normalised, before it is fitted to the model's characters. pieces: what the model will read, each with its
    predicted seconds, voice and pauses. changes: what was done to the text, by which rule, in the order of the work;
    after == "" is a loss, and the rule "fit" what the model's characters made necessary. seconds: predicted, of the
    whole with its pauses.
    """

    text: str
    pieces: tuple[Planned, ...]
    changes: tuple[Change, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """In plain types, as for JSON. Seconds are rounded to milliseconds."""
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

    def __str__(self) -> str:
        """Text, pieces and changes as a table of plain characters."""
        lines = [self.text, "", f"{len(self.pieces)} piece{'s' * (len(self.pieces) != 1)}, {self.seconds:.1f} s"]
        lines += [f"  {p.seconds:6.2f} s  {_aside(p)}{p.piece.text}" for p in self.pieces]
        if not self.changes:
            return "\n".join([*lines, "", "nothing changed"])
        case = [change for change in self.changes if _is_case(change)]
        told = Counter(change for change in self.changes if not _is_case(change))
        width = max((len(change.rule) for change in told), default=3)
        lines += ["", f"{len(self.changes)} change{'s' * (len(self.changes) != 1)}"]
        for change, times in told.items():
            what = _shown(change.after.strip()) if change.after.strip() else "(left out)"
            again = f"  ({times} times)" if times > 1 else ""
            lines.append(f"  {change.rule:{width}}  {_shown(change.before.strip() or change.before)} → {what}{again}")
        if case:
            lines.append(f"  {'fit':{width}}  case of letters, for the model knows one of them ({len(case)} letters)")
        return "\n".join(lines)


def preview(planner: Planner, text: Text, *, ssml: bool = False, lexicon: Lexicon | None = None) -> Preview:
    """Plan `text` as `speak` would, without speaking. Arguments and errors as of `TTS.speak`."""
    pieces = tuple(planner.whole(text, ssml=ssml, lexicon=lexicon))
    normal = " ".join(planned.written.strip() for planned in pieces)
    seconds = sum(planned.before + planned.seconds + planned.piece.pause for planned in pieces)
    return Preview(normal, pieces, tuple(planner.changes), seconds)


def _aside(planned: Planned) -> str:
    """The voice and speed of a piece, where they are worth a word."""
    speed = planned.options.speed
    return f"[{planned.voice.name}{f', speed {speed:g}' if speed != 1 else ''}] "


def _is_case(change: Change) -> bool:
    return change.rule == "fit" and change.before.lower() == change.after.lower()


def _shown(text: str) -> str:
    """As written where it can be seen; else in Python's notation, as of control characters."""
    return text if text.isprintable() and text == text.strip() else repr(text)
