"""Shards in, batches out: nothing lost, nothing in an order that depends on chance, nothing broken in silence."""

from __future__ import annotations

import copy
import io
import itertools
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.config import TrainConfig
from vivavoce.train.alignment import align
from vivavoce.train.data import Deal, Stream, epoch_seed, load_corpus, make_batches, share_out
from vivavoce.train.shards import Features, Reader, Report, Utterance, expand, raw_samples

TEXTS = ("the cat sat", "a dog ran off", "no", "birds sing at dawn", "we go home now", "so it is")
Files = dict[str, bytes]  # extension → content, of one sample


# ---- a corpus of tones, also for test_train.py ----------------------------------------------------------------------


def sound(
    seconds: float, seed: int = 0, format: str = "wav", rate: int = 24_000, channels: int = 1, level: float = 1
) -> bytes:
    """An encoded tone with some noise, whose pitch depends on the seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (150 + 40 * seed) * time) + 0.02 * rng.standard_normal(len(time))
    file = io.BytesIO()
    soundfile.write(file, np.repeat(level * wave[:, None], channels, 1), rate, format=format.upper())
    return file.getvalue()


def word_times(text: str, seconds: float) -> list[list[Any]]:
    """Evenly spread words with a pause after each."""
    words = text.split()
    step = seconds / len(words)
    return [[w, round(i * step, 3), round((i + 0.8) * step, 3)] for i, w in enumerate(words)]


def samples(count: int, words: bool = False, start: int = 0) -> list[Files]:
    """Utterances of 0.4 to 1.2 s in three audio formats, described by json or txt."""
    made: list[Files] = []
    for n in range(start, start + count):
        seconds, text, format = 0.4 + 0.8 * (n * 7 % 11) / 10, TEXTS[n % len(TEXTS)], ("wav", "flac", "ogg")[n % 3]
        files = {format: sound(seconds, n, format)}
        if words or n % 2:
            meta: dict[str, Any] = {"text": text, "speaker": f"s{n % 2}"}
            if words:
                meta["words"] = word_times(text, seconds)
            files["json"] = json.dumps(meta).encode()
        else:
            files["txt"] = text.encode()
        made.append(files)
    return made


def write_shard(path: Path, made: Sequence[Files], first: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for n, files in enumerate(made, first):
            for extension, content in files.items():
                info = tarfile.TarInfo(f"u{n:03d}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return str(path)


def write_corpus(folder: Path, count: int = 8, shards: int = 2, words: bool = False) -> list[str]:
    """A corpus of `count` utterances u000, u001, … in so many shards."""
    each = -(-count // shards)
    return [
        write_shard(folder / f"s-{i:03d}.tar", samples(min(each, count - i * each), words, i * each), i * each)
        for i in range(shards)
    ]


class Plain(Reader):
    """A reader that keeps what it is given; utterances in `refused` are no good to it."""

    sample_rate = 24_000

    def __init__(self, refused: Sequence[str] = ()):
        self.refused = refused

    def featurize(self, utterance: Utterance) -> Features:
        if utterance.key in self.refused:
            raise ValueError("refused")
        frames = len(utterance.samples) // 256 + 1
        mean = torch.from_numpy(utterance.samples).abs().mean()
        return {"key": utterance.key, "text": utterance.text, "words": utterance.words, "length": frames, "mean": mean}

    def length(self, seconds: float) -> int:
        return int(seconds * 93.75) + 2

    def fingerprint(self) -> str:
        return f"plain {self.refused}"


class Untouched(Plain):
    """The same, but it must not be asked to decode anything."""

    def featurize(self, utterance: Utterance) -> Features:
        raise AssertionError("decoded again")


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"frames_per_batch": 300, "workers": 0, "min_seconds": 0.3, "max_seconds": 5.0, **changes})


def keys(batches: Iterable[list[Features]]) -> list[list[str]]:
    return [[item["key"] for item in items] for items in batches]


def epochs(stream: Stream, count: int = 1) -> list[list[list[Features]]]:
    """The batches of the first epochs, also the empty ones, of a process's share."""
    found: list[list[list[Features]]] = [[] for _ in range(count)]
    for piece in stream.pieces():
        stream.reports.setdefault(piece.epoch, Report()).add(piece.report)
        stream.places[piece.lane] = piece.place
        if piece.place[1] and piece.epoch < count:
            found[piece.epoch].append(piece.items)
        if stream.epoch >= count:
            return found
    raise AssertionError("a stream never ends")


# ---- names of shards ------------------------------------------------------------------------------------------------


def test_shards_are_named_by_path_glob_folder_range_and_file_url(tmp_path: Path) -> None:
    folder = tmp_path / "with [brackets] and spaces"
    shards = write_corpus(folder, 4, 2)
    plain = write_corpus(tmp_path / "c", 4, 2)
    assert expand(shards) == shards
    assert expand([str(folder)]) == shards
    assert expand([str(tmp_path / "c" / "s-*.tar")]) == plain
    assert expand([str(tmp_path / "c" / "s-{000..001}.tar")]) == plain
    assert expand([Path(shards[1]).as_uri()]) == shards[1:]
    assert expand(["https://host/s-{0..1}.tar", "pipe:cat x"]) == [
        "https://host/s-0.tar", "https://host/s-1.tar", "pipe:cat x",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["nothing.tar", "nothing-*.tar", "s-{000..002}.tar", "empty", "file:///no/such.tar"])
def test_a_name_without_shards_is_refused_in_one_line(tmp_path: Path, name: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path, 2, 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^no shard at '.*(nothing|s-002|empty|such).*'; give .*$"):
        expand([name])


def test_unbalanced_braces_are_refused_with_the_name() -> None:
    with pytest.raises(ValueError, match=r"s-\{0.tar"):
        expand(["s-{0.tar"])


# ---- what is in the shards ------------------------------------------------------------------------------------------


def test_every_format_rate_and_channel_count_is_read_with_its_text(tmp_path: Path) -> None:
    made = [
        {"wav": sound(1.0, 1, "wav", 48_000, 2), "json": b'{"text": " json text ", "words": [["json", 0.1, 0.5]]}'},
        {"flac": sound(0.5, 2, "flac", 16_000), "txt": b" plain text\n"},
        {"ogg": sound(0.75, 3, "ogg"), "json": b'{"text": "both"}', "txt": b"the json counts"},
    ]
    items = load_corpus([write_shard(tmp_path / "a.tar", made)], Plain(), config()).items
    assert [item["text"] for item in items] == ["json text", "plain text", "both"]
    assert [item["length"] for item in items] == [94, 47, 71]
    assert items[0]["words"] == (("json", 0.1, 0.5),) and items[1]["words"] == ()
    assert all(item["mean"] == pytest.approx(0.3 * 2 / np.pi, rel=0.05) for item in items)


BAD: dict[str, list[Files]] = {
    "unreadable audio": [{"wav": b"RIFF no wave", "txt": b"x"}],
    "no audio": [{"txt": b"x"}, {"mp4": b"x", "txt": b"x"}],
    "no text": [{"wav": sound(0.5)}],
    "unreadable json": [{"wav": sound(0.5), "json": b"{"}, {"wav": sound(0.5), "json": b'["a list"]'}],
    "empty text": [
        {"wav": sound(0.5), "txt": b" \n"},
        {"wav": sound(0.5), "json": b"{}"},
        {"wav": sound(0.5), "json": b'{"text": null}'},
    ],
    "unreadable word times": [
        {"wav": sound(0.5), "json": b'{"text": "x", "words": [["x", "soon", "later"]]}'},
        {"wav": sound(0.5), "json": b'{"text": "x", "words": ["x"]}'},
        {"wav": sound(0.5), "json": b'{"text": "x", "words": [["x", NaN, 1.0]]}'},
        {"wav": sound(0.5), "json": b'{"text": "x", "words": 3}'},
    ],
    "shorter than 0.3 s": [{"wav": sound(0.2), "txt": b"x"}],
    "longer than 5.0 s": [{"wav": sound(5.1), "txt": b"x"}],
    "silent audio": [{"wav": sound(0.5, level=0), "txt": b"x"}],
}


@pytest.mark.parametrize("cache", [True, False])
def test_unusable_samples_are_skipped_and_counted_by_reason(tmp_path: Path, cache: bool) -> None:
    bad = [files for group in BAD.values() for files in group]
    shards = [write_shard(tmp_path / "a.tar", [*bad, *samples(3)])]
    if cache:
        corpus = load_corpus(shards, Plain(), config())
        found, report = [item["key"] for item in corpus.items], corpus.report
    else:
        stream = Stream(shards, Plain(), config())
        found = [key for batch in keys(epochs(stream)[0]) for key in batch]
        ((epoch, report),) = stream.through()
        assert epoch == 0 and stream.through() == []
    assert sorted(found) == [f"u{len(bad) + i:03d}" for i in range(3)]
    assert report.skipped == {reason: len(group) for reason, group in BAD.items()}
    assert report.kept == 3
    assert str(report).startswith("3 utterances; 3 skipped: empty text; 1 skipped: longer than 5.0 s")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [True, False])
def test_a_truncated_shard_is_told_and_used_as_far_as_it_goes(tmp_path: Path, cache: bool, workers: int) -> None:
    shards = [write_shard(tmp_path / f"{n}.tar", [{"wav": sound(1.0, i), "txt": b"x"} for i in range(4)]) for n in "ab"]
    whole = Path(shards[0]).read_bytes()
    Path(shards[0]).write_bytes(whole[: len(whole) * 5 // 8])
    with pytest.warns(
        UserWarning, match=r"a\.tar: damaged or out of reach \(ReadError: unexpected end of data\)"
    ) as told:
        if cache:
            report = load_corpus(shards, Plain(), config(workers=workers), store=tmp_path / "kept").report
        else:
            stream = Stream(shards, Plain(), config(workers=workers))
            epochs(stream)
            report = stream.reports[0]
    assert len([w for w in told if "a.tar" in str(w.message)]) == 1
    assert report.kept == 2 + 4
    assert report.skipped["(shards) damaged or out of reach"] == 1
    kept = list((tmp_path / "kept").glob("*"))
    assert len(kept) == (1 if cache else 0)  # the other shard's; this one may be whole next time


def test_a_file_that_is_no_tar_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"this is no tar" * 100)
    with pytest.warns(UserWarning, match=r"bad\.tar: damaged"), pytest.raises(ValueError, match="no usable utterance"):
        load_corpus([str(tmp_path / "bad.tar")], Plain(), config())


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_without_a_usable_utterance_are_an_error_that_says_why(tmp_path: Path, workers: int) -> None:
    shards = [write_shard(tmp_path / "a.tar", BAD["no text"]), write_shard(tmp_path / "b.tar", [])]
    expected = r"^the shards hold no usable utterance \(0 utterances; 1 skipped: no text\)$"
    with pytest.raises(ValueError, match=expected):
        load_corpus(shards, Plain(), config(workers=workers))
    with pytest.raises(ValueError, match=expected):
        next(Stream(shards, Plain(), config(workers=workers)).endless())


# ---- features that are kept -----------------------------------------------------------------------------------------


def test_features_are_decoded_once_and_kept(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 6)
    first = load_corpus(shards, Plain(["u001"]), config(), store=tmp_path / "kept")
    again = load_corpus(shards, Untouched(["u001"]), config(), store=tmp_path / "kept")
    assert again.items == first.items and again.report == first.report == Report(5, Counter({"refused": 1}))
    with pytest.raises(AssertionError, match="decoded again"):  # other features are asked for
        load_corpus(shards, Untouched(), config(), store=tmp_path / "kept")
    with pytest.raises(AssertionError, match="decoded again"):
        load_corpus(shards, Untouched(["u001"]), config(min_seconds=0.5), store=tmp_path / "kept")


def test_kept_features_that_are_damaged_are_made_again(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 4)
    first = load_corpus(shards, Plain(), config(), store=tmp_path / "kept")
    file, _ = sorted((tmp_path / "kept").iterdir())  # one for each shard
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="unreadable .* is read again"):
        again = load_corpus(shards, Plain(), config(), store=tmp_path / "kept")
    assert again.items == first.items
    assert load_corpus(shards, Untouched(), config(), store=tmp_path / "kept").items == first.items


def test_what_was_read_before_an_interruption_is_not_read_again(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 6, 3)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_corpus(shards, Plain(), config(), store=tmp_path / "kept", progress=stop)
    told: list[tuple[int, int]] = []
    again = load_corpus(shards, Plain(), config(), store=tmp_path / "kept", progress=lambda *a: told.append(a))
    assert told == [(3, 3)] and [item["key"] for item in again.items] == [f"u{n:03d}" for n in range(6)]
    assert again.report == Report(6)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    load_corpus(write_corpus(tmp_path, 2), Plain(), config(), rank=1, world=2, store=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_progress_counts_shards(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    load_corpus(write_corpus(tmp_path, 4, 2), Plain(), config(), progress=lambda *a: told.append(a))
    assert told == [(1, 2), (2, 2)]


# ---- batches --------------------------------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 1000), st.integers(0, 2**32 - 1))
def test_batches_hold_every_item_once_within_the_budget(lengths: list[int], budget: int, seed: int) -> None:
    batches = make_batches(lengths, budget, seed)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget
    assert batches == make_batches(lengths, budget, seed)


def test_batches_hold_items_of_similar_length_in_an_order_that_changes() -> None:
    lengths = np.random.default_rng(0).integers(50, 1000, 500).tolist()
    batches = make_batches(lengths, 8000, epoch_seed(0, 0))
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    assert padded < 1.15 * sum(lengths)
    assert batches != make_batches(lengths, 8000, epoch_seed(0, 1)) != make_batches(lengths, 8000, epoch_seed(1, 1))


@given(st.integers(1, 30), st.integers(1, 8))
def test_processes_get_equally_many_batches_and_together_all(count: int, world: int) -> None:
    batches = [[i] for i in range(count)]
    shares = [share_out(batches, rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1 and shares[0]
    dealt = Counter(i for share in shares for (i,) in share)
    assert set(dealt) == set(range(count))
    assert sum(dealt.values()) - count < world  # no more twice than it takes to be equal


def test_two_processes_share_an_epoch_in_memory(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 12, 3)
    shares = [keys(load_corpus(shards, Plain(), config(frames_per_batch=130), rank, 2).batches(3)) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) > 2
    flat = [{key for batch in share for key in batch} for share in shares]
    assert flat[0] | flat[1] == {f"u{n:03d}" for n in range(12)}
    assert len(flat[0] & flat[1]) <= 2  # the padding of an odd number of batches


def test_workers_change_nothing_in_memory(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 12, 3)
    alone, helped = (load_corpus(shards, Plain(), config(workers=w)) for w in (0, 2))
    assert alone.items == helped.items
    assert keys(alone.batches(0)) == keys(helped.batches(0)) != keys(alone.batches(1))


def test_skipping_in_memory_goes_on_where_the_epoch_stood(tmp_path: Path) -> None:
    corpus = load_corpus(write_corpus(tmp_path, 8, 2), Plain(), config(frames_per_batch=100))
    whole = keys(corpus.batches(1))
    for skip in range(len(whole) + 1):
        assert keys(corpus.batches(1, skip)) == whole[skip:]


def test_a_place_in_memory_holds_for_another_number_of_processes(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 12, 3)
    settings = config(frames_per_batch=130)
    alone = load_corpus(shards, Plain(), settings)
    order = keys(alone.batches(0))
    pair = [load_corpus(shards, Plain(), settings, rank, 2) for rank in range(2)]
    given = [keys(itertools.islice(corpus.endless(), 2)) for corpus in pair]
    assert [given[n % 2][n // 2] for n in range(4)] == order[:4]
    kept = pair[0].keep([corpus.place for corpus in pair])
    assert alone.resume(kept, 0) == ""
    assert keys(itertools.islice(alone.endless(), len(order) - 4)) == order[4:]


# ---- streams --------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.integers(1, 5), st.lists(st.integers(0, 4), min_size=5, max_size=5)), max_size=5)


@given(STEPS)
def test_a_deal_gives_each_shard_once_however_often_it_is_dealt_again(steps: list[tuple[int, list[int]]]) -> None:
    deal, read = Deal(2), Counter[int]()
    for lanes, counts in steps:
        for lane in range(deal.lanes):
            read.update(deal.shard(lane, c) for c in range(counts[lane]))
        deal = deal.again([(counts[lane], 0) for lane in range(deal.lanes)], lanes)
    for count in range(30):
        read.update(deal.shard(lane, count) for lane in range(deal.lanes))
    assert set(read.values()) <= {1}
    assert set(range(30)) <= set(read)


def test_a_shard_that_was_begun_is_gone_on_with_by_whoever_gets_it() -> None:
    deal = Deal(2).again([(2, 3), (0, 1)], 1)  # lane 0 read shards 0 and 2, and 3 batches of 4; lane 1 one of 1
    assert [deal.shard(0, count) for count in range(4)] == [1, 3, 4, 5]
    assert deal.begun == {1: 1, 4: 3}
    assert deal.again([(1, 0)], 3).begun == {4: 3}  # shard 1 is through


@pytest.mark.parametrize(("world", "count", "workers"), [(1, 3, 0), (1, 3, 2), (2, 4, 0), (2, 5, 2), (3, 1, 0)])
def test_each_utterance_comes_once_an_epoch_whoever_reads_it(
    tmp_path: Path, world: int, count: int, workers: int
) -> None:
    shards = write_corpus(tmp_path, 12, count)
    settings = config(frames_per_batch=130, workers=workers)
    alone = epochs(Stream(shards, Plain(), config(frames_per_batch=130)), 3)
    shares = [epochs(Stream(shards, Plain(), settings, rank, world), 3) for rank in range(world)]
    for epoch in range(3):
        together = [batch for share in shares for batch in keys(share[epoch])]
        assert sorted(key for batch in together for key in batch) == [f"u{n:03d}" for n in range(12)]
        assert sorted(together) == sorted(keys(alone[epoch]))  # they are the same batches
    assert keys(alone[0]) != keys(alone[1])


def test_a_shard_is_read_by_one_process_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_corpus(tmp_path, 12, 6)
    opened: list[str] = []

    def noted(names: list[str], report: Report) -> Any:
        opened.extend(names)
        return raw_samples(names, report)

    monkeypatch.setattr("vivavoce.train.shards.raw_samples", noted)
    for rank in range(2):
        epochs(Stream(shards, Plain(), config(), rank, 2))
    assert sorted(opened) == shards


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2])
def test_a_stream_goes_on_where_it_stood(tmp_path: Path, workers: int, world: int) -> None:
    shards = write_corpus(tmp_path, 10, 4)
    # a batch that is of no use counts all the same, or a resumed run would be off by one
    reader, settings = Plain(["u000", "u001", "u002"]), config(frames_per_batch=100, workers=workers)
    streams = [Stream(shards, reader, settings, rank, world) for rank in range(world)]
    sources = [stream.endless() for stream in streams]
    given: list[list[list[str]]] = []  # by step and process
    kept = []
    for _ in range(9):
        kept.append(copy.deepcopy(streams[0].keep([stream.place for stream in streams])))
        given.append([keys([next(source)])[0] for source in sources])
    assert streams[0].epoch >= 1
    for step in range(0, 9, 4):
        for rank in range(world):
            again = Stream(shards, reader, settings, rank, world)
            assert again.resume(kept[step], 0) == ""
            assert keys(itertools.islice(again.endless(), 9 - step)) == [row[rank] for row in given[step:]]


def test_what_was_seen_is_not_decoded_again(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 8, 1)
    stream = Stream(shards, Plain(), config(frames_per_batch=100))
    seen = [key for batch in keys(itertools.islice(stream.endless(), 5)) for key in batch]
    again = Stream(shards, Plain(seen), config(frames_per_batch=100))  # it refuses them, and would say so
    again.resume(stream.keep([stream.place]), 0)
    left = [key for batch in keys(epochs(again)[0]) for key in batch]
    assert sorted([*seen, *left]) == [f"u{n:03d}" for n in range(8)]
    assert again.reports[0] == Report(len(left))


@pytest.mark.parametrize(("before", "after"), [((2, 0), (1, 0)), ((1, 0), (2, 0)), ((2, 2), (3, 0)), ((1, 3), (1, 2))])
def test_another_number_of_processes_and_workers_reads_what_is_left(
    tmp_path: Path, before: tuple[int, int], after: tuple[int, int]
) -> None:
    shards = write_corpus(tmp_path, 18, 6)
    seen = Counter[tuple[int, str]]()

    def streams(processes: int, workers: int) -> list[Stream]:
        settings = config(frames_per_batch=130, workers=workers)
        return [Stream(shards, Plain(), settings, rank, processes) for rank in range(processes)]

    first = streams(*before)
    for stream in first:
        for piece in itertools.islice(stream.pieces(), 7):
            stream.places[piece.lane], stream.turn = piece.place, (piece.lane + 1) % stream.lanes
            seen.update((piece.epoch, item["key"]) for item in piece.items)
    kept = first[0].keep([stream.place for stream in first])
    for stream in streams(*after):
        assert stream.resume(kept, 0) == ""
        for epoch, batches in enumerate(epochs(stream, 2)):
            seen.update((epoch, key) for batch in keys(batches) for key in batch)
    assert set(seen.values()) == {1}
    for epoch in range(2):
        assert sorted(key for e, key in seen if e == epoch) == [f"u{n:03d}" for n in range(18)]


def test_a_stream_of_other_shards_begins_its_epoch_anew(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 8, 4)
    stream = Stream(shards, Plain(), config())
    list(itertools.islice(stream.endless(), 3))
    other = Stream(shards[:3], Plain(), config())
    assert "epoch 2 begins anew" in other.resume(stream.keep([stream.place]), 2)
    next(other.endless())
    assert other.epoch == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_draws_no_random_numbers_of_the_training(tmp_path: Path, workers: int) -> None:
    stream = Stream(write_corpus(tmp_path, 4), Plain(), config(workers=workers))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    epochs(stream)
    assert torch.rand(1) == expected


def test_streaming_in_windows_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_corpus(tmp_path, 18, 2)
    for name, value in (("WINDOW", 4), ("WINDOW_BYTES", 100_000)):
        with monkeypatch.context() as patch:
            patch.setattr(f"vivavoce.train.data.{name}", value)
            batches = keys(epochs(Stream(shards, Plain(), config(frames_per_batch=150)))[0])
        assert sorted(key for batch in batches for key in batch) == [f"u{n:03d}" for n in range(18)]


def test_streamed_batches_keep_within_the_budget(tmp_path: Path) -> None:
    for items in epochs(Stream(write_corpus(tmp_path, 12), Plain(), config(frames_per_batch=250)))[0]:
        assert len(items) == 1 or len(items) * max(item["length"] for item in items) <= 250


def test_a_damaged_shard_does_not_mix_with_the_next(tmp_path: Path) -> None:
    shards = [write_shard(tmp_path / f"{n}.tar", [{"wav": sound(0.5), "txt": n.encode()}]) for n in "ab"]
    whole = Path(shards[0]).read_bytes()
    Path(shards[0]).write_bytes(whole[:2000])  # within u000.wav, and b.tar begins with another u000
    found = [sample for sample in raw_samples(shards, Report()) if "wav" in sample]
    assert [sample["txt"] for sample in found] == [b"b"]


# ---- word times -----------------------------------------------------------------------------------------------------

WORDS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8)
TIMES = st.lists(st.tuples(st.text("abc", max_size=4), st.floats(-1, 6), st.floats(-1, 6)), max_size=8)


def lengths_of(spans: list[int], seconds: list[float], text: str) -> list[tuple[str, float]]:
    """What each span covers, and how long it is."""
    assert len(spans) == len(text)
    return [
        ("".join(c for c, s in zip(text, spans, strict=True) if s == n), round(length, 6))
        for n, length in enumerate(seconds)
    ]


@given(WORDS, TIMES, st.floats(0.3, 5), st.data())
def test_spans_cover_all_characters_and_all_the_time(
    words: list[str], times: list[tuple[str, float, float]], total: float, data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    partial = [(w, 0.1 * n, 0.1 * n + 0.05) for n, (w, keep) in enumerate(zip(words, kept, strict=True)) if keep]
    for given_times in (times, partial, partial + times):
        spans, seconds = align(words, given_times, total)
        assert len(spans) == len(" " + " ".join(words) + " ")
        assert spans[0] == 0 and all(b - a in (0, 1) for a, b in itertools.pairwise(spans))
        assert spans[-1] == len(seconds) - 1
        assert min(seconds) >= 0 and sum(seconds) == pytest.approx(total)


def test_complete_word_times_give_each_word_and_pause_its_length() -> None:
    spans, seconds = align(["ab", "c"], [("ab", 0.1, 0.5), ("c", 0.6, 0.9)], 1.0)
    assert lengths_of(spans, seconds, " ab c ") == [(" ", 0.1), ("ab", 0.4), (" ", 0.1), ("c", 0.3), (" ", 0.1)]


def test_a_word_without_times_shares_the_stretch_between_its_neighbours() -> None:
    spans, seconds = align(["ab", "c", "d"], [("ab", 0.1, 0.4), ("d", 0.8, 0.9)], 1.0)
    assert lengths_of(spans, seconds, " ab c d ") == [(" ", 0.1), ("ab", 0.3), (" c ", 0.4), ("d", 0.1), (" ", 0.1)]


def test_without_word_times_the_whole_is_one_span() -> None:
    assert align(["ab", "c"], [], 2.5) == ([0] * 6, [2.5])


def test_times_of_a_word_that_the_text_has_not_leave_the_others_in_place() -> None:
    times = [("ab", 0.1, 0.3), ("x", 0.3, 0.4), ("c", 0.5, 0.6), ("d", 0.7, 0.9)]
    spans, seconds = align(["ab", "c", "d"], times, 1.0)
    assert lengths_of(spans, seconds, " ab c d ")[1::2] == [("ab", 0.2), ("c", 0.1), ("d", 0.2)]


def test_times_beyond_the_recording_end_with_it() -> None:
    spans, seconds = align(["a", "b"], [("a", 0.2, 0.5), ("b", 0.6, 3.0)], 1.0)
    assert lengths_of(spans, seconds, " a b ") == [(" ", 0.2), ("a", 0.3), (" ", 0.1), ("b", 0.4), (" ", 0.0)]
