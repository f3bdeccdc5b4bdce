"""The MLX files beside their PyTorch twins: the same definitions, signatures, docstrings and comments, in one order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import mirror

TORCH = '''"""In PyTorch."""
SIZE = 3

def first(x: Tensor, device: torch.device = "cpu", n: int = 2) -> Tensor:
    """Says so."""
    return x  # [B]

class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x
'''
MLX = (
    TORCH.replace("PyTorch", "MLX")
    .replace('device: torch.device = "cpu", ', "")
    .replace("Tensor", "mx.array")
    .replace("forward", "__call__")
)


@pytest.mark.parametrize("twin", mirror.TWINS)
def test_twins_differ_only_where_it_is_said(twin: str) -> None:
    found = mirror.differences(mirror.source(twin, "torch"), mirror.source(twin, "mlx"))
    allowed = mirror.ONLY[twin]
    unexpected = [line for line in found if not any(f"alone: {name}" in line for name in allowed)]
    shown = "\n".join(line.splitlines()[0][:200] for line in unexpected)
    assert not unexpected, f"make both alike (python tests/helpers/mirror.py {twin}), or name it in ONLY:\n{shown}"
    stale = [name for name in allowed if not any(f"alone: {name}" in line for line in found)]
    assert not stale, f"{twin}: no longer a difference: {stale}"


def test_every_mlx_network_has_a_twin() -> None:
    found = {p.relative_to(mirror.PACKAGE).as_posix() for p in (mirror.PACKAGE / "models").glob("*_mlx.py")}
    assert found == {f"{twin}_mlx.py" for twin in mirror.TWINS}


def test_what_has_another_name_in_each_library_is_no_difference() -> None:
    assert mirror.differences(TORCH, MLX) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIZE = 3", "SIZE = 4"),
        ("n: int = 2", "n: int = 3"),
        ("first(", "second("),
        ("x: mx.array)", "y: mx.array)"),
        ("Says so.", "Says nothing."),
        ("# [B]", "# [B, N]"),
        ("nn.Module", "object"),
        ("In MLX.", "In MLX, better."),
    ],
)
def test_any_other_difference_is_noticed(old: str, new: str) -> None:
    assert old in MLX
    assert len(mirror.differences(TORCH, MLX.replace(old, new))) == 2


def test_another_order_is_noticed() -> None:
    head, tail = MLX.split("class Net")
    constant = "SIZE = 3\n"
    assert mirror.differences(TORCH, head.replace(constant, "") + "class Net" + tail + constant)


def test_the_script_prints_what_remains(root: Path) -> None:
    script = [sys.executable, str(root / "tests" / "helpers" / "mirror.py")]
    done = subprocess.run([*script, "models/mel"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--- vivavoce/models/mel_torch.py" in done.stdout and "+import mlx.core as mx" in done.stdout
    wrong = subprocess.run([*script, "solvers"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "solvers" in wrong.stderr
