"""The bundled nanospeech with letters alone: what a model is before it gets languages, phones and other conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from vivavoce.config import ASSETS
from vivavoce.train.export import write_folder

CHARACTERS = " abcdefghijklmnopqrstuvwxyz'.,;:!?-"
ADDED = (
    "language_embed.",
    "phone_embed.",
    "prosody_embed.",
    "bandwidth_embed.",
    "step_embed.",
)  # weights of what may be added


def letters_only(kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the settings and weights of the bundled "nanospeech" or "duration" with CHARACTERS and nothing beside."""
    settings = json.loads((ASSETS / kind / "config.json").read_text(encoding="utf-8"))
    for name in ("format", "kind"):
        del settings[name]
    model = settings["model"]
    for name in ("languages", "phones", "prosody", "bandwidth", "mean_velocity"):
        model.pop(name, None)
    found = load_file(ASSETS / kind / "model.safetensors")
    weights = {name: value for name, value in found.items() if not any(part in name for part in ADDED)}
    (embedding,) = (name for name in weights if name.endswith("text_encoder.embed.weight"))
    rows = [0, *(1 + settings["characters"].index(c) for c in CHARACTERS)]
    weights[embedding] = weights[embedding][rows]
    model["vocab_size"], settings["characters"] = len(CHARACTERS), CHARACTERS
    return settings, weights


def write_letters_only(folder: Path) -> Path:
    """Write a nanospeech folder with its duration model beside it; return it."""
    for kind in ("duration", "nanospeech"):
        settings, weights = letters_only(kind)
        if kind == "nanospeech":
            settings |= {"duration": "../duration", "vocoder": str(ASSETS / "vocoder")}
        write_folder(folder / kind, kind, settings, weights, kind)
    return folder / "nanospeech"
