"""benchmarks/batch.py: what a kill costs, and the figures of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psutil")


def measured(root: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    out = folder / "figures.json"
    script = root / "benchmarks" / "batch.py"
    subprocess.run([sys.executable, str(script), *arguments, "--json", str(out)], check=True, cwd=folder, timeout=300)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_batches_lose_and_double_nothing(root: Path, tmp_path: Path) -> None:
    found = measured(root, tmp_path, "kill", "--lines", "60")
    for victim in ("local worker", "local driver"):
        figures = found[victim]
        assert figures["lost"] == figures["doubled"] == figures["different"] == 0
        assert 20 <= figures["done_at_the_kill"] < 60 and figures["exit_status"] != 0
        assert figures["runs_afterwards"] == 1
    assert "the same command resumes" in found["local worker"]["message"]


@pytest.mark.slow
def test_shares_count_the_lines_after_the_first_tenth(root: Path, tmp_path: Path) -> None:
    found = measured(root, tmp_path, "shares", "--lines", "40", "--sleep", "0.05")
    assert found["independent"]["lines"] == 36 and found["local"]["lines"] <= 36
    assert found["local"]["share_of_the_rate"] > 0 and found["local"]["worker_memory_end_to_warm"] < 1.5
