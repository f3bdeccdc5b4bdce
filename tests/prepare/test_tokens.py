"""`vivavoce prepare --tokens`: token shards beside the audio shards, whatever the number of processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.corpus import samples, write_shard
from helpers.small_whisper import CONFIG, save_whisper

from vivavoce.checkpoints import resolve
from vivavoce.cli.main import app
from vivavoce.cli.speak import run
from vivavoce.data.tokens import read_tokens
from vivavoce.models.codec import CodecConfig
from vivavoce.models.codec_torch import fit
from vivavoce.models.semantic_torch import Semantic
from vivavoce.prepare import blocks
from vivavoce.prepare.tokens import make_tokens, summary
from vivavoce.train.export import write_folder

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")

Models = tuple[str, str, str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Folders of a semantic model and a codec, and a Whisper."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(2)
    write_folder(folder / "semantic", "semantic", {"model": CONFIG.to_dict()}, Semantic(CONFIG).state_dict(), "")
    config = CodecConfig(components=8, quantizers=2, codes=16)
    codec = fit(config, [torch.randn(200, 100)], rounds=2)
    write_folder(folder / "codec", "codec", {"model": config.to_dict()}, codec.state_dict(), "")
    return str(folder / "semantic"), str(folder / "codec"), str(save_whisper(folder / "tiny.pt"))


def test_each_recording_becomes_tokens_under_its_key(models: Models, tmp_path: Path) -> None:
    made = samples(7, words=True)
    made[2] = {"json": made[2]["json"]}
    made[4]["wav"] = b"no sound"
    made[4].pop("flac", None)
    made[5]["json"] = b"{"
    write_shard(tmp_path / "in" / "a.tar", made)
    write_shard(tmp_path / "in" / "b.tar", samples(2, start=7), 7)
    shown: list[float] = []
    report = make_tokens(tmp_path / "in", *models, workers=1, progress=lambda what, done: shown.append(done))
    assert report.written == [tmp_path / "in" / "a.tokens.tar", tmp_path / "in" / "b.tokens.tar"]
    assert report.utterances == 6 and shown == sorted(shown) and shown[-1] == 1.0
    assert report.dropped == {"no audio": 1, "unreadable audio": 1, "unreadable json": 1}
    assert "2 token shards with 6 utterances\ndropped: 1 " in summary(report)
    header, items = read_tokens(tmp_path / "in" / "a.tokens.tar")
    assert (header.semantic_codes, header.quantizers, header.codec_codes, header.codec_rate) == (12, 2, 16, 46.875)
    found = {item["key"]: item for item in items}
    assert list(found) == ["u000", "u001", "u003", "u006"]
    for key, item in found.items():
        meta = json.loads(made[int(key[1:])]["json"])
        assert (item["text"], item["name"], item["lang"]) == (meta["text"], meta["speaker"], "en")
        assert [list(word) for word in item["words"]] == meta["words"]
        seconds = item["seconds"]
        assert len(item["semantic"]) == int(seconds * 25 + 1e-6)
        assert item["acoustic"].shape == (2, -(-(int(seconds * 24_000 / 256 + 1e-6) + 1) // 2))
        assert float(np.linalg.norm(item["speaker"].astype(np.float32))) == pytest.approx(1, abs=1e-3)


def test_the_number_of_processes_makes_no_difference(models: Models, tmp_path: Path) -> None:
    one = Path(write_shard(tmp_path / "a.tar", samples(5)))
    make_tokens(one, *models, workers=1)
    alone = (tmp_path / "a.tokens.tar").read_bytes()
    (tmp_path / "a.tokens.tar").unlink()
    make_tokens(one, *models, workers=2)
    assert (tmp_path / "a.tokens.tar").read_bytes() == alone


def test_a_run_resumes_with_the_missing_shards(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        write_shard(tmp_path / f"{name}.tar", samples(3))
    monkeypatch.setattr(blocks, "BLOCK", 2)

    def stop(what: str, done: float) -> None:
        if "b.tar" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_tokens(tmp_path, *models, workers=1, progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "a.tokens.tar", "b.tar", "c.tar"]
    before = (tmp_path / "a.tokens.tar").stat().st_mtime_ns
    report = make_tokens(tmp_path / "*.tar", *models, workers=1)
    assert [p.name for p in report.written] == ["b.tokens.tar", "c.tokens.tar"]
    assert [p.name for p in report.kept] == ["a.tokens.tar"] and "1 existed already" in summary(report)
    assert (tmp_path / "a.tokens.tar").stat().st_mtime_ns == before


def test_bundled_models_are_used_or_reported_missing(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard(tmp_path / "in" / "a.tar", samples(2))
    monkeypatch.setattr(resolve, "ASSETS", tmp_path / "assets")
    with pytest.raises(ValueError, match="semantic 'bundled': no such model is bundled in this version"):
        make_tokens(tmp_path / "in", "bundled", models[1], models[2], workers=1)
    for name, folder in zip(("semantic", "codec"), models[:2], strict=True):
        shutil.copytree(folder, tmp_path / "assets" / name)
    assert make_tokens(tmp_path / "in", "bundled", "bundled", models[2], workers=1).utterances == 2


def test_tokens_of_other_models_and_other_inputs_are_refused(models: Models, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(2))
    make_tokens(shard, *models, workers=1)
    semantic, codec, whisper = models
    torch.manual_seed(3)
    write_folder(tmp_path / "new", "semantic", {"model": CONFIG.to_dict()}, Semantic(CONFIG).state_dict(), "")
    with pytest.raises(ValueError, match=r"a.tokens.tar: made by other models \(semantic .*; delete it"):
        make_tokens(shard, str(tmp_path / "new"), codec, whisper)
    with pytest.raises(ValueError, match="no audio shard at"):
        make_tokens(tmp_path / "a.tokens.tar", *models)
    with pytest.raises(ValueError, match="workers is 0"):
        make_tokens(shard, *models, workers=0)
    with pytest.raises(ValueError, match="nowhere.pt: no such file; it must be a checkpoint of openai-whisper"):
        make_tokens(shard, semantic, codec, "nowhere.pt")


def test_the_command(models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(2))
    semantic, codec, whisper = models
    asked = ["prepare", shard, "--tokens", "--semantic", semantic, "--codec", codec, "--workers", "1"]
    assert run(app, asked) == 2
    assert "--tokens needs --whisper FILE" in capsys.readouterr().err
    assert run(app, [*asked, "--whisper", whisper, "--lang", "fr"]) == 2
    assert "--lang cannot be combined with --tokens" in capsys.readouterr().err
    assert run(app, [*asked, str(tmp_path), "--whisper", whisper]) == 2
    assert "token shards lie beside" in capsys.readouterr().err
    assert run(app, [*asked, "--whisper", whisper]) == 0
    assert "1 token shards with 2 utterances" in capsys.readouterr().out
    assert run(app, ["prepare", shard]) == 2
    assert "OUT is missing" in capsys.readouterr().err
