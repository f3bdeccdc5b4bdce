"""The speaker encoder: its vectors, and their properties for users."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vivavoce import audio
from vivavoce.config import ASSETS
from vivavoce.models.speaker import SpeakerConfig
from vivavoce.models.speaker_torch import SpeakerEncoder, load_speaker_encoder
from vivavoce.voices import voices

# The eight largest numbers of the vectors that Resemblyzer 0.1.4's embed_utterance gives for the built-in recordings,
# for them 26 dB quieter (raised to -30 dBFS by its normalize_volume), and for their first 0.75 s; all at 16 kHz.
CELESTE = [197, 148, 45, 180, 199, 202, 87, 102]
ORION = [2, 176, 251, 155, 138, 20, 89, 128]
EXPECTED = {
    "celeste": (CELESTE, [0.24585, 0.20607, 0.20307, 0.20266, 0.19164, 0.17421, 0.17355, 0.17249]),
    "celeste quiet": (CELESTE, [0.22667, 0.21605, 0.19165, 0.19957, 0.20223, 0.11720, 0.17799, 0.19597]),
    "celeste short": (CELESTE, [0.17309, 0.02787, 0.12770, 0.08496, 0.03165, 0.06768, 0.09409, 0.07937]),
    "orion": (ORION, [0.24743, 0.22503, 0.22360, 0.21820, 0.21330, 0.20197, 0.19083, 0.18937]),
    "orion quiet": (ORION, [0.04658, 0.16983, 0.20784, 0.19160, 0.22244, 0.21095, 0.18310, 0.15126]),
    "orion short": (ORION, [0.25970, 0.19264, 0.14163, 0.10312, 0.08692, 0.30450, 0.24842, 0.13900]),
}


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return load_speaker_encoder()


def waves() -> dict[str, np.ndarray]:
    """Name -> [S] at 16 kHz, for the names in EXPECTED and the other built-in voices."""
    found = {}
    for voice in voices():
        wave = audio.resample(voice.samples, voice.sample_rate, 16_000)
        found |= {voice.name: wave, f"{voice.name} quiet": wave * 0.05, f"{voice.name} short": wave[:12_000]}
    return found


def test_vectors_are_the_ones_that_the_package_gave(encoder: SpeakerEncoder) -> None:
    sounds = waves()
    for name, (places, numbers) in EXPECTED.items():
        vector = encoder.embed(sounds[name], 16_000)
        assert vector.shape == (256,) and vector.dtype == np.float32
        assert vector[places] == pytest.approx(numbers, abs=1e-3), name


def test_vectors_agree_with_the_package(encoder: SpeakerEncoder) -> None:
    reason = "Resemblyzer is not installed"
    package = pytest.importorskip("resemblyzer", reason=reason, exc_type=ImportError)
    theirs = package.VoiceEncoder("cpu", verbose=False)
    for name, wave in waves().items():
        louder = package.audio.normalize_volume(wave, -30, increase_only=True)
        assert np.abs(encoder.embed(wave, 16_000) - theirs.embed_utterance(louder)).max() < 1e-3, name


def test_a_voice_is_nearest_to_itself(encoder: SpeakerEncoder) -> None:
    vectors = np.stack([v.embedding for v in voices() if v.embedding is not None])
    for i, voice in enumerate(voices()):
        for half in np.array_split(voice.samples, 2):
            likeness = vectors @ encoder.embed(half, voice.sample_rate)
            assert np.argmax(likeness) == i and likeness[i] > 0.8


def test_any_rate_and_length_gives_a_unit_vector(encoder: SpeakerEncoder) -> None:
    voice = voices()[0]
    whole = encoder.embed(voice.samples, voice.sample_rate)
    at_48 = encoder.embed(audio.resample(voice.samples, voice.sample_rate, 48_000), 48_000)
    assert whole @ at_48 > 0.999
    for seconds in (0.01, 0.5, 1.6, 1.7, 20.0):
        wave = np.resize(voice.samples[12_000:], round(seconds * voice.sample_rate))
        assert np.linalg.norm(encoder.embed(wave, voice.sample_rate)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("samples", [np.zeros(16_000, np.float32), np.zeros(0, np.float32)])
def test_silence_has_no_vector(encoder: SpeakerEncoder, samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match="silent"):
        encoder.embed(samples, 16_000)


def test_a_folder_that_is_not_an_encoder_is_refused(tmp_path: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(ValueError, match=words) as caught:
            load_speaker_encoder(tmp_path)
        assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)

    refused("no such file")
    shutil.copy(ASSETS / "speaker" / "config.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes((ASSETS / "speaker" / "model.safetensors").read_bytes()[:100_000])
    refused("not this encoder's weights")
    shutil.copy(ASSETS / "speaker" / "model.safetensors", tmp_path)
    settings = SpeakerConfig(hidden_dim=128).to_dict()
    (tmp_path / "config.json").write_text(json.dumps(settings))
    refused("size mismatch")
    (tmp_path / "config.json").write_text(json.dumps(settings | {"hiden_dim": 1}))
    refused("hidden_dim")
    (tmp_path / "config.json").write_text("{")
    refused("not JSON")
