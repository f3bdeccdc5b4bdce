"""The differences between the MLX files and their PyTorch twins; test_mirror.py allows those that `ONLY` names.

python tests/helpers/mirror.py                              # print the diffs of all twins, with common names
python tests/helpers/mirror.py models/mel models/vocoder    # of some
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from difflib import SequenceMatcher, unified_diff
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "vivavoce"
TWINS = (
    "models/mel",
    "models/vocoder",
    "models/speaker",
    "models/nanospeech",
    "models/masked_t2s",
)

# Names that differ between the two libraries, and their common replacement.
WORDS = (
    (r"\bmx\.array\b", "Tensor"),
    (r"\b__call__\b", "forward"),
    (r"_(torch|mlx)\b", "_backend"),
    (r"\b(PyTorch|MLX)\b", "Backend"),
    (r"\bDiT\.forward\b", "DiT"),
)

# What only one twin has, or has in another form: a definition by its name, or a comment by its text. Everything else is
# in both, in the same order: classes and functions with their signatures and docstrings, constants, comments.
UNDERSCORE = "the underscore keeps it out of the parameters"
ONLY: dict[str, tuple[str, ...]] = {
    "models/mel": (UNDERSCORE,),
    "models/vocoder": (
        UNDERSCORE,
        "inverse_stft",  # each says what its library lacks
        "Vocoder.forward",  # only PyTorch trains, and gives the course of a recording
        "Vocoder.spectrum",
        "Vocoder.low_spectrum",
        "Split each frame into pieces of a hop",  # MLX has no fold
    ),
    "models/speaker": (
        "lazy weights belong",
        UNDERSCORE,
        "from_backend",  # MLX's LSTM has one layer and one bias
        "hidden: [layers, B, H]",
        "[B, N, H]",
        "zeros, as in librosa",
    ),
    "models/masked_t2s": ("Backend is lazy",),
    "models/nanospeech": (
        "DiT.__init__.calm",
        "not its weight's, which may be quantised",
        "Backend is lazy",
        "as torch, where none is named",
    ),
}


def source(twin: str, backend: str) -> str:
    return (PACKAGE / f"{twin}_{backend}.py").read_text(encoding="utf-8")


def alike(text: str) -> str:
    """Replace the names of both libraries by common ones."""
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def signature(node: ast.FunctionDef) -> str:
    """Return a function's arguments and result, without `device`, which MLX has for operations only."""
    arguments = node.args
    first = len(arguments.args) - len(arguments.defaults)
    for index, argument in reversed(list(enumerate(arguments.args))):
        if argument.arg == "device" and "torch.device" in ast.unparse(argument):
            del arguments.args[index]
            if index >= first:
                del arguments.defaults[index - first]
    return f"({ast.unparse(arguments)}) -> {node.returns and ast.unparse(node.returns)}"


def definitions(source: str) -> list[str]:
    """Return constants, classes and functions with signature and docstring, in the order of the file."""

    def visit(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                bases = ", ".join(map(ast.unparse, node.bases))
                yield f"{prefix}{node.name}({bases}) {ast.get_docstring(node)}"
                yield from visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                yield f"{prefix}{node.name}{signature(node)} {ast.get_docstring(node)}"
                yield from visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign) and not prefix:
                yield f"{ast.unparse(node.targets[0])} = {ast.unparse(node.value)}"

    tree = ast.parse(source)
    return [alike(text) for text in (ast.get_docstring(tree) or "", *visit(tree.body, ""))]


def comments(source: str) -> list[str]:
    """Return every comment for readers, in the order of the file."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = (token.string.removeprefix("#").strip() for token in tokens if token.type == tokenize.COMMENT)
    return [alike(text) for text in found if not text.startswith(("type:", "fmt:"))]


def differences(torch: str, mlx: str) -> list[str]:
    """Return the definitions and comments that are not in both sources, in the same order."""
    found = []
    for read in (definitions, comments):
        ours, theirs = read(torch), read(mlx)
        for _, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
            if ours[i:j] != theirs[k:m]:
                found += [f"PyTorch alone: {text}" for text in ours[i:j]]
                found += [f"MLX alone: {text}" for text in theirs[k:m]]
    return found


def diff(twin: str) -> str:
    """Return the unified diff of the two sources with common names."""
    sides = [alike(source(twin, backend)).splitlines() for backend in ("torch", "mlx")]
    names = [f"vivavoce/{twin}_{backend}.py" for backend in ("torch", "mlx")]
    return "\n".join(unified_diff(*sides, *names, lineterm="", n=1))


def main(arguments: list[str]) -> int:
    if unknown := [name for name in arguments if name not in TWINS]:
        print(f"{unknown[0]!r} has no twin; known are {', '.join(TWINS)}", file=sys.stderr)
        return 2
    for twin in arguments or TWINS:
        print(diff(twin))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
