"""The tables that `vivavoce batch` reads: shards, URLs, Hugging Face data sets."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from helpers.batch_tables import contents, lines, speak, texts, write
from helpers.recordings import tar

from vivavoce import audio


@pytest.fixture
def memory() -> Iterator[Any]:
    """An object store in the memory of this process."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    yield store
    store.store.clear()


def test_shards_of_texts_are_read_in_order_with_their_keys_as_ids(tmp_path: Path) -> None:
    tar(tmp_path / "in/b.tar", {"three": {"json": json.dumps({"text": "Say three.", "voice": "luna"}).encode()}})
    tar(tmp_path / "in/a.tar", {"one": {"txt": b"Say one."}, "two": {"json": b'{"text": "Say two.", "id": "second"}'}})
    speak(tmp_path / "in", tmp_path / "out")
    rows = [(line["id"], line["text"], line["voice"]) for line in lines(tmp_path / "out/manifest.jsonl")]
    assert rows == [("one", "Say one.", "celeste"), ("second", "Say two.", "celeste"), ("three", "Say three.", "luna")]
    assert speak(tmp_path / "in/*.tar", tmp_path / "globbed")["spoken"] == 3
    assert speak(tmp_path / "in/b.tar", tmp_path / "single")["spoken"] == 1


def test_a_sample_without_a_text_is_an_error_of_its_row_and_a_damaged_shard_one_of_the_table(tmp_path: Path) -> None:
    whole = tar(tmp_path / "in.tar", {"a": {"json": b"{"}, "b": {"flac": b"x"}, "c": {"txt": b"Say one."}})
    report = speak(whole, tmp_path / "out")
    assert (report["spoken"], report["errors"]) == (1, 2)
    assert [(e["id"], e["error"]) for e in lines(tmp_path / "out/errors.jsonl")] == [
        ("a", "the text is empty"), ("b", "the text is empty"),
    ]  # fmt: skip
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:1700])
    with pytest.raises(ValueError, match=r"cut\.tar.*damaged"):
        speak(tmp_path / "cut.tar", tmp_path / "other")


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.tar"])
def test_a_table_at_a_url_gives_the_same(tmp_path: Path, memory: Any, name: str) -> None:
    rows = [{"id": str(n), **row} for n, row in enumerate(texts(5))]
    if name == "in.tar":
        tar(tmp_path / name, {row["id"]: {"json": json.dumps(row).encode()} for row in rows})
    else:
        write(tmp_path / name, rows)
    memory.pipe_file(f"/bucket/{name}", (tmp_path / name).read_bytes())
    speak(f"memory://bucket/{name}", tmp_path / "remote")
    speak((tmp_path / name).as_uri(), tmp_path / "local")
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")


def test_references_are_relative_to_the_url_of_the_table(tmp_path: Path, memory: Any) -> None:
    audio.write(tmp_path / "me.wav", 0.3 * np.sin(np.arange(48_000) / 20))
    rows = [{"text": "Hello.", "reference": "me.wav"}, {"text": "Hello.", "reference": "memory://bucket/none.wav"}]
    write(tmp_path / "in.jsonl", rows)
    for file in ("me.wav", "in.jsonl"):
        memory.pipe_file(f"/bucket/{file}", (tmp_path / file).read_bytes())
    assert speak("memory://bucket/in.jsonl", tmp_path / "out")["spoken"] == 1
    (error,) = lines(tmp_path / "out/errors.jsonl")
    assert error["row"] == 2 and error["error"] == "memory://bucket/none.wav: no such file"


class Rows(list[dict[str, Any]]):
    """A data set of Hugging Face, as far as it is used."""

    column_names = ("audio", "text", "speed")

    def select_columns(self, names: list[str]) -> list[dict[str, Any]]:
        return [{name: row[name] for name in names} for row in self]


@pytest.mark.parametrize("name", ["owner/lines", "hf://datasets/owner/lines"])
def test_a_hugging_face_data_set_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def load_dataset(name: str, config: str | None, split: str, streaming: bool) -> Rows:
        assert (name, config, split, streaming) == ("owner/lines", None, "test", True)
        return Rows({"audio": b"large", "text": row["text"], "speed": 2.0} for row in texts(3))

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    speak(name, tmp_path / "out", split="test")
    speak(write(tmp_path / "in.csv", [{**row, "speed": "2"} for row in texts(3)]), tmp_path / "local")
    assert contents(tmp_path / "out/audio") == contents(tmp_path / "local/audio")


def test_a_data_set_that_does_not_exist_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("offline\nand more")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(ValueError, match="owner/lines: no such file here.*ConnectionError: offline") as error:
        speak("owner/lines", tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"the package datasets is missing: pip install vivavoce\[prepare\]"):
        speak("owner/lines", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("memory://bucket/none.csv", "memory://bucket/none.csv: no such file"),
        ("nonsense://bucket/in.csv", "nonsense://bucket/in.csv: cannot be read"),
        ("memory://bucket/in.xlsx", "memory://bucket/in.xlsx: unknown kind of table"),
        ("none", "none: no such file; a table is .csv"),
    ],
)
def test_an_unreachable_table_is_one_line(tmp_path: Path, memory: Any, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        speak(name, tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
