"""What the tasks learn from, and the samples that they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from helpers.corpus import TEXTS, sound, write_corpus, write_shard
from helpers.training import CHARACTERS, newest, recipe, rows, run, write
from safetensors.torch import load_file
from torch import Tensor

from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.train.tasks import nanospeech
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("vocoder", {"crop": 4}, "crop is 4; it must be at least 5"),
        ("vocoder", {"crops": 8}, "unknown setting 'crops'.*did you mean 'crop'"),
        ("vocoder", {"stft_weight": -1.0}, "stft_weight is -1.0; it must be 0 or more"),
        ("nanospeech", {"drop": 1.0}, "drop is 1.0; it must be from 0 to below 1"),
        ("nanospeech", {"characters": "ab"}, f"vocab_size is {len(CHARACTERS)}, but characters has 2"),
        ("nanospeech", {"model": {"speaker_dim": 7, "vocab_size": 28}}, "speaker_dim is 7; it must be 256"),
        ("duration", {"characters": ""}, "characters is empty"),
        ("duration", {"task": "vocoder"}, "a recipe for 'vocoder', not for 'duration'"),
    ],
)
def test_wrong_recipes_are_refused(kind: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task(kind, {**recipe(kind), **change})


@pytest.mark.parametrize("kind", ["duration", "transformer", "nanospeech"])
def test_word_times_are_optional_and_used_where_they_are(tmp_path: Path, shards: list[str], kind: str) -> None:
    bare = write_corpus(tmp_path / "bare", 8, 2, words=False)
    timed = run(kind, shards, tmp_path / "timed")
    total = run(kind, bare, tmp_path / "total")
    mixed = run(kind, [*shards, *bare], tmp_path / "mixed")
    assert all(np.isfinite(r["recent"]).all() for r in (timed, total, mixed))
    if kind != "transformer":  # which knows totals only
        assert timed["recent"][1:] != total["recent"][1:]


def test_character_durations_are_learned_from_totals_alone(tmp_path: Path) -> None:
    made = [{"wav": sound(0.09 * len(text), n), "txt": text.encode()} for n, text in enumerate(TEXTS) if len(text) > 3]
    shards = [write_shard(tmp_path / "a.tar", made)]
    run("duration", shards, tmp_path / "run", valid=shards, max_steps=60)
    log = rows(tmp_path / "run")
    assert log[-1]["valid_total_error"] < 0.1  # of an untrained model: 0.4
    assert [row["step"] for row in log if "loss" in row] == [50]


def test_the_speaker_vector_comes_from_the_recording(tmp_path: Path, shards: list[str]) -> None:
    values = recipe("nanospeech")
    values["model"] = {**values["model"], "speaker_dim": 256, "audio_prompt": False}
    train("nanospeech", write(tmp_path / "r.json", values), shards[:1], tmp_path / "run")
    items = torch.load(next((tmp_path / "run" / "features").iterdir()), weights_only=True)[0]
    vectors = torch.stack([item["speaker"] for item in items])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(items)))
    assert "transformer.speaker_embed.weight" in newest(tmp_path / "run")["model"]


def test_samples_and_the_shuffled_text_metric_are_written(tmp_path: Path, shards: list[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(nanospeech, "ASSETS", tmp_path / "none")
    settings: dict[str, Any] = {"valid": shards[:1], "max_steps": 1, "frames_per_batch": 2000}
    run("nanospeech", shards, tmp_path / "silent", **settings)
    (row,) = rows(tmp_path / "silent")
    assert {"valid_loss", "valid_noisy_loss", "valid_text"} <= set(row)
    names = {path.name for path in (tmp_path / "silent/samples/step-00000001").iterdir()}
    assert names == {f"{i}-{n}-mel.safetensors" for i in range(2) for n in ("made", "recorded")}
    assert list((tmp_path / "silent" / "tensorboard").iterdir())

    # with a vocoder in the package, they can be heard
    (tmp_path / "assets" / "vocoder").mkdir(parents=True)
    (tmp_path / "assets" / "vocoder" / "config.json").write_text("{}")
    monkeypatch.setattr(nanospeech, "ASSETS", tmp_path / "assets")
    vocoder = Vocoder(load_task("vocoder", recipe("vocoder")).recipe.model).eval()
    monkeypatch.setattr(nanospeech, "load_vocoder", lambda name: vocoder)
    run("nanospeech", shards, tmp_path / "heard", **settings)
    folder = tmp_path / "heard/samples/step-00000001"
    for i in range(2):
        frames = load_file(folder / f"{i}-made-mel.safetensors")["mel"].shape[0]
        info = soundfile.info(folder / f"{i}-made.wav")
        assert info.samplerate == 24_000 and info.frames == (frames - 1) * 256


def test_vocoder_samples_are_sounds(tmp_path: Path, shards: list[str]) -> None:
    run("vocoder", shards, tmp_path / "run", valid=shards, max_steps=1)
    names = {path.name for path in (tmp_path / "run/samples/step-00000001").iterdir()}
    assert names == {f"{i}-{n}.wav" for i in range(2) for n in ("made", "recorded")}


def test_the_vocoder_compares_spectra_in_float32() -> None:
    task = load_task("vocoder", recipe("vocoder"))
    model, wave = task.build(), 0.1 * torch.randn(2, 8 * 256)
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", torch.bfloat16):
        assert task.loss(model, {"wave": wave}).dtype == torch.float32
    torch.testing.assert_close(seen[0], task.log_mel(wave))


def test_nanospeech_hides_a_random_span_of_70_to_100_percent_of_each_recording() -> None:
    """The model infills the hidden span from the rest: less would be too easy, more would teach it no voices."""
    model = load_task("nanospeech", recipe("nanospeech")).build()
    prompts: list[Tensor] = []
    model.transformer.register_forward_pre_hook(lambda *call: prompts.append(call[-1]["prompt"]), with_kwargs=True)
    lengths = torch.tensor([200, 150] * 100)
    torch.manual_seed(0)
    mel, text = torch.ones(200, 200, 100), torch.zeros(200, 3, dtype=torch.long)
    model(mel=mel, text=text, lengths=lengths)
    hidden = (prompts[0] == 0).all(-1) & (torch.arange(200) < lengths[:, None])
    share = hidden.sum(1) / lengths
    assert 0.69 <= share.min() < 0.72 and 0.97 < share.max() <= 1  # fractions of frames are rounded down
    assert share.mean().item() == pytest.approx(0.85, abs=0.02)
    edges = hidden.int().diff(dim=1, prepend=torch.zeros(200, 1), append=torch.zeros(200, 1)).abs().sum(1)
    assert bool((edges == 2).all())  # a single span
    first = hidden.int().argmax(1)
    assert first.min() == 0 and (first + hidden.sum(1) == lengths).any()  # anywhere, at both ends too


def test_a_deeply_nested_recipe_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"model": ' * 100_000)
    with pytest.raises(ValueError, match=r"r\.json: not a readable JSON file \(maximum recursion depth"):
        load_task("vocoder", tmp_path / "r.json")
