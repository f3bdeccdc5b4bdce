"""Shards of recordings with token shards beside them, and tiny recipes of the two models that learn from both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from helpers.corpus import TEXTS, write_corpus
from helpers.training import CHARACTERS
from vivavoce.data.samples import Report, raw_samples
from vivavoce.data.tokens import TokenItem, TokensHeader, TokenWriter, token_path
from vivavoce.train.export import write_folder

HEADER = TokensHeader(semantic="a", semantic_codes=9)
TRAIN = {
    "frames_per_batch": 200, "max_steps": 4, "warmup_steps": 2, "decay_steps": 0, "learning_rate": 1e-2, "ema": 0.9,
    "mixed_precision": "no", "workers": 0,
}  # fmt: skip


def write_tokens_beside(shards: list[str], header: TokensHeader = HEADER, leave_out: str = "") -> None:
    """Write a token shard beside each shard: random codes, 25 a second of 1.2 s at most."""
    for shard in shards:
        writer = TokenWriter(token_path(Path(shard)), header)
        for sample in raw_samples([shard], Report()):
            if sample.key == leave_out:
                continue
            rng = np.random.default_rng(int(sample.key[1:]))
            item: TokenItem = {
                "key": sample.key, "text": TEXTS[0], "lang": "en", "name": "", "seconds": 1.0, "words": [],
                "semantic": rng.integers(0, 9, 20).astype(np.int16),
                "acoustic": rng.integers(0, 9, (4, 40)).astype(np.int16),
                "speaker": np.zeros(256, np.float16),
            }  # fmt: skip
            writer.add_item(item)
        writer.close()


def coded_corpus(folder: Path) -> list[str]:
    """Two shards with eight utterances, and their token shards."""
    shards = write_corpus(folder, 8, 2, words=True)
    write_tokens_beside(shards)
    return shards


def write_aligner(folder: Path, mel: Any) -> str:
    """An untrained aligner for CHARACTERS."""
    from vivavoce.models.aligner import AlignerConfig
    from vivavoce.models.aligner_torch import Aligner

    config = AlignerConfig(mel=mel, vocab_size=len(CHARACTERS), dim=8, depth=1, speaker_dim=0)
    about = {"model": config.to_dict(), "characters": CHARACTERS}
    write_folder(folder, "aligner", about, Aligner(config).state_dict(), "here")
    return str(folder)


def acoustic_recipe(aligner: str, **settings: Any) -> dict[str, Any]:
    model = {
        "vocab_size": len(CHARACTERS), "dim": 16, "depth": 1, "heads": 1, "head_dim": 16, "ff_mult": 1, "text_dim": 8,
        "text_layers": 1, "text_align": "letters", "audio_prompt": False, "speaker_dim": 256, "patch": 2, "codes": 9,
        "code_width": 4,
    }  # fmt: skip
    return {"model": model, "characters": CHARACTERS, "aligner": aligner, "train": TRAIN, **settings}


def t2s_recipe(aligner: str, **settings: Any) -> dict[str, Any]:
    model = {
        "alignment": "frames", "vocab_size": len(CHARACTERS), "dim": 16, "depth": 1, "heads": 1, "head_dim": 16,
        "ff_mult": 1, "text_dim": 8, "text_layers": 1, "codes": 9, "code_width": 4,
    }  # fmt: skip
    return {"model": model, "characters": CHARACTERS, "aligner": aligner, "train": TRAIN, **settings}
