"""The whisperspeech model that ships, in versions that have it: it speaks both languages, in the voice asked for."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import vivavoce
from vivavoce.checkpoints import resolve
from vivavoce.config import BUILTIN_VOICES

ASSETS = resolve.ASSETS
PARTS = ("whisperspeech", "t2s", "s2a", "codec", "semantic")
SENTENCE = "The quick brown fox jumps over the lazy dog."

pytestmark = pytest.mark.skipif(not (ASSETS / "whisperspeech").is_dir(), reason="its weights are not in this version")


@pytest.fixture(scope="module")
def tts() -> vivavoce.TTS:
    return vivavoce.load("whisperspeech", device="cpu")


def test_all_parts_are_there_and_small_enough() -> None:
    files = [file for part in PARTS for file in (ASSETS / part).iterdir()]
    assert {f.parent.name for f in files if f.name == "config.json"} == set(PARTS)
    assert {f.parent.name for f in files if f.name == "model.safetensors"} == set(PARTS) - {"whisperspeech"}
    assert sum(file.stat().st_size for file in files) <= 60_000_000


def test_the_parts_were_trained_on_the_tokens_that_the_others_make() -> None:
    from vivavoce.checkpoints.whisperspeech_torch import read_part
    from vivavoce.models import speaker_torch
    from vivavoce.prepare.tokens_torch import digest

    made_by = {"semantic": digest(ASSETS / "semantic"), "codec": digest(ASSETS / "codec")}
    made_by["speaker"] = digest(speaker_torch.FOLDER)
    for kind, knows in (("t2s", {"semantic"}), ("s2a", set(made_by))):
        tokens = read_part(ASSETS / kind, kind).tokens
        assert {name: tokens[name] for name in knows} == {name: made_by[name] for name in knows}


def test_each_voice_speaks_for_about_as_long_as_it_should_and_sounds_like_itself(tts: vivavoce.TTS) -> None:
    from vivavoce.models.speaker_torch import load_speaker_encoder

    encoder = load_speaker_encoder()
    references = {voice.name: voice.embedding for voice in vivavoce.voices()}
    for name in BUILTIN_VOICES:
        speech = tts.speak(SENTENCE, voice=name, seed=1)
        assert speech.samples.dtype == np.float32 and 1.5 < speech.duration < 5
        made = encoder.embed(speech.samples, speech.sample_rate)
        likeness = {other: float(vector @ made) for other, vector in references.items()}
        assert likeness[name] > 0.75
        assert likeness[name] > max(likeness.values()) - 0.05  # celeste and luna are much alike, of one sentence


def test_it_speaks_english_spanish_and_both_in_one_sentence(tts: vivavoce.TTS) -> None:
    assert tts.languages[0] == "en" and "es" in tts.languages
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spanish, tagged, english = (
            tts.speak(text, voice="nash", seed=1, **options)
            for text, options in (("Buenos días.", {"lang": "es"}), ("[es]Buenos días.", {}), ("Buenos días.", {}))
        )
        mixed = tts.speak("[es]Hola[en], my friends.", voice="nash", seed=1)
    assert np.array_equal(spanish.samples, tagged.samples) and not np.array_equal(spanish.samples, english.samples)
    assert [code for piece in mixed.pieces for code, _ in piece.languages] == ["es", "en"]


def test_streaming_gives_the_same_samples(tts: vivavoce.TTS) -> None:
    text = "One sentence stands here. Another one follows it, and it is somewhat longer than the first. " * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = list(tts.stream(text, seed=5, retries=0))
        whole = tts.speak(text, seed=5, retries=0)
    assert len(parts) > 1 and np.array_equal(np.concatenate([part.samples for part in parts]), whole.samples)


def test_a_recording_lends_its_voice(tts: vivavoce.TTS, tmp_path: Path) -> None:
    orion = next(voice for voice in tts.voices if voice.name == "orion")
    vivavoce.Speech(orion.samples, orion.sample_rate).save(tmp_path / "me.flac")
    me = tts.system.embedded(vivavoce.Voice.from_file(tmp_path / "me.flac")).embedding
    assert me is not None and orion.embedding is not None and float(me @ orion.embedding) > 0.8


def test_speaking_needs_neither_whisper_nor_the_packages_of_training() -> None:
    code = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "import vivavoce; vivavoce.load('whisperspeech').speak('Yes.', seed=1, retries=0)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = set(done.stdout.split())
    unwanted = ("whisper", "faster_whisper", "transformers", "tokenizers", "accelerate", "tensorboard")
    assert not loaded.intersection(unwanted) and not any(name.startswith("vivavoce.train") for name in loaded)
