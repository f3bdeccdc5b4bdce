"""`vivavoce convert`: published WhisperSpeech files become folders that speak and encode as the files do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_whisper import CONFIG, SMALL, save_whisper
from helpers.whisperspeech_system import publish, published

import vivavoce
from vivavoce.checkpoints.whisperspeech_torch import load_part, load_t2s, load_whisper
from vivavoce.cli import main, speak
from vivavoce.models.semantic_torch import Semantic
from vivavoce.voices import Voice, get

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


def run(*arguments: str | Path) -> int:
    return speak.run(main.app, ["convert", *map(str, arguments)])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish(folder)
    save_whisper(folder / "small.pt")
    return folder


def test_a_pair_becomes_a_system_that_speaks_as_the_pair_does(files: Path, tmp_path: Path) -> None:
    assert run(files / "t2s-a.model", files / "s2a-a.model", tmp_path / "own") == 0
    assert not list((tmp_path / "own").rglob("*.model"))
    voice = Voice("ecapa", get("nash").samples, embedding=np.random.default_rng(0).standard_normal(192).astype("f4"))
    pair, own = (vivavoce.load(str(f), vocoder=str(files / "vocos")) for f in (files, tmp_path / "own"))
    assert np.array_equal(*(tts.speak("yes", voice, seed=1).samples for tts in (pair, own)))


def test_a_file_alone_becomes_its_part(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files / "t2s-a.model", tmp_path / "t2s") == 0
    assert "a t2s model" in capsys.readouterr().out
    own, theirs = load_part(tmp_path / "t2s", "t2s"), load_t2s(files / "t2s-a.model")
    assert own.config == theirs.config
    assert all(torch.equal(w, theirs.state_dict()[name]) for name, w in own.state_dict().items())


def save_semantic(path: Path) -> Semantic:
    """A semantic model under the published names."""
    model = Semantic(CONFIG.replace(padding_code="among", query_mult=2.0)).eval()
    weights = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("codebook."):
            place = {"vectors": "embed", "average": "embed_avg"}[name.removeprefix("codebook.")]
            weights[f"rq.layers.0._codebook.{place}"] = tensor[None]
            continue
        for ours, theirs in (
            ("blocks.", "_out_blocks."), ("attention_norm.", "attn_ln."), ("attention.", "attn."),
            ("ff_norm.", "mlp_ln."), ("ff.", "mlp."), ("positions.", "positional_embedding."),
            ("project_", "rq.project_"),
        ):  # fmt: skip
            name = name.replace(ours, theirs)
        weights[f"ln_post.{name.removeprefix('norm.')}" if name.startswith("norm.") else name] = tensor
    config = {"vq_codes": CONFIG.codes, "q_depth": 1, "n_head": 2, "downsample": 2, "use_cosine_sim": True}
    tunables = {"rope": True, "downsample_mean": True, "query_mult": 2.0}
    torch.save({"config": config, "tunables": tunables, "state_dict": weights}, path)
    return model


def test_a_semantic_model_goes_with_its_whisper(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = save_semantic(tmp_path / "whisper-vq-stoks.model")
    assert run(tmp_path / "whisper-vq-stoks.model", tmp_path / "own") == 2
    assert "its Whisper checkpoint with --whisper FILE" in capsys.readouterr().err and not (tmp_path / "own").exists()
    assert run(tmp_path / "whisper-vq-stoks.model", tmp_path / "own", "--whisper", files / "small.pt") == 0
    own = load_part(tmp_path / "own", "semantic")
    assert isinstance(own, Semantic) and own.config.whisper == SMALL
    waves, whisper = [torch.randn(16_000)], load_whisper(files / "small.pt")
    assert torch.equal(own.encode(whisper, waves)[0], theirs.encode(whisper, waves)[0])


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["absent.model"], "absent.model: no such file"),
        (["small.pt"], "small.pt: not a published WhisperSpeech model"),
        (["hostile.model"], "refused, it holds more than tensors"),
        (["t2s-a.model", "t2s-b.model"], "t2s-b.model: a second t2s model"),
        (["t2s-a.model", "semantic.model", "--whisper", "small.pt"], "t2s and semantic models do not form a system"),
    ],
)
def test_what_cannot_be_converted_is_told_in_a_line_and_leaves_nothing(
    files: Path, tmp_path: Path, names: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({**published("t2s", 192), "config": Path}, files / "hostile.model")
    torch.save(published("t2s", 192), files / "t2s-b.model")
    save_semantic(files / "semantic.model")
    given = [name if name.startswith("--") else files / name for name in names]
    place = given.index("--whisper") if "--whisper" in given else len(given)
    assert run(*given[:place], tmp_path / "own", *given[place:]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and complaint in err
    assert not (tmp_path / "own").exists()


def test_a_folder_in_use_is_left_alone(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert run(files / "t2s-a.model", tmp_path) == 2
    assert "already exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
