"""A voice with trained weights: small random changes to the bundled models, which can be heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from vivavoce.bundles import write_bundle
from vivavoce.checkpoints.difference import digest, subtract
from vivavoce.config import ASSETS
from vivavoce.voices import Voice, get


def changes(part: str, loss: float = 0.0, size: float = 0.2) -> bytes:
    """A difference to a bundled model, as safetensors: a change of rank 2 in each matrix of a few layers."""
    base = load_file(ASSETS / part / "model.safetensors")
    draw = np.random.default_rng(0)
    tuned = dict(base)
    for name in [n for n, tensor in base.items() if tensor.ndim == 2][-6:]:
        rows, columns = base[name].shape
        change = draw.standard_normal((rows, 2)) @ draw.standard_normal((2, columns))
        scale = size * np.std(base[name].astype(np.float32)) / np.std(change)
        tuned[name] = base[name].astype(np.float32) + (scale * change).astype(np.float32)
    return save(dict(subtract(tuned, base, loss)))


def write(path: Path, *, base: str = "", loss: float = 0.0, **texts: str) -> Voice:
    """Write a bundle of nash's recording with trained weights, and load it. base: another SHA-256."""
    nash = get("nash")
    weights = {
        part: (base or digest(ASSETS / part / "model.safetensors"), changes(part, loss))
        for part in ("nanospeech", "duration")
    }
    about = {"name": "me", "licence": "private", "consent": "I agreed on 1 May.", "language": "en", **texts}
    write_bundle(path, about, nash.samples, nash.embedding, weights, {"minutes": 3.5}, {"MODEL_CARD.md": b"# me\n"})
    return Voice.load(path)
