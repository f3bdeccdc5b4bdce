"""`vivavoce train codec`: fitted from shards, exported like any other model, never half written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.corpus import samples, write_shard

from vivavoce.checkpoints.whisperspeech_torch import load_part
from vivavoce.models import codec_torch
from vivavoce.models.codec_torch import MelQuantizer
from vivavoce.models.mel_torch import LogMel
from vivavoce.train.export import export
from vivavoce.train.trainer import train

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")

RECIPE: dict[str, Any] = {
    "model": {"components": 24, "quantizers": 3, "codes": 32}, "frames": 400, "rounds": 4, "train": {"workers": 0},
}  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    return [write_shard(tmp_path / f"{n}.tar", samples(8, start=8 * n)) for n in range(2)]


def fitted(folder: Path, shards: list[str], out: Path, **changes: Any) -> None:
    path = folder / "recipe.json"
    path.write_text(json.dumps({**RECIPE, **changes}), encoding="utf-8")
    train("codec", path, shards, out, valid=shards[1:])


def test_a_codec_is_fitted_and_exported(tmp_path: Path, shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    fitted(tmp_path, shards, out)
    row = json.loads((out / "log.jsonl").read_text(encoding="utf-8"))
    lost = row["valid_lost"]
    assert len(lost) == 3 and 0.6 > lost[0] > lost[1] > lost[2] > 0
    assert "lost variance by number of codebooks: 1: " in capsys.readouterr().err
    export(out, tmp_path / "codec")
    model = load_part(tmp_path / "codec", "codec")
    assert isinstance(model, MelQuantizer)
    mel = LogMel(model.config.mel)(torch.randn(1, 12_000) * 0.1)
    codes = model.encode(mel)
    assert codes.shape == (1, 3, 24) and int(codes.max()) < 32 and model.decode(codes).shape == (1, 48, 100)

    weights = (tmp_path / "codec" / "model.safetensors").read_bytes()
    fitted(tmp_path, shards, out)  # again: there is nothing left to do
    assert "nothing left to do" in capsys.readouterr().err
    export(out, tmp_path / "codec")
    assert (tmp_path / "codec" / "model.safetensors").read_bytes() == weights
    with pytest.raises(ValueError, match="holds a run with another recipe"):
        fitted(tmp_path, shards, out, rounds=5)


def test_a_fit_that_is_stopped_leaves_nothing(
    tmp_path: Path, shards: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter(range(5))

    def interrupted(*arguments: Any) -> torch.Tensor:
        if next(rounds) == 4:
            raise KeyboardInterrupt
        return nearest(*arguments)

    nearest = codec_torch.nearest
    monkeypatch.setattr(codec_torch, "nearest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_fitted_is_refused(tmp_path: Path, shards: list[str]) -> None:
    with pytest.raises(ValueError, match="stacked frames for 1024 codes"):
        fitted(tmp_path, shards, tmp_path / "run", model={"codes": 1024}, frames=2000)
    with pytest.raises(ValueError, match="frames is 400; it must be at least model.codes"):
        fitted(tmp_path, shards, tmp_path / "run", model={"codes": 1024})
    fitted(tmp_path, shards, tmp_path / "run")
    with pytest.raises(ValueError, match="a codec is fitted from scratch"):
        train("codec", tmp_path / "recipe.json", shards, tmp_path / "other", init_from="bundled")
