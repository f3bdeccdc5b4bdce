"""Which utterances `prepare` holds out for validation."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from typing import Any

from vivavoce.prepare.checks import Outcome
from vivavoce.prepare.recordings import RecordingSource
from vivavoce.prepare.settings import PrepareConfig

MINIMUM = 8  # utterances that validation by hash holds out at least …
MINIMUM_SHARE = 5  # … but never more than one in this many


class Validation:
    """The choice of held-out utterances: by speaker, or by a hash of the utterance.

    `minimum`: how many there must be at the end.
    """

    def __init__(self, settings: PrepareConfig, source: RecordingSource) -> None:
        self.settings = settings
        self.minimum = 0
        self.speakers: set[str] | None = None  # None: not by name
        known = source.speakers() or None
        if settings.valid_speakers:
            self.speakers = set(settings.valid_speakers)
            if known is not None and (missing := sorted(self.speakers - known)):
                raise ValueError(f"valid_speakers: no speaker {missing[0]!r}; there are {some_of(known)}")
        elif settings.valid_speaker_share:
            if known is not None:
                share = settings.valid_speaker_share
                self.speakers = {name for name in known if place(name) < share} or {min(known, key=place)}
        elif settings.valid_share:
            self.minimum = MINIMUM
        if self.speakers is not None and known is not None and known <= self.speakers:
            raise ValueError(
                f"validation by speaker would leave no speaker for training ({some_of(known)}); use --valid-share"
            )

    def includes(self, outcome: Outcome) -> bool:
        """Return whether an utterance is held out, the minimum aside."""
        if self.speakers is not None:
            return outcome.speaker in self.speakers
        if self.settings.valid_speaker_share:
            return place(outcome.speaker) < self.settings.valid_speaker_share
        return place(outcome.identity) < self.settings.valid_share

    def check_result(self, tally: dict[str, Any]) -> None:
        """Warn if validation or training came out empty: who speaks in a stream is known only at its end."""
        if not tally["train"][0]:
            warnings.warn("everything usable went to validation, nothing to training", stacklevel=2)
        wanted = self.settings.valid_share or self.settings.valid_speakers or self.settings.valid_speaker_share
        if wanted and not tally["valid"][0]:
            warnings.warn(
                f"nothing went to validation; {int(tally['train'][0])} utterances by {some_of(tally['speakers'])} "
                "went to training",
                stacklevel=2,
            )


def place(name: str) -> float:
    """Return a number from 0 to below 1 that depends on `name` alone, evenly spread over names."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=6).digest(), "big") / 2**48


def some_of(names: Iterable[str], most: int = 10) -> str:
    """Return the first names in alphabetical order, for a message."""
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
