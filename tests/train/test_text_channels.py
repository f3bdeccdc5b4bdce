"""Languages and phones beside the letters, and the bandwidth of recordings, in the tasks that train on them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.letters_only import letters_only, write_letters_only

from vivavoce.data.samples import Utterance
from vivavoce.models import solvers
from vivavoce.models.nanospeech import NanospeechConfig
from vivavoce.models.nanospeech_torch import Nanospeech
from vivavoce.text.prosody import Prosody, channels
from vivavoce.train.export import write_folder
from vivavoce.train.init_from import initialise
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.tasks.text import hide_words
from vivavoce.voices import get

BUNDLED, WEIGHTS = letters_only("nanospeech")
CHARACTERS = BUNDLED["characters"] + "¿éñ"
PHONES = ("b", "k", "s", "ˈɑ", "ð", "ə")
LANGUAGES = ("en", "es")


def recipe(**model: Any) -> dict[str, Any]:
    settings = {"vocab_size": len(CHARACTERS), "languages": LANGUAGES, "phones": PHONES, "bandwidth": True, **model}
    return {"model": {**BUNDLED["model"], **settings}, "characters": CHARACTERS, "aligner": "bundled"}


def utterance(text: str, lang: str = "en", bandwidth: float | None = None) -> Utterance:
    wave = 0.1 * np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    return Utterance("key", wave, text, lang=lang, bandwidth=bandwidth)


@pytest.fixture
def task() -> Any:
    values = recipe(text_align="durations", speaker_dim=0, audio_prompt=True, languages=(), phones=(), prosody=False)
    del values["aligner"]
    return load_task("nanospeech", values)


def test_new_channels_leave_a_model_as_it_is(tmp_path: Path) -> None:
    task = load_task("nanospeech", recipe())
    new = task.build()
    initialise(str(write_letters_only(tmp_path)), task, new)
    new.eval()
    old = Nanospeech(NanospeechConfig.from_dict(BUNDLED["model"])).eval()
    old.load_state_dict({name: value.float() for name, value in WEIGHTS.items()})
    text, draw = " a box of letters. ", torch.Generator().manual_seed(0)
    noise, speaker = torch.randn(1, 90, 100, generator=draw), 0.06 * torch.randn(1, 256, generator=draw)
    given: dict[str, Any] = {"durations": torch.ones(1, len(text)), "speaker": speaker}
    given["times"] = solvers.schedule(2, -1.0)
    ids = torch.tensor([[CHARACTERS.index(c) for c in text]])
    expected = old.sample(noise, ids, torch.tensor([90]), **given)
    phones = torch.from_numpy(task.phones.ids(text, ["en"] * len(text))).long()[None]
    assert phones.any()
    made = new.sample(noise, ids, torch.tensor([90]), languages=torch.ones_like(ids), phones=phones, **given)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_a_neutral_prosody_leaves_a_model_as_it_is(tmp_path: Path) -> None:
    task = load_task("nanospeech", recipe(languages=(), phones=(), prosody=True))
    model = task.build()
    initialise(str(write_letters_only(tmp_path)), task, model)
    embed = model.transformer.text_encoder.prosody_embed
    assert not embed.weight.any()
    torch.nn.init.normal_(embed.weight, std=0.1)  # as if trained
    model.eval()
    ids = torch.tensor([[CHARACTERS.index(c) for c in " a box. "]])
    given: dict[str, Any] = {"durations": torch.full((1, 8), 6.0), "speaker": 0.06 * torch.randn(1, 256)}
    given["times"] = solvers.schedule(2, -1.0)
    noise, lengths = torch.randn(1, 48, 100), torch.tensor([48])
    without, neutral, higher = (
        model.sample(noise, ids, lengths, **given, prosody=None if p is None else torch.from_numpy(channels(p))[None])
        for p in (None, [Prosody()] * 8, [Prosody(pitch=2.0)] * 8)
    )
    torch.testing.assert_close(neutral, without, atol=1e-4, rtol=0)
    assert (higher - without).abs().mean() > 1e-3


def test_an_utterance_brings_its_prosody_and_the_voice_s_own_vector() -> None:
    values = recipe(languages=(), phones=(), prosody=True)
    task = load_task("nanospeech", values)
    words = ((1.5, 1.0, 0.0, 1.0, 0.0), (1.5, 1.5, -6.0, 1.25, 1.0))
    given = dataclasses.replace(utterance("A € box."), prosody=(words[0], words[0], words[1]), speaker="celeste")
    item = task.read(given)
    first, second = [0.5, 0, 0, 0, 0, 0], [0.5, 1, -1, 1, 1, 0]
    after = [0.5, 1, -1, 1, 0, 0]  # a space is not emphasised
    expected = [first, first, first, *[second] * 4, after]
    torch.testing.assert_close(item["prosody"], torch.tensor(expected, dtype=torch.float32))
    np.testing.assert_allclose(item["speaker"], get("celeste").embedding)
    plain = task.read(dataclasses.replace(utterance("A box."), speaker="celeste"))
    assert not plain["prosody"].any() and not np.allclose(plain["speaker"], item["speaker"])
    torch.manual_seed(0)
    hidden = torch.stack([task.text_channels([item])["prosody"][0, :, 5] for _ in range(400)])
    assert 0.25 < hidden[:, 0].mean() < 0.35 and (hidden == hidden[:, :1]).all()


def test_languages_and_phones_are_matched_by_name(tmp_path: Path) -> None:
    source = load_task("nanospeech", recipe()).build()
    encoder = source.transformer.text_encoder
    with torch.no_grad():
        encoder.language_embed.weight.copy_(torch.randn(2, 256))
        encoder.phone_embed.weight.copy_(torch.randn(16, 256))
    settings = {"model": recipe()["model"], "characters": CHARACTERS}
    write_folder(tmp_path / "theirs", "nanospeech", settings, source.state_dict(), "theirs")
    task = load_task("nanospeech", recipe(languages=("en", "fr", "es"), phones=("s", "x", "b")))
    model = task.build()
    initialise(str(tmp_path / "theirs"), task, model)
    found = model.transformer.text_encoder
    old, new = encoder.language_embed.weight.half().float(), found.language_embed.weight
    assert torch.equal(new[0], old[0]) and torch.equal(new[2], old[1]) and not new[1].any()
    old, new = encoder.phone_embed.weight.half().float().view(2, 8, 256), found.phone_embed.weight.view(2, 5, 256)
    assert torch.equal(new[:, :2], old[:, :2]) and not new[:, 3].any()
    assert torch.equal(new[:, 2], old[:, 4]) and torch.equal(new[:, 4], old[:, 2])


def test_the_text_is_encoded_once_and_every_pass_gets_the_same() -> None:
    model = Nanospeech(NanospeechConfig.from_dict(BUNDLED["model"])).eval()
    model.load_state_dict({name: value.float() for name, value in WEIGHTS.items()})
    ids, lengths = torch.randint(0, 35, (2, 12)), torch.tensor([40, 31])
    noise, durations, speaker = torch.randn(2, 40, 100), torch.ones(2, 12), torch.randn(2, 256)
    for cfg in (0.0, 2.0):
        made = model.sample(
            noise, ids, lengths, times=[0, 0.4, 1], cfg=cfg, durations=durations, speaker=speaker
        )  # fmt: skip
        with torch.inference_mode():
            x = noise
            for time, step in ((0.0, 0.4), (0.4, 0.6)):
                when = x.new_full((2,), time)
                x = x + step * model.guided(x, when, ids, lengths, cfg, durations=durations, speaker=speaker)
        assert torch.equal(made, model.unscaled(x))


def test_an_utterance_brings_its_language_and_phones() -> None:
    values = recipe(speaker_dim=0, audio_prompt=False)
    values["model"]["speaker_dim"] = 256
    task = load_task("nanospeech", values)
    item = task.read(utterance("A box."))
    assert item["languages"].tolist() == [0] * 8 and item["phones"].shape == (8, 2)
    assert item["phones"][3:6].bool().any(1).all() and not item["phones"][6:].any()
    spanish = task.read(utterance("¿Qué box?", "es"))
    assert set(spanish["languages"].tolist()) == {1} and not spanish["phones"].any()
    with pytest.raises(ValueError, match="in de; the model has no such language"):
        task.read(utterance("Ja", "de"))
    batch = task.text_channels([item, spanish])
    assert batch["languages"].shape == (2, 11) and batch["phones"].shape == (2, 11, 2)


def test_hidden_phones_are_those_of_whole_words() -> None:
    torch.manual_seed(0)
    phones = torch.zeros(4000, 2, dtype=torch.long)
    phones[:, 0] = torch.tensor([0, 3, 1, 4] * 1000)  # words of three letters, the middle one silent
    words = hide_words(phones, 0.3)[:, 0].reshape(1000, 4)
    kept = words[:, 1] > 0
    assert 0.65 < kept.float().mean() < 0.75
    assert (words[kept] == torch.tensor([0, 3, 1, 4])).all() and not words[~kept].any()
    assert torch.equal(hide_words(phones, 0.0), phones) and not hide_words(phones, 1.0).any()


def test_what_a_recording_lacks_bears_no_loss() -> None:
    config = NanospeechConfig.from_dict({**BUNDLED["model"], "bandwidth": True, "depth": 1, "text_layers": 1})
    model = Nanospeech(config).eval()
    mel = torch.randn(2, 20, 100)
    fixed: dict[str, Any] = {"text": torch.ones(2, 5).long(), "lengths": torch.tensor([20, 20]), "drop": 0.0}
    fixed |= {"time": torch.tensor([0.2, 0.6]), "noise": torch.randn(2, 20, 100), "durations": torch.ones(2, 5)}
    narrow = torch.tensor([8000.0, 8000.0])
    louder = mel.clone()
    louder[:, :, model.bin_tops > 8000] += 5
    assert 5 < int((model.bin_tops > 8000).sum()) < 30
    losses = [model.loss(one, **fixed, bandwidth=narrow).item() for one in (mel, louder)]
    assert losses[0] == pytest.approx(losses[1])
    full = torch.tensor([12_000.0, 12_000.0])
    assert model.loss(mel, **fixed, bandwidth=full).item() == pytest.approx(model.loss(mel, **fixed).item(), rel=1e-5)


def test_a_recording_without_a_bandwidth_is_complete(task: Any) -> None:
    task.recipe = task.recipe.replace(model=task.recipe.model.replace(bandwidth=True))
    assert task.featurize(utterance("A box."))["bandwidth"] == 12_000.0
    items = [task.featurize(utterance("A box.", bandwidth=b)) for b in (8000.0, None)]
    assert task.collate(items)["bandwidth"].tolist() == [8000.0, 12_000.0]
    assert torch.isfinite(task.loss(task.build(), task.collate(items)))


@pytest.mark.parametrize("name", ["languages", "phones"])
def test_a_list_with_a_repetition_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} is .* without repetitions"):
        NanospeechConfig.from_dict({**BUNDLED["model"], name: ["a", "a"]})
