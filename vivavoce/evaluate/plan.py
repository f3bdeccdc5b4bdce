"""What to evaluate: a `Request` becomes `Group`s of clips that are still to be made, one table each.

All input is read and checked here, before any model is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivavoce import audio
from vivavoce.checkpoints import resolve
from vivavoce.config import BUILTIN_VOICES, DTYPES, SpeakOptions
from vivavoce.evaluate.clips import (
    PROMPT_SECONDS,
    Item,
    Wave,
    audio_files,
    digest,
    fingerprint,
    parse_transcript,
    read_sentences,
    read_shard,
    read_text,
    safe,
    speakers_to_imitate,
)
from vivavoce.metrics.packages import versions
from vivavoce.systems.load import part_settings
from vivavoce.text.segments import parse_language
from vivavoce.voices import Voice, find_voice, get

if TYPE_CHECKING:
    from vivavoce.synthesis.tts import TTS

Load = Callable[..., "TTS"]  # as `synthesis.tts.load`
COPY = "Copy synthesis"  # starts the title of a table of copies


@dataclass(frozen=True)
class Request:
    """What to evaluate and how. benchmarks/README.md explains the figures."""

    what: tuple[str, ...]  # models (nanospeech, a folder, a hub name), folders of audio, .tar shards of recordings
    sentences: tuple[Path, ...] = ()  # text files, one sentence per line: a table for each
    voices: tuple[str, ...] = ()  # built-in names and .safetensors files; (): all built-in, or none with `speakers`
    speakers: tuple[Path, ...] = ()  # shards whose speakers the models imitate from PROMPT_SECONDS of audio
    references: tuple[str, ...] = ()  # VOICE=FILE, for audio and recordings, instead of the built-in voices
    copy_synthesis: bool = False  # also pass the recordings through the models' vocoders
    options: dict[str, Any] = field(default_factory=dict)  # of `SpeakOptions`, except voice and seed
    lang: str = "en"  # for sentences and audio without language tags, and recordings whose shard does not say
    seed: int = 0  # line i is spoken with seed + i, i from 0
    backend: str = "auto"
    device: str = "auto"
    dtype: str = "auto"
    vocoder: str | None = None
    bits: int | None = None
    asr: str = "base"  # a size that faster-whisper downloads, or a folder
    threads: int | None = None  # clips scored at once; None: one per core
    limit: int | None = None  # only the first sentences, recordings and audio files
    keep: Path | None = None
    json: Path | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """The clips of one table."""

    title: str
    place: Path  # below `keep`
    items: list[Item]
    references: Sequence[Voice]  # what each voice should sound like
    prompts: Sequence[Voice] = ()  # what imitated speakers are imitated from


class Model:
    """A model that is loaded on first use, and a fingerprint that does not need it loaded."""

    def __init__(self, name: str, request: Request, load: Load) -> None:
        """Find the model; one on the hub is downloaded. Raises ValueError if there is no such model."""
        self.name = name
        self.request = request
        self.load = load
        self.label = safe(Path(name).resolve().name if Path(name).is_dir() else name)
        folder, files = resolve.split_name(name)
        self.folder = resolve.find(folder, files) if files else resolve.find(folder)

    @functools.cached_property
    def tts(self) -> Any:
        request = self.request
        return self.load(
            self.name,
            request.backend,
            request.device,
            request.dtype,
            vocoder=request.vocoder,
            bits=request.bits,
        )

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the weights and settings of the model and its parts: a new export under an old name is a new model.

        Of the code, only the package's version counts.
        """
        request = self.request
        parts: list[Path] = [] if request.vocoder is None else [Path(request.vocoder)]
        with contextlib.suppress(OSError, ValueError, TypeError):  # loading reports what is wrong with it
            config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
            parts += [self.folder / config[key] for key in part_settings() if key in config]
        folders = [self.folder, *sorted(resolve.ASSETS.iterdir()), *parts]
        settings = (request.backend, request.device, request.dtype, request.vocoder, request.bits)
        return fingerprint(versions()["vivavoce"], settings, list(map(digest, folders)))


def plan(request: Request, load: Load) -> list[Group]:
    """Return everything that will be scored. `load` loads a model when the first clip needs it.

    Raises ValueError, naming the value, for input that is missing, unreadable or contradictory.
    """
    _check_flags(request)
    models, folders, shards = _sort(request.what)
    _check_combination(request, models, folders, shards)
    loaders = [Model(name, request, load) for name in models or (["nanospeech"] if request.copy_synthesis else [])]
    lists = {path: read_sentences(path) for path in request.sentences}
    references = _references(request.references) or [get(name) for name in BUILTIN_VOICES]

    groups = [_audio_group(request, path, list(lists.values()), references) for path in folders]
    if models and lists:
        groups += _spoken_groups(request, loaders, lists)
    for shard in shards:
        groups += _shard_groups(request, loaders if request.copy_synthesis else [], shard, references)
    places = [group.place for group in groups]
    for group in groups:
        if places.count(group.place) > 1:
            raise ValueError(f"two inputs have the same name, {group.place}; rename one, or evaluate them separately")
    return groups


# --- checks ----------------------------------------------------------------------------------------------------------


def _check_flags(request: Request) -> None:
    """Refuse flags that are wrong by themselves."""
    SpeakOptions(seed=request.seed, **request.options)
    if parse_language(request.lang) != request.lang:
        raise ValueError(f"--lang is {request.lang!r}; it must be a language's code alone, as in en or es")
    if request.dtype not in DTYPES:
        raise ValueError(f"--dtype is {request.dtype!r}; it must be one of {', '.join(DTYPES)}")
    for name, value in (("--limit", request.limit), ("--threads", request.threads)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    if request.json is not None and (request.json.is_dir() or not request.json.absolute().parent.is_dir()):
        what = "this is a folder" if request.json.is_dir() else "its folder does not exist"
        raise ValueError(f"--json {request.json}: {what}; a file to write is needed")
    if request.keep is not None and request.keep.exists() and not request.keep.is_dir():
        raise ValueError(f"--keep {request.keep}: this is a file; a folder is needed")


def _sort(what: Sequence[str]) -> tuple[list[str], list[Path], list[Path]]:
    """Sort the inputs into models, folders of audio, and shards."""
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


def _check_combination(request: Request, models: list[str], folders: list[Path], shards: list[Path]) -> None:
    """Refuse flags and inputs that do not go together."""
    if request.sentences and not (models or folders):
        raise ValueError("--sentences need a model that speaks them: name one, such as nanospeech")
    if request.references and not (folders or shards):
        raise ValueError("--reference is for audio and recordings; name a folder or .tar shards")
    if models and not request.sentences and not request.copy_synthesis:
        raise ValueError(f"model {models[0]} has nothing to say: add --sentences FILE, one sentence per line")
    if request.copy_synthesis and not shards:
        raise ValueError("--copy-synthesis needs recordings: name .tar shards beside the model")
    if (request.voices or request.speakers) and not (models and request.sentences):
        raise ValueError("--voices and --speakers need a model that speaks: name one, and --sentences FILE")


def _voices(names: Sequence[str]) -> list[Voice]:
    """Load voices by name and saved ones from their file."""
    found = [find_voice(name) for name in names]
    for name, voice in zip(names, found, strict=True):
        if [v.name for v in found].count(voice.name) > 1 or (voice.name in BUILTIN_VOICES and name != voice.name):
            raise ValueError(f"--voices: {name} is one of two voices called {voice.name!r}; each needs its own name")
    return found


def _references(given: Sequence[str]) -> list[Voice]:
    """Parse VOICE=FILE; FILE's transcript is the .txt file beside it, if there is one."""
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


# --- groups ----------------------------------------------------------------------------------------------------------


def _audio_group(request: Request, path: Path, lists: list[list[str]], references: Sequence[Voice]) -> Group:
    items = [recording.item() for recording in audio_files(path, lists, request.lang)[: request.limit]]
    return Group(f"Audio in {path}", Path("audio", safe(path.resolve().name)), items, references)


def _shard_groups(request: Request, models: list[Model], shard: Path, references: Sequence[Voice]) -> list[Group]:
    """Return the recordings of a shard, and for each model their copies."""
    recordings = read_shard(shard, [v.name for v in references], request.limit, request.lang)
    originals = [recording.item() for recording in recordings]
    group = Group(f"Recordings: {shard.name}", Path("recordings", safe(shard.stem)), originals, references)
    return [group, *(_copy_group(model, shard, originals, references) for model in models)]


def _spoken_groups(request: Request, models: list[Model], lists: dict[Path, list[str]]) -> list[Group]:
    """Return each list of sentences, spoken by each model in the given voices and by imitated speakers."""
    builtin = [get(name) for name in BUILTIN_VOICES]
    voices = _voices(request.voices) or ([] if request.speakers else builtin)
    known = [*builtin, *(v for v in voices if v.name not in BUILTIN_VOICES)]
    speakers = {shard: speakers_to_imitate(shard) for shard in request.speakers}
    groups = []
    for model in models:
        for path, lines in lists.items():
            sentences = lines[: request.limit]
            if voices:
                groups.append(_spoken_group(request, model, path, sentences, voices, known))
            for shard, (prompts, references) in speakers.items():
                groups.append(_spoken_group(request, model, path, sentences, prompts, references, shard))
    return groups


def _spoken_group(
    request: Request,
    model: Model,
    path: Path,
    sentences: Sequence[str],
    voices: Sequence[Voice],
    references: Sequence[Voice],
    shard: Path | None = None,
) -> Group:
    """Return each sentence in every voice, sentence by sentence: an interrupted run has scored all voices alike.

    shard: where the voices come from if they are not built in.
    """
    embedded = functools.cache(lambda voice: model.tts.system.embedded(voice))  # once, not for each sentence

    def speak(sentence: str, voice: Voice, seed: int) -> Wave:
        speech = model.tts.speak(sentence, voice=embedded(voice), lang=request.lang, seed=seed, **request.options)
        # Through a file's format, so that stored clips and those of other systems are scored alike.
        data = io.BytesIO(audio.encode(speech.samples, speech.sample_rate, "wav"))
        return audio.read(data, speech.sample_rate), speech.sample_rate

    trained = ["" if v.weights is None else v.weights.digest for v in voices]
    identities = [
        fingerprint(v.name, v.transcript, v.samples.tobytes().hex(), *([weights] if weights else []))
        for v, weights in zip(voices, trained, strict=True)
    ]
    items = []
    for i, sentence in enumerate(sentences):
        try:
            transcript = parse_transcript(sentence, request.lang)
        except ValueError as error:
            raise ValueError(f"{path}: sentence {i + 1}: {error}") from None
        for voice, identity in zip(voices, identities, strict=True):
            seed = request.seed + i
            source = fingerprint(model.fingerprint, identity, sentence, request.lang, seed, request.options)
            make = functools.partial(speak, sentence, voice, seed)
            items.append(Item(f"{i + 1:04d}", voice.name, transcript, source, make, generated=True))
    settings = {
        "lang": request.lang if request.lang != "en" else None,
        **request.options,
        "vocoder": request.vocoder,
        "bits": request.bits,
    }
    flags = "".join(f", {name} {value}" for name, value in settings.items() if value is not None)
    title, folder = f"Model {model.name}: {len(sentences)} sentences of {path.name}{flags}", path.stem
    if shard is not None:
        title += f"; voices from {PROMPT_SECONDS:g} s in {shard.name}"
        folder += f"-{shard.stem}"
    return Group(title, Path(model.label, safe(folder)), items, references, voices if shard is not None else ())


def _copy_group(model: Model, shard: Path, originals: Sequence[Item], references: Sequence[Voice]) -> Group:
    """Return the recordings after log-mel or codec and vocoder, at 24 kHz whatever the model's sample rate."""

    def copy(item: Item) -> Wave:
        system, (samples, rate) = model.tts.system, item.make()
        copied = system.copy_synthesis(audio.resample(samples, rate, system.sample_rate))
        return audio.resample(copied, system.sample_rate, rate), rate

    items = [
        dataclasses.replace(
            item,
            source=fingerprint("copy", model.fingerprint, item.source),
            make=functools.partial(copy, item),
            generated=True,
        )
        for item in originals
    ]
    title = f"{COPY} of {shard.name}, model {model.name}"
    return Group(title, Path(model.label, f"copy-{safe(shard.stem)}"), items, references)
