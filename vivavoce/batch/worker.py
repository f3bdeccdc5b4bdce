"""Speaks the rows of a batch. Runs in worker processes, each with its own model and one thread."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivavoce.audio.io import encode
from vivavoce.audio.ogg import with_serial
from vivavoce.batch.outputs import Writer
from vivavoce.batch.places import Place, download, is_url
from vivavoce.batch.rows import Row, parse_row, row_id
from vivavoce.cluster import THREADS
from vivavoce.config import SpeakOptions
from vivavoce.synthesis.speech import Speech
from vivavoce.systems.interface import SynthesisError
from vivavoce.voices import Voice

if TYPE_CHECKING:
    from vivavoce.synthesis.synthesizer import Synthesizer
    from vivavoce.synthesis.tts import TTS
    from vivavoce.systems.interface import SynthesisRequest

WORK = ".batch"  # folder in OUT: one file for each finished block


@dataclass(frozen=True)
class Block:
    """Consecutive rows of the table, as read, which one process speaks."""

    number: int
    first: int  # number of the first row, from 1
    rows: list[dict[str, Any]]
    duplicates: tuple[int, ...] = ()  # numbers of rows whose id an earlier row has


@dataclass(frozen=True)
class Settings:
    """What all rows of a batch have in common."""

    out: str  # folder or URL of the output
    base: str  # the table's folder or URL, to which references are relative
    output: str = "files"
    format: str = "wav"
    seed: int = 0
    voice: str | None = None
    lang: str = "en"
    retries: int = 2
    verify: str | None = None
    batch_size: int = 1  # pieces of different rows in one pass of the network
    options: dict[str, Any] = field(default_factory=dict)  # other fields of `SpeakOptions`
    model: dict[str, Any] = field(default_factory=dict)  # arguments of `load`


@dataclass(frozen=True)
class Outcome:
    """The result of a block. Its lines for the manifest and for errors.jsonl are in its file."""

    block: int
    spoken: int
    errors: int


Loader = Callable[..., Any]  # as `synthesis.tts.load`, which returns a TTS; importable
_settings: tuple[Settings, Loader] | None = None  # of this process
_tts: TTS | None = None


def start(settings: Settings, loader: Loader) -> None:
    """Set up this process, with one thread: so the samples do not depend on the number of processes."""
    global _settings
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when torch is imported
    _settings = settings, loader


def block_file(number: int) -> str:
    """Return the name in OUT of the file that a finished block leaves."""
    return f"{WORK}/{number:06d}.json"


def speak_block(block: Block) -> Outcome:
    """Speak the rows of a block, store their speech, and finally write the file of the block.

    A block that is done already, because a cluster repeats it, is not done again. Raises ValueError if the model cannot
    be loaded, OSError if the disk or the store fails.
    """
    global _tts
    assert _settings is not None  # `start` runs first
    settings, loader = _settings
    place = Place(settings.out)
    with contextlib.suppress(FileNotFoundError):
        stored = json.loads(place.read(block_file(block.number)))
        return Outcome(block.number, len(stored["spoken"]), len(stored["errors"]))
    if _tts is None:
        _tts = loader(**settings.model)
    writer = Writer(place, settings.output, block.number, settings.format)
    errors: dict[int, dict[str, Any]] = {}
    rows = []
    for number, values in enumerate(block.rows, block.first):
        try:
            if number in block.duplicates:
                raise ValueError("an earlier row has the same id")
            rows.append(parse_row(number, values))
        except ValueError as error:
            errors[number] = {"row": number, "id": row_id(number, values), "error": str(error)}
    for row, result in _speak(_tts, settings, rows):
        if isinstance(result, _Spoken):
            sound = encode(result.speech.samples, result.speech.sample_rate, settings.format)
            if settings.format in ("ogg", "opus"):
                sound = with_serial(sound)  # libsndfile draws a random one
            writer.add(row.number, _line(row, result, settings), sound)
        else:
            errors[row.number] = {"row": row.number, "id": row.id, "error": str(result)}
    spoken = writer.close()
    lines = {"spoken": spoken, "errors": [errors[number] for number in sorted(errors)]}
    place.write(block_file(block.number), json.dumps(lines, ensure_ascii=False).encode("utf-8", "replace"))
    return Outcome(block.number, len(spoken), len(errors))


# ---- speaking -------------------------------------------------------------------------------------------------------


@dataclass
class _Spoken:
    """The speech of a row, and how it was made."""

    speech: Speech
    voice: str
    lang: str
    seed: int
    notices: list[str]


@dataclass
class _Active:
    """A row that is being spoken."""

    row: Row
    synthesizer: Synthesizer
    voice: str
    lang: str
    seed: int
    notices: list[str]
    request: SynthesisRequest | None = None
    parts: list[Speech] = field(default_factory=list)


def _speak(tts: TTS, settings: Settings, rows: list[Row]) -> Iterator[tuple[Row, _Spoken | Exception]]:
    """Speak rows, sorted by length, the next pieces of `batch_size` of them in one pass. An exception is the reason."""
    waiting = sorted(rows, key=lambda row: (len(row.text), row.number))
    active: list[_Active] = []
    while waiting or active:
        while waiting and len(active) < settings.batch_size:
            row = waiting.pop(0)
            try:
                active.append(_begin(tts, settings, row))
            except (ValueError, SynthesisError) as error:
                yield row, error
        for each in list(active):
            try:
                each.request = _noted(each, each.synthesizer.next_request)
            except (ValueError, SynthesisError) as error:
                active.remove(each)
                yield each.row, error
                continue
            if each.request is None:
                active.remove(each)
                yield each.row, _finish(each)
        for each, reason in _pass(tts, active):
            active.remove(each)
            yield each.row, reason


def _begin(tts: TTS, settings: Settings, row: Row) -> _Active:
    seed = row_seed(settings.seed, row.id) if row.seed is None else row.seed
    voice: Voice | str = row.voice or settings.voice or SpeakOptions().voice
    name = row.reference or str(voice)
    if row.reference is not None:
        base = settings.base.rstrip("/")
        remote = is_url(row.reference) or is_url(base)
        joined = row.reference if is_url(row.reference) else f"{base}/{row.reference}"
        voice = _cloned(joined if remote else os.path.join(settings.base, row.reference))
    options = dict(settings.options) if row.speed is None else {**settings.options, "speed": row.speed}
    lang = row.lang or settings.lang
    active = _Active(row, None, name, lang, seed, [])  # type: ignore[arg-type]
    active.synthesizer = _noted(
        active, tts.begin, row.text, voice, lang=lang, seed=seed, retries=settings.retries, verify=settings.verify,
        **options,
    )  # fmt: skip
    return active


def _noted(active: _Active, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function, and collect its warnings for the manifest."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = function(*arguments, **options)
    active.notices += [str(notice.message) for notice in found]
    return result


def _pass(tts: TTS, active: list[_Active]) -> list[tuple[_Active, Exception]]:
    """Run one pass of the network for the next piece of each row, and return the rows that failed, with the reason."""
    requests = [each.request for each in active if each.request is not None]
    if not requests:
        return []
    try:
        results = tts.system.synthesize(requests)
    except (ValueError, SynthesisError) as error:
        if len(active) == 1:
            return [(active[0], error)]
        return [failed for each in active for failed in _pass(tts, [each])]  # one of them caused it
    failed: list[tuple[_Active, Exception]] = []
    for each, result in zip(active, results, strict=True):
        try:
            _noted(each, each.synthesizer.submit, result)
        except (ValueError, SynthesisError) as error:
            failed.append((each, error))
            continue
        while (speech := each.synthesizer.take_speech()) is not None:
            each.parts.append(speech)
            each.notices += each.synthesizer.take_notices()
    return failed


def _finish(active: _Active) -> _Spoken | Exception:
    active.notices += active.synthesizer.take_notices()
    try:
        speech = Speech.join(active.parts, active.row.text)
    except ValueError as error:
        return error
    return _Spoken(speech, active.voice, active.lang, active.seed, active.notices)


def _line(row: Row, spoken: _Spoken, settings: Settings) -> dict[str, Any]:
    """Return a row's line of the manifest, without its path."""
    speech = spoken.speech
    return {
        "id": row.id,
        "text": row.text,
        "voice": spoken.voice,
        "lang": spoken.lang,
        "model": str(settings.model.get("model", "nanospeech")),
        "seed": spoken.seed,
        "seconds": round(speech.duration, 4),
        "words": [[word.text, round(word.start, 4), round(word.end, 4)] for word in speech.words],
        "retries": sum(check.tries - 1 for check in speech.checks),
        "checks": [
            {"tries": check.tries, "faults": [fault.name for fault in check.faults], "transcript": check.heard}
            for check in speech.checks
        ],
        "warnings": spoken.notices,
    }


@functools.lru_cache(maxsize=16)
def _cloned(path: str) -> Voice:
    if not is_url(path):
        return Voice.from_file(path)
    with tempfile.TemporaryDirectory() as folder:
        return Voice.from_file(download(path, Path(folder)))


def row_seed(seed: int, id: str) -> int:
    """Return the seed of a row that has none: it depends on the batch's seed and the row's id alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{id}".encode("utf-8", "replace"), digest_size=4).digest(), "big")


def stamp(settings: Settings) -> dict[str, Any]:
    """Return the settings that must not change when a batch resumes. A batch may be moved."""
    values = dataclasses.asdict(settings)
    del values["out"], values["base"]
    return values
