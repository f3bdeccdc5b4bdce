"""The whisperspeech model that ships: it speaks, in the voice asked for, and converts recordings."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import vivavoce
from vivavoce.config import ASSETS, BUILTIN_VOICES

PARTS = ("whisperspeech", "t2s", "acoustic", "codec", "semantic")
SENTENCE = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def tts() -> vivavoce.TTS:
    return vivavoce.load("whisperspeech", backend="torch", device="cpu")


def test_all_parts_are_there_and_small_enough() -> None:
    files = [file for part in PARTS for file in (ASSETS / part).iterdir()]
    assert {f.parent.name for f in files if f.name == "config.json"} == set(PARTS)
    assert {f.parent.name for f in files if f.name == "model.safetensors"} == set(PARTS) - {"whisperspeech"}
    assert sum(file.stat().st_size for file in files) <= 60_000_000


def test_both_stages_read_the_codes_of_the_semantic_model_that_ships(tts: vivavoce.TTS) -> None:
    import json

    from vivavoce.checkpoints.whisperspeech_torch import digest

    semantic = digest(ASSETS / "semantic")
    for part in ("t2s", "acoustic"):
        assert json.loads((ASSETS / part / "config.json").read_text(encoding="utf-8"))["tokens"]["semantic"] == semantic
    assert tts.system.code_rate == 25.0  # type: ignore[attr-defined]


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


def test_onnx_runtime_speaks_the_same(tts: vivavoce.TTS) -> None:
    pytest.importorskip("onnxruntime")
    onnx = vivavoce.load("whisperspeech", backend="onnx")
    ours, theirs = (one.speak(SENTENCE, "nash", seed=1) for one in (onnx, tts))
    assert len(ours) == len(theirs) and [w.text for w in ours.words] == [w.text for w in theirs.words]
    assert np.abs(ours.samples - theirs.samples).max() < 0.05  # a code may be chosen otherwise where two are as likely


def test_a_language_that_it_lacks_is_named(tts: vivavoce.TTS) -> None:
    with pytest.raises(ValueError, match="does not speak the language 'es'; it speaks en"):
        tts.speak("Buenos días.", lang="es")


def test_a_recording_is_spoken_in_another_voice(tts: vivavoce.TTS) -> None:
    from vivavoce.systems.code_reader_torch import PACKAGES

    for package in PACKAGES:
        pytest.importorskip(package)
    celeste = vivavoce.load().speak(SENTENCE, "celeste", seed=1)
    speech = tts.convert((celeste.samples, celeste.sample_rate), "nash", seed=1)
    assert len(speech) == len(celeste)
    made = tts.system.embedded(vivavoce.Voice("made", speech.samples)).embedding
    voices = {voice.name: voice.embedding for voice in vivavoce.voices()}
    assert max(voices, key=lambda name: float(made @ voices[name])) == "nash"  # type: ignore[operator]


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
