"""Where the speech of a batch goes: files, shards and Parquet, on disks and in object stores that may fail."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem
from helpers.batch_tables import contents, lines, speak, texts, write

from vivavoce.audio import files as audio_files
from vivavoce.batch import places
from vivavoce.data.fetch import expand
from vivavoce.data.samples import Report, audio_of, metadata_of, raw_samples


class Bucket(MemoryFileSystem):
    """An object store that refuses to write once `left` is used up."""

    protocol = "bucket"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    left = 1_000_000

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("bucket://", "memory://")))

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        Bucket.left -= 1
        if Bucket.left < 0:
            raise PermissionError("Access Denied\nRequestId: 1")
        super().pipe_file(path, value, **options)


@pytest.fixture
def bucket() -> Iterator[type[Bucket]]:
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    Bucket.store.clear()
    Bucket.pseudo_dirs[:] = [""]
    Bucket.left = 1_000_000
    yield Bucket
    Bucket.store.clear()


def download(folder: Path) -> Path:
    Bucket().get("/out", str(folder), recursive=True)
    return folder


# ---- forms ----------------------------------------------------------------------------------------------------------


def test_shards_are_training_data(tmp_path: Path) -> None:
    table = write(tmp_path / "in.csv", [{"id": f"a.{n}", **row} for n, row in enumerate(texts(10))])
    speak(table, tmp_path / "out", output="webdataset", format="flac", shard_rows=4, voice="luna")
    speak(table, tmp_path / "files", format="flac", voice="luna")
    shards = expand([str(tmp_path / "out/shards")])
    assert [Path(shard).name for shard in shards] == ["000000.tar", "000001.tar", "000002.tar"]
    report = Report()
    found = list(raw_samples(shards, report))
    manifest = lines(tmp_path / "out/manifest.jsonl")
    assert not report.notices and len(found) == len(manifest) == 10
    for sample, line, file in zip(found, manifest, lines(tmp_path / "files/manifest.jsonl"), strict=True):
        meta, sound = metadata_of(sample.files), audio_of(sample.files)
        assert (meta.text, meta.speaker, meta.lang) == (line["text"], "luna", "en")
        assert [list(word) for word in meta.words] == line["words"] and meta.duration == line["seconds"]
        assert line["path"].startswith("shards/") and line["member"] == f"{sample.key}.flac"
        assert sound == (tmp_path / "files" / file["path"]).read_bytes()


def test_parquet_holds_the_audio_and_the_manifest(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = write(tmp_path / "in.csv", [*texts(9), {"text": ""}])
    speak(table, tmp_path / "out", output="parquet", manifest="parquet", shard_rows=4)
    speak(table, tmp_path / "files")
    manifest = parquet.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    stored = [
        row for n in range(3) for row in parquet.read_table(tmp_path / f"out/parquet/{n:06d}.parquet").to_pylist()
    ]
    plain = lines(tmp_path / "files/manifest.jsonl")
    assert len(stored) == len(manifest) == 9
    for line, row, file in zip(manifest, stored, plain, strict=True):
        assert row["audio"]["bytes"] == (tmp_path / "files" / file["path"]).read_bytes()
        assert [(w["word"], w["start"], w["end"]) for w in line["words"]] == [tuple(word) for word in file["words"]]
        assert line["checks"] == [{"tries": 1, "faults": [], "transcript": None}] == file["checks"]
        samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        assert row["seconds"] == pytest.approx(len(samples) / rate, abs=1e-3)
    assert lines(tmp_path / "out/errors.jsonl")[0]["row"] == 10


@pytest.mark.parametrize("options", [{"format": "ogg"}, {"batch_size": 3}, {"shard_rows": 2}])
def test_the_same_call_gives_the_same_bytes(tmp_path: Path, options: dict[str, Any]) -> None:
    table = write(tmp_path / "in.csv", texts(7))
    speak(table, tmp_path / "one", **options)
    speak(table, tmp_path / "two", **options)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_batches_and_blocks_of_another_size_give_the_same_samples(tmp_path: Path) -> None:
    rows = texts(9)
    rows[4]["text"] = "x" * 20 + ". " + "Say one. " * 9
    rows[5]["voice"] = "nobody"
    table = write(tmp_path / "in.csv", rows)
    found = []
    for name, options in {
        "plain": {},
        "batched": {"batch_size": 4, "shard_rows": 9},
        "five": {"shard_rows": 5},
    }.items():
        speak(table, tmp_path / name, **options)
        manifest = lines(tmp_path / name / "manifest.jsonl")
        found.append([(line["id"], (tmp_path / name / line["path"]).read_bytes()) for line in manifest])
    assert found[0] == found[1] == found[2] and len(found[0]) == 8


# ---- stores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["files", "webdataset"])
def test_a_url_gets_the_same_files_as_a_folder(tmp_path: Path, bucket: type[Bucket], output: str) -> None:
    table = write(tmp_path / "in.csv", [*texts(5), {"text": " "}])
    report = speak(table, "bucket://out", output=output)
    assert speak(table, "bucket://out", output=output) == report  # finished
    speak(table, tmp_path / "local", output=output)
    assert contents(download(tmp_path / "remote")) == contents(tmp_path / "local")
    with pytest.raises(ValueError, match=r"bucket://out holds another batch \(seed has changed\)"):
        speak(table, "bucket://out", output=output, seed=1)


def test_a_bucket_that_refuses_is_one_line_and_nothing_finished_is_lost(tmp_path: Path, bucket: type[Bucket]) -> None:
    table = write(tmp_path / "in.csv", texts(8))
    bucket.left = 0
    with pytest.raises(OSError, match="cannot be written .PermissionError: Access Denied.$") as error:
        speak(table, "bucket://out")
    assert "bucket://out/.batch/batch.json" in str(error.value) and "\n" not in str(error.value)
    bucket.left = 6  # of 1 and 2 for each row
    with pytest.raises(OSError, match="Access Denied"):
        speak(table, "bucket://out")
    kept = {name: bucket.store[name].modified for name in bucket.store if name.startswith("/out/audio/00000")}
    assert len(kept) in (2, 3)
    bucket.left = 1_000_000
    speak(table, "bucket://out")
    assert sum(bucket.store[name].modified == before for name, before in kept.items()) == 2  # of the finished blocks
    speak(table, tmp_path / "local")
    assert contents(download(tmp_path / "remote")) == contents(tmp_path / "local")


def test_a_full_disk_is_one_line_and_nothing_finished_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, left = write(tmp_path / "in.csv", texts(8)), 8

    def full(path: Any, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        audio_files.atomic_write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(places, "atomic_write", full)
        with pytest.raises(OSError, match="No space left on device"):
            speak(table, tmp_path / "out")
    assert len(list((tmp_path / "out/.batch").glob("0*.json"))) == 3
    speak(table, tmp_path / "out")
    speak(table, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "zip"}, "output is 'zip'; it must be one of files, webdataset, parquet"),
        ({"manifest": "csv"}, "manifest is 'csv'; it must be one of jsonl, parquet"),
        ({"shard_rows": 0}, "shard_rows is 0; it must be 1 or more"),
        ({"batch_size": 0}, "batch_size is 0; it must be 1 or more"),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        speak(write(tmp_path / "in.csv", texts(1)), tmp_path / "out", **options)
