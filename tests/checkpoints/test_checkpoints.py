"""Model folders: ours and the published formats, what is refused and how, and whole systems that speak from them."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoint_tests import refusal
from helpers.published import (
    CHARACTERS,
    DURATION,
    MODEL,
    VOCODER,
    speaking,
    write,
    write_own,
    write_vocos,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

from vivavoce.checkpoints.weights import choose_device
from vivavoce.checkpoints.weights_torch import load_vocoder, read_weights
from vivavoce.models.nanospeech_torch import duration_model
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.systems.load import choose_backend, load_system

# --- fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of a config.json; `...` takes one away."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not ...}))


# --- our format ---------------------------------------------------------------------------------------------------


def test_a_folder_gives_back_what_was_written(own: Path) -> None:
    system = speaking(own)
    assert (system.model.config, system.duration.config, system.vocoder.config) == (MODEL, DURATION, VOCODER)
    assert "".join(system.tokenizer.characters) == CHARACTERS
    assert (system.sampling.steps, system.sampling.method, system.sampling.cfg) == (3, "euler", 1.0)
    assert system.sampling.max_seconds == 20.0
    assert (system.sample_rate, system.frame_rate, system.uses_transcript) == (24_000, 93.75, False)
    saved = load_file(own / "model.safetensors")
    assert all(torch.equal(v, saved[k]) for k, v in system.model.state_dict().items())
    assert not any(p.requires_grad for p in system.model.parameters()) and not system.model.training


def test_half_precision_files_load_as_float32(own: Path) -> None:
    path = own / "model.safetensors"
    save_file({k: v.half() for k, v in load_file(path).items()}, path)
    assert {p.dtype for p in speaking(own).model.parameters()} == {torch.float32}


def test_parts_may_lie_elsewhere(own: Path, tmp_path: Path) -> None:
    shutil.move(own / "duration", tmp_path / "elsewhere")
    edit(own, duration="../elsewhere")
    assert speaking(own).duration.config == DURATION
    other = VOCODER.replace(num_layers=2)
    write(tmp_path / "vocoder", "vocoder", Vocoder(other), other)
    assert speaking(own, vocoder=str(tmp_path / "vocoder")).vocoder.config == other


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tempo": 1}, ("tempo", "valid are format, kind, model")),
        ({"kind": "vocoder"}, ("a vocoder model, where a nanospeech model is needed",)),
        ({"kind": ...}, ("kind",)),
        ({"format": 2}, ("format 2", "reads format 1")),
        ({"format": ...}, ("format None",)),
        ({"model": {**MODEL.to_dict(), "depht": 3}}, ("depht", "did you mean 'depth'?")),
        ({"model": {**MODEL.to_dict(), "depth": 0}}, ("depth is 0", "positive")),
        ({"model": {**MODEL.to_dict(), "depth": "2"}}, ("depth is '2'", "a whole number")),
        ({"model": []}, ("expected an object",)),
        ({"characters": CHARACTERS + "é"}, (f"vocab_size is {len(CHARACTERS)}", f"has {len(CHARACTERS) + 1}")),
        ({"characters": 7}, ("characters is 7",)),
        ({"sampling": {"steps": 0}}, ("steps is 0", "from 1 to 256")),
        ({"duration": 5}, ("duration is 5",)),
        ({"duration": "nowhere"}, ("nowhere", "config.json")),
        ({"vocoder": None}, ("vocoder is None",)),
        ({"vocoder": "./nowhere"}, ("./nowhere",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_config_is_refused_by_file_and_value(own: Path, changes: Any, named: tuple[str, ...]) -> None:
    edit(own, **changes)
    message = refusal(lambda: speaking(own))
    assert all(part in message for part in named), message
    assert "nowhere" in message or str(own / "config.json") in message


def test_broken_json_is_refused(own: Path) -> None:
    (own / "config.json").write_text('{"format": 1,')
    assert str(own / "config.json") in refusal(lambda: speaking(own))
    (own / "config.json").write_bytes(b"\xff\xfe\x00")
    assert str(own / "config.json") in refusal(lambda: speaking(own))
    (own / "config.json").write_text("[1]")
    assert "kind" in refusal(lambda: speaking(own))


def test_a_duration_model_of_other_characters_is_refused(own: Path) -> None:
    edit(own / "duration", characters=CHARACTERS[::-1])
    assert "its characters differ" in refusal(lambda: speaking(own))
    smaller = DURATION.replace(vocab_size=5)
    write(own / "duration", "duration", duration_model(smaller), smaller, characters=CHARACTERS)
    assert "vocab_size is 5" in refusal(lambda: speaking(own))


def test_a_vocoder_of_other_frames_is_refused(own: Path, tmp_path: Path) -> None:
    other = VOCODER.replace(mel=VOCODER.mel.replace(n_mels=80))
    write(tmp_path / "vocoder", "vocoder", Vocoder(other), other)
    message = refusal(lambda: speaking(own, vocoder=str(tmp_path / "vocoder")))
    assert "'n_mels': 80" in message and "'n_mels': 100" in message


# --- weights ------------------------------------------------------------------------------------------------------


def damage_missing(weights: dict[str, Tensor]) -> None:
    del weights["transformer.out.weight"]


def damage_unknown(weights: dict[str, Tensor]) -> None:
    weights["transformer.extra"] = torch.zeros(1)


def damage_shape(weights: dict[str, Tensor]) -> None:
    weights["transformer.out.weight"] = torch.zeros(200, 31)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_missing, "missing transformer.out.weight"),
        (damage_unknown, "unknown transformer.extra"),
        (damage_shape, "transformer.out.weight is [200, 31], should be [200, 32]"),
    ],
)
def test_weights_that_do_not_fit_are_named(own: Path, damage: Any, named: str) -> None:
    path = own / "model.safetensors"
    weights = load_file(path)
    damage(weights)
    save_file(weights, path)
    message = refusal(lambda: speaking(own))
    assert named in message and str(path) in message


def test_many_misfits_are_counted(own: Path) -> None:
    save_file({"a": torch.zeros(1)}, own / "model.safetensors")
    message = refusal(lambda: speaking(own))
    assert " more" in message and len(message) < 500


@pytest.mark.parametrize("keep", [0, 4, 2000, -1])
def test_truncated_weights_are_refused(own: Path, keep: int) -> None:
    path = own / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    message = refusal(lambda: speaking(own))
    assert str(path) in message and "truncated or damaged" in message


def test_missing_weights_are_refused(own: Path) -> None:
    (own / "model.safetensors").unlink()
    assert str(own / "model.safetensors") in refusal(lambda: speaking(own))


class Touch:
    """Unpickled, it makes a file: what a hostile checkpoint would do, harmlessly."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, save: Any) -> None:
    folder, trace = write_vocos(tmp_path / "vocos"), tmp_path / "trace"
    path = folder / "pytorch_model.bin"
    save({"head.out.weight": torch.zeros(2), "x": Touch(trace)}, path)
    message = refusal(lambda: load_vocoder(str(folder)))
    assert str(path) in message
    assert not trace.exists()


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "a.bin")
    assert "list" in refusal(lambda: read_weights(tmp_path / "a.bin"))
    folder = write_vocos(tmp_path / "vocos")
    torch.save({"head.out.weight": 3}, folder / "pytorch_model.bin")
    assert "head.out.weight is a int, not a tensor" in refusal(lambda: load_vocoder(str(folder)))
    torch.save(torch.zeros(1), tmp_path / "a.bin")
    assert "Tensor" in refusal(lambda: read_weights(tmp_path / "a.bin"))
    (tmp_path / "a.bin").write_bytes(b"")
    assert str(tmp_path / "a.bin") in refusal(lambda: read_weights(tmp_path / "a.bin"))


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nanospeach", "", "a/b/c", "./nowhere", "https://example.org/x"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    message = refusal(lambda: load_system(name))
    assert repr(name) in message and "bundled" in message and "nanospeech" in message


def test_a_hub_name_without_a_connection_is_refused() -> None:
    assert "nobody/nothing" in refusal(lambda: load_system("nobody/nothing"))


def test_a_file_is_not_a_folder(own: Path) -> None:
    message = refusal(lambda: load_system(str(own / "model.safetensors")))
    assert "model.safetensors" in message and "folder" in message


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(lambda: speaking(tmp_path))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"backend": "tensorflow"}, "tensorflow"),
        ({"device": "toaster"}, "toaster"),
        ({"dtype": "int8"}, "int8"),
        ({"bits": 5}, "bits is 5; it must be 4 or 8"),
        ({"backend": "torch", "bits": 8}, "only the backend mlx has quantised weights"),
    ],
)
def test_a_wrong_option_is_refused_by_name(own: Path, options: dict[str, Any], named: str) -> None:
    assert named in refusal(lambda: load_system(str(own), **{"backend": "torch", **options}))


@pytest.mark.parametrize(
    ("system", "machine", "packages", "gpu", "options", "expected"),
    [
        ("darwin", "arm64", "mlx onnxruntime torch", True, {}, "mlx"),
        ("darwin", "arm64", "onnxruntime torch", True, {}, "torch"),
        ("darwin", "arm64", "onnxruntime", False, {}, "onnx"),
        ("darwin", "x86_64", "mlx onnxruntime torch", False, {}, "onnx"),
        ("linux", "arm64", "mlx onnxruntime", False, {}, "onnx"),
        ("linux", "x86_64", "onnxruntime torch", False, {}, "onnx"),
        ("linux", "x86_64", "onnxruntime torch", True, {}, "torch"),
        ("linux", "x86_64", "onnxruntime torch", True, {"device": "cpu"}, "onnx"),
        ("linux", "x86_64", "onnxruntime torch", False, {"device": "cuda"}, "torch"),
        ("linux", "x86_64", "onnxruntime torch", False, {"dtype": "bfloat16"}, "torch"),
        ("linux", "x86_64", "onnxruntime torch", False, {"compile": True}, "torch"),
        ("linux", "x86_64", "onnxruntime torch", True, {"dtype": "int8"}, "onnx"),
        ("linux", "x86_64", "torch", False, {}, "torch"),
    ],
)
def test_auto_is_mlx_on_apple_silicon_torch_on_a_gpu_and_onnx_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    packages: str,
    gpu: bool,
    options: dict[str, Any],
    expected: str,
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in packages.split() else None)
    monkeypatch.setattr("vivavoce.systems.load._gpu", lambda: gpu)
    assert choose_backend("auto", **options) == expected
    assert choose_backend("torch", **options) == "torch"


def test_a_backend_that_is_not_installed_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "mlx" or n.endswith("_mlx")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("checkpoints.weights", "systems.nanospeech", "models.vocoder", "models.mel", "models.speaker"):
        monkeypatch.delattr(f"vivavoce.{name}_mlx", raising=False)
    monkeypatch.delattr("vivavoce.models.nanospeech_mlx", raising=False)
    monkeypatch.setitem(sys.modules, "mlx", None)
    assert "pip install vivavoce[mlx]" in refusal(lambda: load_system(str(own), "mlx"))


def test_a_device_that_is_not_there_names_those_that_are() -> None:
    assert choose_device("auto", "float32", False, True, "machine") == "mps"
    assert choose_device("cuda:1", "float32", True, False, "machine") == "cuda:1"
    message = refusal(lambda: choose_device("cuda", "float32", False, True, "machine"))
    assert message == "device is 'cuda', and this machine finds none here; it must be auto, mps or cpu"
    assert "auto, cpu, cuda or mps" in refusal(lambda: choose_device("tpu", "float32", True, True, "machine"))
