"""Shards in, batches out: nothing lost, a deterministic order, damage reported."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.corpus import BAD, samples, sound, write_corpus, write_shard
from helpers.plain_source import Plain, Untouched, config, epochs, keys
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.data.fetch import expand
from vivavoce.data.samples import Report
from vivavoce.train.batches import epoch_seed, load_corpus, make_batches, share_of
from vivavoce.train.stream import Stream

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


# ---- samples --------------------------------------------------------------------------------------------------------


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
        ((epoch, report),) = stream.finished_epochs()
        assert epoch == 0 and stream.finished_epochs() == []
    assert sorted(found) == [f"u{len(bad) + i:03d}" for i in range(3)]
    assert report.skipped == {reason: len(group) for reason, group in BAD.items()}
    assert report.kept == 3
    assert str(report).startswith("3 utterances; 3 skipped: empty text; 1 skipped: longer than 5.0 s")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [True, False])
def test_a_truncated_shard_is_reported_and_used_as_far_as_readable(tmp_path: Path, cache: bool, workers: int) -> None:
    shards = [write_shard(tmp_path / f"{n}.tar", [{"wav": sound(1.0, i), "txt": b"x"} for i in range(4)]) for n in "ab"]
    whole = Path(shards[0]).read_bytes()
    Path(shards[0]).write_bytes(whole[: len(whole) * 5 // 8])
    with pytest.warns(
        UserWarning,
        match=r"a\.tar: damaged or out of reach \(DamagedShard: damaged: unexpected end of data after byte \d+\)",
    ) as reported:
        if cache:
            report = load_corpus(shards, Plain(), config(workers=workers), store=tmp_path / "kept").report
        else:
            stream = Stream(shards, Plain(), config(workers=workers))
            epochs(stream)
            report = stream.reports[0]
    assert len([w for w in reported if "a.tar" in str(w.message)]) == 1
    assert report.kept == 2 + 4
    assert report.skipped["(shards) damaged or out of reach"] == 1
    kept = list((tmp_path / "kept").glob("*"))
    assert len(kept) == (1 if cache else 0)  # the other shard's; this one may be whole next time


@pytest.mark.parametrize("cache", [True, False])
def test_a_damaged_shard_can_be_fatal(tmp_path: Path, cache: bool) -> None:
    path = Path(write_shard(tmp_path / "a.tar", [{"wav": sound(1.0, i), "txt": b"x"} for i in range(4)]))
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"u002.wav")] ^= 1  # one bit of a header
    path.write_bytes(damaged)
    settings = config(damaged_shards="fail")
    with pytest.raises(ValueError, match=r"a\.tar: damaged .* at byte \d+\).*; damaged_shards is 'fail'"):
        if cache:
            load_corpus([str(path)], Plain(), settings)
        else:
            list(itertools.islice(Stream([str(path)], Plain(), settings).endless(), 9))


def test_a_file_that_is_no_tar_is_reported(tmp_path: Path) -> None:
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


def test_features_are_decoded_once_and_saved(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 6)
    first = load_corpus(shards, Plain(["u001"]), config(), store=tmp_path / "kept")
    again = load_corpus(shards, Untouched(["u001"]), config(), store=tmp_path / "kept")
    assert again.items == first.items and again.report == first.report == Report(5, Counter({"refused": 1}))
    with pytest.raises(AssertionError, match="decoded again"):  # other features are asked for
        load_corpus(shards, Untouched(), config(), store=tmp_path / "kept")
    with pytest.raises(AssertionError, match="decoded again"):
        load_corpus(shards, Untouched(["u001"]), config(min_seconds=0.5), store=tmp_path / "kept")


def test_damaged_feature_files_are_computed_again(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 4)
    first = load_corpus(shards, Plain(), config(), store=tmp_path / "kept")
    file, _ = sorted((tmp_path / "kept").iterdir())  # one for each shard
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(UserWarning, match="unreadable .*; reading .* again"):
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
    reported: list[tuple[int, int]] = []
    again = load_corpus(shards, Plain(), config(), store=tmp_path / "kept", progress=lambda *a: reported.append(a))
    assert reported == [(3, 3)] and [item["key"] for item in again.items] == [f"u{n:03d}" for n in range(6)]
    assert again.report == Report(6)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    load_corpus(write_corpus(tmp_path, 2), Plain(), config(), rank=1, world=2, store=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_progress_counts_shards(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    load_corpus(write_corpus(tmp_path, 4, 2), Plain(), config(), progress=lambda *a: reported.append(a))
    assert reported == [(1, 2), (2, 2)]


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


def test_neighbours_of_similar_length_change_from_epoch_to_epoch() -> None:
    """A batch of utterances that always meet would make a corpus of fewer, larger examples."""
    lengths = [1000 + n for n in range(100)]  # all within the jitter of each other
    epochs = [{frozenset(batch) for batch in make_batches(lengths, 10_990, epoch_seed(0, n))} for n in range(2)]
    assert len(epochs[0]) == len(epochs[1]) == 10
    assert len(epochs[0] & epochs[1]) == 0


def test_utterances_of_different_length_never_swap_places() -> None:
    lengths = [int(100 * 1.12**n) for n in range(20)]  # further apart than the jitter
    for seed in range(5):
        for batch in make_batches(lengths, 4 * lengths[-1], seed):
            assert sorted(batch) == list(range(min(batch), max(batch) + 1))


@given(st.integers(1, 30), st.integers(1, 8))
def test_processes_get_equally_many_batches_and_together_all(count: int, world: int) -> None:
    batches = [[i] for i in range(count)]
    shares = [share_of(batches, rank, world) for rank in range(world)]
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


def test_a_corpus_in_memory_resumes_within_an_epoch(tmp_path: Path) -> None:
    corpus = load_corpus(write_corpus(tmp_path, 8, 2), Plain(), config(frames_per_batch=100))
    whole = keys(corpus.batches(1))
    for skip in range(len(whole) + 1):
        assert keys(corpus.batches(1, skip)) == whole[skip:]


def test_a_position_in_memory_is_valid_for_another_number_of_processes(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path, 12, 3)
    settings = config(frames_per_batch=130)
    alone = load_corpus(shards, Plain(), settings)
    order = keys(alone.batches(0))
    pair = [load_corpus(shards, Plain(), settings, rank, 2) for rank in range(2)]
    given = [keys(itertools.islice(corpus.endless(), 2)) for corpus in pair]
    assert [given[n % 2][n // 2] for n in range(4)] == order[:4]
    kept = pair[0].state([corpus.position for corpus in pair])
    assert alone.load_state(kept, 0) == ""
    assert keys(itertools.islice(alone.endless(), len(order) - 4)) == order[4:]
