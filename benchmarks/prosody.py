"""Measure whether speech follows pitch, range, energy, pace and emphasis, and what it costs.

    pip install vivavoce[eval] praat-parselmouth
    python benchmarks/prosody.py
    python benchmarks/prosody.py --model models/prosody --judge --json prosody.json

Each sentence is spoken in each voice as it is, with each value of each control, and with an emphasised word, always
with the same seed. Praat (praat-parselmouth, GPL) tracks the pitch. benchmarks/README.md defines the columns. A model
without prosody conditions is measured for energy and pace alone.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import exit_status, parser, read_lines, write_json
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

import vivavoce
from vivavoce.audio.dsp import Samples, rms_db
from vivavoce.config import BUILTIN_VOICES
from vivavoce.synthesis.checks import speech_level
from vivavoce.synthesis.speech import Speech
from vivavoce.voices import get

# The requested values, and how a value becomes a number that adds up: factors by their logarithm
VALUES: dict[str, tuple[float, ...]] = {
    "pitch": (-3.0, -1.5, 1.5, 3.0),
    "pitch_range": (0.6, 0.8, 1.25, 1.5),
    "energy": (-6.0, -3.0, 3.0, 6.0),
    "pace": (0.8, 0.9, 1.1, 1.25),
}
FACTORS = ("pitch_range", "pace")
MODERATE = {"pitch": (-1.5, 1.5), "pitch_range": (0.8, 1.25), "energy": (-3.0, 3.0), "pace": (0.9, 1.1)}
NEUTRAL = {"pitch": 0.0, "pitch_range": 1.0, "energy": 0.0, "pace": 1.0}

Tracker = Callable[[Samples, int], tuple[np.ndarray, np.ndarray]]  # times in seconds, F0 in Hz, 0 where unvoiced


@dataclass(frozen=True)
class Measures:
    """The measurements of a clip; factors as logarithms."""

    pitch: float  # mean F0, semitones above 100 Hz
    pitch_range: float  # log of the standard deviation of F0 in semitones
    energy: float  # level without pauses, dB
    pace: float  # log of the words a minute


@dataclass
class Clip:
    """One reading that differs from the neutral one in one control."""

    text: str
    voice: str
    control: str
    value: float
    change: dict[str, float] = field(default_factory=dict)  # measured against the neutral reading
    scores: dict[str, float] = field(default_factory=dict)  # similarity, WER, OVRL, against the neutral reading


def number(control: str, value: float) -> float:
    """Return a value of a control as a number that adds up."""
    return float(np.log(value)) if control in FACTORS else value


def praat(samples: Samples, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Track the pitch with Praat's autocorrelation. Raises ValueError if praat-parselmouth is missing."""
    try:
        import parselmouth
    except ModuleNotFoundError:
        raise ValueError("the pitch tracker is missing: pip install praat-parselmouth") from None
    sound = parselmouth.Sound(np.asarray(samples, np.float64), sample_rate)
    found = sound.to_pitch_ac(time_step=0.01, pitch_floor=60, pitch_ceiling=500)
    return found.xs(), found.selected_array["frequency"]


def semitones(frequencies: np.ndarray) -> np.ndarray:
    """Return voiced frames in semitones above 100 Hz, without those that are an octave or more from the median."""
    voiced = 12 * np.log2(frequencies[frequencies > 0] / 100)
    return voiced[np.abs(voiced - np.median(voiced)) < 12] if len(voiced) else voiced


def measured(speech: Speech, tracker: Tracker) -> Measures | None:
    """Measure a clip; None if too little of it is voiced."""
    rate = speech.sample_rate
    pitch = semitones(tracker(speech.samples, rate)[1])
    if len(pitch) < 20 or not speech.words:
        return None
    spoken = speech.words[-1].end - speech.words[0].start
    return Measures(
        float(pitch.mean()),
        float(np.log(pitch.std() + 1e-3)),
        speech_level(speech.samples, rate),
        float(np.log(60 * len(speech.words) / spoken)),
    )


def changes(after: Measures, before: Measures) -> dict[str, float]:
    return {name: getattr(after, name) - getattr(before, name) for name in VALUES}


def rises(plain: Speech, stressed: Speech, tracker: Tracker) -> tuple[np.ndarray, np.ndarray] | None:
    """Return by how much each word is higher, in semitones, and louder, in dB; None if the words differ."""
    if len(plain.words) != len(stressed.words) or not plain.words:
        return None
    rows = []
    for speech in (plain, stressed):
        times, frequencies = tracker(speech.samples, speech.sample_rate)
        row = []
        for word in speech.words:
            heard = frequencies[(times >= word.start) & (times <= word.end)]
            voiced = 12 * np.log2(heard[heard > 0] / 100)
            part = speech.samples[int(word.start * speech.sample_rate) : int(word.end * speech.sample_rate) + 1]
            row.append((voiced.mean() if len(voiced) else np.nan, rms_db(part)))
        rows.append(np.array(row))
    change = rows[1] - rows[0]
    return np.nan_to_num(change[:, 0], nan=-np.inf), change[:, 1]


def word_to_stress(text: str) -> int:
    """Return the number of a word, always the same one for a text."""
    return zlib.crc32(text.encode()) % len(text.split())


def emphasised(text: str, word: int) -> str:
    """Return a text with a word between tags; its punctuation stays outside."""
    words = text.split()
    bare = words[word].strip(".,;:!?\"'()")
    words[word] = words[word].replace(bare, f"[em]{bare}[/em]", 1)
    return " ".join(words)


class Judge:
    """Similarity to the voice, WER and OVRL of a clip."""

    def __init__(self, asr: str) -> None:
        from vivavoce.metrics.asr import WhisperRecognizer
        from vivavoce.metrics.mos import Dnsmos
        from vivavoce.metrics.similarity import GE2E

        self._asr, self._mos, self._speaker = WhisperRecognizer(asr), Dnsmos(), GE2E()
        self._voices = {name: get(name).embedding for name in BUILTIN_VOICES}

    def score(self, speech: Speech, text: str, voice: str) -> dict[str, float]:
        from vivavoce.metrics.words import word_errors

        own, rate = self._voices[voice], speech.sample_rate
        assert own is not None
        likeness = float(self._speaker.embed(speech.samples, rate) @ own / np.linalg.norm(own))
        wer = word_errors(text, self._asr.transcribe(speech.samples, rate, "en")).wer
        return {"likeness": likeness, "WER": wer, "OVRL": float(self._mos.score(speech.samples, rate).ovrl)}


def read(
    tts: Any, texts: Sequence[str], voices: Sequence[str], tracker: Tracker, judge: Judge | None, seed: int
) -> Iterator[tuple[list[Clip], tuple[bool, bool] | None]]:
    """Yield, for each text and voice, its clips and whether its emphasised word is found by pitch and by energy."""
    able = bool(getattr(tts.system, "prosody", False))
    controls = [name for name in VALUES if able or name in ("energy", "pace")]
    todo = [(text, voice) for text in texts for voice in voices]
    for text, voice in track(todo, "sentences", console=Console(stderr=True)):
        plain = tts.speak(text, voice, seed=seed, retries=0)
        before = measured(plain, tracker)
        if before is None:
            continue
        own = judge.score(plain, text, voice) if judge is not None else {}
        clips = []
        for control in controls:
            for value in VALUES[control]:
                speech = tts.speak(text, voice, seed=seed, retries=0, **{control: value})
                after = measured(speech, tracker)
                if after is None:
                    continue
                clip = Clip(text, voice, control, value, changes(after, before))
                if judge is not None and value in MODERATE[control]:
                    clip.scores = {k: v - own[k] for k, v in judge.score(speech, text, voice).items()}
                clips.append(clip)
        found = None
        if able:
            word = word_to_stress(text)
            rise = rises(plain, tts.speak(emphasised(text, word), voice, seed=seed, retries=0), tracker)
            if rise is not None:
                found = (int(np.argmax(rise[0])) == word, int(np.argmax(rise[1])) == word)
        yield clips, found


def summary(clips: Sequence[Clip]) -> dict[str, dict[str, float]]:
    """Return, for each control, the correlation of requested and measured, its slope, and the side effects.

    A side effect is the slope of another measure over this control, across the whole span of values, relative to the
    requested span of the other control.
    """
    rows = {}
    for control in dict.fromkeys(clip.control for clip in clips):
        own = [clip for clip in clips if clip.control == control]
        asked = np.array([number(control, clip.value) for clip in own] + [0.0])
        row = {}
        for other in VALUES:
            heard = np.array([clip.change[other] for clip in own] + [0.0])
            slope = float(np.polyfit(asked, heard, 1)[0])
            if other == control:
                follows = heard.std() > 1e-6
                row |= {"correlation": float(np.corrcoef(asked, heard)[0, 1]) if follows else 0.0, "slope": slope}
            else:
                span, whole = (np.ptp([number(c, v) for v in VALUES[c]]) for c in (control, other))
                row[f"on {other}"] = float(slope * span / whole)
        rows[control] = row
    return rows


def show(clips: Sequence[Clip], found: Sequence[tuple[bool, bool]], console: Console) -> None:
    """Print the tables."""
    table = Table(box=box.SIMPLE, title="asked and measured")
    for name in ("control", "correlation", "slope", *(f"on {other}" for other in VALUES)):
        table.add_column(name, justify="left" if name == "control" else "right")
    for control, row in summary(clips).items():
        effects = [f"{100 * row[f'on {o}']:+.0f} %" if f"on {o}" in row else "" for o in VALUES]
        table.add_row(control, f"{row['correlation']:.2f}", f"{row['slope']:.2f}", *effects)
    console.print(table)
    if found:
        pitch, energy = (100 * np.mean([pair[i] for pair in found]) for i in (0, 1))
        either = 100 * np.mean([any(pair) for pair in found])
        console.print(
            f"emphasised word found by the largest rise in pitch {pitch:.0f} %, in energy {energy:.0f} %, "
            f"in either {either:.0f} % of {len(found)}"
        )
    scored = [clip for clip in clips if clip.scores]
    if scored:
        means = {name: np.mean([clip.scores[name] for clip in scored]) for name in scored[0].scores}
        console.print(
            f"at moderate values: likeness {means['likeness']:+.3f}, WER {100 * means['WER']:+.1f} points, "
            f"OVRL {means['OVRL']:+.2f} against neutral, {len(scored)} clips"
        )


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; it must be a whole number from 1")
    return int(text)


def main() -> int:
    top = parser(__doc__)
    top.add_argument("--model", default="nanospeech", help="a name or a folder (nanospeech)")
    top.add_argument("--backend", default="auto", help="auto, torch, mlx or onnx (auto)")
    top.add_argument("--list", default="harvard-40", help="a list in sentences/ (harvard-40)")
    top.add_argument("--limit", type=count, metavar="N", help="the first N sentences only")
    top.add_argument("--voices", default=",".join(BUILTIN_VOICES), metavar="NAME,…", help="built-in voices (all)")
    top.add_argument("--seed", type=int, default=0)
    top.add_argument("--judge", action="store_true", help="also likeness, WER and OVRL (extra eval)")
    top.add_argument("--asr", default="base", help="Whisper's size or folder for --judge (base)")
    top.add_argument("--json", type=Path, metavar="FILE", help="write the measured clips")
    args = top.parse_args()

    def measure() -> int | None:
        voices = [name.strip() for name in args.voices.split(",") if name.strip()]
        for name in voices:
            if name not in BUILTIN_VOICES:
                raise ValueError(f"voice is {name!r}; it must be one of {', '.join(BUILTIN_VOICES)}")
        texts = read_lines(args.list, args.limit)
        praat(np.zeros(24_000, np.float32), 24_000)  # a missing package is reported before the model is loaded
        judge = Judge(args.asr) if args.judge else None
        tts = vivavoce.load(args.model, args.backend)
        if not getattr(tts.system, "prosody", False):
            print("notice: the model has no prosody conditions; only energy and pace are measured", file=sys.stderr)
        one = tts.speak(texts[0], voices[0], seed=args.seed, retries=0).samples
        other = tts.speak(texts[0], voices[0], seed=args.seed, retries=0, **NEUTRAL).samples
        clips: list[Clip] = []
        found: list[tuple[bool, bool]] = []
        for some, emphasis in read(tts, texts, voices, praat, judge, args.seed):
            clips += some
            found += [emphasis] if emphasis is not None else []
        console = Console()
        show(clips, found, console)
        console.print(f"neutral values change the samples by at most {np.abs(one - other).max():.1e}")
        write_json(args.json, {"clips": [asdict(clip) for clip in clips], "emphasis": found, "rows": summary(clips)})
        return None

    return exit_status(measure)


if __name__ == "__main__":
    sys.exit(main())
