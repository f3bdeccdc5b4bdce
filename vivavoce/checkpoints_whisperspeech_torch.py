"""Published whisperspeech models and openai-whisper checkpoints → PyTorch networks; weights are read as data alone."""

from __future__ import annotations

from pathlib import Path

from vivavoce import checkpoints_whisperspeech
from vivavoce.checkpoints_torch import fill, read_weights
from vivavoce.engines.semantic_torch import Semantic, Whisper
from vivavoce.engines.whisperspeech_torch import S2A, T2S


def load_t2s(path: Path) -> T2S:
    """A published t2s-*.model file. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = checkpoints_whisperspeech.import_t2s(read_weights(path), str(path))
    return fill(T2S(config), weights, path)


def load_s2a(path: Path) -> S2A:
    """A published s2a-*.model file. Raises ValueError for one that is missing, damaged, or something else."""
    config, weights = checkpoints_whisperspeech.import_s2a(read_weights(path), str(path))
    return fill(S2A(config), weights, path)


def load_whisper(path: Path) -> Whisper:
    """An openai-whisper checkpoint, such as base.pt. Raises ValueError for one that is missing, damaged, or other."""
    config, weights = checkpoints_whisperspeech.import_whisper(read_weights(path), str(path))
    return fill(Whisper(config), weights, path)


def load_semantic(path: Path, whisper: Whisper) -> Semantic:
    """A published whisper-vq-stoks-*.model file, for the Whisper that it names.

    Raises ValueError for one that is missing, damaged, something else, or does not go with this Whisper.
    """
    config, weights = checkpoints_whisperspeech.import_semantic(read_weights(path), whisper.config, str(path))
    return fill(Semantic(config), weights, path)
