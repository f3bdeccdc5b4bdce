"""Model folders and published checkpoints: the published formats are read as published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.checkpoint_tests import refusal
from helpers.published import (
    CHARACTERS,
    VOCODER,
    published_shapes,
    random_weights,
    randomised,
    speaking_published,
    write_published,
    write_vocos,
)
from safetensors.torch import load_file, save_file

from vivavoce.checkpoints.weights_torch import load_vocoder
from vivavoce.models.vocoder_torch import Vocoder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_vocos(tmp_path / "vocos")
    return write_published(tmp_path / "published")


# --- the published formats ----------------------------------------------------------------------------------------


def test_published_dimensions_are_read_from_the_tensors(published: Path) -> None:
    system = speaking_published(published)
    config, duration = system.model.config, system.duration.config
    assert (config.dim, config.depth, config.heads, config.head_dim, config.ff_mult) == (32, 2, 1, 64, 2)
    assert (config.text_dim, config.text_layers, config.vocab_size) == (16, 1, len(CHARACTERS))
    assert (duration.kind, duration.dim, duration.depth, duration.text_layers) == ("transformer", 32, 1, 0)
    assert (config.rotary, config.text_align, config.adaln) == ("first_head", "pad", "per_block")
    assert system.sampling.steps == 7 and system.uses_transcript
    assert system.vocoder.config.mel.floor == 1e-7


def test_every_published_tensor_finds_its_place(published: Path) -> None:
    saved = load_file(published / "model.safetensors")
    ours = speaking_published(published).model.state_dict()
    expected = sorted(t.sum().item() for n, t in saved.items() if not n.startswith("mel_spec."))
    assert sorted(t.sum().item() for t in ours.values()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_last_line_end_of_the_vocabulary_shifts_nothing(published: Path, ending: str) -> None:
    """Weights of either kind: the published loader gives the nothing after the last line end a row of its own."""
    write_published(published, vocabulary="\n".join(CHARACTERS) + ending)
    (published / "vocab.txt").write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    system = speaking_published(published)
    assert system.tokenizer.encode(" az'") == [0, 1, 26, 29]


def test_a_vocabulary_of_another_size_is_refused(published: Path) -> None:
    (published / "vocab.txt").write_text("\n".join(CHARACTERS + "é"), encoding="utf-8")
    message = refusal(lambda: speaking_published(published))
    assert str(published / "vocab.txt") in message and "31" in message and "30" in message


def test_a_duration_model_of_another_vocabulary_is_refused(published: Path) -> None:
    shapes = published_shapes(9, 32, 1, 1, 16, 0, duration=True)
    save_file(random_weights(shapes), published / "duration.safetensors")
    message = refusal(lambda: speaking_published(published))
    assert "30 characters" in message and "duration.safetensors has 8" in message


def test_another_models_tensors_are_refused_by_name(published: Path) -> None:
    shutil.copy(published / "duration.safetensors", published / "model.safetensors")
    message = refusal(lambda: speaking_published(published))
    assert str(published / "model.safetensors") in message and "transformer.out.weight" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backbone": {"class_path": "vocos.models.VocosResNetBackbone"}}, "VocosResNetBackbone"),
        ({"feature_extractor": {"class_path": "os.system"}}, "system"),
        ({"head": {"class_path": "vocos.heads.ISTFTHead", "init_args": {}}}, "n_fft"),
        ({"head": None}, "config"),
        ({"backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": {"dim": 16}}}, "intermediate_dim"),
    ],
)
def test_another_vocos_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    folder = write_vocos(tmp_path / "vocos")
    values = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**values, **changes}))
    message = refusal(lambda: load_vocoder(str(folder)))
    assert named in message and str(folder) in message


@pytest.mark.parametrize("text", ["", "just words", "a: [1\nb: {", "backbone: 3"])
def test_what_is_no_vocos_config_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_vocos(tmp_path / "vocos")
    (folder / "config.yaml").write_text(text)
    assert str(folder) in refusal(lambda: load_vocoder(str(folder)))


def test_a_vocos_folder_decodes_like_the_model_that_was_saved(tmp_path: Path) -> None:
    vocoder, mel = load_vocoder(str(write_vocos(tmp_path / "vocos"))), torch.randn(1, 9, 100)
    expected = randomised(Vocoder(VOCODER))(mel)
    assert torch.equal(vocoder(mel), expected) and expected.std() > 0
