"""A text with the timing of a recording of the same words: its letters get their lengths in the recording.

The text is planned in pieces as usual. An aligner finds the whole text in the recording, and each piece gets its part
of the times. So the speech is as long as the recording, with its words and pauses at the same places.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import SAMPLE_RATE, Samples, resample
from vivavoce.synthesis.plan import PlannedPiece
from vivavoce.text.pieces import between_spaces
from vivavoce.voices import Voice

if TYPE_CHECKING:
    from vivavoce.synthesis.planner import Planner

Seconds = npt.NDArray[np.float32]
Find = Callable[[str, Sequence[str]], Seconds]  # text and the language of each character → seconds of each

LONGEST = 120.0  # seconds of a recording: memory grows with the square
EDGE = 0.1  # seconds of silence that a piece has at its ends, where the recording pauses for as long
PACE = (4.0, 40.0)  # characters a second, from drawled to hurried


def check_times(system: Any, name: str) -> None:
    """Raise ValueError if a system cannot be given the lengths of letters."""
    if not system.by_letters:
        raise ValueError(f"model {name or type(system).__name__!r} cannot take the timing of a recording: it does not "
                         "predict the length of each letter")  # fmt: skip


def timed_plan(
    planner: Planner, planned: Sequence[PlannedPiece], timer: Any, samples: Samples, sample_rate: int
) -> list[PlannedPiece]:
    """Return the planned pieces of a text with the timing of a recording [S] of it.

    timer: as from `systems.load.load_letter_timer`. Raises ValueError for a recording that is too long, or too short
    or long for a text of this length; other words are not noticed otherwise.
    """
    _check_recording(len(samples) / sample_rate, planned)
    reader = planner.system.embedded(Voice("the recording", resample(samples, sample_rate, SAMPLE_RATE)))

    def find(text: str, languages: Sequence[str]) -> Seconds:
        times: Seconds = timer.seconds(text, languages, samples, sample_rate, reader.embedding)
        return times

    return timed(planned, find, planner.system.languages[0])


def _check_recording(seconds: float, planned: Sequence[PlannedPiece]) -> None:
    """Raise ValueError if a recording is too long, or the text could not be spoken in its time."""
    if seconds > LONGEST:
        raise ValueError(
            f"the recording lasts {seconds:.0f} s; with its text, at most {LONGEST:.0f} s: give it in parts"
        )
    count = sum(len(p.piece.text.strip()) for p in planned)
    if not PACE[0] <= count / max(seconds, 1e-3) <= PACE[1]:
        raise ValueError(
            f"the text has {count} characters and the recording lasts {seconds:.1f} s; they must be of the same words"
        )


def timed(planned: Sequence[PlannedPiece], find: Find, usual: str) -> list[PlannedPiece]:
    """Return the pieces with the times of a recording. find: finds them. usual: the language of pieces without one."""
    texts = [p.piece.text.strip() for p in planned]
    # of each piece its characters and the space after it
    languages = [code for p in planned for code in between_spaces(p.piece.text, p.piece.languages, usual)[1:]]
    times = find(f" {' '.join(texts)} ", [languages[0], *languages])
    found, start = [], 1
    before = float(times[0])  # the silence before the first piece is a part of it
    for number, (p, text) in enumerate(zip(planned, texts, strict=True)):
        end = start + len(text)
        gap = float(times[end])
        after = gap if number == len(planned) - 1 else min(gap / 2, EDGE)
        seconds = (before, *map(float, times[start:end]), after)
        rest = max(0.0, gap - 2 * after) if number < len(planned) - 1 else 0.0
        piece = dataclasses.replace(p.piece, text=text, pause=rest, seconds=seconds)
        found.append(dataclasses.replace(p, piece=piece, seconds=sum(seconds), before=0.0))
        start, before = end + 1, after
    return found
