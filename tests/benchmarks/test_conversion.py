"""benchmarks/conversion.py: which voices recordings are converted to, and what is scored."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.scoring import script, words

from vivavoce import audio

pytestmark = words
RATE = 24_000
conversion = script("conversion")


class Ears:
    """Hears "the cat" in a recording, and a dog 30 ms later in a conversion, which is louder."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def words(self, samples: Any, rate: int, language: str) -> tuple[str, list[tuple[str, float]]]:
        if np.abs(samples).max() > 0.6:
            return "the dog", [("the", 0.13), ("dog", 0.53)]
        return "the cat", [("the", 0.1), ("cat", 0.5)]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """A shard of two recordings, and a model that converts by making them louder."""
    monkeypatch.chdir(tmp_path)
    found: list[tuple[str, int]] = []

    def convert(given: Any, voice: str, seed: int, **_: Any) -> Any:
        found.append((voice, seed))
        return SimpleNamespace(samples=2 * given[0], sample_rate=given[1])

    monkeypatch.setattr(conversion, "Listener", Ears)
    monkeypatch.setattr(conversion.vivavoce, "load", lambda *_, **__: SimpleNamespace(convert=convert))
    wave = audio.encode(0.4 * np.sin(np.arange(RATE) / 20).astype(np.float32), RATE, "wav")
    with tarfile.open("two.tar", "w") as tar:
        for key, voice in (("a", "nash"), ("b", "blend-7")):
            about = json.dumps({"text": "the cat", "speaker": voice}).encode()
            for name, data in ((f"{key}.wav", wave), (f"{key}.json", about)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return found


def test_a_recording_is_converted_to_another_voice_and_scored(asked: Any, capsys: Any) -> None:
    assert conversion.main(["two.tar", "--model", "m", "--voices", "nash,luna", "--json", "out.json"]) == 0
    assert asked == [("luna", 0), ("luna", 1)]
    scores = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert [score["voice"] for score in scores] == ["recording", "luna"] * 2
    assert [score["wer"] for score in scores] == [0.0, 0.5] * 2
    assert scores[1]["moved"] == pytest.approx(30.0) and isinstance(scores[1]["nearest"], bool)
    assert "all conversions" in capsys.readouterr().out


def test_all_voices_and_bad_input(asked: Any, capsys: Any) -> None:
    assert conversion.main(["two.tar", "--model", "m", "--all", "--limit", "1"]) == 0
    assert len(asked) == 4 and "nash" not in dict(asked)
    assert conversion.main(["absent.tar", "--model", "m"]) == 2
    assert "absent.tar" in capsys.readouterr().err
