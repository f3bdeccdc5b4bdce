"""One item → what is stored of it, or the reason why it is dropped. Runs in worker processes; loads no torch.

Knows nothing about where items come from or where they go.
"""

from __future__ import annotations

import difflib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile

from vivavoce import audio
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.prepare.shards import Files, fixed_ogg
from vivavoce.prepare.sources import Item
from vivavoce.text import Change, CharTokenizer, normalise

SILENT_DB = -50.0  # below full scale: what never gets louder than this is silent
FULL_SCALE = 0.99
LONGEST_SILENCE = 30.0  # seconds at the ends of a usable recording: a longer file is not even decoded
SLACK = 0.1  # seconds that word times may lie beyond the recording's end, for aligners count in frames

Words = list[tuple[str, float, float]]


@dataclass(frozen=True)
class Outcome:
    """What became of an item: its files, or the reason why it was dropped."""

    key: str
    same: str
    reason: str = ""
    outside: str = ""  # characters that the vocabulary lacks, for which it was dropped
    letters: str = ""  # letters that the vocabulary has to grow by
    speaker: str = ""
    lang: str = ""
    seconds: float = 0.0
    files: Files = field(default_factory=dict)
    done: float | None = None


class _Dropped(Exception):
    """Its first argument is the reason."""


def examine(item: Item, settings: PrepareConfig, tokenizer: CharTokenizer) -> Outcome:
    """Check an item and encode what is kept of it."""
    same = item.same or item.key
    try:
        if item.fault:
            raise _Dropped(item.fault)
        lang = item.lang.lower().replace("_", "-").split("-")[0]
        text, letters = read_text(item.text, lang, tokenizer, settings.grow_vocab)
        samples, start, total = read_sound(item.sound, settings)
        seconds = len(samples) / audio.SAMPLE_RATE
        check_rate(text, seconds, settings)
        meta = {"text": text, "speaker": item.speaker, "lang": lang, "duration": round(seconds, 4)}
        if item.words:
            meta["words"] = [
                (word, *(round(min(max(0.0, time - start), seconds), 4) for time in times))
                for word, *times in words_in_step(item.text, text, read_words(item.words, total))
            ]
        meta = {"original": item.text, **item.more, **meta}
    except _Dropped as dropped:
        reason, *outside = dropped.args
        return Outcome(item.key, same, reason, "".join(outside), done=item.done)
    sound = audio.encode(samples, audio.SAMPLE_RATE, settings.format)
    files = {
        settings.format: fixed_ogg(sound) if settings.format == "ogg" else sound,
        "json": json.dumps(meta, ensure_ascii=False, default=str).encode("utf-8", "replace"),
    }
    return Outcome(item.key, same, "", "", letters, item.speaker, lang, seconds, files, item.done)


# ---- text -----------------------------------------------------------------------------------------------------------


def read_text(written: str, lang: str, tokenizer: CharTokenizer, grow: bool) -> tuple[str, str]:
    """The text as speaking normalises it, on one line, and the letters that the vocabulary must `grow` by for it."""
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
    """The letters and digits that the vocabulary has in neither case, each once, in order; small ones where it has no
    capitals."""
    known = set(tokenizer.characters)
    capitals = any(c.isupper() for c in known)
    missing = [c if capitals else c.lower() for c in text if c.isalnum() and not {c, c.lower(), c.upper()} & known]
    return "".join(dict.fromkeys("".join(missing)))


def _lost(changes: Sequence[Change]) -> str:
    """The letters and digits that changes leave out."""
    return "".join(dict.fromkeys(c for ch in changes if not ch.after.strip() for c in ch.before if c.isalnum()))


def check_rate(text: str, seconds: float, settings: PrepareConfig) -> None:
    """Text that is far too long or too short for its recording is the text of another one, or of more than it."""
    rate = len(text) / seconds
    if rate > settings.max_rate:
        raise _Dropped(f"more than {settings.max_rate:g} characters a second")
    if rate < settings.min_rate:
        raise _Dropped(f"fewer than {settings.min_rate:g} characters a second")


# ---- words ----------------------------------------------------------------------------------------------------------


def read_words(given: Any, total: float) -> Words:
    """Word times as the input has them, checked against the recording's `total` seconds."""
    try:
        words = [(str(word), float(start), float(end)) for word, start, end in given]
    except (TypeError, ValueError):
        raise _Dropped("unreadable word times") from None
    clock = 0.0
    for _, start, end in words:
        if not (math.isfinite(start) and math.isfinite(end) and clock - SLACK <= start <= end <= total + SLACK):
            raise _Dropped("word times out of order or beyond the recording")
        clock = start
    return words


def words_in_step(written: str, normal: str, times: Words) -> Words:
    """Times of the words of the normalised text, from those of the written one.

    A word that became one other ("Mr." → "Mister") keeps its time. Where one became several ("$3"), or several became
    one, nothing tells who has which part: those get none, and training takes the stretch as a whole.
    """
    before, after = written.split(), normal.split()
    timed: dict[int, tuple[float, float]] = {}  # by the word's number in `before`
    for i, j in _pairs([_bare(w) for w in before], [_bare(word) for word, _, _ in times]):
        if _bare(before[i]):
            timed[i] = times[j][1:]
    found = {j: timed[i] for i, j in _pairs(before, after, renamed=True) if i in timed}
    return [(after[j], *found[j]) for j in sorted(found)]


def _pairs(left: Sequence[str], right: Sequence[str], renamed: bool = False) -> list[tuple[int, int]]:
    """(i, j) of the words that correspond, in order: the equal ones and, if `renamed`, one that stands for another."""
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
    """A word as aligners give it: without case and punctuation."""
    return "".join(c for c in word.casefold().replace("’", "'") if c.isalnum() or c == "'").strip("'")


# ---- sound ----------------------------------------------------------------------------------------------------------


def read_sound(sound: str | bytes, settings: PrepareConfig) -> tuple[audio.Samples, float, float]:
    """A recording at 24 kHz, mono, trimmed: samples [S], at which second it starts, and the seconds it had before."""
    try:
        info = soundfile.info(sound if isinstance(sound, str) else io.BytesIO(sound))
        if info.duration > settings.max_seconds + LONGEST_SILENCE:
            raise _Dropped(f"longer than {settings.max_seconds:g} s")
        # at its own rate first: resampling rounds off the flat tops by which clipping is told
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
