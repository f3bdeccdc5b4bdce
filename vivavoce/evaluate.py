"""What `vivavoce evaluate` does: models that speak, folders of sounds and shards of recordings → tables of figures.

A `Request` is planned as `Group`s, each of which becomes a table; an `Item` of a group is a clip not yet made. Speaking
and reading happen one after another, judging beside them in threads. Where `keep` names a folder, each clip leaves its
sound and its score there, and what has been made and judged alike before is not done again.
Where clips come from is in `clips.py`, how one is judged in `evaluation.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vivavoce import audio, checkpoints, evaluation
from vivavoce.clips import (
    SAMPLE_SECONDS,
    Item,
    Kept,
    Wave,
    digest,
    fingerprint,
    imitations,
    read_said,
    read_sentences,
    read_shard,
    read_text,
    safe,
    sounds,
)
from vivavoce.config import BUILTIN_VOICES, SpeakOptions
from vivavoce.evaluation import Clip, Judge, Score, Table
from vivavoce.segments import language
from vivavoce.synthesis import SynthesisError, load
from vivavoce.voices import Voice, get

MOST_THREADS = 8  # unless more are asked for: each keeps the recogniser's working memory
COPY = "Copy synthesis"  # how the title of a table of copies begins


@dataclass(frozen=True)
class Request:
    """What to evaluate and how. benchmarks/README.md tells what the figures are."""

    what: tuple[str, ...]  # models (bundled, a folder, a hub name), folders of sounds, .tar shards of recordings
    sentences: tuple[Path, ...] = ()  # text files, one sentence a line: a table for each
    voices: tuple[str, ...] = ()  # built-in names and .safetensors files; (): all built-in, or none with `speakers`
    speakers: tuple[Path, ...] = ()  # shards whose speakers the models imitate from SAMPLE_SECONDS of sound
    references: tuple[str, ...] = ()  # VOICE=FILE, for sounds and recordings, in place of the built-in voices
    copy_synthesis: bool = False  # the recordings once more, through the models' vocoders
    options: dict[str, Any] = field(default_factory=dict)  # of `SpeakOptions`, but for voice and seed
    lang: str = "en"  # of the sentences and sounds whose tags, and of recordings whose shard, do not say
    seed: int = 0  # line i is spoken with seed + i, i from 0
    backend: str = "auto"
    device: str = "auto"
    vocoder: str | None = None
    bits: int | None = None
    asr: str = "base"  # a size that faster-whisper downloads, or a folder
    threads: int | None = None  # clips judged at once; None: as many as there are cores
    limit: int | None = None  # only the first so many sentences, recordings and sounds
    keep: Path | None = None
    json: Path | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """What makes one table."""

    title: str
    place: Path  # below `keep`
    items: list[Item]
    references: Sequence[Voice]


@dataclass
class Report:
    """What has been scored so far, also where the run breaks off."""

    request: Request
    tables: list[Table] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """As JSON, with every clip's score, whole or not at all. Raises as `audio.write_whole`."""
        told = {
            "complete": self.complete,
            "settings": dataclasses.asdict(self.request),
            "versions": evaluation.versions(),
            "tables": [table.to_dict() for table in self.tables],
        }
        text = json.dumps(told, indent=1, ensure_ascii=False, default=os.fspath)
        audio.write_whole(path, f"{text}\n".encode())

    def show(self) -> None:
        """Print the tables: coloured on a terminal, plain columns elsewhere."""
        from rich.console import Console

        for table in self.tables:
            if sys.stdout.isatty():
                Console(highlight=False).print(table.rich())
            else:
                print(table.plain())
            print()
            if failed := [s for s in table.scores if s.failure]:
                first = f"{failed[0].key} of {failed[0].voice}: {failed[0].failure}"
                print(f"{len(failed)} clips without speech, all their words wrong and skipped; the first, {first}")
        original = None
        for table in self.tables if self.complete else ():
            if not table.title.startswith(COPY):
                original = table
            elif original is not None:
                print(_difference(table, original))
        if self.tables:
            print(f"Whisper {self.request.asr}, greedy, float32; {self.seconds:.0f} s in all.")


def evaluate(request: Request, report: Report) -> None:
    """Score all that is asked for and append each table to `report`, the last one with what there is of it where the
    run is interrupted or fails. A progress bar on stderr, where that is a terminal.

    Raises ValueError, before any work is done, for input that cannot be right, and later for sounds that cannot be
    read and text that cannot be spoken.
    """
    begin = time.perf_counter()
    try:
        groups = plan(request)
        threads = request.threads or min(MOST_THREADS, _cores())
        judge = load_judge(request.asr, threads)
        for group in groups:
            _score(report, group, judge, threads)
        report.complete = True
    finally:
        report.seconds = time.perf_counter() - begin


def load_judge(asr: str, threads: int) -> Judge:
    """Recogniser, likeness and DNSMOS for `threads` clips at once. ValueError where the extra `eval` is missing."""
    evaluation.word_errors("one", "one")  # needs packages of its own: better missed now than after the first clip
    recogniser = evaluation.Recogniser(asr, threads=1, workers=threads)
    return Judge(recogniser, evaluation.Similarity(), evaluation.Dnsmos(threads=1))


# --- what is asked for -----------------------------------------------------------------------------------------------


def plan(request: Request) -> list[Group]:
    """Everything that will be scored, the input read and checked; models are loaded when the first clip needs them.

    Raises ValueError, naming the value, for whatever is missing, unreadable or contradicts itself.
    """
    _check(request)
    models, folders, shards = _sort(request.what)
    if request.sentences and not (models or folders):
        raise ValueError("--sentences are for a model to say: name one, such as bundled")
    if request.references and not (folders or shards):
        raise ValueError("--reference is for sounds and recordings; name a folder or .tar shards")
    models = models or (["bundled"] if request.copy_synthesis else [])
    if models and not request.sentences and not request.copy_synthesis:
        raise ValueError(f"model {models[0]} is given nothing to say: --sentences FILE, one sentence a line")
    if request.copy_synthesis and not shards:
        raise ValueError("--copy-synthesis needs recordings: name .tar shards beside the model")
    if (request.voices or request.speakers) and not (models and request.sentences):
        raise ValueError("--voices and --speakers are for a model that speaks: name one, and --sentences FILE")
    lists = {path: read_sentences(path) for path in request.sentences}
    builtin = [get(name) for name in BUILTIN_VOICES]
    references = _references(request.references) or builtin
    loaders = [Model(name, request) for name in models]

    groups = []
    for path in folders:
        items = [recording.item() for recording in sounds(path, list(lists.values()), request.lang)[: request.limit]]
        groups.append(Group(f"Sounds in {path}", Path("sounds", safe(path.resolve().name)), items, references))
    if models and lists:
        voices = _voices(request.voices) or ([] if request.speakers else builtin)
        known = [*builtin, *(v for v in voices if v.name not in BUILTIN_VOICES)]
        imitated = [imitations(shard) for shard in request.speakers]
        for model in loaders:
            for path, lines in lists.items():
                sentences = lines[: request.limit]
                if voices:
                    groups.append(_spoken(request, model, path, sentences, voices, known))
                for shard, (samples, others) in zip(request.speakers, imitated, strict=True):
                    groups.append(_spoken(request, model, path, sentences, samples, others, shard))
    for shard in shards:
        found = read_shard(shard, [v.name for v in references], request.limit, request.lang)
        originals = [recording.item() for recording in found]
        groups.append(Group(f"Recordings: {shard.name}", Path("recordings", safe(shard.stem)), originals, references))
        for model in loaders if request.copy_synthesis else ():
            groups.append(_copied(model, shard, originals, references))
    places = [group.place for group in groups]
    for group in groups:
        if places.count(group.place) > 1:
            raise ValueError(f"two of what is to be evaluated are called {group.place}; rename one, or run them apart")
    return groups


def _check(request: Request) -> None:
    """Refuse what can be told to be wrong from the flags alone."""
    SpeakOptions(seed=request.seed, **request.options)
    if language(request.lang) != request.lang:
        raise ValueError(f"--lang is {request.lang!r}; it must be a language's code alone, as in en or es")
    for name, value in (("--limit", request.limit), ("--threads", request.threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if request.json is not None and (request.json.is_dir() or not request.json.absolute().parent.is_dir()):
        what = "this is a folder" if request.json.is_dir() else "its folder does not exist"
        raise ValueError(f"--json {request.json}: {what}; a file to write is needed")
    if request.keep is not None and request.keep.exists() and not request.keep.is_dir():
        raise ValueError(f"--keep {request.keep}: this is a file; a folder is needed")


def _sort(what: Sequence[str]) -> tuple[list[str], list[Path], list[Path]]:
    """Models, folders of sounds, shards."""
    models: list[str] = []
    folders: list[Path] = []
    shards: list[Path] = []
    for name in what:
        path = Path(name)
        if path.suffix == ".tar":
            shards.append(path)
        elif path.is_dir() and not any((path / f).exists() for f in ("config.json", "model.safetensors")):
            folders.append(path)
        else:
            models.append(name)
    return models, folders, shards


def _voices(names: Sequence[str]) -> list[Voice]:
    """Built-in voices by name, saved ones by their file."""
    found = [Voice.load(name) if name.endswith(".safetensors") else get(name) for name in names]
    for name, voice in zip(names, found, strict=True):
        if [v.name for v in found].count(voice.name) > 1 or (voice.name in BUILTIN_VOICES and name != voice.name):
            raise ValueError(f"--voices: {name} is one of two voices called {voice.name!r}; each needs its own name")
    return found


def _references(given: Sequence[str]) -> list[Voice]:
    """VOICE=FILE each, with what is said in FILE where FILE's .txt is there."""
    found: dict[str, Voice] = {}
    for entry in given:
        name, equals, file = entry.partition("=")
        if not (name and equals and file):
            raise ValueError(f"--reference {entry}: VOICE=FILE is needed, as in nash=nash.wav")
        if name in found:
            raise ValueError(f"--reference: {name} is given twice; a voice has one reference")
        text = Path(file).with_suffix(".txt")
        found[name] = Voice(name, audio.read(file), read_text(text) if text.is_file() else None)
    return list(found.values())


# --- speech that models make -----------------------------------------------------------------------------------------


class Model:
    """A model that is loaded when it is first used, and a fingerprint that needs no loading."""

    def __init__(self, name: str, request: Request) -> None:
        """Raises ValueError where there is no such model; a hub name is fetched."""
        self.name = name
        self.request = request
        self.label = safe(Path(name).resolve().name if Path(name).is_dir() else name)
        folder, files = checkpoints.split_name(name)
        self.folder = checkpoints.find(folder, files) if files else checkpoints.find(folder)

    @functools.cached_property
    def tts(self) -> Any:
        asked = self.request
        return load(self.name, asked.backend, asked.device, vocoder=asked.vocoder, bits=asked.bits)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights and settings of the model and of what it speaks with: a new export under an old name is a new
        model. The code is told by the version of the package alone."""
        others: list[str | Path] = [] if self.request.vocoder is None else [self.request.vocoder]
        with contextlib.suppress(OSError, ValueError, TypeError):  # what is wrong with it, loading tells
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            others += [
                self.folder / config[key] for key in ("duration", "vocoder", "t2s", "s2a", "codec") if key in config
            ]
        folders = [self.folder, *sorted(checkpoints.ASSETS.iterdir()), *map(Path, others)]
        where = (self.request.backend, self.request.device, self.request.vocoder, self.request.bits)
        return fingerprint(evaluation.versions()["vivavoce"], where, list(map(digest, folders)))


def _spoken(
    request: Request,
    model: Model,
    path: Path,
    sentences: Sequence[str],
    voices: Sequence[Voice],
    references: Sequence[Voice],
    shard: Path | None = None,
) -> Group:
    """Each sentence in every voice, sentence by sentence, so that a run that breaks off has scored all voices alike.

    shard: where the voices come from, if they are not known to the model.
    """
    embedded = functools.cache(lambda voice: model.tts.system.embedded(voice))  # once, not for each sentence

    def speak(sentence: str, voice: Voice, seed: int) -> Wave:
        speech = model.tts.speak(sentence, voice=embedded(voice), lang=request.lang, seed=seed, **request.options)
        # As from a file, so that kept speech and that of other systems is judged alike.
        data = io.BytesIO(audio.encode(speech.samples, speech.sample_rate, "wav"))
        return audio.read(data, speech.sample_rate), speech.sample_rate

    identities = [fingerprint(v.name, v.transcript, v.samples.tobytes().hex()) for v in voices]
    items = []
    for i, sentence in enumerate(sentences):
        try:
            said = read_said(sentence, request.lang)
        except ValueError as error:
            raise ValueError(f"{path}: sentence {i + 1}: {error}") from None
        for voice, identity in zip(voices, identities, strict=True):
            seed = request.seed + i
            source = fingerprint(model.fingerprint, identity, sentence, request.lang, seed, request.options)
            make = functools.partial(speak, sentence, voice, seed)
            items.append(Item(f"{i + 1:04d}", voice.name, said, source, make, made=True))
    settings = {
        "lang": request.lang if request.lang != "en" else None,
        **request.options,
        "vocoder": request.vocoder,
        "bits": request.bits,
    }
    flags = "".join(f", {name} {value}" for name, value in settings.items() if value is not None)
    title, folder = f"Model {model.name}: {len(sentences)} sentences of {path.name}{flags}", path.stem
    if shard is not None:
        title += f"; voices from {SAMPLE_SECONDS:g} s in {shard.name}"
        folder += f"-{shard.stem}"
    return Group(title, Path(model.label, safe(folder)), items, references)


def _copied(model: Model, shard: Path, originals: Sequence[Item], references: Sequence[Voice]) -> Group:
    """The recordings through log-mel, codec (whisperspeech) and vocoder, at 24 kHz whatever the model's rate."""

    def copy(item: Item) -> Wave:
        system, (samples, rate) = model.tts.system, item.make()
        copied = system.copy_synthesis(audio.resample(samples, rate, system.sample_rate))
        return audio.resample(copied, system.sample_rate, rate), rate

    items = [
        dataclasses.replace(
            item,
            source=fingerprint("copy", model.fingerprint, item.source),
            make=functools.partial(copy, item),
            made=True,
        )
        for item in originals
    ]
    title = f"{COPY} of {shard.name}, model {model.name}"
    return Group(title, Path(model.label, f"copy-{safe(shard.stem)}"), items, references)


# --- scoring ---------------------------------------------------------------------------------------------------------


def _score(report: Report, group: Group, judge: Judge, threads: int) -> None:
    """Score a group's clips and append the table to the report, with what there is of it where the run breaks off."""
    judge = dataclasses.replace(judge, references={})
    for voice in group.references:
        judge.add_reference(voice.name, voice.samples, voice.sample_rate, voice.transcript)
    keep = report.request.keep
    kept = Kept(None if keep is None else keep / group.place, _judge_fingerprint(report.request.asr, judge))
    scores: dict[int, Score] = {}
    waiting: dict[Future[Score], int] = {}

    def add(i: int, score: Score) -> None:
        scores[i] = score
        show(sum(s.wer for s in scores.values()) / len(scores))

    def collect(at_most: int) -> None:
        """Wait until no more than so many clips are being judged."""
        while len(waiting) > at_most:
            # in short turns: a plain wait cannot be interrupted on Windows
            for future in wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED).done:
                i = waiting.pop(future)
                score = future.result()
                kept.save_score(group.items[i], score)
                add(i, score)

    pool = ThreadPoolExecutor(threads)
    with _progress(group) as show:
        try:
            for i, item in enumerate(group.items):
                if (known := kept.score(item)) is not None:
                    add(i, known)
                    continue
                if (wave := kept.wave(item)) is None:
                    try:
                        wave = item.make()
                    except SynthesisError as error:
                        failed = Score.silent(item.key, item.voice, item.said.text, str(error))
                        kept.save_score(item, failed)
                        add(i, failed)
                        continue
                    kept.save_wave(item, wave)
                clip = Clip(item.key, item.voice, item.said.text, *wave, item.said.languages)
                waiting[pool.submit(judge.score, clip)] = i
                collect(at_most=2 * threads)  # enough that no thread is idle, few enough to hold in memory
            collect(at_most=0)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for future, i in waiting.items():  # judged, but not collected when the run broke off
                if not future.cancelled() and future.exception() is None:
                    kept.save_score(group.items[i], future.result())
                    scores[i] = future.result()
            done, total = len(scores), len(group.items)
            title = group.title if done == total else f"{group.title} (broken off after {done} of {total} clips)"
            if scores:
                report.tables.append(evaluation.summarise((scores[i] for i in sorted(scores)), title))


def _judge_fingerprint(asr: str, judge: Judge) -> str:
    """Of all that a score depends on but the clip."""
    references = {name: (r.vector.tobytes().hex(), r.pace) for name, r in judge.references.items()}
    return fingerprint(asr, digest(Path(asr)), evaluation.versions(), references)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _progress(group: Group) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, where that is a terminal: gives a function that counts a clip and shows the mean WER so far."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("WER {task.fields[wer]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(group.place.as_posix(), total=len(group.items), wer="–")
        yield lambda wer: progress.update(task, advance=1, wer=f"{100 * wer:.1f} %")


def _difference(copy: Table, original: Table) -> str:
    """What the copying costs, in a line."""
    parts = []
    for name, metric, factor, unit in (
        ("WER", "wer", 100, " points"),
        ("CER", "cer", 100, " points"),
        ("OVRL", "ovrl", 1, ""),
    ):
        a, b = getattr(copy.all_clips, metric), getattr(original.all_clips, metric)
        if a is not None and b is not None:
            parts.append(f"{name} {factor * (a - b):+.2f}{unit}")
    return f"{copy.title}, against the recordings, all clips: {', '.join(parts)}"
