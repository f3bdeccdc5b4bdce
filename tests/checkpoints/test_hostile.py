"""Damaged and hostile model folders: refused at once, in one line, without filling the memory."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.published import VOCODER, randomised, write, write_own, write_vocos
from safetensors.torch import load_file, save_file

from vivavoce.checkpoints.weights_torch import load_vocoder, read_weights
from vivavoce.checkpoints.whisperspeech_torch import load_part, load_t2s
from vivavoce.models.vocoder_torch import Vocoder
from vivavoce.systems.load import load_system

pytestmark = pytest.mark.usefixtures("one_thread")


def refusal(load: Callable[[], Any]) -> str:
    """The one-line message with which something is refused, at once and without much memory."""
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(ValueError) as caught:
        load()
    assert time.perf_counter() - begin < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
    message = str(caught.value)
    assert message and "\n" not in message and len(message) < 600
    return message


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path / "own")


@pytest.mark.parametrize("backend", ["torch", "mlx"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("depth", 10**9),
        ("depth", 3),
        ("text_layers", 10**9),
        ("dim", 16 * 10**8),
        ("text_dim", 10**12),
        ("heads", 10**9),
    ],
)
def test_a_config_that_asks_for_more_than_the_weights_hold_is_refused(
    own: Path, backend: str, setting: str, value: int
) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx")
    changed(own / "config.json", lambda values: values["model"].update({setting: value}))
    assert "do not fit the config" in refusal(lambda: load_system(str(own), backend, "cpu"))


@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_tensors_are_not_read_if_the_header_does_not_fit_the_config(
    own: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx")
    read: list[Path] = []

    def recorded(path: Path) -> dict[str, Any]:
        read.append(path)
        return {}

    monkeypatch.setattr(f"vivavoce.checkpoints.weights_{backend}.read_weights", recorded)
    changed(own / "config.json", lambda values: values["model"].update({"dim": 4096}))
    assert "do not fit the config" in refusal(lambda: load_system(str(own), backend, "cpu"))
    assert read == []


@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_a_header_beyond_any_use_is_refused(own: Path, backend: str) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx")
    path = own / "model.safetensors"
    for size in (10**9, 2**63, 5):
        path.write_bytes(size.to_bytes(8, "little") + path.read_bytes()[8:])
        assert "model.safetensors: unreadable weights" in refusal(lambda: load_system(str(own), backend, "cpu"))


@pytest.mark.parametrize(("setting", "value"), [("n_fft", 10**9), ("n_mels", 10**9), ("sample_rate", 10**12)])
def test_a_mel_front_end_beyond_any_use_is_refused(own: Path, setting: str, value: int) -> None:
    changed(own / "config.json", lambda values: values["model"]["mel"].update({setting: value}))
    assert f"{setting} is {value}; it must be" in refusal(lambda: load_system(str(own), "torch", "cpu"))


@pytest.mark.parametrize("value", ["x", [1], {}, None, True, 1e400])
def test_a_config_of_the_wrong_type_is_refused(own: Path, value: Any) -> None:
    changed(own / "config.json", lambda values: values["model"].update({"dim": value}))
    assert "dim" in refusal(lambda: load_system(str(own), "torch", "cpu"))


def test_a_config_nested_too_deeply_is_refused(own: Path) -> None:
    (own / "config.json").write_text(
        '{"format": 1, "kind": "nanospeech", "model": ' + "[" * 100_000 + "]" * 100_000 + "}"
    )
    assert "config.json: not a readable JSON file" in refusal(lambda: load_system(str(own), "torch", "cpu"))


@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_integer_weights_are_refused(own: Path, backend: str) -> None:
    if backend == "mlx":
        pytest.importorskip("mlx")
    path = own / "model.safetensors"
    save_file({name: tensor.to(torch.int8) for name, tensor in load_file(path).items()}, path)
    message = refusal(lambda: load_system(str(own), backend, "cpu"))
    assert "is of type int8; weights must be float32, bfloat16 or float16" in message


# ---- published files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"num_layers": 10**9}, {"num_layers": 10**30}, {"dim": 10**12}, {"num_layers": "many"}, {"dim": [1, 2]}],
    ids=str,
)
def test_a_vocos_config_that_asks_for_too_much_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_vocos(tmp_path / "vocos")
    values = yaml.safe_load((folder / "config.yaml").read_text())
    values["backbone"]["init_args"].update(change)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    assert str(folder) in refusal(lambda: load_vocoder(str(folder)))


def test_a_vocos_config_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    folder = write_vocos(tmp_path / "vocos")
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    lines += ["feature_extractor: {class_path: *a29}", "backbone: {class_path: x}", "head: {class_path: x}"]
    (folder / "config.yaml").write_text("\n".join(lines))
    assert "aliases" in refusal(lambda: load_vocoder(str(folder)))


@pytest.mark.parametrize("text", ["[" * 50_000, "feature_extractor: {class_path: [a]}\nbackbone: {}\nhead: {}", "3"])
def test_other_yaml_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_vocos(tmp_path / "vocos")
    (folder / "config.yaml").write_text(text)
    assert "vocos" in refusal(lambda: load_vocoder(str(folder)))


def test_names_that_are_not_strings_are_refused(tmp_path: Path) -> None:
    torch.save({1: torch.zeros(1)}, tmp_path / "a.bin")
    assert "named 1, of type int" in refusal(lambda: read_weights(tmp_path / "a.bin"))
    torch.save({"config": {}, "tunables": {}, "state_dict": {(1, 2): torch.zeros(1)}}, tmp_path / "t2s-a.model")
    assert "named (1, 2), of type tuple" in refusal(lambda: load_t2s(tmp_path / "t2s-a.model"))


def test_no_message_advises_to_run_a_pickles_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def legacy(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            "Cannot use ``weights_only=True`` with files saved in the legacy .tar format. Set it to False."
        )

    (tmp_path / "a.bin").write_bytes(b"x")
    monkeypatch.setattr(torch, "load", legacy)
    message = refusal(lambda: read_weights(tmp_path / "a.bin"))
    assert "old format" in message and "weights_only" not in message


def test_a_part_of_whisperspeech_that_asks_for_too_much_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "vocoder", randomised(Vocoder(VOCODER)), VOCODER)
    (tmp_path / "config.json").write_text(json.dumps({"format": 1, "kind": "t2s", "model": {"decoder_layers": 10**9}}))
    assert "decoder_layers is 1000000000, too large for this file" in refusal(lambda: load_part(tmp_path, "t2s"))
