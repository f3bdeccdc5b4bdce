"""Semantic codes as a feature of recordings, from the token shards beside their shards: NAME.tokens.tar of NAME.tar."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivavoce.checkpoints.whisperspeech_torch import load_part
from vivavoce.config import ASSETS
from vivavoce.data.samples import Features, LengthLimits, Report, SampleSource, raw_samples
from vivavoce.data.tar import Sample
from vivavoce.data.tokens import SUFFIX, TokensHeader
from vivavoce.models.semantic_torch import Semantic
from vivavoce.train.tasks.base import recording_shards
from vivavoce.train.tasks.token_source import read_header

_ATTACHED = "__semantic__"  # under which a sample carries its undecoded codes


class CodesBeside(SampleSource):
    """Adds `codes` [C], int16, to the features of a task that learns from recordings.

    A task inherits it before its base, and has no codes if the model of its recipe has none.
    """

    recipe: Any
    header: TokensHeader | None = None  # of all token shards, after `check_data`

    def check_data(self, shards: list[str], valid: list[str]) -> tuple[list[str], list[str]]:
        """Select the shards of recordings, and check that the tokens beside them are the model's.

        Raises ValueError if a token shard is missing, or differs from the first or from the recipe.
        """
        found = recording_shards(shards), recording_shards(valid)
        config = self.recipe.model
        if not config.codes:
            return found
        for shard in (*found[0], *found[1]):
            path = beside(shard)
            if "://" not in path and not Path(path).exists():
                raise ValueError(f"{shard}: no {Path(path).name} beside it; vivavoce prepare --tokens makes it")
            header = read_header(path)
            if (header.semantic_codes, header.semantic_rate) != (config.codes, config.code_rate):
                raise ValueError(
                    f"{path}: {header.semantic_codes} semantic codes, {header.semantic_rate:g} a second; the recipe's "
                    f"model has {config.codes}, {config.code_rate:g} a second"
                )
            if self.header is not None and header.semantic != self.header.semantic:
                raise ValueError(f"{path}: semantic codes of another model than those of the shards before it")
            self.header = header
        return found

    def tokens_info(self) -> dict[str, Any]:
        """Return what an exported config.json says of the codes: which model made them."""
        if self.header is None:
            return {}
        return {"tokens": {n: value for n, value in self.header.to_dict().items() if n.startswith("semantic")}}

    def codes_fingerprint(self) -> str:
        """Return a string that changes whenever the codes would be others; "" without codes."""
        return f" codes {self.header.semantic}" if self.header is not None else ""

    def undecoded(self, shards: Iterable[str], report: Report) -> Iterator[Sample]:
        if not self.recipe.model.codes:
            yield from super().undecoded(shards, report)
            return
        for shard in shards:
            tokens = {token.key: token.files.get("semantic.npy", b"") for token in raw_samples([beside(shard)], report)}
            for sample in raw_samples([shard], report):
                yield sample._replace(files={**sample.files, _ATTACHED: tokens.get(sample.key, b"")})

    def features(self, sample: Sample, limits: LengthLimits) -> Features:
        item = super().features(sample, limits)
        if self.recipe.model.codes:
            item["codes"] = self._codes(sample.files[_ATTACHED])
        return item

    def _codes(self, content: bytes) -> Tensor:
        try:
            codes = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError):
            raise ValueError("no readable codes beside it") from None
        if codes.ndim != 1 or codes.dtype != np.int16 or not len(codes):
            raise ValueError("no readable codes beside it")
        if codes.min() < 0 or codes.max() >= self.recipe.model.codes:
            raise ValueError(f"codes that are not 0 to {self.recipe.model.codes - 1}")
        return torch.from_numpy(codes)


def beside(shard: str) -> str:
    """Return the token shard of a shard of recordings, a file or a URL."""
    return shard.removesuffix(".tar") + SUFFIX


def initialise_codes(table: nn.Embedding, name: str) -> None:
    """Fill the embedding of semantic codes with the codebook of a semantic model, a folder or "bundled".

    Raises ValueError if there is no such model, or the number or the width of its codes differs.
    """
    folder = ASSETS / "semantic" if name == "bundled" else Path(name)
    semantic = load_part(folder, "semantic")
    assert isinstance(semantic, Semantic)
    vectors = semantic.codebook.vectors
    if semantic.config.codes > len(table.weight) or vectors.shape[1] != table.weight.shape[1]:
        raise ValueError(
            f"{folder}: {semantic.config.codes} codes of width {vectors.shape[1]}; the recipe's model has "
            f"{len(table.weight)} of width {table.weight.shape[1]}"
        )
    with torch.no_grad():
        table.weight[: len(vectors)].copy_(vectors[: len(table.weight)])
