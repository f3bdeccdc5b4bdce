"""`vivavoce evaluate` through the command line, with stand-ins for the model and the judges."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import FakeJudges, FakeTTS, Out, report, rows, run, shard, sound, tone

from vivavoce.evaluate import clips, judge
from vivavoce.evaluate import run as evaluation
from vivavoce.metrics import words
from vivavoce.systems.interface import SynthesisError
from vivavoce.voices import Voice

VOICES = ["celeste", "luna", "nash", "orion", "rhea"]
pytestmark = [
    pytest.mark.usefixtures("tts", "judges"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("jiwer", "whisper_normalizer"))),
        reason="jiwer or whisper-normalizer is missing: pip install vivavoce[eval]",
    ),
]


load_judge = judge.load_judge


# --- models ----------------------------------------------------------------------------------------------------------


def test_every_sentence_in_every_voice_as_table_and_json(tts: FakeTTS, capsys: Out) -> None:
    told = report("bundled --sentences list.txt --voices luna,nash --steps 4 --cfg 0 --seed 10 --device cpu")
    assert [(text, voice.name, options) for text, voice, options in tts.asked] == [
        (text, voice, {"steps": 4, "cfg": 0.0, "lang": "en", "seed": seed})
        for text, seed in (("one cat", 10), ("one dog", 11))
        for voice in ("luna", "nash")
    ]
    assert tts.loaded == [("bundled", "auto", "cpu", "auto", None, None)]
    (table,) = told["tables"]
    assert rows(table, "wer", "skipped", "ovrl") == [("luna", 0.25, 0.0, 3.0), ("nash", 0.25, 0.0, 3.0)]
    assert [s["heard"] for s in table["scores"]] == ["one cat"] * 4
    assert [(s["key"], s["text"]) for s in table["scores"][1:3]] == [("0001", "one cat"), ("0002", "one dog")]
    assert all(s["rate"] > 0 for s in table["scores"]), "the built-in voices' words are known"
    assert told["settings"]["sentences"] == ["list.txt"] and told["settings"]["seed"] == 10
    printed = capsys.readouterr().out
    assert "2 sentences of list.txt, steps 4, cfg 0.0" in printed
    assert ["luna", "2", "25.0"] in [line.split()[:3] for line in printed.splitlines()]


def test_all_built_in_voices_speak_unless_others_are_named(tts: FakeTTS) -> None:
    assert run("bundled --sentences list.txt --limit 1") == 0
    assert [voice.name for _, voice, _ in tts.asked] == VOICES


def test_a_table_for_each_list_and_model(tts: FakeTTS) -> None:
    Path("more.txt").write_text("one bird\n", encoding="utf-8")
    Path("mine").mkdir()
    (Path("mine") / "model.safetensors").touch()
    told = report("bundled mine --sentences list.txt more.txt --voices luna")
    titles = ["bundled: 2 sentences of list", "bundled: 1 sentences of more", "mine: 2 sentences of list"]
    assert all(title in table["title"] for title, table in zip(titles, told["tables"], strict=False))
    assert [row[1] for table in told["tables"] for row in rows(table, "wer")] == [0.25, 0.5, 0.25, 0.5]
    assert [name for name, *_ in tts.loaded] == ["bundled", "mine"], "each is loaded once"


def test_a_saved_voice_speaks_and_is_its_own_reference(tts: FakeTTS) -> None:
    Voice("me", tone(1, 0.3), "I am me.").save("me.safetensors")
    (table,) = report("bundled --sentences list.txt --voices me.safetensors,luna")["tables"]
    assert tts.asked[0][1].name == "me"
    assert rows(table, "similarity")[0] == ("me", pytest.approx(1.0, abs=1e-3))


def test_a_sentence_without_speech_counts_as_wrong_and_skipped(tts: FakeTTS, capsys: Out) -> None:
    tts.fails_at = {1: SynthesisError("the model made silence")}
    (table,) = report("bundled --sentences list.txt --voices luna")["tables"]
    assert rows(table, "wer", "skipped") == [("luna", 0.75, 0.5)]  # 1 and 0.5, 1 and 0
    assert "0001 of luna: the model made silence" in capsys.readouterr().out


def test_speech_is_judged_as_its_file_would_be(tts: FakeTTS) -> None:
    (direct,) = report("bundled --sentences list.txt --voices luna,nash --keep kept")["tables"]
    assert Path("kept/bundled/list/nash/0002.txt").read_text(encoding="utf-8") == "one dog\n"
    (again,) = report("kept/bundled/list")["tables"]
    assert again["rows"] == direct["rows"] and again["mean"] == direct["mean"]


# --- languages -------------------------------------------------------------------------------------------------------


def test_another_language_is_spoken_and_listened_to(tts: FakeTTS, judges: FakeJudges, capsys: Out) -> None:
    Path("es.txt").write_text("¡Tengo 3 gatos!\nEl año.\n", encoding="utf-8")
    judges.hears = {"es": "tengo tres gatos"}
    told = report("bundled --sentences es.txt --voices luna --lang es --temperature 0.5 --top-k 9")
    assert [options for *_, options in tts.asked] == [
        {"lang": "es", "seed": seed, "temperature": 0.5, "top_k": 9} for seed in (0, 1)
    ]
    assert judges.told == ["es", "es"]
    assert [(s["wer"], s["lang"]) for s in told["tables"][0]["scores"]] == [(0.0, "es"), (1.0, "es")]
    assert "2 sentences of es.txt, lang es, temperature 0.5, top_k 9" in capsys.readouterr().out


def test_a_mixed_sentence_is_listened_to_in_both_languages_and_the_better_counts(
    tts: FakeTTS, judges: FakeJudges
) -> None:
    written = "[es]Hola[en], all my friends, [pause 500ms][es]adiós.\n"
    Path("mixed.txt").write_text(written, encoding="utf-8")
    judges.hears = {"en": "hello all my friends goodbye", "es": "hola all my friends adiós"}
    (table,) = report("bundled --sentences mixed.txt --voices luna --keep kept")["tables"]
    (score,) = table["scores"]
    assert tts.asked[0][0] == written.strip() and judges.told == ["en", "es"], "most letters first"
    assert score["text"] == "Hola, all my friends, adiós."
    assert (score["heard"], score["wer"], score["lang"]) == ("hola all my friends adiós", 0.0, "es")
    (again,) = report("kept/bundled/mixed")["tables"]
    assert again["rows"] == table["rows"], "the tags are kept beside the sound"


def test_a_folders_language_is_that_of_the_flag_or_of_its_tags(judges: FakeJudges) -> None:
    for name, text in (("1", "un gato"), ("2", "[fr]un chat")):
        sound(f"theirs/{name}.wav")
        Path(f"theirs/{name}.txt").write_text(text, encoding="utf-8")
    report("theirs --lang es --keep kept --threads 1")
    assert judges.told == ["es", "fr"]
    report("theirs --lang it --keep kept --threads 1")
    assert judges.told[2:] == ["it"], "what was judged in French before is still"


def test_a_shards_language_is_its_own(judges: FakeJudges) -> None:
    about = {"text": "[un] gato", "speaker": "luna"}
    shard("es.tar", [("a", {**about, "lang": "es"}, 1.0), ("b", about, 1.0), ("c", {**about, "lang": "en-GB"}, 1.0)])
    (table,) = report("es.tar --lang fr --threads 1")["tables"]
    assert judges.told == ["es", "fr", "en"] and table["scores"][0]["text"] == "[un] gato"
    shard("bad.tar", [("a", {**about, "lang": "Spanish"}, 1.0)])
    assert run("bad.tar") == 2


# --- voice matching --------------------------------------------------------------------------------------------------


def test_speakers_are_imitated_from_five_seconds_and_compared_with_another_recording(tts: FakeTTS, capsys: Out) -> None:
    spoken = {"text": "A bird, a cat.", "speaker": "a"}
    shard(
        "blends.tar",
        [
            ("a1", {**spoken, "text": "no"}, 2.0),
            ("b1", {"text": "no", "speaker": "b"}, 3.0),
            ("a2", {**spoken, "text": "no"}, 7.0),  # the first of a's that is long enough
            ("c1", {"text": "no", "speaker": "c"}, 6.0),  # c's only one
            ("a3", spoken, 3.0),
            ("b2", {"text": "no", "speaker": "b"}, 4.0),  # b has none of 5 s: the longest
        ],
    )
    (table,) = report("bundled --sentences list.txt --speakers blends.tar")["tables"]
    (first, a, _), (_, b, _) = tts.asked[:2]
    assert (first, a.name, b.name) == ("one cat", "a", "b")
    assert a.transcript is None and b.transcript is None
    assert (a.duration, b.duration) == (pytest.approx(5), pytest.approx(4))
    assert [row[0] for row in rows(table)] == ["a", "b"]
    # clips are 0.3 loud; a3 is 0.5, b1 0.2
    assert [s["similarity"] for s in table["scores"]] == pytest.approx([np.cos(0.2), np.cos(0.1)] * 2, abs=1e-3)
    assert table["scores"][0]["rate"] == pytest.approx((6 / 2) / (9 / 3), rel=1e-3)
    assert "a single recording: c" in capsys.readouterr().err


def test_speakers_beside_built_in_voices() -> None:
    shard("two.tar", [(f"{s}{i}", {"text": "no", "speaker": s}, 2.0) for s in "ab" for i in range(2)])
    told = report("bundled --sentences list.txt --speakers two.tar --voices luna")
    assert [[row[0] for row in rows(table)] for table in told["tables"]] == [["luna"], ["a", "b"]]


# --- broken off and taken up -----------------------------------------------------------------------------------------


def test_an_interrupted_run_prints_what_was_scored_and_goes_on_later(
    tts: FakeTTS, judges: FakeJudges, capsys: Out
) -> None:
    tts.fails_at = {4: KeyboardInterrupt()}
    line = "bundled --sentences list.txt --voices luna,nash --keep kept --json out.json"
    assert run(line) == 130
    told = json.loads(Path("out.json").read_text(encoding="utf-8"))
    scored = len(told["tables"][0]["scores"])  # those whose turn had not come are not judged any more
    assert told["complete"] is False and scored == judges.heard and 1 <= scored <= 3
    out, err = capsys.readouterr()
    assert f"interrupted after {scored} of 4 clips" in out and err == "interrupted\n"
    assert len(tts.asked) == 4
    assert run(line) == 0
    assert (len(tts.asked), judges.heard) == (5, 4), "only the missing clip"
    told = json.loads(Path("out.json").read_text(encoding="utf-8"))
    assert told["complete"] is True and len(told["tables"][0]["scores"]) == 4


def test_what_is_complete_is_not_done_again(tts: FakeTTS, judges: FakeJudges) -> None:
    tts.fails_at = {2: SynthesisError("silence")}
    line = "bundled --sentences list.txt --voices luna,nash --keep kept"
    first = report(line)
    asked, heard, loaded = len(tts.asked), judges.heard, len(tts.loaded)
    assert report(line)["tables"] == first["tables"]
    assert (len(tts.asked), judges.heard, len(tts.loaded)) == (asked, heard, loaded), "not even the model is loaded"


@pytest.mark.parametrize(
    ("change", "spoken"),
    [
        ("--steps 9", 4),
        ("--seed 1", 4),
        ("--vocoder other", 4),
        ("--bits 8", 4),
        ("--dtype int8", 4),
        ("--device cpu", 4),
        ("--asr small", 0),
    ],
)
def test_other_settings_are_another_run(tts: FakeTTS, judges: FakeJudges, change: str, spoken: int) -> None:
    line = "bundled --sentences list.txt --voices luna,nash --keep kept"
    report(line)
    asked, heard = len(tts.asked), judges.heard
    report(f"{line} {change}")
    assert (len(tts.asked) - asked, judges.heard - heard) == (spoken, 4)


def test_new_weights_in_the_same_folder_are_another_model(tts: FakeTTS) -> None:
    Path("mine").mkdir()
    for weights in (b"old", b"new", b"new"):
        Path("mine/model.safetensors").write_bytes(weights)
        report("mine --sentences list.txt --voices luna --keep kept")
    assert len(tts.asked) == 4, "two sentences, twice"


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"source": 1}'])
def test_a_damaged_score_is_made_again(tts: FakeTTS, damage: str) -> None:
    line = "bundled --sentences list.txt --voices luna --keep kept"
    first = report(line)
    Path("kept/bundled/list/luna/0001.json").write_text(damage)
    assert report(line)["tables"] == first["tables"] and len(tts.asked) == 3


def test_a_sound_that_cannot_be_read_ends_the_run_with_what_was_scored(capsys: Out) -> None:
    sound("theirs/1.wav")
    Path("theirs/2.wav").write_text("no sound")
    assert run("theirs --sentences list.txt") == 2
    out, err = capsys.readouterr()
    assert "after 1 of 2" in out and err.count("\n") == 1 and "2.wav: cannot be read as sound" in err


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bundled", "model bundled has nothing to say: add --sentences FILE"),
        ("bundled --sentences absent.txt", "absent.txt: cannot be read"),
        ("bundled --sentences blank.txt", "blank.txt: no sentences in it"),
        ("bundled --sentences list.txt --voices lune", "unknown voice 'lune'; built in are celeste, luna"),
        ("bundled --sentences list.txt --voices luna,luna", "two voices called 'luna'"),
        ("bundled --sentences list.txt --limit 0", "--limit is 0; it must be at least 1"),
        ("bundled --sentences list.txt --threads 0", "--threads is 0; it must be at least 1"),
        ("bundled --sentences list.txt --dtype int4", "--dtype is 'int4'; it must be one of auto, float32"),
        ("bundled --sentences list.txt --steps 0", "steps is 0; it must be from 1 to 256"),
        ("bundled --sentences list.txt --lang Spanish", "'Spanish' is not a language code"),
        ("bundled --sentences list.txt --lang es-MX", "--lang is 'es-MX'; it must be a language's code alone"),
        ("bundled --sentences list.txt --temperature 3", "temperature is 3.0; it must be from 0 to 2"),
        ("bundled --sentences tagged.txt", "tagged.txt: sentence 2: line 1, column 1: [vioce:nash]"),
        ("bundled --sentences list.txt --json absent/out.json", "--json absent/out.json: its folder does not exist"),
        ("bundled --sentences list.txt --keep list.txt", "--keep list.txt: this is a file"),
        ("bundled --sentences list.txt --speakers list.txt", "list.txt: not a tar file"),
        ("bundled --sentences list.txt --speakers one.tar", "no speaker has two recordings"),
        ("bundled --sentences list.txt sub/list.txt", "two inputs have the same name, bundled/list"),
        ("absent --sentences list.txt", "no model 'absent'"),
        ("absent.tar", "absent.tar: cannot be read as a tar file"),
        ("mute.tar", "mute.tar: 1: no text"),
        ("bundled --copy-synthesis", "--copy-synthesis needs recordings"),
        ("one.tar --voices luna", "--voices and --speakers need a model that speaks"),
        ("one.tar --sentences list.txt", "--sentences need a model that speaks them"),
        ("bundled --sentences list.txt --reference luna=theirs/1.wav", "--reference is for audio and recordings"),
        ("empty", "empty: neither a model nor audio in it"),
        ("theirs", "theirs/1.wav: 1.txt is missing beside it, or --sentences FILE"),
        ("theirs --sentences list.txt sub/list.txt", "or one list of --sentences, not several"),
        ("theirs --sentences long.txt", "theirs/5.wav: named as line 5; the lines are 1 to 3"),
        ("named --sentences long.txt", "named: 1 audio files without .txt for 3 sentences"),
        ("theirs --sentences list.txt --reference luna", "--reference luna: VOICE=FILE is needed"),
        ("theirs --sentences list.txt --reference luna=absent.wav", "absent.wav: no such file"),
    ],
)
def test_bad_input_gets_one_line_before_any_work(
    tts: FakeTTS, judges: FakeJudges, capsys: Out, line: str, message: str
) -> None:
    shard("mute.tar", [("1", {"speaker": "luna"}, 0.1)])
    shard("one.tar", [("1", {"text": "no", "speaker": "luna"}, 0.1)])
    for name in ("theirs/1.wav", "theirs/5.wav", "named/a.wav"):
        sound(name)
    for folder in ("empty", "sub"):
        Path(folder).mkdir()
    Path("sub/list.txt").write_text("one fish\n")
    Path("blank.txt").write_text("\n")
    Path("tagged.txt").write_text("one\n[vioce:nash] two\n")
    Path("long.txt").write_text("a\nb\nc\n")
    assert run(line) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ") and message in err
    assert not tts.asked and not judges.heard


@pytest.mark.parametrize("package", ["jiwer", "whisper_normalizer.english", "faster_whisper"])
def test_without_the_extra_the_command_is_told_before_any_work(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: Out, tts: FakeTTS
) -> None:
    words._normaliser.cache_clear()
    monkeypatch.setattr(evaluation, "load_judge", load_judge)
    monkeypatch.setitem(sys.modules, package, None)
    assert run("bundled --sentences list.txt") == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "pip install vivavoce[eval]" in err and not tts.asked


def test_names_cannot_leave_the_folder() -> None:
    for name in ("../../up", "/root", "..", "a/b", "C:\\x"):
        assert "/" not in clips.safe(name) and "\\" not in clips.safe(name) and not clips.safe(name).startswith(".")
    assert clips.safe("libri-12_a.b") == "libri-12_a.b"
