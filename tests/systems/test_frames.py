"""Whisperspeech in step with the text: the whole system on both backends, through the same path as nanospeech."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.frames import write_frames
from helpers.published import OPTIONS, job

import vivavoce
from vivavoce.models.masked_t2s_torch import MaskedT2S
from vivavoce.systems.interface import SynthesisRequest
from vivavoce.systems.load import load_system
from vivavoce.text.pieces import Piece
from vivavoce.voices import Voice

VOICE = Voice("test", np.zeros(9, np.float32), embedding=np.linspace(-1, 1, 8).astype(np.float32))
SPEAK = OPTIONS.replace(cfg=0.0)
pytestmark = pytest.mark.usefixtures("one_thread_one_seed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("system"))


def system_of(folder: Path, backend: str = "torch") -> Any:
    return load_system(str(folder), backend=backend, device="cpu" if backend == "torch" else "auto")


def test_it_speaks_in_its_languages_at_its_predicted_length(folder: Path) -> None:
    system = system_of(folder)
    assert system.languages == ("en", "es") and not system.uses_transcript and system.sample_rate == 24_000
    pieces = [Piece("others call me.", 0.0), Piece("no, si.", 0.0, (("en", 4), ("es", 3)))]
    seconds = system.predict_durations(pieces, VOICE, 1.0)
    results = system.synthesize([SynthesisRequest(p, VOICE, SPEAK, 1) for p in pieces])
    for piece, expected, result in zip(pieces, seconds, results, strict=True):
        assert len(result.samples) / 24_000 == pytest.approx(max(expected, 0.13), abs=0.03)
        assert result.samples.std() > 0 and result.ends is not None and len(result.ends) == len(piece.text)
        assert (np.diff(result.ends) >= 0).all() and not result.fault


def test_a_batch_and_another_run_say_the_same(folder: Path) -> None:
    system = system_of(folder)
    requests = [job("others call me.", VOICE, SPEAK, 1), job("no.", VOICE, SPEAK, 2)]
    together = system.synthesize(requests)
    for request, result in zip(requests, together, strict=True):
        np.testing.assert_allclose(system.synthesize([request])[0].samples, result.samples, atol=1e-4)
    other = system.synthesize([job("others call me.", VOICE, SPEAK, 5)])[0].samples
    assert np.abs(other - together[0].samples).max() > 1e-3


def test_the_codes_are_in_step_with_the_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, given = system_of(folder), {}
    generate = MaskedT2S.generate

    def watch(self: MaskedT2S, text: Any, lengths: Any, durations: Any, **rest: Any) -> Any:
        given.update(rest, text=text, lengths=lengths, durations=durations)
        given["codes"] = generate(self, text, lengths, durations, **rest)
        return given["codes"]

    monkeypatch.setattr(MaskedT2S, "generate", watch)
    (result,) = system.synthesize([job("others call me.", VOICE, SPEAK)])
    frames = 1 + len(result.samples) / 256
    assert given["lengths"].item() == pytest.approx(frames * 256 / 24_000 * 25, abs=0.6)
    assert float(given["durations"].sum()) == pytest.approx(frames * 256 / 24_000 * 25, rel=1e-3)
    assert given["text"].shape == given["durations"].shape == given["languages"].shape == (1, 17)
    assert given["noise"].shape == (3, 1, given["lengths"].item(), 9)
    seen = {}
    sample = system.model.sample
    monkeypatch.setattr(system.model, "sample", lambda *a, **k: seen.update(k) or sample(*a, **k))
    system.synthesize([job("others call me.", VOICE, SPEAK)])
    assert torch.equal(seen["codes"], given["codes"]) and (given["codes"] >= 0).all()


def test_the_ways_of_speaking_share_one_path(folder: Path) -> None:
    tts = vivavoce.load(str(folder), backend="torch", device="cpu")
    text = "others call me mother nature. she is kind, and old. no one knows when."
    options: dict[str, Any] = {"voice": VOICE, "seed": 3, "retries": 0}
    with pytest.warns(UserWarning):  # random weights say nothing, and the checks notice it
        whole = tts.speak(text, **options)
        parts = list(tts.stream(text, **options))
    assert np.array_equal(np.concatenate([part.samples for part in parts]), whole.samples) and len(parts) > 1
    assert [word.text for word in whole.words] == text.split()
    times = [time for word in whole.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[-1] <= whole.duration


@pytest.mark.skipif(importlib.util.find_spec("mlx") is None, reason="MLX is missing: pip install vivavoce[mlx]")
def test_both_backends_say_the_same(folder: Path) -> None:
    request = SynthesisRequest(Piece("no, si.", 0.0, (("en", 4), ("es", 3))), VOICE, SPEAK, 1)
    made = [system_of(folder, backend).synthesize([request])[0].samples for backend in ("torch", "mlx")]
    np.testing.assert_allclose(made[1], made[0], atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"t2s_model": {"codes": 12}}, "t2s writes 12 codes, 25 a second; the acoustic model reads 9, 25 a second"),
        ({"t2s_model": {"speaker_dim": 4}}, "t2s needs a speaker vector of 4 numbers, the acoustic model one of 8"),
        ({"about": {"characters": "ab"}}, "its characters differ from those of"),
        ({"about": {"tokens": {"semantic": "b"}}}, "were trained on the codes of different semantic models"),
        ({"acoustic": "absent"}, "acoustic is 'absent'; there is no folder"),
        ({"alignment": "letters"}, "unknown setting 'alignment'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        system_of(write_frames(tmp_path, **changes))


def test_missing_graphs_are_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"acoustic has no ONNX graphs of its sizes, .*pip install vivavoce\[onnx-exp"):
        system_of(folder, "onnx")


# ---- conversion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["", "acoustic"])
def test_codes_alone_are_spoken_in_their_time(tmp_path: Path, folder: Path, part: str) -> None:
    model = folder / part
    if part:  # the acoustic model is a nanospeech model of its own
        model = write_frames(tmp_path) / part
        about = (model / "config.json").read_text(encoding="utf-8")
        settings = '"duration": "../duration", "vocoder": "../vocoder", "kind"'
        (model / "config.json").write_text(about.replace('"kind"', settings, 1), encoding="utf-8")
    system = system_of(model)
    assert system.code_rate == 25.0 and system.tokens == {"semantic": "a"}
    codes = [np.arange(20) % 9, np.arange(11) % 9]
    waves = system.convert(codes, [19_300, 10_001], VOICE, SPEAK, [1, 2])
    assert [len(wave) for wave in waves] == [19_300, 10_001]
    alone = system.convert(codes[1:], [10_001], VOICE, SPEAK, [2])[0]
    np.testing.assert_allclose(alone, waves[1], atol=1e-4)
    other = system.convert([(np.arange(20) + 1) % 9], [19_300], VOICE, SPEAK, [1])[0]
    assert np.abs(other - waves[0]).max() > 1e-4 > 10 * np.abs(alone - waves[1]).max()
    with pytest.raises(ValueError, match="semantic codes that are not 0 to 8, or none"):
        system.convert([np.array([9])], [900], VOICE, SPEAK, [1])


def test_a_model_without_codes_converts_nothing() -> None:
    system = load_system("bundled", backend="torch", device="cpu")
    assert system.code_rate == 0  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the model reads no semantic codes, so it cannot convert voices"):
        system.convert([np.array([1])], [900], VOICE, SPEAK, [1])  # type: ignore[attr-defined]
