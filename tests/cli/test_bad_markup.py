"""Wrong markup, SSML or lexicons are refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from vivavoce.cli import main, speak, terminal


def run(*arguments: str) -> int:
    return terminal.run(main.app, ["speak", *arguments, "-o", "never.wav"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Wait. [puase 1s]"], "line 1, column 7: [puase 1s]"),
        (["<speak><p></speak>", "--ssml"], "SSML, line 1, column 13: mismatched tag"),
        (["Hello.", "--lexicon", "bad.tsv"], "bad.tsv: line 2"),
        (["Hello.", "--lexicon", "absent.tsv"], "absent.tsv"),
    ],
)
def test_the_command_line_refuses_before_it_loads_a_model(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def never(**_: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speak, "load", never)
    Path("bad.tsv").write_text("good\tgood\nno tab\n", encoding="utf-8")
    assert run(*arguments) == terminal.BAD_INPUT
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
