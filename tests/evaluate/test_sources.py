"""`vivavoce evaluate` through the command line, with stand-ins for the model and the judges: sources."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import FakeTTS, Out, report, rows, shard, sound

from vivavoce import audio
from vivavoce.evaluate.clips import OTHERS

pytestmark = [
    pytest.mark.usefixtures("tts", "judges"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("jiwer", "whisper_normalizer"))),
        reason="jiwer or whisper-normalizer is missing: pip install vivavoce[eval]",
    ),
]


# --- recordings ------------------------------------------------------------------------------------------------------


def test_recordings_beside_the_vocoder_alone(tts: FakeTTS, capsys: Out) -> None:
    shard(
        "valid.tar",
        [
            ("x/1", {"text": "one cat", "speaker": "luna"}, 1.0),
            ("x/2", {"text": "one dog", "speaker": "blend-7"}, 1.0),
        ],
    )
    told = report("valid.tar --copy-synthesis --keep kept")
    for table in told["tables"]:
        assert rows(table, "wer") == [("luna", 0.0), (OTHERS, 0.5)]
        assert table["mean"]["wer"] == 0.0 and table["all_clips"]["wer"] == 0.25
    assert "WER +0.00 points" in capsys.readouterr().out
    copy = audio.read(f"kept/nanospeech/copy-valid/{OTHERS}/x-2.wav")
    assert float(copy.max()) == pytest.approx(0.1, abs=1e-3)  # half of 0.2
    assert not list(Path("kept/recordings").rglob("*.wav")), "recordings are there already"


# --- folders of sounds -----------------------------------------------------------------------------------------------


def test_a_folder_of_voices_with_the_words_beside_each_sound() -> None:
    for voice in ("luna", "guest"):
        sound(f"theirs/{voice}/a.flac")
        Path(f"theirs/{voice}/a.txt").write_text("one cat", encoding="utf-8")
    (table,) = report("theirs")["tables"]
    assert rows(table, "wer") == [("guest", 0.0), ("luna", 0.0)]
    assert table["rows"][0]["similarity"] is None and table["rows"][1]["similarity"] is not None


@pytest.mark.parametrize("names", [("a", "b"), ("0001", "0002"), ("2", "1")])
def test_the_words_of_a_list_by_number_or_order(names: tuple[str, str]) -> None:
    for name in names:
        sound(f"theirs/{name}.wav")
    (table,) = report("theirs --sentences list.txt")["tables"]
    expected = {"a": "one cat", "b": "one dog", "0001": "one cat", "0002": "one dog", "1": "one cat", "2": "one dog"}
    assert {s["key"]: s["text"] for s in table["scores"]} == {name: expected[name] for name in names}


def test_a_limit_leaves_the_lines_their_numbers() -> None:
    for name in ("luna/1", "luna/2", "nash/1"):
        sound(f"theirs/{name}.wav")
    (table,) = report("theirs --sentences list.txt --limit 2")["tables"]
    assert [(s["voice"], s["text"]) for s in table["scores"]] == [("luna", "one cat"), ("nash", "one cat")]


def test_references_of_other_voices() -> None:
    sound("theirs/me/1.wav", level=0.3)
    sound("theirs/you/1.wav", level=0.3)
    sound("me.wav", seconds=2.0, level=0.3)
    sound("you.wav", level=0.6)
    Path("me.txt").write_text("A cat.", encoding="utf-8")  # 4 letters in 2 s
    (table,) = report("theirs --sentences list.txt --reference me=me.wav you=you.wav")["tables"]
    me, you = table["rows"]
    assert (me["similarity"], me["right_voice"]) == (pytest.approx(1.0, abs=1e-3), 1.0)
    assert (you["similarity"], you["right_voice"]) == (pytest.approx(np.cos(0.3), abs=1e-3), 0.0)
    assert me["rate"] == pytest.approx(3.0) and you["rate"] is None  # 6 letters a second
