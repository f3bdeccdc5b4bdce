"""The architecture as a table: which folder may import which, read from the source with `ast`.

Also: the longest chain of imports, what `import vivavoce` must not load, and that importing a module has no effects.
"""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "vivavoce"
BACKENDS = ("torch", "mlx")

# Each folder or file of the package, from the bottom up, and what it may import besides itself.
MAY_IMPORT = {
    "config": "",
    "locks": "",
    "workers": "",
    "cluster": "config",
    "audio": "config",
    "text": "config audio",
    "bundles": "config audio",
    "voices": "config audio bundles",
    "data": "config audio",
    "models": "config audio text",
    "checkpoints": "config audio text models",
    "metrics": "config audio text models",
    "systems": "config audio bundles text voices models checkpoints",
    "synthesis": "config audio text voices metrics systems",
    "books": "config locks audio text voices systems synthesis",
    "batch": "config locks workers cluster audio voices data synthesis systems",
    "evaluate": "config cluster audio text voices data checkpoints metrics systems synthesis",
    "prepare": "config locks workers cluster audio text data models checkpoints metrics",
    "train": "config locks audio text data models checkpoints metrics",
    "train_voice": "config locks audio bundles text voices data models checkpoints metrics systems synthesis prepare "
    "train",
    "serve": "config audio bundles text voices systems synthesis books train_voice",
    "cli": "config locks cluster audio bundles text voices checkpoints systems synthesis books batch evaluate prepare "
    "train train_voice serve",
    "client": "",
    "__init__": "voices systems synthesis",
}
ENTRY_POINTS = ("__main__", "generate", "train.__main__")  # run by `python -m`: may import cli, imported by nobody
MAX_FLOORS = 10  # files in the longest chain of imports

# Packages that only some modules may import. (): nobody, because it is hard to install or not needed.
ONLY_IN = {
    "torch": ("*_torch", "train.*"),
    "safetensors.torch": ("*_torch", "train.*"),
    "accelerate": ("train.*",),
    "datasets": ("prepare.*", "batch.tables"),
    "fsspec": ("data.*", "train.*", "prepare.*", "batch.places"),
    "ray": ("cluster",),
    "pyarrow": ("batch.*",),
    "tensorboard": ("train.*",),
    "mlx": ("*_mlx",),
    "safetensors.mlx": ("*_mlx",),
    "sounddevice": ("audio.devices", "audio.playback", "audio.recording"),
    "transformers": ("models.codec_torch",),
    "typer": ("cli.*",),
    "fastapi": ("serve.*",),
    "starlette": ("serve.*",),
    "uvicorn": ("serve.*",),
    "prometheus_client": ("serve.*",),
    "pydantic": ("serve.*",),
    "av": ("serve.encoders", "audio.aac", "audio.mp4", "books.feed"),
    "onnxruntime": ("models.*_onnx", "checkpoints.onnx_torch"),
    "onnxscript": ("checkpoints.onnx_torch",),
    "faster_whisper": (),  # metrics.packages.require imports these by name
    "speechmos": (),
    "distillmos": (),
    "torchaudio": (),
    "speechbrain": (),
    "torchcodec": (),
    "librosa": (),
    "scipy": (),
    "phonemizer": (),
    "espeakng_loader": (),
}

# Packages of an extra, or that fail on a machine without the hardware: imported inside functions, never at the top.
LAZY = ("sounddevice", "ray", "pyarrow", "datasets", "transformers", "av", "onnxruntime", "onnxscript")

# Modules that import a module whose name they compute, which this test cannot follow.
COMPUTED = {
    "metrics.packages": "imports packages of the extra eval and names the one that is missing",
    "systems.load": "imports the row of the registry of engines",
    "train.tasks.registry": "imports the row of the registry of training tasks",
}

# What `import vivavoce` must not load: backends, and whatever is slow or may be missing.
NOT_AT_IMPORT = (
    *BACKENDS,
    "accelerate",
    "datasets",
    "faster_whisper",
    "ray",
    "huggingface_hub",
    "onnxruntime",
    "rich",
    "sounddevice",
    "tensorboard",
    "typer",
)


@dataclass(frozen=True)
class Import:
    module: str  # the importer, without the leading "vivavoce."; "__init__" is the package itself
    line: int
    target: str  # dotted; ours without the leading "vivavoce."
    ours: bool
    lazy: bool  # inside a function
    typing_only: bool  # under `if TYPE_CHECKING`

    @property
    def place(self) -> str:
        return f"vivavoce/{self.module.replace('.', '/')}.py:{self.line}"


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted names without "vivavoce." -> files. A sub-package has the name of its folder."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


def folder(module: str) -> str:
    """The row of MAY_IMPORT that a module belongs to."""
    return module.split(".")[0]


def imports(module: str, path: Path, known: set[str]) -> Iterator[Import]:
    """Every import in a file, at any depth."""

    def resolve(base: str, names: list[str]) -> Iterator[tuple[str, bool]]:
        """`from base import names` as single targets."""
        if base.split(".")[0] != "vivavoce":
            yield from ((f"{base}.{name}" if f"{base}.{name}" in ONLY_IN else base, False) for name in names)
            return
        inner = base.removeprefix("vivavoce").removeprefix(".")
        for name in names:
            full = f"{inner}.{name}".removeprefix(".")
            yield (full if full in known else inner or "__init__"), True

    def visit(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[Import]:
        targets: list[tuple[str, bool]] = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                ours = alias.name.split(".")[0] == "vivavoce"
                inner = alias.name.removeprefix("vivavoce").removeprefix(".") or "__init__"
                targets.append((inner if ours else alias.name, ours))
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import; write it out"
            targets.extend(resolve(node.module or "", [alias.name for alias in node.names]))
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in ("import_module", "__import__"):
                argument = node.args[0] if node.args else None
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    ours = argument.value.startswith("vivavoce")
                    inner = argument.value.removeprefix("vivavoce").lstrip(".") or "__init__"
                    targets.append((inner if ours else argument.value, ours))
                else:
                    targets.append(("<computed>", False))
        for target, ours in targets:
            yield Import(module, node.lineno, target, ours, lazy, typing_only)  # type: ignore[attr-defined]

        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            lazy = True
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for statement in node.body:
                yield from visit(statement, lazy, True)
            for statement in node.orelse:
                yield from visit(statement, lazy, typing_only)
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy, typing_only)

    yield from visit(ast.parse(path.read_text(encoding="utf-8"), str(path)), False, False)


def needs_backend(module: str) -> bool:
    """Whether importing a module loads torch or mlx."""
    return module.endswith(tuple(f"_{b}" for b in BACKENDS)) or module.startswith("train.")


def other_backend(module: str, target: str) -> bool:
    """Whether one backend's module imports the other's."""
    return any(module.endswith(f"_{a}") and target.endswith(f"_{b}") for a in BACKENDS for b in BACKENDS if a != b)


def faults(package: Path = PACKAGE) -> list[str]:
    """Every violation of the rules, one line each."""
    known = modules(package)
    found = []
    for module, path in known.items():
        entry = module in ENTRY_POINTS
        if not entry and folder(module) not in MAY_IMPORT:
            found.append(f"{module} has no row in MAY_IMPORT in tests/test_imports.py: add its folder")
            continue
        allowed = ["cli"] if entry else [folder(module), *MAY_IMPORT[folder(module)].split()]
        for imported in dict.fromkeys(imports(module, path, set(known))):
            target, place = imported.target, imported.place
            late = imported.lazy or imported.typing_only
            if imported.ours:
                if folder(target) not in allowed or target in ENTRY_POINTS:
                    found.append(f"{place}: {module} imports {target}; it may import {', '.join(allowed)}")
                elif other_backend(module, target):
                    found.append(f"{place}: {module} imports {target}, the other backend's")
                elif needs_backend(target) and not needs_backend(module) and not late:
                    found.append(f"{place}: {module} imports {target} at its top, which loads a backend")
            elif target == "<computed>":
                if module not in COMPUTED:
                    found.append(f"{place}: {module} computes a module's name; write the import out")
            else:
                for name, where in ONLY_IN.items():
                    if (target == name or target.startswith(f"{name}.")) and not (
                        imported.typing_only or any(fnmatchcase(module, pattern) for pattern in where)
                    ):
                        found.append(f"{place}: {module} imports {target}; only {', '.join(where) or 'nobody'} may")
                if target.split(".")[0] in LAZY and not late:
                    found.append(f"{place}: {module} imports {target} at its top; it may be missing")
    return found


# --- the package -----------------------------------------------------------------------------------------------------


def test_every_module_imports_only_what_its_folder_may() -> None:
    assert not faults(), "\n" + "\n".join(faults())


def test_rows_only_point_down() -> None:
    order = list(MAY_IMPORT)
    for row, allowed in MAY_IMPORT.items():
        assert all(order.index(name) < order.index(row) for name in allowed.split()), row


def test_imports_have_no_circles_and_few_floors() -> None:
    known = modules()
    graph = {
        module: {i.target for i in imports(module, path, set(known)) if i.ours and not i.typing_only} - {module}
        for module, path in known.items()
    }

    @functools.cache
    def chain(module: str) -> tuple[str, ...]:
        below = [chain(target) for target in graph[module] if target in graph]
        return (module, *max(below, key=len, default=()))

    try:
        longest = max((chain(module) for module in graph), key=len)
    except RecursionError:
        pytest.fail("some modules import each other in a circle")
    assert len(longest) <= MAX_FLOORS, f"{len(longest)} floors: {' > '.join(longest)}"


def test_every_folder_lists_its_modules() -> None:
    for init in sorted(PACKAGE.rglob("*/__init__.py")):
        words = (ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or "").replace(",", " ").split()
        names = {word.strip("();:.`") for word in words}
        modules = {path.stem for path in init.parent.glob("*.py") if not path.stem.startswith("__")}
        missing = {module for module in modules if not any(fnmatchcase(module, name) for name in names)}
        assert not missing, f"{init.parent}: the docstring of __init__.py does not name {', '.join(sorted(missing))}"


def run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    return subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, cwd=cwd, timeout=240)


def test_import_vivavoce_loads_no_backend_and_nothing_slow(tmp_path: Path) -> None:
    result = run_python("import json, vivavoce; print(json.dumps(sorted(sys.modules)))", tmp_path)
    assert result.returncode == 0, result.stderr
    loaded = {name.split(".")[0] for name in json.loads(result.stdout)}
    assert not loaded & set(NOT_AT_IMPORT)
    assert "numpy" in loaded  # otherwise this test looks at something other than the package


SIDE_EFFECTS = """
import contextlib, importlib, importlib.util, io, json, logging, os, random, threading
import numpy, rich.progress, typer  # what these do when imported is not ours
def state():
    found = {"the environment": dict(os.environ), "the working folder": os.getcwd(),
             "random's state": random.getstate(), "numpy's random state": repr(numpy.random.get_state()),
             "the log handlers": list(logging.getLogger().handlers), "the threads": threading.active_count()}
    if "torch" in sys.modules:
        import torch
        found |= {"torch's threads": torch.get_num_threads(), "torch's default type": torch.get_default_dtype(),
                  "torch's gradient mode": torch.is_grad_enabled(), "torch's seed": torch.random.initial_seed()}
    return found
report = []
for name in NAMES:
    if name.endswith("_mlx") and importlib.util.find_spec("mlx") is None:
        continue
    if (name.endswith("_torch") or ".train." in name) and "torch" not in sys.modules:
        for package in ("torch", "accelerate"):  # neither are these
            if importlib.util.find_spec(package):
                importlib.import_module(package)
    before, printed = state(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        importlib.import_module(name)
    after = state()
    report += [f"{name} changed {key}" for key in before if before[key] != after[key]]
    report += [f"{name} printed {printed.getvalue()!r}"] if printed.getvalue() else []
print(json.dumps(report))
"""


def test_importing_any_module_has_no_side_effect(tmp_path: Path) -> None:
    # those without a backend first, so that torch's own side effects are not attributed to them
    names = sorted(modules(), key=lambda name: (needs_backend(name), name))
    dotted = [f"vivavoce.{name}" if name != "__init__" else "vivavoce" for name in names]
    result = run_python(f"NAMES = {dotted!r}\n{SIDE_EFFECTS}", tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
    assert list(tmp_path.iterdir()) == [], "importing left files behind"


# --- the rules themselves --------------------------------------------------------------------------------------------

OTHERS = (
    "audio.io",
    "checkpoints.resolve",
    "cli.main",
    "models.mel_mlx",
    "models.mel_torch",
    "synthesis.tts",
    "systems.nanospeech_torch",
    "text.split",
    "train.trainer",
    "voices",
)


def package(folder: Path, module: str, source: str) -> Path:
    for name in (*OTHERS, module):
        path = folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source if name == module else "")
    return folder


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("config", "from vivavoce.audio import io", "config imports audio"),
        ("models.solvers", "import torch", "models.solvers imports torch; only *_torch, train.*"),
        ("text.pieces", "from vivavoce.voices import get", "text.pieces imports voices"),
        ("audio.dsp", "def f():\n    import vivavoce.synthesis.tts", "audio.dsp imports synthesis"),
        ("audio.dsp", "from safetensors import torch", "audio.dsp imports safetensors.torch"),
        ("voices", "from vivavoce import load", "voices imports __init__"),
        ("models.mel_mlx", "import torch.nn", "models.mel_mlx imports torch.nn"),
        ("models.mel_torch", "import torchaudio", "models.mel_torch imports torchaudio; only nobody may"),
        ("models.nanospeech_torch", "from vivavoce.models.mel_mlx import Mel", "the other backend's"),
        ("models.nanospeech_torch", "from vivavoce.voices import get", "imports voices"),
        ("systems.load", "from vivavoce.systems import nanospeech_torch", "at its top, which loads a backend"),
        ("checkpoints.weights", "def f():\n    from vivavoce.systems import nanospeech_torch", "imports systems"),
        ("checkpoints.weights", "def read():\n    import torch", "checkpoints.weights imports torch; only"),
        ("train.trainer", "from vivavoce.systems.nanospeech_torch import S", "train.trainer imports systems"),
        ("train.trainer", "from vivavoce.cli.main import main", "train.trainer imports cli.main"),
        ("cli.train", "from vivavoce.train.trainer import train", "at its top, which loads a backend"),
        ("cli.main", "import importlib\nimportlib.import_module(name)", "computes a module's name"),
        ("audio.playback", "import sounddevice", "at its top; it may be missing"),
        ("novelty", "x = 1", "novelty has no row in MAY_IMPORT"),
    ],
)
def test_a_violation_is_noticed(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    found = faults(package(tmp_path, module, source))
    assert len(found) == 1, found
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("systems.load", "def load():\n    from vivavoce.systems.nanospeech_torch import System"),
        (
            "synthesis.speech",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vivavoce.systems.nanospeech_torch import S",
        ),
        ("checkpoints.weights", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor"),
        ("systems.whisperspeech_torch", "import torch\nfrom vivavoce.audio import io"),
        ("models.nanospeech_torch", "from vivavoce.models.mel_torch import Mel"),
        ("cli.train", "def train():\n    from vivavoce.train import trainer"),
        ("generate", "from vivavoce.cli.main import main"),
        ("audio.dsp", "import safetensors.numpy, numpy"),
    ],
)
def test_what_the_rules_allow_passes(tmp_path: Path, module: str, source: str) -> None:
    assert faults(package(tmp_path, module, source)) == []
