"""Damaged tars: no sample is lost without a word, and the message says where the damage is."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from helpers.corpus import samples, write_shard

from vivavoce.data import tar
from vivavoce.data.samples import Report, raw_samples
from vivavoce.data.tar import DamagedShard, ShardWriter, read_shard, read_tar

KEYS = ["u000", "u001", "u002", "u003"]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return Path(write_shard(tmp_path / "a.tar", samples(4)))


def headers(content: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(content)) as file:
        return [member.offset for member in file]


def read(content: bytes) -> tuple[list[str], str]:
    """The keys of a tar's samples, and what is wrong with it."""
    found = []
    try:
        for sample in read_tar(io.BytesIO(content)):
            found.append(sample.key)
    except DamagedShard as error:
        return found, str(error)
    return found, ""


def test_any_flipped_bit_of_a_header_is_noticed(shard: Path) -> None:
    content = shard.read_bytes()
    assert read(content) == (KEYS, "")
    for start in headers(content):
        for byte in (0, 1, 101, 124, 130, 150, 156, 257, 400, 511):  # name, mode, size, checksum, type, magic, padding
            for bit in range(8):
                damaged = bytearray(content)
                damaged[start + byte] ^= 1 << bit
                found, fault = read(bytes(damaged))
                assert fault and found == KEYS[: len(found)], (start, byte, bit)
                assert start == 0 or f"at byte {start}" in fault


@pytest.mark.parametrize("keep", [1, 512, 700, 0.3, 0.9])
def test_a_shard_that_ends_early_is_damaged(shard: Path, keep: float) -> None:
    content = shard.read_bytes()
    found, fault = read(content[: int(keep if keep >= 1 else keep * len(content))])
    assert fault and found == KEYS[: len(found)]


def test_missing_end_of_archive_blocks_are_named_with_the_offset(shard: Path) -> None:
    content = shard.read_bytes()
    with tarfile.open(shard) as file:
        end = max(member.offset_data + -(-member.size // 512) * 512 for member in file)
    assert read(content[:end]) == (KEYS, f"damaged: the end-of-archive blocks are missing at byte {end}")
    assert read(content[: end + 1024]) == (KEYS, "")


def test_zeros_in_the_place_of_a_header_are_damage(shard: Path) -> None:
    content = shard.read_bytes()
    second = headers(content)[2]  # the second sample
    for blocks, fault in ((1, f"a single block of zeros at byte {second}"), (4, "more data after the end-of-archive")):
        zeros = bytes(512 * blocks)
        for damaged in (
            content[:second] + zeros + content[second + 512 :],
            content[:second] + zeros + content[second:],
        ):
            assert read(damaged)[0] == KEYS[:1]
            assert fault in read(damaged)[1] and f"at byte {second}" in read(damaged)[1]
    assert read(content + bytes(20_480)) == (KEYS, "")  # some writers pad more


def test_a_header_that_claims_a_terabyte_is_refused_at_once() -> None:
    member = tarfile.TarInfo("a.wav")
    member.size = 1 << 40
    found, fault = read(member.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert (found, fault) == ([], f"damaged: the header at byte 0 claims {1 << 40} bytes")


def test_damage_in_a_compressed_shard_is_noticed(shard: Path) -> None:
    packed = gzip.compress(shard.read_bytes())
    assert read(packed) == (KEYS, "")
    assert read(packed[: len(packed) // 2])[1].startswith("damaged: ")


@pytest.mark.parametrize("content", [b"", b"text", b"x" * 5000, b"\x1f\x8b" + bytes(50)])
def test_what_is_no_tar_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DamagedShard, match=r"a\.tar: (not a tar file|damaged)"):
        list(read_shard(tmp_path / "a.tar"))


def test_training_counts_a_damaged_shard_and_says_where_it_is_damaged(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    at = headers(bytes(content))[4]
    content[at + 5] ^= 1
    shard.write_bytes(content)
    report = Report()
    assert [sample.key for sample in raw_samples([str(shard)], report)] == KEYS[:2]
    assert report.skipped == {"(shards) damaged or out of reach": 1}
    (notice,) = report.notices
    assert notice.startswith(f"{shard}: ") and f"bad checksum at byte {at}" in notice


def test_an_unfinished_shard_has_no_final_name_and_is_discarded(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "a.tar")
    writer.add("u000", {"txt": b"x"})
    (part,) = tmp_path.iterdir()
    assert part.name.startswith(".a.tar.") and part.name.endswith(".part")
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_member_beyond_the_limit_is_refused(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "LARGEST_MEMBER", 100)
    assert "claims" in read(shard.read_bytes())[1]
