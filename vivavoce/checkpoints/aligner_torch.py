"""An exported aligner → its network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vivavoce.checkpoints.resolve import read_config
from vivavoce.checkpoints.weights_torch import load_model
from vivavoce.config import ASSETS, MelConfig
from vivavoce.models.aligner import AlignerConfig
from vivavoce.models.aligner_torch import Aligner


def load_aligner(
    name: str, characters: str, mel: MelConfig, speaker_dim: int, languages: Sequence[str] = ()
) -> Aligner:
    """Load an exported aligner, "bundled" or a folder, for these characters, mels, speaker vectors and languages.

    Raises ValueError if there is none, or it was trained on others.
    """
    folder = ASSETS / "aligner" if name == "bundled" else Path(name)
    values = read_config(folder, "aligner", ("model", "characters"))
    where = str(folder / "config.json")
    config = AlignerConfig.from_dict(values.get("model", {}), where)
    if list(values.get("characters", "")) != list(characters):
        raise ValueError(
            f"{where}: its characters differ from the recipe's, {characters!r}; "
            "train one with `vivavoce train aligner --from bundled`"
        )
    if config.mel != mel:
        raise ValueError(f"{where}: its mels differ from the recipe's, {json.dumps(mel.to_dict())}")
    if config.speaker_dim not in (0, speaker_dim):
        raise ValueError(f"{where}: its speaker_dim is {config.speaker_dim}, the recipe's is {speaker_dim}")
    if tuple(config.languages) not in ((), tuple(languages)):
        raise ValueError(f"{where}: its languages are {config.languages}, the recipe's are {tuple(languages)}")
    return load_model(Aligner, config, folder / "model.safetensors")
