"""What the README shows works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest

from vivavoce import cli

pytest.importorskip("torch")

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("vivavoce ")]


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    assert list(tmp_path.glob("*.wav"))


SPEAKING = [c for c in commands() if c.split()[1] not in ("train", "export", "prepare", "evaluate")]


@pytest.mark.parametrize("command", SPEAKING)
def test_speaking_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vivavoce.generate._has_sound", lambda required: False)
    from vivavoce.voices import get

    voice = get("rhea")
    from vivavoce import audio

    audio.write(tmp_path / "me.wav", voice.samples, voice.sample_rate)
    (tmp_path / "letter.txt").write_text("A short letter.", encoding="utf-8")
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code in (0, None)


def test_the_makefile_has_the_two_commands() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for name in ("speak", "test"):
        assert f"make {name}" in README
        assert re.search(rf"^{name}:", makefile, re.MULTILINE)
