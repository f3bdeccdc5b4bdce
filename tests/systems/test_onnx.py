"""The ONNX backend: the same samples as PyTorch, and errors that say what to do."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from helpers.frames import write_frames
from helpers.published import DURATION, MODEL, VOCODER, write, write_own
from safetensors.numpy import load_file, save_file

import vivavoce
from vivavoce.voices import get

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("onnxruntime", "onnxscript"))),
        reason="onnxruntime or onnxscript is missing: pip install vivavoce[onnx-export]",
    ),
]

TEXT = "Shall we begin? Yes."


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small model with random weights that reads all text channels, predicts mean velocities, and has harmonics.

    Beside it, its graphs with their weights. Its folder onnx holds them without.
    """
    from vivavoce.checkpoints import onnx_torch
    from vivavoce.models.vocoder_torch import Vocoder

    model, graphs = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("graphs") / "out"
    channels = {"languages": ("en", "es"), "phones": ("a", "t", "s", "ˈi"), "prosody": True}
    write_own(
        model,
        MODEL.replace(speaker_dim=256, mean_velocity=True, **channels),
        DURATION.replace(speaker_dim=256, **channels),
    )
    vocoder = VOCODER.replace(harmonic_bins=16, harmonic_dim=16, harmonic_layers=1)
    write(model / "vocoder", "vocoder", Vocoder(vocoder), vocoder)
    made: dict[str, Any] = {}  # both exports trace the same networks, which takes most of the time
    trace = onnx_torch.traced

    def traced(graph: Any) -> Any:
        if graph.name not in made:
            made[graph.name] = trace(graph)
        return copy.deepcopy(made[graph.name])

    with mock.patch.object(onnx_torch, "traced", traced):
        onnx_torch.export_structure(model, model / "onnx")
        onnx_torch.export_onnx(model, graphs)
    return model, graphs


def test_graphs_speak_the_samples_of_pytorch(folders: tuple[Path, Path]) -> None:
    torch = vivavoce.load(str(folders[0]), backend="torch")
    own, exported = vivavoce.load(str(folders[0]), backend="onnx"), vivavoce.load(str(folders[1]))
    for options in ({}, {"cfg": 2.0, "steps": 3, "method": "midpoint"}, {"speed": 0.8}, {"lang": "es"}):
        theirs = torch.speak(TEXT, voice="nash", seed=3, **options)
        for onnx in (own, exported):
            ours = onnx.speak(TEXT, voice="nash", seed=3, **options)
            assert ours.samples.shape == theirs.samples.shape
            assert np.abs(ours.samples - theirs.samples).max() < 1e-3
            assert [w.text for w in ours.words] == [w.text for w in theirs.words]


def test_new_weights_need_no_new_graphs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    model = shutil.copytree(folders[0], tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    save_file({name: value * np.float32(0.9) for name, value in tensors.items()}, model / "model.safetensors")
    torch, onnx = (vivavoce.load(str(model), backend=backend) for backend in ("torch", "onnx"))
    ours, theirs = (tts.speak(TEXT, voice="nash", seed=3).samples for tts in (onnx, torch))
    assert np.abs(ours - theirs).max() < 1e-3
    before = vivavoce.load(str(folders[0]), backend="onnx").speak(TEXT, voice="nash", seed=3).samples
    assert ours.shape != before.shape or np.abs(ours - before).max() > 1e-3


def test_other_sizes_need_other_graphs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    small = DURATION.replace(speaker_dim=256)
    write_own(tmp_path / "model", MODEL.replace(speaker_dim=256, depth=1), small)
    with pytest.raises(ValueError, match="has no ONNX graphs of its sizes"):
        vivavoce.load(str(tmp_path / "model"), backend="onnx")
    assert "torch" in type(vivavoce.load(str(tmp_path / "model"), device="cpu").system).__module__  # auto falls back


def test_a_model_that_says_so_speaks_with_8_bit_weights(folders: tuple[Path, Path], tmp_path: Path) -> None:
    model = shutil.copytree(folders[0], tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    spoken = []
    for setting, dtype in ((None, "int8"), ("int8", "auto"), ("int8", "float32"), (None, "auto")):
        said = config if setting is None else {**config, "onnx_dtype": setting}
        (model / "config.json").write_text(json.dumps(said))
        spoken.append(vivavoce.load(str(model), backend="onnx", dtype=dtype).speak(TEXT, seed=3).samples)
    small, auto, large, usual = spoken
    assert np.array_equal(small, auto) and np.array_equal(large, usual) and not np.array_equal(small, large)
    (model / "config.json").write_text(json.dumps({**config, "onnx_dtype": "int4"}))
    with pytest.raises(ValueError, match="onnx_dtype is 'int4'; it must be float32 or int8"):
        vivavoce.load(str(model), backend="onnx")


def test_with_8_bit_weights_a_text_sounds_the_same_beside_others(folders: tuple[Path, Path]) -> None:
    tts = vivavoce.load(str(folders[0]), backend="onnx", dtype="int8")
    jobs = [tts.begin(text, "nash", seed=3).next_request() for text in ("Yes.", TEXT, "No, not at all.")]
    for together, job in zip(tts.system.synthesize(jobs), jobs, strict=True):
        (alone,) = tts.system.synthesize([job])
        assert np.array_equal(together.samples, alone.samples)


def test_a_recording_gives_the_same_voice(folders: tuple[Path, Path]) -> None:
    torch, onnx = vivavoce.load(str(folders[0]), backend="torch"), vivavoce.load(str(folders[1]))
    bare = vivavoce.Voice("bare", get("rhea").samples)
    vectors = [tts.system.embedded(bare).embedding for tts in (torch, onnx)]
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-4
    copies = [tts.system.copy_synthesis(get("rhea").samples[:48_000]) for tts in (torch, onnx)]
    assert np.abs(copies[0] - copies[1]).max() < 1e-3


def test_what_cannot_be_had_gets_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for model, options, complaint in (
        (folders[1], {"backend": "torch"}, "holds ONNX graphs, which only onnx runs"),
        (folders[1], {"device": "cuda"}, "the backend onnx runs on the cpu"),
        (folders[1], {"dtype": "float16"}, "computes in float32"),
        (folders[1], {"vocoder": "bundled"}, "part of the exported graphs"),
    ):
        with pytest.raises(ValueError, match=complaint) as caught:
            vivavoce.load(str(model), **options)
        assert "\n" not in str(caught.value)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in folders[1].iterdir():
        content = file.read_bytes()
        (damaged / file.name).write_bytes(content[: len(content) // 2] if file.name == "flow.onnx" else content)
    with pytest.raises(ValueError, match=r"flow\.onnx: not a readable graph"):
        vivavoce.load(str(damaged))


def test_whisperspeech_in_step_with_the_text_speaks_and_converts_the_samples_of_pytorch(tmp_path: Path) -> None:
    from vivavoce.checkpoints import onnx_torch

    write_frames(tmp_path)
    acoustic = tmp_path / "acoustic" / "model.safetensors"
    tensors = load_file(acoustic)
    name = "transformer.code_encoder.out.weight"  # zero at first, so that codes would not matter
    tensors[name] = np.random.default_rng(0).standard_normal(tensors[name].shape).astype(np.float32)
    save_file(tensors, acoustic)
    with pytest.raises(ValueError, match="export it with --no-weights"):
        onnx_torch.export_onnx(tmp_path, tmp_path / "whole")
    onnx_torch.export_structure(tmp_path, tmp_path / "onnx")
    torch, onnx = (vivavoce.load(str(tmp_path), backend=backend) for backend in ("torch", "onnx"))
    voice = vivavoce.Voice("v", np.zeros(9, np.float32), embedding=np.linspace(-1, 1, 8).astype(np.float32))
    for options in ({}, {"cfg": 2.0, "steps": 3}, {"lang": "es"}):
        ours, theirs = (tts.speak(TEXT, voice, seed=3, retries=0, **options) for tts in (onnx, torch))
        assert ours.samples.shape == theirs.samples.shape and np.abs(ours.samples - theirs.samples).max() < 1e-3
    options = torch.planner(voice, seed=1)[0].options
    codes = [np.array([1, 5, 8, 0, 2, 2, 7]), np.array([3, 3, 4])]
    given = (codes, [6720, 2880], voice, options, [1, 2])
    for ours, theirs in zip(*(tts.system.convert(*given) for tts in (onnx, torch)), strict=True):  # type: ignore[attr-defined]
        assert ours.shape == theirs.shape and np.abs(ours - theirs).max() < 1e-3
