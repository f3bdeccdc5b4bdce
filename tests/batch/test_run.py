"""`vivavoce batch`: every row once, the same bytes for any number of workers and after any interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.batch_engine import load_deadly
from helpers.batch_tables import contents, lines, speak, texts, write

from vivavoce import audio
from vivavoce.batch.outputs import file_name
from vivavoce.batch.worker import row_seed


def test_every_row_becomes_an_audio_file_and_a_line_of_the_manifest(tmp_path: Path) -> None:
    rows = [
        {"id": "greeting", "text": "Hello there.", "voice": "luna", "speed": "2.0", "seed": "7"},
        {"id": "a/b: c", "text": "Bonjour.", "voice": "", "speed": "", "seed": "", "lang": "fr"},
    ]
    report = speak(write(tmp_path / "in.csv", rows), tmp_path / "out", voice="nash", format="flac", seed=5)
    assert (report["rows"], report["spoken"], report["errors"]) == (2, 2, 0)
    one, two = lines(tmp_path / "out/manifest.jsonl")
    assert (one["id"], one["voice"], one["lang"], one["seed"], one["text"]) == (
        "greeting", "luna", "en", 7, "Hello there.",
    )  # fmt: skip
    assert (two["voice"], two["lang"], two["seed"]) == ("nash", "fr", row_seed(5, "a/b: c"))
    assert two["path"] == "audio/000001/a%2Fb%3A c.flac"
    for line in (one, two):
        samples, rate = soundfile.read(tmp_path / "out" / line["path"])
        assert line["seconds"] == pytest.approx(len(samples) / rate, abs=1e-3)
    assert [word[0] for word in one["words"]] == ["Hello", "there."] and one["retries"] == 0
    assert report["seconds"] == pytest.approx(one["seconds"] + two["seconds"], abs=0.02)
    assert lines(tmp_path / "out/errors.jsonl") == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "audio", "batch.json", "errors.jsonl", "manifest.jsonl",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "in.jsonl"])
def test_all_kinds_of_tables_give_the_same(tmp_path: Path, name: str) -> None:
    speak(write(tmp_path / "plain.jsonl", texts(3)), tmp_path / "plain")
    speak(write(tmp_path / name, texts(3)), tmp_path / "out")
    assert contents(tmp_path / "out/audio") == contents(tmp_path / "plain/audio")


def test_parquet_is_read_where_pyarrow_is_installed(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(texts(3)), tmp_path / "in.parquet")
    assert speak(tmp_path / "in.parquet", tmp_path / "out")["spoken"] == 3


def test_a_reference_clones_its_voice(tmp_path: Path) -> None:
    time = np.arange(48_000) / 24_000
    audio.write(tmp_path / "me.wav", 0.3 * np.sin(2 * np.pi * 200 * time))
    rows = [{"text": "Hello.", "reference": "me.wav"}, {"text": "Hello.", "reference": "nobody.wav"}]
    report = speak(write(tmp_path / "in.jsonl", rows), tmp_path / "out")
    assert (report["spoken"], report["errors"]) == (1, 1)
    (error,) = lines(tmp_path / "out/errors.jsonl")
    assert error["row"] == 2 and "nobody.wav" in error["error"]


@pytest.mark.usefixtures("processes")
def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    table = write(tmp_path / "in.csv", texts(21))
    for workers in (1, 2, 4):
        speak(table, tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "4")
    assert len(lines(tmp_path / "1/manifest.jsonl")) == 21


def test_bad_rows_do_not_stop_the_others(tmp_path: Path) -> None:
    rows = [{"id": str(n), **row} for n, row in enumerate(texts(12))]
    rows[1]["text"] = "  "
    rows[3]["voice"] = "nobody"
    rows[4]["speed"] = "fast"
    rows[5]["speed"] = "9"
    rows[6]["seed"] = "1.5"
    rows[7]["lang"] = "xx"
    rows[9]["id"] = "8"
    rows[10] |= {"voice": "luna", "reference": "me.wav"}
    report = speak(write(tmp_path / "in.csv", rows), tmp_path / "out")
    errors = {line["row"]: line["error"] for line in lines(tmp_path / "out/errors.jsonl")}
    assert (report["spoken"], report["errors"]) == (4, 8) and sorted(errors) == [2, 4, 5, 6, 7, 8, 10, 11]
    for row, message in {
        2: "the text is empty", 4: "unknown voice 'nobody'", 5: "speed is 'fast'; it must be a number",
        6: "speed is 9.0; it must be from 0.25 to 4", 7: "seed is '1.5'; it must be a number", 8: "'xx'",
        10: "an earlier row has the same id", 11: "not both",
    }.items():  # fmt: skip
        assert message in errors[row], errors[row]
    assert [line["id"] for line in lines(tmp_path / "out/manifest.jsonl")] == ["0", "2", "8", "11"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "id,words\n1,Hello\n", "no column text; it has id, words"),
        ("in.csv", "text\n", "the table is empty"),
        ("in.csv", b"text\n\xff\n", "not UTF-8"),
        ("in.jsonl", '{"text": "a"}\n{"text"', "line 2 is not JSON"),
        ("in.jsonl", '{"text": "a"}\n[1]\n', "line 2 is not a JSON object"),
        ("in.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("in.xlsx", "", "unknown kind of table"),
    ],
)
def test_an_unusable_table_is_one_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        speak(tmp_path / name, tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_finished_batch_is_not_repeated_and_another_one_refused(tmp_path: Path) -> None:
    table = write(tmp_path / "in.csv", texts(3))
    report = speak(table, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert speak(table, tmp_path / "out") == report and contents(tmp_path / "out") == before
    with pytest.raises(ValueError, match=r"out holds another batch \(seed has changed\)"):
        speak(table, tmp_path / "out", seed=1)
    write(table, texts(4))
    with pytest.raises(ValueError, match=r"out holds another batch \(the table has changed\)"):
        speak(table, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").touch()
    with pytest.raises(ValueError, match="mine: not empty, and not a batch"):
        speak(table, tmp_path / "mine")


@pytest.mark.usefixtures("processes")
def test_a_killed_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rows = [*texts(6), {"text": "And die."}, *texts(6)]
    table = write(tmp_path / "in.csv", rows)
    model = {"alive": str(tmp_path / "alive")}
    with pytest.raises(OSError, match="a worker process was killed.*the same command resumes"):
        speak(table, tmp_path / "out", loader=load_deadly, model=model)
    assert (tmp_path / "out/.batch/000000.json").exists() and not (tmp_path / "out/manifest.jsonl").exists()
    speak(table, tmp_path / "out", loader=load_deadly, model=model)
    speak(table, tmp_path / "whole", model=model)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


DRIVER = """
import sys
from helpers.batch_engine import load_tones
from vivavoce.batch import run
if __name__ == "__main__":
    run.batch(sys.argv[1], sys.argv[2], workers=2, loader=load_tones)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_driver_loses_and_doubles_nothing(tmp_path: Path) -> None:
    table = write(tmp_path / "in.csv", texts(100))
    (tmp_path / "driver.py").write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for blocks in (2, 10):
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "driver.py"), str(table), str(tmp_path / "out")], env=environment
        )
        while len(list((tmp_path / "out/.batch").glob("0*.json"))) < blocks:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    (tmp_path / "out/audio/000024").mkdir(exist_ok=True)
    (tmp_path / "out/audio/000024/.x.wav.0123abcd.part").touch()  # a write that the kill interrupted
    (tmp_path / "out/.batch/.000024.json.0123abcd.part").touch()
    speak(table, tmp_path / "out")
    speak(table, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len({line["id"] for line in lines(tmp_path / "out/manifest.jsonl")}) == 100


def test_ids_become_distinct_file_names() -> None:
    ids = ["a", "A.", "a/b", "../../etc", "ü" * 200, "ü" * 201, "con:x", "", "%41"]
    names = [file_name(id) for id in ids]
    assert len(set(names)) == len(ids) and all("/" not in name and len(name) < 120 for name in names[:-2])
