"""Token shards: what is written comes back, what is damaged or foreign is told."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers.corpus import samples, write_shard
from helpers.toy_tokens import HEADER, utterance, write_tokens

from vivavoce.data.samples import Features, Report, featurized
from vivavoce.data.tokens import TokenItem, TokensHeader, TokenWriter, read_tokens, token_path
from vivavoce.train.config import TrainConfig
from vivavoce.train.tasks.base import recording_shards
from vivavoce.train.tasks.token_source import TokenSource


class Kept(TokenSource):
    """Keeps the utterances as they are."""

    def token_features(self, item: TokenItem) -> Features:
        return {"item": item, "length": len(item["semantic"])}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    items = [utterance(n, timed=n > 0, lang=("en", "fr")[n % 2]) for n in range(4)]
    header, read = read_tokens(Path(write_tokens(tmp_path / "a", items)))
    assert header == HEADER
    for before, after in zip(items, read, strict=True):
        for name in ("semantic", "acoustic", "speaker"):
            assert np.array_equal(before[name], after[name]) and before[name].dtype == after[name].dtype  # type: ignore[literal-required]
        assert [after[name] for name in ("key", "text", "lang", "name", "words")] == [
            before[name] for name in ("key", "text", "lang", "name", "words")
        ]
        assert after["seconds"] == pytest.approx(before["seconds"], abs=1e-4)


def test_the_first_member_says_who_made_them_and_keys_stay(tmp_path: Path) -> None:
    path = Path(write_tokens(tmp_path / "a", [utterance(7)]))
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert names == ["tokens.json", *(f"00007.{e}" for e in ("json", "semantic.npy", "acoustic.npy", "speaker.npy"))]
    assert token_path(tmp_path / "b-000.tar") == tmp_path / "b-000.tokens.tar"


def test_codes_that_the_header_does_not_allow_are_refused(tmp_path: Path) -> None:
    item = utterance(0)
    writer = TokenWriter(tmp_path / "a.tokens.tar", HEADER)
    wrong = [
        ({"semantic": np.array([32], np.int16)}, "codes that are not 0 to 31"),
        ({"acoustic": np.full((2, 3), -1, np.int16)}, "codes that are not 0 to 15"),
        ({"acoustic": np.zeros((3, 3), np.int16)}, "another shape"),
        ({"speaker": np.zeros(5, np.float16)}, "another shape"),
        ({"semantic": np.zeros(0, np.int16)}, "no tokens"),
    ]
    for changes, complaint in wrong:
        with pytest.raises(ValueError, match=complaint):
            writer.add_item({**item, **changes})  # type: ignore[typeddict-item]
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_training_reads_them_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    shards = [
        write_tokens(tmp_path / name, [utterance(n) for n in numbers]) for name, numbers in (("a", (0, 1)), ("b", (2,)))
    ]
    sounds = write_shard(tmp_path / "a.tar", samples(2))
    reader, report = Kept(), Report()
    assert reader.check_data([sounds, *shards], [sounds, shards[0]]) == (shards, shards[:1])
    assert reader.header == HEADER
    limits = TrainConfig(min_seconds=utterance(1)["seconds"] + 0.001)
    raw = list(reader.undecoded(shards, report))
    items = featurized(raw, reader, limits, report)
    kept = [n for n in range(3) if utterance(n)["seconds"] >= limits.min_seconds]
    assert [item["item"]["key"] for item in items] == [f"{n:05d}" for n in kept] and 0 < len(kept) < 3
    assert reader.seconds(raw[0], TrainConfig(min_seconds=0)) == pytest.approx(utterance(0)["seconds"], abs=1e-4)
    broken = raw[0]._replace(files={**raw[0].files, "semantic.npy": b"nothing"})
    report = Report()
    assert featurized([broken], reader, limits, report) == [] and report.skipped == {"unreadable tokens": 1}
    assert recording_shards([sounds, *shards]) == [sounds]


def test_mixed_and_missing_tokens_are_refused(tmp_path: Path) -> None:
    one = write_tokens(tmp_path / "a", [utterance(0)])
    other = write_tokens(tmp_path / "b", [utterance(1)], TokensHeader.from_dict({**HEADER.to_dict(), "codec": "z"}))
    sounds = write_shard(tmp_path / "a.tar", samples(2))
    with pytest.raises(ValueError, match=r"a.tokens.tar and .*b.tokens.tar have different tokens: codec 'b' and 'z'"):
        Kept().check_data([one], [other])
    with pytest.raises(ValueError, match=r"a.tar: no token shard .*prepare --tokens makes them"):
        Kept().check_data([sounds], [])
    with pytest.raises(ValueError, match="holds tokens; this task trains on the shards of recordings"):
        recording_shards([one])
    with pytest.raises(ValueError, match="no token shard"):
        read_tokens(Path(sounds))
    (tmp_path / "c.tokens.tar").write_bytes(Path(one).read_bytes()[:300])
    with pytest.raises(ValueError, match="c.tokens.tar"):
        Kept().check_data([str(tmp_path / "c.tokens.tar")], [])
