"""Voices: the built-in five, from recordings, saved and loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import soundfile
from safetensors.numpy import save_file

from vivavoce import audio
from vivavoce.audio.io import blocks
from vivavoce.config import BUILTIN_VOICES
from vivavoce.voices import VOICE_DB, Voice, get, voices

RATE = 24_000


def speech(seconds: float, rate: int = RATE, amplitude: float = 0.2) -> np.ndarray:
    """Something like speech: noise in syllables of 0.2 s with 0.1 s between them."""
    noise = np.random.default_rng(0).normal(0, amplitude, round(seconds * rate))
    return (noise * (np.arange(len(noise)) / rate % 0.3 < 0.2)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def test_the_built_in_voices_are_complete() -> None:
    assert tuple(v.name for v in voices()) == BUILTIN_VOICES
    for voice in voices():
        assert voice.sample_rate == RATE and 6 <= voice.duration <= 10
        assert voice.transcript and voice.transcript[0].isupper() and voice.transcript.endswith(".")
        assert voice.embedding is not None and voice.embedding.shape == (256,)
        assert np.linalg.norm(voice.embedding) == pytest.approx(1, abs=1e-4)
        assert voice.licence == "Apache-2.0" and voice.language == "en" and voice.description
        assert abs(audio.rms_db(voice.samples) - VOICE_DB) < 3


def test_the_built_in_voices_sound_different() -> None:
    vectors = np.stack([v.embedding for v in voices() if v.embedding is not None])
    likeness = vectors @ vectors.T
    assert likeness[~np.eye(len(vectors), dtype=bool)].max() < 0.9  # clips of one speaker: 0.95


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError) as caught:
        get("alloy")
    assert all(name in str(caught.value) for name in ("alloy", *BUILTIN_VOICES))


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_becomes_24_khz_mono_trimmed_and_levelled(tmp_path: Path, rate: int, channels: int) -> None:
    quiet = np.concatenate([np.zeros(rate), speech(3.0, rate, 0.01), np.zeros(rate)]) + 0.001  # with an offset
    voice = Voice.from_file(write(tmp_path / "me.wav", np.stack([quiet] * channels, axis=1), rate), " What\n I say. ")
    assert voice.name == "me" and voice.transcript == "What I say." and voice.embedding is None
    assert voice.duration == pytest.approx(3.1, abs=0.15)  # 0.1 s more at either end, less the last syllable's pause
    assert audio.rms_db(voice.samples) == pytest.approx(VOICE_DB, abs=0.3)


def test_a_long_recording_is_cut_at_a_quiet_place_with_a_notice(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", speech(40.0))
    with pytest.warns(UserWarning, match=r"long\.wav: \d\d\.\d s long; only the first 1\d\.\d s are used"):
        voice = Voice.from_file(path)
    assert 12 <= voice.duration <= 15
    assert audio.frame_db(voice.samples, RATE)[-3:].max() < -60


def test_the_text_of_a_recording_that_was_cut_is_left_out_and_the_notice_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "long.wav", speech(20.0))
    with pytest.warns(UserWarning, match="text is left out"):
        assert Voice.from_file(path, "All that is said in twenty seconds.").transcript is None


def test_fifteen_seconds_are_not_cut(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        voice = Voice.from_file(write(tmp_path / "a.wav", speech(15.0)), "Text.")
    assert voice.duration > 14.8 and voice.transcript == "Text."


def test_bad_recordings_are_refused_in_one_line_that_names_them(tmp_path: Path) -> None:
    with_nan = speech(2.0)
    with_nan[100] = np.nan
    short = np.concatenate([np.zeros(3 * RATE), speech(0.8), np.zeros(3 * RATE)])
    (tmp_path / "text.wav").write_text("no sound")
    cases = {
        tmp_path / "missing.wav": "no such file",
        tmp_path / "text.wav": "cannot be read",
        write(tmp_path / "short.wav", short): "of sound; a voice needs 1 to 15 s",
        write(tmp_path / "silent.wav", np.zeros(2 * RATE)): "silent",
        write(tmp_path / "hiss.wav", speech(2.0, amplitude=1e-4)): "silent",
        write(tmp_path / "nan.wav", with_nan): "NaN",
        write(tmp_path / "none.wav", np.zeros(0)): "no samples",
        Path("x" * 5000): "no such file",
    }
    for path, words in cases.items():
        with pytest.raises(ValueError) as caught:
            Voice.from_file(path)
        message = str(caught.value)
        assert words in message and path.name[:100] in message and "\n" not in message and len(message) < 400
    with pytest.raises(ValueError, match="transcript is blank"):
        Voice.from_file(write(tmp_path / "fine.wav", speech(2.0)), "  ")


@pytest.mark.parametrize("field", ["samples", "embedding"])
def test_a_voice_refuses_arrays_that_are_none(field: str) -> None:
    for array in (np.zeros((2, 3), np.float32), np.zeros(0, np.float32), np.zeros(3, np.int16), np.array([np.nan])):
        arrays = {"samples": speech(1.0), field: array}
        with pytest.raises(ValueError, match=field):
            Voice("odd", **arrays)


@pytest.mark.parametrize("extension", ["voice", "safetensors"])
def test_a_saved_voice_comes_back_as_it_was(tmp_path: Path, extension: str) -> None:
    nash = get("nash")
    nash.save(tmp_path / f"nash.{extension}")
    back = Voice.load(tmp_path / f"nash.{extension}")
    for field in ("name", "transcript", "licence", "description", "language"):
        assert getattr(back, field) == getattr(nash, field)
    step = 1 / 32_000 if extension == "voice" else 0.0  # a bundle has 16 bits
    np.testing.assert_allclose(back.samples, nash.samples, rtol=0, atol=step)
    assert nash.embedding is not None and np.array_equal(back.embedding, nash.embedding)
    assert os.listdir(tmp_path) == [f"nash.{extension}"]

    Voice("bare", speech(2.0)).save(tmp_path / f"bare.{extension}")
    bare = Voice.load(tmp_path / f"bare.{extension}")
    assert bare.transcript is None and bare.embedding is None


def test_what_is_not_a_saved_voice_is_refused(tmp_path: Path) -> None:
    get("nash").save(tmp_path / "nash.voice")
    (tmp_path / "cut.voice").write_bytes((tmp_path / "nash.voice").read_bytes()[:2000])
    (tmp_path / "empty.voice").write_bytes(b"")
    speaker = Path(audio.__file__).parents[1] / "assets" / "speaker" / "model.safetensors"
    for path in (tmp_path / "cut.voice", tmp_path / "empty.voice", tmp_path / "none.voice", speaker, tmp_path):
        with pytest.raises(ValueError, match=path.name):
            Voice.load(path)


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"samples": np.zeros(48_000, np.int16)}, "samples are int16"),
        ({"samples": np.zeros((2, 24_000), np.float32)}, r"samples are float32 \[2, 24000\]"),
        ({"samples": np.zeros(0, np.float32)}, r"samples are float32 \[0\]"),
        ({"samples": np.full(48_000, np.nan, np.float32)}, "finite"),
        ({"samples": np.zeros(61 * RATE, np.float32)}, "a saved voice of 61 s; at most 60 s"),
        ({"embedding": np.zeros((2, 128), np.float32)}, "embedding are float32"),
        ({"embedding": np.zeros(256, np.float32)}, "embedding is all zeros"),
        ({"embedding": np.arange(256)}, "embedding are int64"),
    ],
)
def test_a_saved_voice_with_other_tensors_is_refused(tmp_path: Path, tensors: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "odd.safetensors"
    get("nash").save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    save_file({"samples": speech(2.0).astype(np.float32), **tensors}, path, metadata)
    with pytest.raises(ValueError, match=complaint) as caught:
        Voice.load(path)
    assert "odd.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_a_saved_voice_of_a_type_that_numpy_lacks_is_refused(tmp_path: Path) -> None:
    header = b'{"__metadata__":{"format":"vivavoce-voice","version":"1","sample_rate":"24000"},'
    header += b'"samples":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    (tmp_path / "odd.voice").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ValueError, match=r"odd\.voice"):
        Voice.load(tmp_path / "odd.voice")


def test_no_more_than_a_minute_of_a_recording_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hours.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1) as file:
        file.write(speech(20.0, 8_000))
        for _ in range(120):
            file.write(np.zeros(60 * 8_000))
    decoded = []
    monkeypatch.setattr("vivavoce.audio.io.blocks", lambda file: map(lambda b: decoded.append(b) or b, blocks(file)))
    with pytest.warns(UserWarning, match=r"hours\.flac: a minute or more long; only the first 1\d\.\d s are used"):
        assert 12 <= Voice.from_file(path).duration <= 15
    assert sum(map(len, decoded)) < 70 * 8_000


def test_saving_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        get("luna").save(tmp_path / "nowhere" / "luna.voice")


def test_voices_need_no_torch() -> None:
    code = "import sys; from vivavoce.voices import get; get('rhea'); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 0
