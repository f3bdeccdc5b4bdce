"""The times of a text's letters in a recording of it, which the bundled aligner finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from vivavoce.audio.dsp import Samples, resample
from vivavoce.checkpoints.aligner_torch import load_aligner
from vivavoce.config import MelConfig
from vivavoce.models.aligner_torch import Aligner
from vivavoce.models.mel_torch import LogMel
from vivavoce.text.tokenizer import CharTokenizer


class LetterTimer:
    """Recording and text → seconds of each character."""

    def __init__(self, aligner: Aligner, tokenizer: CharTokenizer) -> None:
        self.aligner, self.tokenizer = aligner.eval(), tokenizer
        self.log_mel = LogMel(aligner.config.mel)

    @torch.inference_mode()
    def seconds(
        self,
        text: str,
        languages: Sequence[str],
        samples: Samples,
        sample_rate: int,
        embedding: npt.NDArray[np.float32] | None,
    ) -> npt.NDArray[np.float32]:
        """Return the seconds of each character [T], which sum to those of the recording.

        text: in the tokenizer's characters, with a space at both ends for the silences. languages: the code of each
        character. samples: [S], of these words. embedding: the recording's speaker vector [V].
        """
        mel = self.aligner.config.mel
        wave = torch.from_numpy(resample(np.asarray(samples, np.float32), sample_rate, mel.sample_rate))
        frames = self.log_mel(wave[None])[0]
        numbers = {code: number for number, code in enumerate(self.aligner.config.languages)}
        counts = self.aligner.place(
            torch.tensor(self.tokenizer.encode(text)),
            frames,
            torch.zeros(len(text), dtype=torch.long),
            torch.tensor([float(len(frames))]),
            torch.from_numpy(embedding) if embedding is not None else torch.zeros(self.aligner.config.speaker_dim),
            torch.tensor([numbers.get(code, 0) for code in languages]) if numbers else None,
        )
        return np.asarray(counts.numpy() * np.float32(len(samples) / sample_rate / len(frames)), np.float32)


def load_letter_timer(
    tokenizer: CharTokenizer, mel: MelConfig, speaker_dim: int, languages: Sequence[str]
) -> LetterTimer:
    """Load the bundled aligner. Raises ValueError if it was trained for other characters, mels or languages."""
    return LetterTimer(load_aligner("bundled", "".join(tokenizer.characters), mel, speaker_dim, languages), tokenizer)
