"""The aligner: frames of each letter in synthetic speech, use by the models that are trained on them, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.corpus import write_corpus
from helpers.small_whisper import save_whisper
from helpers.training import newest, recipe, rows

import vivavoce
from vivavoce.checkpoints.aligner_torch import load_aligner
from vivavoce.config import MelConfig
from vivavoce.models.aligner import AlignerConfig, shares
from vivavoce.models.aligner_torch import Aligner
from vivavoce.models.nanospeech import DurationConfig
from vivavoce.train.export import export
from vivavoce.train.tasks.aligner import AlignerRecipe
from vivavoce.train.tasks.duration import DurationRecipe
from vivavoce.train.tasks.nanospeech import NanospeechRecipe
from vivavoce.train.tasks.registry import load_task
from vivavoce.train.trainer import Trainer

torch.set_num_threads(1)


def apart(sounds: list[int], frames: list[int]) -> np.ndarray:
    """Distances [T, N] of frames to characters: 0 where both are the same sound."""
    return (np.array(sounds)[:, None] != np.array(frames)[None]).astype(np.float32)


def test_frames_go_to_the_character_that_sounds_like_them() -> None:
    assert shares(apart([1, 2, 3], [1, 2, 2, 2, 2, 3])).tolist() == [1, 4, 1]
    # in order: what sounds like the first again, after the last, stays with the last
    assert shares(apart([1, 2], [1, 1, 2, 1])).tolist() == [2, 2]
    # a character without matching frames still gets one
    assert shares(apart([1, 9, 2], [1, 1, 1, 2, 2])).sum() == 5
    assert shares(apart([1, 9, 2], [1, 1, 1, 2, 2]))[1] == 1


def test_fewer_frames_than_characters_are_shared_evenly() -> None:
    assert shares(np.zeros((4, 2))).tolist() == [0.5, 0.5, 0.5, 0.5]
    assert shares(np.zeros((3, 0))).tolist() == [0, 0, 0]


def speech(letters: torch.Tensor, lengths: torch.Tensor, sounds: torch.Tensor) -> torch.Tensor:
    """Log-mels [N, M] in which each letter sounds for so many frames."""
    return sounds[letters].repeat_interleave(lengths, 0)


def test_letters_are_found_in_speech_whose_words_alone_are_known() -> None:
    torch.manual_seed(0)
    config = AlignerConfig(vocab_size=8, dim=32, depth=1, speaker_dim=0, mel_mean=0.0, mel_scale=1.0)
    model = Aligner(config)
    sounds = torch.randn(8, config.mel.n_mels)
    usual = torch.tensor([1, 9, 2, 6, 1, 4, 12, 3])  # frames of each letter
    items = []
    for _ in range(24):
        text = torch.cat([torch.randperm(8)[:4] for _ in range(3)])  # three words of four letters
        long = usual[text] + torch.randint(0, 2, (12,))
        items.append((text, long, speech(text, long, sounds)))
    spans = torch.arange(3).repeat_interleave(4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def missed() -> float:
        found = []
        for text, long, mel in items:
            frames = long.reshape(3, 4).sum(1).float()
            placed = model.place(text, mel, spans, frames, torch.zeros(0))
            assert placed.reshape(3, 4).sum(1).tolist() == frames.tolist()  # each word keeps its own
            found.append((placed - long).abs().mean())
        return float(torch.stack(found).mean())

    before = missed()
    for step in range(60):
        text, long, mel = items[step % len(items)]
        frames = long.reshape(1, 3, 4).sum(2).float()
        loss = model(mel[None], text[None], torch.tensor([len(mel)]), spans[None], frames, evenly=step < 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before > 1.0 and missed() < 0.2


def settings(kind: str, **more: Any) -> dict[str, Any]:
    values = recipe(kind, max_steps=2)
    if kind == "nanospeech":
        values["model"] = {**values["model"], "audio_prompt": False, "speaker_dim": 256, "text_align": "letters"}
    if kind == "duration":
        values["model"] = {**values["model"], "letters": True, "speaker_dim": 256}
    return {**values, **more}


def trained(task: str, values: dict[str, Any], shards: list[str], out: Path) -> Path:
    Trainer(load_task(task, values), shards, shards, out).run(None)
    export(out, out.parent / f"{out.name}-model")
    return out.parent / f"{out.name}-model"


def test_an_aligner_a_duration_model_and_a_voice_that_speaks_by_letters(tmp_path: Path) -> None:
    shards = write_corpus(tmp_path / "corpus", 6, 1, words=True)
    base = settings("nanospeech")
    characters = base["characters"]
    own = {
        "characters": characters, "train": base["train"], "even_steps": 1,
        "model": {"vocab_size": len(characters), "dim": 16, "depth": 1, "mel": base["model"].get("mel", {})},
    }  # fmt: skip
    aligner = str(trained("aligner", own, shards, tmp_path / "aligner"))
    whisper = str(save_whisper(tmp_path / "small.pt"))
    voice = trained("nanospeech", settings("nanospeech", aligner=aligner, whisper=whisper), shards, tmp_path / "voice")
    last = rows(tmp_path / "voice")[-1]
    assert 0 < last["valid_ssl"] < 2
    assert any("ssl_head" in name for name in newest(tmp_path / "voice")["model"])  # and the export fits without it
    plain = {**recipe("duration", max_steps=2)}
    trained("duration", plain, shards, voice / "words")
    trained("duration", settings("duration", aligner=aligner), shards, voice / "letters")
    config = (voice / "config.json").read_text(encoding="utf-8")

    def with_durations(name: str) -> vivavoce.TTS:
        named = config.replace('"format": 1,', f'"format": 1, "duration": "{name}",')
        (voice / "config.json").write_text(named, encoding="utf-8")
        return vivavoce.load(str(voice))

    with pytest.raises(ValueError, match="needs the length of each letter"):
        with_durations("words-model")
    with pytest.warns(UserWarning):  # two steps do not make a voice
        assert len(with_durations("letters-model").speak("no birds sing.", voice="luna", seed=1).samples) > 1000

    mel = MelConfig.from_dict(base["model"].get("mel", {}), "mel")
    with pytest.raises(ValueError, match="its characters differ from the recipe's"):
        load_aligner(aligner, "abc", mel, 256)
    with pytest.raises(ValueError, match="its speaker_dim is 256, the recipe's is 0"):
        load_aligner(aligner, characters, mel, 0)
    with pytest.raises(ValueError, match="holds no config.json"):
        load_aligner(str(tmp_path / "none"), characters, mel, 256)


def test_what_does_not_go_together_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='aligner is .*text_align is "letters"'):
        NanospeechRecipe(aligner="bundled")
    with pytest.raises(ValueError, match="aligner is .*letters is true"):
        DurationRecipe(model=DurationConfig(kind="characters", letters=True))
    with pytest.raises(ValueError, match="letters is True"):
        DurationConfig(letters=True)
    with pytest.raises(ValueError, match="whisper_block is 99"):
        NanospeechRecipe(whisper_block=99)
    with pytest.raises(ValueError, match="sway is 2"):
        NanospeechRecipe(sway=2)
    with pytest.raises(ValueError, match="even_steps is -1"):
        AlignerRecipe(even_steps=-1)
