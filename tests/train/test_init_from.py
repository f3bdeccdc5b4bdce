"""`--from`: what a new run takes from another model, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.published import VOCODER, write_published, write_vocos
from helpers.published import write as write_folder
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vivavoce.checkpoints import published
from vivavoce.config import ASSETS
from vivavoce.models.nanospeech import DurationConfig, NanospeechConfig
from vivavoce.models.nanospeech_torch import duration_model
from vivavoce.train.checkpoint import Checkpoints
from vivavoce.train.init_from import initialise
from vivavoce.train.tasks.base import Task
from vivavoce.train.tasks.registry import load_task

KNOWN = " abcdefghijklmnopqrstuvwxyz,.'"
DURATION = DurationConfig(kind="characters", vocab_size=len(KNOWN), dim=16, depth=1)
MODEL = NanospeechConfig(vocab_size=len(KNOWN), dim=32, depth=1, heads=2, head_dim=16, text_dim=16, text_layers=1)


def task_of(name: str, model: Any, characters: str = KNOWN, **settings: Any) -> Task:
    values: dict[str, Any] = {"model": model.to_dict(), **settings}
    if name != "vocoder":
        values["model"]["vocab_size"] = len(characters)
        values["characters"] = characters
    return load_task(name, values)


def initialised(source: str | Path, task: Task) -> tuple[nn.Module, list[str]]:
    model = task.build()
    return model, initialise(str(source), task, model)


def rows_of(state: dict[str, Tensor]) -> Tensor:
    (embedding,) = (value for name, value in state.items() if name.endswith("text_encoder.embed.weight"))
    return embedding.float()


def others_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.float() for name, value in state.items() if not name.endswith("text_encoder.embed.weight")}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def bundled(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    config = json.loads((ASSETS / name / "config.json").read_text())
    return load_file(ASSETS / name / "model.safetensors"), config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", "duration", duration_model(DURATION), DURATION, characters=KNOWN)


# ---- vocabularies ---------------------------------------------------------------------------------------------------


def test_nanospeech_is_the_bundled_model_of_every_task() -> None:
    _, config = bundled("duration")
    task = load_task("duration", {"model": config["model"], "characters": config["characters"], "aligner": "bundled"})
    assert initialised("nanospeech", task)[1] == initialised("bundled", task)[1]


@pytest.mark.parametrize("name", ["nanospeech", "duration", "aligner"])
def test_bundled_models_gain_characters_and_keep_the_old_ones(name: str) -> None:
    weights, config = bundled(name)
    characters = config["characters"]
    recipe = {"model": {**config["model"], "vocab_size": len(characters) + 2}, "characters": f"ä{characters}ö"}
    if name != "aligner":
        recipe["aligner"] = "aligner-with-ä-and-ö"
    model, notices = initialised("bundled", load_task(name, recipe))
    old, new = rows_of(weights), rows_of(model.state_dict())
    assert torch.equal(new[0], old[0])  # the filler
    assert torch.equal(new[2:-1], old[1:])
    for row, letter in ((new[1], "a"), (new[-1], "o")):
        torch.testing.assert_close(row, old[1 + characters.index(letter)])
    same(others_of(model.state_dict()), others_of(weights))
    assert notices == [
        f"starting with the weights of {ASSETS / name / 'model.safetensors'}",
        "new characters, which start like the letter below the accent, or the mean of all: 'ä' 'ö'",
    ]
    assert all(p.requires_grad for p in model.parameters())


def test_characters_are_matched_and_dropped_ones_named(folder: Path) -> None:
    ours = "".join(c for c in reversed(KNOWN) if c not in "q'")
    model, notices = initialised(folder, task_of("duration", DURATION, ours))
    old, new = rows_of(load_file(folder / "model.safetensors")), rows_of(model.state_dict())
    for place, character in enumerate(ours, 1):
        assert torch.equal(new[place], old[1 + KNOWN.index(character)])
    assert notices[1:] == ["characters that are dropped, because the recipe lacks them: 'q' \"'\""]


def test_the_same_characters_give_the_same_model_without_notices(folder: Path) -> None:
    model, notices = initialised(folder, task_of("duration", DURATION.replace(dropout=0.3)))
    same(model.state_dict(), load_file(folder / "model.safetensors"))
    assert len(notices) == 1


def test_a_vocabulary_without_a_common_character_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.safetensors: none of its characters is in the recipe's, 'äöü'$"):
        initialised(folder, task_of("duration", DURATION, "äöü"))


# ---- where models come from -----------------------------------------------------------------------------------------


def write_run(folder: Path, task: Task) -> dict[str, Tensor]:
    """A training run with one checkpoint; returns its averaged weights."""
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps({"task": task.name, **task.recipe.to_dict()}))
    average = task.build().state_dict()
    Checkpoints(folder, 1).save(3, {"average": average, "model": task.build().state_dict()})
    return average


@pytest.mark.parametrize("name", ["nanospeech", "duration", "vocoder"])
def test_a_run_gives_its_ema_weights(tmp_path: Path, name: str) -> None:
    task = task_of(name, {"nanospeech": MODEL, "duration": DURATION, "vocoder": VOCODER}[name])
    average = write_run(tmp_path / "run", task)
    model, notices = initialised(tmp_path / "run", task)
    same(model.state_dict(), average)
    assert notices == [f"starting with the weights of {tmp_path / 'run/checkpoints/step-00000003.pt'}"]


@pytest.mark.parametrize("ending", ["", "\n"])
@pytest.mark.parametrize("name", ["nanospeech", "duration"])
def test_published_models_can_be_fine_tuned(tmp_path: Path, name: str, ending: str) -> None:
    write_published(tmp_path / "theirs", vocabulary="\n".join(KNOWN) + ending)
    shape = {"dim": 32, "heads": 1, "head_dim": 64, "text_dim": 16}
    if name == "nanospeech":
        config: Any = NanospeechConfig(**shape, depth=2, text_layers=1)
        path, describe = tmp_path / "theirs/model.safetensors", published.import_nanospeech
    else:
        config = DurationConfig(**shape, depth=1)
        path, describe = tmp_path / "theirs/duration.safetensors", published.import_duration
    model, notices = initialised(tmp_path / "theirs", task_of(name, config, KNOWN + "ä"))
    weights: Any = describe(load_file(path), "")[1]
    assert torch.equal(rows_of(model.state_dict())[: 1 + len(KNOWN)], rows_of(weights)[: 1 + len(KNOWN)])
    same(others_of(model.state_dict()), others_of(weights))
    assert notices[0] == f"starting with the weights of {path}" and "'ä'" in notices[1]


def test_a_published_vocos_goes_on_learning(tmp_path: Path) -> None:
    folder = write_vocos(tmp_path / "vocos")
    text, weights = (folder / "config.yaml").read_text(), torch.load(folder / "pytorch_model.bin", weights_only=True)
    config, ours = published.import_vocos(text, weights, "")
    model, _ = initialised(folder, task_of("vocoder", config))
    same(others_of(model.state_dict()), others_of(dict(ours)))  # type: ignore[arg-type]


def test_a_hugging_face_name_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fetched(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    model, _ = initialised("owner/name", task_of("duration", DURATION))
    same(model.state_dict(), load_file(folder / "model.safetensors"))
    assert asked == [("owner/name", ["*.json", "*.safetensors", "vocab.txt"])]


# ---- refused --------------------------------------------------------------------------------------------------------


def refusal(source: str | Path, task: Task) -> str:
    with pytest.raises(ValueError) as error:
        initialised(source, task)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_architecture_is_refused_by_the_settings_that_differ(folder: Path) -> None:
    notices = refusal(folder, task_of("duration", DURATION.replace(dim=32, depth=2)))
    differences = "its dim is 16, the recipe's is 32; its depth is 1, the recipe's is 2"
    assert notices == f"{folder / 'model.safetensors'}: {differences}"
    mel = DURATION.mel.replace(floor=1e-7)
    notices = refusal(folder, task_of("duration", DURATION.replace(mel=mel)))
    assert notices.endswith("its mel.floor is 1e-05, the recipe's is 1e-07")


def test_what_is_no_model_of_the_kind_is_refused(tmp_path: Path, folder: Path) -> None:
    nanospeech = task_of("nanospeech", MODEL)
    assert refusal(folder, nanospeech).endswith("a duration model, where a nanospeech model is needed")
    assert "no model 'nowhere'" in refusal("nowhere", nanospeech)
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", nanospeech).startswith(f"{tmp_path / 'empty'} holds no nanospeech model: ")
    write_run(tmp_path / "run", task_of("duration", DURATION))
    assert refusal(tmp_path / "run", nanospeech).endswith("a run of 'duration'; a nanospeech model is needed")
    (tmp_path / "run/recipe.json").write_text("{")
    assert refusal(tmp_path / "run", nanospeech).endswith("recipe.json: unreadable, or without the name of its task")


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    task = task_of("duration", DURATION)
    write_run(tmp_path / "run", task)
    (path,) = Checkpoints(tmp_path / "run", 1).all()
    torch.save({"model": {}}, path)
    assert "a checkpoint without EMA weights" in refusal(tmp_path / "run", task)
    path.unlink()
    assert "holds no checkpoint yet" in refusal(tmp_path / "run", task)


def test_weights_that_belie_their_config_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({n: w[:5] if n.endswith("embed.weight") else w for n, w in weights.items()}, folder / "model.safetensors")
    assert "30 characters, but 5 rows in the embedding" in refusal(folder, task_of("duration", DURATION))
