"""benchmarks/tokens.py: what it has read and heard, by whom, in which language, and what it prints."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scoring import script, words
from helpers.small_whisper import CONFIG, save_tokenizer, save_whisper
from helpers.whisperspeech_system import build, put

from vivavoce import audio
from vivavoce.models.semantic_torch import Semantic, Whisper

pytestmark = [
    pytest.mark.usefixtures("one_thread_one_seed"),
    words,
    pytest.mark.skipif(not importlib.util.find_spec("tokenizers"), reason="tokenizers is missing"),
]
RATE = 24_000
tokens = script("tokens")


class Ears:
    """Hears "the cat" in a loud sound, a bird in another; keeps the languages that it is told."""

    told: list[str] = []  # noqa: RUF012

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def transcribe(self, samples: Any, sample_rate: int, language: str) -> str:
        self.told.append(language)
        return "the cat" if np.abs(samples).max() > 0.2 else "a bird"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shard of two recordings, and tiny models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tokens, "WhisperRecognizer", Ears)
    Ears.told = []
    wave = audio.encode(0.4 * np.sin(np.arange(1.9 * RATE) / 20).astype(np.float32), RATE, "wav")
    with tarfile.open("two.tar", "w") as tar:
        for key, about in (("a", {"lang": "es", "speaker": "nash"}), ("b", {"speaker": "blend-7"})):
            for name, data in (
                (f"{key}.wav", wave),
                (f"{key}.json", json.dumps({"text": "the cat", **about}).encode()),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    save_whisper(Path("small.pt"))
    save_tokenizer(Path("tokenizer.json"))
    torch.manual_seed(1)
    put(Path("semantic"), "semantic", Semantic(CONFIG), CONFIG)
    build(Path("system"))
    return tmp_path


MODELS = "--semantic semantic --codec system/codec --vocoder system/vocoder --tokenizer tokenizer.json"


def report(line: str) -> dict[str, list[dict[str, Any]]]:
    assert tokens.main(f"{line} {MODELS} --json out.json".split()) == 0
    told: dict[str, list[dict[str, Any]]] = json.loads(Path("out.json").read_text(encoding="utf-8"))
    return told


def test_whisper_reads_the_sound_and_the_codes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first word of what Whisper is given for the sound, another for the codes."""
    given: list[tuple[torch.Tensor, str]] = []

    def transcribe(self: Whisper, frames: torch.Tensor, language: str = "en", limit: int = 0) -> list[list[int]]:
        given.append((frames, language))
        return [[1, 2] if len(given) % 2 else [1, 5]]  # "the cat", "the dog"

    monkeypatch.setattr(Whisper, "transcribe", transcribe)
    found = report("two.tar --whisper small.pt --only semantic")["semantic"]
    assert [(read["way"], read["heard"], read["wer"]) for read in found] == [
        ("sound", "the cat", 0.0),
        ("semantic codes", "the dog", 0.5),
    ] * 2
    assert [language for _, language in given] == ["es", "es", "en", "en"]
    assert not torch.equal(given[0][0], given[1][0])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["all", "semantic", "codes", "2", "50.00"] in [row[:5] for row in rows]
    assert ["es", "sound", "1", "0.00"] in [row[:4] for row in rows]


def clips(*seconds: float, lang: str = "en") -> list[Any]:
    """Recordings of such lengths, with their number as text."""
    made = []
    for number, length in enumerate(seconds):
        transcript = SimpleNamespace(languages=(lang,), text=f"{lang} {number}")
        wave = np.full(round(length * 16_000), number + 1, np.float32)
        made.append(SimpleNamespace(key=f"{number}", voice="", transcript=transcript, wave=lambda w=wave: (w, 16_000)))
    return made


def test_only_full_windows_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    recordings = [*clips(0.9, 0.8, 0.85), *clips(1.5, 0.2, lang="es"), *clips(1.2, lang="fr")]
    windows = tokens.full_windows(recordings, 32_000, 640)
    assert [(window.lang, [r.key for r in window.recordings]) for window in windows] == [
        ("en", ["0", "1"]),
        ("en", ["2", "0"]),  # the rest of a language is filled up
        ("es", ["0", "1"]),
    ]
    for window in windows:
        sound = tokens.joined(window.waves, window.starts)
        assert len(sound) <= 32_000 and [int(sound[start]) for start in window.starts] == [
            int(r.key) + 1 for r in window.recordings
        ]
    assert "1 recordings are left out: they do not fill a window of 2 s" in capsys.readouterr().err
    score = windows[0].score("sound", "en 0 en")
    assert (score.text, score.key, score.wer) == ("en 0 en 1", "0 1", 0.25)


def test_copies_are_heard_and_compared_with_the_recording(here: Path) -> None:
    found = report("two.tar --only acoustic --limit 1")["acoustic"]
    assert [read["way"] for read in found] == ["recording", "vocoder alone", "codec and vocoder"]
    assert Ears.told == ["es"] * 3 and found[0]["heard"] == "the cat"
    assert found[0]["own"] == pytest.approx(1.0, abs=1e-5) and all(read["reference"] is not None for read in found)
    assert max(read["own"] for read in found[1:]) < 0.999


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("absent.tar --only acoustic", "absent.tar: cannot be read as a tar file"),
        ("two.tar --only acoustic --codec semantic", "a semantic model, where a codec model is needed"),
        ("two.tar --only semantic --whisper absent.pt", "absent.pt: no such file"),
        ("two.tar --only semantic --whisper small.pt --tokenizer absent.json", "--tokenizer absent.json: not a"),
    ],
)
def test_bad_input_gets_one_line(here: Path, line: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokens.main([*MODELS.split(), *line.split()]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and complaint in err
