"""The speaker encoder of published WhisperSpeech models: SpeechBrain's numbers, and the voices that it gives them.

Weights are made up, in the layout of speechbrain/spkrec-ecapa-voxceleb.
"""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from helpers.ecapa import FILE, SMALL, put, state
from helpers.whisperspeech_system import publish

import vivavoce
from vivavoce import audio
from vivavoce.checkpoints.whisperspeech_torch import load_ecapa
from vivavoce.cli import main, speak
from vivavoce.models.ecapa_torch import EcapaEncoder
from vivavoce.systems.whisperspeech_torch import WhisperspeechSystem
from vivavoce.voices import Voice, get, voices

pytestmark = pytest.mark.usefixtures("one_thread_one_seed")

HUB = "speechbrain/spkrec-ecapa-voxceleb"
PUBLISHED = {"n_mels": 80, "channels": 1024, "scale": 8, "se": 128, "pooled": 3072, "attention": 128, "numbers": 192}


# ---- SpeechBrain's layout -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EcapaEncoder:
    return load_ecapa(put(tmp_path_factory.mktemp("encoder")))


def recording(name: str) -> np.ndarray:
    """A built-in voice [S] at 16 kHz."""
    voice = get(name)
    return audio.resample(voice.samples, voice.sample_rate, 16_000)


# ---- SpeechBrain's numbers ------------------------------------------------------------------------------------------

# Of built-in recordings from 1 s on, by SpeechBrain 1.1.2 with weights as SMALL: every twentieth mel bin of frames 0
# and 200, in dB, and the first eight numbers of the vector.
EXPECTED = {
    "celeste": (
        [9.672, 24.633, 28.916, 2.812, 1.615, 12.124, 2.436, -10.068],
        [82.3124, 63.8063, -41.0013, -14.9341, 12.7681, -26.0719, 56.5658, -56.7936],
    ),
    "orion": (
        [20.877, 14.6, 17.334, 8.167, -26.685, -31.982, -12.807, -25.733],
        [75.8587, 52.7273, -37.7992, -15.557, 5.856, -27.4866, 54.2926, -43.7663],
    ),
}


def test_mels_and_vectors_are_the_ones_that_the_package_gave(encoder: EcapaEncoder) -> None:
    for name, (mels, numbers) in EXPECTED.items():
        wave = recording(name)[16_000:]
        found = encoder.mel(torch.from_numpy(wave)[None])[0]
        assert found.shape == (1 + len(wave) // 160, 80)
        assert found[[0, 200], ::20].flatten().tolist() == pytest.approx(mels, abs=1e-2), name
        vector = encoder.embed(wave, 16_000)
        assert vector.shape == (192,) and vector.dtype == np.float32
        assert vector[:8] == pytest.approx(numbers, abs=1e-3 * np.abs(numbers).max()), name


@pytest.mark.parametrize("sizes", [SMALL, PUBLISHED], ids=["small", "published"])
def test_mels_and_vectors_agree_with_the_package(tmp_path: Path, sizes: dict[str, int]) -> None:
    missing = "speechbrain is missing: pip install --no-deps speechbrain==1.1.2 hyperpyyaml ruamel.yaml torchaudio"
    features = pytest.importorskip("speechbrain.lobes.features", reason=missing, exc_type=ImportError)
    from speechbrain.lobes.models import ECAPA_TDNN
    from speechbrain.processing.features import InputNormalization

    theirs = ECAPA_TDNN.ECAPA_TDNN(
        sizes["n_mels"], lin_neurons=sizes["numbers"], channels=[sizes["channels"]] * 4 + [sizes["pooled"]],
        attention_channels=sizes["attention"], res2net_scale=sizes["scale"], se_channels=sizes["se"],
    )  # fmt: skip
    theirs.load_state_dict(state(sizes))
    torch.save(theirs.eval().state_dict(), tmp_path / FILE)
    mels = features.Fbank(n_mels=sizes["n_mels"])
    normal = InputNormalization(norm_type="sentence", std_norm=False)
    whole = torch.ones(1)  # the part of the recording that is no padding
    ours = load_ecapa(tmp_path / FILE)
    loud = 0.3 * np.random.default_rng(0).standard_normal(4_000).astype(np.float32)
    quiet = np.concatenate([np.zeros(8_000, np.float32), 1e-3 * loud])  # 80 dB below, and below what counts at all
    waves = {v.name: recording(v.name) for v in voices()} | {"short": loud[:640], "with silence": quiet}
    for name, wave in waves.items():
        given = torch.from_numpy(wave)[None]
        with torch.inference_mode():
            wanted = normal(mels(given), whole)
            vector = theirs(wanted, whole)[0, 0].numpy()
            assert (ours.mel(given) - wanted).abs().max() < 1e-5, name
        assert vector.std() > 1
        assert np.abs(ours.embed(wave, 16_000) - vector).max() < 1e-5 * np.abs(vector).max(), name


# ---- recordings -----------------------------------------------------------------------------------------------------


def test_loudness_and_what_comes_after_30_seconds_do_not_count(encoder: EcapaEncoder) -> None:
    wave = np.resize(recording("rhea"), 31 * 16_000)
    vector = encoder.embed(wave, 16_000)
    assert np.array_equal(vector, encoder.embed(wave[: 30 * 16_000], 16_000))
    assert not np.allclose(vector, encoder.embed(wave[: 29 * 16_000], 16_000), rtol=1e-3)
    quieter = encoder.embed(0.1 * wave, 16_000)
    assert np.abs(quieter - vector).max() < 1e-3 * np.abs(vector).max()


@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        (np.zeros(16_000, np.float32), "these 16000 samples are silent"),
        (np.zeros(0, np.float32), "these 0 samples are silent"),
        (np.ones(639, np.float32), "needs 0.04 s of sound; these are 0.040 s"),
        (np.full(16_000, np.nan, np.float32), "NaN"),
        (np.ones((2, 16_000), np.float32), "mono"),
    ],
)
def test_what_has_no_voice_has_no_vector(encoder: EcapaEncoder, samples: np.ndarray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        encoder.embed(samples, 16_000)


# ---- published models speak -----------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A published pair, with the speaker encoder beside it in a folder that is called like the hub's."""
    folder = tmp_path / "pair"
    folder.mkdir()
    publish(folder)
    put(folder / HUB)
    return folder


def test_a_published_pair_speaks_with_every_kind_of_voice(pair: Path) -> None:
    tts = vivavoce.load(str(pair), vocoder="vocos")
    bare = Voice("me", get("nash").samples)
    made = {
        name: tts.speak("yes", voice, seed=1, retries=0).samples for name, voice in (("nash", "nash"), ("me", bare))
    }
    assert np.array_equal(made["nash"], made["me"])  # both from the recording, not from the built-in vector
    assert not np.array_equal(made["nash"], tts.speak("yes", "orion", seed=1, retries=0).samples)
    vector = load_ecapa(pair / HUB / FILE).embed(bare.samples, bare.sample_rate)
    found = tts.system.embedded(get("nash")).embedding
    assert found is not None and np.array_equal(found, vector)


def test_the_command_line_speaks_with_a_recording(pair: Path, tmp_path: Path) -> None:
    audio.write(tmp_path / "me.wav", get("luna").samples, 24_000)
    flags = ("yes", "--model", str(pair), "--vocoder", "vocos", "--seed", "1")
    for name, how in (("ref", ("--ref-audio", str(tmp_path / "me.wav"))), ("builtin", ("--voice", "luna"))):
        assert speak.run(main.app, [*flags, *how, "-o", str(tmp_path / f"{name}.wav")]) == 0
        samples = audio.read(tmp_path / f"{name}.wav", 24_000)
        assert len(samples) > 1000 and np.abs(samples).max() > 0.001


def test_a_converted_folder_speaks_with_the_encoder_that_it_names(pair: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert speak.run(main.app, ["convert", str(pair / "t2s-a.model"), str(pair / "s2a-a.model"), str(own)]) == 0
    put(own / HUB)
    vocoder = str(pair / "vocos")
    wanted = vivavoce.load(str(pair), vocoder="vocos").speak("yes", "nash", seed=1, retries=0)
    assert np.array_equal(
        vivavoce.load(str(own), vocoder=vocoder).speak("yes", "nash", seed=1, retries=0).samples, wanted.samples
    )
    put(tmp_path / "another", channels=32)
    values = json.loads((own / "config.json").read_text(encoding="utf-8"))
    (own / "config.json").write_text(json.dumps({**values, "speaker": "../another"}), encoding="utf-8")
    other = vivavoce.load(str(own), vocoder=vocoder).speak("yes", "nash", seed=1, retries=0)
    assert not np.array_equal(other.samples, wanted.samples)
    (own / "config.json").write_text(json.dumps({**values, "speaker": 192}), encoding="utf-8")
    with pytest.raises(ValueError, match="speaker is 192; it must be"):
        vivavoce.load(str(own), vocoder=vocoder)


def test_it_is_fetched_once_and_only_for_a_voice_that_needs_it(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair / HUB).rename(tmp_path / "cache")
    fetched: list[tuple[str, list[str]]] = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        fetched.append((name, allow_patterns))
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    tts = vivavoce.load(str(pair), vocoder="vocos")
    known = Voice("known", get("nash").samples, embedding=np.ones(192, np.float32))
    assert len(tts.speak("yes", known, seed=1, retries=0).samples)
    assert fetched == []
    for name in ("nash", "luna"):
        assert len(tts.speak("yes", name, seed=1, retries=0).samples)
    assert fetched == [(HUB, [FILE])]


def refused(pair: Path) -> str:
    """How a built-in voice is refused, by the model and by the command line."""
    tts = vivavoce.load(str(pair), vocoder="vocos")
    assert isinstance(tts.system, WhisperspeechSystem)
    with pytest.raises(ValueError) as error:
        tts.stream("yes", "nash")
    assert str(error.value).startswith("voice 'nash' has a speaker vector of 256 numbers, and this model needs one of ")
    assert "Voice(..., embedding=...)" in str(error.value)
    with pytest.raises(ValueError, match="voice 'me' has no speaker vector, and this model needs"):
        tts.stream("yes", Voice("me", get("nash").samples))
    return str(error.value)


def test_without_a_connection_it_is_said_what_is_fetched_and_what_works_without(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pair / HUB / FILE).unlink()
    (pair / HUB).rmdir()
    assert f"one of 192: its encoder '{HUB}', which is downloaded once from Hugging Face, is not available" in refused(
        pair
    )
    flags = ["yes", "--model", str(pair), "--vocoder", "vocos", "-o", str(tmp_path / "a.wav")]
    assert speak.run(main.app, flags) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert HUB in line and not (tmp_path / "a.wav").exists()


def test_what_is_wrong_with_the_file_is_named(pair: Path) -> None:
    path = pair / HUB / FILE
    whole, weights = path.read_bytes(), state(SMALL)
    path.unlink()
    assert f"{path}: no such file" in refused(pair)
    path.write_bytes(whole[: len(whole) // 2])
    assert f"{path}: unreadable weights, truncated or damaged" in refused(pair)
    for content, complaint in (
        ({**weights, "config": Path}, "refused, it holds more than tensors"),
        ({"weight": torch.zeros(3)}, "not SpeechBrain's ECAPA-TDNN, 'blocks.0.conv.weight' is missing"),
        ({n: t for n, t in weights.items() if n != "fc.conv.bias"}, "missing fc.bias"),
        ({**weights, "blocks.0.conv.conv.weight": "no"}, "not an ECAPA-TDNN that this version can read"),
        ({**weights, "mfa.conv.conv.weight": torch.zeros(24, 40, 1)}, "mfa.conv.weight is [24, 40, 1], should be"),
        (state({**SMALL, "numbers": 64}), f"the speaker encoder '{HUB}' has vectors of 64 numbers"),
    ):
        torch.save(content, path)
        assert complaint in refused(pair)


def test_a_model_with_vectors_of_no_known_encoder_needs_them_given(tmp_path: Path) -> None:
    publish(tmp_path, speaker_dim=48)
    assert "one of 48: no encoder is known for vectors of 48 numbers, only of 256 and 192" in refused(tmp_path)
