"""Checkpoints at a URL: a run resumes on another machine, and outlives a store that fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, same, steps, write

from vivavoce.train.mirror import Mirror
from vivavoce.train.trainer import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_corpus(tmp_path_factory.mktemp("corpus"), 8, 2, words=True)


def test_a_run_resumes_from_the_url_on_an_empty_disk(tmp_path: Path, shards: list[str]) -> None:
    config = write(tmp_path / "r.json", recipe("duration", checkpoint_minutes=1e-9, keep_checkpoints=2))
    url = (tmp_path / "store").as_uri()
    train("duration", config, shards, tmp_path / "whole")
    train("duration", config, shards, tmp_path / "one", max_minutes=1e-9, valid=shards[:1], checkpoints=url)
    assert steps(tmp_path / "one") == steps(tmp_path / "store") == [1]
    train("duration", config, shards, tmp_path / "two", checkpoints=url)
    assert steps(tmp_path / "store") == [3, 4]  # no more than are kept
    same(newest(tmp_path / "whole"), newest(tmp_path / "two"))
    assert (tmp_path / "two/checkpoints/best.pt").exists() and (tmp_path / "store/log.jsonl").exists()
    train("duration", config, shards, tmp_path / "one", checkpoints=url)  # its own checkpoint is older
    assert steps(tmp_path / "one")[-1] == 4
    other = write(tmp_path / "other.json", recipe("duration", ema=0.5))
    with pytest.raises(ValueError, match="holds a run with another recipe"):
        train("duration", other, shards, tmp_path / "three", checkpoints=url)


def test_a_store_that_fails_does_not_end_the_run(
    tmp_path: Path, shards: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fsspec")
    from fsspec.implementations.local import LocalFileSystem

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("Access Denied\nRequestId: 1")

    config = write(tmp_path / "r.json", recipe("duration"))
    monkeypatch.setattr(LocalFileSystem, "put_file", refuse)
    train("duration", config, shards, tmp_path / "run", checkpoints=(tmp_path / "store").as_uri())
    assert steps(tmp_path / "run") == [4]
    printed = "".join(capsys.readouterr())
    assert "the checkpoint was not copied (PermissionError: Access Denied); training continues" in printed


@pytest.mark.parametrize(
    ("url", "message"),
    [("folder", "checkpoints is 'folder'; it must be a URL"), ("nonsense://x", "nonsense://x: cannot be read")],
)
def test_a_place_that_is_no_url_is_one_line(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mirror(url, tmp_path, 1)
