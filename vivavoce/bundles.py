"""Voice bundles: a voice in one zip file, which any zip program opens.

    voice.json                        name, language, licence, consent, transcript, and the SHA-256 of the other files
    reference.flac                    the recording that the voice is cloned from
    embedding.safetensors             its speaker vector
    weights/nanospeech.safetensors    if it was trained: the difference to the weights of the model it was trained from,
    weights/duration.safetensors      in float16, whole or of low rank (`checkpoints.difference`)
    MODEL_CARD.md, curves.svg         how it was trained

The weights are read when a model first speaks with them. Anything else in the file is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from vivavoce.audio.dsp import SAMPLE_RATE, Samples
from vivavoce.audio.files import atomic_write
from vivavoce.audio.io import encode, read

FORMAT, VERSION = "vivavoce-voice", 2  # version 1 is a safetensors file
ABOUT, REFERENCE, EMBEDDING = "voice.json", "reference.flac", "embedding.safetensors"
EXTRAS = ("MODEL_CARD.md", "curves.svg")
PARTS = ("nanospeech", "duration")  # models that a voice may change
TEXTS = ("name", "licence", "consent", "description", "language", "transcript", "created")
SMALL, SOUND, LARGE = 1 << 20, 20 << 20, 1 << 30  # bytes: limits of texts, of the recording, of weights
MAX_SECONDS = 60.0  # of the recording

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class VoiceWeights:
    """The trained weights of a voice: differences to the weights of other models, in the file of its bundle."""

    path: Path
    voice: str  # its name, for messages
    base: Mapping[str, str]  # model, one of PARTS -> SHA-256 of the model.safetensors that the difference belongs to
    digests: Mapping[str, str]  # model -> SHA-256 of the difference

    @property
    def digest(self) -> str:
        """Identifies the weights, whatever file they are in."""
        text = json.dumps([sorted(self.base.items()), sorted(self.digests.items())])
        return hashlib.sha256(text.encode()).hexdigest()

    def tensors(self, part: str) -> Tensors:
        """Return the difference for a model. Raises ValueError, naming the file, if it is damaged or gone."""
        try:
            return _tensors(self.content(part), str(self.path))
        except OSError as error:
            raise ValueError(f"{self.path}: {error.strerror or error}") from None

    def content(self, part: str) -> bytes:
        """Return the bytes of the difference for a model. Raises as `tensors`, or OSError."""
        with _opened(self.path) as archive:
            content = _content(archive, _weights_file(part), LARGE, self.path)
        if hashlib.sha256(content).hexdigest() != self.digests[part]:
            raise ValueError(f"{self.path}: {_weights_file(part)} is damaged (its SHA-256 differs)")
        return content


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds."""

    texts: dict[str, str]  # by TEXTS; those that are not stated are missing
    samples: Samples  # [S] at SAMPLE_RATE
    embedding: npt.NDArray[np.float32] | None = None
    weights: VoiceWeights | None = None
    training: dict[str, Any] = field(default_factory=dict)  # figures of its training


def is_bundle(path: Path) -> bool:
    """Return whether a file begins like a zip file."""
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def write_bundle(
    path: Path,
    texts: Mapping[str, str],
    samples: Samples,
    embedding: npt.NDArray[np.float32] | None = None,
    weights: Mapping[str, tuple[str, bytes]] | None = None,
    training: Mapping[str, Any] | None = None,
    extras: Mapping[str, bytes] | None = None,
) -> None:
    """Write a bundle, atomically.

    weights: model, one of PARTS -> the SHA-256 of the model.safetensors that the difference belongs to, and the
    difference as safetensors. extras: files of EXTRAS. Raises ValueError for a missing folder, OSError if the system
    refuses to write.
    """
    files = {REFERENCE: encode(samples, SAMPLE_RATE, "flac")}
    if embedding is not None:
        files[EMBEDDING] = save({"embedding": np.ascontiguousarray(embedding, np.float32)})
    for part, (_, content) in (weights or {}).items():
        files[_weights_file(part)] = content
    files |= extras or {}
    about: dict[str, Any] = {"format": FORMAT, "version": VERSION, **{k: texts[k] for k in TEXTS if k in texts}}
    if training:
        about["training"] = dict(training)
    if weights:
        about["base"] = {part: base for part, (base, _) in weights.items()}
    about["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {
            ABOUT: (json.dumps(about, ensure_ascii=False, indent=1) + "\n").encode(),
            **files,
        }.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # the date of ZipInfo is fixed: same voice, same bytes
    atomic_write(path, buffer.getvalue())


def read_bundle(path: Path, complete: bool = False) -> Bundle:
    """Read a bundle. complete: also read the weights and extras, and check that they are undamaged.

    Raises ValueError, naming the file, for anything that a bundle does not have, and for damaged content.
    """
    with _opened(path) as archive:
        about = _about(archive, path)
        digests: dict[str, str] = about["sha256"]

        def content(name: str, limit: int) -> bytes:
            found = _content(archive, name, limit, path)
            if hashlib.sha256(found).hexdigest() != digests.get(name):
                raise ValueError(f"{path}: {name} is damaged (its SHA-256 differs)")
            return found

        sound = io.BytesIO(content(REFERENCE, SOUND))
        sound.name = f"{path}: {REFERENCE}"
        samples = read(sound, SAMPLE_RATE, MAX_SECONDS)
        embedding = None
        if EMBEDDING in digests:
            tensors = _tensors(content(EMBEDDING, SMALL), f"{path}: {EMBEDDING}")
            if list(tensors) != ["embedding"] or tensors["embedding"].ndim != 1:
                raise ValueError(f"{path}: {EMBEDDING} holds {', '.join(tensors)}; it must be one vector 'embedding'")
            embedding = tensors["embedding"].astype(np.float32)
        weights = None
        if base := about.get("base"):
            texts = {part: digests.get(_weights_file(part), "") for part in base}
            weights = VoiceWeights(Path(path), str(about.get("name", path.stem)), dict(base), texts)
        if complete:
            for name in digests:
                found = content(name, LARGE)
                if name.startswith("weights/"):
                    _tensors(found, f"{path}: {name}")
    return Bundle(
        {name: about[name] for name in TEXTS if name in about}, samples, embedding, weights, about.get("training", {})
    )


def read_extras(path: Path) -> dict[str, bytes]:
    """Return the model card and curves in a bundle, as far as it has them. Raises ValueError as `read_bundle`."""
    with _opened(path) as archive:
        return {name: _content(archive, name, SOUND, path) for name in EXTRAS if name in archive.namelist()}


# ---- checks ---------------------------------------------------------------------------------------------------------


def _about(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """Return the content of voice.json, checked with the names of the files in the bundle."""
    about = _voice_json(archive, path)
    _check_settings(about, path)
    _check_files(archive.namelist(), about, path)
    return about


def _voice_json(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """Return the content of voice.json, if it is one, of a version that this release reads."""
    if ABOUT not in archive.namelist():
        raise ValueError(f"{path}: a zip file, but not a voice: it has no {ABOUT}")
    try:
        about = json.loads(_content(archive, ABOUT, SMALL, path))
    except (ValueError, RecursionError) as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {ABOUT} is not JSON ({error})") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{path}: {ABOUT} does not say that this is a {FORMAT}")
    if about.get("version") != VERSION:
        raise ValueError(f"{path}: a voice of version {about.get('version')!r}; this release reads 1 and {VERSION}")
    return about


def _check_settings(about: dict[str, Any], path: Path) -> None:
    known = ("format", "version", *TEXTS, "training", "base", "sha256")
    if unknown := [name for name in about if name not in known]:
        raise ValueError(f"{path}: {ABOUT} has an unknown setting {unknown[0]!r}; known are {', '.join(known)}")
    for name in TEXTS:
        if not isinstance(about.get(name, ""), str):
            raise ValueError(f"{path}: {ABOUT}: {name} is {about[name]!r}; it must be a text")
    for name, values in (
        ("sha256", about.get("sha256")),
        ("base", about.get("base", {})),
        ("training", about.get("training", {})),
    ):
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {ABOUT}: {name} is {values!r}; it must be an object")


def _check_files(names: Sequence[str], about: dict[str, Any], path: Path) -> None:
    digests, base = about["sha256"], about.get("base", {})
    allowed = (REFERENCE, EMBEDDING, *EXTRAS, *(_weights_file(part) for part in PARTS))
    for name in names:
        if name != ABOUT and name not in allowed:
            raise ValueError(f"{path}: holds {name!r}, which a voice does not have; known are {', '.join(allowed)}")
        if name != ABOUT and name not in digests:
            raise ValueError(f"{path}: {ABOUT} gives no SHA-256 of {name}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: holds a file twice")
    if missing := [name for name in (REFERENCE, *digests) if name not in names]:
        raise ValueError(f"{path}: {missing[0]} is missing")
    weighted = {part for part in PARTS if _weights_file(part) in names}
    if set(base) != weighted or not all(isinstance(value, str) for value in base.values()):
        raise ValueError(f"{path}: {ABOUT}: base names {', '.join(base) or 'nothing'}; "
                         f"the file has weights of {', '.join(sorted(weighted)) or 'nothing'}")  # fmt: skip


def _weights_file(part: str) -> str:
    return f"weights/{part}.safetensors"


class _opened:
    """Open a zip file; what goes wrong with it becomes ValueError, naming the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self.archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
            raise ValueError(f"{self.path}: not a readable zip file ({error})") from None
        return self.archive

    def __exit__(self, *args: object) -> None:
        self.archive.close()


def _content(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> bytes:
    """Return a file in a zip file, of at most `limit` bytes, whatever its header says."""
    try:
        with archive.open(name) as file:
            content = file.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path}: {name} is damaged ({error})") from None
    if len(content) > limit:
        raise ValueError(f"{path}: {name} is larger than {limit >> 20} MB")
    return content


def _tensors(content: bytes, where: str) -> Tensors:
    try:
        tensors: Tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: damaged tensors ({error})") from None
    for name, tensor in tensors.items():
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise ValueError(f"{where}: {name} is not made of finite floats")
    return tensors
