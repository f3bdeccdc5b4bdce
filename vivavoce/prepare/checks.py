"""Check one recording: return what to store of it, or the reason why it is dropped. Runs in worker processes.

Knows nothing about where recordings come from or where they go, and loads no torch.
"""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

from vivavoce import audio
from vivavoce.audio.ogg import with_serial
from vivavoce.data.samples import Spans
from vivavoce.data.tar import Files
from vivavoce.prepare.recordings import Recording
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.text import normalise
from vivavoce.text.characters import Change
from vivavoce.text.tokenizer import CharTokenizer

SILENT_DB = -50.0  # dBFS; audio that is never louder is silent
FULL_SCALE = 0.99
LONGEST_SILENCE = 30.0  # seconds at the ends of a usable recording; longer files are not decoded
SLACK = 0.1  # seconds that word times may exceed the recording by: aligners count in frames

Words = list[tuple[str, float, float]]


@dataclass(frozen=True)
class Outcome:
    """The result of the checks: the files of an utterance, or the reason why it was dropped."""

    key: str
    identity: str  # as `Recording.identity`
    reason: str = ""
    outside: str = ""  # characters that the vocabulary lacks, if it was dropped for them
    letters: str = ""  # letters that must be added to the vocabulary
    speaker: str = ""
    lang: str = ""
    seconds: float = 0.0
    files: Files = field(default_factory=dict)
    done: float | None = None


class _Dropped(Exception):
    """Raised with the reason, and the characters that caused it, if any."""


def examine(recording: Recording, settings: PrepareConfig, tokenizer: CharTokenizer) -> Outcome:
    """Check a recording and encode what is kept of it."""
    identity = recording.identity or recording.key
    try:
        if recording.fault:
            raise _Dropped(recording.fault)
        lang = recording.lang.lower().replace("_", "-").split("-")[0]
        text, letters = read_text(recording.text, lang, tokenizer, settings.grow_vocab)
        samples, start, total = read_sound(recording.audio, settings)
        seconds = len(samples) / audio.SAMPLE_RATE
        check_rate(text, seconds, settings)
        meta = {"text": text, "speaker": recording.speaker, "lang": lang, "duration": round(seconds, 4)}
        if recording.words:
            check_words(recording.words, total)
            meta["words"] = _shifted(words_in_step(recording.text, text, recording.words), start, seconds)
        if recording.phones:
            meta["phones"] = _shifted(recording.phones, start, seconds)
        if recording.bandwidth is not None:
            meta["bandwidth"] = recording.bandwidth
        meta = {"original": recording.text, **recording.extra, **meta}
    except _Dropped as dropped:
        reason, *outside = dropped.args
        return Outcome(recording.key, identity, reason, "".join(outside), done=recording.done)
    sound = audio.encode(samples, audio.SAMPLE_RATE, settings.format)
    files = {
        settings.format: with_serial(sound) if settings.format == "ogg" else sound,
        "json": json.dumps(meta, ensure_ascii=False, default=str).encode("utf-8", "replace"),
    }
    return Outcome(recording.key, identity, "", "", letters, recording.speaker, lang, seconds, files, recording.done)


# ---- text -----------------------------------------------------------------------------------------------------------


def read_text(written: str, lang: str, tokenizer: CharTokenizer, grow: bool) -> tuple[str, str]:
    """Return the text on one line, normalised as for synthesis, and the letters to add if the vocabulary may `grow`."""
    if not written.strip():
        raise _Dropped("empty text")
    try:
        normal, changes = normalise(written, lang)
    except ValueError:
        raise _Dropped(f"no rules for the language {lang!r}") from None
    text = " ".join(normal.split())
    if not any(map(str.isalnum, text)):
        raise _Dropped("no words in the text")
    letters = missing_letters(text, tokenizer) if grow else ""
    if letters:
        tokenizer = CharTokenizer((*tokenizer.characters, *letters))
    unspeakable = [change for change in changes if change.rule in ("unspeakable", "invisible")]
    if lost := _lost([*unspeakable, *tokenizer.fit(text)[1]]):
        raise _Dropped("letters or digits outside the vocabulary", lost)
    return text, letters


def missing_letters(text: str, tokenizer: CharTokenizer) -> str:
    """Return the letters and digits that the vocabulary has in neither case, once each, in order of appearance.

    They are lower case if the vocabulary has no capitals.
    """
    known = set(tokenizer.characters)
    capitals = any(c.isupper() for c in known)
    missing = [c if capitals else c.lower() for c in text if c.isalnum() and not {c, c.lower(), c.upper()} & known]
    return "".join(dict.fromkeys("".join(missing)))


def _lost(changes: Sequence[Change]) -> str:
    """Return the letters and digits that the changes remove."""
    return "".join(dict.fromkeys(c for ch in changes if not ch.after.strip() for c in ch.before if c.isalnum()))


def check_rate(text: str, seconds: float, settings: PrepareConfig) -> None:
    """Drop a text that is far too long or too short for its recording: it belongs to another, or to a longer one."""
    rate = len(text) / seconds
    if rate > settings.max_rate:
        raise _Dropped(f"more than {settings.max_rate:g} characters a second")
    if rate < settings.min_rate:
        raise _Dropped(f"fewer than {settings.min_rate:g} characters a second")


# ---- words ----------------------------------------------------------------------------------------------------------


def check_words(words: Spans, total: float) -> None:
    """Check word times against the recording's `total` seconds."""
    clock = 0.0
    for _, start, end in words:
        if not clock - SLACK <= start <= end <= total + SLACK:
            raise _Dropped("word times out of order or beyond the recording")
        clock = start


def _shifted(spans: Iterable[tuple[str, float, float]], start: float, seconds: float) -> list[tuple[str, float, float]]:
    """Return spans relative to the second `start`, clipped to the `seconds` that are kept."""

    def clip(time: float) -> float:
        return round(min(max(0.0, time - start), seconds), 4)

    return [(label, clip(begin), clip(end)) for label, begin, end in spans]


def words_in_step(written: str, normal: str, times: Spans) -> Words:
    """Return the times of the words of the normalised text, given those of the written text.

    A word that became one other ("Mr." → "Mister") keeps its time. Where one became several ("$3"), or several became
    one, their shares are unknown: they get no times, and training treats the stretch as a whole.
    """
    before, after = written.split(), normal.split()
    timed: dict[int, tuple[float, float]] = {}  # by the word's number in `before`
    for i, j in _pairs([_bare(w) for w in before], [_bare(word) for word, _, _ in times]):
        if _bare(before[i]):
            timed[i] = times[j][1:]
    found = {j: timed[i] for i, j in _pairs(before, after, renamed=True) if i in timed}
    return [(after[j], *found[j]) for j in sorted(found)]


def _pairs(left: Sequence[str], right: Sequence[str], renamed: bool = False) -> list[tuple[int, int]]:
    """Return (i, j) of corresponding words, in order: equal ones and, if `renamed`, one that replaces another."""
    pairs = []
    for kind, i, i_end, j, j_end in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += list(zip(range(i, i_end), range(j, j_end), strict=True))
        elif kind == "replace" and renamed and i_end - i == j_end - j:
            alone = i_end - i == 1
            pairs += [
                (a, b)
                for a, b in zip(range(i, i_end), range(j, j_end), strict=True)
                if alone or _bare(normalise(left[a])[0]) == _bare(right[b])
            ]
    return pairs


def _bare(word: str) -> str:
    """Return a word as aligners write it: without case and punctuation."""
    return "".join(c for c in word.casefold().replace("’", "'") if c.isalnum() or c == "'").strip("'")


# ---- sound ----------------------------------------------------------------------------------------------------------


def read_sound(sound: str | bytes, settings: PrepareConfig) -> tuple[audio.Samples, float, float]:
    """Return a recording at 24 kHz, mono, trimmed: samples [S], the second at which it starts, and its full length."""
    try:
        info = soundfile.info(sound if isinstance(sound, str) else io.BytesIO(sound))
        if info.duration > settings.max_seconds + LONGEST_SILENCE:
            raise _Dropped(f"longer than {settings.max_seconds:g} s")
        # at its own rate first: resampling rounds off the flat tops of clipping
        wave = audio.read(sound if isinstance(sound, str) else io.BytesIO(sound), info.samplerate)
    except (RuntimeError, OSError, TypeError, ValueError):
        raise _Dropped("unreadable audio") from None
    loudest = audio.frame_db(wave, info.samplerate).max()
    if loudest < SILENT_DB:
        raise _Dropped("silent")
    if np.mean(np.abs(wave) >= FULL_SCALE) > settings.max_clipping:
        raise _Dropped("clipped")
    wave = audio.resample(wave, info.samplerate, audio.SAMPLE_RATE)
    start, end, pause = audio.speech_span(wave, audio.SAMPLE_RATE)
    seconds = (end - start) / audio.SAMPLE_RATE
    if seconds < settings.min_seconds:
        raise _Dropped(f"shorter than {settings.min_seconds:g} s")
    if seconds > settings.max_seconds:
        raise _Dropped(f"longer than {settings.max_seconds:g} s")
    if pause > settings.max_pause:
        raise _Dropped(f"a pause longer than {settings.max_pause:g} s")
    return wave[start:end], start / audio.SAMPLE_RATE, len(wave) / audio.SAMPLE_RATE
