"""Whisper from a CTranslate2 model.bin: the same weights as in openai-whisper's file; damaged files are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_whisper import SMALL, save_whisper

from vivavoce.checkpoints.ctranslate2 import read_arrays, whisper_state
from vivavoce.checkpoints.whisperspeech_torch import load_whisper
from vivavoce.systems.code_reader_torch import load_any_whisper

CONFIG = SMALL.replace(
    n_audio_ctx=1500, n_audio_state=64, n_audio_head=1, n_text_ctx=448, n_text_state=64, n_text_head=1
)


def arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint under CTranslate2's names."""
    state = torch.load(checkpoint, weights_only=True)["model_state_dict"]
    whisper = load_whisper(checkpoint)
    found: dict[str, torch.Tensor] = {}

    def put(name: str, module: torch.nn.Module, kinds: tuple[str, str] = ("weight", "bias")) -> None:
        found[f"{name}/{kinds[0]}"], found[f"{name}/{kinds[1]}"] = module.weight, module.bias

    norm = ("gamma", "beta")
    for side, part in (("encoder", whisper.encoder), ("decoder", whisper.decoder)):
        for number, block in enumerate(part.blocks):
            where = f"{side}/layer_{number}"
            for name, attention, ln in (
                ("self_attention", block.attention, block.attention_norm),
                ("attention", block.cross, block.cross_norm),
            ):
                if attention is None:
                    continue
                put(f"{where}/{name}/layer_norm", ln, norm)
                weights = [getattr(attention, kind).weight for kind in ("query", "key", "value")]
                biases = [attention.query.bias, torch.zeros_like(attention.query.bias), attention.value.bias]
                split = [(0, 3)] if name == "self_attention" else [(0, 1), (1, 3)]
                for layer, (first, last) in enumerate(split):
                    found[f"{where}/{name}/linear_{layer}/weight"] = torch.cat(weights[first:last])
                    found[f"{where}/{name}/linear_{layer}/bias"] = torch.cat(biases[first:last])
                put(f"{where}/{name}/linear_{len(split)}", attention.out)
            put(f"{where}/ffn/layer_norm", block.ff_norm, norm)
            put(f"{where}/ffn/linear_0", block.ff[0])
            put(f"{where}/ffn/linear_1", block.ff[2])
        put(f"{side}/layer_norm", part.norm, norm)
    put("encoder/conv1", whisper.encoder.conv1)
    put("encoder/conv2", whisper.encoder.conv2)
    found["decoder/embeddings/weight"] = whisper.decoder.token_embed.weight
    found["decoder/position_encodings/encodings"] = whisper.decoder.positions
    assert state
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def model_bin(found: dict[str, np.ndarray], version: int = 6) -> bytes:
    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    parts = [struct.pack("<I", version), string("WhisperSpec"), struct.pack("<II", 3, len(found))]
    for name, array in found.items():
        number = {"float32": 0, "int8": 1, "float16": 4}[str(array.dtype)]
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        parts += [string(name), shape, struct.pack("<BI", number, array.nbytes), array.tobytes()]
    return b"".join(parts)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whisper(tmp_path_factory.mktemp("whisper") / "base.pt", CONFIG)


def test_the_weights_are_those_of_the_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(model_bin(arrays(checkpoint)))
    expected = load_whisper(checkpoint)
    for path in (tmp_path, tmp_path / "model.bin"):
        found = load_any_whisper(path)
        assert found.config == CONFIG
        for name, weight in expected.state_dict().items():
            assert torch.equal(found.state_dict()[name], weight), name


def test_what_is_no_whisper_is_refused(checkpoint: Path) -> None:
    found = arrays(checkpoint)
    content = model_bin(found)
    for damaged in (content[:1000], content[:-9], b"", b"no model at all"):
        with pytest.raises(ValueError, match=r"here: (not a CTranslate2 model\.bin|version \d+ of)"):
            read_arrays(damaged, "here")
    with pytest.raises(ValueError, match="here: version 5 of CTranslate2's format; it must be 6"):
        read_arrays(model_bin(found, 5), "here")
    with pytest.raises(ValueError, match="here: not a Whisper model; it has no 'encoder/conv1/weight'"):
        whisper_state({}, "here")
    whole = {**found, "encoder/conv1/weight": found["encoder/conv1/weight"].astype(np.int8)}
    with pytest.raises(ValueError, match="here: its weights are integers"):
        whisper_state(whole, "here")
