"""Config of the vocoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vivavoce.config import Config, MelConfig

PITCH = 150.0  # Hz, between men's and women's voices
OCTAVES = (-1.5, 2.0)  # range of a voice's pitch around it: 53 to 600 Hz
CYCLE_PARTS = 1 << 24  # cycles are summed in whole parts; float32 resolves no more
MAX_MAGNITUDE = 1e2  # keeps an untrained head from overflowing


@dataclass(frozen=True)
class VocoderConfig(Config):
    """Vocos (Siuzdak, 2023, arXiv:2306.00814): a ConvNeXt backbone and an inverse-STFT head."""

    mel: MelConfig = field(default_factory=MelConfig)
    input: Literal["mel", "codes"] = "mel"
    dim: int = 512
    intermediate_dim: int = 1536
    num_layers: int = 8
    padding: Literal["center", "same"] = "center"  # of the inverse STFT
    # the head's transform: that of the mels, or for EnCodec codes 1280 / 320
    n_fft: int = 1024
    hop: int = 256
    # codes only: EnCodec's codebooks [codebooks * codebook_size, codebook_dim]; the bandwidth selects the AdaLN row
    codebooks: int = 16
    codebook_size: int = 1024
    codebook_dim: int = 128
    bandwidths: tuple[float, ...] = ()  # kbit/s; empty: no AdaLN
    # Mel only: number of the lowest bins that a separate backbone generates, with phases relative to the harmonics of
    # the pitch that it estimates. 0: all bins come from the same backbone, as published.
    harmonic_bins: int = 0
    harmonic_dim: int = 256
    harmonic_layers: int = 5

    def __post_init__(self) -> None:
        names = ("dim", "intermediate_dim", "num_layers", "codebooks", "codebook_size", "codebook_dim")
        for name in (*names, "harmonic_dim", "harmonic_layers"):
            self.require(getattr(self, name) > 0, name, "positive")
        self.require(self.n_fft > 0 and self.n_fft % 2 == 0, "n_fft", "positive and even")
        self.require(0 < self.hop <= self.n_fft, "hop", f"between 1 and n_fft ({self.n_fft})")
        self.require(all(b > 0 for b in self.bandwidths), "bandwidths", "positive numbers of kbit/s")
        most = self.n_fft // 2 + 1 if self.input == "mel" else 0
        self.require(0 <= self.harmonic_bins <= most, "harmonic_bins", f"from 0 to {most} with input {self.input!r}")
        if self.input == "mel":
            self.require(self.hop == self.mel.hop, "hop", f"the mel's hop ({self.mel.hop})")

    @property
    def input_channels(self) -> int:
        return self.mel.n_mels if self.input == "mel" else self.codebook_dim
