"""benchmarks/speed.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.scoring import ROOT, script


def test_passes_count_steps_order_and_guidance() -> None:
    speed = script("speed")
    assert speed.Schedule("euler", 8, 0.0).passes == 8
    assert speed.Schedule("euler", 8, 2.0).passes == 16
    assert speed.Schedule("midpoint", 8, 0.0).passes == 16
    assert speed.Schedule("rk4", 7, 2.0).passes == 56  # nanospeech's published default


def test_passes_are_those_of_a_model_or_of_random_weights() -> None:
    speed = script("speed")
    without = speed.arguments(["--passes"])
    assert without.random_weights and all(path.is_file() for path in without.random_weights)
    assert speed.arguments(["--passes", "--model", "mine"]).random_weights is None
    assert speed.arguments([]).model == "bundled"


def test_speed_prints_each_schedule_and_marks_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    import vivavoce
    from vivavoce.models.nanospeech import SamplingConfig

    speed = script("speed")
    asked = []

    class Fake:
        system = SimpleNamespace(sampling=SamplingConfig(steps=12, method="euler", cfg=1.5))

        def speak(self, text: str, **options: Any) -> SimpleNamespace:
            asked.append(options)
            return SimpleNamespace(duration=2.0)

        def stream(self, text: str, **options: Any) -> Any:
            yield SimpleNamespace(duration=1.0)

    monkeypatch.setattr(vivavoce, "load", lambda *args, **kwargs: Fake())
    out = tmp_path / "speed.json"
    assert speed.main(["--texts", "short", "--runs", "1", "--json", str(out)]) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["machine"]["threads"] >= 1 and told["machine"]["version"]
    assert [row["passes"] for row in told["timings"] if row["default"]] == [24]
    assert [row["passes"] for row in told["timings"]] == sorted(row["passes"] for row in told["timings"])
    assert {(o["method"], o["steps"], o["cfg"]) for o in asked} >= {("euler", 12, 1.5), ("rk4", 7, 0.0)}
    printed = capsys.readouterr().out
    assert "*24" in printed and "faster than real time" in printed


@pytest.mark.slow
def test_the_speed_benchmark_starts_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "--json" in done.stdout, done.stderr
