"""The kinds of input that `prepare` reads, and unusable inputs."""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.recordings import (
    TEXT,
    contents,
    described,
    encoded,
    kept,
    put,
    reasons,
    recordings,
    stop_after,
    stored,
    tar,
    wave,
)

from vivavoce.prepare import huggingface
from vivavoce.prepare.run import prepare
from vivavoce.prepare.settings import PrepareConfig
from vivavoce.text import read_vocabulary

# ---- kinds of input -------------------------------------------------------------------------------------------------


def test_a_folder_of_recordings_with_texts(tmp_path: Path) -> None:
    put(tmp_path / "in/anna/one.wav", np.stack([wave(1.5, 0.7, 0.9)] * 2, 1), "Mr. Fox has  3 hats.\n")
    put(tmp_path / "in/anna/deep/er/two.v2.flac")
    put(tmp_path / "in/ben/wavs/drei.WAV")
    put(tmp_path / "in/none.wav")
    (tmp_path / "in/README.txt").write_text("Not what a recording says.")
    report = prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    found = stored(tmp_path / "out")
    assert {key: meta["speaker"] for key, meta in found.items()} == {
        "anna/one": "anna", "anna/deep/er/two%2Ev2": "anna", "ben/wavs/drei": "ben", "none": "in"
    }  # fmt: skip
    one = found["anna/one"]
    assert one["text"] == "Mister Fox has three hats." and one["original"] == "Mr. Fox has  3 hats.\n"
    assert one["lang"] == "en"
    samples, rate = soundfile.read(io.BytesIO(one["sound"]))
    assert rate == 24_000 and samples.ndim == 1 and soundfile.info(io.BytesIO(one["sound"])).format == "FLAC"
    assert one["duration"] == pytest.approx(len(samples) / rate, abs=1e-3) == pytest.approx(1.7, abs=0.03)
    assert np.abs(samples[: round(0.08 * rate)]).max() < 0.01 < np.abs(samples[round(0.12 * rate) :]).max()
    assert report["kept"]["utterances"] == 4 and report["kept"]["hours"] == pytest.approx(6.2 / 3600, abs=2e-4)
    assert report["speakers"]["anna"]["utterances"] == 2 and report["languages"]["en"]["utterances"] == 4
    assert json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8")) == report
    assert "".join(read_vocabulary(tmp_path / "out/vocab.txt")) == " abcdefghijklmnopqrstuvwxyz'.,;:!?-"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.json", "train-000000.tar", "vocab.txt"]


def test_ljspeech(tmp_path: Path) -> None:
    root = tmp_path / "LJ"
    for name in ("LJ001-0001", "LJ001-0002", "own"):
        put(root / f"wavs/{name}.wav", text=None)
    (root / "metadata.csv").write_text(
        'LJ001-0001|In 1455 "it began|In fourteen fifty-five "it began\nLJ001-0002|A second text.|\n'
        "own.wav|Two columns only.\nLJ001-0003|Its recording is lost.|Lost.\nLJ001-0002|Again.|Again.\nnonsense\n",
        encoding="utf-8",
    )
    report = prepare(str(root), tmp_path / "out", workers=1)
    assert {key: meta["text"] for key, meta in stored(tmp_path / "out").items()} == {
        "LJ001-0001": 'In fourteen fifty-five "it began', "LJ001-0002": "A second text.", "own": "Two columns only."
    }  # fmt: skip
    assert set(report["speakers"]) == {"LJ"} and report["settings"]["input"]["kind"] == "ljspeech"
    assert reasons(report) == {
        "no recording": ["LJ001-0003"], "no text": ["nonsense"], "the same id twice": ["LJ001-0002-line-5"]
    }  # fmt: skip


@pytest.mark.parametrize("above", ["", "LibriTTS_R/train-clean-100/"])
def test_libritts(tmp_path: Path, above: str) -> None:
    chapter = tmp_path / f"in/{above}84/121123"
    put(chapter / "84_121123_1.wav", text="Doctor Brown was here.", ending=".normalized.txt")
    (chapter / "84_121123_1.original.txt").write_text("Dr. Brown was here.")
    put(chapter / "84_121123_2.wav", text="Only as it was written.", ending=".original.txt")
    (chapter / "84_121123.trans.tsv").write_text("…")
    report = prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    texts = [meta["text"] for meta in stored(tmp_path / "out").values()]
    assert sorted(texts) == ["Doctor Brown was here.", "Only as it was written."]
    assert set(report["speakers"]) == {"84"} and report["settings"]["kind"] == "libritts"


@pytest.mark.parametrize("given", ["in", "in/*.tar", "in/b.tar"])
def test_shards(tmp_path: Path, given: str) -> None:
    emilia = {"text": TEXT, "speaker": "EN_B0_S1", "duration": 1.5, "language": "en", "dnsmos": 3.3}
    tar(tmp_path / "in/a.tar", {"0001": described(speaker="x", lang="en-GB"), "0002": described(language="de")})
    tar(
        tmp_path / "in/b.tar",
        {
            "0001": {"mp3": encoded(wave(), "MP3"), "json": json.dumps(emilia).encode()},
            "./sub/0002": {"ogg": encoded(wave(), "OGG"), "txt": TEXT.encode()},
        },
    )
    report = prepare(str(tmp_path / given), tmp_path / "out", workers=1)
    found = stored(tmp_path / "out")
    of_b = {"b/0001", "b/sub/0002"}
    assert set(found) == ({"a/0001"} | of_b if "b" not in given else of_b)
    assert found["b/0001"]["speaker"] == "EN_B0_S1" and found["b/0001"]["dnsmos"] == 3.3
    assert found["b/0001"]["lang"] == "en" and "language" not in found["b/0001"]
    if given == "in":
        assert reasons(report) == {"no rules for the language 'de'": ["a/0002"]}
        assert report["speakers"]["x"]["utterances"] == 1 and found["a/0001"]["lang"] == "en"


def test_a_damaged_shard_is_used_as_far_as_it_is_readable(tmp_path: Path) -> None:
    path = tar(tmp_path / "in/a.tar", {f"{n}": described() for n in range(3)})
    path.write_bytes(path.read_bytes()[:70_000])
    tar(tmp_path / "in/b.tar", {"good": described(), "bad": {"wav": b"RIFF", "json": b"{"}})
    report = prepare(str(tmp_path / "in"), tmp_path / "out", workers=1)
    assert set(stored(tmp_path / "out")) == {"a/0", "b/good"}
    assert reasons(report)["(shards) damaged; used as far as readable"] == ["a"]
    assert reasons(report)["unreadable json"] == ["b/bad"]


def test_a_damaged_shard_can_be_fatal(tmp_path: Path) -> None:
    path = tar(tmp_path / "in/a.tar", {f"{n}": described() for n in range(3)})
    damaged = bytearray(path.read_bytes())
    second = damaged.index(b"1.wav")  # one bit of a header, which tarfile would take for the end
    damaged[second] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.tar: damaged.* at byte \d+; --damaged-shards skip uses it"):
        prepare(str(tmp_path / "in"), tmp_path / "out", PrepareConfig(damaged_shards="fail"), workers=1)
    assert prepare(str(tmp_path / "in"), tmp_path / "other", workers=1)["kept"]["utterances"] == 1


class Rows:
    """A stand-in for a streamed dataset of the library `datasets`."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        self.rows, self.features, self.at = rows, features, 0
        self.info = types.SimpleNamespace(splits={"train": types.SimpleNamespace(num_examples=len(rows))})
        self.read: list[int] = []

    def cast_column(self, column: str, feature: Any) -> Rows:
        assert feature.decode is False  # else torchcodec would be needed
        self.features = {**self.features, column: feature}
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(self.at, len(self.rows)):
            self.at = number + 1
            self.read.append(number)
            yield self.rows[number]
        self.at = 0

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


class Audio:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]], dict[str, Any]], Rows]:
    """Puts a stand-in for the library `datasets` in place, whose every dataset has the rows that are given."""

    def serve(rows: list[dict[str, Any]], features: dict[str, Any]) -> Rows:
        dataset = Rows(rows, features)

        def load_dataset(name: str, config: str | None, *, split: str, streaming: bool) -> Rows:
            assert streaming
            if (name, config, split) != ("owner/name", "clean", "train"):
                raise ValueError(f"Unknown split {split!r}.\nShould be one of ['train'].")
            return dataset

        library = types.SimpleNamespace(load_dataset=load_dataset, Audio=Audio)
        monkeypatch.setitem(sys.modules, "datasets", library)
        return dataset

    return serve


def test_a_hugging_face_dataset(tmp_path: Path, hub: Any) -> None:
    file = tmp_path / "by-path.wav"
    file.write_bytes(encoded(wave()))
    sounds = [{"bytes": encoded(wave()), "path": "x/84_1.wav"}, {"bytes": None, "path": str(file)}, {"bytes": b"no"}]
    rows = [{"sound": s, "raw_text": "no", "sentence": f"Say {n} times.", "client_id": n} for n, s in enumerate(sounds)]
    hub(rows, {"sound": Audio(), "raw_text": "", "sentence": "", "client_id": 0})
    report = prepare("owner/name", tmp_path / "out", PrepareConfig(config="clean"), workers=1)
    found = stored(tmp_path / "out")
    assert sorted(found) == ["000000000-84_1", "000000001-by-path"]
    assert sorted(meta["text"] for meta in found.values()) == ["Say one times.", "Say zero times."]
    assert set(report["speakers"]) == {"0", "1"} and reasons(report) == {"unreadable audio": ["000000002"]}
    assert report["settings"]["input"]["name"] == "owner/name"


def test_a_hugging_face_repository_of_webdataset_shards(tmp_path: Path, hub: Any) -> None:
    meta = {"text": TEXT, "speaker": "EN_1", "language": "en", "dnsmos": 3.2}
    row = {"mp3": {"bytes": encoded(wave(), "MP3"), "path": None}, "json": meta, "__key__": "EN_B00_W0", "__url__": "u"}
    hub([row], {"__key__": "", "mp3": Audio(), "json": dict.fromkeys(meta, ""), "__url__": ""})
    found = kept("owner/name", tmp_path / "out", config="clean", max_rate=40.0)
    assert found["000000000-EN_B00_W0"]["speaker"] == "EN_1" and found["000000000-EN_B00_W0"]["dnsmos"] == 3.2


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"config": "other"}, "Hugging Face has no such dataset .ValueError: Unknown split 'train'."),
        ({"config": "clean", "text_column": "words"}, "--text-column words: owner/name has sound, says"),
        ({"config": "clean"}, "which column has the text.*--text-column: sound, says"),
    ],
)
def test_a_dataset_that_cannot_be_used(tmp_path: Path, hub: Any, settings: dict[str, str], complaint: str) -> None:
    hub([{"sound": {"bytes": b""}, "says": TEXT}], {"sound": Audio(), "says": ""})
    with pytest.raises(ValueError, match=complaint):
        prepare("owner/name", tmp_path / "out", PrepareConfig(**settings), workers=1)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_stream_resumes_without_reading_all_of_it_again(
    tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "MARK_EVERY", 4)
    rows = [{"audio": {"bytes": encoded(wave()), "path": f"{n}.wav"}, "text": f"{TEXT} {n}."} for n in range(30)]
    features = {"audio": Audio(), "text": ""}
    settings = PrepareConfig(config="clean", shard_utterances=6, valid_share=0.0)
    hub(rows, features)
    prepare("owner/name", tmp_path / "whole", settings, workers=1)
    hub(rows, features)
    with pytest.raises(KeyboardInterrupt):
        prepare("owner/name", tmp_path / "out", settings, workers=1, progress=stop_after(21))
    dataset = hub(rows, features)
    prepare("owner/name", tmp_path / "out", settings, workers=1)
    assert min(dataset.read) == 16 and contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_the_real_datasets_library_streams_without_torchcodec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": encoded(wave()), "path": f"{n}.wav"} for n in range(12)]
    rows = {"audio": cells, "text": [f"{TEXT} {n}." for n in range(12)], "speaker_id": [n % 2 for n in range(12)]}
    made = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio())
    for part in range(2):
        made.select(range(part * 6, part * 6 + 6)).to_parquet(tmp_path / f"{part}.parquet", batch_size=4)
    load = datasets.load_dataset
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, config, **how: load("parquet", data_files=f"{tmp_path}/*.parquet", **how)
    )
    monkeypatch.setattr(huggingface, "MARK_EVERY", 3)
    settings = PrepareConfig(shard_utterances=4, valid_share=0.0)
    prepare("owner/name", tmp_path / "whole", settings, workers=1)
    with pytest.raises(KeyboardInterrupt):
        prepare("owner/name", tmp_path / "out", settings, workers=1, progress=stop_after(9))
    report = prepare("owner/name", tmp_path / "out", settings, workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert report["kept"]["utterances"] == 12 and set(report["speakers"]) == {"0", "1"}


# ---- unusable inputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "settings", "complaint"),
    [
        ("nowhere", {}, "no 'nowhere': give a folder, .tar shards or a glob"),
        ("empty", {}, "empty: neither recordings .* beside them, nor metadata.csv .* nor SPEAKER.* nor .tar shards"),
        ("a-file.wav", {}, "a-file.wav: a file; give a folder"),
        ("*.tar", {}, "no shard at '.*tar'"),
        ("empty", {"kind": "shards"}, "no shard at"),
        ("empty", {"kind": "ljspeech"}, "no metadata.csv in it"),
        ("empty", {"kind": "folder"}, "no recordings .wav, flac"),
        ("nowhere", {"kind": "libritts"}, "no such folder; an input of kind libritts is a folder"),
        ("comma", {}, r"no line `id\|text` with a recording wavs/id.wav"),
        ("good", {"valid_speakers": ("s0", "who")}, "no speaker 'who'; there are s0, s1"),
        ("good", {"valid_speakers": ("s0", "s1")}, "would leave no speaker for training .s0, s1."),
        ("good", {"max_seconds": 0.5}, "holds no usable recording .6 longer than 0.5 s."),
    ],
)
def test_an_unusable_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, settings: dict[str, Any], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("a-file.wav").touch()
    Path("comma").mkdir()
    Path("comma/metadata.csv").write_text("file_name,transcription\na.wav,Hello.\n")
    recordings(Path("good"), 6)
    with pytest.raises(ValueError, match=complaint) as error:
        prepare(source, tmp_path / "out", PrepareConfig(**settings), workers=1)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_kind_can_be_forced(tmp_path: Path) -> None:
    put(tmp_path / "in/anna/1.wav")
    tar(tmp_path / "in/old.tar", {"0": described()})
    assert set(kept(tmp_path / "in", tmp_path / "a")) == {"anna/1"}
    assert set(kept(tmp_path / "in", tmp_path / "b", kind="shards")) == {"old/0"}
