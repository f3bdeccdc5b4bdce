"""Who may import whom, read from the source with `ast`: the architecture, as a table that cannot go stale.

Also: what `import vivavoce` must not load, and that importing any module does nothing but define names.
"""

from __future__ import annotations

import ast
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

# Each module of the package, from the leaves up, and what it may import from the package. {b} is a backend, the same
# on both sides; * is any name. What needs a backend is imported inside functions by what does not.
MAY_IMPORT = {
    "config": "",
    "config_whisperspeech": "config",
    "solvers": "",
    "text_characters": "",
    "text_tables": "",
    "text_numbers": "text_tables",
    "text_readings": "text_characters text_numbers text_tables",
    "text_rules": "text_characters text_numbers text_readings text_tables",
    "text_languages": "text_characters text_numbers",
    "audio": "config",
    "voices": "audio config",
    "pieces": "config audio voices",
    "text": "config pieces text_characters text_languages text_readings text_rules text_tables",
    "segments": "config config_whisperspeech text text_characters text_numbers",
    "lexicon": "segments",
    "ssml": "segments text text_numbers",
    "markup": "config_whisperspeech lexicon segments ssml text_tables",
    "mel_{b}": "audio config",
    "speaker_{b}": "audio config",
    "speaker_ecapa_{b}": "audio config_whisperspeech",
    "vocoder_{b}": "config",
    "transformer_{b}": "",
    "engines": "",
    "engines.*_{b}": "config config_whisperspeech solvers audio mel_{b} transformer_{b}",
    "system_{b}": "config solvers audio pieces text voices mel_{b} speaker_{b} vocoder_{b} engines.*_{b}",
    "system_whisperspeech_{b}": (
        "config config_whisperspeech audio pieces text voices system_{b} speaker_{b} vocoder_{b} engines.*_{b}"
    ),
    "checkpoints": (
        "config system_torch system_mlx system_whisperspeech_torch checkpoints_torch checkpoints_mlx "
        "checkpoints_whisperspeech_torch"
    ),
    "checkpoints_whisperspeech": "config config_whisperspeech",
    "checkpoints_{b}": "config audio checkpoints system_{b} vocoder_{b} engines.*_{b}",
    "checkpoints_whisperspeech_{b}": (
        "config config_whisperspeech audio checkpoints checkpoints_{b} checkpoints_whisperspeech speaker_{b} "
        "speaker_ecapa_{b} system_{b} system_whisperspeech_{b} engines.*_{b}"
    ),
    "evaluation": "audio text speaker_torch",
    "checks": "audio",
    "verify": "audio checks evaluation pieces",
    "speech": "config config_whisperspeech audio checks pieces text voices",
    "blocks": "markup segments text",
    "text_plain": "text",
    "planning": "config blocks lexicon markup pieces segments speech text text_plain voices",
    "speaking": "audio checks pieces planning speech text verify voices",
    "preview": "lexicon planning text",
    "synthesis": "config lexicon planning preview speaking speech verify voices checkpoints",
    "chapters": "",
    "subtitles": "audio pieces speech",
    "books": "subtitles",
    "kept": "audio pieces",
    "narrate": (
        "audio books chapters kept lexicon pieces planning speaking speech subtitles synthesis text verify voices"
    ),
    "clips": "audio markup segments voices evaluation",
    "evaluate": "config audio segments voices synthesis checkpoints evaluation clips",
    "train": "train.*",
    "train.__main__": "cli",
    "train.*": (
        "train.* config config_whisperspeech tokens solvers audio text mel_torch speaker_torch vocoder_torch "
        "transformer_torch engines.*_torch checkpoints checkpoints_torch checkpoints_whisperspeech_torch"
    ),
    "prepare": "",
    "tokens": "config prepare.shards",
    "prepare.*_{b}": (
        "prepare.* config audio tokens mel_{b} speaker_{b} checkpoints checkpoints_whisperspeech_{b} engines.*_{b}"
    ),
    "prepare.*": "prepare.* config audio text checkpoints tokens",
    "generate": "config audio books lexicon markup narrate speaking subtitles voices synthesis",
    "serve": "",
    "serve.*": "serve.* config audio pieces voices synthesis",
    "cli": (
        "serve.* generate lexicon config voices synthesis evaluate checkpoints checkpoints_whisperspeech_torch train "
        "train.* prepare.*"
    ),
    "__init__": "synthesis voices",
    "__main__": "cli",
}

# Packages that only some modules may import; () is nobody: what is hard to install, or not needed.
ONLY_IN = {
    "torch": ("*_torch", "train.*"),
    "safetensors.torch": ("*_torch", "train.*"),
    "accelerate": ("train.*",),
    "webdataset": ("train.*",),
    "datasets": ("prepare.*",),
    "fsspec": ("train.*", "prepare.*"),
    "tensorboard": ("train.*",),
    "mlx": ("*_mlx",),
    "safetensors.mlx": ("*_mlx",),
    "sounddevice": ("generate",),
    "faster_whisper": ("evaluation",),
    "onnxruntime": ("evaluation",),
    "transformers": ("engines.codec_torch",),
    "typer": ("cli", "generate"),
    "fastapi": ("serve.*",),
    "starlette": ("serve.*",),
    "uvicorn": ("serve.*",),
    "prometheus_client": ("serve.*",),
    "pydantic": ("serve.*",),
    "av": ("serve.encoders",),
    "torchaudio": (),
    "speechbrain": (),
    "torchcodec": (),
    "librosa": (),
    "scipy": (),
    "phonemizer": (),
    "espeakng_loader": (),
}

# Who may name the types of some of these all the same, under `if TYPE_CHECKING`.
TYPES_ONLY = {"checkpoints": ("torch", "mlx"), "checkpoints_whisperspeech": ("torch",)}

# The one circle that is meant, broken by an import inside a function: the names of models are resolved in the first,
# which hands over to the backend's, which uses what the first knows of folders.
CHOOSER = "checkpoints"

# Packages of an extra, or that fail where a machine lacks something: imported inside functions, never at the top.
LAZY = (
    "sounddevice",
    "faster_whisper",
    "jiwer",
    "whisper_normalizer",
    "speechmos",
    "onnxruntime",
    "datasets",
    "transformers",
    "av",
)

# Modules that may import what they compute the name of; this test cannot see through that.
COMPUTED = {"evaluation": "imports packages of the extra eval, and says in one line which is missing"}

# What `import vivavoce` must not load: backends, and whatever takes long or may be missing.
NOT_AT_IMPORT = (
    *BACKENDS,
    "accelerate",
    "datasets",
    "faster_whisper",
    "huggingface_hub",
    "onnxruntime",
    "rich",
    "sounddevice",
    "tensorboard",
    "typer",
    "webdataset",
)


@dataclass(frozen=True)
class Import:
    module: str  # who imports, without the leading "vivavoce."; "__init__" is the package itself
    line: int
    target: str  # what, dotted; ours without the leading "vivavoce."
    ours: bool
    lazy: bool  # inside a function
    typing_only: bool  # under `if TYPE_CHECKING`

    @property
    def place(self) -> str:
        return f"vivavoce/{self.module.replace('.', '/')}.py:{self.line}"


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Dotted name without "vivavoce." → file. A sub-package has the name of its folder."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__" and len(parts) > 1:
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


def imports(module: str, path: Path, known: set[str]) -> Iterator[Import]:
    """Every import in a file, wherever it stands."""

    def resolve(base: str, names: list[str]) -> Iterator[tuple[str, bool]]:
        """`from base import names`, where base is absolute, as single targets."""
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
            base = node.module or ""
            if node.level:
                is_package = path.name == "__init__.py"
                here = ["vivavoce", *(module.split(".") if module != "__init__" else [])]
                up = here[: len(here) - node.level + is_package]
                if module == "__init__":
                    up = ["vivavoce"]
                base = ".".join([*up, *([base] if base else [])])
            targets.extend(resolve(base, [alias.name for alias in node.names]))
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in ("import_module", "__import__"):
                argument = node.args[0] if node.args else None
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    dotted = argument.value
                    ours = dotted.startswith((".", "vivavoce"))
                    inner = dotted.removeprefix("vivavoce").lstrip(".") or "__init__"
                    targets.append((inner if ours else dotted, ours))
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


def row(module: str) -> tuple[str, list[str]] | None:
    """The table's row for a module: the pattern that names it and the patterns of what it may import."""
    for pattern, allowed in MAY_IMPORT.items():
        for backend in BACKENDS if "{b}" in pattern else ("",):
            if fnmatchcase(module, pattern.replace("{b}", backend)):
                return pattern, allowed.replace("{b}", backend).split()
    return None


def needs_backend(module: str) -> bool:
    """Whether loading a module loads torch or mlx."""
    return module.endswith(tuple(f"_{b}" for b in BACKENDS)) or module.startswith("train.")


def faults(package: Path = PACKAGE) -> list[str]:
    """Every break of the rules in a package's source, a line each."""
    known = modules(package)
    found = []
    for module, path in known.items():
        entry = row(module)
        if entry is None:
            found.append(
                f"{module} is in no row of MAY_IMPORT in tests/test_imports.py: add it, and what it may import"
            )
            continue
        for imported in dict.fromkeys(imports(module, path, set(known))):
            target, place = imported.target, imported.place
            if imported.ours:
                if not any(fnmatchcase(target, pattern) for pattern in entry[1]):
                    allowed = ", ".join(entry[1]) or "nothing of ours"
                    found.append(f"{place}: {module} imports {target}; it may import {allowed}")
                elif (
                    needs_backend(target) and not needs_backend(module) and not (imported.lazy or imported.typing_only)
                ):
                    found.append(
                        f"{place}: {module} imports {target} at its top, which loads a backend; do it in a function"
                    )
                continue
            if target == "<computed>":
                if module not in COMPUTED:
                    found.append(
                        f"{place}: {module} computes a module's name; write the import out, or add it to COMPUTED"
                    )
                continue
            late = imported.lazy or imported.typing_only
            for name, where in ONLY_IN.items():
                if target != name and not target.startswith(f"{name}."):
                    continue
                if imported.typing_only and name in TYPES_ONLY.get(module, ()):
                    continue
                if not any(fnmatchcase(module, pattern) for pattern in where):
                    found.append(f"{place}: {module} imports {target}; only {', '.join(where) or 'nobody'} may")
            if target.split(".")[0] in LAZY and not late:
                found.append(
                    f"{place}: {module} imports {target} at its top; it may be missing, so do it in a function"
                )
    return found


# --- the package -----------------------------------------------------------------------------------------------------


def test_every_module_imports_only_what_its_layer_may() -> None:
    assert not faults(), "\n" + "\n".join(faults())


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {
        module: {
            i.target
            for i in imports(module, path, set(known))
            if i.ours and not i.typing_only and not (i.lazy and module == CHOOSER)
        }
        - {module}
        for module, path in known.items()
    }
    done: set[str] = set()
    while ready := [m for m in graph if m not in done and graph[m] & set(graph) <= done]:
        done.update(ready)
    assert set(graph) == done, f"these import each other in a circle: {', '.join(sorted(set(graph) - done))}"


def run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    return subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, cwd=cwd, timeout=240)


def test_import_vivavoce_loads_no_backend_and_nothing_slow(tmp_path: Path) -> None:
    result = run_python("import json, vivavoce; print(json.dumps(sorted(sys.modules)))", tmp_path)
    assert result.returncode == 0, result.stderr
    loaded = {name.split(".")[0] for name in json.loads(result.stdout)}
    assert not loaded & set(NOT_AT_IMPORT)
    assert "numpy" in loaded  # else this test looks at something other than the package


SIDE_EFFECTS = """
import contextlib, importlib, importlib.util, io, json, logging, os, random, threading
import numpy, rich.progress, typer  # what these do when they are imported is theirs
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
        for package in ("torch", "accelerate", "webdataset"):  # and these
            if importlib.util.find_spec(package):
                importlib.import_module(package)
    before, said = state(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        importlib.import_module(name)
    after = state()
    report += [f"{name} changed {key}" for key in before if before[key] != after[key]]
    report += [f"{name} printed {said.getvalue()!r}"] if said.getvalue() else []
print(json.dumps(report))
"""


def test_importing_any_module_has_no_side_effect(tmp_path: Path) -> None:
    # those without a backend first, so that what torch itself does at import is not blamed on them
    names = sorted(modules(), key=lambda name: (needs_backend(name), name))
    dotted = [f"vivavoce.{name}" if name != "__init__" else "vivavoce" for name in names]
    result = run_python(f"NAMES = {dotted!r}\n{SIDE_EFFECTS}", tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
    assert list(tmp_path.iterdir()) == [], "importing left files behind"


# --- the rules themselves: each break is noticed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("config", "from vivavoce import audio", "config imports audio"),
        ("solvers", "import torch", "solvers imports torch; only *_torch, train.*"),
        ("text", "from .voices import get", "text imports voices"),
        ("audio", "def f():\n    import vivavoce.synthesis", "audio imports synthesis"),
        ("audio", "from safetensors import torch", "audio imports safetensors.torch"),
        ("voices", "from vivavoce import load", "voices imports __init__"),
        ("mel_mlx", "import torch.nn", "mel_mlx imports torch.nn"),
        ("mel_torch", "import torchaudio", "mel_torch imports torchaudio; only nobody may"),
        ("vocoder_torch", "from vivavoce.mel_torch import Mel", "vocoder_torch imports mel_torch"),
        ("engines.nanospeech_torch", "from ..mel_mlx import Mel", "imports mel_mlx"),
        ("engines.nanospeech_torch", "from .other_torch import A", "imports engines.other_torch"),
        ("engines.nanospeech_torch", "from vivavoce import text", "imports text"),
        ("system_torch", "from vivavoce.checkpoints import load", "system_torch imports checkpoints"),
        ("checkpoints", "from vivavoce import system_torch", "at its top, which loads a backend"),
        ("checkpoints", "import torch", "checkpoints imports torch; only"),
        ("checkpoints", "def read():\n    import torch", "checkpoints imports torch; only"),
        ("checkpoints_torch", "from vivavoce import text", "checkpoints_torch imports text"),
        ("checkpoints", "def f():\n    from vivavoce.train import loop", "checkpoints imports train.loop"),
        ("synthesis", "from vivavoce.system_torch import System", "synthesis imports system_torch"),
        ("train.loop", "from vivavoce.cli import main", "train.loop imports cli"),
        ("cli", "from vivavoce.train.loop import train", "at its top, which loads a backend"),
        ("cli", "import importlib\nimportlib.import_module(name)", "computes a module's name"),
        ("generate", "from vivavoce.cli import main", "generate imports cli"),
        ("generate", "import sounddevice", "at its top; it may be missing"),
        ("evaluation", "import jiwer", "at its top; it may be missing"),
        ("novelty", "x = 1", "novelty is in no row of MAY_IMPORT"),
    ],
)
def test_a_break_of_the_rule_is_noticed(tmp_path: Path, module: str, source: str, complaint: str) -> None:
    others = ("audio", "checkpoints", "cli", "mel_mlx", "mel_torch", "synthesis", "system_torch", "text", "voices")
    for name in (*others, "train.loop", "engines.other_torch"):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / f"{module.replace('.', '/')}.py").write_text(source)
    found = faults(tmp_path)
    assert len(found) == 1, found
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("checkpoints", "def load():\n    from vivavoce.system_torch import System"),
        (
            "checkpoints",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vivavoce.system_torch import System",
        ),
        ("checkpoints", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor"),
        ("system_torch", "import torch\nfrom vivavoce import audio\nfrom vivavoce.engines.other_torch import A"),
        ("engines.nanospeech_torch", "from vivavoce.mel_torch import Mel"),
        ("cli", "def train():\n    from vivavoce.train import loop"),
        ("audio", "import safetensors.numpy, numpy"),
    ],
)
def test_what_the_rule_allows_passes(tmp_path: Path, module: str, source: str) -> None:
    for name in ("audio", "mel_torch", "system_torch", "train.loop", "engines.other_torch"):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / f"{module.replace('.', '/')}.py").write_text(source)
    assert faults(tmp_path) == []
