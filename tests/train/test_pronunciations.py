"""The pronunciation dictionary as an auxiliary loss: parsed, learned, and absent from the exported model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.corpus import write_corpus
from helpers.training import newest, recipe, rows
from safetensors.torch import load_file

from vivavoce.models.nanospeech import NanospeechConfig
from vivavoce.text import CharTokenizer
from vivavoce.train.auxiliary_losses import NanospeechWithAuxiliaryLosses
from vivavoce.train.export import export
from vivavoce.train.pronunciations import SLOTS, Lexicon
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer

torch.set_num_threads(1)
TOKENIZER = CharTokenizer(" abcdefghijklmnopqrstuvwxyz'")
TINY = NanospeechConfig(
    vocab_size=28,
    dim=32,
    depth=1,
    heads=1,
    head_dim=16,
    text_dim=32,
    text_layers=2,
    text_align="durations",
    audio_prompt=False,
    speaker_dim=4,
)
CMU = """\
;;; made up
cat K AE1 T
cats K AE1 T S
the DH AH0
the(2) DH IY0 # as before a vowel
box B AA1 K S
naïve N AY2 IY1 V
i AY1 AY1

"""


@pytest.fixture
def lexicon(tmp_path: Path) -> Lexicon:
    path = tmp_path / "words.dict"
    path.write_text(CMU, encoding="utf-8")
    return Lexicon.load(path, TOKENIZER)


def test_the_dictionary_is_read_as_written(lexicon: Lexicon) -> None:
    words = ["".join(TOKENIZER.characters[i] for i in word) for word in lexicon.words]
    spoken = [" ".join(lexicon.inventory[i - 1] for i in phones) for phones in lexicon.phones]
    # comments, characters that the model lacks, and more phones than the letters have room for are left out
    assert list(zip(words, spoken, strict=True)) == [
        ("cat", "K AE1 T"), ("cats", "K AE1 T S"), ("the", "DH AH0"), ("the", "DH IY0"), ("box", "B AA1 K S"),
    ]  # fmt: skip


def test_every_place_of_a_batch_holds_its_words_characters(lexicon: Lexicon) -> None:
    torch.manual_seed(0)
    batch = lexicon.batch(40)
    assert len(batch["places"]) == len(batch["phones"]) == 40
    known = {(tuple(w), tuple(p)) for w, p in zip(lexicon.words, lexicon.phones, strict=True)}
    flat = batch["words"].flatten()
    for places, phones in zip(batch["places"], batch["phones"], strict=True):
        word = flat[places[places >= 0]]
        assert (tuple(word.tolist()), tuple(phones[phones > 0].tolist())) in known


def test_words_are_learned_and_speech_is_not_forgotten(lexicon: Lexicon) -> None:
    torch.manual_seed(0)
    model = NanospeechWithAuxiliaryLosses(TINY, phones=len(lexicon.inventory), phones_weight=1.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    speech = {
        "mel": torch.randn(1, 8, 100), "speaker": torch.randn(1, 4),
        "text": torch.tensor([[1, 2, 3]]), "lengths": torch.tensor([8]),
        "durations": torch.ones(1, 3), "time": torch.tensor([0.5]), "noise": torch.randn(1, 8, 100), "drop": 0.0,
    }  # fmt: skip
    losses = []
    for _ in range(60):
        loss = model(**speech, **lexicon.batch(16))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fixed = lexicon.batch(16)
    with torch.no_grad():
        phones = model.pronunciation_loss(**fixed).item()
        alone = model(**speech).item()
        assert model(**speech, **fixed).item() == pytest.approx(alone + phones, rel=1e-5)
    assert phones < 0.3 and losses[-1] < 0.5 * losses[0]
    # the spelling was learned: other letters no longer fit the phones
    wrong = dict(fixed, words=torch.where(fixed["words"] > 0, (fixed["words"] + 7) % 26 + 1, fixed["words"]))
    assert model.pronunciation_loss(**wrong).item() > 3 * phones


def test_each_character_has_its_slots(lexicon: Lexicon) -> None:
    model = NanospeechWithAuxiliaryLosses(TINY, phones=len(lexicon.inventory), phones_weight=1.0)
    assert model.pronunciation.out_features == SLOTS * (len(lexicon.inventory) + 1)


@pytest.mark.parametrize(
    ("text", "reported"),
    [(None, "not a readable text file"), (b"\xff\xfe", "not a readable text file"), (b"1 2\n", "no line with a word")],
)
def test_what_is_no_dictionary_is_named(tmp_path: Path, text: bytes | None, reported: str) -> None:
    path = tmp_path / "words.dict"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ValueError, match=f"words.dict: {reported}"):
        Lexicon.load(path, TOKENIZER)


def test_the_bundled_models_three_runs_in_small(tmp_path: Path) -> None:
    """A dictionary, then guidance from what that gave, then on without a teacher; none of it is in the export."""
    shards = write_corpus(tmp_path / "corpus", 6, 1, words=True)
    (tmp_path / "words.dict").write_text(CMU, encoding="utf-8")
    model = {**recipe("nanospeech")["model"], "audio_prompt": False, "speaker_dim": 256}

    def trained(name: str, start: str | None, **settings: Any) -> dict[str, Any]:
        values = {**recipe("nanospeech", max_steps=2), "model": model, **settings}
        Trainer(load_task("nanospeech", values), shards, shards, tmp_path / name, start).run(None)
        export(tmp_path / name, tmp_path / f"{name}-model")
        return rows(tmp_path / name)[-1]

    last = trained("words", None, lexicon=str(tmp_path / "words.dict"), lexicon_words=16)
    assert last["valid_phones"] > 0
    assert any("pronunciation" in name for name in newest(tmp_path / "words")["model"])
    assert not any("pronunciation" in name for name in load_file(tmp_path / "words-model" / "model.safetensors"))
    taught = trained("taught", str(tmp_path / "words-model"), guidance=2.0, teacher=str(tmp_path / "words-model"))
    alone = trained("alone", str(tmp_path / "words"), guidance=2.0)
    assert "valid_phones" not in taught and taught["valid_loss"] != alone["valid_loss"]


def test_a_teacher_without_guidance_is_refused() -> None:
    with pytest.raises(ValueError, match="teacher is 'bundled'; it must be empty if guidance and distil_steps are 0"):
        load_task("nanospeech", {**recipe("nanospeech"), "teacher": "bundled"})
