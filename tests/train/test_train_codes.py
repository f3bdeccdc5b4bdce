"""Training on recordings and the semantic codes beside them: T2S in step with the text, nanospeech with codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.codes import HEADER, TRAIN, acoustic_recipe, coded_corpus, t2s_recipe, write_aligner, write_tokens_beside
from helpers.corpus import write_corpus
from helpers.training import CHARACTERS, newest, rows, same, write

from vivavoce.checkpoints.whisperspeech_torch import load_part
from vivavoce.config import ASSETS, MelConfig
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.models.nanospeech_torch import Nanospeech
from vivavoce.train.export import export, write_folder
from vivavoce.train.init_from import initialise
from vivavoce.train.tasks.masked_t2s import MaskedT2STask
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import train

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")
KINDS = {"nanospeech": acoustic_recipe, "t2s": t2s_recipe}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return coded_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def aligner(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_aligner(tmp_path_factory.mktemp("models") / "aligner", MelConfig())


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumes_exports_and_names_its_codes(tmp_path: Path, data: list[str], aligner: str, kind: str) -> None:
    config = write(tmp_path / "recipe.json", KINDS[kind](aligner))
    train(kind, config, data, tmp_path / "whole", valid=data[1:])
    half = write(tmp_path / "half.json", KINDS[kind](aligner, train={**TRAIN, "max_steps": 2}))
    train(kind, half, data, tmp_path / "parts", valid=data[1:])
    train(kind, config, data, tmp_path / "parts", valid=data[1:])
    same(newest(tmp_path / "whole"), newest(tmp_path / "parts"))
    figures = [row for row in rows(tmp_path / "whole") if "valid_loss" in row][-1]
    assert all(np.isfinite(value) for value in figures.values())
    export(tmp_path / "whole", tmp_path / "model")
    about = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert about["tokens"] == {"semantic": "a", "semantic_codes": 9, "semantic_rate": 25.0}
    if kind == "t2s":
        model = load_part(tmp_path / "model", "t2s")
        assert isinstance(model, MaskedT2S) and {"valid_accuracy_100", "valid_accuracy_10"} <= figures.keys()
    else:
        assert {"valid_codes_loss", "valid_codes", "valid_text"} <= figures.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_codes_come_from_the_sample_with_the_same_key(tmp_path: Path, aligner: str, kind: str) -> None:
    shards = write_corpus(tmp_path, 4, 1)
    write_tokens_beside(shards, leave_out="u001")
    task = load_task(kind, KINDS[kind](aligner))
    task.check_data(shards, [])
    from vivavoce.data.samples import Report, featurized
    from vivavoce.train.config import TrainConfig

    report = Report()
    items = featurized(task.undecoded(shards, report), task, TrainConfig(), report)
    assert report.skipped == {"no readable codes beside it": 1}
    for number, item in zip((0, 2, 3), items, strict=True):
        assert item["codes"].tolist() == np.random.default_rng(number).integers(0, 9, 20).tolist()
    batch = task.collate(items)
    assert batch["codes"].shape == (3, 20) and torch.isfinite(task.loss(task.build(), batch))


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (None, "s-000.tokens.tar beside it; vivavoce prepare --tokens makes it"),
        (HEADER.replace(semantic_codes=12), "12 semantic codes, 25 a second; the recipe's model has 9, 25 a second"),
        (HEADER.replace(semantic="b"), "semantic codes of another model"),
    ],
)
def test_missing_and_foreign_tokens_are_refused(tmp_path: Path, aligner: str, header: Any, complaint: str) -> None:
    shards = write_corpus(tmp_path, 4, 2)
    if header is not None:
        write_tokens_beside(shards[:1])
        write_tokens_beside(shards[1:], header)
    with pytest.raises(ValueError, match=complaint):
        load_task("t2s", t2s_recipe(aligner)).check_data(shards, [])


def test_a_model_without_codes_needs_no_tokens(tmp_path: Path, aligner: str) -> None:
    values = acoustic_recipe(aligner)
    values["model"]["codes"] = 0
    shards = write_corpus(tmp_path, 4, 1)
    task = load_task("nanospeech", values)
    assert task.check_data(shards, []) == (shards, []) and task.data_info() == {}
    for name in ("hidden_text", "hidden_codes", "wrong_codes"):
        with pytest.raises(ValueError, match=f"{name} is 0.4; it must be 0 if the model has no codes"):
            load_task("nanospeech", {**values, name: 0.4})


def test_codes_are_added_to_any_nanospeech_model(tmp_path: Path, aligner: str) -> None:
    values = acoustic_recipe(aligner)
    values["model"]["codes"] = 0
    source = load_task("nanospeech", values).build()
    settings = {"model": values["model"], "characters": CHARACTERS}
    write_folder(tmp_path / "theirs", "nanospeech", settings, source.state_dict(), "theirs")
    task = load_task("nanospeech", acoustic_recipe(aligner))
    model = task.build()
    assert isinstance(model, Nanospeech) and model.transformer.code_encoder is not None
    before = model.transformer.code_encoder.embed.weight.clone()
    notices = initialise(str(tmp_path / "theirs"), task, model)
    assert any("code_encoder start untrained" in line for line in notices)
    assert torch.equal(model.transformer.code_encoder.embed.weight, before)
    assert torch.equal(model.transformer.input.weight, source.transformer.input.weight.half().float())


def test_the_codebook_of_a_semantic_model_starts_the_embedding(aligner: str) -> None:
    values = acoustic_recipe(aligner, semantic="bundled")
    values["model"] |= {"codes": 512, "code_width": 64}
    task = load_task("nanospeech", values)
    codebook = load_part(ASSETS / "semantic", "semantic").codebook.vectors  # type: ignore[union-attr]
    assert torch.equal(task.build().transformer.code_encoder.embed.weight, codebook[:512])


def test_the_text_encoder_of_a_nanospeech_model_starts_that_of_t2s(tmp_path: Path, aligner: str) -> None:
    values = acoustic_recipe(aligner)
    source = load_task("nanospeech", values).build()
    settings = {"model": values["model"], "characters": CHARACTERS}
    write_folder(tmp_path / "theirs", "nanospeech", settings, source.state_dict(), "theirs")
    task = load_task("t2s", t2s_recipe(aligner, nanospeech=str(tmp_path / "theirs")))
    assert isinstance(task, MaskedT2STask)
    model = task.build()
    for name, weight in source.transformer.text_encoder.state_dict().items():
        assert torch.equal(model.text_encoder.state_dict()[name], weight.half().float()), name
    other = t2s_recipe(aligner, nanospeech=str(tmp_path / "theirs"))
    other["model"]["text_dim"] = 12
    with pytest.raises(ValueError, match="its text_dim is 8, the recipe's is 12"):
        load_task("t2s", other).build()


def test_both_stages_read_the_same_text(root: Path) -> None:
    paths = (root / "recipes" / "whisperspeech" / "t2s" / "frames.json", root / "recipes" / "nanospeech" / "codes.json")
    t2s, acoustic = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    assert t2s["characters"] == acoustic["characters"]
    for setting in ("phones", "text_dim", "text_layers", "speaker_dim", "codes", "code_rate"):
        assert t2s["model"][setting] == acoustic["model"][setting], setting
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in model.parameters()) / 1e6
            for model in (
                load_task("t2s", {**t2s, "semantic": "", "nanospeech": ""}).build(),
                load_task("nanospeech", {**acoustic, "semantic": ""}).build(),
            )
        ]
    assert 6 < sizes[0] < 7 and 11.5 < sizes[1] < 13
