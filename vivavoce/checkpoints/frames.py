"""The parts of a whisperspeech system in step with the text, for either backend.

Its config.json, {"kind": "whisperspeech", "alignment": "frames"}, names their folders, relative to its own, or
"bundled": `t2s`, `acoustic` (a nanospeech model with codes), `duration` and `vocoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce.checkpoints.resolve import read_config
from vivavoce.checkpoints.weights import Backend, NanospeechParts, load_nanospeech
from vivavoce.config import ASSETS
from vivavoce.models.nanospeech import SamplingConfig
from vivavoce.models.whisperspeech import MaskedSamplingConfig, MaskedT2SConfig

SETTINGS = ("alignment", "t2s", "acoustic", "duration", "vocoder", "sampling")


@dataclass
class FramesParts:
    """The contents of a system's folders."""

    acoustic: NanospeechParts
    t2s: Any
    t2s_sampling: MaskedSamplingConfig


def load_frames(folder: Path, backend: Backend, network: Callable[[MaskedT2SConfig], Any]) -> FramesParts:
    """Load a system's folder; `network` makes the backend's T2S. Raises ValueError for files that do not fit."""
    values = read_config(folder, "whisperspeech", SETTINGS)
    where = folder / "config.json"
    t2s, acoustic, duration = (_folder(folder, values, name) for name in ("t2s", "acoustic", "duration"))
    parts = load_nanospeech(acoustic, backend, duration)
    parts.vocoder = values.get("vocoder", "bundled")
    if "sampling" in values:
        parts.sampling = SamplingConfig.from_dict(values["sampling"], f"{where}: sampling")
    about = read_config(t2s, "t2s", ("model", "sampling", "tokens", "characters"))
    its = str(t2s / "config.json")
    config = MaskedT2SConfig.from_dict(about.get("model", {}), its)
    sampling = MaskedSamplingConfig.from_dict(about.get("sampling", {}), f"{its}: sampling")
    if list(about.get("characters", "")) != parts.characters:
        raise ValueError(f"{its}: its characters differ from those of {acoustic / 'config.json'}")
    hashes = [_semantic(tokens) for tokens in (about.get("tokens", {}), parts.tokens)]
    if all(hashes) and hashes[0] != hashes[1]:
        raise ValueError(f"{t2s} and {acoustic} were trained on the codes of different semantic models")
    return FramesParts(parts, backend.load(network, config, t2s / "model.safetensors"), sampling)


def _folder(folder: Path, values: dict[str, Any], name: str) -> Path:
    if values.get(name) == "bundled":
        return ASSETS / name
    found = folder / values.get(name, name)
    if not found.is_dir():
        raise ValueError(f"{folder / 'config.json'}: {name} is {values.get(name, name)!r}; there is no folder {found}")
    return found


def _semantic(tokens: Any) -> str:
    return str(tokens.get("semantic", "")) if isinstance(tokens, dict) else ""
