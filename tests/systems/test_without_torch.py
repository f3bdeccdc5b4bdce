"""The base install: speaking with the bundled model in an interpreter where PyTorch cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import vivavoce
from vivavoce.config import ASSETS

pytest.importorskip("onnxruntime")

# Packages of extras, which the base install lacks.
BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "huggingface_hub", "yaml", "onnx", "onnxscript", "mlx", "scipy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
sys.meta_path.insert(0, Blocker())
"""
MAIN = "from vivavoce.cli.main import main\nmain()\n"


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(ASSETS.parent.parent)!r})\n"
    command = [sys.executable, "-c", f"{path}{BLOCK}{code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=240)


def test_a_sentence_and_a_cloned_voice_need_no_torch(tmp_path: Path) -> None:
    voice = ASSETS / "voices" / "rhea.ogg"
    done = run(MAIN, tmp_path, "speak", "Good morning.", "--seed", "1", "-o", "a.wav", "--ref-audio", str(voice))
    assert done.returncode == 0, done.stderr
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 24_000 and len(samples) > 0.5 * rate and np.abs(samples).max() > 0.1


def test_whisperspeech_needs_no_torch_to_speak(tmp_path: Path) -> None:
    done = run(MAIN, tmp_path, "speak", "Good morning.", "--seed", "1", "-o", "a.wav", "--model", "whisperspeech")
    assert done.returncode == 0, done.stderr
    assert len(soundfile.read(tmp_path / "a.wav")[0]) > 12_000


def test_what_needs_torch_says_so_in_one_line(tmp_path: Path) -> None:
    for arguments in (
        ("convert-voice", str(ASSETS / "voices" / "rhea.ogg"), "-o", "a.wav"),
        ("convert-voice", str(ASSETS / "voices" / "rhea.ogg"), "-o", "a.wav", "--text", "Words " * 20),
        ("speak", "Hello.", "-o", "a.wav", "--backend", "torch"),
        ("speak", "Hello.", "-o", "a.wav", "--model", "owner/name"),
        ("train", "nanospeech", "--config", "a.json", "--data", "a.tar", "--out", "run"),
    ):
        done = run(MAIN, tmp_path, *arguments)
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert "pip install vivavoce[t" in last, last  # torch or train


@pytest.mark.slow
def test_the_bundled_model_speaks_the_samples_of_pytorch() -> None:
    pytest.importorskip("torch")
    onnx, torch = (vivavoce.load(backend=backend, device="cpu") for backend in ("onnx", "torch"))
    for voice, text in (("nash", "The quick brown fox jumps over the lazy dog."), ("luna", "Is it? Yes.")):
        ours, theirs = (tts.speak(text, voice=voice, seed=2) for tts in (onnx, torch))
        assert ours.samples.shape == theirs.samples.shape
        assert np.abs(ours.samples - theirs.samples).max() < 1e-3


def test_eight_bits_sound_alike() -> None:
    plain, small = (vivavoce.load(backend="onnx", dtype=dtype) for dtype in ("float32", "int8"))
    text = "The quick brown fox jumps over the lazy dog."
    a, b = (tts.speak(text, voice="nash", seed=1) for tts in (plain, small))
    assert a.samples.shape == b.samples.shape and not np.array_equal(a.samples, b.samples)
    mels = [np.exp(tts.system.vocoder_mel(s.samples[None])[0]) for tts, s in ((plain, a), (plain, b))]
    assert np.linalg.norm(mels[0] - mels[1]) < 0.4 * np.linalg.norm(mels[0])
