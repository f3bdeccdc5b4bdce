"""A text in the manner of a recording: with its pace, pitch range and rise of energy or, for the same words, letter by
letter.

One recording does not tell what is usual for its speaker. Its mean pitch and mean level are therefore not followed:
they belong to the speaker's body, the microphone and the distance. The rest is compared with the voice's own reading.

For any words, three numbers are followed for the whole text. For the same words, an aligner finds each letter in the
recording, and the letters get the recording's lengths. The voice then reads the words once by itself, and its pitch and
energy are moved by the difference between the recording and that reading.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vivavoce.audio.dsp import SAMPLE_RATE, Samples, speech_span
from vivavoce.config import SPEEDS
from vivavoce.synthesis.manner import HOP, Contour, Heard, contour, heard
from vivavoce.synthesis.plan import PlannedPiece
from vivavoce.synthesis.recording import check_recording
from vivavoce.synthesis.speech import Speech
from vivavoce.synthesis.synthesizer import piece_seed
from vivavoce.synthesis.timing import LONGEST, timed_plan
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.text.pieces import Piece, between_spaces, joined_runs
from vivavoce.text.prosody import ENERGY, NEUTRAL, PACE, PITCH, RANGE, Prosody
from vivavoce.voices import Voice

if TYPE_CHECKING:
    from vivavoce.config import SpeakOptions
    from vivavoce.synthesis.planner import Planner
    from vivavoce.text.segments import Segment

Curve = npt.NDArray[np.float64]
Recording = str | os.PathLike[str] | tuple[npt.ArrayLike, int] | Speech | Voice

SHORTEST = 1.0  # seconds of a recording
# A sentence of the bundled voices falls by about 3 dB; whether by 0 or 6 depends on its words
USUAL_RISE, ORDINARY = -3.0, 4.0  # dB; a rise within ORDINARY of the usual one is not followed
USUAL_SPREAD = 2.5  # semitones, of the bundled voices
# The text that measures the voice's own pace: one breath, without a pause
CALIBRATION = "she told the children another story about the long road to the mountains and the people who lived there"
SYLLABLES = 26
EDGES = 0.2  # seconds of silence at both ends of a piece, together
WINDOW = 5  # letters, odd: a movement of pitch or energy is about as long as a syllable
STEP = 0.25  # semitones and dB: smaller movements are inaudible


@dataclass(frozen=True)
class Manner:
    """The numbers that are followed in a text of any words; the defaults are the voice's own."""

    pace: float = 1.0  # factor on the speed
    pitch_range: float = 1.0  # factor on the distance of the pitch from its mean
    rise: float = 0.0  # dB by which the energy rises from the start of the text to its end; negative: it falls

    def __str__(self) -> str:
        return f"pace {self.pace:g}, range {self.pitch_range:g}, energy {self.rise:+g} dB from start to end"


class Like:
    """A recording in whose manner texts are spoken.

    own: the planner of the voice without the recording. recording: of SHORTEST to LONGEST seconds. said: its words, if
    they are known; a text of the same words is spoken word by word as they are in the recording. given: names of
    options that are followed instead of the recording. load_timer: loads the network that finds letters.
    Raises ValueError for a recording that is unreadable, too short or long, or has no voice in it. Warns of what the
    model cannot follow.
    """

    def __init__(
        self,
        own: Planner,
        recording: Recording,
        said: Sequence[Segment] | None,
        given: frozenset[str],
        load_timer: Callable[[], Any],
    ) -> None:
        self._samples, self._rate = check_like(recording, own.system.sample_rate)
        self._contour = contour(self._samples, self._rate)
        self._own, self._given, self._load_timer = own, given, load_timer
        self._words = None if said is None else _letters(said)
        measured = heard(self._contour)
        pace = self._blind_pace(measured) if said is None else self._pace_of(said)
        spread = _voice_spread(own.voice)
        if not own.system.prosody and "pitch_range" not in given:
            spread = measured.spread  # so that it counts as the voice's own
            warnings.warn(
                "this model has no prosody conditions: the pitch of the recording is not followed", stacklevel=3
            )
        self.manner = _manner(measured, spread, pace, given)
        self.followed = str(self.manner)  # in words, once a text is planned

    @property
    def options(self) -> SpeakOptions:
        """The voice's own options with the pace and the range of the recording."""
        options, pace = self._own.options, self.manner.pace
        if not self._own.system.prosody:  # pace is then a part of the speed
            pace = float(np.clip(pace, SPEEDS[0] / options.speed, SPEEDS[1] / options.speed))
        chosen = {"pace": pace, "pitch_range": self.manner.pitch_range}
        return options.replace(**{name: value for name, value in chosen.items() if name not in self._given})

    @property
    def digest(self) -> str:
        """Identifies the recording and its transcript."""
        return hashlib.sha256(np.ascontiguousarray(self._samples).tobytes() + repr(self._words).encode()).hexdigest()

    # ---- any words --------------------------------------------------------------------------------------------------

    def _pace_of(self, said: Sequence[Segment]) -> float:
        """Return how much faster the recording is than the voice would say its words."""
        planned = list(self._own.plan(said))
        self._own.take_changes()
        ours = sum(p.total_seconds for p in planned) - planned[-1].piece.pause - EDGES
        start, end, _ = speech_span(self._samples, self._rate, margin=0.0)
        return ours * self._own.options.speed / max((end - start) / self._rate, 0.1)

    def _blind_pace(self, measured: Heard) -> float:
        """Return how much faster the recording is, estimated from its syllables."""
        system = self._own.system
        text, _ = system.tokenizer.fit(CALIBRATION)
        (seconds,) = system.predict_durations([Piece(text, 0.0)], self._own.voice, 1.0)
        return measured.rate * max(seconds - EDGES, 0.1) / SYLLABLES

    def rising(self, planned: Iterator[PlannedPiece]) -> Iterator[PlannedPiece]:
        """Yield pieces whose energy rises through the text, if the recording's does."""
        done = 0.0
        for p in planned:
            if self.manner.rise and p.share:
                count = len(p.piece.text)
                places = done + p.share * (np.arange(count) + 0.5) / count
                energies = _stepped((places - 0.5) * self.manner.rise)
                p = _moved(p, np.zeros(count), energies, p.piece.text)
                done += p.share
            yield p

    # ---- the same words ---------------------------------------------------------------------------------------------

    def has_words_of(self, segments: Sequence[Segment]) -> bool:
        """Return whether a text is known to be the recording's."""
        return self._words is not None and _letters(segments) == self._words

    def word_by_word(
        self, planner: Planner, segments: Sequence[Segment], max_seconds: float | None
    ) -> Iterator[PlannedPiece]:
        """Return pieces whose letters have the lengths, pitch and energy of the recording.

        Raises ValueError as `Planner.plan`, and if the letters cannot be found.
        """
        self.followed = "word by word"
        if not planner.system.by_letters:
            raise ValueError(
                "this model cannot follow a recording word by word: it does not predict the length of each letter; "
                "leave the recording's words out to follow its pace, range and energy"
            )
        timer = self._load_timer()
        if any(segment.pause for segment in segments):
            warnings.warn("the recording gives the timing: pauses in the text have no effect", stacklevel=2)
        planned = list(self._own.plan(segments, max_seconds=max_seconds))
        planner.changes += self._own.take_changes()
        there = timed_plan(self._own, planned, timer, self._samples, self._rate)
        if "pace" in self._given:
            here = planned
        else:
            here = [_at_speed(p, p.options.speed) for p in there]
        return self._moving(here, _edges(there))

    def _moving(self, planned: list[PlannedPiece], edges: list[Curve]) -> Iterator[PlannedPiece]:
        """Yield pieces whose pitch and energy move as in the recording, where their letters have these edges."""
        moves = [self._moves(p, number, there) for number, (p, there) in enumerate(zip(planned, edges, strict=True))]
        for name in dict.fromkeys(p.voice.name for p in planned):  # the means are the speakers' own
            some = [move for p, move in zip(planned, moves, strict=True) if p.voice.name == name]
            for kind in ("pitch", "energy"):
                _centre([getattr(move, kind) for move in some])
        for p, move in zip(planned, moves, strict=True):
            pitch = _stepped(np.clip(move.pitch.smoothed(), -PITCH, PITCH))
            energy = _stepped(np.clip(move.energy.smoothed(), -ENERGY, ENERGY))
            if "pitch_range" in self._given or not self._own.system.prosody:
                pitch[:] = 0
            if "energy" in self._given:
                energy[:] = 0
            yield _moved(p, pitch, energy, p.piece.text.strip())

    def _moves(self, p: PlannedPiece, number: int, there: Curve) -> _Moves:
        """Return by how much the recording differs from the voice's own reading of a piece, letter by letter."""
        system, seed = self._own.system, piece_seed(self._own.options.seed or 0, number)
        (result,) = system.synthesize([SynthesisRequest(p.piece, p.voice, p.options, seed)])
        count = len(p.piece.text.strip())
        if result.ends is None:
            return _Moves(_Differences.none(count), _Differences.none(count))
        first = len(p.piece.text) - len(p.piece.text.lstrip())
        ends = np.asarray(result.ends, np.float64)
        here = np.concatenate(([ends[first - 1] if first else result.start], ends[first : first + count]))
        made = contour(np.asarray(result.samples, np.float32), system.sample_rate)
        return _Moves(
            _Differences.of(_pitches(self._contour, there), _pitches(made, here)),
            _Differences.of(_levels(self._contour, there), _levels(made, here)),
        )


@dataclass
class _Differences:
    """How letters of the recording differ from the voice's own, and how certain that is."""

    values: Curve  # [T]
    weights: Curve  # [T]; 0: not known

    @classmethod
    def none(cls, count: int) -> _Differences:
        return cls(np.zeros(count), np.zeros(count))

    @classmethod
    def of(cls, there: tuple[Curve, Curve], here: tuple[Curve, Curve]) -> _Differences:
        """Compare (values [T], weights [T]) of the recording's letters with those of the voice's own."""
        return cls(there[0] - here[0], np.sqrt(there[1] * here[1]))

    def smoothed(self) -> Curve:
        """Return the differences [T], each averaged with its neighbours; 0 where none is known."""
        window = np.hanning(WINDOW + 2)[1:-1]

        def summed(curve: Curve) -> Curve:
            return np.convolve(np.pad(curve, WINDOW // 2), window, "valid")

        weights = summed(self.weights)
        # a little weight for no difference, so that a letter on the edge of a pause is not moved by noise
        return np.asarray(summed(self.values * self.weights) / (weights + 1e-9 + 0.05 * self.weights.max(initial=0.0)))


@dataclass
class _Moves:
    """The differences of a piece, letter by letter: semitones and dB."""

    pitch: _Differences
    energy: _Differences


def _centre(differences: Sequence[_Differences]) -> None:
    """Subtract the mean of all differences."""
    total = sum(float(each.weights.sum()) for each in differences)
    if total:
        mean = sum(float((each.values * each.weights).sum()) for each in differences) / total
        for each in differences:
            each.values = each.values - mean


def check_like(like: Recording, sample_rate: int = SAMPLE_RATE) -> tuple[Samples, int]:
    """Return the samples [S] of a recording and their rate; a file is read at `sample_rate`.

    Raises ValueError as `check_recording`, and for a recording that is too short or too long.
    """
    if isinstance(like, Voice):
        like = like.samples, like.sample_rate
    samples, rate = check_recording(like, sample_rate)
    seconds = len(samples) / rate
    if not SHORTEST <= seconds <= LONGEST:
        raise ValueError(
            f"the recording to speak like lasts {seconds:.1f} s; it must last {SHORTEST:g} to {LONGEST:g} s"
        )
    return samples, rate


def _voice_spread(voice: Voice) -> float:
    """Return how far the pitch of a voice's own recording moves, in semitones."""
    try:
        return heard(contour(voice.samples, voice.sample_rate)).spread
    except ValueError:  # hardly voiced, like a whisper
        return USUAL_SPREAD


def _manner(recording: Heard, spread: float, pace: float, given: frozenset[str]) -> Manner:
    """Return how a recording differs from a voice of this spread, within the limits that models are trained in."""
    rise = recording.rise - USUAL_RISE
    rise = float(np.sign(rise)) * max(0.0, abs(rise) - ORDINARY)
    return Manner(
        1.0 if "pace" in given else round(float(np.clip(pace, 1 / PACE, PACE)), 2),
        1.0 if "pitch_range" in given else round(float(np.clip(recording.spread / spread, 1 / RANGE, RANGE)), 2),
        0.0 if "energy" in given else round(float(np.clip(rise, -ENERGY, ENERGY)), 1) + 0.0,
    )


def _letters(segments: Sequence[Segment]) -> str:
    """Return the letters and digits of a text, which decide whether two texts have the same words."""
    return "".join(filter(str.isalnum, "".join(segment.text for segment in segments).lower()))


def _at_speed(p: PlannedPiece, speed: float) -> PlannedPiece:
    """Return a piece whose letters have their lengths in the recording, at a speed."""
    seconds = tuple(value / speed for value in p.piece.seconds)
    piece = dataclasses.replace(p.piece, seconds=seconds, pause=p.piece.pause / speed)
    return dataclasses.replace(p, piece=piece, seconds=sum(seconds))


def _edges(planned: Sequence[PlannedPiece]) -> list[Curve]:
    """Return the times in the recording at which the letters of each piece begin, and the last ends: [T + 1]."""
    found, start = [], 0.0
    for p in planned:
        lengths = np.array(p.piece.seconds)
        found.append(start + np.cumsum(lengths[:-1]))
        start += float(lengths.sum()) + p.piece.pause
    return found


def _frames(edges: Curve, count: int) -> list[slice]:
    """Return the frames of a contour that each letter has; `edges` [T + 1] in seconds."""
    places = np.clip(np.round(edges * SAMPLE_RATE / HOP).astype(int), 0, count)
    return [slice(start, end) for start, end in itertools.pairwise(places)]


def _pitches(found: Contour, edges: Curve) -> tuple[Curve, Curve]:
    """Return the mean pitch of each letter in semitones, and the number of its voiced frames."""
    parts = [found.pitch[span][found.voiced[span]] for span in _frames(edges, len(found.pitch))]
    means = np.array([part.mean() if len(part) else 0.0 for part in parts])
    return means, np.array([float(len(part)) for part in parts])


def _levels(found: Contour, edges: Curve) -> tuple[Curve, Curve]:
    """Return the level of each letter in dB, and its weight, by which vowels count most."""
    power = 10 ** (found.level / 10)
    parts = [power[span] for span in _frames(edges, len(power))]
    means = np.array([part.mean() if len(part) else 0.0 for part in parts]) + 1e-9
    loudest = max(float(means.max(initial=0.0)), 1e-9)
    return 10 * np.log10(means), np.array([float(len(part)) for part in parts]) * np.sqrt(means / loudest)


def _stepped(curve: Curve) -> Curve:
    return np.round(curve / STEP) * STEP


def _moved(p: PlannedPiece, pitch: Curve, energy: Curve, text: str) -> PlannedPiece:
    """Return a piece of `text` whose characters are higher and louder by this [T] than the text asks for."""
    own = between_spaces(p.piece.text, p.piece.prosody, NEUTRAL)[1:-1]
    if len(text) != len(own):  # with white space at its ends
        own = [value for value, count in p.piece.prosody for _ in range(count)] or [NEUTRAL] * len(text)
    moves = zip(own, pitch, energy, strict=True)
    runs = joined_runs((Prosody(pitch=float(st), energy=float(db)).within(outer), 1) for outer, st, db in moves)
    prosody = () if all(value.neutral for value, _ in runs) else runs
    return dataclasses.replace(p, piece=dataclasses.replace(p.piece, text=text, prosody=prosody))
