"""`vivavoce batch` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vivavoce.cli import main
from vivavoce.cli.terminal import run


def test_the_command_passes_its_flags_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def batch(table: str, out: str, **given: Any) -> dict[str, Any]:
        given.pop("progress")(3, 3)
        asked.append({"table": table, "out": out, **given})
        return {"rows": 3, "spoken": 2, "errors": 1, "seconds": 90.0}

    monkeypatch.setattr("vivavoce.batch.run.batch", batch)
    line = "batch in.csv out --voice luna --seed 5 --workers 2 --format flac --cfg 1.5 --model whisperspeech"
    assert run(main.app, line.split()) == 0
    assert asked == [
        {
            "table": "in.csv", "out": "out", "voice": "luna", "seed": 5, "workers": 2, "format": "flac",
            "options": {"cfg": 1.5}, "model": {"model": "whisperspeech"},
        }
    ]  # fmt: skip
    out, err = capsys.readouterr()
    assert out == "2 of 3 texts spoken, 1.5 minutes; out\n"
    assert err == "1 rows could not be spoken: out/errors.jsonl\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "out"], "none.csv: no such file"),
        (["in.csv", "out"], "in.csv: no column text; it has words"),
        (["in.csv", "out", "--workers", "0"], "workers is 0; it must be 1 or more"),
        (["in.csv", "out", "--format", "aac"], "format is 'aac'; it must be one of wav"),
        (["in.csv", "out", "--speed", "9"], "speed is 9.0; it must be from 0.25 to 4"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("words\nHello\n")
    assert run(main.app, ["batch", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not Path("out").exists()
