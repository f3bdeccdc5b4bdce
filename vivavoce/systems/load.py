"""The registry of engines: which engine a model belongs to, and what loads it.

To add an engine, write its network in models/ and its system in systems/, with a function `load(files, options)`, and
add a row here; to train it, add a task. Loads neither torch nor mlx until a model is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from vivavoce.checkpoints.ctranslate2 import PACKAGES, VARIABLE
from vivavoce.checkpoints.resolve import (
    ModelFiles,
    NeedsTorch,
    find,
    kind_of,
    published_nanospeech,
    published_whisperspeech,
    setting_of,
    split_name,
)
from vivavoce.config import BACKENDS, require_choice
from vivavoce.systems.interface import LoadOptions, System

NAMES = {"torch": "PyTorch", "mlx": "MLX", "onnx": "ONNX Runtime"}
CODE_READER = "vivavoce.systems.code_reader_torch"
LETTER_TIMER = "vivavoce.systems.letter_times_torch"
GRAPHS = "onnx.json"  # in a folder that only holds ONNX graphs


@dataclass(frozen=True)
class Engine:
    """A row of the registry."""

    kind: str  # in config.json
    modules: Mapping[str, str]  # backend -> module with `load`; the first is the one that runs everywhere
    published: Callable[[str, ModelFiles], ModelFiles | None]  # recognises a published checkpoint, by name and files
    parts: tuple[str, ...]  # settings of config.json that name the folders of other models
    quantised: tuple[str, ...] = ()  # backends that have 4- and 8-bit weights
    alignment: str = ""  # in config.json, for another design of the same kind


ENGINES = (
    Engine(
        "nanospeech",
        {
            "torch": "vivavoce.systems.nanospeech_torch",
            "mlx": "vivavoce.systems.nanospeech_mlx",
            "onnx": "vivavoce.systems.nanospeech_onnx",
        },
        published_nanospeech,
        parts=("duration", "vocoder"),
        quantised=("mlx",),
    ),
    Engine(
        "whisperspeech",
        {"torch": "vivavoce.systems.whisperspeech_torch"},
        published_whisperspeech,
        parts=("t2s", "s2a", "codec", "vocoder"),
    ),
    Engine(
        "whisperspeech",
        {
            "torch": "vivavoce.systems.frames_torch",
            "mlx": "vivavoce.systems.frames_mlx",
            "onnx": "vivavoce.systems.frames_onnx",
        },
        lambda model, files: None,
        parts=("t2s", "acoustic", "duration", "vocoder"),
        quantised=("mlx",),
        alignment="frames",
    ),
)


def part_settings() -> tuple[str, ...]:
    """Return the settings of config.json that name the folders of a model's parts, of all engines."""
    return tuple(dict.fromkeys(name for engine in ENGINES for name in engine.parts))


def load_system(
    model: str = "bundled",
    backend: str = "auto",
    device: str = "auto",
    dtype: str = "auto",
    compile: bool = False,
    vocoder: str | None = None,
    bits: int | None = None,
) -> System:
    """Load a model with everything that it needs to speak.

    model: as for `resolve.find`, or with the files of a published WhisperSpeech after a colon, as in
    "owner/name:t2s-small.model,s2a-small.model". backend: "auto", "torch", "mlx" or "onnx". device: "auto", "cpu",
    "cuda" or "mps". dtype: "float32", "bfloat16", "float16", with ONNX also "int8", or "auto": "int8" with ONNX if the
    model's config says so, otherwise "float32". vocoder: "bundled", a folder or a hub name, instead of the model's own.
    bits: 4 or 8, to quantise the weights, with MLX only.
    Raises ValueError for anything that is not available.
    """
    if bits not in (None, 4, 8):
        raise ValueError(f"bits is {bits!r}; it must be 4 or 8")
    chosen = choose_backend(backend, device, dtype, compile)
    engine, files = locate(model)  # before a backend is loaded: a wrong name is reported at once
    if (files.folder / GRAPHS).exists():
        if backend not in ("auto", "onnx"):
            raise ValueError(f"backend is {backend!r}, and {model} holds ONNX graphs, which only onnx runs")
        chosen = "onnx"
    if chosen not in engine.modules:
        if backend == chosen:
            raise ValueError(
                f"backend is {backend!r}, and {model} is a {engine.kind} model, which only runs in "
                + " or ".join(NAMES[name] for name in engine.modules)
            )
        chosen = next(iter(engine.modules))
    if bits is not None and chosen not in engine.quantised:
        if not engine.quantised:
            raise ValueError(f"bits is {bits}, and {model} is a {engine.kind} model, which has no quantised weights")
        raise ValueError(
            f"bits is {bits}, and only the backend {' or '.join(engine.quantised)} has quantised weights; "
            f"the backend here is {chosen}"
        )
    if dtype == "int8" and chosen != "onnx":
        raise ValueError(f"dtype is 'int8', which only the backend onnx has; the backend here is {chosen}")
    _prepare_environment()
    options = LoadOptions(device, dtype, compile, vocoder, bits)
    if chosen == "onnx" and backend == "auto":
        try:
            return _load(engine, "onnx", model, files, options)
        except NeedsTorch:
            if dtype == "int8" or not _installed("torch"):
                raise
            chosen = "torch"
    return _load(engine, chosen, model, files, options)


def _load(engine: Engine, backend: str, model: str, files: ModelFiles, options: LoadOptions) -> System:
    """Load a model in a backend. Raises ValueError, naming the extra to install, if its package is missing."""
    try:
        module = importlib.import_module(engine.modules[backend])
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if backend == "torch" and package in ("torch", "huggingface_hub", "yaml"):
            raise ValueError(f"{model} needs PyTorch here, and {package} is missing: "
                             "pip install vivavoce[torch]") from None  # fmt: skip
        if backend != "mlx" or package != "mlx":
            raise
        raise ValueError(f"backend is 'mlx', which does not load ({error}): pip install vivavoce[mlx]") from None
    if backend != "onnx" and options.dtype == "auto":
        options = dataclasses.replace(options, dtype="float32")
    return cast(System, module.load(files, options))


def load_code_reader(whisper: str | os.PathLike[str] | None = None, semantic: str = "bundled") -> Any:
    """Load the code reader, which turns recordings into semantic codes, as `code_reader_torch.load_code_reader`.

    Raises ValueError as that does, and if PyTorch is missing.
    """
    return _torch_module(CODE_READER, "reading a recording").load_code_reader(whisper, semantic)


def load_letter_timer(system: Any) -> Any:
    """Load the letter timer, which finds the letters of a text in a recording, for a nanospeech system.

    Raises ValueError as `letter_times_torch.load_letter_timer`, and if PyTorch is missing.
    """
    config, module = system.model.config, _torch_module(LETTER_TIMER, "finding a text in a recording")
    return module.load_letter_timer(system.tokenizer, config.mel, config.speaker_dim, config.languages)


def conversions(system: System) -> tuple[str, ...]:
    """Return what this machine can convert with a system: "recording" without its words, "text" with them.

    It depends on PyTorch and on Whisper's weights, whose files are not read here.
    """
    if importlib.util.find_spec("torch") is None:
        return ()
    whisper = VARIABLE in os.environ or all(importlib.util.find_spec(name) is not None for name in PACKAGES)
    by_codes = whisper and getattr(system, "code_rate", 0.0) > 0
    return tuple(name for name, can in (("recording", by_codes), ("text", system.by_letters)) if can)


def _torch_module(name: str, purpose: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name != "torch":
            raise
        raise ValueError(f"{purpose} needs PyTorch: pip install vivavoce[torch]") from None


def locate(model: str) -> tuple[Engine, ModelFiles]:
    """Find a model's engine and files; a hub name is downloaded. Raises ValueError as `resolve.find`.

    A folder that no engine recognises goes to the first engine, whose `load` reports what is missing.
    """
    name, named = split_name(model)
    folder = find(name, named) if named else find(name)
    files = ModelFiles(folder, named)
    if not named and (folder / "config.json").exists():
        kind, alignment = kind_of(folder), setting_of(folder, "alignment")
        same = [engine for engine in ENGINES if engine.kind == kind]
        return next((e for e in same if e.alignment == alignment), (same or ENGINES)[0]), files
    for engine in ENGINES:
        if found := engine.published(name, files):
            return engine, found
    return ENGINES[0], files


def choose_backend(backend: str, device: str = "auto", dtype: str = "auto", compile: bool = False) -> str:
    """Return the backend for "auto": MLX on Apple silicon if it is installed, PyTorch on a GPU, else ONNX Runtime.

    The other arguments, as for `load_system`, may need PyTorch. Raises ValueError for an unknown backend.
    """
    require_choice("backend", backend, BACKENDS)
    if backend != "auto":
        return backend
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    if apple and dtype != "int8" and _installed("mlx"):
        return "mlx"
    if not _installed("onnxruntime"):
        return "torch"
    if device not in ("auto", "cpu") or dtype in ("bfloat16", "float16") or compile:
        return "torch"
    return "torch" if device == "auto" and dtype != "int8" and _gpu() else "onnx"


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # blocked by an import hook, or by None in sys.modules
        return False


def _gpu() -> bool:
    """Whether PyTorch is installed and finds a GPU. Asks for a driver first: importing PyTorch takes seconds."""
    if not _installed("torch"):
        return False
    for driver in () if sys.platform == "darwin" else ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so"):
        with contextlib.suppress(OSError):
            ctypes.CDLL(driver)
            break
    else:
        if sys.platform != "darwin":
            return False
    from vivavoce.checkpoints.weights_torch import placement

    return placement("auto", "float32").device.type != "cpu"


def _prepare_environment() -> None:
    """Set variables that PyTorch's libraries read when they are first used. Those that are set already stay.

    oneDNN would compile code for each of the last 1024 shapes; texts have lengths of their own, so it would gain
    little, and memory would grow for hours. OpenMP's threads would spin while they wait, which slows a busy machine.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "16")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
