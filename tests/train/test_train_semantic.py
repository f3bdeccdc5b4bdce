"""Training of the semantic model on a tiny random Whisper: windows, learning, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.corpus import Files, samples, write_shard
from helpers.small_whisper import CONFIG, SMALL, save_tokenizer, save_whisper

from vivavoce.checkpoints.whisperspeech_torch import load_part, load_whisper
from vivavoce.data.samples import Report, Utterance, featurized
from vivavoce.models.semantic_torch import PADDING, Semantic
from vivavoce.prepare.tokens_torch import digest
from vivavoce.train.config import TrainConfig
from vivavoce.train.export import export
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.tasks.semantic import SemanticTask
from vivavoce.train.trainer import train

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whisper")
    return {
        "model": CONFIG.to_dict(),
        "whisper": str(save_whisper(folder / "tiny.pt")),
        "tokenizer": str(save_tokenizer(folder / "tokenizer.json")),
        "read": 2,
        "train": {
            "frames_per_batch": 200, "max_steps": 12, "warmup_steps": 2, "learning_rate": 2e-3, "clip_norm": 100.0,
            "ema": 0.5, "validate_every": 6, "workers": 0, "checkpoint_minutes": 60.0,
        },
    }  # fmt: skip


def in_languages(made: list[Files]) -> list[Files]:
    """The same utterances, every third of them in French."""
    return [
        {**files, "json": json.dumps({"text": "the cat sat", "lang": "fr" if n % 3 == 0 else "en"}).encode()}
        for n, files in enumerate(made)
    ]


def task_of(recipe: dict[str, Any]) -> SemanticTask:
    task = load_task("semantic", recipe)
    assert isinstance(task, SemanticTask)
    return task


def windows(task: SemanticTask, shard: str) -> tuple[list[dict[str, Any]], Report]:
    report = Report()
    items = featurized(task.undecoded([shard], report), task, TrainConfig(workers=0), report)
    return items, report


def test_clips_share_windows_of_one_language(recipe: dict[str, Any], tmp_path: Path) -> None:
    made = in_languages(samples(9))
    task = task_of(recipe)
    items, report = windows(task, write_shard(tmp_path / "a.tar", made))
    assert report.kept == 9 and 4 <= len(items) < 9
    languages = {SMALL.start_tokens(lang)[1]: lang for lang in ("en", "fr")}
    clips = dict.fromkeys(("en", "fr"), 0)
    for item in items:
        start, text = item["before"][:4].tolist(), item["before"][4:].tolist()
        assert start == SMALL.start_tokens(languages[start[1]])
        assert item["after"].tolist() == [PADDING] * 3 + text + [SMALL.end_token]
        assert task.tokenizer.decode(text) == " ".join(["the cat sat"] * (len(text) // 3))
        assert item["frames"].shape == (100, 16) and item["states"].shape == (len(text) + 4, 16)
        assert 20 <= item["sound"] <= 100
        clips[languages[start[1]]] += len(text) // 3
    assert clips == {"en": 6, "fr": 3}


def test_what_whisper_cannot_hear_is_left_out_with_the_reason(recipe: dict[str, Any], tmp_path: Path) -> None:
    made = samples(4)
    for number, meta in enumerate(({"text": "no", "lang": "xx"}, {"text": "no " * 30}, {"text": "no"})):
        made[number]["json"] = json.dumps(meta).encode()
    items, report = windows(task_of(recipe), write_shard(tmp_path / "a.tar", made))
    assert report.kept == 2 and len(items) >= 1
    assert set(report.skipped) == {"in a language that Whisper does not know (xx)", "longer than Whisper's window"}


def test_a_run_learns_and_is_exported_without_whisper(recipe: dict[str, Any], tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", in_languages(samples(12)))
    (tmp_path / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    out = tmp_path / "run"
    train("semantic", tmp_path / "recipe.json", [shard], out, valid=[shard])
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    first, last = rows[0], rows[-1]
    assert last["valid_loss"] < first["valid_loss"]
    assert last["valid_lost"] > 0 and 0 < last["valid_used"] <= 1 and 1 <= last["valid_perplexity"] <= 12
    assert last["valid_wer"] >= 0 and last["valid_wer_audio"] >= 0

    export(out, tmp_path / "model")
    model = load_part(tmp_path / "model", "semantic")
    assert isinstance(model, Semantic) and model.config == CONFIG
    codes = model.encode(load_whisper(Path(recipe["whisper"])), [torch.randn(16_000)])
    assert codes[0].shape == (25,) and int(codes[0].max()) < 12


def test_the_initial_codebook_explains_more_than_chance(recipe: dict[str, Any], tmp_path: Path) -> None:
    task = task_of(recipe)
    items, _ = windows(task, write_shard(tmp_path / "a.tar", in_languages(samples(12))))
    batch = task.collate(items)
    lost = []
    for fitted in (False, True):
        torch.manual_seed(0)
        model = task.build()
        if fitted:
            task.initialise(model, [batch])
        lost.append(task.validate(model.eval(), [batch])["lost"])
    assert lost[1] < 0.9 < lost[0]


def test_impossible_settings_are_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tokenizer is 'nowhere.json': no such file"):
        task_of({**recipe, "tokenizer": "nowhere.json"}).check_data([], [])
    with pytest.raises(ValueError, match="not a tokenizer.json"):
        (tmp_path / "t.json").write_text("{}", encoding="utf-8")
        task_of({**recipe, "tokenizer": str(tmp_path / "t.json")}).tokenizer  # noqa: B018
    with pytest.raises(ValueError, match="its dimensions differ from the recipe's model.whisper"):
        task_of({**recipe, "model": {}}).whisper  # noqa: B018


def test_dead_codes_come_back_to_life(recipe: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = Semantic(CONFIG)
    points = torch.nn.functional.normalize(torch.randn(500, 6), dim=-1)
    model.codebook.vectors[:] = points[0]  # all alike: only one can be chosen
    model.codebook.average[:] = points[0]
    for _ in range(100):
        codes = model.codebook.nearest(points)
        model.codebook.follow(points, codes)
        model.codebook.revive(points)
    assert len(np.unique(model.codebook.nearest(points))) == CONFIG.codes


def test_letters_stand_where_their_words_are_said(recipe: dict[str, Any]) -> None:
    times = (("the", 0.2, 0.44), ("cäT", 0.6, 1.08))
    said = Utterance("u", np.zeros(20_800, np.float32), "the cäT", words=times)  # 1.3 s, 32 codes
    item = task_of(recipe).featurize(said)
    spelt = ["".join(" abcdefghijklmnopqrstuvwxyz"[i] for i in row if i >= 0) for row in item["words"].tolist()]
    assert spelt == [" "] * 5 + ["the"] * 6 + [" "] * 4 + ["cat"] * 12 + [" "] * 5
    likeliest = item["places"].round().int().tolist()
    assert likeliest[5:11] == [0, 0, 1, 1, 2, 2] and likeliest[15:27] == [0] * 4 + [1] * 4 + [2] * 4
    unknown = task_of(recipe).featurize(Utterance("u", np.zeros(20_800, np.float32), "the cat"))
    assert set(unknown["words"].flatten().tolist()) == {PADDING}


def test_codes_that_tell_letters_are_learned_and_then_held(recipe: dict[str, Any], tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(12, words=True))
    letters = {**recipe, "reading": 0.0, "letters": 1.0, "read": 0}
    (tmp_path / "letters.json").write_text(json.dumps(letters), encoding="utf-8")
    train("semantic", tmp_path / "letters.json", [shard], tmp_path / "letters", valid=[shard])
    rows = [json.loads(line) for line in (tmp_path / "letters/log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["valid_loss"] < rows[0]["valid_loss"]
    export(tmp_path / "letters", tmp_path / "model")
    first = load_part(tmp_path / "model", "semantic")  # which refuses weights that are not the model's
    assert isinstance(first, Semantic)

    held = {**recipe, "likeness": 1.0, "hold_codes": True}
    (tmp_path / "held.json").write_text(json.dumps(held), encoding="utf-8")
    arguments = (tmp_path / "held.json", [shard], tmp_path / "held")
    train("semantic", *arguments, valid=[shard], init_from=str(tmp_path / "model"))
    export(tmp_path / "held", tmp_path / "second")
    second = load_part(tmp_path / "second", "semantic")
    assert isinstance(second, Semantic)
    whisper, wave = load_whisper(Path(recipe["whisper"])), torch.randn(16_000)
    assert torch.equal(first.encode(whisper, [wave])[0], second.encode(whisper, [wave])[0])
    assert digest(tmp_path / "model") == digest(tmp_path / "second")  # so tokens of the first go with the second
    changed = [name for name, value in first.state_dict().items() if not value.equal(second.state_dict()[name])]
    assert changed and not {name.split(".")[0] for name in changed} & {"ff", "ff_norm", "project_in", "codebook"}


def test_a_recipe_without_any_loss_is_refused(recipe: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="reading is 0.0; it must be positive if likeness and letters are 0"):
        task_of({**recipe, "reading": 0.0})
    with pytest.raises(ValueError, match="reading is 0.0; it must be positive if hold_codes is true"):
        task_of({**recipe, "reading": 0.0, "letters": 1.0, "hold_codes": True})
    with pytest.raises(ValueError, match="alphabet is 'aba'; it must be letters without repetition"):
        task_of({**recipe, "alphabet": "aba"})
