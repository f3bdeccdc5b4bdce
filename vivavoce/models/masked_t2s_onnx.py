"""Whisperspeech's T2S in step with the text, in ONNX Runtime: `generate` as in `masked_t2s_torch`, in numpy.

Shapes: B batch, T characters, C codes, K choices of a code, V speaker vector.
"""

from __future__ import annotations

import numpy as np

from vivavoce.models.nanospeech_onnx import Array, Floats, Graph, places
from vivavoce.models.whisperspeech import MaskedT2SConfig, left_masked

MASKED = -1  # id of a code that is masked, or padding


class OnnxMaskedT2S:
    """The model: two graphs, the text encoder and one pass of the transformer."""

    def __init__(self, config: MaskedT2SConfig, text: Graph, codes: Graph) -> None:
        self.config, self.text, self.codes = config, text, codes

    def generate(
        self,
        text: Array,
        lengths: Array,
        durations: Floats,
        *,
        passes: int = 4,
        temperature: float = 0.0,
        noise: Floats | None = None,
        speaker: Floats | None = None,
        languages: Array | None = None,
        phones: Array | None = None,
    ) -> Array:
        """Generate codes [B, max(lengths)], MASKED after the end of an item. Arguments as in `masked_t2s_torch`."""
        size = int(lengths.max())
        spoken = (durations * (text >= 0)).astype(np.float32)
        index, place = places(spoken, spoken.sum(-1), size)
        (encoded,) = self.text(text=text, index=index, place=place, languages=languages, phones=phones)
        inside = np.arange(size)[None] < lengths[:, None]
        codes = np.full((len(text), size), MASKED, np.int64)
        for number in range(passes):
            (logits,) = self.codes(codes=codes, lengths=lengths, encoded=encoded, speaker=speaker)
            drawn = logits if noise is None else logits + np.float32(temperature) * noise[number, :, :size]
            chosen = drawn.argmax(-1)
            certainty = np.take_along_axis(_log_softmax(logits), chosen[..., None], -1)[..., 0]
            certainty = np.where(inside, certainty, -np.inf)
            certainty = np.where(codes >= 0, np.inf, certainty)
            rank = np.argsort(np.argsort(-certainty, axis=1, kind="stable"), axis=1, kind="stable")
            known = lengths - left_masked(lengths, number + 1, passes)
            codes = np.where((rank < known[:, None]) & (codes < 0), chosen, codes)
        return codes


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
